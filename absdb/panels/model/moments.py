"""Points of a history as the pages name them: LSN and relative time side by side, then who and why."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from absdb.clock import MICROSECOND, ago
from absdb.database import Database
from absdb.instance import Instance

COMMITS_MAX = 1_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class CommitPoint:
    """A commit of a log, as a point to go to."""

    lsn: str
    time: dt.datetime
    author: str
    message: str
    kind: str
    undone: bool

    @property
    def title(self) -> str:
        """What it did: its message, or its kind where it has none."""
        return self.message or self.kind


def commits_of(database: Database, *, limit: int = COMMITS_MAX) -> list[CommitPoint]:
    """The newest commits of a database, oldest first."""
    rows = database.log(limit=limit).to_dict("records")
    return [_point(row) for row in reversed(rows)]


def relative(moment: dt.datetime, now: dt.datetime) -> str:
    """`3 minutes ago`, `just now`, `in 7 days`."""
    then, present = ((each - _EPOCH) // MICROSECOND for each in (moment, now))
    if then <= present:
        return ago(then, present)
    to_come = ago(present, then)
    return f"in {to_come.removesuffix(' ago')}" if to_come.endswith(" ago") else to_come


def time_ago(instance: Instance, moment: dt.datetime) -> str:
    """How long ago a moment was, by the clock of the instance."""
    return relative(moment, instance.now)


def dated(instance: Instance, lsn: Any, moment: dt.datetime) -> str:
    """`0/1048576 · 3 minutes ago`."""
    return f"{lsn} · {time_ago(instance, moment)}"


def nearest(points: Sequence[CommitPoint], lsn: str) -> int | None:
    """The place of the commit of that LSN, None if it is not among them."""
    return next((at for at, point in enumerate(points) if point.lsn == lsn), None)


def _point(row: Any) -> CommitPoint:
    moment = row["time"].to_pydatetime()
    author, message = row["author"] or "", row["message"] or ""
    return CommitPoint(str(row["lsn"]), moment, author, message, row["kind"], row["undone"] is True)
