"""Ctrl-C while a statement runs: DuckDB is told to stop, and then the KeyboardInterrupt comes as always.

Python runs its handler only between two instructions of the main thread, and a query may be one instruction for
minutes. So the signal also goes down a pair of sockets (signal.set_wakeup_fd), at the other end of which a thread
tells the query to stop; the main thread then comes back and finds the KeyboardInterrupt waiting. A commit is not
cut in two: the log holds interrupts back by itself. Called by sql.py and shell.py.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

AGAIN_S = 0.1
_DONE = b"\0"


class StoppedByCtrlC:
    """`with StoppedByCtrlC(backend.interrupt):` calls it, in another thread, from a Ctrl-C in the block to its end.

    Whatever error that leads to leaves the block as a KeyboardInterrupt. Other threads than the main one get no
    signals, so there it does nothing.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._interrupted = False
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self._watcher: threading.Thread | None = None
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._ends = here, there = socket.socketpair()
        there.setblocking(False)
        self._watcher = threading.Thread(target=self._watch, args=(here,), name="absdb Ctrl-C", daemon=True)
        self._watcher.start()
        self._wakeup_before = signal.set_wakeup_fd(there.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ends is None or self._watcher is None:
            return
        here, there = self._ends
        signal.set_wakeup_fd(self._wakeup_before)
        there.setblocking(True)
        there.sendall(_DONE)
        self._watcher.join()
        here.close()
        there.close()
        if self._interrupted and isinstance(error, Exception):
            raise KeyboardInterrupt from error

    def _watch(self, here: socket.socket) -> None:
        while True:
            try:
                received = here.recv(64)
            except TimeoutError:
                # The first call may have come just before a query began, which then knows nothing of it.
                self._stop()
                continue
            for byte in received:
                if byte == signal.SIGINT:
                    self._interrupted = True
                    here.settimeout(AGAIN_S)
                    self._stop()
                elif byte == _DONE[0]:
                    return
