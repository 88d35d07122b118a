"""The segments of a log read as one stream of records, checked byte by byte, in bounded memory.

`LogStream.read` gives bytes by LSN, flowing around segment headers. `LogStream.walk` yields records from an
LSN on until the end it was given, or until the first position where no valid record stands; what that
position means is for absdb.wal.tail to decide. A read that the disk refuses is never taken for the end of
the log: it is a CorruptLogError wherever it happens.

Memory: one window of 1 MiB, and one record. A length field is believed only if so many bytes are left.

Called by reader and tail.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Self

from crc32c import crc32c

from absdb.errors import CorruptLogError, StorageError
from absdb.ids import Lsn
from absdb.io.base import File
from absdb.wal.format import (
    PADDING,
    RECORD_HEADER_BYTES,
    RecordHeader,
    decode_record_header,
    padded_length,
    record_header_fault,
)
from absdb.wal.position import SEGMENT_HEADER_BYTES, advance, check_position, distance, record_start
from absdb.wal.segments import SegmentFiles

WINDOW_BYTES = 1024 * 1024
CORRUPT_HINT = (
    "the log's files have been left as they are; restore the newest backup and replay archived segments "
    "up to this LSN"
)


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a walk ended. Without a `fault` it reached the LSN it was told to read up to."""

    lsn: int  # just past the last valid record
    fault: str  # why no record stands there
    epoch: int  # no valid record behind it has a lower one
    durable_lsn: int  # the records that were read show that the log was synced up to here
    records: int


class BadSegmentError(Exception):
    """A segment's header does not let us believe its contents. Never leaves this room."""


