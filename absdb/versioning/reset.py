"""A database goes on from another state: a new era on a lineage, one log record, no rows moved.

What restore does to go back, a fast-forward does to go ahead, and rebase and the undoing of a fast-forward do to go
on from commits that were made beside. Called by merge.py, undo.py and rebase.py.
"""

from __future__ import annotations

from typing import Any

from absdb.catalog.history import DatabaseInfo
from absdb.catalog.lineage import Lineage
from absdb.engine.engine import Engine
from absdb.errors import StateError, WriteConflictError
from absdb.ids import EraId, Lsn
from absdb.versioning.branch import write_database


def reset_database(
    engine: Engine,
    database: DatabaseInfo,
    lineage: Lineage,
    *,
    expected: Lineage,
    operation: str,
    author: str,
    message: str,
) -> Lsn:
    """Let a database go on from `lineage`; WriteConflictError if it does not stand at `expected` any more."""
    with engine.exclusive():
        engine.check_writable()
        info = engine.history.databases.get(database.id)
        if info is None:
            raise StateError(f"database {database.name!r} was dropped meanwhile")
        if engine.head(info.id)[1] != expected:
            raise WriteConflictError(
                f"database {info.name!r} was committed to meanwhile", hint="run it again", table="", keys=[]
            )
        era = EraId(engine.allocator.new_id())
        body: dict[str, Any] = {
            "op": operation,
            "author": author,
            "message": message,
            "database": {**info.to_json(), "eras": [*info.eras, era]},
            "era": {
                "id": era,
                "database": info.id,
                "start_lsn": 0,
                "base": lineage,
                "table_bases": {},
                "reason": operation,
            },
        }
        return write_database(engine, info.id, body)
