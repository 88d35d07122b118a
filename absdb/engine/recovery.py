"""Opening an instance: make a new one, or read the last checkpoint and replay the log after it.

    control → manifest → histories, covers, commit log, allocator → log records after the checkpoint → torn tail

Nothing is written before the log has been read to its end and found whole; a torn tail (bytes of a batch that no
one was told about) is kept aside and wiped. Page files that nothing names stay for garbage collection.
A read-only open takes no lock, wipes nothing, and follows the writer's watermark.
"""

from __future__ import annotations

import errno
import gc
import os
import secrets
from collections.abc import Mapping
from typing import Any

from absdb.catalog.commitlog import CommitLog
from absdb.catalog.control import Control, read_control
from absdb.catalog.history import History
from absdb.catalog.manifest import ChunkRef, Manifest, read_manifest
from absdb.clock import Clock, SystemClock, format_time
from absdb.engine.allocator import Allocator
from absdb.engine.apply import replay
from absdb.engine.archive_status import ARCHIVE_HOLD
from absdb.engine.background import Background
from absdb.engine.checkpoint import read_covers
from absdb.engine.covers import Covers
from absdb.engine.creation import (
    check_control_is_not_lost,
    check_recovered,
    check_restored,
    check_vacant,
    create_instance,
)
from absdb.engine.engine import Engine
from absdb.engine.expressions import Evaluator, NoEvaluator
from absdb.engine.leases import Lease
from absdb.engine.log_end import log_of, readable_end, repaired_end
from absdb.engine.watermark import Watermark
from absdb.errors import (
    AbsdbError,
    CorruptionError,
    CorruptLogError,
    HistoryExpiredError,
    InvalidInputError,
    LockedError,
    NotFoundError,
    StateError,
    StorageError,
)
from absdb.io.base import FileSystem, Lock, read_file
from absdb.paths import (
    CONF,
    CONTROL,
    LOCK,
    MANIFESTS_DIR,
    WAL_DIR,
)
from absdb.settings import Settings, load_settings
from absdb.wal.format import RecordKind
from absdb.wal.reader import read_log
from absdb.wal.writer import LogWriter

LEASE_TRIES = 100
HALFWAY = -1
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


def open_engine(
    fs: FileSystem,
    *,
    arguments: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    evaluator: Evaluator | None = None,
    read_only: bool = False,
    create: bool = True,
    owner: Mapping[str, Any] | None = None,
    upkeep: bool = False,
    instance_id: bytes | None = None,
    unfinished: bool = False,
) -> Engine:
    """Open the instance at the root of `fs`, making it when it is not there and `create` is set.

    LockedError if another process has it open for writing; CorruptionError and its kin if what is on disk
    cannot be; NotFoundError if there is none to open. `upkeep` starts the thread that takes checkpoints and keeps
    covers short. `instance_id` is for reproducible instances in tests, `unfinished` for who finishes a restore.
    """
    clock = clock or SystemClock()
    if not unfinished:
        check_restored(fs)
        check_recovered(fs)
    if not fs.exists(CONTROL):
        check_control_is_not_lost(fs)
        if read_only or not create:
            raise NotFoundError(
                f"there is no absdb instance at {fs.root}", hint="absdb.connect(path) makes one"
            )
        check_vacant(fs)
    settings = _settings(fs, arguments)
    lock = engine = None
    since_us = 0 if read_only else clock.now_us()
    if not read_only:
        fs.make_directory("")
        lock = _lock(fs, {**(owner or {}), "since": format_time(since_us)})
    try:
        if not fs.exists(CONTROL):
            create_instance(fs, settings, clock, instance_id or secrets.token_bytes(16))
        # Again: another process may have made the instance before we had the lock.
        settings = _settings(fs, arguments)
        engine = Engine(
            fs, settings=settings, clock=clock, evaluator=evaluator or NoEvaluator(), read_only=read_only
        )
        _recover(engine)
        if not read_only:
            _write_on(engine, since_us)
        engine.lock = lock
        if read_only:
            _hold_files(engine)
        elif settings.wal_archive_enabled:
            # Until who keeps the archive knows what is in it: all there is. Before upkeep removes anything.
            engine.logged_files.holds.hold(ARCHIVE_HOLD, 0)
        if upkeep and not read_only:
            engine.background = Background(engine)
        engine.let_go_when_collected()
        return engine
    except BaseException:
        if engine is not None:
            engine.abandon()
        if lock is not None:
            lock.release()
        raise


