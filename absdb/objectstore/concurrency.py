"""How many requests with large bodies are on their way to a store at once, for all its uploads and downloads together.

A store that says SlowDown gets half as many; after a while without complaints it gets one more, until the limit is
reached again. Used by transfer.py and read_ahead.py; transport.py tells it about complaints.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_ONE_COMPLAINT_S = 1.0
"""Requests that were on their way together complain together, which counts once."""


class Concurrency:
    """At most `limit` slots, fewer while the store is overloaded. Safe for many threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.allowed = limit
        self._used = 0
        self._untroubled = 0
        self._halved_at = float("-inf")
        self._changed = threading.Condition()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a slot and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: self._used < self.allowed)
            self._used += 1
        try:
            yield
        finally:
            with self._changed:
                self._used -= 1
                self._untroubled += 1
                if self._untroubled >= 4 * self.allowed and self.allowed < self.limit:
                    self.allowed += 1
                    self._untroubled = 0
                self._changed.notify_all()

    def halve(self) -> None:
        """The store wants less: half as many from now on, at least one."""
        with self._changed:
            self._untroubled = 0
            now = time.monotonic()
            if now - self._halved_at >= _ONE_COMPLAINT_S:
                self._halved_at = now
                self.allowed = max(1, self.allowed // 2)
