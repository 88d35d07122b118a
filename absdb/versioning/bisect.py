"""Bisection: the first commit after which something no longer holds, by trying states between a good and a bad one.

The commits are those of the history that the bad state descends from: what a restore has undone is no part of it. A
restore of some tables is a step like a commit. Each try halves the steps that are left, so that a million commits take
twenty. States that are no longer kept are passed over; if the answer lies among them, the error says between which
LSNs. Called by databases and by the command line, which bring the test.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from absdb.catalog.lineage import Lineage, extends, position, remainder
from absdb.clock import format_time
from absdb.engine.engine import Engine
from absdb.errors import HistoryExpiredError, InvalidInputError
from absdb.ids import Lsn
from absdb.progress import Report
from absdb.versioning.as_of import Point, check_readable

KEEPING = "a snapshot, a branch or a longer history_retention keeps history"


class Found(NamedTuple):
    """The last state that is good, the first that is bad, and how many were tried."""

    before: Point
    after: Point
    tests: int


def bisect(
    engine: Engine,
    good: Point | None,
    bad: Point,
    holds: Callable[[Point], bool],
    report: Report | None = None,
) -> Found:
    """The step between a good state and a bad one after which `holds` is not true any more.

    Without `good` it is the oldest commit since which history is kept. `report` is told the number of tries so far.
    InvalidInputError if good is not good, bad is not bad, one does not lead to the other, or `holds` raises;
    HistoryExpiredError if the answer lies in history that is gone.
    """
    steps = _Steps(engine, bad, () if good is None else good.lineage)
    low, high = steps.first_kept() if good is None else 0, len(steps) - 1
    trial = _Trial(engine, holds, report)
    if low >= high:
        raise InvalidInputError(
            f"no commit lies between {trial.named(steps.point(min(low, high)))} and {trial.named(bad)}",
            hint="good is an earlier state of the same history, bad a later one; log() lists the commits",
        )
    if trial.holds(steps.point(high)):
        raise InvalidInputError(
            f"the test holds at {trial.named(bad)}, which should be bad",
            hint="name another point as the bad one, or turn the test round",
        )
    if not trial.holds(steps.point(low)):
        raise InvalidInputError(
            f"the test does not hold at {trial.named(steps.point(low))}, which should be good",
            hint="name a good point at which it does: an LSN, a time or the name of a snapshot",
        )
    while high - low > 1:
        middle = steps.kept_near((low + high) // 2, low, high)
        if middle is None:
            raise HistoryExpiredError(
                f"the test ceased to hold after {trial.named(steps.point(low))} and not later than "
                f"{trial.named(steps.point(high))}; the states between are no longer kept",
                hint=KEEPING,
            )
        low, high = (middle, high) if trial.holds(steps.point(middle)) else (low, middle)
    return Found(steps.point(low), steps.point(high), trial.count)


class _Steps:
    """The states from a good one, which is number 0, to a bad one, as they followed one another."""

    def __init__(self, engine: Engine, bad: Point, good: Lineage) -> None:
        if not extends(bad.lineage, good):
            raise InvalidInputError(
                f"the state at {Lsn(position(good))} is not one that database {bad.database.name!r} @ {bad.lsn} "
                "descends from",
                hint="it was undone by a restore, lies after it, or belongs to another database; see log()",
            )
        self._engine = engine
        self._bad = bad
        self._good = good
        found = []
        for era, after, upto in remainder(bad.lineage, good):
            lsns = engine.log.frame_columns([(era, after, upto)], newest_first=False)["lsn"].to_numpy()
            known = engine.history.eras[era]
            if known.table_bases and after < known.start_lsn:
                lsns = np.append(known.start_lsn, lsns)
            found.append(lsns)
        self._lsns = np.concatenate([np.array([position(good)]), *found])

    def __len__(self) -> int:
        return len(self._lsns)

    def point(self, number: int) -> Point:
        """One of the states."""
        lsn = int(self._lsns[number])
        return Point(self._bad.database, Lsn(lsn), self._lineage(lsn) if number else self._good)

    def _lineage(self, lsn: int) -> Lineage:
        lineage = self._bad.lineage
        at = next(at for at, (_, reached) in enumerate(lineage) if lsn <= reached)
        return (*lineage[:at], (lineage[at][0], lsn))

    def first_kept(self) -> int:
        """The first commit since which every state can be read."""
        expired = self._engine.covers.expired
        mine = {era for era, _ in self._bad.lineage}
        gone = [hi for (era, _), spans in list(expired.items()) if era in mine for _, hi in spans]
        first = max(1, int(np.searchsorted(self._lsns, min(max(gone, default=0), self._bad.lsn))))
        return first + bisect_left(range(first, len(self)), True, key=self._kept)

    def kept_near(self, middle: int, low: int, high: int) -> int | None:
        """The number nearest to `middle`, between `low` and `high`, of a state that can be read."""
        down, up = range(middle, low, -1), range(middle + 1, high)
        near = (number for pair in zip_longest(down, up) for number in pair if number is not None)
        return next((number for number in near if self._kept(number)), None)

    def _kept(self, number: int) -> bool:
        try:
            check_readable(self._engine, self.point(number))
        except HistoryExpiredError:
            return False
        return True


class _Trial:
    """The test, and how often it was made."""

    def __init__(self, engine: Engine, holds: Callable[[Point], bool], report: Report | None) -> None:
        self._engine = engine
        self._holds = holds
        self._report = report
        self.count = 0

    def holds(self, point: Point) -> bool:
        """Whether the test holds at a state; InvalidInputError if it fails, which says nothing of the state."""
        try:
            answer = self._holds(point)
        except Exception as error:
            raise InvalidInputError(
                f"the test failed at {self.named(point)}: {type(error).__name__}: "
                f"{str(error).splitlines()[0] if str(error) else 'no message'}",
                hint="a test that cannot be made is no answer: let it return True or False at every point "
                "between good and bad, or pass a later good",
            ) from error
        self.count += 1
        if self._report is not None:
            self._report(self.count)
        return answer

    def named(self, point: Point) -> str:
        """A state as messages name it."""
        time_us = self._engine.log.time_of(point.lsn)
        return f"LSN {point.lsn}" + ("" if time_us is None else f", {format_time(time_us)}")
