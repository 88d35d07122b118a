"""Columns that reads have folded, kept while they are the most recently used: reading a state twice costs once.

A state never changes, so what was folded for it stays right whatever is flushed or compacted. What counts
against the bound is memory of their own (rewritten pages, converted columns); slices of mapped pages are
free. Called by engine/reader.py.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

import pyarrow as pa

ENTRIES_MAX = 1024


class FoldedCache:
    """Columns by what they are a read of. Safe for many threads."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[Hashable, tuple[pa.ChunkedArray, int]] = OrderedDict()
        self._mutex = threading.Lock()

    def get(self, key: Hashable) -> pa.ChunkedArray | None:
        """The column of an earlier read, None if it is not kept."""
        with self._mutex:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, column: pa.ChunkedArray) -> None:
        """Keep a column, unless it alone is over the bound; the least recently used ones make room."""
        size = owned_bytes(column)
        if size > self._bytes_max:
            return
        with self._mutex:
            old = self._kept.pop(key, None)
            self._bytes += size - (0 if old is None else old[1])
            self._kept[key] = (column, size)
            while self._bytes > self._bytes_max or len(self._kept) > ENTRIES_MAX:
                _, (_, gone) = self._kept.popitem(last=False)
                self._bytes -= gone


def owned_bytes(column: pa.ChunkedArray) -> int:
    """Bytes of a column that lie in memory of its own: buffers that are no part of another one, each once."""
    seen: dict[int, int] = {}
    for chunk in column.chunks:
        for buffer in chunk.buffers():
            if buffer is not None and buffer.parent is None:
                seen[buffer.address] = buffer.size
    return sum(seen.values())
