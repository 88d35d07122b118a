"""The golden archive of format 1, in tests/golden/archive/format-1, written once: the golden log, archived.

`python -m tests.backup.archive.golden` wrote it; it refuses to write what is there already. A new format gets a new
directory; old files are never rewritten, since archives like them are in users' buckets.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from absdb.backup.archive.identity import ArchiveIdentity, claim
from absdb.backup.archive.sending import Sender
from absdb.backup.codec.codec import Codec
from absdb.backup.codec.key import Key
from absdb.object_names import archived_page_file_name, file_list_name, gap_name, partial_segment_name
from absdb.objectstore.base import ObjectStore
from absdb.objectstore.locate import open_store
from absdb.paths import wal_segment_name
from tests.wal.golden import GOLDEN as GOLDEN_LOG
from tests.wal.golden import INSTANCE, SEGMENT_BYTES

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "archive" / "format-1"
KEY = Key(bytes(range(32)))
IDENTITY = ArchiveIdentity(INSTANCE, SEGMENT_BYTES, 1_767_225_600_000_000, 1, 0)
END = 4808
PAGE_FILE = "000000000000000A-k3.arrow"
PAGE_BYTES = bytes(range(256)) * 20
GAP = {
    "timeline": 1,
    "from_lsn": 3 * SEGMENT_BYTES,
    "to_lsn": 5 * SEGMENT_BYTES,
    "when_us": 1_767_225_600_000_000,
    "reason": "more than wal_archive_wait_max (8192 bytes) waited for the archive",
}
SPAN = (1, 3 * SEGMENT_BYTES, 5 * SEGMENT_BYTES)


def segment(number: int) -> bytes:
    """A segment of the golden log."""
    return (GOLDEN_LOG / wal_segment_name(1, number)).read_bytes()


def write(store: ObjectStore) -> None:
    """Write the golden archive."""
    claim(store, IDENTITY)
    with ThreadPoolExecutor(1) as threads:
        plain, sealed = Sender(store, Codec("zstd"), threads), Sender(store, Codec("lz4", KEY), threads)
        plain.put(archived_page_file_name(PAGE_FILE), PAGE_BYTES)
        plain.send_plain(file_list_name(1, 0, 472), json.dumps({"files": [PAGE_FILE]}).encode())
        plain.put(wal_segment_name(1, 0), segment(0))
        sealed.put(partial_segment_name(1, 1, END), segment(1)[: END - SEGMENT_BYTES])
        plain.send_plain(gap_name(*SPAN), json.dumps(GAP, indent=1).encode())
        plain.send_plain(gap_name(*SPAN, accepted=True), json.dumps(GAP, indent=1).encode())


if __name__ == "__main__":
    if GOLDEN.exists():
        raise SystemExit(f"{GOLDEN} is there already and stays as it is")
    write(open_store(str(GOLDEN)))
