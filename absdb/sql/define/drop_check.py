"""DROP CHECK [IF EXISTS] name: merges into the database are not held to it any more. Called by dispatch.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.sql.define.database_target import read_label
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import pointing_at
from absdb.versioning.data_checks import checks_of, drop_check

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """Forget a check, in the transaction if one is open."""
    cursor = TokenCursor(call.statement)
    cursor.expect("DROP", "CHECK")
    if_exists = cursor.accept("IF", "EXISTS")
    at = cursor.token.start
    name = read_label(cursor, "the name of a check")
    cursor.end()
    scope = call.session.scope
    if not if_exists or name in checks_of(scope.catalog()):
        with pointing_at(call.text, at):
            scope.write(lambda tx: drop_check(tx, name))
    return Result(statement="DROP CHECK")
