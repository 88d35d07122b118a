"""Where things stand on the picture of what can be recovered: a time axis, a lane for each timeline.

+----------------------------------------------------+
| timeline 1   ◆ before   |  |  || |▌-4,812   |      |   flags, commits as ticks, deletions as bars
|              ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒////////▒▒▒  |   what can be recovered; gaps hatched
|              ■ base          ▲ incr-1              |   backups
|            14:00         14:05         14:10       |
+----------------------------------------------------+

Places are shares of the width, from 0 to 1, so that the picture fits any width without asking again. Ticks that fall
onto one column are one; at most SLOTS a lane are sent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from absdb.clock import to_datetime
from absdb.ids import Lsn
from absdb.panels.model.recoverable import At, Base, Mark, Recoverable, moment
from absdb.reprs import counted
from absdb.sizes import size

SLOTS = 300
FLAGS_MAX, BACKUPS_MAX, LABELS_MAX = 40, 60, 6
BIG_DELETE = 50
"""Deletions of so many rows are worth a label; those of most rows get one."""
MARGIN = 0.03
SPAN_MIN_US = 1_000
TICKS_MAX = 6
_SECOND = 1_000_000
_STEPS = [10**power * factor for power in range(6) for factor in (1, 2, 5)] + [
    seconds * _SECOND
    for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
]
_DAY = 86_400 * _SECOND


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at: times in µs."""

    begin: int
    end: int

    def place(self, us: int) -> float:
        """Where a time is, as a share of the width; outside of it below 0 or above 1."""
        return (us - self.begin) / (self.end - self.begin)

    def time(self, share: float) -> int:
        """The time at a place."""
        return self.begin + round(share * (self.end - self.begin))

    def zoomed(self, factor: float, around: int) -> View:
        """Wider (above 1) or narrower around a time, which keeps its place."""
        span = max(SPAN_MIN_US, round((self.end - self.begin) * factor))
        share = min(1.0, max(0.0, self.place(around)))
        begin = around - round(share * span)
        return View(begin, begin + span)

    def moved(self, share: float) -> View:
        """Later, or earlier below 0, by a share of itself."""
        by = round((self.end - self.begin) * share)
        return View(self.begin + by, self.end + by)


def whole(found: Recoverable) -> View:
    """All that can be recovered, with some room around it."""
    points = [base.at.us for base in found.bases]
    points += [us for each in found.stretches for us in (each.begin.us, each.end.us)]
    points += [piece.end.us for piece in found.gaps]
    first = min(points, default=0)
    last = max([*points, *(mark.at.us for mark in found.marks[-1:])], default=0)
    room = max(SPAN_MIN_US, round((last - first) * MARGIN))
    return View(first - room, last + room)


def layout(found: Recoverable, view: View, timeline: int) -> dict[str, Any]:
    """What is drawn of a view, with `timeline` as the one that is chosen."""
    return {
        "ticks": time_ticks(view),
        "day": f"{to_datetime(view.begin):%Y-%m-%d} UTC",
        "lanes": [_lane(found, view, at, timeline) for at in range(len(found.lanes))],
        "begin": view.begin,
        "end": view.end,
    }


def describe(found: Recoverable) -> str:
    """The picture in words, for who does not see it."""
    parts = [f"{counted(len(found.lanes), 'timeline')}, {counted(len(found.bases), 'backup')}."]
    parts += [f"Timeline {lane.timeline}: {found.told(lane.timeline)}." for lane in found.lanes]
    parts += [f"Log is missing from {moment(gap.begin.us)} to {moment(gap.end.us)}." for gap in found.gaps]
    return " ".join(parts)


def _lane(found: Recoverable, view: View, at: int, timeline: int) -> dict[str, Any]:
    lane = found.lanes[at]
    number = lane.timeline
    own = [
        mark
        for mark in found.marks
        if mark.timeline == number and view.begin <= mark.at.us <= view.end and mark.kind != "drop"
    ]
    rows = [each.timeline for each in found.lanes]
    fork = None
    if lane.parent in rows and lane.fork is not None:
        fork = {"lane": rows.index(lane.parent), "x": view.place(lane.fork.us)}
    reached = [
        (piece.begin, piece.end)
        for each in found.stretches
        for piece in each.pieces
        if piece.timeline == number
    ]
    return {
        "timeline": number,
        "chosen": number == timeline,
        "note": _note(found, number),
        "fork": fork,
        "bands": [{"x": x, "to": to} for x, to in _cut(_united(reached), view)],
        "gaps": [
            {"x": x, "to": to, "text": "log is missing"}
            for x, to in _cut([(gap.begin, gap.end) for gap in found.gaps if gap.timeline == number], view)
        ],
        "commits": _commits(own, view),
        "flags": [
            {"x": view.place(mark.at.us), "name": mark.name, "kind": mark.kind, "text": _lines(mark)}
            for mark in [mark for mark in own if mark.named][-FLAGS_MAX:]
        ],
        "backups": [
            _backup(base, view)
            for base in found.bases
            if base.start.timeline == number and view.begin <= base.at.us <= view.end
        ][-BACKUPS_MAX:],
    }


