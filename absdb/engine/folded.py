"""Columns that reads have folded, kept while they are the most recently used: reading a state twice costs once.

A state never changes, so what was folded for it stays right whatever is flushed or compacted. What counts
against the bound is memory of their own (rewritten pages, converted columns); slices of mapped pages are
free. Called by engine/reader.py.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Hashable
from dataclasses import dataclass

import pyarrow as pa

ENTRIES_MAX = 1024
USES_RECENT = 1024


@dataclass(slots=True)
class _Kept:
    column: pa.ChunkedArray
    size: int
    used: int
    """The number of the use that was the last one."""


class FoldedCache:
    """Columns by what they are a read of. Safe for many threads."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._uses = 0
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
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
        size = owned_bytes(column)
        if size > self._bytes_max:
            return
        with self._mutex:
            old = self._kept.pop(key, None)
            self._bytes += size - (0 if old is None else old.size)
            self._uses += 1
            self._kept[key] = _Kept(column, size, self._uses)
            while self._bytes > self._bytes_max or len(self._kept) > ENTRIES_MAX:
                self._bytes -= self._kept.popitem(last=False)[1].size

    def room(self, leaving: Collection[Hashable]) -> int:
        """Bytes of the bound that none of the last USES_RECENT uses was for, but those of columns that will go."""
        with self._mutex:
            since = self._uses - USES_RECENT
            recent = (key for key, one in self._kept.items() if one.used > since and key not in leaving)
            return self._bytes_max - sum(self._kept[key].size for key in recent)


def owned_bytes(column: pa.ChunkedArray) -> int:
    """Bytes of a column that lie in memory of its own: buffers that are no part of another one, each once."""
    seen: dict[int, int] = {}
    for chunk in column.chunks:
        for buffer in chunk.buffers():
            if buffer is not None and buffer.parent is None:
                seen[buffer.address] = buffer.size
    return sum(seen.values())
