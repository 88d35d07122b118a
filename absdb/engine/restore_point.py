"""Restore points: names for places in the log, for a recovery to stop at. They keep nothing and cost one sync."""

from __future__ import annotations

from absdb.engine.apply import RESTORE_POINT, apply_note
from absdb.engine.engine import Engine
from absdb.ids import DatabaseId, Lsn
from absdb.paths import check_name
from absdb.wal.format import RecordKind

NO_DATABASE = DatabaseId(0)


def create_restore_point(engine: Engine, name: str, *, author: str | None = None) -> Lsn:
    """Name this place in the log; returns its LSN, of which the state is that of every database at that moment.

    A name may be given again: a recovery stops at the first one after the backup it begins with.
    """
    body = {
        "op": RESTORE_POINT,
        "name": check_name("restore point", name),
        "author": engine.author if author is None else author,
    }
    with engine.exclusive():
        engine.check_writable()
        return engine.write(RecordKind.NOTE, NO_DATABASE, body, apply_note)
