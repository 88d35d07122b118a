"""The log's bytes: round trips, refusals, and the arithmetic of positions."""

from __future__ import annotations

import pytest
from crc32c import crc32c
from hypothesis import assume, given
from hypothesis import strategies as st

from absdb.errors import CorruptLogError, FormatVersionError, InvalidInputError
from absdb.wal.format import (
    BODY_BYTES_MAX,
    FORMAT_VERSION,
    RECORD_HEADER_BYTES,
    LogIdentity,
    RecordKind,
    SegmentHeader,
    decode_record_header,
    decode_segment_header,
    encode_record,
    encode_segment_header,
    padded_length,
    record_header_fault,
    segment_fault,
)
from absdb.wal.position import SEGMENT_HEADER_BYTES, advance, check_position, distance, record_start

u32 = st.integers(0, 2**32 - 1)
u63 = st.integers(0, 2**63 - 1)
instances = st.binary(min_size=16, max_size=16)
LOG = LogIdentity(bytes(16), 3, 4096)


def make(log: LogIdentity = LOG, **changes: object) -> bytes:
    fields: dict[str, object] = {
        "kind": RecordKind.COMMIT,
        "lsn": 640,
        "durable_lsn": 128,
        "database_id": 5,
        "txid": 6,
        "time_us": -7,
        "epoch": 2,
        "body": b"row",
    }
    return encode_record(log, **{**fields, **changes})  # type: ignore[arg-type]


def fault(raw: bytes, *, lsn: int = 640, log: LogIdentity = LOG, epoch_min: int = 0) -> str:
    header = decode_record_header(raw)
    return record_header_fault(header, raw, offset=0, lsn=lsn, log=log, epoch_min=epoch_min)


def test_crc32c_is_castagnoli() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@given(instances, u32, u32, st.integers(8, 2**34), st.integers(0, 2**20))
def test_segment_header_round_trips(
    instance: bytes, timeline: int, epoch: int, sectors: int, number: int
) -> None:
    size = sectors * 512
    header = SegmentHeader(instance, timeline, epoch, size, number * size)
    raw = encode_segment_header(header)
    assert len(raw) == SEGMENT_HEADER_BYTES
    assert decode_segment_header(raw, path="x") == header
    assert segment_fault(header, LogIdentity(instance, timeline, size), number) == ""


@given(st.integers(0, SEGMENT_HEADER_BYTES * 8 - 1))
def test_any_flipped_bit_of_a_segment_header_is_found(bit: int) -> None:
    raw = bytearray(encode_segment_header(SegmentHeader(bytes(range(16)), 1, 1, 4096, 8192)))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptLogError, match=r"wal/x at byte 0.*expected"):
        decode_segment_header(bytes(raw), path="wal/x")


def test_a_newer_segment_format_is_named() -> None:
    raw = bytearray(encode_segment_header(SegmentHeader(bytes(16), 1, 1, 4096, 0)))
    raw[8:12] = (FORMAT_VERSION + 1).to_bytes(4, "little")
    raw[60:] = crc32c(raw[:60]).to_bytes(4, "little")
    with pytest.raises(FormatVersionError) as caught:
        decode_segment_header(bytes(raw), path="wal/x")
    assert (caught.value.found, caught.value.known) == (FORMAT_VERSION + 1, FORMAT_VERSION)


@pytest.mark.parametrize(
    ("log", "number", "word"),
    [
        (LogIdentity(b"1" * 16, 3, 4096), 2, "instance"),
        (LogIdentity(bytes(16), 4, 4096), 2, "timeline"),
        (LogIdentity(bytes(16), 3, 8192), 2, "segment size"),
        (LOG, 1, "start LSN"),
    ],
)
def test_a_segment_of_another_log_or_place_is_told(log: LogIdentity, number: int, word: str) -> None:
    assert word in segment_fault(SegmentHeader(bytes(16), 3, 1, 4096, 8192), log, number)


