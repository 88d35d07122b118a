"""`absdb_create_restore_point('name')` in queries: names this place in the log; its value is the LSN, as text.

It happens when DuckDB computes it, once for each row, also in a transaction that is rolled back later: it is no change
of any database. Called by functions.py.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import pyarrow as pa

from absdb.engine.restore_point import create_restore_point
from absdb.sql.text.calls import arguments_of
from absdb.sql.text.edits import Edit
from absdb.sql.text.parsed import Query
from absdb.sql.text.source import error_at
from absdb.sql.text.syntax import Call

if TYPE_CHECKING:
    from absdb.engine.engine import Engine
    from absdb.sql.query.rewrite import Rewriter

NAME = "absdb_create_restore_point"
_FUNCTION = "absdb_restore_point_of"
_numbers = itertools.count(1)
_makers: WeakValueDictionary[int, _Maker] = WeakValueDictionary()


class _Maker:
    """Makes the restore points of one statement."""

    def __init__(self, engine: Engine) -> None:
        self.number = next(_numbers)
        self.engine = engine
        _makers[self.number] = self


def edits(rewriter: Rewriter, query: Query, call: Call) -> list[Edit]:
    """The replacement of a call. StateError where nothing can be written."""
    start, stop, given = arguments_of(query, call)
    if len(given) != 1:
        raise error_at(query.text, start, f"{NAME} takes a name", hint=f"{NAME}('before the migration')")
    rewriter.moment.engine.check_writable()
    _, first, _ = given[0]
    found = [Edit(start, first, f"{_FUNCTION}({_maker_of(rewriter).number}, ")]
    if call.names_column:
        found.append(Edit(stop, stop, f" AS {NAME}"))
    return found


def _maker_of(rewriter: Rewriter) -> _Maker:
    for held in rewriter.held:
        if isinstance(held, _Maker):
            return held
    maker = _Maker(rewriter.moment.engine)
    rewriter.held.append(maker)
    rewriter.backend.extend(_FUNCTION, _add_function)
    return maker


def _add_function(connection: Any) -> None:
    def make(numbers: pa.ChunkedArray, names: pa.ChunkedArray) -> pa.Array:
        engine = _makers[numbers[0].as_py()].engine
        return pa.array([str(create_restore_point(engine, name)) for name in names.to_pylist()], pa.string())

    connection.create_function(
        _FUNCTION, make, ["BIGINT", "VARCHAR"], "VARCHAR", type="arrow", side_effects=True
    )
