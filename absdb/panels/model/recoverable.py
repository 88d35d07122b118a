"""What backups and an archive of the log can bring back: from where to where, along which timeline, and what is in it.

    Base       a backup that a recovery can begin with
    Stretch    what can be reached from one along one timeline, in pieces, and the gap that ends it
    Mark       a commit, restore point or snapshot that the instance knows

Commits come from the log of the instance, which costs no fetch; of other timelines only their reach is known. What was
read of a backup is kept, since it never changes.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from absdb.backup.info import BackupInfo
from absdb.backup.recovery.log_range import LogGap
from absdb.backup.recovery.start import Start
from absdb.clock import MICROSECOND, to_datetime
from absdb.ids import Lsn
from absdb.instance import Instance
from absdb.wal.timelines import TimelineHistory

MARKS_MAX = 5_000
RESTORE_POINT, SNAPSHOT = "restore point", "snapshot"
_EPOCH = to_datetime(0)


class At(NamedTuple):
    """A point of a log: its LSN, and when that was in µs since 1970."""

    lsn: int
    us: int


@dataclass(frozen=True, slots=True)
class Base:
    """A backup that a recovery can begin with."""

    info: BackupInfo
    start: Start
    archive_url: str

    @property
    def label(self) -> str:
        return self.info.label

    @property
    def at(self) -> At:
        """As of when it is."""
        return At(int(self.info.end_lsn), micros(self.info.end_time))


@dataclass(frozen=True, slots=True)
class Lane:
    """A timeline, and where it left its parent; None for the first one."""

    timeline: int
    parent: int | None
    fork: At | None


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one timeline's log."""

    timeline: int
    begin: At
    end: At


@dataclass(frozen=True, slots=True)
class Stretch:
    """What can be reached from a backup along a timeline, without a gap."""

    base: Base
    way: TimelineHistory
    pieces: tuple[Piece, ...]
    gap: LogGap | None

    @property
    def begin(self) -> At:
        return self.pieces[0].begin

    @property
    def end(self) -> At:
        return self.pieces[-1].end


@dataclass(frozen=True, slots=True)
class Mark:
    """Something in the log. `at` is where a recovery to it ends; `lsn` of a snapshot is that of the state it names."""

    at: At
    timeline: int
    kind: str
    name: str
    database: str
    author: str
    rows: tuple[int, int, int]

    @property
    def named(self) -> bool:
        """Whether a recovery can stop at its name."""
        return self.kind in (RESTORE_POINT, SNAPSHOT)

    @property
    def deleted(self) -> int:
        return self.rows[2]

    @property
    def title(self) -> str:
        """What it is, in a few words: `commit 'clean up' (deleted 4,812 rows)`."""
        verbs = zip(("inserted", "updated", "deleted"), self.rows, strict=True)
        counts = ", ".join(f"{verb} {count:,}" for verb, count in verbs if count)
        noun = "row" if sum(self.rows) == 1 else "rows"
        what = f"{self.kind} {self.name!r}" if self.name else self.kind
        return what + (f" ({counts} {noun})" if counts else "")


