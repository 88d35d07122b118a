"""The golden log of format 1: two segments of 4 KiB in tests/golden/wal/format-1, written once.

`python -m tests.wal.golden` wrote them; it refuses to write what is there already. A new format gets a new
directory and a new writer; old files are never rewritten, since logs like them are on users' disks.
"""

from __future__ import annotations

from pathlib import Path

from absdb.io.base import FileSystem
from absdb.io.local import LocalFileSystem
from absdb.wal.format import RecordKind
from absdb.wal.writer import LogWriter

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "wal" / "format-1"
INSTANCE = bytes.fromhex("00112233445566778899aabbccddeeff")
TIMELINE, EPOCH, SEGMENT_BYTES = 1, 5, 4096

# Kind, database, transaction, time, body: every kind, an empty body, and one that crosses into the second
# segment; integers at their limits, so that a field that has lost its width or sign shows.
RECORDS = (
    (RecordKind.DATABASE, 1, 1, 1_767_225_600_000_000, b'{"create":"main"}'),
    (RecordKind.COMMIT, 1, 2, 1_767_225_600_000_001, bytes(range(256))),
    (RecordKind.SNAPSHOT, 4_294_967_295, 18_446_744_073_709_551_615, -1, "Grüße".encode()),
    (RecordKind.ALLOCATE, 0, 0, -9_223_372_036_854_775_808, b""),
    (RecordKind.CHECKPOINT, 2, 3, 9_223_372_036_854_775_807, b"12345678"),
    (RecordKind.NOTE, 3, 4, 0, bytes(255 - index % 251 for index in range(4000))),
)
BATCHES = ((0, 2), (2, 4), (4, 6))


def write(fs: FileSystem) -> None:
    """Write the golden log."""
    log = LogWriter(
        fs,
        directory="",
        instance_id=INSTANCE,
        timeline=TIMELINE,
        epoch=EPOCH,
        segment_bytes=SEGMENT_BYTES,
        position=0,
        prepare_ahead=False,
    )
    for first, end in BATCHES:
        for record in RECORDS[first:end]:
            log.append(*record)
        log.flush()
    log.close()


if __name__ == "__main__":
    fs = LocalFileSystem(GOLDEN)
    if fs.list(""):
        raise SystemExit(f"{GOLDEN} is there already and stays as it is")
    fs.make_directory("")
    write(fs)
