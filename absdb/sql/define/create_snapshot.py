"""CREATE SNAPSHOT: a name for a state of a database, which is kept until the name is dropped.

    CREATE SNAPSHOT [IF NOT EXISTS] name [ON database] [AS OF LSN '…' | TIMESTAMP '…' | SNAPSHOT 'x'] [COMMENT 'text']

Called by dispatch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.sql.define.database_target import read_as_of, read_database, read_label, refuse_in_transaction
from absdb.sql.define.ddl_target import read_header
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at, pointing_at
from absdb.versioning.snapshot import create_snapshot

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """Name a state."""
    refuse_in_transaction(call, "CREATE SNAPSHOT")
    cursor = TokenCursor(call.statement)
    replace, if_absent = read_header(cursor, "SNAPSHOT")
    at = cursor.token.start
    if replace:
        raise error_at(call.text, at, "a snapshot is not replaced", hint="DROP SNAPSHOT it first")
    name = read_label(cursor, "the name of a snapshot")
    info = read_database(call, cursor) if cursor.accept("ON") else call.moment().current.info
    past = call.session.scope if not call.session.scope.writable else None
    if cursor.ahead("AS") or past is None or past.database != info.id:
        point = read_as_of(call, cursor, info)
    else:
        point = past.point()
    comment = cursor.string() if cursor.accept("COMMENT") else ""
    cursor.end()
    engine = call.session.engine
    if not if_absent or (info.id, name) not in engine.history.snapshots:
        with pointing_at(call.text, at):
            create_snapshot(engine, name, point, comment=comment)
    return Result(statement="CREATE SNAPSHOT")
