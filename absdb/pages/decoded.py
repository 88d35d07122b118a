"""How much pages of files may hold in memory of their own. Made by the page store, one for all of its pages."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from absdb.pages.section import Page

SWEEP_MIN = 1024


class DecodedCache:
    """Bounds the bytes that pages of files hold in memory of their own; second chance, then oldest first.

    It knows pages but keeps none: what a page that nobody uses any more held is forgotten with it.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes_held = 0
        self._entries: deque[tuple[weakref.ref[Page], Hashable, int]] = deque()
        self._sweep_at = SWEEP_MIN
        self._lock = threading.Lock()

    def admit(self, page: Page, slot: Hashable, nbytes: int) -> None:
        """Count what `page` now holds in `slot`, and take from other pages what no longer fits."""
        with self._lock:
            self._entries.append((weakref.ref(page), slot, nbytes))
            self.bytes_held += nbytes
            if len(self._entries) > self._sweep_at:
                self._sweep()
            chances = len(self._entries)
            while self.bytes_held > self.bytes_max and self._entries:
                entry = self._entries.popleft()
                oldest = entry[0]()
                if oldest is not None:
                    if chances > 0 and oldest.used:
                        oldest.used = False
                        self._entries.append(entry)
                        chances -= 1
                        continue
                    oldest.drop(entry[1])
                self.bytes_held -= entry[2]

    def _sweep(self) -> None:
        """Forget what belonged to pages that are gone; often enough for it to cost next to nothing an entry."""
        self._entries = deque(entry for entry in self._entries if entry[0]() is not None)
        self.bytes_held = sum(nbytes for _, _, nbytes in self._entries)
        self._sweep_at = max(SWEEP_MIN, 2 * len(self._entries))


def owned_bytes(batch: pa.RecordBatch) -> int:
    """Bytes of a file's batch outside the mapping: all of them if it was decompressed, else none."""
    for column in batch.columns:
        for buffer in column.buffers():
            if buffer is not None and buffer.size:
                return 0 if buffer.parent is not None else batch.get_total_buffer_size()
    return 0