@given(
    kind=st.sampled_from(RecordKind),
    lsn=u63,
    database_id=u32,
    txid=st.integers(0, 2**64 - 1),
    time_us=st.integers(-(2**63), 2**63 - 1),
    epoch=u32,
    body=st.binary(max_size=200),
    instance=instances,
    timeline=u32,
)
def test_record_round_trips(
    kind: RecordKind,
    lsn: int,
    database_id: int,
    txid: int,
    time_us: int,
    epoch: int,
    body: bytes,
    instance: bytes,
    timeline: int,
) -> None:
    log = LogIdentity(instance, timeline, 4096)
    raw = encode_record(
        log,
        kind=kind,
        lsn=lsn,
        durable_lsn=lsn // 2,
        database_id=database_id,
        txid=txid,
        time_us=time_us,
        epoch=epoch,
        body=body,
    )
    header = decode_record_header(raw)
    assert len(raw) == padded_length(len(body))
    assert len(raw) % 8 == 0
    assert raw[RECORD_HEADER_BYTES:].startswith(body)
    assert not any(raw[RECORD_HEADER_BYTES + len(body) :])
    assert (header.kind, header.lsn, header.durable_lsn, header.time_us) == (kind, lsn, lsn // 2, time_us)
    assert (header.database_id, header.txid, header.epoch, header.timeline) == (
        database_id,
        txid,
        epoch,
        timeline,
    )
    assert (header.body_length, header.body_crc) == (len(body), crc32c(body))
    assert fault(raw, lsn=lsn, log=log, epoch_min=epoch) == ""


@given(st.integers(0, RECORD_HEADER_BYTES * 8 - 1))
def test_any_flipped_bit_of_a_record_header_is_found(bit: int) -> None:
    raw = bytearray(make())
    raw[bit // 8] ^= 1 << bit % 8
    assert "checksum" in fault(bytes(raw))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (bytes(64), "zeros"),
        (make(lsn=648), "a record for LSN 648, expected one for 640"),
        (make(epoch=1), "epoch 1, expected at least 2"),
        (make(durable_lsn=648), "durable LSN 648"),
        (make(LogIdentity(b"1" * 16, 3, 4096)), "another instance"),
        (make(LogIdentity(bytes(16), 2, 4096)), "timeline 2, expected 3"),
    ],
    ids=["zeros", "LSN", "epoch", "durable LSN", "instance", "timeline"],
)
def test_a_record_that_does_not_belong_here_is_told(raw: bytes, expected: str) -> None:
    assert expected in fault(raw, epoch_min=2)


def test_a_length_that_no_writer_writes_is_told() -> None:
    raw = bytearray(make())
    raw[4:8] = (BODY_BYTES_MAX + 1).to_bytes(4, "little")
    raw[:4] = crc32c(raw[4:64]).to_bytes(4, "little")
    assert f"body length {BODY_BYTES_MAX + 1}" in fault(bytes(raw))


@given(
    st.integers(0, 40).map(lambda n: n * 8),
    st.integers(0, 400).map(lambda n: n * 8),
    st.sampled_from([96, 512]),
)
def test_advance_counts_every_segment_header_once(start: int, length: int, size: int) -> None:
    lsn = record_start(start, size)
    assume(lsn % size >= SEGMENT_HEADER_BYTES)
    expected, left = lsn, length
    while left:
        if expected % size == 0:
            expected += SEGMENT_HEADER_BYTES
        expected, left = expected + 8, left - 8
    assert advance(lsn, length, size) == expected
    assert distance(lsn, expected, size) == length


@pytest.mark.parametrize("lsn", [-8, 4, 8, 56, 4096 + 56, 4100])
def test_a_position_inside_a_segment_header_or_off_the_grid_is_refused(lsn: int) -> None:
    with pytest.raises(InvalidInputError):
        check_position(lsn, 4096)


@pytest.mark.parametrize("lsn", [0, 64, 72, 4096, 4096 + 64])
def test_a_position_where_a_record_may_begin_is_accepted(lsn: int) -> None:
    check_position(lsn, 4096)


@pytest.mark.parametrize(("instance", "size"), [(b"short", 4096), (bytes(16), 2048), (bytes(16), 4097)])
def test_an_impossible_log_is_refused(instance: bytes, size: int) -> None:
    with pytest.raises(InvalidInputError):
        LogIdentity(instance, 1, size)
