"""The next closed segment, read and encoded while the one before it is on its way to the store.

Segments are put one after the other: without this the cores would wait for the store, and the store for the cores.
Memory: one segment and its stored form; a segment too long for one put is not encoded ahead.
"""

from __future__ import annotations

from concurrent.futures import Future

from absdb.backup.archive.own_log import OwnLog
from absdb.backup.archive.sending import ONE_PUT_BYTES_MAX, Sender


class Ahead:
    """At most one segment that is ready, or is being made so."""

    def __init__(self, own: OwnLog, sender: Sender) -> None:
        self._own = own
        self._sender = sender
        self._segment = -1
        self._future: Future[tuple[bytes, bytes | None]] | None = None

    def want(self, segment: int) -> None:
        """Make this one ready; it is closed and durable."""
        if self._own.segment_bytes <= ONE_PUT_BYTES_MAX:
            self._segment, self._future = segment, self._sender.executor.submit(self._make, segment)

    def take(self, segment: int, end: int) -> tuple[bytes, bytes | None]:
        """The segment's bytes up to `end`, and as they are stored, if that was made ahead."""
        future, self._future = self._future, None
        if future is not None and self._segment == segment:
            return future.result()
        return self._own.read(segment, end), None

    def _make(self, segment: int) -> tuple[bytes, bytes | None]:
        raw = self._own.read(segment, (segment + 1) * self._own.segment_bytes)
        return raw, self._sender.encode(self._own.name(segment), raw)
