"""Reading the log forwards: recovery, change data capture, archive and replicas all read through here."""

from __future__ import annotations

from collections.abc import Iterator

from absdb.errors import HistoryExpiredError
from absdb.ids import Lsn
from absdb.io.base import FileSystem
from absdb.wal.format import RECORD_KINDS, LogIdentity, Record, unknown_record
from absdb.wal.segments import SegmentFiles
from absdb.wal.stream import LogStream
from absdb.wal.tail import corrupt, judge


def read_log(
    fs: FileSystem,
    directory: str,
    *,
    from_lsn: int,
    instance_id: bytes,
    timeline: int,
    segment_bytes: int,
    end_lsn: int | None = None,
) -> Iterator[Record]:
    """Yield the records from `from_lsn` (the LSN of a record, or of a commit before one) up to `end_lsn`.

    With `end_lsn`, an LSN up to which the log is known to be written, every record up to there must be whole;
    this may run beside the writer. Without it the log is read to its end, a torn tail is left out, and nobody
    may be writing. Streams in order; memory is about 1 MiB and the largest record.

    Raises CorruptLogError for damage, FormatVersionError for a record that a newer absdb wrote, and
    HistoryExpiredError if the segment of `from_lsn` has been removed.
    """
    segments = SegmentFiles(fs, directory, LogIdentity(instance_id, timeline, segment_bytes))
    return read_segments(segments, from_lsn, end_lsn=end_lsn)


def read_segments(
    segments: SegmentFiles, from_lsn: int, *, end_lsn: int | None = None, durable_lsn: int = 0
) -> Iterator[Record]:
    """`read_log` of segment files that the caller has, such as ones that are fetched when they are read.

    Without `end_lsn`, a log that ends below `durable_lsn` is damaged.
    """
    stream = LogStream(segments, from_lsn, end_lsn=end_lsn)
    if not stream.sizes and stream.beyond_gap:
        first = stream.beyond_gap[0] * segments.log.segment_bytes
        raise HistoryExpiredError(
            f"the log at LSN {Lsn(from_lsn)} has been removed; it begins at {Lsn(first)}",
            hint="start from a snapshot of the data and go on from there",
            lsn=from_lsn,
            first_lsn=first,
        )
    return _records(stream, end_lsn, durable_lsn)


def _records(stream: LogStream, end_lsn: int | None, durable_lsn: int) -> Iterator[Record]:
    with stream:
        walk = stream.walk()
        while True:
            try:
                header, end, body = next(walk)
            except StopIteration as finished:
                stop = finished.value
                break
            kind = RECORD_KINDS.get(header.kind)
            if kind is None or header.flags or header.zero:
                raise unknown_record(header, *stream.place(header.lsn))
            yield Record(
                header.lsn,
                end,
                kind,
                header.database_id,
                header.txid,
                header.time_us,
                header.epoch,
                header.timeline,
                header.durable_lsn,
                body,
            )
        if stop.fault and end_lsn is not None:
            raise corrupt(stream, stop, f"the log is known to reach LSN {Lsn(end_lsn)}", stream.files_end)
        if stop.fault:
            judge(stream, stop, durable_lsn=durable_lsn)
