"""The archiver of one open instance: two threads beside the work, which never make a commit wait.

    absdb-archive          sends closed segments at once, the open one every `wal_archive_interval` if it has grown
    absdb-archive-watch    counts what waits; warns at 50 % and 80 % of `wal_archive_wait_max`, and beyond it lets the
                           oldest log go, as a gap that is recorded first. Also while the first waits for the network

What goes wrong is logged, counted and shown in `wal_stats`, and tried again with growing pauses, for as long as the
instance is open. An archive of another instance, or one with other bytes in it, ends the sending for good, loudly: what
waits is still counted and bounded. `close` makes one last attempt that takes CLOSE_S at most; what then is not in the
archive is sent after the next start. Between their looks the threads do not hold the engine.

Started by start.py; what is sent, in which order, is in shipping.py.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from absdb.backup.archive.journal import Journal
from absdb.backup.archive.own_log import OwnLog
from absdb.backup.archive.sending import Sender
from absdb.backup.archive.shipping import Shipper
from absdb.backup.archive.waiting import Waiting
from absdb.backup.codec.codec import Codec
from absdb.backup.codec.pipeline import pool
from absdb.engine.archive_status import ARCHIVE_HOLD, ArchiveStatus, Gap
from absdb.errors import AbsdbError, ConflictError, StateError
from absdb.ids import Lsn
from absdb.objectstore.base import ObjectStore

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

LOG = logging.getLogger("absdb")
TICK_S = 0.2
PAUSE_S_MAX = 60.0
CLOSE_S = 10.0
WARN_AT = (0.5, 0.8)


class Archiver:
    """Sends the log of an engine that is open for writing."""

    def __init__(
        self, engine: Engine, open_store: Callable[[], ObjectStore], codec: Codec, *, ship_at_close: bool
    ) -> None:
        self._engine = weakref.ref(engine)
        self._open_store = open_store
        self._codec = codec
        self._ship_at_close = ship_at_close
        self._own = OwnLog(engine)
        self._journal = Journal(engine.fs, engine.clock, self._own.timeline)
        self._waiting = Waiting(max(self._own.start(), self._journal.status.archived_lsn or 0))
        self._executor: ThreadPoolExecutor | None = None
        self._shipper: Shipper | None = None
        self._passing = threading.Lock()  # one pass at a time, whoever asks for it
        self._stop, self._wake, self._given_up = threading.Event(), threading.Event(), threading.Event()
        self._pauses, self._pause_until, self._open_sent = 0, 0.0, 0.0
        self._warned = 0
        self.refused: AbsdbError | None = None
        """Why nothing is sent any more until the instance is opened again."""
        names = {"absdb-archive": self._send, "absdb-archive-watch": self._watch}
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True) for name, target in names.items()
        ]
        for thread in self._threads:
            thread.start()

    def status(self) -> ArchiveStatus:
        """How far the archive is, now."""
        engine = self._engine()
        waiting = self._waiting.bytes(engine.published) if engine is not None else 0
        return dataclasses.replace(self._journal.status, waiting_bytes=waiting)

    def ship(self) -> int:
        """Send all that is durable, the open segment too, in the calling thread; the LSN up to which it is there.

        Raises what goes wrong, as the sender's own thread would log it.
        """
        engine = self._engine()
        if engine is None or engine.closed:
            raise StateError("the instance is closed", hint="what waits is sent when it is opened again")
        self._pass(engine, send_open=True, stop=lambda: False)
        return self._waiting.position

    def close(self) -> None:
        """One last attempt, unless it was said not to, then stop. Takes CLOSE_S at most. Closing twice is harmless."""
        self._stop.set()
        self._wake.set()
        until = time.monotonic() + CLOSE_S
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))
        self._given_up.set()
        if self._threads[0].is_alive():
            LOG.warning("the archive was not brought up to date before closing: it did not answer in time")
        self._journal.close()

    # sending

    def _send(self) -> None:
        try:
            while not self._stop.is_set():
                self._wake.wait(TICK_S)
                self._turn(self._stop.is_set)
            if self._ship_at_close:
                self._turn(self._given_up.is_set, last=True)
        finally:
            self._let_go()

    def _turn(self, stop: Callable[[], bool], *, last: bool = False) -> None:
        engine = self._engine()
        if engine is None:
            self._stop.set()
            return
        send_open = last or time.monotonic() - self._open_sent >= engine.settings.wal_archive_interval
        if self.refused is None and (last or self._due(engine, send_open)):
            self._try(engine, stop, send_open=send_open)

    def _due(self, engine: Engine, send_open: bool) -> bool:
        if time.monotonic() < self._pause_until:
            return False
        position, published = self._waiting.position, engine.published
        size = self._own.segment_bytes
        if self._shipper is None or not self._shipper.learned:
            return True
        return published // size > position // size or (send_open and published > position)

    def _try(self, engine: Engine, stop: Callable[[], bool], *, send_open: bool) -> None:
        try:
            self._pass(engine, send_open=send_open, stop=stop)
        except Exception as error:
            self._failed(engine, error)
        else:
            self._pauses = 0
            if send_open:
                self._open_sent = time.monotonic()

    def _pass(self, engine: Engine, *, send_open: bool, stop: Callable[[], bool]) -> None:
        with self._passing:
            if self._shipper is None:
                self._executor = self._executor or pool(name="absdb-archive-part")
                sender = Sender(self._open_store(), self._codec, self._executor)
                self._shipper = Shipper(self._own, self._waiting, self._journal, sender)
            self._shipper.ship(engine, self._own.durable_lsn(engine), send_open=send_open, stop=stop)
            self._journal.update(lambda status: dataclasses.replace(status, failure=None))
            self._journal.save(self._waiting.bytes(engine.published))

    def _failed(self, engine: Engine, error: Exception) -> None:
        self._pauses += 1
        pause = min(PAUSE_S_MAX, TICK_S * 2**self._pauses)
        self._pause_until = time.monotonic() + pause
        current = self._shipper.current if self._shipper is not None else ""
        self._journal.failed(current, error)
        where = f"archiving the log of {engine.fs.root}" + (f" failed at {current}" if current else " failed")
        if isinstance(error, ConflictError) or (
            isinstance(error, StateError) and "other_instance" in error.facts
        ):
            self.refused = error
            LOG.error("%s and stops until the instance is opened again: %s", where, error)
        else:
            LOG.error("%s, next try in %.1f s: %s", where, pause, error)
        try:
            self._journal.save(self._waiting.bytes(engine.published))
        except AbsdbError as refusal:
            LOG.error("%s, and the disk refuses its status: %s", where, refusal.message)

    # what waits

    def _watch(self) -> None:
        while not self._stop.wait(TICK_S):
            engine = self._engine()
            if engine is None:
                return
            try:
                self._look(engine)
            except Exception as error:
                LOG.error("counting what waits for the archive of %s failed: %s", engine.fs.root, error)
                self._stop.wait(PAUSE_S_MAX)
            del engine

    def _look(self, engine: Engine) -> None:
        upto, bound = engine.published, engine.settings.wal_archive_wait_max
        self._waiting.look(engine, upto)
        waiting = self._waiting.bytes(upto)
        if waiting > bound:
            self._let_log_go(engine, upto, bound)
        reached = sum(waiting >= part * bound for part in WARN_AT)
        if reached > self._warned:
            LOG.warning(
                "%s: %d MB of log and page files wait for the archive, %.0f %% of wal_archive_wait_max; "
                "beyond that the oldest log goes unarchived",
                engine.fs.root,
                waiting >> 20,
                100 * waiting / bound,
            )
        self._warned = reached

    def _let_log_go(self, engine: Engine, upto: int, bound: int) -> None:
        """Recorded first, then let go."""
        start = self._waiting.position
        end = self._waiting.cut(upto, bound, self._own.segment_bytes)
        reason = f"more than wal_archive_wait_max ({bound} bytes) waited for the archive"
        self._journal.gap(Gap(self._own.timeline, start, end, engine.clock.now_us(), reason))
        self._waiting.advance(end)
        engine.logged_files.holds.hold(ARCHIVE_HOLD, end)
        LOG.info("%s: log below LSN %s no longer waits for the archive", engine.fs.root, Lsn(end))

    def _let_go(self) -> None:
        with self._passing:
            if self._executor is not None:
                self._executor.shutdown(wait=False)
            if self._shipper is not None:
                self._shipper.close()
