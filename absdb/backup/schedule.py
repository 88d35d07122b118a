"""Backups by themselves, in the process that has the instance open for writing: a thread beside the work.

    backup_target                 where they go
    backup_full_interval          a full one this long after the last full one was finished
    backup_incremental_interval   an incremental one this long after the last of any kind, on the newest of the chain
    backup_retention_days         after each, older ones that nothing needs are removed
    wal_retention_days            after that, archived log that is older and that no kept backup needs

What is due follows from what the repository holds, so that a restart, another process or a backup by hand in between
changes nothing. An incremental backup waits until something was committed. What goes wrong is logged, shown in the
statistics, and tried again with growing pauses. Closing the instance interrupts a backup that is under way. Between its
looks the thread does not hold the engine. Started by `connect`.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
import weakref
from contextlib import closing
from typing import TYPE_CHECKING

from absdb.backup.archive.cleanup import clean_up, plan_cleanup, retained_since_us
from absdb.backup.archive.reader import ArchiveReader
from absdb.backup.codec.key import find_key
from absdb.backup.create import create_backup
from absdb.backup.manifest import Backup
from absdb.backup.meter import Progress
from absdb.backup.repository import Repository
from absdb.backup.retention import protected_log, purge
from absdb.clock import peek_us
from absdb.engine.backup_status import BackupStatus
from absdb.errors import CorruptionError, InvalidInputError, NotFoundError, StateError
from absdb.object_names import ARCHIVE_IDENTITY
from absdb.objectstore.locate import open_store
from absdb.objectstore.location import check_outside
from absdb.settings import Settings

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

LOG = logging.getLogger("absdb")
TICK_S = 0.5
PAUSE_S = 5.0
PAUSE_S_MAX = 3600.0
DAY_S = 86_400


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done when: `base` is the label that an incremental backup builds on, None for a full one."""

    due_us: int
    base: str | None
    base_checkpoint: int | None = None


def plans(backups: list[Backup], settings: Settings, now_us: int) -> list[Plan]:
    """What is wanted next, given the finished backups of this instance; a full one comes before an incremental one."""
    full_s, incremental_s = settings.backup_full_interval, settings.backup_incremental_interval
    fulls = [backup for backup in backups if backup.kind == "full"]
    if not (full_s or incremental_s):
        return []
    if not fulls:
        return [Plan(now_us, None)]
    full = max(fulls, key=lambda backup: backup.finished_us)
    wanted = [Plan(full.finished_us + round(full_s * 1e6), None)] if full_s else []
    if incremental_s:
        last = max(_chain(full, backups), key=lambda backup: backup.finished_us)
        due = last.finished_us + round(incremental_s * 1e6)
        wanted.append(Plan(due, last.label, last.checkpoint_lsn))
    return wanted


def _chain(full: Backup, backups: list[Backup]) -> list[Backup]:
    """A full backup and all that builds on it in its repository."""
    chain = {full.label: full}
    for backup in sorted(backups, key=lambda each: each.finished_us):
        if backup.kind == "incremental" and not backup.base_url and backup.base_label in chain:
            chain[backup.label] = backup
    return list(chain.values())


