"""The log of an instance's commits: who changed what when, and which commit was the last at some point.

LSNs and times strictly increase. New entries are plain objects in lists that only grow (one over all, one per
era), so readers bisect them without a lock. A checkpoint writes them as chunk files and puts new lists in
place of the old, which readers who have them keep.

A chunk is a file `pages/log-NNNNNNNNNNNNNNNN-tag` (16 hex digits of its first LSN): an envelope (ABSDBLOG)
around an Arrow IPC file of schema SCHEMA with zstd buffers, in record batches of 4,096 rows but for the last.
A ChunkRef in the manifest has its size and CRC-32C. A chunk less than twice as long as what follows is merged
with that, up to 262,144 entries: the number of chunks grows as the logarithm, then by one or two per 262,144
commits. At first touch a chunk is checked, mapped, and 20 bytes an entry are taken from it to search by; the
rest is decoded one record batch at a time. Called by the commit path, time travel, log() and the checkpoint.
"""

from __future__ import annotations

import secrets
import sys
import threading
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import astuple, replace
from itertools import chain, pairwise
from operator import attrgetter
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import pyarrow as pa

from absdb.catalog import envelope
from absdb.catalog.commit_entries import (
    SCHEMA,
    CommitEntry,
    Ints,
    decode_entries,
    encode_entries,
    frame_of,
    numbers_of,
)
from absdb.catalog.manifest import ChunkRef, chunk_name
from absdb.errors import CorruptionError, InvalidInputError
from absdb.ids import LSN_MAX
from absdb.io.base import FileSystem
from absdb.paths import PAGES_DIR

MAGIC = b"ABSDBLOG"
FORMAT = 1
BATCH_ROWS = 4096
CHUNK_ROWS_MAX = 262_144

EraSpan = tuple[int, int, int]  # (era, after_lsn, upto_lsn): the commits of one era in (after, upto]
T = TypeVar("T")
_LSN, _TIME_US = attrgetter("lsn"), attrgetter("time_us")
_FIRST_LSN, _FIRST_US = attrgetter("ref.first_lsn"), attrgetter("ref.first_us")


class _State(NamedTuple):
    """What readers see: replaced as a whole, but for the lists of new entries, which grow."""

    chunks: tuple[_Chunk, ...]
    fresh: list[CommitEntry]
    by_era: dict[int, list[CommitEntry]]


