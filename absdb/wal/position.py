"""The arithmetic of LSNs: records flow through segments of equal size, around each one's header.

    LSN      0    64                    S    S+64                  2S
             | hd | records ...         | hd | ... records ...     | hd |

The end of a segment and the place behind the next header are two names of one position in the stream of
records. Ends (a commit's LSN, the end of the log) use the first, the start of a record the second.
"""

from __future__ import annotations

from absdb.errors import InvalidInputError
from absdb.ids import Lsn

SEGMENT_HEADER_BYTES = 64


def check_position(lsn: int, segment_bytes: int) -> None:
    """Raise InvalidInputError if no record can begin, nor the log end, at this LSN."""
    if lsn < 0 or lsn % 8 or 0 < lsn % segment_bytes < SEGMENT_HEADER_BYTES:
        raise InvalidInputError(
            f"no log record can begin at LSN {Lsn(lsn)}",
            hint="take the LSN of a commit from log(), or that of a snapshot",
        )


def record_start(lsn: int, segment_bytes: int) -> int:
    """Where a record begins that follows `lsn`: the same, or behind the segment header that stands there."""
    return lsn if lsn % segment_bytes else lsn + SEGMENT_HEADER_BYTES


def advance(lsn: int, length: int, segment_bytes: int) -> int:
    """The LSN just past `length` bytes of records that begin at `lsn`, segment headers on the way counted."""
    lsn = record_start(lsn, segment_bytes)
    room = segment_bytes - lsn % segment_bytes
    if length <= room:
        return lsn + length
    full, rest = divmod(length - room, segment_bytes - SEGMENT_HEADER_BYTES)
    return lsn + room + full * segment_bytes + (SEGMENT_HEADER_BYTES + rest if rest else 0)


def distance(lsn: int, end_lsn: int, segment_bytes: int) -> int:
    """Bytes of records that fit between two LSNs, segment headers not counted."""
    return _stream_offset(end_lsn, segment_bytes) - _stream_offset(lsn, segment_bytes)


def _stream_offset(lsn: int, segment_bytes: int) -> int:
    segment, offset = divmod(lsn, segment_bytes)
    return segment * (segment_bytes - SEGMENT_HEADER_BYTES) + max(offset - SEGMENT_HEADER_BYTES, 0)
