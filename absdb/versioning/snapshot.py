"""Snapshots: names for states of a database, which keep what the states need until they are dropped."""

from __future__ import annotations

from absdb.catalog.history import Snapshot
from absdb.engine.apply import apply_snapshot
from absdb.engine.engine import Engine
from absdb.errors import AlreadyExistsError, NotFoundError, StateError
from absdb.ids import Lsn
from absdb.paths import check_name, check_text, normal_name
from absdb.versioning.as_of import Point, check_readable
from absdb.wal.format import RecordKind


def create_snapshot(engine: Engine, name: str, point: Point, *, comment: str = "") -> Snapshot:
    """Name a state; costs one sync. AlreadyExistsError if the database has a snapshot of that name."""
    name, comment = check_name("snapshot", name), check_text("comment", comment)
    with engine.exclusive():
        engine.check_writable()
        if point.database.id not in engine.history.databases:
            raise StateError(f"database {point.database.name!r} was dropped")
        check_readable(engine, point)
        if (point.database.id, name) in engine.history.snapshots:
            raise AlreadyExistsError(
                f"database {point.database.name!r} has a snapshot {name!r} already",
                hint="drop it, or take another name",
            )
        snapshot = Snapshot(
            name=name,
            database=point.database.id,
            lsn=point.lsn,
            lineage=point.lineage,
            created_us=engine.clock.now_us(),
            comment=comment,
        )
        _write(engine, "create", snapshot)
    return snapshot


def drop_snapshot(engine: Engine, database_name: str, name: str) -> Lsn:
    """Forget a snapshot; what only it needed is garbage from then on."""
    with engine.exclusive():
        engine.check_writable()
        database = engine.history.database(database_name)
        found = engine.history.snapshots.get((database.id, normal_name(name)))
        if found is None:
            names = ", ".join(sorted(n for owner, n in engine.history.snapshots if owner == database.id))
            raise NotFoundError(
                f"database {database_name!r} has no snapshot {name!r}",
                hint=f"its snapshots are {names or 'none'}",
            )
        return _write(engine, "drop", found)


def _write(engine: Engine, op: str, snapshot: Snapshot) -> Lsn:
    body = {"op": op, "snapshot": snapshot.to_json()}
    return engine.write(RecordKind.SNAPSHOT, snapshot.database, body, apply_snapshot)
