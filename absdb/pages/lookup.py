"""Keys to rows: where the newest version of each key is, over a cover's layers.

A cover is a list of Sections, newest first: the first layer that has a key decides, and if its row there is a
tombstone the key is absent. `lookup` answers many keys at once, layer by layer and page by page, without a
loop over rows; it opens only pages whose fences hold a probe that no newer layer has decided, and of those none
that has every integer between its fences. `lookup_one` answers one key in microseconds.

    layers (newest first)         probes  3  5  9  12          Found
    run    5 upsert, 9 delete                                  known  . x x x
    image  3? no, 5, 9, 12                                     alive  . x . x      rows from run, image

Called by the engine (before images, constraint checks), by versioning (both sides of a diff) and by tables
(point reads).
"""

from __future__ import annotations

import weakref
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from absdb.pages import key as keyed
from absdb.pages.key import KeyKind, Keys, KeySpec
from absdb.pages.projection import Ints, Projection
from absdb.pages.section import Key, Page, Section

BATCH_ROWS = 65_536
ALIGNED_MIN = 64
"""From so many probes in a page on it is tried whether they are a stretch of its keys."""
FINDER_DICT_ROWS = 4_096
FINDER_FENCES = 1_024


class Found:
    """Where each probe was found. Positions are those of the probes as they were passed in."""

    __slots__ = ("_dead", "_layers", "_pages", "_part", "_row")

    def __init__(self, pages: list[Page], layers: list[int], part: Ints, row: Ints, dead: Ints) -> None:
        """Probe i is row `row[i]` of `pages[part[i]]`, a tombstone if `dead[i]`; absent if `part[i]` is -1.

        `layers` are the numbers of the layers the pages are of, 0 the newest.
        """
        self._pages = pages
        self._layers = layers
        self._part = part
        self._row = row
        self._dead = dead

    def __len__(self) -> int:
        return len(self._part)

    @property
    def known(self) -> Ints:
        """Per probe, whether any layer has the key, be it as a tombstone."""
        return self._part >= 0

    @property
    def alive(self) -> Ints:
        """Per probe, whether there is a row with this key."""
        return (self._part >= 0) & ~self._dead

    def some(self, at: Ints) -> Found:
        """What was found for the probes at some positions, in their order."""
        return Found(self._pages, self._layers, self._part[at], self._row[at], self._dead[at])

    @property
    def layers(self) -> Ints:
        """Per probe the number of the layer that decided, 0 being the newest; -1 where none did.

        Of probes in key order, those of one layer lie in its pages one after the other.
        """
        numbers: Ints = np.array([*self._layers, -1], np.int16)[self._part]
        return numbers

    def lsns(self) -> Ints:
        """Per probe, the LSN of the row or tombstone that decided, 0 where there is none."""
        lsns = np.zeros(len(self._part), np.int64)
        order = np.argsort(self._part, kind="stable")
        cuts = np.searchsorted(self._part[order], np.arange(len(self._pages) + 1))
        for page, start, stop in zip(self._pages, cuts, cuts[1:], strict=False):
            if start < stop:
                at = order[start:stop]
                lsns[at] = page.lsns()[self._row[at]]
        return lsns

    def batches(self, projection: Projection, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """The rows of the alive probes, in the order of the probes, at most `rows` at a time."""
        at = np.flatnonzero(self.alive)
        for start in range(0, len(at), rows):
            some = at[start : start + rows]
            yield projection.gather(self._pages, self._part[some], self._row[some])

    def take(self, projection: Projection) -> pa.RecordBatch:
        """The rows of the alive probes, in the order of the probes, as one batch.

        For more rows than fit in memory, or more than 2 GiB in one string column, use `batches`.
        """
        at = np.flatnonzero(self.alive)
        whole = len(at) == len(self._part)
        part, row = (self._part, self._row) if whole else (self._part[at], self._row[at])
        return projection.gather(self._pages, part, row)


def lookup(spec: KeySpec, layers: Sequence[Section], keys: Keys) -> Found:
    """Find the newest version of each key in a cover's layers, newest first. Sorted keys are found faster.

    Keys may repeat and may come in any order; `Found` speaks of them in that order.
    """
    order: Ints | None = None
    if not keyed.is_increasing(keys, strict=True):
        order = keyed.sort_order(keys)
        keys = keyed.take(keys, order)
        starts = keyed.runs_of_equal(keys)
        unique = np.cumsum(starts) - 1
        keys = keyed.take(keys, np.flatnonzero(starts))
    search = _Search(keys)
    for number, section in enumerate(layers):
        if search.open:
            search.visit(section)
            search.layers += [number] * (len(search.pages) - len(search.layers))
    found = search.part, search.row, search.dead
    if order is not None:
        place = np.empty(len(order), np.int64)
        place[order] = unique
        found = search.part[place], search.row[place], search.dead[place]
    return Found(search.pages, search.layers, *found)


class _Search:
    """The state of one lookup: strictly increasing probes and what is known about each so far."""

    __slots__ = ("dead", "keys", "layers", "open", "pages", "part", "row")

    def __init__(self, keys: Keys) -> None:
        count = keyed.length(keys)
        self.keys = keys
        self.pages: list[Page] = []
        self.layers: list[int] = []
        self.part = np.full(count, -1, np.int32)
        self.row = np.zeros(count, np.int64)
        self.dead = np.zeros(count, np.bool_)
        self.open = count
        """Probes that no layer has decided yet."""

    def visit(self, section: Section) -> None:
        """Decide the probes that this layer has and no newer one had."""
        if not section.pages:
            return
        starts = keyed.search(self.keys, section.firsts, "left")
        stops = keyed.search(self.keys, section.lasts, "right")
        touched = np.flatnonzero(starts < stops)
        dense = section.dense[touched]
        if dense.any():
            for numbers in _stretches(touched[dense], starts, stops):
                self._visit_dense(section, numbers, starts, stops)
            touched = touched[~dense]
        for number in touched.tolist():
            start, stop = int(starts[number]), int(stops[number])
            undecided = self.part[start:stop] < 0
            if undecided.any():
                self._visit_page(section.pages[number], start, stop, undecided)

    def _visit_dense(self, section: Section, numbers: Ints, starts: Ints, stops: Ints) -> None:
        """Pages that hold every integer between their fences: a row's place follows from its key."""
        start, stop = int(starts[numbers[0]]), int(stops[numbers[-1]])
        counts = stops[numbers] - starts[numbers]
        part, row = self.part[start:stop], self.row[start:stop]
        new = part < 0
        places = np.arange(len(self.pages), len(self.pages) + len(numbers), dtype=part.dtype)
        rows = (self.keys[start:stop] - np.repeat(section.firsts[numbers], counts)).view(row.dtype)
        np.copyto(row, rows, where=new)
        np.copyto(part, np.repeat(places, counts), where=new)
        self.open -= int(np.count_nonzero(new))
        self.pages += [section.pages[number] for number in numbers.tolist()]

    def _visit_page(self, page: Page, start: int, stop: int, undecided: Ints) -> None:
        left = int(np.count_nonzero(undecided))
        if 2 * left < len(undecided):
            asked = np.flatnonzero(undecided)
            found, rows = _matches(keyed.take(self.keys, asked + start), page)
            probes = asked[found] + start
        else:
            probes, rows = _matches(keyed.slice(self.keys, start, stop), page)
            if left < len(undecided):
                new = undecided[probes]
                probes, rows = probes[new], rows[new]
            probes = probes + start
        if not len(probes):
            return
        self.part[probes] = len(self.pages)
        self.row[probes] = rows
        ops = page.ops()
        if ops is not None:
            self.dead[probes] = ops[rows] != 0
        self.pages.append(page)
        self.open -= len(probes)


def _stretches(numbers: Ints, starts: Ints, stops: Ints) -> list[Ints]:
    """Numbers of pages, cut where there are probes between the last key of one and the first of the next."""
    return np.split(numbers, np.flatnonzero(starts[numbers[1:]] != stops[numbers[:-1]]) + 1)


def _matches(probes: Keys, page: Page) -> tuple[Ints, Ints]:
    """Which probes are which rows of the page. All probes lie between its first and its last key."""
    keys, count = page.keys(), keyed.length(probes)
    if count >= ALIGNED_MIN and (start := _aligned(probes, keys)) >= 0:
        return np.arange(count), np.arange(start, start + count)
    if page.rows < count:
        at = np.minimum(keyed.search(probes, keys, "left"), count - 1)
        rows = np.flatnonzero(keyed.equal(keyed.take(probes, at), keys))
        return at[rows], rows
    at = keyed.search(keys, probes, "left")
    hits = np.flatnonzero(keyed.equal(keyed.take(keys, at), probes))
    return hits, at[hits]


def _aligned(probes: Keys, keys: Keys) -> int:
    """Where the probes stand in the keys one after the other, as those of what a run wrote do; -1 if they do not."""
    count = keyed.length(probes)
    start = keyed.search_one(keys, keyed.first(probes))
    stop = start + count
    if stop > keyed.length(keys) or keyed.at(keys, stop - 1) != keyed.last(probes):
        return -1
    return start if bool(keyed.equal(keyed.slice(keys, start, stop), probes).all()) else -1


def lookup_one(spec: KeySpec, layers: Sequence[Section], key: Key) -> tuple[Page, int] | None:
    """The page and row of the newest version of one key, layers newest first; None if no such row lives."""
    binary = spec.kind is not KeyKind.INTEGER
    for section in layers:
        number = section.page_for(key)
        if number == len(section.pages):
            continue
        page = section.pages[number]
        if key < page.first:
            continue
        row = _finder(page.keys()).find(key) if binary else page.find(key)
        if row >= 0:
            ops = page.ops()
            return (page, row) if ops is None or not ops[row] else None
    return None


def row_values(page: Page, row: int, projection: Projection) -> tuple[Any, ...]:
    """One row as logical Python values, in the order of the projection's columns."""
    return tuple([column[row].as_py() for column in projection.readers(page.batch())])


class _Finder:
    """Finds single keys among the binary keys of a page, in a microsecond or two where pyarrow takes seven.

    The keys of a small page, as those of the runs on top of an image are, go into a dict. Of a large one only
    every `step`-th is held, and between two of those the memory of the array itself is bisected.
    """

    __slots__ = ("_all", "_data", "_fences", "_offsets", "_rows", "_step")

    def __init__(self, keys: Any) -> None:
        _, offsets, data = keys.buffers()
        self._rows = len(keys)
        self._offsets = memoryview(offsets).cast("i")[keys.offset : keys.offset + self._rows + 1]
        self._data = memoryview(data if data is not None else b"")
        self._step = -(-self._rows // FINDER_FENCES)
        self._fences: list[Any] = []
        self._all: dict[Key, int] | None = None
        if self._rows <= FINDER_DICT_ROWS:
            self._all = dict(zip(keyed.to_list(keys), range(self._rows), strict=True))
        else:
            self._fences = keyed.to_list(keyed.take(keys, np.arange(0, self._rows, self._step)))

    def find(self, key: Any) -> int:
        """The row of the key, -1 if there is none."""
        if self._all is not None:
            return self._all.get(key, -1)
        number = bisect_right(self._fences, key) - 1
        if number < 0:
            return -1
        low = number * self._step
        high = min(low + self._step, self._rows) - 1
        offsets, data = self._offsets, self._data
        while low < high:
            row = (low + high + 1) >> 1
            if bytes(data[offsets[row] : offsets[row + 1]]) <= key:
                low = row
            else:
                high = row - 1
        return low if bytes(data[offsets[low] : offsets[low + 1]]) == key else -1


_finders: dict[int, tuple[Any, _Finder]] = {}
"""By the id of a page's keys, for as long as these live."""


def _finder(keys: Any) -> _Finder:
    held = _finders.get(id(keys))
    if held is not None and held[0]() is keys:
        return held[1]
    finder, number = _Finder(keys), id(keys)
    _finders[number] = (weakref.ref(keys, lambda _: _finders.pop(number, None)), finder)
    return finder
