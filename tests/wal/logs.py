"""Small logs for the tests: one identity, tiny segments, batches given as lists of bodies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from absdb.io.base import FileSystem
from absdb.paths import wal_segment_name
from absdb.wal.format import LogIdentity, Record, RecordKind
from absdb.wal.reader import read_log
from absdb.wal.writer import LogWriter

INSTANCE = bytes(range(16))
SEGMENT = 4096
LOG = LogIdentity(INSTANCE, 1, SEGMENT)
WHOSE: dict[str, Any] = {"instance_id": INSTANCE, "timeline": 1, "segment_bytes": SEGMENT}


@dataclass(frozen=True, slots=True)
class Written:
    """A record as its writer knows it."""

    lsn: int
    end_lsn: int
    durable_lsn: int
    body: bytes


def writer(fs: FileSystem, *, position: int = 0, epoch: int = 1, **options: Any) -> LogWriter:
    """A writer that makes segments in the calling thread, so that calls come in one order."""
    whose = {**WHOSE, "directory": "wal", "prepare_ahead": False, "epoch": epoch, **options}
    return LogWriter(fs, position=position, **whose)


def append(log: LogWriter, body: bytes, *, number: int = 0) -> Written:
    """Append a record without flushing it."""
    durable_lsn = log.durable_lsn
    lsn, end = log.append(RecordKind.COMMIT, 7, number, 1_000 + number, body)
    return Written(lsn, end, durable_lsn, body)


def write_batches(log: LogWriter, batches: Iterable[Sequence[bytes]]) -> list[list[Written]]:
    """Append and flush each batch."""
    written = []
    for batch in batches:
        written.append([append(log, body) for body in batch])
        log.flush()
    return written


def bodies(fs: FileSystem, *, from_lsn: int = 0, end_lsn: int | None = None) -> list[bytes]:
    """The bodies of all records."""
    return [record.body for record in records(fs, from_lsn=from_lsn, end_lsn=end_lsn)]


def records(fs: FileSystem, *, from_lsn: int = 0, end_lsn: int | None = None) -> list[Record]:
    return list(read_log(fs, "wal", from_lsn=from_lsn, end_lsn=end_lsn, **WHOSE))


def path(segment: int) -> str:
    """Where a segment lies."""
    return f"wal/{wal_segment_name(1, segment)}"


def body(length: int, seed: int = 0) -> bytes:
    """Bytes without zeros among them, different for each seed."""
    return bytes(1 + (index * 7 + seed * 31) % 255 for index in range(length))
