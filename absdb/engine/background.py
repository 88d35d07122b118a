"""Upkeep beside the work: a thread that takes checkpoints and keeps covers short.

A checkpoint is due when `checkpoint_interval` seconds have passed since the last one and something was written,
or when `checkpoint_wal_volume` bytes of log have; expiry, run merging and compaction follow it. What goes wrong
is logged, counted and shown in the statistics (`maintenance_failures`, `last_failure`), and tried again later
with growing pauses; a poisoned engine ends it. Never runs for read-only engines. Between
its looks it does not hold the engine, so that one that nobody uses any more can go.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from typing import TYPE_CHECKING

from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import maintain

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

LOG = logging.getLogger("absdb")
TICK_S = 0.5
PAUSE_S_MAX = 300.0
JOIN_S_MAX = 600.0


class Background:
    """The upkeep of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.ref(engine)
        self._stop = threading.Event()
        self._last = time.monotonic()
        self._pause_until = 0.0
        self.failures = 0
        self.last_failure = ""
        self._thread = threading.Thread(target=self._run, name="absdb-upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, after what is under way is finished."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_S_MAX)

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            engine = self._engine()
            if engine is None or engine.closed or engine.poisoned:
                return
            if self._due(engine):
                self._work(engine)
            del engine

    def _due(self, engine: Engine) -> bool:
        now = time.monotonic()
        volume = engine.written_since_checkpoint
        if now < self._pause_until or not volume:
            return False
        old = now - self._last >= engine.settings.checkpoint_interval
        return old or volume >= engine.settings.checkpoint_wal_volume

    def _work(self, engine: Engine) -> None:
        try:
            checkpoint(engine)
            if maintain(engine):
                checkpoint(engine)
        except Exception as error:
            self.failures += 1
            self.last_failure = str(error)
            pause = min(PAUSE_S_MAX, TICK_S * 2**self.failures)
            self._pause_until = time.monotonic() + pause
            LOG.error("upkeep of %s failed, next try in %.0f s: %s", engine.fs.root, pause, error)
        else:
            self.failures = 0
        self._last = time.monotonic()
