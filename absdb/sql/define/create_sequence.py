"""CREATE SEQUENCE: numbers that are handed out once, on whatever branch.

    CREATE [OR REPLACE] SEQUENCE [IF NOT EXISTS] name
        [START [WITH] n] [INCREMENT [BY] n] [MINVALUE n | NO MINVALUE] [MAXVALUE n | NO MAXVALUE]

`nextval('name')` takes one, in queries and as a default: see sequence_values.py. Called by dispatch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.engine import ddl
from absdb.sql.define.ddl_target import entity_in, read_creation
from absdb.sql.define.sequence_options import read_options
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """Make a sequence."""
    cursor = TokenCursor(call.statement)
    creation = read_creation(call, cursor, "SEQUENCE")
    options = read_options(cursor)
    cursor.end()
    target = creation.target

    def work(scope: TransactionScope) -> None:
        space = target.home(scope)
        there = entity_in(scope, "sequence", space, target.name)
        if creation.skips(there):
            return
        if there is not None:
            ddl.drop_sequence(scope.tx, there["name"], there["namespace"])
        ddl.create_sequence(
            scope.tx,
            target.name,
            start=options.first,
            increment=options.increment,
            namespace=space,
            minimum=options.minimum,
            maximum=options.maximum,
        )

    target.write(work)
    return Result(statement="CREATE SEQUENCE")