class CommitLog:
    """All commits of the instance that retention has kept. One thread appends; any number read."""

    def __init__(self, chunks: Iterable[_Chunk] = ()) -> None:
        self._state = _State(tuple(chunks), [], {})
        self._appending = threading.Lock()  # held for each append and while a new state is put in place
        self._reshaping = threading.Lock()  # held by flush and truncate_before from beginning to end
        last = self._state.chunks[-1].ref if self._state.chunks else None
        self.last_lsn, self.last_time_us = (last.last_lsn, last.last_us) if last else (0, -LSN_MAX)

    @classmethod
    def open(cls, fs: FileSystem, chunks: Sequence[ChunkRef]) -> Self:
        """The log as a manifest lists it, oldest first. Reads no file yet: damage shows at first use."""
        for one, two in pairwise(chunks):
            if one.last_lsn >= two.first_lsn or one.last_us >= two.first_us:
                raise CorruptionError(f"the commit log's chunks {one.name} and {two.name} overlap")
        return cls(_Chunk(ref, fs) for ref in chunks)

    def __len__(self) -> int:
        state = self._state
        return sum(chunk.ref.count for chunk in state.chunks) + len(state.fresh)

    def append(self, entry: CommitEntry) -> None:
        """Add the newest commit, visible at once; InvalidInputError unless LSN and time have grown."""
        with self._appending:
            if entry.lsn <= self.last_lsn or entry.time_us <= self.last_time_us:
                last = f"{self.last_lsn} at {self.last_time_us} µs"
                raise InvalidInputError(f"commit {entry.lsn} at {entry.time_us} µs is not after {last}")
            _, fresh, by_era = self._state
            # Its era first: readers take the last of `fresh` as their bound and must find all up to there.
            by_era.setdefault(entry.era, []).append(entry)
            fresh.append(entry)
            self.last_lsn, self.last_time_us = entry.lsn, entry.time_us

    def verify(self) -> Iterator[CorruptionError]:
        """Read every chunk once more and compare it; yield what is wrong with each that is damaged."""
        for chunk in self._state.chunks:
            try:
                chunk.verify()
            except CorruptionError as error:
                yield error

    def last_at_or_below(self, era: int, lsn: int) -> int | None:
        """The LSN of the era's last commit at or below `lsn`; None if it has none there."""
        state = self._state
        entry = _last(state.by_era.get(era, ()), lsn, _LSN)
        if entry is not None:
            return entry.lsn
        for chunk in reversed(state.chunks):
            if chunk.ref.first_lsn <= lsn:
                found = chunk.keys().between(era, -1, lsn)
                if len(found):
                    return int(chunk.keys().lsns[found[-1]])
        return None

    def lsn_at_time(self, time_us: int) -> int:
        """The last commit of the instance at or before a time, as an LSN; 0 if there is none."""
        state = self._state
        entry = _last(state.fresh, time_us, _TIME_US)
        if entry is not None:
            return entry.lsn
        chunk = _last(state.chunks, time_us, _FIRST_US)
        if chunk is None or time_us >= chunk.ref.last_us:
            return chunk.ref.last_lsn if chunk else 0
        return int(chunk.keys().lsns[np.searchsorted(chunk.keys().times, time_us, "right") - 1])

    def time_of(self, lsn: int) -> int | None:
        """When the commit that ends at `lsn` was made; None if no commit ends there."""
        state = self._state
        entry = _last(state.fresh, lsn, _LSN)
        if entry is not None:
            return entry.time_us if entry.lsn == lsn else None
        chunk = _last(state.chunks, lsn, _FIRST_LSN)
        if chunk is None or lsn > chunk.ref.last_lsn:
            return None
        at = int(np.searchsorted(chunk.keys().lsns, lsn))
        return int(chunk.keys().times[at]) if chunk.keys().lsns[at] == lsn else None

    def entries(
        self, eras: Iterable[EraSpan], *, newest_first: bool = True, limit: int | None = None
    ) -> Iterator[CommitEntry]:
        """The commits in any of the spans, each once, in LSN order; decoded as they are taken."""
        parts = _parts(self._state, list(eras), newest_first, limit)
        return chain.from_iterable(part if isinstance(part, list) else decode_entries(part) for part in parts)

    def frame_columns(
        self, eras: Iterable[EraSpan], *, newest_first: bool = True, limit: int | None = None
    ) -> pa.Table:
        """`entries` as a table: lsn, time, author, message, kind, rows_inserted/_updated/_deleted, tables."""
        parts = _parts(self._state, list(eras), newest_first, limit)
        return frame_of([encode_entries(part) if isinstance(part, list) else part for part in parts])

    def flush(self, fs: FileSystem, *, upto: int | None = None) -> tuple[list[ChunkRef], list[str]]:
        """Put the entries at or below `upto` (None: all) into chunk files, durable on return.

        Gives the chunks that hold the log now, for the manifest, and names of files that only older manifests
        need; none is removed. A checkpoint passes its LSN as `upto`, so that replay after it appends the rest
        again. If this fails nothing has changed.
        """
        with self._reshaping:
            state = self._state
            count = len(state.fresh) if upto is None else bisect_right(state.fresh, upto, key=_LSN)
            sizes = [chunk.ref.count for chunk in state.chunks]
            keep, total = len(sizes), count
            while count and keep and sizes[keep - 1] < min(2 * total, CHUNK_ROWS_MAX - total + 1):
                keep, total = keep - 1, total + sizes[keep - 1]
            sealed, merged = list(state.chunks[:keep]), state.chunks[keep:]
            if count:
                stored = [batch for chunk in merged for batch in chunk.batches()]
                sealed += _seal([*stored, encode_entries(state.fresh[:count])])
            chunks = [chunk.stored(fs) for chunk in sealed]
            self._replace(chunks, [], count)
            return [chunk.ref for chunk in chunks], [c.ref.name for c in merged if c.ref.name]

    def truncate_before(
        self, lsn: int, *, eras: Collection[int] | None = None, pinned: Iterable[int] = ()
    ) -> list[str]:
        """Drop the commits below `lsn` but for the `pinned` ones and the last of each of `eras` (None: all).

        The last one of an era below the cut stays because databases that have rested since then stand on it.
        Gives the names of chunk files that no manifest written after the next flush will need.
        """
        with self._reshaping:
            state = self._state
            count = bisect_right(state.fresh, lsn - 1, key=_LSN)
            pins, seen, kept = {*pinned}, set[int](), list[CommitEntry]()
            for entry in reversed(state.fresh[:count]):
                last = entry.era not in seen and (eras is None or entry.era in eras)
                if last or entry.lsn in pins:
                    kept.append(entry)
                seen.add(entry.era)
            cut = [chunk for chunk in state.chunks if chunk.ref.first_lsn < lsn]
            rows = [chunk.keys().surviving(lsn, pins, eras, seen) for chunk in reversed(cut)][::-1]
            if sum(map(len, rows)) == sum(chunk.ref.count for chunk in cut):
                cut, rows = [], []  # nothing to drop, as after an earlier cut
            left = [batch for chunk, at in zip(cut, rows, strict=True) for batch in chunk.rows(at)]
            self._replace([*_seal(left), *state.chunks[len(cut) :]], kept[::-1], count)
            return [chunk.ref.name for chunk in cut if chunk.ref.name]

    def _replace(self, chunks: Sequence[_Chunk], kept: list[CommitEntry], count: int) -> None:
        """Put new chunks in place, and `kept` instead of the first `count` new entries."""
        with self._appending:
            fresh = kept + self._state.fresh[count:]
            by_era: dict[int, list[CommitEntry]] = {}
            for entry in fresh:
                by_era.setdefault(entry.era, []).append(entry)
            self._state = _State(tuple(chunks), fresh, by_era)


