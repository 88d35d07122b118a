"""A recovery target: read from what is typed or picked, held against what is possible, and said in words."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from absdb.clock import parse_time, to_datetime
from absdb.errors import InvalidInputError, NotFoundError
from absdb.ids import Lsn
from absdb.panels.model.recoverable import SNAPSHOT, At, Mark, Recoverable, Stretch, moment
from absdb.reprs import counted

_LSN = re.compile(r"\s*(?:LSN\s+)?(\d+/\d+|\d+)\s*", re.IGNORECASE)
_HOUR = re.compile(r"\s*\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a recovery is to stop along a timeline: at an LSN, a time, or a name; without any, at the end.

    Not `inclusive`, it stops before what is at that LSN or time.
    """

    timeline: int
    lsn: int | None = None
    us: int | None = None
    name: str = ""
    inclusive: bool = True

    def arguments(self) -> dict[str, Any]:
        """The same as arguments of a restore."""
        found: dict[str, Any] = {"target_timeline": self.timeline}
        if self.lsn is not None:
            found["target_lsn"] = str(Lsn(self.lsn))
        elif self.us is not None:
            found["target_time"] = to_datetime(self.us)
        elif self.name:
            found["target_name"] = self.name
        if not self.inclusive:
            found["inclusive"] = False
        return found


@dataclass(frozen=True, slots=True)
class Choice:
    """What a target comes to: a stretch that leads there, the point reached, and the marks around it."""

    target: Target
    stretch: Stretch
    at: At
    last: Mark | None
    """The last mark that is in it."""
    next: Mark | None
    """The first one that is not."""
    segments: int

    @property
    def label(self) -> str:
        """The backup that it begins with."""
        return self.stretch.base.label

    def told(self) -> str:
        """What would be recovered, for people."""
        target = self.target
        where = f"As of {moment(self.at.us)}, LSN {Lsn(self.at.lsn)}"
        if target.name:
            what = f"at the point named {target.name!r}"
        elif not target.inclusive and self.next is not None:
            what = f"just before {self.next.title}"
        elif self.last is not None and self.last.at.lsn == target.lsn:
            what = f"just after {self.last.title}"
        elif self.last is not None:
            what = f"the last thing in it is {self.last.title} at {moment(self.last.at.us)}"
        else:
            what = "the state of the backup's checkpoint"
        log = f" and {counted(self.segments, 'segment')} of log" if self.segments else ""
        return f"{where}, {what}, from backup {self.label}{log}."


def read_target(text: str, found: Recoverable, timeline: int, *, inclusive: bool = True) -> Target:
    """What somebody has typed: an LSN, the name of a restore point or snapshot, a time, `end`.

    A time of day is one of the day that can be recovered last. InvalidInputError for what is none of these.
    """
    text = text.strip()
    if text.casefold() in ("", "end", "latest"):
        return Target(timeline)
    named = [mark for mark in found.marks if mark.named and mark.name == text]
    if named:
        return target_at(named[-1])
    if match := _LSN.fullmatch(text):
        return Target(timeline, lsn=int(Lsn.parse(match[1])), inclusive=inclusive)
    try:
        return Target(timeline, us=_time(text, found, timeline), inclusive=inclusive)
    except InvalidInputError as error:
        names = ", ".join(dict.fromkeys(mark.name for mark in found.marks if mark.named)) or "none yet"
        raise InvalidInputError(
            f"{text!r} is no time, no LSN, and the name of no restore point or snapshot",
            hint=f"such as 14:05, 2026-04-04 14:05:00 (UTC) or 0/17152; names there are: {names}",
        ) from error


def _time(text: str, found: Recoverable, timeline: int) -> int:
    along = found.along(timeline)
    if _HOUR.fullmatch(text) and along:
        text = f"{to_datetime(max(each.end.us for each in along)):%Y-%m-%d} {text.strip().zfill(5)}"
    return parse_time(text)


def target_at(mark: Mark, *, inclusive: bool = True) -> Target:
    """The target at a mark; of a snapshot by its name."""
    if mark.kind == SNAPSHOT:
        return Target(mark.timeline, name=mark.name)
    return Target(mark.timeline, lsn=mark.at.lsn, inclusive=inclusive)


def choose(found: Recoverable, target: Target) -> Choice:
    """How to recover to a target: from the newest backup before it.

    InvalidInputError, with what is possible, if nothing leads there; NotFoundError for a name that is not known.
    """
    along = found.along(target.timeline)
    if not along:
        raise InvalidInputError(
            f"nothing can be recovered along timeline {target.timeline}",
            hint="make a backup first" if not found.bases else "take another timeline",
        )
    marks = found.marks_along(target.timeline)
    wanted = _point(target, found, along, marks)
    fitting = [each for each in along if _reaches(each, wanted, target)]
    if not fitting:
        raise InvalidInputError(
            f"{_described(target)} cannot be recovered: {_why(found, along, wanted, target)}",
            hint=f"possible is {found.told(target.timeline)}",
        )
    stretch = max(fitting, key=lambda each: each.base.start.checkpoint_lsn)
    last, following = _around(marks, wanted, target)
    at = _reached(stretch, last, wanted, target)
    return Choice(target, stretch, at, last, following, _segments(stretch, at.lsn))


