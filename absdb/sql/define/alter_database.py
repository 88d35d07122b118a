"""ALTER DATABASE: its name, whether it is protected, how long it is to live.

    ALTER DATABASE name RENAME TO new
    ALTER DATABASE name SET PROTECTED | DROP PROTECTED
    ALTER DATABASE name SET RETAIN 7 DAYS | DROP RETAIN

The time to live counts from when the database was made. Called by dispatch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absdb.clock import MICROSECOND
from absdb.sql.define.database_target import named_database, read_retention, refuse_in_transaction
from absdb.sql.define.ddl_target import already
from absdb.sql.query.names import same
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import pointing_at
from absdb.versioning.branch import alter_database

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """Change what holds for a database as a whole."""
    refuse_in_transaction(call, "ALTER DATABASE")
    cursor = TokenCursor(call.statement)
    cursor.expect("ALTER", "DATABASE")
    if_exists = cursor.accept("IF", "EXISTS")
    at = cursor.token.start
    name = cursor.name("the name of a database")
    changes = _changes(call, cursor, name)
    result = Result(statement="ALTER DATABASE")
    if if_exists and call.moment().database(name) is None:
        return result
    alter_database(call.session.engine, named_database(call, name, at), **changes)
    return result


def _changes(call: Call, cursor: TokenCursor, name: str) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if cursor.accept("RENAME", "TO") or cursor.accept("SET", "ALIAS", "TO"):
        at = cursor.token.start
        new = cursor.name("the new name of the database")
        with pointing_at(call.text, at):
            if not same(new, name) and call.moment().database(new) is not None:
                raise already("database", new)
        changes["name"] = new
    elif cursor.accept("SET"):
        if cursor.expect_one(("PROTECTED", "RETAIN")) == "PROTECTED":
            changes["protected"] = True
        else:
            changes["retain_us"] = read_retention(cursor) // MICROSECOND
    elif cursor.accept("DROP"):
        protected = cursor.expect_one(("PROTECTED", "RETAIN")) == "PROTECTED"
        changes |= {"protected": False} if protected else {"retain_us": None}
    else:
        cursor.refuse("RENAME TO", "SET PROTECTED", "DROP PROTECTED", "SET RETAIN", "DROP RETAIN")
    cursor.end()
    return changes
