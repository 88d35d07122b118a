"""Columns that reads have folded, kept while they are the most recently used: reading a state twice costs once.

A state never changes, so what was folded for it stays right whatever is flushed or compacted. What counts
against the bound is memory of their own (rewritten pages, converted columns), once however many columns hold it:
states that differ in a few pages share the others. Slices of mapped pages are free. Called by engine/reader.py.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass

import pyarrow as pa

ENTRIES_MAX = 1024
USES_RECENT = 1024


@dataclass(slots=True)
class _Kept:
    column: pa.ChunkedArray
    buffers: Mapping[int, int]
    """Address to size of the memory of its own."""
    used: int
    """The number of the use that was the last one."""


class FoldedCache:
    """Columns by what they are a read of. Safe for many threads."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._uses = 0
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._holders: Counter[int] = Counter()
        """How many of the columns hold the memory at an address."""
        self._mutex = threading.Lock()

    def get(self, key: Hashable) -> pa.ChunkedArray | None:
        """The column of an earlier read, None if it is not kept."""
        with self._mutex:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            self._uses += 1
            found.used = self._uses
            return found.column

    def put(self, key: Hashable, column: pa.ChunkedArray) -> None:
        """Keep a column, unless it alone is over the bound; the least recently used ones make room."""
        buffers = _own_buffers(column)
        if sum(buffers.values()) > self._bytes_max:
            return
        with self._mutex:
            if key in self._kept:
                self._drop(key)
            self._uses += 1
            self._kept[key] = _Kept(column, buffers, self._uses)
            for address, size in buffers.items():
                self._holders[address] += 1
                if self._holders[address] == 1:
                    self._bytes += size
            self._make_room()

    def forget(self, key: Hashable) -> None:
        """Let go of a column, if it is kept."""
        with self._mutex:
            if key in self._kept:
                self._drop(key)

    def room(self, leaving: Collection[Hashable]) -> int:
        """Bytes of the bound that none of the last USES_RECENT uses was for, but those of columns that will go."""
        with self._mutex:
            since = self._uses - USES_RECENT
            recent: dict[int, int] = {}
            for key, one in self._kept.items():
                if one.used > since and key not in leaving:
                    recent.update(one.buffers)
            return self._bytes_max - sum(recent.values())

    def _make_room(self) -> None:
        """Drop columns but the newest until the bounds hold; those that free nothing, only if the others do not do."""
        for any_will_do in (False, True):
            for key in list(self._kept)[:-1]:
                crowded = len(self._kept) > ENTRIES_MAX
                if self._bytes <= self._bytes_max and not crowded:
                    return
                if any_will_do or crowded or self._frees(key):
                    self._drop(key)

    def _frees(self, key: Hashable) -> bool:
        return any(self._holders[address] == 1 for address in self._kept[key].buffers)

    def _drop(self, key: Hashable) -> None:
        for address, size in self._kept.pop(key).buffers.items():
            self._holders[address] -= 1
            if not self._holders[address]:
                del self._holders[address]
                self._bytes -= size


def owned_bytes(column: pa.ChunkedArray) -> int:
    """Bytes of a column that lie in memory of its own: buffers that are no part of another one, each once."""
    return sum(_own_buffers(column).values())


def _own_buffers(column: pa.ChunkedArray) -> dict[int, int]:
    """Address to size of the buffers of a column that are no part of another one."""
    return {
        buffer.address: buffer.size
        for chunk in column.chunks
        for buffer in chunk.buffers()
        if buffer is not None and buffer.size and buffer.parent is None
    }
