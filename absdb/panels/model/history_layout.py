"""Where the marks of a history are drawn: in columns of one width, as many as there is room for.

    every mark in a column of its own                         where that fits
    commits between merges, restores, branchings, snapshots   together, a number in each lane and column
    whatever lies in an equal share of the marks              together, where even those do not fit

So marks never cover each other, x grows with the LSN, and what is drawn is bounded by the room. A column is the range
[first, last] of marks that it stands for; zooming in shows a part of the history in the same room.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from absdb.ids import Lsn
from absdb.marks import SIGNS
from absdb.panels.model.history import History, Mark
from absdb.panels.model.moments import relative
from absdb.reprs import counted

TICK_COLUMNS = 4
"""A label of the axis takes the room of so many columns."""
MESSAGE_CHARACTERS_MAX = 120
_WORDS = {"fast_forward": "fast-forward", "created": "database made", "branch": "branch made"}


@dataclass(frozen=True, slots=True)
class View:
    """Which marks of a history are in view: positions in `History.marks`, both included."""

    first: int
    last: int

    def zoomed(self, total: int, factor: float, around: int | None = None) -> View:
        """A view of `factor` times as many marks, around a position that stays in view."""
        count = max(1, min(total, round((self.last - self.first + 1) * factor)))
        middle = (self.first + self.last) // 2 if around is None else min(max(around, 0), total - 1)
        first = max(0, min(middle - count // 2, total - count))
        return View(first, first + count - 1)

    def moved(self, total: int, share: float) -> View:
        """The view moved by a share of its width."""
        count = self.last - self.first + 1
        first = max(0, min(self.first + round(count * share), total - count))
        return View(first, first + count - 1)


def whole(history: History) -> View:
    """All marks."""
    return View(0, max(0, len(history.marks) - 1))


def layout(history: History, view: View, slots: int) -> dict[str, Any]:
    """What a browser draws, as plain values: lanes, cells (marks and groups of them), links, ticks, description."""
    marks = history.marks[view.first : view.last + 1]
    columns = _columns(marks, slots)
    ends = [last for _, last in columns]
    cells: dict[tuple[int, int], list[int]] = {}
    for at, mark in enumerate(marks):
        cells.setdefault((bisect_right(ends, at - 1), mark.lane), []).append(view.first + at)
    return {
        "columns": len(columns),
        "lanes": [
            {"name": lane.name, "protected": lane.protected, "from": _start_of(history, at, cells)}
            for at, lane in enumerate(history.lanes)
        ],
        "cells": [_cell(history, place, found) for place, found in cells.items()],
        "links": list(_links(history, marks, columns)),
        "ticks": list(_ticks(history, marks, columns, slots)),
        "first": view.first,
        "last": view.last,
        "total": len(history.marks),
        "more": history.more,
        "description": _description(history, marks),
    }


def _columns(marks: Sequence[Mark], slots: int) -> list[tuple[int, int]]:
    """The first and last mark of each column."""
    if len(marks) <= slots:
        return [(at, at) for at in range(len(marks))]
    runs = _runs(marks)
    if len(runs) > slots:
        cuts = [len(marks) * at // slots for at in range(slots + 1)]
        return [(first, end - 1) for first, end in pairwise(cuts)]
    spare = slots - len(runs)
    plain = max(1, sum(end - first for first, end in runs if end - first > 1))
    found = []
    for first, end in runs:
        size = end - first
        parts = min(size, 1 + (spare * size // plain if size > 1 else 0))
        cuts = [first + size * at // parts for at in range(parts + 1)]
        found += [(one, after - 1) for one, after in pairwise(cuts)]
    return found


def _runs(marks: Sequence[Mark]) -> list[tuple[int, int]]:
    """[first, end) of plain marks that follow each other, and of each other mark alone."""
    found: list[tuple[int, int]] = []
    for at, mark in enumerate(marks):
        if found and mark.plain and marks[at - 1].plain:
            found[-1] = (found[-1][0], at + 1)
        else:
            found.append((at, at + 1))
    return found


def _start_of(history: History, lane: int, cells: dict[tuple[int, int], list[int]]) -> int:
    """The column in which a lane begins; -1 if that is before what is in view."""
    own = [(column, found[0]) for (column, at), found in cells.items() if at == lane]
    column, oldest = min(own, default=(-1, -1))
    return column if own and history.marks[oldest].kind in ("branch", "created") else -1


def _cell(history: History, place: tuple[int, int], positions: list[int]) -> dict[str, Any]:
    found = [history.marks[at] for at in positions]
    return {
        "column": place[0],
        "lane": place[1],
        "lsn": str(Lsn(found[-1].lsn)),
        "count": len(found),
        "range": [positions[0], positions[-1]],
        "kind": found[0].kind if len(found) == 1 else "group",
        "undone": all(mark.undone for mark in found),
        "snapshots": [name for mark in found for name, _ in mark.snapshots],
        "text": _texts(history, found),
    }


def _texts(history: History, found: list[Mark]) -> list[str]:
    """The lines of what is told of a cell."""
    lane = history.lanes[found[-1].lane].name
    names = [f"snapshot {name}" for mark in found for name, _ in mark.snapshots]
    if len(found) == 1:
        return [*mark_texts(history, found[0]), lane, *names]
    plain = all(mark.kind in ("commit", "schema") for mark in found)
    first, last = found[0], found[-1]
    times = [relative(mark.time, history.now) for mark in (first, last)]
    return [
        f"{counted(len(found), 'commit' if plain else 'event')} · {Lsn(first.lsn)} to {Lsn(last.lsn)}",
        times[0] if times[0] == times[1] else f"{times[0]} to {times[1]}",
        lane,
        *names,
    ]


def mark_texts(history: History, mark: Mark) -> list[str]:
    """What is told of a mark: LSN · relative time · author, its kind and message, and what it changed."""
    head = [str(Lsn(mark.lsn)), relative(mark.time, history.now), mark.author]
    kind = "" if mark.kind == "commit" else _WORDS.get(mark.kind, mark.kind)
    if mark.origin:
        source = history.lanes[mark.origin_lane].name if mark.origin_lane >= 0 else ""
        way = "to" if mark.kind in ("restore", "undo", "recovered") else "from"
        kind = " ".join(part for part in (kind, way, source, str(Lsn(mark.origin))) if part)
    message = mark.message.split("\n")[0][:MESSAGE_CHARACTERS_MAX]
    signs = zip(SIGNS.values(), mark.rows, strict=True)
    rows = " ".join(f"{sign}{count:,}" for sign, count in signs if count)
    changed = f"{rows} rows in {', '.join(mark.tables[:3])}" if rows else ""
    undone = "undone by a restore" if mark.undone else ""
    return [
        " · ".join(part for part in head if part),
        *[line for line in (kind, message, changed, undone) if line],
    ]


def _links(
    history: History, marks: Sequence[Mark], columns: list[tuple[int, int]]
) -> Iterator[dict[str, Any]]:
    """From the commit that was merged, branched from or gone back to, to the mark that did; each way once."""
    if not marks:
        return
    lsns, ends = [mark.lsn for mark in marks], [last for _, last in columns]
    seen = set()
    for at, mark in enumerate(marks):
        if not mark.origin:
            continue
        found = bisect_right(lsns, mark.origin) - 1
        known = found >= 0 and lsns[found] == mark.origin
        lane = marks[found].lane if known else mark.origin_lane
        kind = mark.kind if mark.kind in ("branch", "restore") else "merge"
        if lane < 0 or (lane == mark.lane and kind != "restore"):
            continue
        start = bisect_right(ends, found - 1) if known else -1
        place = (start, lane, bisect_right(ends, at - 1), mark.lane, kind)
        if place not in seen:
            seen.add(place)
            yield {"from": place[:2], "to": place[2:4], "kind": kind}


def _ticks(
    history: History, marks: Sequence[Mark], columns: list[tuple[int, int]], slots: int
) -> Iterator[dict[str, Any]]:
    """Labels of the axis, as many as there is room for."""
    for at in range(0, len(columns), max(1, -(-TICK_COLUMNS * len(columns) // slots))):
        mark = marks[columns[at][0]]
        yield {"column": at, "lsn": str(Lsn(mark.lsn)), "time": relative(mark.time, history.now)}


def _description(history: History, marks: Sequence[Mark]) -> str:
    """The picture in words."""
    if not marks:
        return "Nothing has happened yet."
    kinds = {
        "commit": sum(mark.kind in ("commit", "schema") for mark in marks),
        "merge": sum(mark.kind in ("merge", "fast_forward") for mark in marks),
        "restore": sum(mark.kind == "restore" for mark in marks),
        "snapshot": sum(len(mark.snapshots) for mark in marks),
    }
    told = ", ".join(counted(number, kind) for kind, number in kinds.items() if number)
    span = f"from {Lsn(marks[0].lsn)} to {Lsn(marks[-1].lsn)}"
    return f"{counted(len(history.lanes), 'database')}; {told or 'no commit'} {span}."
