"""Making the end of a log ready to be written on: the torn tail is kept aside and wiped.

The order is such that a crash may cut it anywhere; each state in between has the same last whole record, and
behind it a torn tail or zeros, so the next opening does the rest:

    1. the bytes in doubt are copied to a side file, synced, renamed into place, the directory synced
    2. segments that were never finished are removed, the newest first, the directory synced
    3. the bytes in doubt are overwritten with zeros, the newest segment first, and synced; a short newest
       segment without records is filled up with zeros
    4. whole records that are not known to be durable are written once more in place, and synced: after a sync
       that failed, the system may hold in memory what the disk never got, and report the next sync as a
       success

Damage (see absdb.wal.tail) is raised before anything is touched. Called by the engine's recovery.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from absdb.errors import StorageError
from absdb.ids import Lsn
from absdb.io.base import File, FileSystem
from absdb.paths import torn_tail_name
from absdb.wal.format import LogIdentity
from absdb.wal.position import record_start
from absdb.wal.segments import SegmentFiles, join, zeros
from absdb.wal.stream import LogStream, Stop
from absdb.wal.tail import Doubt, LogEnd, judge, log_end, walk_to_end

_CHUNK = 1024 * 1024


def recover_tail(
    fs: FileSystem,
    directory: str,
    *,
    from_lsn: int,
    instance_id: bytes,
    timeline: int,
    segment_bytes: int,
    durable_lsn: int = 0,
) -> LogEnd:
    """Find the end of the log from `from_lsn` on and make it ready for a LogWriter at `LogEnd.lsn`.

    On return all records below that LSN are durable and everything behind it is zero. `durable_lsn` is an LSN
    known to be durable from elsewhere, such as the control file. What was torn off is told in `LogEnd.torn`.

    Raises CorruptLogError or FormatVersionError, with every file as it was; StorageError if the disk refuses
    the repair, which is then tried again at the next opening.
    """
    segments = SegmentFiles(fs, directory, LogIdentity(instance_id, timeline, segment_bytes))
    with LogStream(segments, from_lsn) as stream:
        stop = walk_to_end(stream)
        doubt = judge(stream, stop, durable_lsn=durable_lsn)
        end = log_end(stop, doubt)
        if end.torn is not None:
            end = replace(end, torn=replace(end.torn, side_file=_keep_aside(stream, doubt)))
    segments.remove_temporary()
    end = replace(end, removed=tuple(_remove_unfinished(segments, doubt)))
    _wipe(segments, doubt)
    _settle(segments, stop, max(from_lsn, durable_lsn, stop.durable_lsn))
    return end


def _keep_aside(stream: LogStream, doubt: Doubt) -> str:
    """Copy the bytes in doubt, segment headers among them included, to a side file; returns its path."""
    segments = stream.segments
    segment = doubt.start // stream.log.segment_bytes
    name = join(segments.directory, torn_tail_name(stream.log.timeline, segment, doubt.start))
    path, number = name, 1
    while segments.fs.exists(path):
        # The same tail may have been kept by a repair that a crash cut short, or there was another one here.
        if _holds(segments.fs, path, stream, doubt):
            return path
        number += 1
        path = f"{name}.{number}"
    temporary = path + ".tmp"
    if segments.fs.exists(temporary):
        segments.fs.unlink(temporary)
    try:
        file = segments.fs.create(temporary)
        try:
            offset = 0
            for chunk in _doubtful(stream, doubt):
                offset += file.pwrite(offset, [chunk])
            file.sync()
        finally:
            file.close()
        segments.fs.rename(temporary, path)
        segments.fs.sync_directory(segments.directory)
    except StorageError as error:
        if segments.fs.exists(temporary):
            segments.fs.unlink(temporary)  # on a full disk it would only be in the way
        raise StorageError(
            f"the {doubt.end - doubt.start} bytes of a torn tail at LSN {Lsn(doubt.start)} could not be kept "
            f"aside in {path}: {error.message}",
            hint=error.hint or "nothing has been cut off yet; make room and open the instance again",
            **error.facts,
        ) from error
    return path


def _doubtful(stream: LogStream, doubt: Doubt) -> Iterator[bytes]:
    size = stream.log.segment_bytes
    lsn = doubt.start
    while lsn < doubt.end:
        segment, offset = divmod(lsn, size)
        length = min(_CHUNK, size - offset, doubt.end - lsn)
        yield stream.raw(segment, offset, length)
        lsn += length


def _holds(fs: FileSystem, path: str, stream: LogStream, doubt: Doubt) -> bool:
    """Whether a side file holds exactly the bytes in doubt."""
    file = fs.open(path)
    try:
        if file.size() != doubt.end - doubt.start:
            return False
        offset = 0
        for chunk in _doubtful(stream, doubt):
            if file.pread(offset, len(chunk)) != chunk:
                return False
            offset += len(chunk)
        return True
    finally:
        file.close()


def _remove_unfinished(segments: SegmentFiles, doubt: Doubt) -> Iterator[str]:
    for segment in sorted(doubt.unfinished, reverse=True):
        segments.fs.unlink(segments.path(segment))
        segments.fs.sync_directory(segments.directory)
        yield segments.path(segment)


def _wipe(segments: SegmentFiles, doubt: Doubt) -> None:
    """Overwrite the bytes in doubt with zeros, and give a short segment its full size."""
    if doubt.short is not None:
        file = segments.open(doubt.short, write=True)
        try:
            size = file.size()
            file.pwrite(size, zeros(segments.log.segment_bytes - size))
            file.sync()
        finally:
            file.close()
    for segment, first, end in sorted(doubt.dirty, reverse=True):
        file = segments.open(segment, write=True)
        try:
            file.pwrite(first, zeros(end - first))
            file.sync()
        finally:
            file.close()


def _settle(segments: SegmentFiles, stop: Stop, durable_lsn: int) -> None:
    """Write the whole records from `durable_lsn` on once more, and sync them and the directory."""
    size = segments.log.segment_bytes
    lsn = record_start(durable_lsn, size)
    while lsn < stop.lsn:
        segment, offset = divmod(lsn, size)
        end = min(stop.lsn - segment * size, size)
        file = segments.open(segment, write=True)
        try:
            _rewrite(file, offset, end)
            file.sync()
        finally:
            file.close()
        lsn = record_start((segment + 1) * size, size)
    segments.fs.sync_directory(segments.directory)


def _rewrite(file: File, offset: int, end: int) -> None:
    while offset < end:
        offset += file.pwrite(offset, [file.pread(offset, min(_CHUNK, end - offset))])
