"""How far a log reaches: which parts of it there are, in a directory and in an archive, and what the last record is.

    checkpoint ──local, of the backup──┐
       segments of the archive     ────┴──── … ────end, or a gap behind which there is more

Nothing is fetched but the segment at the end. Called by possible.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from absdb.wal.format import (
    RECORD_HEADER_BYTES,
    LogIdentity,
    RecordHeader,
    decode_record_header,
    padded_length,
    record_header_fault,
)
from absdb.wal.position import advance
from absdb.wal.tail import record_positions
from absdb.wal.timelines import Span

ReadSegment = Callable[[int, int], bytes]
"""The bytes of a segment, by timeline and number."""


class LogGap(NamedTuple):
    """Log of a timeline that is neither here nor in the archive: LSNs from, to (where there is some again)."""

    timeline: int
    from_lsn: int
    to_lsn: int


class LogReach(NamedTuple):
    """Up to where the log goes on without a gap, and the gap that ends it, if one does."""

    timeline: int
    lsn: int
    gap: LogGap | None


def reach(
    spans: Sequence[Span],
    local: tuple[int, int],
    archived: Mapping[int, Mapping[int, int]],
    segment_bytes: int,
) -> LogReach:
    """How far the log goes along spans.

    `local` is the timeline of the log in the directory, and where it ends; `archived` are the segments elsewhere:
    timeline → number → bytes.
    """
    for timeline, start, stop in spans:
        end = max(start, local[1]) if timeline == local[0] else start
        gap = None
        for number, size in sorted(archived.get(timeline, {}).items()):
            first = number * segment_bytes
            if first > end:
                gap = LogGap(timeline, end, first)
                break
            end = max(end, first + size)
        if stop is not None and end >= stop:
            continue
        if stop is not None:
            gap = LogGap(timeline, end, gap.to_lsn if gap is not None else stop)
        return LogReach(timeline, end, gap)
    raise AssertionError("the last span has no end")


def last_record(
    where: LogReach, from_lsn: int, log: LogIdentity, read_segment: ReadSegment
) -> tuple[int, int] | None:
    """(LSN, time) of the last whole record in (from_lsn, the end of the log]; None if there is none."""
    size = log.segment_bytes
    for number in range((where.lsn - 1) // size, from_lsn // size - 1, -1):
        raw = read_segment(where.timeline, number)[: where.lsn - number * size]
        header = _last_header(raw, number * size, where.lsn, log)
        if header is not None:
            end = _end_of(header, log)
            return (end, header.time_us) if end > from_lsn else None
    return None


def _last_header(raw: bytes, base: int, limit: int, log: LogIdentity) -> RecordHeader | None:
    """The header of the last record that begins in a segment and ends at `limit` at the latest."""
    for position in reversed(list(record_positions(raw, base, len(raw) - RECORD_HEADER_BYTES + 8))):
        if position - base + RECORD_HEADER_BYTES > len(raw):
            continue
        header = decode_record_header(raw, position - base)
        fault = record_header_fault(header, raw, offset=position - base, lsn=position, log=log, epoch_min=0)
        if not fault and _end_of(header, log) <= limit:
            return header
    return None


def _end_of(header: RecordHeader, log: LogIdentity) -> int:
    return advance(header.lsn, padded_length(header.body_length), log.segment_bytes)
