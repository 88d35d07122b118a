"""Which commit last changed each cell of some rows, found from the versions of these rows alone.

The runs of the lineage hold all versions still kept, the image (with reverse runs) the one it was made with. They
are sorted by row and LSN; a version changes a cell if the version before it has another value there, as the table
reads both now, or is not there. The last one that does so is the answer.

Where history between two versions, or before the first, has expired, nobody knows what the later one changed: if no
version after it changed the cell, the answer is that it is not known. Called by blame.py, a slice of rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from absdb.catalog.lineage import Lineage, remainder
from absdb.catalog.schema import TableSchema
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.ids import LSN_MAX
from absdb.pages.compare import changed_matrix
from absdb.pages.key import Keys, equal, length, search, take
from absdb.pages.key import slice as slice_keys
from absdb.pages.section import Page, Section

Ints = np.ndarray[Any, np.dtype[Any]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
UNKNOWN = 0
EVER = (-1, LSN_MAX)


def cell_lsns(
    engine: Engine, reader: TableReader, own: Sequence[Section], keys: Keys, names: Sequence[str]
) -> list[Ints]:
    """For each column the LSN, for each of the rows, that last changed it; UNKNOWN where that is not kept.

    `keys` are those of rows that are there, in order, each once; `own` is what a transaction wrote on top.
    """
    if not length(keys):
        return [np.empty(0, np.int64) for _ in names]
    versions = _versions(engine, reader, own, keys)
    first = np.append(True, versions.probe[1:] != versions.probe[:-1])
    before = np.where(first, 0, np.roll(versions.lsn, 1))
    unsure = _unsure(versions, before, _expired(engine, reader.schema, reader.layers.lineage))
    anew = first | np.roll(versions.dead, 1)
    found = []
    for changed in _changed(reader.schema, versions, anew, names):
        last = np.where(changed | unsure, np.arange(len(first)), -1)
        last = np.maximum.reduceat(last, np.flatnonzero(first))
        found.append(np.where(unsure[last], UNKNOWN, versions.lsn[last]))
    return found


@dataclass(slots=True)
class _Versions:
    """Versions of rows: which row (its place among the keys), which commit, tombstone or not, where it lies."""

    probe: Ints
    lsn: Ints
    dead: Bools
    part: Ints
    row: Ints
    beyond: Bools
    """Whether all changes between it and the version before it are kept."""
    pages: list[Page]


@dataclass(slots=True)
class _Gathering:
    """Versions of some rows as they are found, page by page."""

    keys: Keys
    pages: list[Page] = field(default_factory=list)
    pieces: list[tuple[Ints, ...]] = field(default_factory=list)

    def visit(
        self, section: Section, *, beyond: bool, span: tuple[int, int] = EVER, undecided: Bools | None = None
    ) -> None:
        """The versions that a section has of the rows, of commits in the span; of rows still `undecided`, if given."""
        if not section.pages:
            return
        starts = search(self.keys, section.firsts, "left")
        stops = search(self.keys, section.lasts, "right")
        for number in np.flatnonzero(starts < stops).tolist():
            page, start = section.pages[number], int(starts[number])
            probes, rows = _matches(slice_keys(self.keys, start, int(stops[number])), page)
            probes, lsns = probes + start, page.lsns()[rows]
            chosen = (lsns > span[0]) & (lsns <= span[1])
            if undecided is not None:
                chosen &= undecided[probes]
                undecided[probes] = False
            if chosen.any():
                self._add(page, probes[chosen], lsns[chosen], rows[chosen], beyond=beyond)

    def _add(self, page: Page, probes: Ints, lsns: Ints, rows: Ints, *, beyond: bool) -> None:
        ops, count = page.ops(), len(rows)
        dead = np.zeros(count, bool) if ops is None else ops[rows] != 0
        self.pieces.append(
            (probes, lsns, dead, np.full(count, len(self.pages)), rows, np.full(count, beyond))
        )
        self.pages.append(page)

    def visit_state(self, layers: Sequence[Section], *, beyond: bool) -> None:
        """The version of each row that decides in some layers, oldest first."""
        undecided = np.ones(length(self.keys), bool)
        for section in reversed(layers):
            self.visit(section, beyond=beyond, undecided=undecided)

    def versions(self) -> _Versions:
        """All that was found, by row and commit, each once."""
        arrays = [np.concatenate(of) for of in zip(*self.pieces, strict=True)]
        order = np.lexsort((arrays[1], arrays[0]))
        probe, lsn = arrays[0][order], arrays[1][order]
        again = (probe[1:] == probe[:-1]) & (lsn[1:] == lsn[:-1])
        kept = order[np.append(True, ~again)]
        probe, lsn, dead, part, row, beyond = (array[kept] for array in arrays)
        return _Versions(probe, lsn, dead, part, row, beyond, self.pages)


def _versions(engine: Engine, reader: TableReader, own: Sequence[Section], keys: Keys) -> _Versions:
    """Every version kept of each row."""
    schema, lineage = reader.schema, reader.layers.lineage
    start, fixed = engine.covers.start(engine.history, schema, lineage)
    found = _Gathering(keys)
    for prefix, whole, beyond in (((), start, False), (start, lineage, True)):
        for era, after, upto in remainder(whole, prefix):
            cover = engine.covers.eras.get((era, schema.id))
            for run in () if cover is None else cover.runs(after, upto):
                for section in (run.newest, run.superseded):
                    found.visit(section, beyond=beyond, span=(after, upto))
    found.visit_state(fixed, beyond=False)
    found.visit_state(own, beyond=True)
    return found.versions()


def _matches(keys: Keys, page: Page) -> tuple[Ints, Ints]:
    """(place among the keys, row of the page) of each row whose key is among the sorted keys."""
    of_page = page.keys()
    if page.rows < length(keys):
        at = np.minimum(search(keys, of_page, "left"), length(keys) - 1)
        rows = np.flatnonzero(equal(take(keys, at), of_page))
        return at[rows], rows
    first, end = search(of_page, keys, "left"), search(of_page, keys, "right")
    counts = end - first
    ends = np.cumsum(counts)
    rows = np.repeat(end - ends, counts) + np.arange(ends[-1])
    return np.repeat(np.arange(len(counts)), counts), rows


def _expired(engine: Engine, schema: TableSchema, lineage: Lineage) -> list[tuple[int, int]]:
    """The LSN intervals along a table's lineage whose changes are no longer kept."""
    gone = engine.covers.expired
    return [
        (max(lo, after), min(hi, upto))
        for era, after, upto in remainder(lineage, ())
        for lo, hi in gone.get((era, schema.id), ())
        if lo < upto and hi > after
    ]


def _unsure(versions: _Versions, before: Ints, expired: Sequence[tuple[int, int]]) -> Bools:
    """Which versions may have come after another one that is gone; `before` is the LSN of the one that is kept."""
    found = np.zeros(len(before), bool)
    for lo, hi in expired:
        found |= (lo < versions.lsn) & (hi > before)
    return found & ~versions.beyond & ~versions.dead


def _changed(schema: TableSchema, versions: _Versions, anew: Bools, names: Sequence[str]) -> Iterator[Bools]:
    """For each column which versions, tombstones aside, have another value than the one before, or follow none."""
    later = np.flatnonzero(~anew & ~versions.dead)
    projection = schema.project(tuple(names)).physical
    sides = [
        projection.gather(versions.pages, versions.part[at], versions.row[at]) for at in (later - 1, later)
    ]
    for differs in changed_matrix(*sides).values():
        changed = anew & ~versions.dead
        changed[later] = differs
        yield changed