@dataclass(frozen=True)
class Recoverable:
    """All that can be recovered to, as of one look. `marks` in the order of LSNs; `problems` say what was not read."""

    own: TimelineHistory
    lanes: tuple[Lane, ...] = ()
    bases: tuple[Base, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    gaps: tuple[Piece, ...] = ()
    marks: tuple[Mark, ...] = ()
    archive_url: str = ""
    problems: tuple[str, ...] = ()

    @cached_property
    def lsns(self) -> list[int]:
        """The LSNs of the marks."""
        return [mark.at.lsn for mark in self.marks]

    def along(self, timeline: int) -> list[Stretch]:
        """What leads along a timeline, oldest backup first."""
        return [each for each in self.stretches if each.way.timeline == timeline]

    def marks_along(self, timeline: int) -> list[Mark]:
        """The marks on the way to a timeline, oldest first, as far as anything there can be recovered to."""
        found = self.along(timeline)
        if not found:
            return []
        spans = found[-1].way.spans()
        first = min(each.begin.lsn for each in found)
        last = max(each.end.lsn for each in found)
        on_it = {span.timeline: span for span in spans}
        kept = []
        for mark in self.marks[bisect_left(self.lsns, first) : bisect_right(self.lsns, last)]:
            span = on_it.get(mark.timeline)
            if span is not None and (span.end_lsn is None or mark.at.lsn <= span.end_lsn):
                kept.append(mark)
        return kept

    def told(self, timeline: int) -> str:
        """What is possible along a timeline, for people."""
        found = self.along(timeline)
        if not found:
            return "nothing yet"
        first, last = min(each.begin for each in found), max(each.end for each in found)
        return f"{moment(first.us)} (LSN {Lsn(first.lsn)}) to {moment(last.us)} (LSN {Lsn(last.lsn)})"


def micros(time: dt.datetime) -> int:
    """µs since 1970."""
    return (time - _EPOCH) // MICROSECOND


def moment(us: int) -> str:
    """`2026-04-04 14:04:59.12`, as exact as it has to be."""
    text = f"{to_datetime(us):%Y-%m-%d %H:%M:%S.%f}".rstrip("0")
    return text.rstrip(".")


def read_marks(instance: Instance, own: TimelineHistory) -> list[Mark]:
    """The newest commits, restore points and snapshots of an instance, in the order of LSNs."""
    marks = [_mark(entry, own) for entry in instance.log(limit=MARKS_MAX).to_dict("records")]
    for one in instance.snapshots().to_dict("records"):
        at = At(int(Lsn.parse(one["lsn"])), micros(one["created_at"].to_pydatetime()))
        marks.append(
            Mark(at, timeline_of(own, at.lsn), SNAPSHOT, one["name"], one["database"], "", (0, 0, 0))
        )
    return sorted(marks, key=lambda mark: (mark.at.lsn, mark.kind == SNAPSHOT))


def _mark(entry: Mapping[Any, Any], own: TimelineHistory) -> Mark:
    at = At(int(Lsn.parse(entry["lsn"])), micros(entry["time"].to_pydatetime()))
    rows = entry["rows_inserted"], entry["rows_updated"], entry["rows_deleted"]
    return Mark(
        at,
        timeline_of(own, at.lsn),
        entry["kind"],
        entry["message"] or "",
        entry["database"] or "",
        entry["author"] or "",
        rows,
    )


def timeline_of(way: TimelineHistory, lsn: int) -> int:
    """Which timeline on the way holds the record that ends at an LSN."""
    return next(span.timeline for span in way.spans() if span.end_lsn is None or lsn <= span.end_lsn)


class Times:
    """When an LSN was, from points of each timeline whose time is known."""

    def __init__(self) -> None:
        self._known: dict[int, list[At]] = {}

    def learn(self, timeline: int, points: Iterable[At]) -> None:
        """Points of a timeline."""
        self._known[timeline] = sorted({*self._known.get(timeline, ()), *points})

    def before(self, timeline: int, lsn: int) -> At:
        """The LSN with the time of the last known point up to it, or the first known one behind it."""
        known = self._known.get(timeline) or [At(lsn, 0)]
        at = bisect_right(known, lsn, key=_lsn)
        return At(lsn, known[max(0, at - 1)].us)

    def behind(self, timeline: int, lsn: int) -> At:
        """The LSN with the time of the first known point from it on, or the last known one."""
        known = self._known.get(timeline) or [At(lsn, 0)]
        at = bisect_left(known, lsn, key=_lsn)
        return At(lsn, known[min(at, len(known) - 1)].us)


def _lsn(point: At) -> int:
    return point.lsn


def gaps_of(stretches: Sequence[Stretch], times: Times) -> list[Piece]:
    """The gaps that no stretch gets across, each once, without what a later backup covers."""
    found: dict[LogGap, Piece] = {}
    for stretch in stretches:
        gap = stretch.gap
        if gap is None:
            continue
        after = [
            piece.begin.lsn
            for each in stretches
            for piece in each.pieces
            if piece.timeline == gap.timeline and piece.begin.lsn > gap.from_lsn
        ]
        end = min([gap.to_lsn, *after])
        begin = times.before(gap.timeline, gap.from_lsn)
        found[gap] = Piece(gap.timeline, begin, times.behind(gap.timeline, end))
    return list(found.values())