def _parts(
    state: _State, spans: list[EraSpan], newest_first: bool, limit: int | None
) -> Iterator[list[CommitEntry] | pa.RecordBatch]:
    """The commits in the spans: new ones as objects, before or after those of chunks, as batches."""
    bound = state.fresh[-1].lsn if state.fresh else 0
    left = sys.maxsize if limit is None else max(0, limit)
    found: dict[int, CommitEntry] = {}
    for era, after, upto in spans:
        of_era = state.by_era.get(era, [])
        first, end = (bisect_right(of_era, lsn, key=_LSN) for lsn in (after, min(upto, bound)))
        part = of_era[max(first, end - left) : end] if newest_first else of_era[first:end][:left]
        found.update((entry.lsn, entry) for entry in part)
    new = sorted(found.values(), key=_LSN, reverse=newest_first)
    if newest_first:
        yield new[:left]
        left -= len(new)
    for chunk in reversed(state.chunks) if newest_first else state.chunks:
        near = [s for s in spans if s[1] < chunk.ref.last_lsn and s[2] >= chunk.ref.first_lsn]
        if near and left > 0:
            chosen = np.zeros(chunk.ref.count, bool)
            for span in near:
                chosen[chunk.keys().between(*span)] = True
            at = np.flatnonzero(chosen)[:: -1 if newest_first else 1][:left]
            yield from chunk.rows(at)
            left -= len(at)
    if not newest_first:
        yield new[: max(0, left)]


class _Keys:
    """What a chunk is searched by: LSNs, times, and for each era the positions of its commits, ascending."""

    __slots__ = ("_eras", "_order", "_starts", "lsns", "times")

    def __init__(self, lsns: Ints, times: Ints, eras: Ints) -> None:
        self.lsns, self.times = lsns, times
        self._order = np.argsort(eras, kind="stable").astype(np.int32)
        self._eras, starts = np.unique(eras[self._order], return_index=True)
        self._starts = np.append(starts, len(eras))

    def between(self, era: int, after: int, upto: int) -> Ints:
        """Ints of the era's commits in (after, upto]."""
        at = int(np.searchsorted(self._eras, era))
        if at == len(self._eras) or self._eras[at] != era:
            return self._order[:0]
        positions = self._order[self._starts[at] : self._starts[at + 1]]
        bounds = np.searchsorted(self.lsns, [max(after, -1), min(upto, LSN_MAX)], "right")
        # Of the type of the positions: numpy would otherwise convert all of them at each search.
        first, end = np.searchsorted(positions, bounds.astype(np.int32))
        return positions[first:end]

    def surviving(self, lsn: int, pins: set[int], eras: Collection[int] | None, seen: set[int]) -> Ints:
        """Ints that `truncate_before` keeps; `seen` are the eras whose last commit came later."""
        keep = (self.lsns >= lsn) | np.isin(self.lsns, np.array([*pins], np.int64))
        for era in self._eras.tolist():
            below = self.between(era, -1, lsn - 1)
            if len(below):
                keep[below[-1]] |= era not in seen and (eras is None or era in eras)
                seen.add(era)
        return np.flatnonzero(keep)


