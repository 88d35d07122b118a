"""Making a backup: full, incremental, or of a single database; of a live instance, while it is written.

    hold what is to be copied (source.py) → claim the label (claim.py) → store what the base lacks, several files and
    several parts of each at a time (storing.py) → the manifest, put if absent

Whatever goes wrong before the manifest is there leaves no backup; the same command again goes on with it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import hmac
import importlib.metadata
import json
import os
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from absdb.backup.claim import Account, Claim, claim
from absdb.backup.codec.codec import Codec
from absdb.backup.codec.compression import AS_SET
from absdb.backup.codec.key import Key, find_key
from absdb.backup.codec.pipeline import pool, workers
from absdb.backup.info import BackupInfo, info_of
from absdb.backup.label_record import record_label, recorded_labels
from absdb.backup.manifest import COMPRESSIONS, Backup, BackupManifest, Origin, StoredFile, to_bytes
from absdb.backup.meter import Meter, Report, metered
from absdb.backup.pace import Pace, give_way
from absdb.backup.pins import pin_label
from absdb.backup.reader_mark import reading
from absdb.backup.repository import Options, Repository, split_label
from absdb.backup.source import Source, SourceFile, folded_source, held_source
from absdb.backup.storing import Storing, store_file
from absdb.clock import to_datetime
from absdb.engine.engine import Engine
from absdb.errors import AbsdbError, AlreadyExistsError, InvalidInputError, NotFoundError, StateError
from absdb.object_names import BACKUP_DEPENDENTS, BACKUP_MANIFEST, check_label
from absdb.objectstore.location import check_outside
from absdb.paths import check_text

REUSED = ("page", "log")
LABEL_TRIES = 100


@dataclass(frozen=True, slots=True)
class _Base:
    """What an incremental backup builds on. `origins` are the base's, as they are called from the new repository."""

    manifest: BackupManifest
    url: str
    origins: tuple[Origin, ...]


def create_backup(
    engine: Engine,
    url: str | os.PathLike[str],
    *,
    label: str | None = None,
    incremental_from: str | None = None,
    base_url: str | None = None,
    database: str | None = None,
    compress: str | None = AS_SET,
    key: Key | None = None,
    jobs: int | None = None,
    progress: Report = None,
    comment: str = "",
    pin: bool = False,
    store_options: Options = None,
) -> BackupInfo:
    """Back up what is committed now to the repository at `url`; commits go on meanwhile.

    `incremental_from` is the label of an earlier backup, at `base_url` if it is neither here nor remembered. Without
    `key` the one of the setting backup_key_file or of ABSDB_BACKUP_KEY encrypts, if there is one. `jobs` is how many
    files, and parts of files, are worked on at a time.

    AlreadyExistsError for a label that is taken; StateError for a base of another instance; CorruptionError if what is
    read is not what the instance says it wrote: then there is no backup. Costs reading and storing what the base lacks.
    """
    engine.check_open()
    url, label = split_label(url, label)
    codec = _codec(engine, compress, key)
    check_text("comment", comment)
    check_outside(url, engine.fs.root, "backups")
    threads = workers(jobs)
    if database is not None and incremental_from is not None:
        raise InvalidInputError("a backup of a single database is always a full one")
    with ExitStack() as held:
        repository = held.enter_context(
            Repository(url, key=codec.key, options=store_options, clock=engine.clock)
        )
        base = None
        if incremental_from is not None:
            base = _base(engine, repository, incremental_from, base_url, held)
            held.enter_context(reading(repository.store_of(base.origins[0]), incremental_from, "backup"))
        source = held.enter_context(_source(engine, database))
        if base is not None:
            _check_base(base, source, repository)
        kind = "database" if database is not None else "full" if base is None else "incremental"
        asked = {
            "kind": kind,
            "instance": source.control.instance_id.hex(),
            "database": _hidden(database, codec.key),
            "base": [incremental_from, base.manifest.backup.id] if base is not None else None,
            "compression": codec.compression,
            "key": codec.key.id if codec.key is not None else None,
        }
        stem = kind if database is None or codec.key is not None else database
        claimed = _claim(engine, repository, label, stem, asked, codec)
        running = _Running(engine, repository, claimed, codec, source, base, kind, comment)
        backup = running.run(threads, progress)
        if pin:
            pin_label(repository.store, claimed.label, engine.clock)
        record_label(engine.fs, claimed.label, repository.given)
        return info_of(backup, repository.url, pinned=pin)


def _codec(engine: Engine, compress: str | None, key: Key | None) -> Codec:
    compression = engine.settings.backup_compress if compress == AS_SET else compress
    compression = None if compression == "none" else compression
    if compression not in COMPRESSIONS:
        raise InvalidInputError(f"{compression!r} is no compression", hint="none, lz4 and zstd are")
    return Codec(compression, find_key(engine.settings.backup_key_file) if key is None else key)