def open_for_replay(
    fs: FileSystem,
    *,
    arguments: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    evaluator: Evaluator | None = None,
    owner: Mapping[str, Any] | None = None,
) -> Engine:
    """An engine at the last checkpoint, for `recover_to.replay_to`: it has the writer's lock and does not write.

    LockedError if another process has the instance open for writing.
    """
    clock = clock or SystemClock()
    settings = _settings(fs, arguments)
    lock = _lock(fs, {**(owner or {}), "since": format_time(clock.now_us())})
    engine = Engine(fs, settings=settings, clock=clock, evaluator=evaluator or NoEvaluator(), read_only=True)
    engine.lock = lock
    try:
        engine.control, manifest = _last_checkpoint(fs)
        load(engine, manifest)
    except BaseException:
        engine.abandon()
        raise
    engine.let_go_when_collected()
    return engine


def _lock(fs: FileSystem, owner: Mapping[str, Any]) -> Lock:
    """The writer's lock. What this process holds for an engine that nobody uses any more is given up first."""
    try:
        return fs.lock(LOCK, dict(owner))
    except LockedError as error:
        if error.facts.get("pid") != os.getpid():
            raise
        gc.collect()
        return fs.lock(LOCK, dict(owner))


def _settings(fs: FileSystem, arguments: Mapping[str, Any] | None) -> Settings:
    conf = _text_of_conf(fs) if fs.exists(CONF) else None
    settings = load_settings(conf, arguments=arguments, conf_name=f"{fs.root}/{CONF}")
    if fs.exists(CONTROL):
        control = read_control(fs)
        settings = settings.created_with({"wal_segment_size": control.segment_bytes})
    return settings


def _text_of_conf(fs: FileSystem) -> str:
    data = read_file(fs, CONF)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidInputError(
            f"{fs.root}/{CONF}, line {line}: byte {data[error.start]:#04x} at {error.start} is not UTF-8 text",
            hint="save the file as UTF-8, or remove it: the defaults hold then",
        ) from error


def _recover(engine: Engine) -> None:
    """Read the last checkpoint and what follows it. A writer may remove the log under a reader, who looks again."""
    for _ in range(LEASE_TRIES):
        try:
            return _recover_once(engine)
        except (HistoryExpiredError, StorageError, CorruptLogError):
            if not engine.read_only or not _is_superseded(engine):
                raise
    raise StateError(f"{engine.fs.root}: the writer takes checkpoints faster than this reader can follow")


def _is_superseded(engine: Engine) -> bool:
    """Whether the checkpoint that a reader has tried to read from is the last one no longer."""
    tried: Control | None = getattr(engine, "control", None)
    return tried is not None and read_control(engine.fs).manifest != tried.manifest


def _recover_once(engine: Engine) -> None:
    fs = engine.fs
    control, manifest = _leased(engine) if engine.read_only else _last_checkpoint(fs)
    engine.control = control
    if manifest.lsn != control.checkpoint_lsn:
        raise CorruptionError(
            f"{CONTROL} and {control.manifest} disagree: checkpoint at {control.checkpoint_lsn} and {manifest.lsn}"
        )
    load(engine, manifest)
    if engine.read_only:
        end = readable_end(engine)
    else:
        found = repaired_end(fs, control)
        end, engine.torn = found.lsn, found.torn
    replay_upto(engine, control.checkpoint_lsn, end)


def _write_on(engine: Engine, since_us: int) -> None:
    """Open the log for writing at its end, and tell readers in other processes who writes and how far they may go."""
    control, log = engine.control, log_of(engine.control)
    engine.wal = LogWriter(
        engine.fs,
        directory=WAL_DIR,
        epoch=control.epoch,
        position=engine.published,
        sync_mode="fsync" if engine.settings.wal_sync_mode == "fsync" else "nosync",
        **log,
    )
    engine.watermark = Watermark(
        engine.fs, instance_id=control.instance_id, timeline=control.timeline, since_us=since_us
    )
    engine.publish(engine.published)


def _last_checkpoint(fs: FileSystem) -> tuple[Control, Manifest]:
    control = read_control(fs)
    return control, _manifest_of(fs, control)


def _manifest_of(fs: FileSystem, control: Control) -> Manifest:
    """The manifest that `control` names; one that is not there is damage."""
    try:
        return read_manifest(fs, control.manifest)
    except StorageError as error:
        if error.errno != errno.ENOENT:
            raise
        path = f"{MANIFESTS_DIR}/{control.manifest}"
        raise CorruptionError(
            f"{path} is missing, which {CONTROL} names as the last checkpoint",
            hint="restore the file from a backup",
            path=path,
        ) from error