class _Chunk:
    """Entries as an Arrow IPC file: in memory (its ref has no name yet), or mapped once it was checked."""

    __slots__ = ("_body", "_fs", "_keys", "_path", "_recent", "ref")

    def __init__(self, ref: ChunkRef, fs: FileSystem | None, body: pa.Buffer | None = None) -> None:
        self.ref, self._path = ref, f"{PAGES_DIR}/{ref.name}"
        self._fs: Any = fs  # None while the body is in memory
        self._body = body
        self._keys: _Keys | None = None
        self._recent: tuple[int, pa.RecordBatch] | None = None

    def stored(self, fs: FileSystem) -> _Chunk:
        """This chunk as a file: itself if it is one, else written now."""
        if self._body is None or self.ref.name:
            return self
        name = chunk_name(self.ref.first_lsn, secrets.token_hex(4))
        data = envelope.pack(MAGIC, FORMAT, self._body.to_pybytes())
        envelope.write_new(fs, f"{PAGES_DIR}/{name}", data)
        return _Chunk(replace(self.ref, name=name, size=len(data), crc=envelope.body_crc(data)), fs)

    def batches(self) -> Iterator[pa.RecordBatch]:
        return (self._batch(number) for number in range(-(-self.ref.count // BATCH_ROWS)))

    def rows(self, positions: Ints) -> Iterator[pa.RecordBatch]:
        """The entries at these positions, which ascend or descend; a batch for each batch of the file."""
        cuts = np.flatnonzero(np.diff(positions // BATCH_ROWS)) + 1
        for part in np.split(positions, cuts) if len(positions) else ():
            yield self._batch(int(part[0]) // BATCH_ROWS).take(pa.array(part % BATCH_ROWS))

    def keys(self) -> _Keys:
        if self._keys is None:
            table = self._read([0, 1, 2], lambda reader: reader.read_all())
            lsns, times, eras = map(numbers_of, table.combine_chunks().to_batches()[0].columns)
            rising = np.all(np.diff(lsns) > 0) and np.all(np.diff(times) > 0)
            listed = astuple(self.ref)[3:]
            if not rising or (len(lsns), lsns[0], lsns[-1], times[0], times[-1]) != listed:
                raise envelope.damaged(self._path, 0, "LSNs and times", "rising, as listed", "others")
            self._keys = _Keys(lsns, times, eras)
        return self._keys

    def verify(self) -> None:
        """Raise CorruptionError if the file is not what the manifest lists; one that is in memory is."""
        if self.ref.name:
            envelope.map_checked(self._fs, self._path, MAGIC, FORMAT, (self.ref.size, self.ref.crc))
            self.keys()

    def _batch(self, number: int) -> pa.RecordBatch:
        recent = self._recent
        if recent is None or recent[0] != number:
            recent = self._recent = number, self._read(None, lambda reader: reader.get_batch(number))
        return recent[1]

    def _read(self, fields: list[int] | None, read: Callable[[Any], Any]) -> Any:
        """Something of the IPC file; CorruptionError at first touch if it is not what the manifest lists."""
        if self._body is None:
            size, crc = self.ref.size, self.ref.crc
            self._body = envelope.map_checked(self._fs, self._path, MAGIC, FORMAT, (size, crc))
        return envelope.read_ipc(self._body, self._path, fields, read)


def _seal(batches: list[pa.RecordBatch]) -> list[_Chunk]:
    """Chunks in memory that hold these entries."""
    table, chunks = pa.Table.from_batches(batches, SCHEMA), []
    for start in range(0, table.num_rows, CHUNK_ROWS_MAX):
        part = table.slice(start, CHUNK_ROWS_MAX).combine_chunks()
        columns = (numbers_of(part[name].chunk(0)) for name in ("lsn", "time"))
        ends = [int(column[at]) for column in columns for at in (0, -1)]
        body = pa.py_buffer(envelope.ipc_body(part, BATCH_ROWS))
        chunks.append(_Chunk(ChunkRef("", 0, 0, part.num_rows, *ends), None, body))
    return chunks


def _last(items: Sequence[T], value: int, key: Callable[[T], int]) -> T | None:
    """The last item whose key is at or below the value."""
    return items[at - 1] if (at := bisect_right(items, value, key=key)) else None
