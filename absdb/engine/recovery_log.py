"""The log that a recovery replays: segments of several timelines, fetched from elsewhere when they are reached.

What lies in the directory comes from the backup: the beginning of the log, of one timeline. What is fetched lies
beside it under names of its own, so that it never passes for the backup's, and is removed when it has been read: the
disk holds a few segments at a time however long the log is. Called by recover_to.py and by backup/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from absdb.catalog.control import Control
from absdb.engine.log_end import log_of
from absdb.io.base import File, FileSystem
from absdb.paths import (
    WAL_DIR,
    fetched_segment_name,
    is_fetched_segment,
    parse_timeline_history_name,
    wal_segment_name,
)
from absdb.wal.format import LogIdentity
from absdb.wal.segments import SegmentFiles, list_segments
from absdb.wal.tail import find_end


class LogSource(Protocol):
    """Where a recovery gets what its directory lacks: an archive, mostly."""

    def segments(self, timeline: int) -> Mapping[int, int]:
        """Number → bytes, segment header included, of each segment that is there; an open one has less than others."""
        ...

    def fetch_segment(self, timeline: int, number: int) -> None:
        """Put a segment into wal/ as `paths.fetched_segment_name` calls it, filled up with zeros to its full size."""
        ...

    def fetch_page_file(self, name: str) -> None:
        """Put a page file that the log names into pages/."""
        ...


class NoSource:
    """For a recovery from what is in the directory alone."""

    def segments(self, timeline: int) -> Mapping[int, int]:
        return {}

    def fetch_segment(self, timeline: int, number: int) -> None:
        raise AssertionError("a segment that nobody has is not asked for")

    def fetch_page_file(self, name: str) -> None:
        """Whoever opens the file says that it is missing."""


class FetchedSegments(SegmentFiles):
    """The segments of one timeline, here and elsewhere; `local_end` is how far those here go."""

    __slots__ = ("_elsewhere", "_fetched", "_here", "_source")

    def __init__(self, fs: FileSystem, log: LogIdentity, source: LogSource, local_end: int) -> None:
        super().__init__(fs, WAL_DIR, log)
        self._source = source
        size = log.segment_bytes
        self._here = frozenset(number for number in super().numbers() if number * size < local_end)
        self._elsewhere = {
            number: there
            for number, there in source.segments(log.timeline).items()
            if number not in self._here or number * size + there > local_end
        }
        self._fetched: set[int] = set()

    def numbers(self) -> list[int]:
        """Numbers of the segments that are here or elsewhere, ascending."""
        return sorted(self._here | set(self._elsewhere))

    def path(self, segment: int) -> str:
        """Where a segment lies, once it was fetched if need be."""
        if segment in self._elsewhere:
            return f"{WAL_DIR}/{fetched_segment_name(self.log.timeline, segment)}"
        return super().path(segment)

    def known_end(self) -> int:
        """How far the log goes at least, by the size of an open segment elsewhere; 0 if nothing says so."""
        newest = max(self._elsewhere, default=0)
        size = self._elsewhere.get(newest, 0)
        return newest * self.log.segment_bytes + size if 0 < size < self.log.segment_bytes else 0

    def size(self, segment: int) -> int:
        """Bytes of a segment's file, once it is here."""
        return self.log.segment_bytes if segment in self._elsewhere else super().size(segment)

    def open_unchecked(self, segment: int) -> File:
        """A segment for reading, fetched if need be; those that were fetched and read long ago go."""
        if segment in self._elsewhere and segment not in self._fetched:
            self._source.fetch_segment(self.log.timeline, segment)
            self._fetched.add(segment)
            self.let_go(below=segment - 1)
        return super().open_unchecked(segment)

    def let_go(self, *, below: int) -> None:
        """Remove fetched segments with lower numbers."""
        for number in [number for number in self._fetched if number < below]:
            self._fetched.remove(number)
            self.fs.unlink(self.path(number))


def clear_attempts(fs: FileSystem, control: Control) -> None:
    """Remove what an earlier recovery has fetched or begun to write, histories of other timelines among it."""
    names = fs.list(WAL_DIR)
    gone = [name for name in names if is_fetched_segment(name)]
    gone += [
        wal_segment_name(*name) for name in list_segments(fs, WAL_DIR) if name.timeline != control.timeline
    ]
    gone += [name for name in names if (parse_timeline_history_name(name) or 0) > control.timeline]
    for name in gone:
        fs.unlink(f"{WAL_DIR}/{name}")
    if gone:
        fs.sync_directory(WAL_DIR)


def local_end(fs: FileSystem, control: Control) -> int:
    """Where the log in the directory ends, as the backup brought it. CorruptLogError if it is damaged."""
    found = find_end(
        fs, WAL_DIR, from_lsn=control.checkpoint_lsn, durable_lsn=control.durable_lsn, **log_of(control)
    )
    return found.lsn