def _note(found: Recoverable, timeline: int) -> str:
    """What a timeline is to this instance."""
    if timeline == found.own.timeline:
        return "this instance"
    return "led here" if any(span.timeline == timeline for span in found.own.spans()) else "another way"


def _united(parts: Iterable[tuple[At, At]]) -> list[tuple[At, At]]:
    """Parts without overlaps, in order."""
    found: list[tuple[At, At]] = []
    for begin, end in sorted(parts):
        if found and begin.lsn <= found[-1][1].lsn:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found


def _cut(parts: Sequence[tuple[At, At]], view: View) -> list[tuple[float, float]]:
    """The places of what of the parts is in view."""
    places = [(max(0.0, view.place(begin.us)), min(1.0, view.place(end.us))) for begin, end in parts]
    return [(round(x, 5), round(to, 5)) for x, to in places if x <= to]


def _commits(marks: Sequence[Mark], view: View) -> list[dict[str, Any]]:
    """One tick for each column that anything was committed in."""
    columns: dict[int, list[Mark]] = {}
    for mark in marks:
        if not mark.named:
            columns.setdefault(math.floor(view.place(mark.at.us) * SLOTS), []).append(mark)
    large = sorted((mark.deleted for mark in marks if mark.deleted >= BIG_DELETE), reverse=True)[:LABELS_MAX]
    most = max((mark.deleted for mark in marks), default=0)
    ticks = []
    for held in columns.values():
        worst = max(held, key=lambda mark: mark.deleted)
        deleted = sum(mark.deleted for mark in held)
        text = _lines(worst) if len(held) == 1 else _group_lines(held, worst)
        tick: dict[str, Any] = {
            "x": round(view.place(worst.at.us), 5),
            "us": worst.at.us,
            "count": len(held),
            "text": text,
        }
        if deleted:
            tick["deleted"] = round(math.log1p(deleted) / math.log1p(max(most, deleted)), 3)
        if large and worst.deleted >= large[-1]:
            tick["label"] = f"-{worst.deleted:,}"
        ticks.append(tick)
    return ticks


def _lines(mark: Mark) -> list[str]:
    """What is said of a mark under the pointer."""
    facts = [mark.database, mark.author]
    return [
        f"{moment(mark.at.us)} · LSN {Lsn(mark.at.lsn)}",
        mark.title,
        *([" · ".join(fact for fact in facts if fact)] if any(facts) else []),
    ]


def _group_lines(held: Sequence[Mark], worst: Mark) -> list[str]:
    first, last = held[0].at, held[-1].at
    lines = [
        f"{moment(first.us)} to {moment(last.us)}",
        f"{counted(len(held), 'commit')}; zoom in to tell them apart",
    ]
    return [*lines, f"most rows deleted: {worst.title}"] if worst.deleted else lines


def _backup(base: Base, view: View) -> dict[str, Any]:
    info = base.info
    facts = [f"LSN {info.end_lsn}", size(info.size), *(["pinned"] if info.pinned else [])]
    built = f", builds on {info.base}" if info.base else ""
    return {
        "x": round(view.place(base.at.us), 5),
        "label": base.label,
        "kind": info.kind,
        "text": [moment(base.at.us), f"{info.kind} backup {base.label}{built}", " · ".join(facts)],
    }


# -- the axis


def time_ticks(view: View) -> list[dict[str, Any]]:
    """Round times on the axis, each with its text; a day is named where it begins."""
    span = view.end - view.begin
    step = next((each for each in _STEPS if span / each <= TICKS_MAX), 0)
    if not step:
        step = _DAY * math.ceil(span / _DAY / TICKS_MAX)
    first = -(-view.begin // step) * step
    ticks = []
    for us in range(first, view.end + 1, step):
        ticks.append({"x": round(view.place(us), 5), "text": _tick_text(us, step)})
    return ticks


def _tick_text(us: int, step: int) -> str:
    time = to_datetime(us)
    if us % _DAY == 0:
        return f"{time:%Y-%m-%d}"
    if step >= 60 * _SECOND:
        return f"{time:%H:%M}"
    if step >= _SECOND:
        return f"{time:%H:%M:%S}"
    digits = 3 if step >= 1000 else 6
    return f"{time:%H:%M:%S.%f}"[: 9 + digits]
