"""Notices that an instance moved on: a thread that asks for its LSN a few times a second while somebody follows.

A read-only instance is refreshed on the way. The thread ends when the instance is closed, or when nothing holds
the one who follows any more.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable

from absdb.errors import AbsdbError
from absdb.instance import Instance

INTERVAL_SECONDS = 0.4


class Follower:
    """Calls the bound method `moved` with None after each change, with an error where following ended."""

    def __init__(self, instance: Instance, moved: Callable[[AbsdbError | None], None]) -> None:
        self._stop = threading.Event()
        arguments = (instance, weakref.WeakMethod(moved), self._stop)
        self._thread = threading.Thread(target=_follow, args=arguments, name="absdb-follow", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Follow no longer."""
        self._stop.set()


def _follow(
    instance: Instance,
    moved: weakref.WeakMethod[Callable[[AbsdbError | None], None]],
    stop: threading.Event,
) -> None:
    seen = None
    while not stop.wait(INTERVAL_SECONDS):
        call = moved()
        if call is None or instance.closed:
            if call is not None:
                call(None)
            return
        try:
            now = instance.refresh() if instance.read_only else instance.lsn
        except AbsdbError as error:
            call(error)
            return
        if seen is not None and now != seen:
            call(None)
        seen = now
        del call
