"""DROP DATABASE [IF EXISTS] name: removes a database or branch and its snapshots; branches of it stay whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.errors import StateError
from absdb.sql.define.database_target import named_database, refuse_in_transaction
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.versioning.branch import drop_database

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """Drop a database; StateError if it is protected, the session's own one, or the only one."""
    refuse_in_transaction(call, "DROP DATABASE")
    cursor = TokenCursor(call.statement)
    cursor.expect("DROP", "DATABASE")
    if_exists = cursor.accept("IF", "EXISTS")
    at = cursor.token.start
    name = cursor.name("the name of a database")
    cursor.accept_one(("CASCADE", "RESTRICT"))
    cursor.end()
    if not if_exists or call.moment().database(name) is not None:
        info = named_database(call, name, at)
        if info.id == call.session.scope.database:
            raise StateError(f"{info.name!r} is the current database", hint="USE another one first")
        drop_database(call.session.engine, info)
    return Result(statement="DROP DATABASE")
