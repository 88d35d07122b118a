"""The engine: one open instance. Holds what the other modules of this room work on, and the order of commits.

    published   LSN up to which everything is durable and visible; readers take it once, then need no lock
    newest      per database, the LSN of its last commit that the current group has applied
    exclusive() a place in the commit queue where nobody else commits: branches, restores, checkpoints

Made by `recovery.open_engine`; `close` checkpoints and rereads the log before it lets go. What changes state in
memory is in apply.py; what decides whether a commit may happen is in commit.py.
"""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from absdb.catalog.commitlog import CommitLog
from absdb.catalog.control import Control
from absdb.catalog.history import DatabaseInfo, History
from absdb.catalog.lineage import Lineage
from absdb.clock import Clock
from absdb.engine.allocator import Allocator
from absdb.engine.apply import Applied
from absdb.engine.bulk import Bulk
from absdb.engine.changeset import TableChange
from absdb.engine.commit import Commit, CommitRequest, Undone, check_unprotected, lead
from absdb.engine.constraints import Constraints
from absdb.engine.covers import Covers
from absdb.engine.expressions import Evaluator
from absdb.engine.head import Head
from absdb.engine.logged_files import LoggedFiles
from absdb.engine.pins import Pins
from absdb.engine.transaction import Transaction
from absdb.engine.turnstile import Turnstile
from absdb.errors import EnginePoisonedError, StateError
from absdb.ids import DatabaseId, EraId, Lsn
from absdb.io.base import FileSystem, Lock
from absdb.pages.store import PageStore
from absdb.paths import PAGES_DIR
from absdb.settings import Settings
from absdb.wal.format import RecordKind
from absdb.wal.group import GroupCommit
from absdb.wal.interrupt import HeldInterrupts
from absdb.wal.tail import TornTail
from absdb.wal.writer import LogWriter

if TYPE_CHECKING:
    from absdb.engine.archive_status import ArchiveStatus
    from absdb.engine.background import Background
    from absdb.engine.backup_status import BackupStatus
    from absdb.engine.leases import Lease
    from absdb.engine.watermark import Watermark


PAUSED_HINT = "look around, then promote() it, or close it and move the target on in recovery.conf"


