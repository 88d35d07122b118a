"""Upkeep beside the work: a thread that takes checkpoints and keeps covers short.

    something was written, and `checkpoint_interval` has passed    a checkpoint, then expiry, run merging and
    since the last checkpoint, or `checkpoint_wal_volume`          compaction
    nothing was written for a `checkpoint_interval`                what time alone makes due: chores, expiry, garbage

The latter looks at what may have changed first, so that it costs next to nothing while nothing has: whether the
horizon of `history_retention` has moved, who holds states, which eras are to be forgotten soon, which files and
readers there are.

What goes wrong is logged, counted and shown in the statistics (`maintenance_failures`, `last_failure`), and tried
again later with growing pauses; a poisoned engine ends it. Never runs for read-only engines. Between its looks it
does not hold the engine, so that one that nobody uses any more can go.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import maintain
from absdb.engine.expiry import expire
from absdb.engine.garbage import retire
from absdb.engine.pins import horizon_of
from absdb.paths import MANIFESTS_DIR, PAGES_DIR, READERS_DIR

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
        self._last = self._looked = time.monotonic()
        self._pause_until = 0.0
        self._states: Any = None
        """What there was to expire the last time, and `_files` what there was to remove."""
        self._files: Any = None
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
            work = self._due(engine)
            if work is not None:
                self._work(engine, work)
            del engine

    def _due(self, engine: Engine) -> Callable[[Engine], None] | None:
        now, interval = time.monotonic(), engine.settings.checkpoint_interval
        if now < self._pause_until:
            return None
        volume = engine.written_since_checkpoint
        if volume >= engine.settings.checkpoint_wal_volume or (volume and now - self._last >= interval):
            return _after_writes
        return None if volume or now - self._looked < interval else self._by_time

    def _work(self, engine: Engine, work: Callable[[Engine], None]) -> None:
        try:
            work(engine)
        except Exception as error:
            self.failures += 1
            self.last_failure = str(error)
            pause = min(PAUSE_S_MAX, TICK_S * 2**self.failures)
            self._pause_until = time.monotonic() + pause
            LOG.error("upkeep of %s failed, next try in %.0f s: %s", engine.fs.root, pause, error)
        else:
            self.failures = 0
            self._looked = time.monotonic()
        if work is _after_writes:
            self._last = time.monotonic()

    def _by_time(self, engine: Engine) -> None:
        """Let go of history and files that nobody needs any more, if something says that there may be some."""
        engine.check_writable()
        if sum(chore(engine) for chore in engine.chores):
            return  # that was written, and what follows it is done with the checkpoint
        states = horizon_of(engine), engine.published, frozenset(engine.pins.held())
        if states != self._states or engine.dying:
            with engine.maintenance:
                expired = expire(engine)
            if expired:
                checkpoint(engine)
            self._states = states
        # Taken before: what goes while files are looked at, such as the lease of a reader, is seen the next time.
        files = _files(engine)
        if files != self._files:
            with engine.maintenance:
                engine.check_writable()
                retire(engine)
            self._files = files


def _after_writes(engine: Engine) -> None:
    checkpoint(engine)
    if maintain(engine):
        checkpoint(engine)


def _files(engine: Engine) -> Any:
    """What tells whether there may be files to remove. With a lease it is never the same: that may end by time."""
    leases = engine.fs.list(READERS_DIR)
    return (
        object() if leases else None,
        engine.control.manifest,
        len(engine.fs.list(MANIFESTS_DIR)),
        len(engine.fs.list(PAGES_DIR)),
        len(engine.pages.in_use()),
    )
