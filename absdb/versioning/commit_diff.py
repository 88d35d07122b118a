"""What one commit changed: the diff of the states before and after it.

Any commit that log() lists will do, also one that a restore has undone, a restore itself, or one of the database that a
branch was made from. Called by databases, SQL and the command line.
"""

from __future__ import annotations

import weakref

from absdb.catalog.lineage import Lineage, position
from absdb.engine.engine import Engine
from absdb.errors import HistoryExpiredError, NotFoundError
from absdb.ids import EraId, Lsn
from absdb.versioning.as_of import Point
from absdb.versioning.diff import Diff
from absdb.versioning.log import entry_at


def commit_diff(engine: Engine, point: Point, lsn: int | str) -> Diff:
    """What the commit at `lsn`, one of those that log() lists at `point`, changed. Its states stay readable meanwhile.

    NotFoundError if no commit of the database ends there, HistoryExpiredError if its history was dropped.
    """
    number = int(Lsn.parse(lsn))
    found = entry_at(engine, point, number)
    if found is None:
        raise NotFoundError(
            f"no commit of database {point.database.name!r} has the LSN {Lsn(number)}",
            hint="log() lists the commits with their LSNs",
        )
    before, after = _around(engine, point, EraId(found[0].era), number)
    source = Point(point.database, Lsn(position(before)), before)
    return held_diff(engine, source, Point(point.database, Lsn(number), after))


def held_diff(engine: Engine, source: Point, target: Point) -> Diff:
    """The diff of two states of the past, which are kept from expiry while it lives."""
    diff = Diff(engine, source=source, target=target)
    for point in (source, target):
        engine.pins.enter(point, "reader")
        weakref.finalize(diff, engine.pins.leave, point)
    return diff


def _around(engine: Engine, point: Point, era: EraId, lsn: int) -> tuple[Lineage, Lineage]:
    """The states before and after a commit in an era, or after something that happened to the whole database."""
    history, last = engine.history, engine.log.last_at_or_below
    if not era:
        return history.lineage_of(point.database, lsn - 1, last), history.lineage_of(
            point.database, lsn, last
        )
    known = history.eras.get(era)
    if known is None:
        raise HistoryExpiredError(
            f"the states around the commit at {Lsn(lsn)} are no longer kept",
            hint="a snapshot, a branch or a longer history_retention keeps history",
        )
    after = (*known.base, (era, lsn))
    return history.cut(after, lsn - 1, last), after