def _hidden(database: str | None, key: Key | None) -> str | None:
    """A name as begin.json, which anybody can read, may tell it: with a key, what only its holder can make of it."""
    if database is None or key is None:
        return database
    return hmac.digest(key.secret(), f"absdb database {database}".encode(), "sha256").hex()


def _source(engine: Engine, database: str | None) -> AbstractContextManager[Source]:
    return held_source(engine) if database is None else folded_source(engine, database)


def _base(
    engine: Engine,
    repository: Repository,
    label: str,
    base_url: str | None,
    held: ExitStack,
) -> _Base:
    """The base, where it is found: at its URL, in this repository, or where the instance remembers it."""
    check_label(label)
    if base_url is None:
        try:
            manifest = repository.manifest(label)
            return _Base(manifest, "", manifest.origins)
        except NotFoundError as error:
            base_url = recorded_labels(engine.fs).get(label)
            if base_url is None:
                error.hint = f"{error.hint}; --from-url says where else it may be"
                raise
    repository.trust(base_url)
    other = held.enter_context(
        Repository(base_url, key=repository.key, options=repository.options_for(base_url), clock=engine.clock)
    )
    manifest = other.manifest(label)
    if other.url == repository.url:
        return _Base(manifest, "", manifest.origins)
    origins = tuple(dataclasses.replace(origin, url=origin.url or base_url) for origin in manifest.origins)
    return _Base(manifest, base_url, origins)


def _check_base(base: _Base, source: Source, repository: Repository) -> None:
    backup = base.manifest.backup
    if backup.instance_id != source.control.instance_id.hex():
        raise StateError(
            f"the backup {backup.label!r} is one of instance {backup.instance_id}, and this is "
            f"{source.control.instance_id.hex()}",
            hint="make a full backup of this instance first",
        )
    if backup.kind == "database":
        raise StateError(
            f"{backup.label!r} is a backup of a single database, which nothing can build on",
            hint="make a full backup first",
        )
    if backup.key_id and repository.key is not None and backup.key_id != repository.key.id:
        raise StateError(
            f"{backup.label!r} is encrypted with key {backup.key_id}, and the key now is {repository.key.id}",
            hint="a chain has one key; make a full backup with the new one",
        )


def _claim(
    engine: Engine,
    repository: Repository,
    label: str | None,
    what: str,
    asked: dict[str, Any],
    codec: Codec,
) -> Claim:
    """The label that was asked for, or a new one from what it is and the time."""
    if label is not None:
        return claim(repository.store, check_label(label), asked, codec, engine.clock)
    stem = default_label(what, to_datetime(engine.clock.now_us()))
    for number in range(1, LABEL_TRIES):
        wanted = stem if number == 1 else f"{stem}-{number}"
        if not repository.store.exists(f"{wanted}/begin.json"):
            with suppress(AlreadyExistsError):
                return claim(repository.store, wanted, asked, codec, engine.clock)
    raise AlreadyExistsError(f"there are {LABEL_TRIES} backups {stem!r} already", hint="give it a label")


def default_label(what: str, now: dt.datetime) -> str:
    """`full-20260404T140500Z`: what a backup is called that nobody gives a name."""
    stem = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in what).strip(".-_")
    return f"{stem[:80] or 'database'}-{now:%Y%m%dT%H%M%SZ}"


