"""Appending to the log: records gather in memory, one flush writes and syncs them all.

    append ... append   ->  flush: one pwrite per segment touched, then one fdatasync per segment touched
                            ->  durable_lsn moves to the end of the batch

Rules that everything else rests on:

- Each record carries the LSN up to which the log was synced when it was appended. In sync mode that is the
  start of its batch, so whatever is damaged below it has been durable once and cannot be a torn write.
- A batch that crosses into a new segment is durable when both segments are synced, the older one first.
- The first failed write or sync poisons the writer. A sync is never tried again: the system may have dropped
  the pages that it could not write and report success the second time. Reopening rereads the log.
- A segment that cannot be *made* (a full disk, mostly) is found out before anything of the batch is written:
  the batch is dropped, the error is raised, and the writer stays usable.

`absdb.wal.repair.recover_tail` must have run before a writer is opened on a log that exists: the writer takes
what lies below its position as durable, and what lies behind it as zeros.

Only one thread at a time may call: the leader of the group commit, or who holds its exclusive section.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NoReturn

from crc32c import crc32c

from absdb.errors import AbsdbError, EnginePoisonedError, InvalidInputError, StateError, StorageError
from absdb.ids import Lsn
from absdb.io.base import File, FileSystem
from absdb.wal.format import (
    BODY_BYTES_MAX,
    PADDING,
    RECORD_HEADER_BYTES,
    RECORD_TAIL,
    LogIdentity,
    RecordKind,
)
from absdb.wal.interrupt import HeldInterrupts
from absdb.wal.position import SEGMENT_HEADER_BYTES, advance, check_position, record_start
from absdb.wal.reader import read_log
from absdb.wal.segments import REOPEN_HINT, SegmentAhead, SegmentFiles

SyncMode = Literal["fsync", "nosync"]


@dataclass(slots=True)
class LogStatistics:
    """What one writer has done since it was opened. Bytes are of records, headers and padding included."""

    bytes_written: int = 0
    records_written: int = 0
    batches: int = 0
    syncs: int = 0


class LogWriter:
    """The writing end of one log. See the module for who may call it, and when."""

    def __init__(
        self,
        fs: FileSystem,
        *,
        directory: str,
        instance_id: bytes,
        timeline: int,
        epoch: int,
        segment_bytes: int,
        position: int,
        sync_mode: SyncMode = "fsync",
        prepare_ahead: bool = True,
    ) -> None:
        """Write on from `position`, the end of the log that recovery found.

        The segment of `position` is made if it is not there, also in the middle of one: so a new timeline
        begins. `prepare_ahead=False` makes every segment in the calling thread, for tests that count calls.
        """
        if sync_mode not in ("fsync", "nosync"):
            raise InvalidInputError(f"sync mode {sync_mode!r} is neither 'fsync' nor 'nosync'")
        self._log = LogIdentity(instance_id, timeline, segment_bytes)
        check_position(position, segment_bytes)
        self._segments = SegmentFiles(fs, directory, self._log)
        self._epoch = epoch
        self._fsync = sync_mode == "fsync"
        self._ahead = SegmentAhead(self._segments, epoch) if prepare_ahead else None
        self._failure: BaseException | None = None
        self._closed = False
        self._files: dict[int, File] = {}  # open segments
        self._unsynced: dict[int, File] = {}  # those with bytes not known to be durable, ascending
        self.statistics = LogStatistics()
        self.durable_lsn = position  # everything below is synced
        self.written_lsn = position  # everything below is written; the same, but for nosync
        self._chunks: list[bytes] = []
        self._records = 0
        self._end = position  # just past the last record of the batch
        self._next = position  # where the next record begins
        self._segment_end = position  # the end of the segment it begins in
        self._batch_start = position
        self.discard_buffered()
        self._segments.remove_temporary()
        self._file(self._next // segment_bytes)

    # -- the path of every commit

    def append(
        self, kind: RecordKind, database_id: int, txid: int, time_us: int, body: bytes
    ) -> tuple[int, int]:
        """Put a record into the batch; returns its LSN and the LSN just past it. Nothing is written yet."""
        length = len(body)
        if self._failure is not None or self._closed or length > BODY_BYTES_MAX:
            self._refuse(length)
        lsn = self._next
        log = self._log
        tail = RECORD_TAIL.pack(
            length,
            lsn,
            self.durable_lsn,
            time_us,
            txid,
            database_id,
            crc32c(body),
            log.timeline,
            self._epoch,
            log.tag,
            kind,
            0,
            0,
        )
        end = lsn + ((RECORD_HEADER_BYTES + length + 7) & -8)
        if end >= self._segment_end:
            end = advance(lsn, end - lsn, log.segment_bytes)
            self._set_end(end)
        else:
            self._end = self._next = end
        self._chunks += (crc32c(tail).to_bytes(4, "little"), tail, body, PADDING[length & 7])
        self._records += 1
        return lsn, end

    def flush(self) -> int:
        """Write the batch and, unless in nosync mode, sync it; returns the LSN the log is written up to.

        Raises EnginePoisonedError if a write or sync fails: whether the batch is durable is unknown until the
        instance is reopened. Raises StorageError if a new segment cannot be made: the batch is dropped.
        """
        self._check()
        if not self._chunks:
            return self.written_lsn
        with HeldInterrupts():
            pieces = self._pieces()
            try:
                files = [self._file(segment) for segment, _, _ in pieces]
            except EnginePoisonedError as error:
                self._poison(error)
            except StorageError as error:
                self.discard_buffered()
                raise StorageError(
                    f"the log needs a new segment, so nothing of this batch was written: {error.message}",
                    hint="make room and commit again; what was committed before is safe",
                    **error.facts,
                ) from error
            except BaseException:
                self.discard_buffered()
                raise
            try:
                for file, (segment, offset, part) in zip(files, pieces, strict=True):
                    self._unsynced[segment] = file
                    file.pwrite(offset, [part])
                statistics = self.statistics
                statistics.batches += 1
                statistics.records_written += self._records
                statistics.bytes_written += sum([len(part) for _, _, part in pieces])
                self.written_lsn = self._end
                self._chunks.clear()
                self._records = 0
                self._batch_start = self._next
                if self._fsync:
                    self._sync()
            except BaseException as error:
                self._poison(error)
            self._look_ahead()
        return self.written_lsn

    def discard_buffered(self) -> None:
        """Drop what was appended since the last flush; the next record takes the place of the first of it."""
        self._chunks.clear()
        self._records = 0
        self._set_end(self.written_lsn)
        self._batch_start = self._next

    def sync(self) -> int:
        """Make all that is written durable, also in nosync mode; returns the durable LSN."""
        self._check()
        with HeldInterrupts():
            try:
                self._sync()
            except BaseException as error:
                self._poison(error)
        return self.durable_lsn

    # -- around it

    @property
    def position(self) -> int:
        """The LSN just past the last record appended, buffered ones included."""
        return self._end

    @property
    def poisoned(self) -> bool:
        """Whether a write or sync has failed."""
        return self._failure is not None

    def verify(self, from_lsn: int) -> int:
        """Reread the log from `from_lsn` up to what is written, check every byte; returns the records read.

        It finds what memory or disk have changed behind our back; durability is what `flush` answers for.
        Raises CorruptLogError at the first byte that is not what was written.
        """
        records = read_log(
            self._segments.fs,
            self._segments.directory,
            from_lsn=from_lsn,
            end_lsn=self.written_lsn,
            instance_id=self._log.instance_id,
            timeline=self._log.timeline,
            segment_bytes=self._log.segment_bytes,
        )
        return sum(1 for _ in records)

    def close(self) -> None:
        """Close the files; what is buffered is dropped, nothing is synced. Closing twice is harmless."""
        self._closed = True
        self._chunks.clear()
        if self._ahead is not None:
            self._ahead.close()
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._unsynced.clear()

    # -- inside

    def _set_end(self, end: int) -> None:
        size = self._log.segment_bytes
        self._end = end
        self._next = record_start(end, size)
        self._segment_end = self._next - self._next % size + size

    def _pieces(self) -> list[tuple[int, int, bytes | memoryview]]:
        """The batch as (segment, offset in its file, bytes), cut where segment headers stand."""
        data = b"".join(self._chunks)
        size = self._log.segment_bytes
        segment, offset = divmod(self._batch_start, size)
        if offset + len(data) <= size:
            return [(segment, offset, data)]
        pieces: list[tuple[int, int, bytes | memoryview]] = []
        rest = memoryview(data)
        while rest:
            pieces.append((segment, offset, rest[: size - offset]))
            rest = rest[size - offset :]
            segment, offset = segment + 1, SEGMENT_HEADER_BYTES
        return pieces

    def _file(self, segment: int) -> File:
        """The segment, open for writing: one in use, the one made ahead, one from before, or a new one."""
        file = self._files.get(segment)
        if file is None:
            file = self._ahead.take(segment) if self._ahead is not None else None
            if file is None:
                if self._segments.exists(segment):
                    file = self._segments.open(segment, write=True)
                else:
                    file = self._segments.create(segment, self._epoch)
            self._files[segment] = file
        return file

    def _sync(self) -> None:
        """Sync what is written, older segments first, and close those that are full."""
        for file in self._unsynced.values():
            file.sync(data_only=True)
            self.statistics.syncs += 1
        self._unsynced.clear()
        self.durable_lsn = self.written_lsn
        if len(self._files) > 1:
            size = self._log.segment_bytes
            current = record_start(self.written_lsn, size) // size
            for segment in [number for number in self._files if number < current]:
                self._files.pop(segment).close()

    def _look_ahead(self) -> None:
        segment, offset = divmod(self._next, self._log.segment_bytes)
        if self._ahead is not None and offset * 2 >= self._log.segment_bytes:
            self._ahead.want(segment + 1)

    def _refuse(self, length: int) -> NoReturn:
        self._check()
        raise InvalidInputError(
            f"a log record of {length} bytes is too long, at most {BODY_BYTES_MAX} fit",
            hint="rows of large commits belong into page files that the record names",
        )

    def _check(self) -> None:
        if self._failure is not None:
            raise EnginePoisonedError(
                f"the log takes no more writes since one failed: {_message(self._failure)}", hint=REOPEN_HINT
            ) from self._failure
        if self._closed:
            raise StateError("the log is closed")

    def _poison(self, error: BaseException) -> NoReturn:
        """Take no more writes. What was asked for has an unknown outcome: neither done nor undone."""
        self._failure = error
        self._chunks.clear()
        if not isinstance(error, Exception):
            raise error
        raise EnginePoisonedError(
            f"writing the log failed, and what is on disk behind LSN {Lsn(self.durable_lsn)} is unknown: "
            f"{_message(error)}",
            hint=REOPEN_HINT,
            lsn=self.durable_lsn,
        ) from error


def _message(error: BaseException) -> str:
    return error.message if isinstance(error, AbsdbError) else str(error)
