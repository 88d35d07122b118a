"""DROP SNAPSHOT [IF EXISTS] name [ON database]: forgets the name; what only it kept goes with the next checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.sql.define.database_target import read_database, read_label, refuse_in_transaction
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import pointing_at
from absdb.versioning.snapshot import drop_snapshot

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """Forget a snapshot."""
    refuse_in_transaction(call, "DROP SNAPSHOT")
    cursor = TokenCursor(call.statement)
    cursor.expect("DROP", "SNAPSHOT")
    if_exists = cursor.accept("IF", "EXISTS")
    at = cursor.token.start
    name = read_label(cursor, "the name of a snapshot")
    info = read_database(call, cursor) if cursor.accept("ON") else call.moment().current.info
    cursor.end()
    engine = call.session.engine
    if not if_exists or (info.id, name) in engine.history.snapshots:
        with pointing_at(call.text, at):
            drop_snapshot(engine, info.name, name)
    return Result(statement="DROP SNAPSHOT")
