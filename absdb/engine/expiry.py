"""Expiry: letting go of history that is older than `history_retention` and that nobody holds.

Kept are, for every table, whatever it takes to yield

    every pinned state     heads, what branches start from, snapshots, open transactions and points
    every state of a live database since the horizon (now minus history_retention), also one that was undone since
    the changes by which two live related databases differ from their latest common state: diffs and merges
    the merge bases of such databases, and what some of them have merged in and others have not
    the changes since an open transaction began: what it must not conflict with

Runs, images and reverse runs that none of this needs are dropped from the covers; which LSN intervals are gone
is remembered, so that a read that would need them is an error that says so. A horizon that has moved back, into what
is gone, brings nothing back and takes nothing away: of the states since, those that can be read stay. Eras that no
lineage runs through are forgotten. Files become garbage at the next checkpoint. Called by the maintenance.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from itertools import combinations
from typing import TYPE_CHECKING

from absdb.catalog.ancestry import merge_bases, merged_beyond
from absdb.catalog.lineage import Interval, Lineage, common_prefix, extends, remainder
from absdb.engine.cover import EraCover
from absdb.engine.covers import Covers, Image, Reverse
from absdb.engine.pins import all_pins, eras_since, horizon_of
from absdb.ids import EraId, TableId
from absdb.pages.run import Run

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

PAIRS_MAX = 2_000
"""With more pairs of related databases than this, every change since their oldest common state is kept."""

GRACE_S = 60.0
"""How long eras are remembered that nothing runs through any more."""


@dataclass(slots=True)
class _Needed:
    """What the kept states of one table are made of."""

    intervals: dict[EraId, set[tuple[int, int]]] = field(default_factory=dict)
    images: set[int] = field(default_factory=set)
    reverses: set[int] = field(default_factory=set)

    def add(self, intervals: Iterable[Interval]) -> None:
        for era, after, upto in intervals:
            self.intervals.setdefault(era, set()).add((after, upto))

    def wants(self, era: EraId, run: Run) -> bool:
        return any(run.hi > after and run.lo < upto for after, upto in self.intervals.get(era, ()))


Span = tuple[Lineage, Lineage]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What must stay readable: states, all changes between two states (earlier, later), and merged branches."""

    states: set[Lineage]
    spans: set[Span]
    merged: set[Interval]

    def beyond(self, other: _Kept) -> _Kept:
        return _Kept(self.states - other.states, self.spans - other.spans, self.merged - other.merged)


def expire(engine: Engine) -> int:
    """Drop what is past retention; returns how many runs, images and reverse runs went.

    What is needed is worked out beside commits; then, in commit order, for what has come up meanwhile.
    """
    horizon = horizon_of(engine)
    with engine.exclusive():
        upto = engine.published
        kept = _kept(engine, horizon)
    tables = {table for _, table in list(engine.covers.eras)} | set(engine.covers.images)
    plan = _Plan(engine, kept)
    needed = {table: plan.needed(table) for table in tables}
    dropped = 0
    with engine.exclusive():
        now = _kept(engine, horizon)
        since = now.beyond(kept)
        for table, need in needed.items():
            if _has_more(engine.covers, table, need, upto):
                _add(engine, need, table, since)
                dropped += _drop(engine, table, need, upto)
        merged = [((interval.era, interval.upto),) for interval in now.merged]
        _forget_eras(engine, now.states, [*(later for _, later in now.spans), *merged])
    return dropped


def _kept(engine: Engine, horizon: int) -> _Kept:
    spans = set(_spans(engine, horizon))
    states = {pin.lineage for pin in all_pins(engine, horizon)} | {earlier for earlier, _ in spans}
    merged: set[Interval] = set()
    for family in _families(engine):
        merged |= merged_beyond(engine.history, family)
        states |= _merge_bases(engine, family)
    return _Kept(states, {(earlier, later) for earlier, later in spans if earlier != later}, merged)


