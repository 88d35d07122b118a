"""The table function absdb_blame: the commit that last wrote each row, or last changed each cell, of a table.

    absdb_blame('orders')                                       key columns, lsn, time, author, message, database
    absdb_blame('staging.orders', at_snapshot => 'before')
    absdb_blame('orders', keys => [1, 2], columns => ['status'])     one row a cell, with `column`

A key of several columns is a struct: `keys => [{'a': 1, 'b': 'x'}]`. Inside a transaction it shows what that has
written, without a commit. Called by listings.py.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from absdb.errors import InvalidInputError
from absdb.sql.duck.scan import readable
from absdb.sql.query.names import Moment, NamedTable
from absdb.sql.query.points import point_of
from absdb.versioning.blame import blame


def blame_rows(
    moment: Moment, table: Any = None, keys: Any = None, columns: Any = None, **points: Any
) -> pa.Table:
    """What versioning/blame.py says of a table of the current database, or of another one if it is qualified."""
    if not isinstance(table, str):
        raise InvalidInputError("the first argument names a table", hint="such as absdb_blame('orders')")
    path = tuple(table.split("."))
    at = (lambda info: moment.at(point_of(moment, info.name, **points))) if points else None
    found = moment.find(path, at)
    if not isinstance(found, NamedTable):
        raise moment.missing(path)
    return readable(blame(moment.engine, found.view.reader(found.schema), keys=keys, columns=columns))
