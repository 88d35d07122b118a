"""The end of the log: a clean end, a torn tail, or damage?

Let P be the first position where no valid record stands. A crash leaves any part of what was not synced: of
the bytes from the start of the last batch on, each 512-byte sector may be old or new. Everything before that
was synced, and each record says how far the log was synced when it was written. Hence, in this order:

    a read that the disk refuses                                 -> damage, wherever it happens
    P below the LSN that the caller knows to be durable          -> damage
    a segment missing or short in the middle, or foreign         -> damage
    the newest segment short, with records in it                 -> damage: it had its size before them
    behind P the header of a record, valid in its place,
    that was written with a durable LSN above P                  -> damage: P was durable then
    nothing but zeros behind P                                   -> clean end
    else                                                         -> torn tail

Records behind P whose durable LSN is not above P belong to the same unsynced batch and go with it; nobody was
told that they are committed. Damage to the very last batch cannot be told from tearing by the log alone.
A header is enough for a proof: it has a checksum of its own, and what it says was true when it was written,
even if its body did not survive.

Damage raises CorruptLogError; nothing here changes a file. Called by repair and reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from absdb.errors import CorruptLogError
from absdb.ids import Lsn
from absdb.io.base import FileSystem
from absdb.wal.format import (
    RECORD_HEADER_BYTES,
    LogIdentity,
    RecordHeader,
    decode_record_header,
    decode_segment_header,
    record_header_fault,
    segment_fault,
)
from absdb.wal.position import SEGMENT_HEADER_BYTES, record_start
from absdb.wal.segments import ZEROS, SegmentFiles
from absdb.wal.stream import CORRUPT_HINT, LogStream, Stop

_CHUNK = len(ZEROS)


@dataclass(frozen=True, slots=True)
class TornTail:
    """Bytes behind the last whole record that a crash left, and that belong to nothing acknowledged."""

    lsn: int
    bytes: int
    fault: str  # what was wrong with the first of them
    side_file: str = ""  # where a repair has put them


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Where the log ends: the next record goes to `lsn`."""

    lsn: int
    records: int  # whole records between where the search began and the end
    epoch: int  # the highest that was met, 0 if no segment was
    torn: TornTail | None
    removed: tuple[str, ...] = ()  # unfinished segments that a repair has taken away


@dataclass(slots=True)
class Doubt:
    """What was found behind the last whole record, for the verdict and the repair."""

    start: int  # where a record should stand
    end: int  # just past the last byte that is not zero; `start` if there is none
    # Segment, first byte and end of what is in doubt in its file.
    dirty: list[tuple[int, int, int]] = field(default_factory=list)
    unfinished: list[int] = field(default_factory=list)  # segments that hold nothing, not even a whole header
    short: int | None = None  # the newest segment, holding no record and shorter than it should be
    proof: RecordHeader | None = None  # shows that `start` was durable


def find_end(
    fs: FileSystem,
    directory: str,
    *,
    from_lsn: int,
    instance_id: bytes,
    timeline: int,
    segment_bytes: int,
    durable_lsn: int = 0,
) -> LogEnd:
    """Read the log from `from_lsn` and say where it ends, changing nothing.

    `durable_lsn` is an LSN that is known to be durable from elsewhere: ending below it is damage. Raises
    CorruptLogError for damage, FormatVersionError for what a newer absdb wrote.
    """
    segments = SegmentFiles(fs, directory, LogIdentity(instance_id, timeline, segment_bytes))
    with LogStream(segments, from_lsn) as stream:
        stop = walk_to_end(stream)
        return log_end(stop, judge(stream, stop, durable_lsn=durable_lsn))


def walk_to_end(stream: LogStream) -> Stop:
    """Check all records without keeping them."""
    walk = stream.walk()
    while True:
        try:
            next(walk)
        except StopIteration as finished:
            stop: Stop = finished.value
            return stop


