"""The log's bytes: segment headers and records. Pure functions, no files.

The log is one endless stream of bytes; an LSN is a position in it. It is cut into segment files of equal
size, and the first 64 bytes of each are a segment header, which counts in LSN space. All integers are
little-endian.

    segment header
    offset  bytes  field          meaning
         0      8  magic          b"ABSDBWAL"
         8      4  format         1
        12      4  timeline       as in the file's name
        16     16  instance id    whose log this is
        32      8  segment size   bytes of the whole file, this header included
        40      8  start LSN      position of this header: segment number times segment size
        48      4  epoch          of the writer that made the file; no record in it has a lower one
        52      8  zero
        60      4  crc32c         over bytes 0..60; its place is the same in every format version

    record
    offset  bytes  field          meaning
         0      4  header crc     crc32c over bytes 4..64
         4      4  body length    0..BODY_BYTES_MAX
         8      8  lsn            position of this record's first byte
        16      8  durable LSN    the log was synced up to here when this record was written
        24      8  time           microseconds since 1970 UTC, signed
        32      8  txid           transaction
        40      4  database id
        44      4  body crc       crc32c over the body
        48      4  timeline
        52      4  epoch          never falls along the log
        56      4  instance tag   crc32c of the instance id
        60      1  kind           RecordKind; an unknown one is an error, never skipped
        61      1  flags          zero
        62      2  zero
        64      n  body
     64 + n  0..7  padding        zeros, up to a multiple of 8

Records are 8-aligned and flow around segment headers: body and even record header may continue in the next
segment. The LSN of a commit is the position just past its padded record; where that is the end of a segment
it is the LSN of the next segment's header, and the next record starts behind that header.

A record counts only if its checksums hold, its lsn is where it was found, and instance, timeline and epoch
fit: bytes left over from another place, log or time are never taken for it. The durable LSN is what tells a
torn tail from damage (see absdb.wal.tail). The body has a checksum of its own so that it can be prepared
before its position is known.

Source: CRC-32C (Castagnoli), RFC 3720 appendix B.4; check value 0xE3069283 for b"123456789".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from crc32c import crc32c

from absdb.errors import CorruptLogError, FormatVersionError, InvalidInputError
from absdb.wal.position import SEGMENT_HEADER_BYTES

FORMAT_VERSION = 1
MAGIC = b"ABSDBWAL"
SEGMENT_BYTES_MIN = 4096
RECORD_HEADER_BYTES = 64
BODY_BYTES_MAX = 64 * 1024 * 1024
PADDING = (b"", *(bytes(8 - rest) for rest in range(1, 8)))  # by body length modulo 8

_SEGMENT = struct.Struct("<8sII16sQQI8x")
_RECORD = struct.Struct("<IIQQqQIIIIIBBH")
# The record header without its checksum, in the writer's order.
RECORD_TAIL = struct.Struct("<IQQqQIIIIIBBH")
assert _SEGMENT.size == SEGMENT_HEADER_BYTES - 4
assert _RECORD.size == RECORD_HEADER_BYTES == RECORD_TAIL.size + 4


class RecordKind(IntEnum):
    """What a record's body says. The bodies are the engine's; the log only carries them."""

    COMMIT = 1
    DATABASE = 2  # create, branch, restore, alter, drop: whatever starts an era
    SNAPSHOT = 3
    ALLOCATE = 4
    CHECKPOINT = 5
    NOTE = 6


RECORD_KINDS = {int(kind): kind for kind in RecordKind}


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Which log: what every segment and record of it carries. InvalidInputError for impossible sizes."""

    instance_id: bytes
    timeline: int
    segment_bytes: int
    tag: int = field(init=False)

    def __post_init__(self) -> None:
        if len(self.instance_id) != 16:
            raise InvalidInputError(f"an instance id has 16 bytes, not {len(self.instance_id)}")
        if self.segment_bytes < SEGMENT_BYTES_MIN or self.segment_bytes % 512:
            raise InvalidInputError(
                f"a segment of {self.segment_bytes} bytes is not possible",
                hint=f"choose a multiple of 512, at least {SEGMENT_BYTES_MIN}",
            )
        object.__setattr__(self, "tag", crc32c(self.instance_id))


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The first 64 bytes of a segment file."""

    instance_id: bytes
    timeline: int
    epoch: int
    segment_bytes: int
    start_lsn: int


class RecordHeader(NamedTuple):
    """The first 64 bytes of a record, in their order."""

    crc: int
    body_length: int
    lsn: int
    durable_lsn: int
    time_us: int
    txid: int
    database_id: int
    body_crc: int
    timeline: int
    epoch: int
    tag: int
    kind: int
    flags: int
    zero: int


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of the log, checked. `end_lsn` is the LSN that a commit is known by."""

    lsn: int
    end_lsn: int
    kind: RecordKind
    database_id: int
    txid: int
    time_us: int
    epoch: int
    timeline: int
    durable_lsn: int
    body: bytes


def padded_length(body_length: int) -> int:
    """Bytes of a whole record: header, body and padding."""
    return (RECORD_HEADER_BYTES + body_length + 7) & -8


