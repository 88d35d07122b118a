"""Segment files of one log: made before they are needed, opened only if they are what they should be.

A segment is written whole (header, then zeros), synced under a temporary name, renamed into place, and its
directory synced; only then may a record go into it. So a crash never leaves a segment that is short or
whose header is torn, a commit needs no more than an fdatasync, and a failure up to the rename has changed
nothing: the temporary file is removed and the caller may try again later. A failure after the rename leaves
a name that may or may not outlive a power cut, so it is an EnginePoisonedError.

`SegmentAhead` makes the next segment in a thread while the current one fills.

Called by the writer, the tail decision, and whoever ships or removes segments.
"""

from __future__ import annotations

import threading

from absdb.errors import CorruptLogError, EnginePoisonedError, StorageError
from absdb.io.base import File, FileSystem
from absdb.paths import SegmentName, is_temporary, parse_wal_segment_name, wal_segment_name
from absdb.wal.format import (
    LogIdentity,
    SegmentHeader,
    decode_segment_header,
    encode_segment_header,
    segment_fault,
)
from absdb.wal.position import SEGMENT_HEADER_BYTES

ZEROS = bytes(1024 * 1024)
REOPEN_HINT = "close the instance and open it again; opening finds out what reached the disk"


def zeros(length: int) -> list[bytes]:
    """Chunks of zeros for one write, `length` bytes in all."""
    full, rest = divmod(length, len(ZEROS))
    return [ZEROS] * full + ([ZEROS[:rest]] if rest else [])


def list_segments(fs: FileSystem, directory: str) -> list[SegmentName]:
    """The segments in a directory, by timeline and number. Other files are not looked at."""
    parsed = (parse_wal_segment_name(name) for name in fs.list(directory))
    return sorted(name for name in parsed if name is not None)


def join(directory: str, name: str) -> str:
    """The path of a file in the log's directory, which may be the root ("")."""
    return f"{directory}/{name}" if directory else name


