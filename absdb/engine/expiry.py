"""Expiry: letting go of history that is older than `history_retention` and that nobody holds.

Kept are, for every table, whatever it takes to yield

    every pinned state     heads, what branches start from, snapshots, open transactions and points
    every state of a live database since the horizon (now minus history_retention)
    the changes by which two live related databases differ from their latest common state: diffs and merges

Runs, images and reverse runs that none of this needs are dropped from the covers; which LSN intervals are gone
is remembered, so that a read that would need them is an error that says so. Eras that no lineage runs through
are forgotten. Files become garbage at the next checkpoint. Called by the maintenance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

from absdb.catalog.lineage import Interval, Lineage, common_prefix, extends, remainder
from absdb.catalog.schema import TableSchema
from absdb.engine.cover import EraCover
from absdb.engine.covers import Covers, Image, Reverse
from absdb.engine.pins import all_pins
from absdb.ids import EraId, TableId
from absdb.pages.run import Run

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

PAIRS_MAX = 2_000
"""With more pairs of related databases than this, every change since their oldest common state is kept."""


@dataclass(slots=True)
class _Needed:
    """What the kept states of one table are made of."""

    intervals: dict[EraId, list[tuple[int, int]]] = field(default_factory=dict)
    images: set[int] = field(default_factory=set)
    reverses: set[int] = field(default_factory=set)

    def add(self, intervals: Iterable[Interval]) -> None:
        for era, after, upto in intervals:
            self.intervals.setdefault(era, []).append((after, upto))

    def wants(self, era: EraId, run: Run) -> bool:
        return any(run.hi > after and run.lo < upto for after, upto in self.intervals.get(era, ()))


def expire(engine: Engine) -> int:
    """Drop what is past retention; returns how many runs, images and reverse runs went."""
    horizon = engine.log.lsn_at_time(
        engine.clock.now_us() - int(engine.settings.history_retention * 1_000_000)
    )
    with engine.exclusive():
        pins = [pin.lineage for pin in all_pins(engine)]
        spans = _spans(engine, horizon)
        states = [*pins, *(prefix for prefix, _ in spans)]
        tables = _tables(engine, states, spans)
        dropped = 0
        for table_id in {t for _, t in engine.covers.eras} | set(engine.covers.images):
            schemas = tables.get(table_id, [])
            needed = _needed(engine, schemas, states, spans) if schemas else _Needed()
            dropped += _drop(engine, table_id, needed)
        _forget_eras(engine, states, [later for _, later in spans])
    return dropped


def _spans(engine: Engine, horizon: int) -> list[tuple[Lineage, Lineage]]:
    """(earlier, later): all changes between the two states are to be kept."""
    last = engine.log.last_at_or_below
    heads = {info.id: engine.head(info.id)[1] for info in engine.history.databases.values()}
    spans = []
    for database, head in heads.items():
        for era in engine.history.databases[database].eras:
            end = engine.history.cut(
                (*engine.history.eras[era].base, (era, engine.published)), engine.published, last
            )
            spans.append((engine.history.cut(end, horizon, last), end))
        spans.append((engine.history.cut(head, horizon, last), head))
    pairs = list(combinations(heads.values(), 2))
    for a, b in pairs[:PAIRS_MAX]:
        shared = common_prefix(a, b)
        if shared:
            spans += [(shared, a), (shared, b)]
    if len(pairs) > PAIRS_MAX:
        spans += [((), head) for head in heads.values()]
    return spans


def _tables(
    engine: Engine, states: Iterable[Lineage], spans: Iterable[tuple[Lineage, Lineage]]
) -> dict[TableId, list[TableSchema]]:
    """The definitions that kept states have of each table; one is enough to resolve it."""
    found: dict[TableId, list[TableSchema]] = {}
    for lineage in states:
        for schema in engine.history.catalog_at(lineage).tables.values():
            known = found.setdefault(schema.id, [])
            if not known:
                known.append(schema)
    eras = {era for info in engine.history.databases.values() for era in info.eras}
    eras.update(era for _, later in spans for era, _ in later)
    for era in eras:
        for _, catalog in engine.history.catalog_versions(era):
            for schema in catalog.tables.values():
                found.setdefault(schema.id, [schema])
    return found


def _needed(
    engine: Engine,
    schemas: list[TableSchema],
    states: Iterable[Lineage],
    spans: Iterable[tuple[Lineage, Lineage]],
) -> _Needed:
    needed = _Needed()
    table = schemas[0].id
    lineage_of = engine.history.table_lineage

    def need(own: Lineage) -> None:
        start, image, steps = engine.covers.path(table, own)
        if image is not None:
            needed.images.add(id(image))
            needed.reverses.update(id(step) for step in steps)
        needed.add(remainder(own, start))

    for state in states:
        need(lineage_of(state, table))
    for earlier, later in spans:
        before, after = lineage_of(earlier, table), lineage_of(later, table)
        needed.add(remainder(after, common_prefix(before, after)))
        for at, (era, _) in enumerate(later):
            base = engine.history.eras[era].table_bases.get(table)
            began = (*later[:at], (era, engine.history.eras[era].start_lsn))
            if base is not None and not extends(earlier, began):
                # Put back alone in between: what it was until then, and what it was put back to.
                need(base)
                prior = lineage_of(later[:at], table)
                needed.add(remainder(prior, common_prefix(before, prior)))
    return needed


def _drop(engine: Engine, table: TableId, needed: _Needed) -> int:
    covers = engine.covers
    dropped = 0
    for cover in list(covers.of_table(table)):
        runs, _ = cover.view
        gone = [run for run in runs if run.is_stored and not needed.wants(cover.era, run)]
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
    """Eras that no live database, pin or kept state runs through go, with their covers."""
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
    for era in [era for era in history.eras if era not in alive]:
        history.forget_era(era)
        for key in [key for key in engine.covers.eras if key[0] == era]:
            del engine.covers.eras[key]
        for key in [key for key in engine.covers.expired if key[0] == era]:
            del engine.covers.expired[key]