def _leased(engine: Engine) -> tuple[Control, Manifest]:
    """The last checkpoint, under a lease that keeps its files while a writer goes on, and those in use already.

    The writer may replace it between our look at `control` and our lease; then we look again.
    """
    fs = engine.fs
    control = read_control(fs)
    try:
        if engine.lease is None:
            engine.lease = Lease(fs, engine.clock, control.manifest)
    except StorageError as error:
        # A medium we cannot write to has no writer either who would need to know of us. A full disk may have one.
        if error.errno not in UNWRITABLE and fs.lock_owner(LOCK) is not None:
            raise
        return _last_checkpoint(fs)
    for _ in range(LEASE_TRIES):
        control = read_control(fs)
        engine.lease.renew(control.manifest, engine.pages.in_use() | engine.log.in_use())
        if read_control(fs).manifest == control.manifest:
            return control, _manifest_of(fs, control)
    raise StateError(f"{fs.root}: the writer takes checkpoints faster than this reader can follow")


def load(engine: Engine, manifest: Manifest) -> None:
    """Put a checkpoint's contents into an engine that has nothing yet."""
    parts = manifest.parts
    engine.history = History.from_json(
        {name: parts[name] for name in ("databases", "eras", "snapshots", "catalogs")}
    )
    engine.allocator = Allocator.from_json(parts["allocator"], engine.settings.sequence_block)
    chunks = [ChunkRef.from_json(chunk) for chunk in parts["commit_log"]]
    engine.log = CommitLog.open(engine.fs, chunks, instead_of=engine.log)
    engine.covers = Covers(cache_bytes=engine.settings.cache_bytes)
    read_covers(engine, parts["covers"])
    engine.logged_files.begin(manifest.lsn)
    engine.published = engine.replayed = manifest.lsn
    engine.seen(manifest.time_us, parts["checkpoint"].get("txid", 0))


def replay_upto(engine: Engine, start: int, end: int) -> None:
    """Apply the log's records in (start, end] and show them: all, or none if one cannot be read or applied.

    Then `replayed` says how far they were applied, where who calls again goes on: none may be applied twice.
    """
    control = engine.control
    idle = start == control.checkpoint_lsn
    for record in read_log(
        engine.fs,
        WAL_DIR,
        from_lsn=start,
        end_lsn=end,
        **log_of(control),
    ):
        engine.seen(record.time_us, record.txid)
        engine.replayed = HALFWAY
        replay(engine, record)
        engine.replayed = record.end_lsn
        idle = idle and record.kind is RecordKind.CHECKPOINT
    engine.idle_bytes = end - start if idle else 0
    engine.replayed = end
    engine.publish(end)


def refresh(engine: Engine) -> int:
    """Bring a read-only engine up to what is durable now; returns the LSN it shows.

    Costs the log written since. When the writer has removed that log already, the engine starts over from the
    newest checkpoint; what is open on it goes on reading what it saw.
    """
    if not engine.read_only or engine.at_target:
        return engine.published
    engine.check_process()
    with engine.maintenance:
        engine.check_open()
        try:
            if engine.replayed == HALFWAY:
                _start_over(engine)
            end = readable_end(engine)
            if end > engine.published:
                replay_upto(engine, engine.replayed, end)
        except (HistoryExpiredError, StorageError, CorruptLogError):
            if read_control(engine.fs).checkpoint_lsn <= engine.published:
                raise
            _start_over(engine)
        try:
            _hold_files(engine)
        except AbsdbError as error:
            engine.covers.unprotected = error
            raise
        engine.covers.unprotected = None
    return engine.published


def _hold_files(engine: Engine) -> None:
    """Claim the page files that the replayed log has named, starting over if one of them may be on its way out.

    The writer removes files after it has put a new checkpoint in force, and asks for leases in between. While
    `control` is what it was, whatever it asks next it will hear of ours. Where this fails, what has been replayed is
    not protected, and is not read until a later call succeeds.
    """
    for _ in range(LEASE_TRIES):
        used = engine.pages.in_use()
        if engine.lease is not None:
            engine.lease.renew(engine.control.manifest, used | engine.log.in_use())
        if read_control(engine.fs).manifest == engine.control.manifest and used <= set(engine.pages.names()):
            return
        _start_over(engine)
        gc.collect()
    raise StateError(f"{engine.fs.root}: the writer removes files faster than this reader can claim them")


def _start_over(engine: Engine) -> None:
    """Read the newest checkpoint and what follows it aside, then show it: who reads meanwhile sees all or nothing."""
    fresh = Engine(
        engine.fs,
        settings=engine.settings,
        clock=engine.clock,
        evaluator=engine.evaluator,
        read_only=True,
    )
    fresh.pages, fresh.bulk, fresh.lease, fresh.log = engine.pages, engine.bulk, engine.lease, engine.log
    _recover(fresh)
    # Lineages name the same states before and after, so that it does no harm to see some of these only.
    engine.history, engine.log, engine.covers = fresh.history, fresh.log, fresh.covers
    engine.allocator, engine.control, engine.lease = fresh.allocator, fresh.control, fresh.lease
    engine.idle_bytes, engine.replayed = fresh.idle_bytes, fresh.replayed
    engine.seen(*fresh.last_seen)
    engine.publish(fresh.published)
