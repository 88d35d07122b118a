"""The golden log: bytes on users' disks stay readable, and what is written today is the same."""

from __future__ import annotations

from typing import Any

from absdb.io.local import LocalFileSystem
from absdb.io.memory import MemoryFileSystem
from absdb.wal.format import SegmentHeader, decode_record_header, decode_segment_header
from absdb.wal.reader import read_log
from absdb.wal.tail import find_end
from tests.wal.golden import EPOCH, GOLDEN, INSTANCE, RECORDS, SEGMENT_BYTES, TIMELINE, write

WHOSE: dict[str, Any] = {"instance_id": INSTANCE, "timeline": TIMELINE, "segment_bytes": SEGMENT_BYTES}
NAMES = ["000000010000000000000000", "000000010000000000000001"]
# Where each record begins and ends, and what was durable when it was written.
PLACES = [
    (64, 152, 0),
    (152, 472, 0),
    (472, 544, 472),
    (544, 608, 472),
    (608, 680, 608),
    (680, 4808, 608),
]


def test_the_golden_log_reads_as_it_was_written() -> None:
    fs = LocalFileSystem(GOLDEN)
    found = list(
        read_log(
            fs,
            "",
            from_lsn=0,
            instance_id=INSTANCE,
            timeline=TIMELINE,
            segment_bytes=SEGMENT_BYTES,
            end_lsn=4808,
        )
    )
    assert [(r.kind, r.database_id, r.txid, r.time_us, r.body) for r in found] == list(RECORDS)
    assert [(r.lsn, r.end_lsn, r.durable_lsn) for r in found] == PLACES
    assert {(r.epoch, r.timeline) for r in found} == {(EPOCH, TIMELINE)}
    end = find_end(
        fs,
        "",
        from_lsn=0,
        instance_id=INSTANCE,
        timeline=TIMELINE,
        segment_bytes=SEGMENT_BYTES,
        durable_lsn=4808,
    )
    assert (end.lsn, end.records, end.epoch, end.torn) == (4808, 6, 5, None)


def test_the_golden_bytes_field_by_field() -> None:
    first, second = ((GOLDEN / name).read_bytes() for name in NAMES)
    assert len(first) == len(second) == SEGMENT_BYTES
    assert first[:8] == b"ABSDBWAL"
    assert decode_segment_header(first, path="") == SegmentHeader(INSTANCE, 1, 5, 4096, 0)
    assert decode_segment_header(second, path="") == SegmentHeader(INSTANCE, 1, 5, 4096, 4096)
    header = decode_record_header(first, 472)
    assert header._asdict() == {
        "crc": 0xF46941D2,
        "body_length": 7,
        "lsn": 472,
        "durable_lsn": 472,
        "time_us": -1,
        "txid": 2**64 - 1,
        "database_id": 2**32 - 1,
        "body_crc": 0x6D7F808D,
        "timeline": 1,
        "epoch": 5,
        "tag": 0x48DFE982,
        "kind": 3,
        "flags": 0,
        "zero": 0,
    }
    assert first[472 + 64 : 472 + 64 + 8] == "Grüße".encode() + b"\0"
    assert second[64:72] == RECORDS[5][4][4096 - 744 :][:8]
    assert not any(second[4808 - 4096 :])


def test_todays_writer_gives_the_same_bytes() -> None:
    fs = MemoryFileSystem()
    write(fs)
    assert {name: bytes(node.data) for name, node in fs.nodes.items()} == {
        name: (GOLDEN / name).read_bytes() for name in NAMES
    }
