"""Branches: databases that start as another one at a point, share everything with it, and go their own way.

One log record and one sync, whatever the size. Dropping one removes its name at once; garbage collection takes
what nobody else needs. Also here: what else is done to a database as a whole (create, rename, protect).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from absdb.catalog.history import DatabaseInfo
from absdb.clock import MICROSECOND
from absdb.engine.apply import apply_database
from absdb.engine.engine import Engine
from absdb.errors import AlreadyExistsError, InvalidInputError, StateError
from absdb.ids import DatabaseId, EraId, Lsn
from absdb.paths import check_name, check_text
from absdb.versioning.as_of import Point, check_readable
from absdb.wal.format import RecordKind


def create_database(engine: Engine, name: str) -> DatabaseInfo:
    """A new, empty database."""
    return _create(engine, name, None)


def create_branch(
    engine: Engine,
    name: str,
    point: Point,
    *,
    protected: bool = False,
    retain: dt.timedelta | None = None,
    comment: str = "",
) -> DatabaseInfo:
    """A database that starts as `point`; costs one sync, independent of size.

    `retain` is how long it should live: the first upkeep after that drops it, unless it is protected.
    """
    if retain is not None and retain <= dt.timedelta(0):
        raise InvalidInputError(f"a branch cannot be retained for {retain}")
    return _create(
        engine,
        name,
        point,
        protected=protected,
        retain_us=None if retain is None else retain // MICROSECOND,
        comment=comment,
    )


def _create(
    engine: Engine,
    name: str,
    point: Point | None,
    *,
    protected: bool = False,
    retain_us: int | None = None,
    comment: str = "",
) -> DatabaseInfo:
    name, comment = check_name("database", name), check_text("comment", comment)
    database, era = DatabaseId(engine.allocator.new_id()), EraId(engine.allocator.new_id())
    with engine.exclusive():
        engine.check_writable()
        if any(info.name == name for info in engine.history.databases.values()):
            raise AlreadyExistsError(
                f"there is a database {name!r} already", hint="drop it, or take another name"
            )
        source = None if point is None else point.database
        if source is not None and source.id not in engine.history.databases:
            raise StateError(f"database {source.name!r} was dropped meanwhile")
        if point is not None:
            check_readable(engine, point)
        reason = "created" if point is None else "branch"
        info = DatabaseInfo(
            id=database,
            name=name,
            eras=(era,),
            created_us=0,
            created_lsn=0,
            created_from=None if source is None else source.name,
            source=None if source is None else source.id,
            source_lsn=None if point is None else point.lsn,
            protected=protected,
            retain_us=retain_us,
            comment=comment,
        )
        body = {
            "op": reason,
            "database": info.to_json(),
            "era": {
                "id": era,
                "database": database,
                "start_lsn": 0,
                "base": () if point is None else point.lineage,
                "table_bases": {},
                "reason": reason,
            },
        }
        write_database(engine, database, body)
    return engine.history.databases[database]


def drop_database(engine: Engine, info: DatabaseInfo) -> Lsn:
    """Remove a database and its snapshots; branches made from it stay whole.

    StateError for the last database, or a protected one.
    """
    with engine.exclusive():
        current = _current(engine, info)
        if current.protected:
            raise StateError(f"database {info.name!r} is protected", hint="unprotect it first")
        if len(engine.history.databases) == 1:
            raise StateError(f"{info.name!r} is the only database of the instance")
        return write_database(engine, info.id, {"op": "drop"})


def alter_database(engine: Engine, info: DatabaseInfo, **changes: Any) -> DatabaseInfo:
    """Change what is said about a database: name, protected, retain_us, comment."""
    with engine.exclusive():
        current = _current(engine, info)
        if "name" in changes:
            changes["name"] = check_name("database", changes["name"])
            if any(other.name == changes["name"] for other in engine.history.databases.values()):
                raise AlreadyExistsError(f"there is a database {changes['name']!r} already")
        altered = dataclasses.replace(current, **changes)
        write_database(engine, info.id, {"op": "alter", "database": altered.to_json()})
    return engine.history.databases[info.id]


def _current(engine: Engine, info: DatabaseInfo) -> DatabaseInfo:
    engine.check_writable()
    current = engine.history.databases.get(info.id)
    if current is None:
        raise StateError(f"database {info.name!r} was dropped")
    return current


def write_database(engine: Engine, database: DatabaseId, body: dict[str, Any]) -> Lsn:
    """Log what happens to a database, sync, and apply it. Inside `engine.exclusive` only."""
    return engine.write(RecordKind.DATABASE, database, body, apply_database)
