"""What a backup copies: one checkpoint's files and the log from there to an end LSN, held in place while it is copied.

In the process that writes the instance a checkpoint is taken first; beside a writer, or of an instance that nobody has
open, it is the last one. A lease on its manifest and on the log keeps all of it there, whatever is committed, folded or
removed meanwhile.

    control, manifest, absdb.conf      as they were; `control` says that the log is durable up to the end LSN
    pages/                             what the manifest names, and what the log behind the checkpoint names
    wal/                               how its timeline began; the log from the checkpoint to the end LSN, of which
                                       every record is checked here
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from absdb.backup.fold import fold_database
from absdb.backup.span_check import SpanCheck, chunk_check, page_file_check
from absdb.catalog.control import Control, read_control
from absdb.catalog.manifest import ChunkRef, Manifest, is_chunk_name, manifest_path, read_manifest
from absdb.engine.checkpoint import checkpoint
from absdb.engine.engine import Engine
from absdb.engine.leases import Lease
from absdb.engine.log_end import log_of
from absdb.engine.logged_files import files_named_by
from absdb.engine.recovery import UNWRITABLE, refresh
from absdb.errors import CorruptionError, StateError, StorageError
from absdb.io.base import File, FileSystem, read_file
from absdb.io.local import LocalFileSystem
from absdb.io.scratch import temporary_directory
from absdb.pages.format import PageFile
from absdb.paths import (
    CONF,
    CONTROL,
    LOCK,
    PAGES_DIR,
    WAL_DIR,
    parse_timeline_history_name,
    wal_segment_name,
)
from absdb.wal.position import SEGMENT_HEADER_BYTES
from absdb.wal.reader import read_log

TRIES_MAX = 100


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file to copy: what of it, or what it shall hold. Files in pages/ come with their description."""

    path: str
    kind: str
    size: int
    data: bytes | None = None
    extents: tuple[tuple[int, int], ...] = ()
    skipped: int = 0
    described: PageFile | ChunkRef | None = None

    def check(self) -> SpanCheck | None:
        """What compares it with its description while it is read; None if it has none."""
        if isinstance(self.described, PageFile):
            return page_file_check(self.path, self.described)
        return None if self.described is None else chunk_check(self.path, self.described)


