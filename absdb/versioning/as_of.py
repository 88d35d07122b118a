"""Points in the past, however they are named: an LSN, a time, a snapshot, or now.

Every verb that takes a point resolves it here, so that all of them accept the same things and fail the same way.
A point names the last commit at or below it; naive times are UTC.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from absdb.catalog.history import DatabaseInfo
from absdb.catalog.lineage import Lineage
from absdb.clock import format_time, parse_time
from absdb.engine.engine import Engine
from absdb.errors import HistoryExpiredError, InvalidInputError, NotFoundError
from absdb.ids import Lsn
from absdb.paths import normal_name


@dataclass(frozen=True, slots=True)
class Point:
    """A resolved point of one database: its lineage, and the LSN at which it was asked for."""

    database: DatabaseInfo
    lsn: Lsn
    lineage: Lineage

    @property
    def pinned(self) -> Lineage:
        """The state whose files must stay while the point is held."""
        return self.lineage


def resolve(
    engine: Engine,
    database: DatabaseInfo,
    *,
    lsn: int | str | None = None,
    time: str | dt.datetime | None = None,
    snapshot: str | None = None,
) -> Point:
    """The state of a database at a point; the newest one if none is given.

    NotFoundError for a snapshot that does not exist, InvalidInputError for several points at once or one in the
    future, HistoryExpiredError for one before the database (and what it was branched from) began.
    """
    given = [
        name for name, value in (("lsn", lsn), ("time", time), ("snapshot", snapshot)) if value is not None
    ]
    if len(given) > 1:
        raise InvalidInputError(
            f"a point in time is named by one of lsn, time and snapshot, not by {' and '.join(given)}"
        )
    if snapshot is not None:
        return _at_snapshot(engine, database, snapshot)
    if time is not None:
        return _at_lsn(engine, database, _lsn_at(engine, database, time))
    if lsn is not None:
        return _at_lsn(engine, database, Lsn.parse(lsn))
    published, lineage = engine.head(database.id)
    return Point(database, Lsn(published), lineage)


def _at_snapshot(engine: Engine, database: DatabaseInfo, name: str) -> Point:
    found = engine.history.snapshots.get((database.id, normal_name(name)))
    if found is None:
        names = sorted(each for owner, each in list(engine.history.snapshots) if owner == database.id)
        raise NotFoundError(
            f"database {database.name!r} has no snapshot {name!r}",
            hint=f"its snapshots are {', '.join(names)}"
            if names
            else "it has none; make one with snapshot()",
        )
    return Point(database, Lsn(found.lsn), found.lineage)


def _lsn_at(engine: Engine, database: DatabaseInfo, time: str | dt.datetime) -> int:
    time_us = parse_time(time)
    if time_us > engine.latest_time():
        raise InvalidInputError(
            f"{format_time(time_us)} lies in the future; now it is {format_time(engine.latest_time())}",
            hint="leave it out to name the newest state",
        )
    lsn = engine.log.lsn_at_time(time_us)
    if lsn == 0 and time_us < database.created_us:
        raise HistoryExpiredError(
            f"database {database.name!r} has no history at {format_time(time_us)}; "
            f"it was created at {format_time(database.created_us)}",
            hint="log() lists the points there are",
        )
    return lsn


def _at_lsn(engine: Engine, database: DatabaseInfo, lsn: int) -> Point:
    if lsn > engine.published:
        raise InvalidInputError(
            f"LSN {Lsn(lsn)} lies in the future; the newest is {Lsn(engine.published)}",
            hint="log() lists the points there are",
        )
    lineage = engine.history.lineage_at(database.id, lsn, engine.log.last_at_or_below)
    if not lineage and database.source is None and lsn < database.created_lsn:
        raise HistoryExpiredError(
            f"database {database.name!r} has no history at LSN {Lsn(lsn)}; it was created at "
            f"{Lsn(database.created_lsn)}, {format_time(database.created_us)}",
            hint="log() lists the points there are",
        )
    return Point(database, Lsn(lsn), lineage)


def check_readable(engine: Engine, point: Point) -> None:
    """HistoryExpiredError unless every table of the point can be read. What a name is given to must be there."""
    if engine.covers.expired:
        for schema in engine.history.catalog_at(point.lineage).tables.values():
            engine.covers.resolve(engine.history, schema, point.lineage)