class SegmentFiles:
    """The segment files of one timeline of one log, in one directory. Keeps nothing open."""

    __slots__ = ("directory", "fs", "log")

    def __init__(self, fs: FileSystem, directory: str, log: LogIdentity) -> None:
        self.fs = fs
        self.directory = directory
        self.log = log

    def path(self, segment: int) -> str:
        """Where a segment lies, whether it is there or not."""
        return join(self.directory, wal_segment_name(self.log.timeline, segment))

    def exists(self, segment: int) -> bool:
        return self.fs.exists(self.path(segment))

    def numbers(self) -> list[int]:
        """Numbers of the segments that are there, ascending."""
        names = list_segments(self.fs, self.directory)
        return [name.segment for name in names if name.timeline == self.log.timeline]

    def size(self, segment: int) -> int:
        """Bytes of a segment's file."""
        return self.fs.size(self.path(segment))

    def open_unchecked(self, segment: int) -> File:
        """A segment for reading, whatever its header says."""
        return self.fs.open(self.path(segment))

    def create(self, segment: int, epoch: int) -> File:
        """Make a segment full of zeros, durable before it returns, open for writing.

        Raises StorageError if nothing has changed, EnginePoisonedError if the new name may or may not last.
        """
        path = self.path(segment)
        temporary = path + ".tmp"
        if self.fs.exists(temporary):
            self.fs.unlink(temporary)
        header = SegmentHeader(
            self.log.instance_id,
            self.log.timeline,
            epoch,
            self.log.segment_bytes,
            segment * self.log.segment_bytes,
        )
        self._write_new(temporary, encode_segment_header(header))
        try:
            self.fs.rename(temporary, path)
            self.fs.sync_directory(self.directory)
            return self.fs.open(path, write=True)
        except StorageError as error:
            raise EnginePoisonedError(
                f"the new log segment {path} could not be put in place: {error.message}",
                hint=REOPEN_HINT,
                path=path,
            ) from error

    def _write_new(self, temporary: str, header: bytes) -> None:
        file = self.fs.create(temporary)
        try:
            file.pwrite(0, [header, *zeros(self.log.segment_bytes - len(header))])
            file.sync()
        except BaseException:
            file.close()
            self.fs.unlink(temporary)
            raise
        file.close()

    def open(self, segment: int, *, write: bool = False) -> File:
        """An existing segment whose header belongs to this log and place.

        Raises CorruptLogError or FormatVersionError if it does not, StorageError (ENOENT) if it is not there.
        """
        file = self.fs.open(self.path(segment), write=write)
        try:
            self.check(file, segment)
        except BaseException:
            file.close()
            raise
        return file

    def check(self, file: File, segment: int) -> SegmentHeader:
        """The header of an open segment, if it belongs to this log and place."""
        header = decode_segment_header(file.pread(0, SEGMENT_HEADER_BYTES), path=file.path)
        fault = segment_fault(header, self.log, segment)
        size = file.size()
        if not fault and size > self.log.segment_bytes:
            fault = f"{size} bytes long, expected {self.log.segment_bytes}"
        if fault:
            raise CorruptLogError(
                f"{file.path}: {fault}",
                hint="this file does not belong to this log; move it away, or restore the newest backup",
                path=file.path,
                offset=0,
                lsn=segment * self.log.segment_bytes,
            )
        return header

    def remove_below(self, lsn: int) -> list[str]:
        """Remove the segments that end at or before `lsn`, oldest first; returns their names.

        The newest segment always stays, even if `lsn` is its end.
        """
        removed = []
        for number in self.numbers()[:-1]:
            if (number + 1) * self.log.segment_bytes > lsn:
                break
            self.fs.unlink(self.path(number))
            removed.append(wal_segment_name(self.log.timeline, number))
        if removed:
            self.fs.sync_directory(self.directory)
        return removed

    def remove_temporary(self) -> list[str]:
        """Remove files that a crash left half made; returns their names. Only while nobody writes here."""
        removed = [name for name in self.fs.list(self.directory) if is_temporary(name)]
        for name in removed:
            self.fs.unlink(join(self.directory, name))
        if removed:
            self.fs.sync_directory(self.directory)
        return removed


class SegmentAhead:
    """Makes one segment ahead of need in a background thread; used by one writer, from one thread at a time.

    A failure there is kept. One that changed nothing is dropped when the segment is needed, because the
    writer then makes the segment itself and meets the same failure where it can be raised to somebody.
    """

    __slots__ = ("_epoch", "_error", "_file", "_number", "_segments", "_thread")

    def __init__(self, segments: SegmentFiles, epoch: int) -> None:
        self._segments = segments
        self._epoch = epoch
        self._number = -1
        self._thread: threading.Thread | None = None
        self._file: File | None = None
        self._error: BaseException | None = None

    def want(self, segment: int) -> None:
        """Start making this segment, unless that has been tried before or it is there."""
        if segment <= self._number:
            return
        self._finish()
        self._number = segment
        if not self._segments.exists(segment):
            self._thread = threading.Thread(target=self._make, name="absdb-wal-ahead", daemon=True)
            self._thread.start()

    def take(self, segment: int) -> File | None:
        """The segment, open for writing, if it was made here; waits for it. None: make or open it yourself.

        Raises EnginePoisonedError if the segment was made but may not last.
        """
        if self._thread is None or segment != self._number:
            return None
        self._thread.join()
        file, self._file = self._file, None
        error, self._error = self._error, None
        self._thread = None
        if error is not None and not isinstance(error, StorageError):
            raise error
        return file

    def close(self) -> None:
        """Wait for the thread; what it made stays on disk for later."""
        self._finish()

    def _finish(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def _make(self) -> None:
        try:
            self._file = self._segments.create(self._number, self._epoch)
        except BaseException as error:
            self._error = error
