"""Chunks of the commit log: files that hold entries of many commits, and what they are searched by.

A chunk is a file `pages/log-NNNNNNNNNNNNNNNN-tag` (16 hex digits of its first LSN): an envelope (ABSDBLOG)
around an Arrow IPC file of schema SCHEMA with zstd buffers, in record batches of 4,096 rows but for the last.
A ChunkRef in the manifest has its size and CRC-32C, where its LSNs and times begin and end, and the last LSN of
each era in it: the newest states need no more than that. At first touch a chunk is checked, mapped, and 20 bytes
an entry are taken from it to search by; the rest is decoded one record batch at a time.

Called by commitlog.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pyarrow as pa

from absdb.catalog import envelope
from absdb.catalog.commit_entries import SCHEMA, Ints, numbers_of
from absdb.catalog.manifest import ChunkRef, chunk_name
from absdb.errors import CorruptionError, FormatVersionError
from absdb.ids import LSN_MAX, Lsn
from absdb.io.base import FileSystem
from absdb.paths import PAGES_DIR

MAGIC = b"ABSDBLOG"
FORMAT = 1
BATCH_ROWS = 4096
CHUNK_ROWS_MAX = 262_144


class Keys:
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

    def lasts(self) -> tuple[tuple[int, int], ...]:
        """(era, LSN of its last commit) for each era in the chunk, by era."""
        last = self._order[self._starts[1:] - 1]
        return tuple(zip(self._eras.tolist(), self.lsns[last].tolist(), strict=True))

    def surviving(self, lsn: int, pins: set[int], eras: Collection[int] | None, seen: set[int]) -> Ints:
        """Ints that `truncate_before` keeps; `seen` are the eras whose last commit came later."""
        keep = (self.lsns >= lsn) | np.isin(self.lsns, np.array([*pins], np.int64))
        for era in self._eras.tolist():
            below = self.between(era, -1, lsn - 1)
            if len(below):
                keep[below[-1]] |= era not in seen and (eras is None or era in eras)
                seen.add(era)
        return np.flatnonzero(keep)


class Chunk:
    """Entries as an Arrow IPC file: in memory (its ref has no name yet), or mapped once it was checked."""

    __slots__ = ("__weakref__", "_body", "_fs", "_keys", "_path", "_recent", "lasts", "ref")

    def __init__(self, ref: ChunkRef, fs: FileSystem | None, body: pa.Buffer | None = None) -> None:
        self.ref, self._path = ref, f"{PAGES_DIR}/{ref.name}"
        self.lasts = dict(ref.lasts)
        self._fs: Any = fs  # None while the body is in memory
        self._body = body
        self._keys: Keys | None = None
        self._recent: tuple[int, pa.RecordBatch] | None = None

    def stored(self, fs: FileSystem) -> Chunk:
        """This chunk as a file: itself if it is one, else written now."""
        if self._body is None or self.ref.name:
            return self
        name = chunk_name(self.ref.first_lsn, secrets.token_hex(4))
        data = envelope.pack(MAGIC, FORMAT, self._body.to_pybytes())
        envelope.write_new(fs, f"{PAGES_DIR}/{name}", data)
        return Chunk(replace(self.ref, name=name, size=len(data), crc=envelope.body_crc(data)), fs)

    def batches(self) -> Iterator[pa.RecordBatch]:
        return (self._batch(number) for number in range(-(-self.ref.count // BATCH_ROWS)))

    def rows(self, positions: Ints) -> Iterator[pa.RecordBatch]:
        """The entries at these positions, which ascend or descend; a batch for each batch of the file."""
        cuts = np.flatnonzero(np.diff(positions // BATCH_ROWS)) + 1
        for part in np.split(positions, cuts) if len(positions) else ():
            yield self._batch(int(part[0]) // BATCH_ROWS).take(pa.array(part % BATCH_ROWS))

    def keys(self) -> Keys:
        if self._keys is None:
            table = self._read([0, 1, 2], lambda reader: reader.read_all())
            lsns, times, eras = map(numbers_of, table.combine_chunks().to_batches()[0].columns)
            rising = np.all(np.diff(lsns) > 0) and np.all(np.diff(times) > 0)
            keys = Keys(lsns, times, eras)
            found = (len(lsns), lsns[0], lsns[-1], times[0], times[-1], keys.lasts())
            if not rising or found != astuple(self.ref)[3:]:
                raise envelope.damaged(self._path, 0, "LSNs, times and eras", "rising, as listed", "others")
            self._keys = keys
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
            try:
                self._body = envelope.map_checked(self._fs, self._path, MAGIC, FORMAT, (size, crc))
            except FormatVersionError:
                raise
            except CorruptionError as error:
                first, last = Lsn(self.ref.first_lsn), Lsn(self.ref.last_lsn)
                error.hint = (
                    f"restore the file from a backup. Until then log() and points in the past fail that need what "
                    f"was committed from LSN {first} to {last}; all else can be read and written"
                )
                raise
        return envelope.read_ipc(self._body, self._path, fields, read)


def seal(batches: list[pa.RecordBatch]) -> list[Chunk]:
    """Chunks in memory that hold these entries."""
    table, chunks = pa.Table.from_batches(batches, SCHEMA), []
    for start in range(0, table.num_rows, CHUNK_ROWS_MAX):
        part = table.slice(start, CHUNK_ROWS_MAX).combine_chunks()
        lsns, times, eras = (numbers_of(part[name].chunk(0)) for name in ("lsn", "time", "era"))
        first_lsn, last_lsn, first_us, last_us = (int(each[at]) for each in (lsns, times) for at in (0, -1))
        body = pa.py_buffer(envelope.ipc_body(part, BATCH_ROWS))
        lasts = Keys(lsns, times, eras).lasts()
        ref = ChunkRef("", 0, 0, part.num_rows, first_lsn, last_lsn, first_us, last_us, lasts)
        chunks.append(Chunk(ref, None, body))
    return chunks
