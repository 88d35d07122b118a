"""A point named by one value of any kind, where a verb takes several points: an LSN, a time, a snapshot's name.

A text is a snapshot's name if there is such a snapshot, an LSN if it looks like one (`0/1048576`), else a time. Called
by databases and the command line.
"""

from __future__ import annotations

import datetime as dt

from absdb.catalog.history import DatabaseInfo
from absdb.clock import parse_time
from absdb.engine.engine import Engine
from absdb.errors import InvalidInputError, NotFoundError
from absdb.ids import Lsn
from absdb.paths import normal_name
from absdb.versioning.as_of import Point, resolve

PointName = int | str | dt.datetime


def point_named(engine: Engine, database: DatabaseInfo, name: PointName) -> Point:
    """The state of a database at a point. NotFoundError for a text that names none, and what `resolve` raises."""
    if isinstance(name, dt.datetime):
        return resolve(engine, database, time=name)
    if not isinstance(name, str):
        return resolve(engine, database, lsn=name)
    if (database.id, normal_name(name)) in engine.history.snapshots:
        return resolve(engine, database, snapshot=name)
    for parse, unit in ((Lsn.parse, "lsn"), (parse_time, "time")):
        try:
            parse(name)
        except InvalidInputError:
            continue
        return resolve(engine, database, **{unit: name})
    names = sorted(each for owner, each in list(engine.history.snapshots) if owner == database.id)
    raise NotFoundError(
        f"{name!r} is no LSN, no time and no snapshot of database {database.name!r}",
        hint=f"its snapshots are {', '.join(names)}" if names else "log() lists the points there are",
    )
