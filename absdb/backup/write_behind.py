"""Writing in a thread of its own, so that hashing what comes next does not wait for the disk.

A few pieces may wait to be written; more make the caller wait. For files of an instance what was written is synced
every now and then, so that the disk is at work from the beginning and the last sync is short. Called by storing.py and
restore_files.py for what does not fit into one part.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from absdb.io.base import File

DEPTH = 4
SYNC_BYTES = 32 << 20


class WriteBehind:
    """Hands pieces to `write`, in order, in another thread. A context: on the way out everything has been written.

    The first error is raised by the next `put`, or on the way out; what comes after it is dropped.
    """

    def __init__(self, write: Callable[[Any], None]) -> None:
        self._write = write
        self._pieces: queue.Queue[Any] = queue.Queue(DEPTH)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="absdb-write-behind", daemon=True)
        self._thread.start()

    def put(self, piece: Any) -> None:
        """Write this, when those before it are written. Nobody may change it from now on."""
        if self._error is not None:
            raise self._error
        self._pieces.put(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pieces.put(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            if self._error is None:
                try:
                    self._write(piece)
                except BaseException as error:
                    self._error = error


def synced_now_and_then(file: File, write: Callable[[Any], None]) -> Callable[[Any], None]:
    """`write`, with a sync of the file after every SYNC_BYTES of it."""
    unsynced = 0

    def write_and_sync(piece: Any) -> None:
        nonlocal unsynced
        write(piece)
        unsynced += len(piece)
        if unsynced >= SYNC_BYTES:
            unsynced = 0
            file.sync(data_only=True)

    return write_and_sync