def _point(target: Target, found: Recoverable, along: list[Stretch], marks: list[Mark]) -> At:
    """The LSN and time of a target, -1 for what it does not say."""
    if target.name:
        for mark in marks:
            if mark.named and mark.name == target.name:
                return mark.at
        raise NotFoundError(
            f"there is no restore point or snapshot {target.name!r} in what can be recovered",
            hint=f"possible is {found.told(target.timeline)}",
        )
    if target.lsn is not None:
        return At(target.lsn, -1)
    if target.us is not None:
        return At(-1, target.us)
    return max(each.end for each in along)


def _reaches(stretch: Stretch, wanted: At, target: Target) -> bool:
    begin, end = stretch.begin, stretch.end
    if wanted.lsn >= 0:
        return begin.lsn + (not target.inclusive) <= wanted.lsn <= end.lsn
    return begin.us <= wanted.us <= end.us


def _described(target: Target) -> str:
    if target.lsn is not None:
        return f"LSN {Lsn(target.lsn)}"
    return moment(target.us) if target.us is not None else f"the point named {target.name!r}"


def _why(found: Recoverable, along: list[Stretch], wanted: At, target: Target) -> str:
    def is_before(point: At) -> bool:
        return wanted.lsn < point.lsn if wanted.lsn >= 0 else wanted.us < point.us

    if is_before(min(each.begin for each in along)) or not target.inclusive:
        return "it lies before the oldest backup"
    if not is_before(max(each.end for each in along)):
        return "it lies after the end of the archived log"
    return "the log that leads there is missing"


def _around(marks: list[Mark], wanted: At, target: Target) -> tuple[Mark | None, Mark | None]:
    """The last mark that a recovery to a point has, and the first that it has not; snapshots change nothing."""
    marks = [mark for mark in marks if mark.kind != SNAPSHOT]
    cut = bisect_right if target.inclusive else bisect_left
    if wanted.lsn >= 0:
        number = cut(marks, wanted.lsn, key=lambda mark: mark.at.lsn)
    else:
        number = cut(marks, wanted.us, key=lambda mark: mark.at.us)
    before = marks[number - 1] if number else None
    return before, marks[number] if number < len(marks) else None


def _reached(stretch: Stretch, last: Mark | None, wanted: At, target: Target) -> At:
    """Where the recovery ends: at the last record before the target, as far as it is known."""
    if wanted.lsn >= 0 and wanted.us >= 0:
        return wanted
    known = stretch.begin if last is None else max(stretch.begin, last.at)
    if target.us is not None:
        return At(known.lsn, target.us)
    return At(wanted.lsn if target.inclusive else known.lsn, known.us)


def _segments(stretch: Stretch, lsn: int) -> int:
    """How many segments of the archive are read to get there."""
    start = stretch.base.start
    if lsn <= start.end_lsn:
        return 0
    return (lsn - 1) // start.segment_bytes - start.end_lsn // start.segment_bytes + 1


def stepped(found: Recoverable, target: Target, by: int) -> Target | None:
    """The target so many commits or restore points later, or earlier below 0; None where there is none that way."""
    parts = _parts(found.along(target.timeline))
    marks = [
        mark
        for mark in found.marks_along(target.timeline)
        if mark.kind != SNAPSHOT
        and any(begin + (not target.inclusive) <= mark.at.lsn <= end for begin, end in parts)
    ]
    if not marks:
        return None
    if target.lsn is None and target.us is None and not target.name:
        here, between = len(marks) - 1, False  # behind the last one nothing changes any more
    else:
        wanted = _point(target, found, found.along(target.timeline), found.marks_along(target.timeline))
        part = 0 if wanted.lsn >= 0 else 1
        here = bisect_right(marks, wanted[part], key=lambda mark: mark.at[part]) - 1
        between = here < 0 or marks[here].at[part] != wanted[part]
    at = here + by + (between and by < 0)
    at = min(len(marks) - 1, max(0, at))
    return replace(target, lsn=marks[at].at.lsn, us=None, name="")


def picked(found: Recoverable, us: int, timeline: int, near: int, *, inclusive: bool = True) -> Target:
    """The target at a time that was pointed to: the commit or restore point within `near` µs of it, if there is one."""
    marks = [mark for mark in found.marks_along(timeline) if mark.kind != SNAPSHOT]
    close = [mark for mark in marks if abs(mark.at.us - us) <= near]
    if close:
        mark = min(close, key=lambda mark: (abs(mark.at.us - us), -mark.deleted))
        return Target(timeline, lsn=mark.at.lsn, inclusive=inclusive)
    return Target(timeline, us=us)


def _parts(along: Iterable[Stretch]) -> list[tuple[int, int]]:
    """The LSNs that can be reached, from and to, without overlaps: few, however many backups there are."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted((each.begin.lsn, each.end.lsn) for each in along):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found