def encode_segment_header(header: SegmentHeader) -> bytes:
    """The 64 bytes at the start of a segment file."""
    raw = _SEGMENT.pack(
        MAGIC,
        FORMAT_VERSION,
        header.timeline,
        header.instance_id,
        header.segment_bytes,
        header.start_lsn,
        header.epoch,
    )
    return raw + crc32c(raw).to_bytes(4, "little")


def decode_segment_header(raw: bytes, *, path: str) -> SegmentHeader:
    """Read a segment header; CorruptLogError if it is damaged, FormatVersionError if it is too new."""
    if len(raw) < SEGMENT_HEADER_BYTES:
        raise CorruptLogError(
            f"{path}: {len(raw)} bytes, expected a segment header of {SEGMENT_HEADER_BYTES}",
            path=path,
            offset=0,
        )
    magic, version, timeline, instance_id, segment_bytes, start_lsn, epoch = _SEGMENT.unpack_from(raw)
    expected = crc32c(raw[: _SEGMENT.size])
    found = int.from_bytes(raw[_SEGMENT.size : SEGMENT_HEADER_BYTES], "little")
    if magic != MAGIC or found != expected:
        raise CorruptLogError(
            f"{path} at byte 0: not a segment header (magic {magic!r}, checksum {found:#010x}, "
            f"expected {MAGIC!r} and {expected:#010x})",
            path=path,
            offset=0,
        )
    if version != FORMAT_VERSION:
        raise FormatVersionError(
            f"{path}: log format {version}, this absdb knows {FORMAT_VERSION}",
            hint="open the instance with the absdb that wrote it, or a newer one",
            path=path,
            found=version,
            known=FORMAT_VERSION,
        )
    return SegmentHeader(instance_id, timeline, epoch, segment_bytes, start_lsn)


def segment_fault(header: SegmentHeader, log: LogIdentity, segment: int) -> str:
    """Why this segment is not the one that belongs here; "" if it is."""
    expected = (log.instance_id.hex(), log.timeline, log.segment_bytes, segment * log.segment_bytes)
    found = (header.instance_id.hex(), header.timeline, header.segment_bytes, header.start_lsn)
    names = ("instance", "timeline", "segment size", "start LSN")
    for name, is_, should in zip(names, found, expected, strict=True):
        if is_ != should:
            return f"{name} {is_}, expected {should}"
    return ""


def encode_record(
    log: LogIdentity,
    *,
    kind: RecordKind,
    lsn: int,
    durable_lsn: int,
    database_id: int,
    txid: int,
    time_us: int,
    epoch: int,
    body: bytes,
) -> bytes:
    """A whole record with its padding. The writer packs its own, faster; this is the reference."""
    tail = RECORD_TAIL.pack(
        len(body),
        lsn,
        durable_lsn,
        time_us,
        txid,
        database_id,
        crc32c(body),
        log.timeline,
        epoch,
        log.tag,
        kind,
        0,
        0,
    )
    return crc32c(tail).to_bytes(4, "little") + tail + body + PADDING[len(body) & 7]


def decode_record_header(raw: bytes | memoryview, offset: int = 0) -> RecordHeader:
    """The fields as they stand; `record_header_fault` says whether they may be believed."""
    return RecordHeader._make(_RECORD.unpack_from(raw, offset))


def record_header_fault(
    header: RecordHeader, raw: bytes | memoryview, *, offset: int, lsn: int, log: LogIdentity, epoch_min: int
) -> str:
    """Why `header`, found in `raw` at `offset`, is no record at `lsn`; "" if it is one.

    A header that passes was written here, by this instance, in this timeline and epoch: what it says, such as
    its durable LSN, is true even if its body did not survive.
    """
    expected = crc32c(raw[offset + 4 : offset + RECORD_HEADER_BYTES])
    if header.crc != expected:
        if not any(raw[offset : offset + RECORD_HEADER_BYTES]):
            return "zeros, expected a record"
        return f"header checksum {header.crc:#010x}, expected {expected:#010x}"
    if header.lsn != lsn:
        return f"a record for LSN {header.lsn}, expected one for {lsn}"
    if header.tag != log.tag:
        return f"a record of another instance (tag {header.tag:#010x}, expected {log.tag:#010x})"
    if header.timeline != log.timeline:
        return f"a record of timeline {header.timeline}, expected {log.timeline}"
    if header.epoch < epoch_min:
        return f"a record of epoch {header.epoch}, expected at least {epoch_min}"
    if header.durable_lsn > lsn or header.body_length > BODY_BYTES_MAX:
        return (
            f"durable LSN {header.durable_lsn} and body length {header.body_length}, which no writer writes"
        )
    return ""


def unknown_record(header: RecordHeader, path: str, offset: int) -> FormatVersionError:
    """The error for a believed header whose kind or flags this code does not know."""
    return FormatVersionError(
        f"{path} at byte {offset}: record kind {header.kind} with flags {header.flags}, "
        f"this absdb knows kinds 1 to {max(RECORD_KINDS)} and no flags",
        hint="open the instance with the absdb that wrote it, or a newer one",
        path=path,
        offset=offset,
        lsn=header.lsn,
        found=header.kind,
        known=max(RECORD_KINDS),
    )
