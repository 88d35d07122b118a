"""Bringing the files of a backup back into a directory, new or in place.

    lock → the marker `restoring` → files under temporary names, checked, renamed → `control` → the marker goes

While the marker is there nothing opens the directory, whatever else is in it, and the same restore goes on where it
was: what has its size and its checksum is not fetched again. In place that is true of most page files, since they never
change; what the backup does not have is removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from crc32c import crc32c

from absdb.backup.codec.codec import PART_BYTES
from absdb.backup.codec.key import Key
from absdb.backup.codec.pipeline import pool, workers
from absdb.backup.create import results
from absdb.backup.fetching import Fetching, fetch_bytes, fetch_file
from absdb.backup.manifest import BackupManifest, StoredFile
from absdb.backup.meter import Meter, Report, metered
from absdb.backup.one_database import files_of_database, keep_only
from absdb.backup.reader_mark import reading
from absdb.backup.repository import Options, Repository, open_backup
from absdb.backup.write_behind import WriteBehind, synced_now_and_then
from absdb.engine.location import MEMORY, file_system
from absdb.errors import InvalidInputError, StateError, StorageError
from absdb.ids import Lsn
from absdb.io.base import File, FileSystem, read_file, write_atomic
from absdb.paths import (
    ARCHIVE_STATUS,
    CONTROL,
    DIRECTORIES,
    LOCK,
    MANIFESTS_DIR,
    PAGES_DIR,
    RECOVERY_CONF,
    RECOVERY_DONE,
    RESTORING,
    TEMPORARY_SUFFIX,
    WAL_DIR,
    WATERMARK,
    is_temporary,
    parse_torn_tail_name,
)
from absdb.reprs import counted, page
from absdb.sizes import size
from absdb.wal.position import SEGMENT_HEADER_BYTES
from absdb.wal.segments import zeros

COMPARE_BYTES = 1 << 20
OF_ANOTHER_LIFE = (WATERMARK, ARCHIVE_STATUS, RECOVERY_CONF, RECOVERY_DONE)
"""What an instance that is replaced in place says of a log that is gone then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredFiles:
    """What was restored. `fetched_bytes` of its `raw_bytes` were read from the repository; the rest was there."""

    path: str
    url: str
    label: str
    kind: str
    timeline: int
    checkpoint_lsn: Lsn
    end_lsn: Lsn
    files: int
    raw_bytes: int
    fetched_bytes: int
    wal_archive_target: str

    def _repr_html_(self) -> str:
        facts = [
            f"from {self.label} @ {self.end_lsn}",
            f"{size(self.raw_bytes)} in {counted(self.files, 'file')}",
        ]
        return page("Restored", self.path, facts)


def restore_files(
    url: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    label: str | None = None,
    database: str | None = None,
    in_place: bool = False,
    key: Key | None = None,
    jobs: int | None = None,
    progress: Report = None,
    store_options: Options = None,
    finish: Callable[[FileSystem], None] | None = None,
) -> RestoredFiles:
    """Restore a backup (the newest without `label`) into a directory that is empty or new; `connect` opens it then.

    With `in_place` into the directory of an instance that nobody has open, whose state is lost; only what differs is
    fetched. `database` brings back that one alone. A restore that was interrupted goes on when it is called again.

    `finish` is called with the directory when all files are there, and nothing opens it yet.

    StateError if there is something else in the directory; CorruptionError if the backup is not whole: then the
    directory does not open. Costs reading what is fetched, and a look at what is there.
    """
    if os.fspath(path) == MEMORY:
        raise InvalidInputError("a backup is restored into a directory", hint="pass one that is new or empty")
    fs, threads = file_system(path), workers(jobs)
    repository, label = open_backup(url, label, key=key, options=store_options)
    with repository:
        manifest = repository.manifest(label)
        wanted = list(manifest.files)
        if database is not None:
            wanted = files_of_database(repository, manifest, database)
        claim = {"id": manifest.backup.id, "label": label, "url": repository.url, "database": database}
        check_target(fs, claim, in_place=in_place)
        fs.make_directory("")
        lock = fs.lock(LOCK, {"since": "restoring"})
        try:
            check_target(fs, claim, in_place=in_place)
            with reading(repository.store, label, "restore"):
                restoring = _Restoring(fs, repository, manifest, wanted)
                fetched = restoring.run(claim, threads, progress)
        finally:
            lock.release()
        if database is not None and manifest.backup.kind != "database":
            keep_only(fs, database)
        if finish is not None:
            finish(fs)
        restoring.done()
    backup = manifest.backup
    return RestoredFiles(
        path=fs.root,
        url=repository.url,
        label=label,
        kind=backup.kind,
        timeline=backup.timeline,
        checkpoint_lsn=Lsn(backup.checkpoint_lsn),
        end_lsn=Lsn(backup.end_lsn),
        files=len(wanted),
        raw_bytes=sum(file.raw_bytes for file in wanted),
        fetched_bytes=fetched,
        wal_archive_target=backup.wal_archive_target,
    )


def check_target(fs: FileSystem, claim: dict[str, Any], *, in_place: bool) -> None:
    """StateError unless the directory may be restored into: it is empty, or this very restore was begun there."""
    if fs.exists(RESTORING):
        try:
            begun = json.loads(read_file(fs, RESTORING))
        except ValueError:
            begun = None
        if begun == claim or in_place:
            return
        raise StateError(
            f"{fs.root} is where another restore was begun and not finished: {begun}",
            hint="run that one again, or choose an empty directory",
        )
    strange = [name for name in fs.list("") if name != LOCK and not is_temporary(name)]
    if not in_place and strange:
        raise StateError(
            f"{fs.root} is not empty: it holds {', '.join(strange[:5])}",
            hint="restore into a directory that is new or empty; in place (--in-place) replaces an instance",
        )
    if in_place and not fs.exists(CONTROL):
        raise StateError(f"there is no instance in {fs.root} to restore in place", hint="leave out in_place")


