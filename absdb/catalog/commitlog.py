"""The log of an instance's commits: who changed what when, and which commit was the last at some point.

LSNs and times strictly increase. New entries are plain objects in lists that only grow (one over all, one per
era), so readers bisect them without a lock. A checkpoint writes them as chunk files and puts new lists in
place of the old, which readers who have them keep.

A chunk (commit_chunks.py) less than twice as long as what follows is merged with that, up to 262,144 entries: the
number of chunks grows as the logarithm, then by one or two per 262,144 commits. One that cannot be read stays as
it is and costs what asks for its commits; the newest states are found without it. Who holds an iterator holds the
chunks it was made over, and garbage collection leaves their files (`in_use`). Called by the commit path, time
travel, log() and the checkpoint.
"""

from __future__ import annotations

import sys
import threading
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain, pairwise
from operator import attrgetter
from typing import NamedTuple, Self, TypeVar
from weakref import WeakSet

import numpy as np
import pyarrow as pa

from absdb.catalog import commit_chunks
from absdb.catalog.commit_chunks import Chunk, seal
from absdb.catalog.commit_entries import SCHEMA, CommitEntry, Ints, decode_entries, encode_entries, frame_of
from absdb.catalog.manifest import ChunkRef
from absdb.errors import CorruptionError, InvalidInputError
from absdb.ids import LSN_MAX
from absdb.io.base import FileSystem

EraSpan = tuple[int, int, int]  # (era, after_lsn, upto_lsn): the commits of one era in (after, upto]
T = TypeVar("T")
_LSN, _TIME_US = attrgetter("lsn"), attrgetter("time_us")
_HOLDING = threading.Lock()  # a set of weak references must not grow while somebody goes through it
_FIRST_LSN, _FIRST_US = attrgetter("ref.first_lsn"), attrgetter("ref.first_us")


class _State(NamedTuple):
    """What readers see: replaced as a whole, but for the lists of new entries, which grow."""

    chunks: tuple[Chunk, ...]
    fresh: list[CommitEntry]
    by_era: dict[int, list[CommitEntry]]