class LogStream:
    """Reads the segments that follow one another from the one that holds `from_lsn`; a context manager."""

    def __init__(self, segments: SegmentFiles, from_lsn: int, *, end_lsn: int | None = None) -> None:
        check_position(from_lsn, segments.log.segment_bytes)
        self.segments = segments
        self.log = segments.log
        self.from_lsn = from_lsn
        self.end_lsn = end_lsn
        self.first = from_lsn // self.log.segment_bytes
        self.files_end = from_lsn
        self.sizes: dict[int, int] = {}  # of the segments that follow one another without a gap
        self.beyond_gap: list[int] = []
        for number in segments.numbers():
            if number == self.first + len(self.sizes):
                self.sizes[number] = self._size(number)
            elif number > self.first:
                self.beyond_gap.append(number)
        self.files_end = self._files_end()
        self._epoch = 0
        self._open: dict[tuple[int, bool], File] = {}
        self._window = b""
        self._window_lsn = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()

    def walk(self) -> Generator[tuple[RecordHeader, int, bytes], None, Stop]:
        """Yield (header, LSN just past the record, body) of each valid record; returns where it stopped."""
        size = self.log.segment_bytes
        limit = self.files_end if self.end_lsn is None else min(self.end_lsn, self.files_end)
        lsn, durable_lsn, records = self.from_lsn, 0, 0
        fault = ""
        while self.end_lsn is None or lsn < self.end_lsn:
            found: tuple[RecordHeader, int, bytes] | str | None = self._whole(lsn)
            if found is None:
                try:
                    found = self._record(record_start(lsn, size), limit)
                except BadSegmentError as error:
                    found = str(error)
            if isinstance(found, str):
                fault = found
                break
            header = found[0]
            self._epoch = header.epoch
            lsn, durable_lsn = found[1], header.durable_lsn
            records += 1
            yield found
        return Stop(lsn, fault, self._epoch, durable_lsn, records)

    def read(self, lsn: int, length: int, *, checked: bool = True) -> bytes:
        """Bytes of records from `lsn` on, around segment headers; fewer only where the files end.

        `checked` raises BadSegmentError rather than read a segment whose header is not right.
        """
        size = self.log.segment_bytes
        pieces = []
        lsn = record_start(lsn, size)
        while length > 0:
            segment, offset = divmod(lsn, size)
            wanted = min(length, size - offset)
            piece = self._pread(segment, offset, wanted, checked=checked) if segment in self.sizes else b""
            pieces.append(piece)
            if len(piece) < wanted:
                break
            length -= wanted
            lsn = (segment + 1) * size + SEGMENT_HEADER_BYTES
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def raw(self, segment: int, offset: int, length: int) -> bytes:
        """Bytes of a segment's file, its header included, whatever state it is in."""
        return self._pread(segment, offset, length, checked=False)

    def place(self, lsn: int) -> tuple[str, int]:
        """The file of a position, and the offset in it."""
        segment, offset = divmod(lsn, self.log.segment_bytes)
        return self.segments.path(segment), offset

    # -- inside

    def _whole(self, lsn: int) -> tuple[RecordHeader, int, bytes] | None:
        """The record at `lsn` if it is valid and all in the window, as most are; None is no verdict."""
        window = self._window
        at = lsn - self._window_lsn
        if not 0 <= at <= len(window) - RECORD_HEADER_BYTES:
            return None
        header = decode_record_header(window, at)
        log = self.log
        length = header.body_length
        body_end = at + RECORD_HEADER_BYTES + length
        body = window[at + RECORD_HEADER_BYTES : body_end]
        padding = PADDING[length & 7]
        end = body_end + len(padding)
        if (
            end > len(window)
            or header.lsn != lsn
            or header.crc != crc32c(window[at + 4 : at + RECORD_HEADER_BYTES])
            or header.body_crc != crc32c(body)
            or header.tag != log.tag
            or header.timeline != log.timeline
            or header.epoch < self._epoch
            or header.durable_lsn > lsn
            or window[body_end:end] != padding
        ):
            return None
        return header, lsn + end - at, body

    def _record(self, start: int, limit: int) -> tuple[RecordHeader, int, bytes] | str:
        """The record at `start`, wherever its bytes lie, or why there is none."""
        left = distance(start, limit, self.log.segment_bytes)
        if left < RECORD_HEADER_BYTES:
            return f"{max(left, 0)} bytes left, a record has at least {RECORD_HEADER_BYTES}"
        raw, at = self._at(start, RECORD_HEADER_BYTES, limit)
        header = decode_record_header(raw, at)
        # Reading may have entered a new segment, whose header raises the epoch that is expected.
        fault = record_header_fault(header, raw, offset=at, lsn=start, log=self.log, epoch_min=self._epoch)
        if fault:
            return fault
        length = padded_length(header.body_length)
        if length > left:
            return f"a record of {length} bytes, but {left} are left"
        raw, at = self._at(start, length, limit)
        body_end = at + RECORD_HEADER_BYTES + header.body_length
        body = raw[at + RECORD_HEADER_BYTES : body_end]
        crc = crc32c(body)
        if crc != header.body_crc:
            return f"body checksum {crc:#010x}, expected {header.body_crc:#010x}"
        if any(raw[body_end : at + length]):
            return "padding that is not zero"
        return header, advance(start, length, self.log.segment_bytes), body

    def _at(self, lsn: int, length: int, limit: int) -> tuple[bytes, int]:
        """A buffer and the place in it where the bytes from `lsn` on are; moves the window, up to `limit`."""
        at = lsn - self._window_lsn
        if at >= 0 and at + length <= len(self._window):
            return self._window, at
        segment, offset = divmod(lsn, self.log.segment_bytes)
        room = min(self.log.segment_bytes - offset, WINDOW_BYTES, limit - lsn)
        if length > room:
            return self.read(lsn, length), 0
        self._window = self._pread(segment, offset, room, checked=True)
        self._window_lsn = lsn
        return self._window, 0

    def _pread(self, segment: int, offset: int, length: int, *, checked: bool) -> bytes:
        try:
            return self._file(segment, checked=checked).pread(offset, length)
        except StorageError as error:
            raise self._unreadable(segment, offset, error) from error

    def _file(self, segment: int, *, checked: bool) -> File:
        file = self._open.get((segment, checked))
        if file is None:
            file = self.segments.open_unchecked(segment)
            for known in [key for key in self._open if key[0] < segment - 1]:
                self._open.pop(known).close()
            self._open[segment, checked] = file
            if checked:
                try:
                    self._epoch = max(self._epoch, self.segments.check(file, segment).epoch)
                except CorruptLogError as error:
                    self._open.pop((segment, checked)).close()
                    raise BadSegmentError(error.message) from error
        return file

    def _size(self, segment: int) -> int:
        try:
            return self.segments.size(segment)
        except StorageError as error:
            raise self._unreadable(segment, 0, error) from error

    def _files_end(self) -> int:
        """The LSN at which the files end, at the first one that is short at the latest."""
        size = self.log.segment_bytes
        for number, found in self.sizes.items():
            if found < size:
                return number * size + found
        return (self.first + len(self.sizes)) * size

    def _unreadable(self, segment: int, offset: int, error: StorageError) -> CorruptLogError:
        lsn = segment * self.log.segment_bytes + offset
        path = self.segments.path(segment)
        return CorruptLogError(
            f"{path} at byte {offset} (LSN {Lsn(lsn)}) cannot be read: {error.message}",
            hint=CORRUPT_HINT,
            path=path,
            offset=offset,
            lsn=lsn,
            bytes_after=max(self.files_end - lsn, 0),
        )