class _Restoring:
    """One restore on its way."""

    def __init__(
        self, fs: FileSystem, repository: Repository, manifest: BackupManifest, wanted: list[StoredFile]
    ) -> None:
        self._fs = fs
        self._repository = repository
        self._manifest = manifest
        self._wanted = wanted

    def run(self, claim: dict[str, Any], jobs: int, report: Report) -> int:
        """Bring everything into place, `control` last; bytes that were fetched."""
        fs = self._fs
        write_atomic(fs, RESTORING, json.dumps(claim).encode())
        for directory in DIRECTORIES:
            fs.make_directory(directory)
        self._remove_strays()
        files = [file for file in self._wanted if file.kind != "control"]
        needed = sum(file.raw_bytes for file in files if not fs.exists(file.path))
        if needed > fs.free_bytes():
            raise StorageError(
                f"{fs.root}: {needed:,} bytes are to be restored, and {fs.free_bytes():,} are free",
                hint="make room, or restore into another directory; what is there already is not fetched again",
            )
        total = sum(file.raw_bytes for file in files)
        with (
            metered(report, f"restore {self._manifest.backup.label}", total, len(files)) as meter,
            pool(jobs, "absdb-restore-part") as parts,
            pool(max(2, jobs), "absdb-restore-file") as threads,
        ):
            fetching = Fetching(self._repository.key, parts, jobs + 1)
            files.sort(key=lambda file: -file.raw_bytes)
            running: list[Future[int]] = [
                threads.submit(self._restore, fetching, file, meter) for file in files
            ]
            fetched = sum(results(running, meter))
            for directory in DIRECTORIES:
                fs.sync_directory(directory)
            control = next(file for file in self._wanted if file.kind == "control")
            write_atomic(fs, CONTROL, self._bytes(fetching, control))
        return fetched

    def done(self) -> None:
        """From here on the directory is an instance."""
        self._fs.unlink(RESTORING)
        self._fs.sync_directory("")

    def _restore(self, fetching: Fetching, file: StoredFile, meter: Meter) -> int:
        if file.kind != "wal" and _is_there(self._fs, file):
            meter.add(file.raw_bytes, files=1)
            return 0
        temporary = file.path + TEMPORARY_SUFFIX
        if self._fs.exists(temporary):
            self._fs.unlink(temporary)
        origin = self._manifest.origins[file.origin]
        target = self._fs.create(temporary)
        try:
            writing = _Writing(target, file)
            store = self._repository.store_of(origin)
            if file.raw_bytes <= PART_BYTES:
                fetch_file(fetching, store, origin, file, writing.take, meter.add)
            else:
                with WriteBehind(synced_now_and_then(target, writing.take)) as behind:
                    fetch_file(fetching, store, origin, file, behind.put, meter.add)
            if file.kind == "wal":
                writing.fill(self._manifest.backup.segment_bytes)
            target.sync()
        finally:
            target.close()
        self._fs.rename(temporary, file.path)
        meter.add(0, files=1)
        return file.raw_bytes

    def _bytes(self, fetching: Fetching, file: StoredFile) -> bytes:
        origin = self._manifest.origins[file.origin]
        return fetch_bytes(fetching, self._repository.store_of(origin), origin, file)

    def _remove_strays(self) -> None:
        """What is in the directory and not in the backup, but for what nobody takes for part of an instance."""
        wanted = {file.path for file in self._wanted}
        for directory in (PAGES_DIR, WAL_DIR, MANIFESTS_DIR):
            for name in self._fs.list(directory):
                path = f"{directory}/{name}"
                if path not in wanted and parse_torn_tail_name(name) is None:
                    self._fs.unlink(path)
        for name in OF_ANOTHER_LIFE:
            if self._fs.exists(name):
                self._fs.unlink(name)


class _Writing:
    """Puts parts of a file where they belong; of a segment, what is not stored is zeros."""

    def __init__(self, target: File, file: StoredFile) -> None:
        self._target = target
        self._at = 0
        self._gap = (SEGMENT_HEADER_BYTES, file.skipped) if file.kind == "wal" and file.skipped else None

    def take(self, piece: Any) -> None:
        for chunk in self._around_gap(memoryview(piece)):
            self._target.pwrite(self._at, [chunk])
            self._at += len(chunk)

    def fill(self, size: int) -> None:
        """Make the file as long as a segment is."""
        if self._at < size:
            self._target.pwrite(self._at, zeros(size - self._at))

    def _around_gap(self, view: memoryview) -> Iterator[memoryview]:
        if self._gap is not None and self._at + len(view) >= self._gap[0]:
            (start, length), self._gap = self._gap, None
            head = start - self._at
            yield view[:head]
            self._target.pwrite(self._at, zeros(length))
            self._at += length
            view = view[head:]
        yield view


def _is_there(fs: FileSystem, file: StoredFile) -> bool:
    """Whether the file is in place already, byte by byte."""
    if not fs.exists(file.path) or fs.size(file.path) != file.raw_bytes:
        return False
    handle = fs.open(file.path)
    try:
        crc = 0
        for start in range(0, file.raw_bytes, COMPARE_BYTES):
            crc = crc32c(handle.pread(start, COMPARE_BYTES), crc)
        return crc == file.crc
    finally:
        handle.close()
