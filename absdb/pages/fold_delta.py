"""What lies around a base layer: merged into one delta, then into the pages of the base.

A `Delta` holds, of every key in the other layers of a cover, the newest version: where its row is, whether it
is a tombstone, and whether it is newer than the base or older. Against a stretch of a base page it gives
`Changes`, and those a list of pieces, in key order, that together are the merged rows:

    base page    1  3  5  7  9               delta   0 up,  5 delete,  7 up,  8 up
    pieces       delta[0:1]  base[0:2]  delta[1:3]  base[4:5]
    rows         0           1  3       7' 8        9

Pieces of the delta count its rows without tombstones (`Delta.alive_rows`), the batch a fold gathers once.
Everything here costs in proportion to the changes, not to the page, and loops over no rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from absdb.pages import key as keyed
from absdb.pages.key import Keys
from absdb.pages.projection import Ints, Projection
from absdb.pages.section import Key, Page

Part = tuple[Page, int, int]
"""Rows start..stop of a page."""


def part_rows(parts: Iterable[Part]) -> int:
    return sum(stop - start for _, start, stop in parts)


def part_keys(part: Part) -> Keys:
    page, start, stop = part
    return keyed.slice(page.keys(), start, stop)


def first_key(part: Part) -> Key:
    page, start, _ = part
    return keyed.at(page.keys(), start) if start else page.first


def part_deletes(part: Part) -> Ints:
    """The rows of the part that are tombstones, counted from its start."""
    page, start, stop = part
    ops = page.ops()
    return np.empty(0, np.int64) if ops is None else np.flatnonzero(ops[start:stop])


class Delta:
    """The newest version of each key in some layers, sorted by key."""

    __slots__ = ("_part", "_row", "alive", "keys", "newer", "pages", "slots")

    keys: Keys
    alive: Ints
    """False for a tombstone."""
    newer: Ints
    """Whether the version is newer than what the base has under its key."""
    slots: Ints
    """Its number among the alive ones."""

    def __init__(self, layers: Sequence[Sequence[Part]], base: int) -> None:
        """Merge all layers, oldest first, but `layers[base]`; one of the others must have rows."""
        parts = [(rank > base, part) for rank, layer in enumerate(layers) if rank != base for part in layer]
        counts = [stop - start for _, (_, start, stop) in parts]
        self.pages = [page for _, (page, _, _) in parts]
        self.keys = keyed.concat([part_keys(part) for _, part in parts])
        self._part = np.repeat(np.arange(len(parts), dtype=np.int32), counts)
        self._row = np.concatenate([np.arange(start, stop) for _, (_, start, stop) in parts])
        self.newer = np.repeat(np.array([newer for newer, _ in parts], np.bool_), counts)
        self.alive = np.concatenate([_alive(part) for _, part in parts])
        if sum(1 for rank, layer in enumerate(layers) if layer and rank != base) > 1:
            self._keep_newest()
        self.slots = np.cumsum(self.alive) - 1

    def _keep_newest(self) -> None:
        """Sort; of equal keys, which come oldest first and stay so, keep the last."""
        order = keyed.sort_order(self.keys)
        keys = keyed.take(self.keys, order)
        starts = keyed.runs_of_equal(keys)
        if not starts.all():
            kept = np.flatnonzero(np.append(starts[1:], True))
            order, keys = order[kept], keyed.take(keys, kept)
        self.keys = keys
        self._part, self._row = self._part[order], self._row[order]
        self.newer, self.alive = self.newer[order], self.alive[order]

    def alive_rows(self, projection: Projection) -> pa.RecordBatch:
        """All rows but the tombstones, in key order."""
        return projection.gather(self.pages, self._part[self.alive], self._row[self.alive])

    def against(self, part: Part, start: int, stop: int) -> Changes | None:
        """What entries start..stop change in a stretch of the base; None if nothing."""
        if start == stop:
            return deletes_only(part)
        rows, drops = part[2] - part[1], part_deletes(part)
        probes, keys = keyed.slice(self.keys, start, stop), part_keys(part)
        at = keyed.search(keys, probes, "left")
        hit = keyed.equal(keyed.take(keys, np.minimum(at, rows - 1)), probes)
        newer, alive = self.newer[start:stop], self.alive[start:stop]
        replaced = at[hit & newer]
        drops = np.union1d(drops, replaced) if len(drops) else replaced
        inserts = alive & (newer | ~hit)
        slots = self.slots[start:stop][inserts]
        return Changes(rows, drops, at[inserts], slots) if len(drops) or len(slots) else None


@dataclass(frozen=True, slots=True)
class Changes:
    """How a stretch of `rows` base rows changes."""

    rows: int
    drops: Ints
    """Base rows that go: ascending, each once."""
    at: Ints
    """For each row that comes, the base row it comes before; ascending."""
    slots: Ints
    """For each row that comes, its number among the alive rows of the delta; ascending."""

    def pieces(self) -> Pieces:
        """The merged rows as the fewest stretches of base and delta."""
        bounds = np.concatenate([np.array([0, self.rows]), self.drops, self.drops + 1, self.at])
        bounds.sort()
        bounds = bounds[np.append(bounds[1:] != bounds[:-1], True)]
        bounds = bounds[bounds <= self.rows]
        starts, stops = bounds[:-1], bounds[1:]
        if len(self.drops):
            place = np.minimum(np.searchsorted(self.drops, starts), len(self.drops) - 1)
            kept = self.drops[place] != starts
            starts, stops = starts[kept], stops[kept]
        if not len(self.slots):
            return Pieces(np.zeros(len(starts), np.bool_), starts, stops)
        return self._interleaved(starts, stops)

    def columns_changed(self, base: pa.RecordBatch, delta: pa.RecordBatch) -> list[int]:
        """The numbers of the columns whose values change; all of them where rows come, go or move.

        Costs a look at the rows that change. A column in which nested values are written again counts as changed.
        """
        if not np.array_equal(self.drops, self.at):
            return list(range(base.num_columns))
        before, after = base.take(pa.array(self.drops)), delta.take(pa.array(self.slots))
        pairs = zip(before.columns, after.columns, strict=True)
        return [at for at, (old, new) in enumerate(pairs) if not _identical(old, new)]

    def _interleaved(self, starts: Ints, stops: Ints) -> Pieces:
        """Stretches of the base and, between them, what is inserted; neighbours in both become one piece."""
        before = self.at - np.searchsorted(self.drops, self.at)  # base rows that stay before each insert
        new = (before[1:] != before[:-1]) | (self.slots[1:] != self.slots[:-1] + 1)
        heads = np.flatnonzero(np.append(True, new))
        tails = np.append(heads[1:], len(self.slots)) - 1
        order = np.argsort(np.concatenate([starts * 2 + 1, self.at[heads] * 2]), kind="stable")
        inserted = np.repeat(np.array([False, True]), [len(starts), len(heads)])
        return Pieces(
            inserted[order],
            np.concatenate([starts, self.slots[heads]])[order],
            np.concatenate([stops, self.slots[tails] + 1])[order],
        )


def deletes_only(part: Part) -> Changes | None:
    """The tombstones of the part go; None if it has none."""
    drops = part_deletes(part)
    return Changes(part[2] - part[1], drops, drops[:0], drops[:0]) if len(drops) else None


@dataclass(frozen=True, slots=True)
class Pieces:
    """Stretches start..stop of the base rows or, where `inserted`, of the delta's alive rows."""

    inserted: Ints
    starts: Ints
    stops: Ints

    def __len__(self) -> int:
        return len(self.starts)

    def slices(self, base: pa.RecordBatch, delta: pa.RecordBatch) -> list[pa.RecordBatch]:
        """The pieces as zero-copy slices."""
        listed = zip(self.inserted.tolist(), self.starts.tolist(), self.stops.tolist(), strict=True)
        return [(delta if new else base).slice(start, stop - start) for new, start, stop in listed]

    def taken(self, base: pa.RecordBatch, delta: pa.RecordBatch) -> pa.RecordBatch:
        """The pieces as one batch of its own, picked row by row."""
        low = int(self.starts[self.inserted].min()) if self.inserted.any() else 0
        high = int(self.stops[self.inserted].max()) if self.inserted.any() else 0
        both = pa.concat_batches([base, delta.slice(low, high - low)])
        lengths = self.stops - self.starts
        offsets = np.where(self.inserted, base.num_rows - low, 0) + self.starts
        ends = np.cumsum(lengths)
        rows = np.repeat(offsets - ends + lengths, lengths) + np.arange(int(ends[-1]))
        return both.take(pa.array(rows))


def _identical(a: pa.Array, b: pa.Array) -> bool:
    """Whether two arrays of one type are equal to the bit, as far as that can be told at once."""
    if pt.is_dictionary(a.type):
        a, b = a.dictionary_decode(), b.dictionary_decode()
    if pt.is_floating(a.type):
        # To Arrow 0.0 equals -0.0.
        bits = (None, pa.uint16(), pa.uint32(), None, pa.uint64())[a.type.bit_width // 16]
        a, b = a.view(bits), b.view(bits)
    return not pt.is_nested(a.type) and bool(a.equals(b))


def _alive(part: Part) -> np.ndarray[Any, Any]:
    page, start, stop = part
    ops = page.ops()
    return np.ones(stop - start, np.bool_) if ops is None else ops[start:stop] == 0
