"""The history of an instance as it is drawn: a lane for each database, and marks on the lanes in the order of LSNs.

    Lane    a database; a branch follows the one it was made from
    Mark    a commit, merge, restore or branching, with the LSN that it came from and the snapshots that name it

Read from the log of the instance, whose cost is that of the marks asked for. Databases that were dropped have no
lane; commits of theirs that another one went on from are on that one's.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from absdb.errors import InvalidInputError
from absdb.ids import Lsn
from absdb.instance import Instance

EVENTS = frozenset({"alter", "drop"})
"""What is logged of a database and changes no state of it."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A database. `base` is the LSN of the commit that it starts from, in another one; 0 if it is no branch."""

    name: str
    created_from: str | None = None
    base: int = 0
    protected: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened to a database. `lsn` is unique in the instance."""

    lsn: int
    lane: int
    kind: str
    time: dt.datetime
    author: str = ""
    message: str = ""
    rows: tuple[int, int, int] = (0, 0, 0)
    tables: tuple[str, ...] = ()
    undone: bool = False
    origin: int = 0
    """The commit that was merged, gone back to, moved on to or started from; 0 if there is none."""
    origin_lane: int = -1
    snapshots: tuple[tuple[str, int], ...] = ()
    """(name, LSN) of the snapshots of the state that this left."""

    @property
    def plain(self) -> bool:
        """Whether it can be drawn together with its neighbours: a commit that nothing leads to or names."""
        return self.kind in ("commit", "schema") and not self.snapshots


@dataclass(frozen=True, slots=True)
class History:
    """What is drawn. `marks` are the newest ones, oldest first; `more` says that there are older ones."""

    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]
    now: dt.datetime
    more: bool = False

    def lane_of(self, name: str) -> int:
        """The lane of a database; -1 if there is none of that name."""
        return next((at for at, lane in enumerate(self.lanes) if lane.name == name), -1)

    def mark_at(self, lsn: int) -> Mark | None:
        """The mark at an LSN."""
        at = bisect_right(self.marks, lsn, key=_lsn) - 1
        return self.marks[at] if at >= 0 and self.marks[at].lsn == lsn else None


def read_history(instance: Instance, limit: int) -> History:
    """The newest `limit` marks of all databases."""
    if limit < 1:
        raise InvalidInputError(f"a history of {limit!r} marks cannot be drawn")
    now = instance.now
    entries = instance.log(limit=limit + 1)
    lanes = _lanes(instance.branches().to_dict("records"))
    numbers = {lane.name: at for at, lane in enumerate(lanes)}
    kept = [entry for entry in entries[:limit].to_dict("records") if entry["kind"] not in EVENTS]
    marks = [_mark(entry, numbers) for entry in reversed(kept) if entry["database"] in numbers]
    named = instance.snapshots().to_dict("records")
    return History(lanes, _with_snapshots(marks, named, numbers), now, more=len(entries) > limit)


def _lanes(branches: list[dict[Any, Any]]) -> tuple[Lane, ...]:
    """The lanes, branches under what they were made from, each in the order they were made."""
    children: dict[str | None, list[dict[Any, Any]]] = {}
    names = {one["name"] for one in branches}
    for one in branches:
        source = one["created_from"] if one["created_from"] in names - {one["name"]} else None
        children.setdefault(source, []).append(one)
    found: dict[str, Lane] = {}
    waiting = [*reversed(children.get(None, []))]
    rest = [*reversed(branches)]  # names given anew can lead in a circle; who is in one comes last
    while waiting or rest:
        one = waiting.pop() if waiting else rest.pop()
        if one["name"] in found:
            continue
        base = 0 if one["created_lsn"] is None else int(Lsn.parse(one["created_lsn"]))
        found[one["name"]] = Lane(one["name"], one["created_from"], base, bool(one["protected"]))
        waiting += reversed(children.get(one["name"], []))
    return tuple(found.values())


def _mark(entry: dict[Any, Any], lanes: Mapping[str, int]) -> Mark:
    origin = entry["from_lsn"]
    return Mark(
        int(Lsn.parse(entry["lsn"])),
        lanes[entry["database"]],
        entry["kind"],
        entry["time"].to_pydatetime(),
        entry["author"] or "",
        entry["message"] or "",
        (entry["rows_inserted"], entry["rows_updated"], entry["rows_deleted"]),
        tuple(entry["tables"]),
        bool(entry["undone"]),
        0 if origin is None else int(Lsn.parse(origin)),
        lanes.get(entry["from_database"], -1),
    )


def _with_snapshots(
    marks: list[Mark], named: list[dict[Any, Any]], lanes: Mapping[str, int]
) -> tuple[Mark, ...]:
    """The marks with the snapshots at the newest mark of their lane that they hold."""
    of_lane: dict[int, list[int]] = {}
    for at, mark in enumerate(marks):
        of_lane.setdefault(mark.lane, []).append(at)
    names: dict[int, list[tuple[str, int]]] = {}
    for one in named:
        lsn, lane = int(Lsn.parse(one["lsn"])), lanes.get(one["database"], -1)
        own = of_lane.get(lane, [])
        at = bisect_right(own, lsn, key=lambda mark: marks[mark].lsn) - 1
        if at >= 0:
            names.setdefault(own[at], []).append((one["name"], lsn))
    for at, found in names.items():
        marks[at] = replace(marks[at], snapshots=tuple(found))
    return tuple(marks)


def _lsn(mark: Mark) -> int:
    return mark.lsn