class _Running:
    """One backup on its way."""

    def __init__(
        self,
        engine: Engine,
        repository: Repository,
        claimed: Claim,
        codec: Codec,
        source: Source,
        base: _Base | None,
        kind: str,
        comment: str,
    ) -> None:
        self._engine = engine
        self._repository = repository
        self._claim = claimed
        self._codec = codec
        self._source = source
        self._base = base
        self._kind = kind
        self._comment = comment
        own = Origin(claimed.label, "", claimed.id, codec.compression, codec.key is not None)
        self._origins = [own]

    def run(self, jobs: int, report: Report) -> Backup:
        """Store everything, and the manifest last."""
        kept, missing = self._kept()
        account = Account(self._claim, self._codec)
        total = sum(file.size for file in missing)
        try:
            with metered(report, f"backup {self._claim.label}", total, len(missing)) as meter:
                stored = self._store(missing, jobs, meter, account)
        except BaseException:
            with suppress(AbsdbError):  # the error that is raised says what is the matter
                account.tell()
            raise
        manifest = self._manifest([*kept, *stored])
        self._put(manifest)
        if self._claim.run or account.told:
            self._tidy(manifest)
        return manifest.backup

    def _kept(self) -> tuple[list[StoredFile], list[SourceFile]]:
        """What lies in the base or was stored by an earlier run, and what is to be stored; the largest first."""
        known = dict(self._claim.stored)
        from_base: dict[str, StoredFile] = {}
        if self._base is not None:
            from_base = {file.path: file for file in self._base.manifest.files if file.kind in REUSED}
        kept, missing, origins = list[StoredFile](), list[SourceFile](), dict[int, int]()
        for file in self._source.files:
            based, earlier = from_base.get(file.path), known.get(file.path)
            if based is not None and self._base is not None and based.raw_bytes == file.size:
                if based.origin not in origins:
                    origins[based.origin] = len(self._origins)
                    self._origins.append(self._base.origins[based.origin])
                kept.append(dataclasses.replace(based, origin=origins[based.origin]))
            elif earlier is not None and file.kind in REUSED and earlier.raw_bytes == file.size:
                kept.append(earlier)
            else:
                missing.append(file)
        return kept, sorted(missing, key=lambda file: -file.size)

    def _store(
        self, files: Sequence[SourceFile], jobs: int, meter: Meter, account: Account
    ) -> list[StoredFile]:
        pace = Pace(self._engine)

        def count(length: int) -> None:
            meter.add(length)
            pace.rest()

        with (
            pool(jobs, "absdb-backup-part", give_way) as parts,
            pool(max(2, jobs), "absdb-backup-file", give_way) as threads,
        ):
            storing = Storing(
                self._repository.store,
                self._claim.label,
                self._claim.id,
                self._claim.run,
                self._codec,
                parts,
                jobs + 1,
            )

            def store(file: SourceFile) -> StoredFile:
                pace.begin()
                found = store_file(storing, self._source.fs, file, count)
                account.add(found)
                meter.add(0, files=1)
                return found

            running = [threads.submit(store, file) for file in files]
            return results(running, meter)

    def _manifest(self, files: list[StoredFile]) -> BackupManifest:
        source, control = self._source, self._source.control
        own = [file for file in files if file.origin == 0]
        settings = self._engine.settings
        backup = Backup(
            label=self._claim.label,
            kind=self._kind,
            id=self._claim.id,
            instance_id=control.instance_id.hex(),
            timeline=control.timeline,
            segment_bytes=control.segment_bytes,
            checkpoint_lsn=control.checkpoint_lsn,
            start_lsn=control.checkpoint_lsn,
            end_lsn=source.end_lsn,
            end_us=source.end_us,
            started_us=self._claim.started_us,
            finished_us=self._engine.clock.now_us(),
            base_label=self._base.manifest.backup.label if self._base is not None else "",
            base_url=self._base.url if self._base is not None else "",
            files=len(files),
            raw_bytes=sum(file.raw_bytes for file in files),
            stored_files=len(own),
            stored_bytes=sum(file.stored_bytes for file in own),
            compression=self._codec.compression,
            key_id=self._codec.key.id if self._codec.key is not None else "",
            version=_version(),
            wal_archive_target=settings.wal_archive_target.partition("?")[0],
            begin_sha256=self._claim.begin_sha256,
            needs=tuple((origin.label, origin.url) for origin in self._origins[1:]),
            databases=source.databases,
            comment=self._comment,
        )
        return BackupManifest(backup, tuple(self._origins), tuple(files))

    def _put(self, manifest: BackupManifest) -> None:
        for origin in self._origins[1:]:
            if origin.url:
                note = {"url": self._repository.given, "label": self._claim.label, "id": self._claim.id}
                name = f"{origin.label}/{BACKUP_DEPENDENTS}{self._claim.id}.json"
                self._repository.store_of(origin).put(name, json.dumps(note).encode())
        name = f"{self._claim.label}/{BACKUP_MANIFEST}"
        self._repository.store.put(name, to_bytes(manifest, self._codec.key), if_absent=True)

    def _tidy(self, manifest: BackupManifest) -> None:
        """Remove what interrupted runs have left. Whoever still writes some of it has lost the label by now."""
        label, store = self._claim.label, self._repository.store
        wanted = {f"{label}/{file.place}{self._codec.suffix}" for file in manifest.own()}
        for info in list(store.list(f"{label}/")):
            directory = info.name.removeprefix(f"{label}/").partition("/")[0].partition(".")[0]
            stray = directory in ("pages", "wal", "files") and info.name not in wanted
            if stray or directory.startswith(("resume-", "progress-")):
                store.delete(info.name)


@functools.cache
def _version() -> str:
    """Which absdb this is; looking it up reads files."""
    return importlib.metadata.version("absdb")


def results(running: Sequence[Future[Any]], meter: Meter) -> list[Any]:
    """What all of them give; the first error is raised, after which none goes on for long."""
    try:
        wait(running, return_when=FIRST_EXCEPTION)
        for future in running:
            if future.done() and not future.cancelled() and (error := future.exception()) is not None:
                raise error
        return [future.result() for future in running]
    except BaseException:
        meter.stop()
        for future in running:
            future.cancel()
        raise