class Engine:
    """One open instance; safe for use from many threads."""

    wal: LogWriter
    """The log; only for who leads or holds `exclusive`. Not there when the instance is read-only."""

    def __init__(
        self, fs: FileSystem, *, settings: Settings, clock: Clock, evaluator: Evaluator, read_only: bool
    ) -> None:
        self.fs = fs
        self.settings = settings
        self.clock = clock
        self.evaluator = evaluator
        self.read_only = read_only
        self.author = settings.author_name()
        self.history = History()
        self.covers, self.log = Covers(cache_bytes=settings.cache_bytes), CommitLog()
        self.allocator = Allocator(settings.sequence_block)
        self.pages = PageStore(fs, PAGES_DIR, cache_bytes=settings.cache_bytes)
        self.bulk = Bulk(self.pages, page_rows=settings.page_rows)
        self.constraints = Constraints(self)
        self.pins, self.logged_files = Pins(), LoggedFiles()
        self.published = 0
        self.replayed = 0  # LSN up to which a reader has applied the log, shown or not; -1 within a record
        self.newest: dict[DatabaseId, int] = {}
        self.control: Control
        self.torn: TornTail | None = None
        self.lock: Lock | None = None
        self.watermark: Watermark | None = None
        self.background: Background | None = None
        self.lease: Lease | None = None
        self.dying: dict[EraId, float] = {}
        """Eras that nothing runs through any more, and since when (`time.monotonic`)."""
        self.idle_bytes = 0  # of log after the last checkpoint that is only about the checkpoint itself
        self.chores: list[Callable[[Engine], int]] = []
        """What upper floors want done at each upkeep; each returns how much it did."""
        self.closing: list[Callable[[], None]] = []
        """What upper floors want done when the engine lets go of everything."""
        self.at_target = False  # of a recovery that is not ended: nothing is written, nothing follows
        self.backup_status: Callable[[], BackupStatus] | None = None  # asks who makes scheduled backups
        self.archive_status: Callable[[], ArchiveStatus] | None = None  # asks who keeps the archive
        self.closed = False
        self._pid = os.getpid()
        self._finalizer: weakref.finalize[..., Engine] | None = None
        self.maintenance, self.turnstile = threading.Lock(), Turnstile()
        self._poison: BaseException | None = None
        self._heads: dict[DatabaseId, Head] = {}
        self._last_time_us, self._last_txid = -(2**62), 0
        self._group: GroupCommit[Commit] = GroupCommit(
            self._lead, batch_limit=settings.wal_group_commit, wait_s=settings.wal_group_wait
        )

    @property
    def written_since_checkpoint(self) -> int:
        """Bytes of log since the last checkpoint, but for the record of the checkpoint itself."""
        return max(0, self.published - self.control.checkpoint_lsn - self.idle_bytes)

    # states

    def head(self, database: DatabaseId) -> tuple[int, Lineage]:
        """(published LSN, lineage of the database there): what a transaction that begins now sees.

        StateError if the database was dropped.
        """
        lsn = self.published
        last, info = self.newest.get(database, 0), self.history.databases.get(database)
        if info is not None and last <= lsn:
            era = self.history.eras[info.eras[-1]]
            if last > era.start_lsn:  # then `last` is the era's last commit, and it is published
                return lsn, (*era.base, (era.id, last))
        return lsn, self.history.lineage_at(database, lsn, self.log.last_at_or_below)

    def newest_state(self, database: DatabaseId) -> Head:
        """What a transaction that begins now stands on; the same object until something is published.

        StateError if the database was dropped.
        """
        kept = self._heads.get(database)
        if kept is not None and kept.lsn == self.published and database in self.history.databases:
            return kept
        lsn, lineage = self.head(database)
        era = self.history.current_era(database).id
        head = self._heads[database] = Head(lsn, lineage, era, self.history.catalog_at(lineage))
        return head

    def heads(self) -> list[tuple[DatabaseInfo, Lineage]]:
        """Every database and its lineage at one published LSN, whatever is made or dropped meanwhile."""
        lsn, last = self.published, self.log.last_at_or_below
        infos = list(self.history.databases.values())
        return [(info, self.history.lineage_of(info, lsn, last)) for info in infos]

    def newest_lineage(self, database: DatabaseId) -> Lineage:
        """The lineage with what the current group has applied and not yet published. For the leader only."""
        era = self.history.current_era(database)
        lsn = self.newest.get(database, 0)
        if lsn > era.start_lsn:
            return (*era.base, (era.id, lsn))
        return self.history.lineage_at(
            database, max(self.published, era.start_lsn), self.log.last_at_or_below
        )

    def publish(self, lsn: int) -> None:
        """Show everything up to `lsn`, which is durable, to readers."""
        self.published = lsn
        if self.watermark is not None:
            self.watermark.set(lsn, self.wal.durable_lsn)

    # transactions

    def begin(
        self,
        database: DatabaseId,
        *,
        author: str | None = None,
        message: str = "",
        kind: str = "commit",
        scratch: Head | bool = False,
    ) -> Transaction:
        """A transaction on the database's newest state.

        With `scratch` (a Head: on that) it is one to try things in that is never committed, also where nothing can be
        written. It hands out no numbers; what outgrows memory goes into page files that nobody names, if it can write.
        """
        self.check_open()
        if author is None:
            author = self.author
        head = scratch if isinstance(scratch, Head) else self.newest_state(database)
        return Transaction(
            self, database, head, author=author, message=message, kind=kind, scratch=bool(scratch)
        )

    def commit(self, tx: Transaction, changes: list[TableChange] | None = None) -> Lsn | None:
        """Validate, queue and wait until the transaction is durable. For Transaction.commit."""
        changes = tx.net_changes() if changes is None else changes
        if not changes and not tx.schema_changes:
            return None
        self.check_writable()
        check_unprotected(self, tx)
        if not tx.is_checked:
            self.constraints.check(tx, changes)
        commit = CommitRequest(tx, changes)
        self.submit(commit)
        self.bulk.leave_runs(changes)
        return Lsn(commit.lsn)

    def submit(self, commit: Commit) -> None:
        """Queue and wait until the commit is durable, or raise why it is not."""
        self.turnstile.wait_to_pass(commit.database)
        self._group.submit(commit)

    def _lead(self, batch: list[Commit]) -> None:
        try:
            lead(self, batch)
        except Undone as undone:
            raise undone.args[0] from None
        except BaseException as error:
            # Part of the batch may be applied, or on disk, and nobody knows which.
            self.poison(error)
            raise

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Run with nobody committing, after everything queued before. Ctrl-C waits until it is over."""
        self.check_process()
        with self._group.exclusive(), HeldInterrupts():
            try:
                yield
            finally:
                if not self.read_only:
                    # Of records that were appended and, because something went wrong, not flushed.
                    self.wal.discard_buffered()

    def append(self, kind: RecordKind, database: int, body: dict[str, Any]) -> tuple[int, int, int]:
        """Put a record of JSON into the log's batch; (end LSN, time, transaction id). Inside `exclusive` only."""
        self.check_writable()
        time_us, txid = self.next_time(), self.next_txid()
        data = json.dumps(body, separators=(",", ":")).encode()
        _, end = self.wal.append(kind, database, txid, time_us, data)
        return end, time_us, txid

    def flush(self) -> None:
        """Make what was appended durable. Inside `exclusive` only."""
        try:
            self.wal.flush()
        except BaseException as error:
            if self.wal.poisoned:
                self.poison(error)
            raise

    def write(
        self, kind: RecordKind, database: DatabaseId, body: dict[str, Any], apply: Callable[..., None]
    ) -> Lsn:
        """Log one event, sync, `apply(engine, at, body)`, show it. Inside `exclusive` only."""
        lsn, time_us, txid = self.append(kind, database, body)
        self.flush()
        try:
            apply(self, Applied(lsn, time_us, txid, database), body)
            self.publish(lsn)
        except BaseException as error:
            self.poison(error)  # it is on disk, and memory does not say so
            raise
        return Lsn(lsn)

    # time and numbers

    def next_time(self) -> int:
        """The time of the next record: now, but always above the last one."""
        now_us, last_us = self.clock.now_us(), self._last_time_us
        self._last_time_us = now_us = now_us if now_us > last_us else last_us + 1
        return now_us

    def latest_time(self) -> int:
        """Now, or the time of the last record if the clock is behind it."""
        return max(self.clock.now_us(), self._last_time_us)

    def next_txid(self) -> int:
        self._last_txid += 1
        return self._last_txid

    def seen(self, time_us: int, txid: int) -> None:
        """A record of the log has this time and transaction id."""
        self._last_time_us = max(self._last_time_us, time_us)
        self._last_txid = max(self._last_txid, txid)

    @property
    def last_seen(self) -> tuple[int, int]:
        """The time and the transaction id of the last record, as `seen` wants them."""
        return self._last_time_us, self._last_txid

    # may it be written

    def poison(self, error: BaseException) -> None:
        """Accept no more writes: what is on disk is unknown until the instance is reopened."""
        if self._poison is None:
            self._poison = error

    @property
    def poisoned(self) -> bool:
        return self._poison is not None

    def check_open(self) -> None:
        if self.closed:
            raise StateError("the instance is closed", hint="open it again with absdb.connect()")

    def check_process(self) -> None:
        """StateError in a fork of the process that opened the instance: both would write to one log."""
        if os.getpid() != self._pid:
            raise StateError(
                f"the instance was opened by process {self._pid}, of which process {os.getpid()} is a fork",
                hint="a fork can read what it has; to write or to refresh, connect in the process itself",
            )

    @property
    def writable(self) -> bool:
        """Whether anything can be written now; `check_writable` says why not."""
        return not (self.closed or self.read_only or self._poison is not None or os.getpid() != self._pid)

    def check_writable(self) -> None:
        """StateError or EnginePoisonedError if nothing can be written now."""
        if self.writable:
            return
        self.check_open()
        self.check_process()
        if self.at_target:
            raise StateError("the recovery of the instance has paused at its target", hint=PAUSED_HINT)
        if self.read_only:
            raise StateError(
                "the instance is open for reading only", hint="connect without read_only=True to write"
            )
        if self._poison is not None:
            raise EnginePoisonedError(
                f"an earlier write failed, so what is on disk is unknown: {self._poison}",
                hint="close the instance and open it again; everything acknowledged is still there",
            ) from self._poison

    # the end

    def close(self) -> None:
        """Reread the log, checkpoint, let go of everything. Closing twice is harmless.

        A poisoned or read-only engine just lets go, and so does a fork of the process that opened it.
        CorruptLogError if the log is not what was written.
        """
        if self.closed:
            return
        if os.getpid() != self._pid:
            self.closed = True
            self.pages.close()
            return
        if self.background is not None:
            self.background.close()
        try:
            if not self.read_only and not self.poisoned:
                from absdb.engine.checkpoint import checkpoint

                try:
                    # First, since the checkpoint removes what it has made superfluous.
                    with self.maintenance:
                        self.wal.verify(self.control.checkpoint_lsn)
                finally:
                    # Also if the log is damaged: from then on nothing rests on it.
                    if self.written_since_checkpoint:
                        checkpoint(self)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of files and lock without writing anything, between two commits and two checkpoints."""
        if self.background is not None:
            self.background.close()
        with self.maintenance, self._group.exclusive():
            self.closed = True
            for close in self.closing:
                close()
            self.closing.clear()
            if self._finalizer is not None:
                self._finalizer.detach()
            self.pages.close()
            _let_go(None if self.read_only else getattr(self, "wal", None), self.watermark, self.lock)
            if self.lease is not None:  # last, since the disk may refuse
                self.lease.release()

    def let_go_when_collected(self) -> None:
        """See to it that an engine that nobody holds any more gives up its files and its lock."""
        if self.lock is not None:
            wal = None if self.read_only else self.wal
            self._finalizer = weakref.finalize(self, _let_go, wal, self.watermark, self.lock)
            self._finalizer.atexit = False


def _let_go(wal: LogWriter | None, watermark: Watermark | None, lock: Lock | None) -> None:
    """The log's files are closed before the lock is free."""
    if wal is not None:
        wal.close()
    if watermark is not None:
        watermark.close()
    if lock is not None:
        lock.release()