class OpenSource:
    """Reads one such file front to back."""

    def __init__(self, fs: FileSystem, file: SourceFile) -> None:
        """CorruptionError if it is not there, or not as long as it should be."""
        self._file = file
        self._handle: File | None = None
        if file.data is None:
            self._handle = fs.open(file.path)
            if not file.extents and self._handle.size() != file.size:
                found = self._handle.size()
                self.close()
                raise CorruptionError(
                    f"{file.path}: {found} bytes, expected {file.size}",
                    hint="`absdb check` lists what is damaged; restore the file from an earlier backup",
                    path=file.path,
                )

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of what is copied. StorageError where the file ends before them."""
        if self._handle is None:
            assert self._file.data is not None
            return self._file.data[offset : offset + length]
        pieces = [
            self._handle.pread(at, count)
            for at, count in _within(self._file.extents or ((0, self._file.size),), offset, length)
        ]
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if len(data) != min(length, self._file.size - offset):
            raise StorageError(f"{self._file.path} ended while it was read", path=self._file.path)
        return data

    def close(self) -> None:
        if self._handle is not None:
            self._handle.close()


def _within(extents: tuple[tuple[int, int], ...], offset: int, length: int) -> Iterator[tuple[int, int]]:
    """(place in the file, bytes) of a stretch of what the extents are when they are put together."""
    for at, count in extents:
        if offset < count and length > 0:
            taken = min(count - offset, length)
            yield at + offset, taken
            length -= taken
        offset = max(0, offset - count)


@dataclass(frozen=True, slots=True)
class Source:
    """What is copied. `end_us` is the time of the last record before the end LSN."""

    fs: FileSystem
    control: Control
    manifest: Manifest
    end_lsn: int
    end_us: int
    files: tuple[SourceFile, ...]
    databases: tuple[str, ...]


@contextmanager
def held_source(engine: Engine) -> Iterator[Source]:
    """What there is to copy now; it stays until the context ends. Takes a checkpoint where that is possible."""
    engine.check_open()
    if engine.writable and engine.written_since_checkpoint:
        checkpoint(engine)
    elif not engine.read_only:
        engine.check_writable()
    control, end, lease = _held(engine)
    names = tuple(info.name for info, _ in engine.heads())
    try:
        yield _source(engine.fs, control, end, names)
    finally:
        if lease is not None:
            lease.release()


def _held(engine: Engine) -> tuple[Control, int, Lease | None]:
    """The checkpoint in force and an LSN that the log reaches, when nothing of it can be removed any more."""
    lease = _lease(engine)
    try:
        for _ in range(TRIES_MAX):
            control = read_control(engine.fs)
            if lease is not None:
                lease.renew(control.manifest, wal_lsn=control.checkpoint_lsn)
            end = refresh(engine) if engine.read_only else engine.published
            if read_control(engine.fs).manifest == control.manifest and end >= control.checkpoint_lsn:
                return control, end, lease
        raise StateError(f"{engine.fs.root}: checkpoints are taken faster than they can be held")
    except BaseException:
        if lease is not None:
            lease.release()
        raise


def _lease(engine: Engine) -> Lease | None:
    """None on a medium that nobody can write to, where nothing is removed either."""
    control = read_control(engine.fs)
    try:
        return Lease(engine.fs, engine.clock, control.manifest, wal_lsn=control.checkpoint_lsn)
    except StorageError as error:
        if error.errno not in UNWRITABLE or engine.fs.lock_owner(LOCK) is not None:
            raise
        return None


@contextmanager
def folded_source(engine: Engine, database: str) -> Iterator[Source]:
    """The newest state of one database alone, as an instance of its own in a temporary directory."""
    engine.check_open()
    if engine.read_only:
        refresh(engine)
    info = engine.history.database(database)
    with temporary_directory() as path:
        fs = LocalFileSystem(path)
        fold_database(engine, info, fs)
        control = read_control(fs)
        yield _source(fs, control, control.checkpoint_lsn, (info.name,))


def _source(fs: FileSystem, control: Control, end: int, names: tuple[str, ...]) -> Source:
    manifest = read_manifest(fs, control.manifest)
    named, end_us = _logged(fs, control, end)
    files = [*page_files(manifest, named), *_segments(fs, control, end)]
    files.append(_small(manifest_path(control.manifest), "manifest", fs))
    for name in fs.list(WAL_DIR):
        if parse_timeline_history_name(name) is not None:
            files.append(_small(f"{WAL_DIR}/{name}", "history", fs))
    if fs.exists(CONF):
        files.append(_small(CONF, "conf", fs))
    data = dataclasses.replace(control, durable_lsn=end).to_bytes()
    files.append(SourceFile(CONTROL, "control", len(data), data))
    return Source(fs, control, manifest, end, max(end_us, manifest.time_us), tuple(files), names)


def _small(path: str, kind: str, fs: FileSystem) -> SourceFile:
    data = read_file(fs, path)
    return SourceFile(path, kind, len(data), data)


def _logged(fs: FileSystem, control: Control, end: int) -> tuple[list[dict[str, Any]], int]:
    """Descriptions of the page files that the log behind the checkpoint names; when its last record was written."""
    named, last_us = list[dict[str, Any]](), 0
    if end > control.checkpoint_lsn:
        records = read_log(fs, WAL_DIR, from_lsn=control.checkpoint_lsn, end_lsn=end, **log_of(control))
        for record in records:
            named += files_named_by(record)
            last_us = record.time_us
    return named, last_us


def page_files(manifest: Manifest, named: list[dict[str, Any]]) -> Iterator[SourceFile]:
    """Files in pages/ that a manifest, or the log, names; each with its description."""
    described: dict[str, PageFile | ChunkRef] = {}
    for chunk in manifest.parts["commit_log"]:
        described[chunk["name"]] = ChunkRef.from_json(chunk)
    for found in (*page_files_in(manifest.parts["covers"]), *named):
        if found["name"] not in described:
            described[found["name"]] = PageFile.from_json(dict(found))
    for name in {**manifest.files, **dict.fromkeys(file["name"] for file in named)}:
        file = described.get(name)
        if file is None:
            raise CorruptionError(f"the manifest needs {PAGES_DIR}/{name} and does not say what is in it")
        kind = "log" if is_chunk_name(name) else "page"
        yield SourceFile(f"{PAGES_DIR}/{name}", kind, file.size, described=file)


def page_files_in(part: Any) -> Iterator[Mapping[str, Any]]:
    """Descriptions of page files, wherever they stand in a part of a manifest."""
    if isinstance(part, Mapping):
        if "head" in part and "pages" in part and "name" in part:
            yield part
            return
        part = part.values()
    elif not isinstance(part, list):
        return
    for inner in part:
        if isinstance(inner, Mapping | list):
            yield from page_files_in(inner)


def _segments(fs: FileSystem, control: Control, end: int) -> Iterator[SourceFile]:
    """Of each segment its header and what lies between the checkpoint and the end LSN."""
    size = control.segment_bytes
    for number in range(control.checkpoint_lsn // size, max(end - 1, control.checkpoint_lsn) // size + 1):
        path = f"{WAL_DIR}/{wal_segment_name(control.timeline, number)}"
        if not fs.exists(path):
            continue  # nothing was written behind the checkpoint; else reading the log has failed by now
        start = max(SEGMENT_HEADER_BYTES, control.checkpoint_lsn - number * size)
        used = max(0, min(size, end - number * size) - start)
        extents = ((0, SEGMENT_HEADER_BYTES), (start, used))
        skipped = start - SEGMENT_HEADER_BYTES
        yield SourceFile(path, "wal", SEGMENT_HEADER_BYTES + used, extents=extents, skipped=skipped)