def log_end(stop: Stop, doubt: Doubt) -> LogEnd:
    """The verdict as callers see it."""
    torn = TornTail(stop.lsn, doubt.end - doubt.start, stop.fault) if doubt.end > doubt.start else None
    return LogEnd(stop.lsn, stop.records, stop.epoch, torn)


def judge(stream: LogStream, stop: Stop, *, durable_lsn: int) -> Doubt:
    """What stands behind the last whole record; raises CorruptLogError if a crash cannot have left it so."""
    start = record_start(stop.lsn, stream.log.segment_bytes)
    if durable_lsn > start:
        reason = f"the log was durable up to LSN {Lsn(durable_lsn)} in {_file_of(stream, durable_lsn)}"
        raise corrupt(stream, stop, reason, max(durable_lsn, stream.files_end))
    _check_sequence(stream, stop, start)
    doubt = Doubt(start, start)
    for segment in stream.sizes:
        if segment >= stop.lsn // stream.log.segment_bytes:
            _examine(stream, stop, doubt, segment)
    if doubt.unfinished and len(doubt.unfinished) <= max(stream.sizes) - doubt.unfinished[0]:
        path = stream.segments.path(doubt.unfinished[0])
        raise corrupt(stream, stop, f"{path} has no header, and it is not the newest", stream.files_end)
    if doubt.proof is not None:
        reason = (
            f"the log was durable up to LSN {Lsn(doubt.proof.durable_lsn)} "
            f"when the record at LSN {Lsn(doubt.proof.lsn)} was written"
        )
        raise corrupt(stream, stop, reason, doubt.end)
    return doubt


def corrupt(stream: LogStream, stop: Stop, reason: str, end: int) -> CorruptLogError:
    """The error for damage at the end of a walk: where, what was found, why it is no torn tail."""
    start = record_start(stop.lsn, stream.log.segment_bytes)
    path, offset = stream.place(start)
    in_doubt = max(end - start, 0)
    fault = stop.fault if start // stream.log.segment_bytes in stream.sizes else "the file is missing"
    return CorruptLogError(
        f"{path} at byte {offset} (LSN {Lsn(start)}): {fault}; this is no torn tail: {reason}; "
        f"{in_doubt} bytes of log are in doubt",
        hint=CORRUPT_HINT,
        path=path,
        offset=offset,
        lsn=start,
        bytes_after=in_doubt,
    )


def _file_of(stream: LogStream, end_lsn: int) -> str:
    """The segment that a record which ends at this LSN ends in, and what is the matter with the file."""
    segment, size = (end_lsn - 1) // stream.log.segment_bytes, stream.log.segment_bytes
    found = stream.sizes.get(segment)
    state = (
        ""
        if found == size
        else ", which is missing"
        if found is None
        else f", which has {found} bytes of {size}"
    )
    return f"{stream.segments.path(segment)}{state}"


def _check_sequence(stream: LogStream, stop: Stop, start: int) -> None:
    """The segments must follow one another, and only the newest may be short (see `_examine`)."""
    size = stream.log.segment_bytes
    if stream.beyond_gap:
        missing = stream.segments.path(stream.first + len(stream.sizes))
        newest = stream.beyond_gap[-1]
        reason = f"segment {missing} is missing, {stream.segments.path(newest)} is there"
        raise corrupt(stream, stop, reason, (newest + 1) * size)
    if not stream.sizes and stop.lsn % size:
        raise corrupt(stream, stop, f"segment {stream.segments.path(stream.first)} is missing", start)
    newest = stream.first + len(stream.sizes) - 1
    for segment, found in stream.sizes.items():
        if found < size and segment != newest:
            reason = f"{stream.segments.path(segment)} has {found} bytes of {size}, and it is not the newest"
            raise corrupt(stream, stop, reason, (newest + 1) * size)
    if stream.files_end < stop.lsn:
        path = stream.segments.path(newest)
        raise corrupt(stream, stop, f"{path} ends before it, at LSN {Lsn(stream.files_end)}", start)


