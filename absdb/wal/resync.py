"""Finding where a record begins, from a place that may lie in the middle of one: the start of a segment, mostly.

A header is believed if its checksum holds and it says that it stands where it was found, in this log. So the cost is
reading up to there: nothing to speak of, but behind a record of many megabytes.

Called by who goes on with a log of which the earlier segments are not there.
"""

from __future__ import annotations

from absdb.io.base import FileSystem
from absdb.wal.format import RECORD_HEADER_BYTES, LogIdentity, decode_record_header, record_header_fault
from absdb.wal.position import record_start
from absdb.wal.segments import SegmentFiles
from absdb.wal.stream import WINDOW_BYTES, BadSegmentError, LogStream
from absdb.wal.tail import record_positions


def first_record(
    fs: FileSystem,
    directory: str,
    *,
    from_lsn: int,
    upto: int,
    instance_id: bytes,
    timeline: int,
    segment_bytes: int,
) -> int | None:
    """The LSN of the first record that begins in [from_lsn, upto), None if none does."""
    segments = SegmentFiles(fs, directory, LogIdentity(instance_id, timeline, segment_bytes))
    from_lsn = record_start(from_lsn, segment_bytes)
    with LogStream(segments, from_lsn, end_lsn=upto) as stream:
        while from_lsn < min(upto, stream.files_end):
            room = segment_bytes - from_lsn % segment_bytes
            length = min(WINDOW_BYTES, room, upto - from_lsn)
            found = _in_window(stream, from_lsn, length)
            if found is not None:
                return found
            from_lsn = record_start(from_lsn + length, segment_bytes)
    return None


def _in_window(stream: LogStream, lsn: int, length: int) -> int | None:
    try:
        raw = stream.read(lsn, length + 16)
    except BadSegmentError:
        return None  # reading the records finds out, and says what is wrong
    for position in record_positions(raw, lsn, length):
        header_bytes = stream.read(position, RECORD_HEADER_BYTES, checked=False)
        if len(header_bytes) < RECORD_HEADER_BYTES:
            return None
        header = decode_record_header(header_bytes)
        if not record_header_fault(header, header_bytes, offset=0, lsn=position, log=stream.log, epoch_min=0):
            return position
    return None
