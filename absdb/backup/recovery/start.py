"""Where a recovery starts: the checkpoint of a backup, and the log that came with it, restored or not yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from absdb.backup.codec.pipeline import pool
from absdb.backup.fetching import Fetching, fetch_bytes
from absdb.backup.manifest import BackupManifest, StoredFile
from absdb.backup.repository import Repository
from absdb.catalog.control import read_control
from absdb.catalog.manifest import Manifest, read_manifest
from absdb.engine.recovery_log import local_end
from absdb.io.base import FileSystem, read_file
from absdb.paths import WAL_DIR, parse_timeline_history_name, wal_segment_name
from absdb.wal.position import SEGMENT_HEADER_BYTES
from absdb.wal.timelines import TimelineHistory, parse_history


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What is known of it. `end_lsn` is where its own log ends, `end_us` when that was, if `read` cannot tell.

    `read` gives the bytes of a segment of its own log, b"" for one that it does not have.
    """

    instance_id: bytes
    timeline: int
    segment_bytes: int
    checkpoint_lsn: int
    checkpoint_us: int
    end_lsn: int
    end_us: int | None
    histories: tuple[TimelineHistory, ...]
    read: Callable[[int], bytes]


def start_in(fs: FileSystem) -> Start:
    """That of a directory into which a backup was restored. CorruptLogError if its log is damaged."""
    control = read_control(fs)
    histories = []
    for name in fs.list(WAL_DIR):
        number = parse_timeline_history_name(name)
        if number is not None and number <= control.timeline:
            path = f"{WAL_DIR}/{name}"
            histories.append(parse_history(read_file(fs, path), path=path, instance_id=control.instance_id))

    def read(number: int) -> bytes:
        path = f"{WAL_DIR}/{wal_segment_name(control.timeline, number)}"
        return read_file(fs, path) if fs.exists(path) else b""

    return Start(
        instance_id=control.instance_id,
        timeline=control.timeline,
        segment_bytes=control.segment_bytes,
        checkpoint_lsn=control.checkpoint_lsn,
        checkpoint_us=read_manifest(fs, control.manifest).time_us,
        end_lsn=local_end(fs, control),
        end_us=None,
        histories=tuple(histories),
        read=read,
    )


def start_of(repository: Repository, label: str) -> Start:
    """That of a backup which is not restored yet. Costs fetching its manifests and histories."""
    found = repository.manifest(label)
    backup = found.backup
    owner = bytes.fromhex(backup.instance_id)
    described = next(file for file in found.files if file.kind == "manifest")
    histories = [
        parse_history(_fetched(repository, found, file), path=file.path, instance_id=owner)
        for file in found.files
        if file.kind == "history"
    ]
    return Start(
        instance_id=owner,
        timeline=backup.timeline,
        segment_bytes=backup.segment_bytes,
        checkpoint_lsn=backup.checkpoint_lsn,
        checkpoint_us=Manifest.from_bytes(_fetched(repository, found, described), described.path).time_us,
        end_lsn=backup.end_lsn,
        end_us=backup.end_us,
        histories=tuple(histories),
        read=lambda number: b"",
    )


def own_segments(repository: Repository, label: str) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of each segment of log that came with a backup, as a restore puts it into place."""
    found = repository.manifest(label)
    for file in found.files:
        if file.kind == "wal":
            data = _fetched(repository, found, file)
            head, rest = data[:SEGMENT_HEADER_BYTES], data[SEGMENT_HEADER_BYTES:]
            whole = head + bytes(file.skipped) + rest
            yield file.path, whole.ljust(found.backup.segment_bytes, b"\0")


def _fetched(repository: Repository, manifest: BackupManifest, file: StoredFile) -> bytes:
    origin = manifest.origins[file.origin]
    with pool(1) as threads:
        return fetch_bytes(Fetching(repository.key, threads, 1), repository.store_of(origin), origin, file)