def _merge_bases(engine: Engine, family: list[Lineage]) -> set[Lineage]:
    """The merge bases of related heads that are not simply where their lineages part."""
    history, last = engine.history, engine.log.last_at_or_below
    merging = [head for head in family if history.catalog_at(head).ancestry_of()]
    pairs = [(a, b) for a in merging for b in family if a != b]
    return {base for a, b in pairs[:PAIRS_MAX] for base in merge_bases(history, last, a, b)}


def _families(engine: Engine) -> list[list[Lineage]]:
    """The heads of live databases, those together that began as one."""
    related: dict[EraId, list[Lineage]] = {}
    for info in engine.history.databases.values():
        head = engine.head(info.id)[1]
        if head:
            related.setdefault(head[0][0], []).append(head)
    return list(related.values())


def _spans(engine: Engine, horizon: int) -> Iterable[Span]:
    history, last = engine.history, engine.log.last_at_or_below
    heads = {info.id: engine.head(info.id)[1] for info in history.databases.values()}
    for database, head in heads.items():
        for era in eras_since(history, history.databases[database], horizon):
            end = history.cut((*history.eras[era].base, (era, engine.published)), engine.published, last)
            yield history.cut(end, horizon, last), end
        yield history.cut(head, horizon, last), head
    for lineage, kind in engine.pins.held():
        if kind == "transaction":
            yield from ((lineage, head) for head in heads.values() if extends(head, lineage))
    for family in _families(engine):
        pairs = len(family) * (len(family) - 1) // 2
        groups = combinations(family, 2) if pairs <= PAIRS_MAX else [tuple(family)]
        for group in groups:
            shared = reduce(common_prefix, group)
            yield from ((shared, head) for head in group)


class _Plan:
    """Works out what tables need. Tables that have no image and were never put back alone need the same."""

    def __init__(self, engine: Engine, kept: _Kept) -> None:
        self._engine = engine
        self._kept = kept
        self._alone = {table for era in list(engine.history.eras.values()) for table in era.table_bases}
        self._plain: _Needed | None = None

    def needed(self, table: TableId) -> _Needed:
        if table in self._alone or self._engine.covers.images.get(table):
            return _add(self._engine, _Needed(), table, self._kept)
        if self._plain is None:
            self._plain = _add(self._engine, _Needed(), table, self._kept)
        return _Needed({era: set(found) for era, found in self._plain.intervals.items()})


def _add(engine: Engine, needed: _Needed, table: TableId, kept: _Kept) -> _Needed:
    """Put what the kept states of one table are made of into `needed`, and give that."""
    lineage_of = engine.history.table_lineage

    def need(own: Lineage) -> None:
        start, image, steps = engine.covers.path(table, own)
        if image is not None:
            needed.images.add(id(image))
            needed.reverses.update(id(step) for step in steps)
        needed.add(remainder(own, start))

    def need_changes(before: Lineage, after: Lineage) -> None:
        changes = remainder(after, common_prefix(before, after))
        needed.add(changes)
        if _has_gaps(engine.covers, table, before, changes):
            for state in _landmarks(engine.covers, table):
                if extends(after, state):
                    need(state)

    needed.add(kept.merged)
    for state in kept.states:
        need(lineage_of(state, table))
    for earlier, later in kept.spans:
        before, after = lineage_of(earlier, table), lineage_of(later, table)
        need_changes(before, after)
        for at, (era, _) in enumerate(later):
            base = engine.history.eras[era].table_bases.get(table)
            began = (*later[:at], (era, engine.history.eras[era].start_lsn))
            if base is not None and not extends(earlier, began):
                # Put back alone in between: what it was until then, and what it was put back to.
                need(base)
                need_changes(before, lineage_of(later[:at], table))
    return needed


def _has_gaps(covers: Covers, table: TableId, before: Lineage, changes: list[Interval]) -> bool:
    """Whether some states between `before` and what the changes lead to cannot be told from `before` any more.

    So it is where the horizon has moved back, by a longer retention or a clock: it lies in what has expired then.
    """
    start, _, _ = covers.path(table, before)
    return any(
        after < hi and upto > lo
        for era, after, upto in (*changes, *remainder(before, start))
        for lo, hi in covers.expired.get((era, table), ())
    )


