"""Recovering a directory: from recovery.conf to an engine at the target, and to the instance that goes on from there.

    plan, refused before anything is touched → replay, with the log fetched ahead → pause, or end it:
    new timeline (its commit point is `control`) → log of other timelines removed → recovery.conf renamed

The manifest that `control` names then carries the checksum of the recovery.conf that led to it, so that a crash before
the renaming does not recover a second time. Called by opening.py for `connect`, and by restore.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from absdb.backup.archive.reader import ArchiveReader
from absdb.backup.codec.key import Key, find_key
from absdb.backup.meter import Report, metered
from absdb.backup.recovery.conf import RecoveryConf, parse_recovery_conf
from absdb.backup.recovery.fetch import ArchiveSource
from absdb.backup.recovery.plan import Archive, Plan, plan_recovery
from absdb.backup.recovery.report import Recovered
from absdb.backup.recovery.start import start_in
from absdb.catalog.control import read_control
from absdb.catalog.manifest import read_manifest
from absdb.clock import Clock, format_time, to_datetime
from absdb.engine.engine import Engine
from absdb.engine.new_timeline import begin_timeline, clear_older_log
from absdb.engine.recover_to import Reached, Target, replay_to
from absdb.engine.recovery import open_for_replay
from absdb.engine.recovery_log import LogSource, NoSource, clear_attempts
from absdb.errors import CorruptLogError, StateError
from absdb.ids import Lsn
from absdb.io.base import FileSystem, read_file
from absdb.objectstore.locate import open_store
from absdb.paths import RECOVERY_CONF, RECOVERY_DONE
from absdb.sql.duck.expressions import SqlEvaluator

_MARK = "recovered_by"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a directory is opened for its recovery: settings, clock, who is told, with which key and options."""

    arguments: dict[str, Any] = field(default_factory=dict)
    clock: Clock | None = None
    progress: Report = None
    key: Key | None = None
    store_options: Mapping[str, Any] | None = None


@dataclass(slots=True)
class AtTarget:
    """A recovery that has reached its target and is not ended. `engine` shows the state there."""

    engine: Engine
    plan: Plan
    reached: Reached
    report: Recovered
    mark: str
    opening: Opening

    @property
    def arguments(self) -> dict[str, Any]:
        """The settings it was opened with."""
        return self.opening.arguments

    @property
    def clock(self) -> Clock | None:
        """The clock it was opened with."""
        return self.opening.clock

    def end(self) -> Recovered:
        """End it here: the directory is an instance of its own timeline from now on. The engine is closed."""
        fs, switch = self.engine.fs, self.reached
        reason = f"recovered to LSN {Lsn(switch.lsn)} ({format_time(switch.time_us)}): {self.report.target}"
        history = self.plan.possible.way.forked(self.plan.next_timeline, switch.timeline, switch.lsn, reason)
        try:
            begin_timeline(
                self.engine,
                history,
                epoch=switch.epoch + 1,
                instance={_MARK: self.mark, "timeline": history.timeline},
            )
            clean_up(fs)
        finally:
            self.engine.abandon()
        return dataclasses.replace(self.report, timeline=history.timeline)


def read_conf(fs: FileSystem) -> tuple[RecoveryConf, str]:
    """What recovery.conf says, and the checksum of its text."""
    data = read_file(fs, RECOVERY_CONF)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise StateError(f"{fs.root}/{RECOVERY_CONF} is not UTF-8 text", hint="save it as UTF-8") from error
    return parse_recovery_conf(text, f"{fs.root}/{RECOVERY_CONF}"), hashlib.sha256(data).hexdigest()


def is_ended(fs: FileSystem, mark: str) -> bool:
    """Whether the recovery that this recovery.conf asked for is over, and only the cleaning up was not."""
    control = read_control(fs)
    return read_manifest(fs, control.manifest).parts["instance"].get(_MARK) == mark


def clean_up(fs: FileSystem) -> None:
    """What is left to do when a recovery is ended."""
    clear_older_log(fs, read_control(fs))
    fs.rename(RECOVERY_CONF, RECOVERY_DONE)
    fs.sync_directory("")


def replay(fs: FileSystem, conf: RecoveryConf, mark: str, opening: Opening) -> AtTarget:
    """Bring the directory's state to the target, in memory. The engine holds the writer's lock.

    InvalidInputError if the target cannot be reached, NotFoundError for a name that is not there: nothing has changed.
    """
    began = time.perf_counter()
    engine = open_for_replay(fs, arguments=opening.arguments, clock=opening.clock, evaluator=SqlEvaluator())
    archive: Archive | None = None
    try:
        if not fs.exists(RECOVERY_CONF) or is_ended(fs, mark):
            raise StateError(
                f"the recovery of {fs.root} was ended meanwhile by another process",
                hint="open it as it is now",
            )
        clear_attempts(fs, engine.control)
        if conf.archive_url:
            archive = open_archive(conf.archive_url, opening, engine.settings.backup_key_file)
        plan = plan_recovery(start_in(fs), conf, archive)
        if archive is None:
            reached, fetched = _replayed(engine, plan, NoSource(), opening.progress), 0
        else:
            with ArchiveSource(fs, archive.reader, archive.contents) as source:
                reached = _replayed(engine, plan, source, opening.progress)
            fetched = source.fetched_bytes
        if not reached.met:
            raise plan.possible.missed(conf.described(), reached.names)
        if plan.target == Target() and reached.lsn < plan.possible.latest_lsn:
            raise _cut_short(reached, plan)
    except BaseException:
        engine.abandon()
        raise
    finally:
        if archive is not None:
            archive.reader.store.close()
    engine.at_target = True
    report = Recovered(
        path=fs.root,
        target=conf.described(),
        lsn=Lsn(reached.lsn),
        time=to_datetime(reached.time_us),
        from_timeline=reached.timeline,
        timeline=None,
        names=tuple(reached.names),
        records=reached.records,
        log_bytes=reached.lsn - plan.start.checkpoint_lsn,
        fetched_bytes=fetched,
        seconds=time.perf_counter() - began,
        possible=plan.possible,
    )
    return AtTarget(engine, plan, reached, report, mark, opening)


def _replayed(engine: Engine, plan: Plan, source: LogSource, progress: Report) -> Reached:
    start = plan.start.checkpoint_lsn
    with metered(progress, "recover", max(0, plan.end_lsn - start), 0) as meter:

        def report(lsn: int, _: int) -> None:
            meter.add(lsn - start - meter.now().done_bytes)

        return replay_to(engine, plan.spans, plan.target, source, local_end=plan.start.end_lsn, report=report)


def _cut_short(reached: Reached, plan: Plan) -> CorruptLogError:
    """The error for the end of a log that looks like a torn tail, where whole segments are known to be."""
    return CorruptLogError(
        f"the log of timeline {reached.timeline} ends at LSN {Lsn(reached.lsn)}, and a record is known that ends at "
        f"{Lsn(plan.possible.latest_lsn)}: what is between is damaged",
        hint=f"name recovery_target_lsn = '{Lsn(reached.lsn)}' to do without it",
        lsn=reached.lsn,
    )


def open_archive(url: str, opening: Opening, key_file: str = "") -> Archive:
    """The archive at a URL, listed; its store is to be closed. NotFoundError if there is none."""
    store = open_store(url, clock=opening.clock, **dict(opening.store_options or {}))
    try:
        return Archive.of(ArchiveReader(store, opening.key or find_key(key_file)))
    except BaseException:
        store.close()
        raise