class Scheduler:
    """The schedule of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.ref(engine)
        self._stop = threading.Event()
        self._plans: list[Plan] | None = None
        self._pause_until = 0.0
        self.status = BackupStatus()
        self._thread = threading.Thread(target=self._run, name="absdb-backup-schedule", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; a backup that is under way ends at its next part. Closing twice is harmless."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(TICK_S):
            engine = self._engine()
            if engine is None or engine.closed or engine.poisoned:
                return
            if time.monotonic() >= self._pause_until:
                self._turn(engine)
            del engine

    def _turn(self, engine: Engine) -> None:
        try:
            wanted = self._look(engine) if self._plans is None else self._plans
            due = next((plan for plan in wanted if self._is_due(engine, plan)), None)
            if due is not None:
                self._plans = None
                self._back_up(engine, due)
        except Exception as error:
            if self._stop.is_set():
                return
            failures = self.status.failures + 1
            pause = min(PAUSE_S_MAX, PAUSE_S * 2 ** (failures - 1))
            self._pause_until, self._plans = time.monotonic() + pause, None
            self.status = dataclasses.replace(
                self.status, failures=failures, failure=str(error), failed_us=peek_us(engine.clock)
            )
            where = engine.settings.backup_target
            LOG.error(
                "a backup of %s to %s failed, next try in %.0f s: %s", engine.fs.root, where, pause, error
            )

    def _look(self, engine: Engine) -> list[Plan]:
        """Ask the repository what there is of this instance, and what is to be done next."""
        own = engine.control.instance_id.hex()
        found = list[Backup]()
        with Repository(engine.settings.backup_target, clock=engine.clock) as repository:
            for label in repository.labels():
                try:
                    found.append(repository.header(label))
                except NotFoundError:
                    continue  # begun and not finished, or just removed
                except CorruptionError as error:  # nothing builds on it; the others go on
                    LOG.warning("a backup in %s does not count: %s", repository.url, error.message)
        found = [backup for backup in found if backup.instance_id == own and backup.kind != "database"]
        wanted = plans(found, engine.settings, peek_us(engine.clock))
        last = max(found, key=lambda backup: backup.finished_us, default=None)
        self.status = dataclasses.replace(
            self.status,
            last_label=last.label if last is not None else None,
            last_us=last.finished_us if last is not None else None,
            next_us=min((plan.due_us for plan in wanted), default=None),
        )
        self._plans = wanted
        return wanted

    def _is_due(self, engine: Engine, plan: Plan) -> bool:
        changed = engine.written_since_checkpoint or engine.control.checkpoint_lsn != plan.base_checkpoint
        return peek_us(engine.clock) >= plan.due_us and bool(plan.base is None or changed)

    def _back_up(self, engine: Engine, plan: Plan) -> None:
        target, days = engine.settings.backup_target, engine.settings.backup_retention_days
        made = create_backup(engine, target, incremental_from=plan.base, progress=self._interrupt)
        LOG.info("made the %s backup %s of %s in %s", made.kind, made.label, engine.fs.root, target)
        self.status = BackupStatus()
        if days:
            gone = purge(target, days * DAY_S, clock=engine.clock).removed
            if gone:
                LOG.info("removed old backups from %s: %s", target, ", ".join(gone))
        if engine.settings.wal_archive_enabled and engine.settings.wal_retention_days:
            _clean_archive(engine)

    def _interrupt(self, _: Progress) -> None:
        if self._stop.is_set():
            raise StateError("the instance is being closed")


def _clean_archive(engine: Engine) -> None:
    """Remove archived log that is past its retention, but for what the backups that are there need."""
    settings, clock = engine.settings, engine.clock
    with closing(open_store(settings.wal_archive_target, clock=clock)) as store:
        if not store.exists(ARCHIVE_IDENTITY):
            return  # nothing has been archived yet
        archive = ArchiveReader(store, find_key(settings.backup_key_file))
        plan = plan_cleanup(
            archive,
            before_us=retained_since_us(settings, clock),
            protected=lambda: protected_log(settings.backup_target, clock=clock),
        )
        clean_up(archive, plan, clock=clock)
        if plan.segments:
            LOG.info("removed %d old segments of log from %s", len(plan.segments), store.url)


def keep_schedule(engine: Engine) -> None:
    """Start the schedule that the settings ask for, if they do and the engine is not one that only reads.

    InvalidInputError for a schedule without a target, and a target that cannot be one; the engine is let go of then.
    """
    settings = engine.settings
    if engine.read_only or not (settings.backup_full_interval or settings.backup_incremental_interval):
        return
    try:
        if not settings.backup_target:
            raise InvalidInputError(
                "backups are scheduled and backup_target is not set: there is nowhere to put them",
                hint="name a directory or a URL such as s3://bucket/backups",
            )
        check_outside(settings.backup_target, engine.fs.root, "backups")
    except BaseException:
        engine.abandon()
        raise
    scheduler = Scheduler(engine)
    engine.backup_status = lambda: scheduler.status
    engine.closing.append(scheduler.close)