def _examine(stream: LogStream, stop: Stop, doubt: Doubt, segment: int) -> None:
    """Look at one segment from `doubt.start` on, and note what there is."""
    base = segment * stream.log.segment_bytes
    size = stream.sizes[segment]
    header_fault = _header_fault(stream, segment)
    first = max(SEGMENT_HEADER_BYTES, doubt.start - base)
    end = first
    for offset in range(first, size, _CHUNK):
        raw = stream.raw(segment, offset, min(_CHUNK, size - offset))
        used = 0 if raw == ZEROS else len(raw.rstrip(b"\0"))
        if used:
            end = offset + used
            if doubt.proof is None:
                doubt.proof = _proof(stream, base + offset, len(raw), doubt.start, stop.epoch)
    if end > first:
        doubt.end = base + end
        doubt.dirty.append((segment, first, end))
    if header_fault:
        # A segment gets its name when its header and its zeros are durable, so no crash leaves a bad header.
        # Unless nothing was ever written behind it: then nothing is lost by making the segment again.
        if end > first or any(stream.raw(segment, SEGMENT_HEADER_BYTES, first - SEGMENT_HEADER_BYTES)):
            raise corrupt(
                stream, stop, f"{header_fault}, with log behind it", (segment + 1) * stream.log.segment_bytes
            )
        doubt.unfinished.append(segment)
    elif size < stream.log.segment_bytes:
        if doubt.start > base + SEGMENT_HEADER_BYTES or end > first:
            # Its whole size was durable before the first record went in, so what it lacks may have been log.
            reason = f"{stream.segments.path(segment)} was cut to {size} bytes of {stream.log.segment_bytes}"
            raise corrupt(stream, stop, reason, base + stream.log.segment_bytes)
        doubt.short = segment


def _header_fault(stream: LogStream, segment: int) -> str:
    """What is wrong with a segment's header, "" if nothing; a whole one of another log is raised at once."""
    path = stream.segments.path(segment)
    try:
        header = decode_segment_header(stream.raw(segment, 0, SEGMENT_HEADER_BYTES), path=path)
    except CorruptLogError as error:
        return error.message
    fault = segment_fault(header, stream.log, segment)
    if not fault and stream.sizes[segment] > stream.log.segment_bytes:
        fault = f"{stream.sizes[segment]} bytes long, expected {stream.log.segment_bytes}"
    if fault:
        raise CorruptLogError(
            f"{path}: {fault}",
            hint="this file does not belong to this log; move it away, or restore the newest backup",
            path=path,
            offset=0,
            lsn=segment * stream.log.segment_bytes,
        )
    return ""


def _proof(stream: LogStream, lsn: int, length: int, start: int, epoch_min: int) -> RecordHeader | None:
    """A record header in these bytes that was written when `start` was durable, if there is one."""
    for position in record_positions(stream.read(lsn, length + 16, checked=False), lsn, length):
        raw = stream.read(position, RECORD_HEADER_BYTES, checked=False)
        if len(raw) < RECORD_HEADER_BYTES:
            break
        header = decode_record_header(raw)
        if header.durable_lsn > start and not record_header_fault(
            header, raw, offset=0, lsn=position, log=stream.log, epoch_min=epoch_min
        ):
            return header
    return None


def record_positions(raw: bytes, lsn: int, length: int) -> Iterator[int]:
    """Where in the `length` bytes from `lsn` on a record may begin: where its LSN field says so.

    `raw` reaches 16 bytes further, into the next segment if need be, since a header may be cut by its end.
    """
    words = np.frombuffer(raw, dtype="<u8", count=len(raw) // 8)
    if len(words) < 2:
        return
    own = np.arange(len(words) - 1, dtype=np.uint64) * np.uint64(8) + np.uint64(lsn)
    for index in np.flatnonzero(words[1:] == own).tolist():
        if index * 8 < length:
            yield lsn + index * 8