def _landmarks(covers: Covers, table: TableId) -> list[Lineage]:
    """The states of a table that need no changes of any era to be read."""
    images, reverses = covers.images.get(table, ()), covers.reverses.get(table, ())
    return [image.lineage for image in images] + [reverse.earlier for reverse in reverses]


def _has_more(covers: Covers, table: TableId, needed: _Needed, upto: int) -> bool:
    """Whether a table has anything that is not needed."""
    return (
        any(_unneeded(cover, needed, upto) for cover in covers.of_table(table))
        or any(id(image) not in needed.images for image in covers.images.get(table, ()))
        or any(id(reverse) not in needed.reverses for reverse in covers.reverses.get(table, ()))
    )


def _unneeded(cover: EraCover, needed: _Needed, upto: int) -> list[Run]:
    """Stored runs of changes up to `upto` that are not needed."""
    return [r for r in cover.view[0] if r.hi <= upto and r.is_stored and not needed.wants(cover.era, r)]


def _drop(engine: Engine, table: TableId, needed: _Needed, upto: int) -> int:
    covers = engine.covers
    dropped = 0
    for cover in list(covers.of_table(table)):
        gone = _unneeded(cover, needed, upto)
        if gone:
            dropped += _drop_runs(covers, cover, gone)
    images: list[Image] = [i for i in covers.images.get(table, ()) if id(i) in needed.images]
    reverses: list[Reverse] = [r for r in covers.reverses.get(table, ()) if id(r) in needed.reverses]
    dropped += len(covers.images.get(table, ())) - len(images)
    dropped += len(covers.reverses.get(table, ())) - len(reverses)
    covers.images[table] = tuple(images)
    covers.reverses[table] = tuple(reverses)
    return dropped


def _drop_runs(covers: Covers, cover: EraCover, gone: list[Run]) -> int:
    """Drop runs that nobody reads right now. Who comes after their being written down as expired is told so."""
    known = covers.expired.get((cover.era, cover.table), ())
    covers.expired[cover.era, cover.table] = _joined([*known, *((run.lo, run.hi) for run in gone)])
    read = covers.read_of(cover)
    free = [run for run in gone if not any(run.hi > after and run.lo < upto for after, upto in read)]
    covers.expired[cover.era, cover.table] = _joined([*known, *((run.lo, run.hi) for run in free)])
    if not covers.expired[cover.era, cover.table]:
        del covers.expired[cover.era, cover.table]
    cover.drop(free)
    return len(free)


def _joined(intervals: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Intervals sorted, adjacent ones as one."""
    joined: list[tuple[int, int]] = []
    for lo, hi in sorted(intervals):
        if joined and lo <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(hi, joined[-1][1]))
        else:
            joined.append((lo, hi))
    return tuple(joined)


def _forget_eras(engine: Engine, states: Iterable[Lineage], more: Iterable[Lineage]) -> None:
    """Eras that no live database, pin or kept state runs through go, with their covers.

    Not before GRACE_S after that was first so: whoever looked a database up just before it was dropped may
    still be on the way to its tables, and shall be told so rather than find half of it.
    """
    history = engine.history
    alive = {era for lineage in (*states, *more) for era, _ in lineage}
    todo = [era for info in history.databases.values() for era in info.eras] + list(alive)
    while todo:
        era = todo.pop()
        if era in history.eras:
            alive.add(era)
            bases = [history.eras[era].base, *history.eras[era].table_bases.values()]
            todo += [e for base in bases for e, _ in base if e not in alive]
            alive.update(e for base in bases for e, _ in base)
    dead = {era for era in history.eras if era not in alive}
    now = time.monotonic()
    engine.dying = {era: engine.dying.get(era, now) for era in dead}
    for era in [era for era, since in engine.dying.items() if now - since >= GRACE_S]:
        del engine.dying[era]
        history.forget_era(era)
        for key in [key for key in engine.covers.eras if key[0] == era]:
            del engine.covers.eras[key]
        for key in [key for key in engine.covers.expired if key[0] == era]:
            del engine.covers.expired[key]