class CommitLog:
    """All commits of the instance that retention has kept. One thread appends; any number read."""

    def __init__(self, chunks: Iterable[Chunk] = (), held: WeakSet[Chunk] | None = None) -> None:
        self._state = _State(tuple(chunks), [], {})
        self._held = WeakSet[Chunk]() if held is None else held  # every chunk with a file that anybody has
        self._hold(self._state.chunks)
        self._appending = threading.Lock()  # held for each append and while a new state is put in place
        self._reshaping = threading.Lock()  # held by flush and truncate_before from beginning to end
        last = self._state.chunks[-1].ref if self._state.chunks else None
        self.last_lsn, self.last_time_us = (last.last_lsn, last.last_us) if last else (0, -LSN_MAX)

    @classmethod
    def open(cls, fs: FileSystem, chunks: Sequence[ChunkRef], instead_of: CommitLog | None = None) -> Self:
        """The log as a manifest lists it, oldest first. Reads no file yet: damage shows at first use.

        What readers have of `instead_of`, the log of an earlier manifest, counts as in use.
        """
        for one, two in pairwise(chunks):
            if one.last_lsn >= two.first_lsn or one.last_us >= two.first_us:
                raise CorruptionError(f"the commit log's chunks {one.name} and {two.name} overlap")
        return cls((Chunk(ref, fs) for ref in chunks), instead_of._held if instead_of else None)

    def __len__(self) -> int:
        state = self._state
        return sum(chunk.ref.count for chunk in state.chunks) + len(state.fresh)

    def append(self, entry: CommitEntry) -> None:
        """Add the newest commit, visible at once; InvalidInputError unless LSN and time have grown."""
        self.extend((entry,))

    def extend(self, entries: Iterable[CommitEntry]) -> None:
        """Add the newest commits, in order."""
        with self._appending:
            _, fresh, by_era = self._state
            for entry in entries:
                if entry.lsn <= self.last_lsn or entry.time_us <= self.last_time_us:
                    last = f"{self.last_lsn} at {self.last_time_us} µs"
                    raise InvalidInputError(f"commit {entry.lsn} at {entry.time_us} µs is not after {last}")
                # Its era first: readers take the last of `fresh` as their bound and must find all up to there.
                of_era = by_era.get(entry.era)
                if of_era is None:
                    of_era = by_era[entry.era] = []
                of_era.append(entry)
                fresh.append(entry)
                self.last_lsn, self.last_time_us = entry.lsn, entry.time_us

    def in_use(self) -> set[str]:
        """Names of the chunk files that this log or any iterator over it reads from: none of them may go."""
        with _HOLDING:
            return {chunk.ref.name for chunk in self._held}

    def _hold(self, chunks: Iterable[Chunk]) -> None:
        with _HOLDING:
            for chunk in chunks:
                if chunk.ref.name:
                    self._held.add(chunk)

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
            if chunk.ref.first_lsn <= lsn and (last := chunk.lasts.get(era)) is not None:
                if last <= lsn:
                    return last
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

    def time_at_or_below(self, lsn: int) -> int | None:
        """When the last commit of the instance at or below `lsn` was made; None if there is none."""
        state = self._state
        entry = _last(state.fresh, lsn, _LSN)
        if entry is not None:
            return entry.time_us
        chunk = _last(state.chunks, lsn, _FIRST_LSN)
        if chunk is None:
            return None
        if lsn >= chunk.ref.last_lsn:
            return chunk.ref.last_us
        return int(chunk.keys().times[np.searchsorted(chunk.keys().lsns, lsn, "right") - 1])

    def first_time_after(self, lsn: int) -> int | None:
        """When the first commit of the instance behind `lsn` was made; None if there is none."""
        state = self._state
        for chunk in state.chunks:
            if chunk.ref.last_lsn > lsn:
                keys = chunk.keys()
                return int(keys.times[np.searchsorted(keys.lsns, lsn, "right")])
        at = bisect_right(state.fresh, lsn, key=_LSN)
        return state.fresh[at].time_us if at < len(state.fresh) else None

    def entries(
        self, eras: Iterable[EraSpan], *, newest_first: bool = True, limit: int | None = None
    ) -> Iterator[CommitEntry]:
        """The commits in any of the spans, each once, in LSN order; decoded as they are taken."""
        parts = _parts(self._state, list(eras), newest_first, limit)
        return chain.from_iterable(part if isinstance(part, list) else decode_entries(part) for part in parts)

    def commits_at(self, lsns: Ints) -> pa.Table:
        """The commits that end at these LSNs, which ascend, as a table of commit_entries.SCHEMA.

        Those that the log does not have are missing. Costs a search an LSN, and the record batches they lie in.
        """
        state = self._state
        found: list[pa.RecordBatch] = []
        for chunk in state.chunks:
            first, end = np.searchsorted(lsns, [chunk.ref.first_lsn, chunk.ref.last_lsn + 1])
            if first < end:
                at = np.searchsorted(chunk.keys().lsns, lsns[first:end])
                found += chunk.rows(at[chunk.keys().lsns[at] == lsns[first:end]])
        if state.fresh:
            wanted = lsns[np.searchsorted(lsns, state.fresh[0].lsn) :].tolist()
            near = (_last(state.fresh, lsn, _LSN) for lsn in wanted)
            entries = [entry for lsn, entry in zip(wanted, near, strict=True) if entry and entry.lsn == lsn]
            found.append(encode_entries(entries))
        return pa.Table.from_batches(found, SCHEMA)

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
            while (
                count and keep and sizes[keep - 1] < min(2 * total, commit_chunks.CHUNK_ROWS_MAX - total + 1)
            ):
                keep, total = keep - 1, total + sizes[keep - 1]
            sealed = list(state.chunks)
            if count:
                keep, stored = _readable(state.chunks, keep)
                sealed = [*state.chunks[:keep], *seal([*stored, encode_entries(state.fresh[:count])])]
            merged = state.chunks[keep:]
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
            self._replace([*seal(left), *state.chunks[len(cut) :]], kept[::-1], count)
            return [chunk.ref.name for chunk in cut if chunk.ref.name]

    def _replace(self, chunks: Sequence[Chunk], kept: list[CommitEntry], count: int) -> None:
        """Put new chunks in place, and `kept` instead of the first `count` new entries."""
        with self._appending:
            fresh = kept + self._state.fresh[count:]
            by_era: dict[int, list[CommitEntry]] = {}
            for entry in fresh:
                by_era.setdefault(entry.era, []).append(entry)
            self._hold(chunks)
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


def _readable(chunks: Sequence[Chunk], first: int) -> tuple[int, list[pa.RecordBatch]]:
    """From which chunk on, at `first` or later, all can be read, and the batches of these.

    One that is damaged is not merged with others: what it lists stays known, and it may come back from a backup.
    """
    stored: list[pa.RecordBatch] = []
    for at in range(len(chunks) - 1, first - 1, -1):
        try:
            stored[:0] = chunks[at].batches()
        except CorruptionError:
            return at + 1, stored  # reported by whoever asks for its commits, and by check()
    return first, stored


def _last(items: Sequence[T], value: int, key: Callable[[T], int]) -> T | None:
    """The last item whose key is at or below the value."""
    return items[at - 1] if (at := bisect_right(items, value, key=key)) else None
