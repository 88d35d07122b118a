"""The archive as a source for a recovery: segments are read ahead while others are replayed, page files when named.

Called by recover.py; see engine/recovery_log.py for what is asked of a source.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from absdb.backup.archive.contents import Contents
from absdb.backup.archive.reader import ArchiveReader
from absdb.io.base import FileSystem, write_atomic
from absdb.paths import PAGES_DIR, TEMPORARY_SUFFIX, WAL_DIR, fetched_segment_name, wal_segment_name

READ_AHEAD = 4


class ArchiveSource:
    """What an archive has, put into the directory of a recovery. Use it as a context: it ends its threads."""

    def __init__(self, fs: FileSystem, reader: ArchiveReader, contents: Contents) -> None:
        self._fs = fs
        self._reader = reader
        self._sizes: dict[int, dict[int, int]] = {}
        for segment in contents.segments:
            of = self._sizes.setdefault(segment.timeline, {})
            of[segment.segment] = segment.end_lsn - segment.start_lsn
        self._threads = ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="absdb-recovery-fetch")
        self._coming: dict[tuple[int, int], Future[bytes]] = {}
        self.fetched_bytes = 0

    def segments(self, timeline: int) -> Mapping[int, int]:
        """Number → bytes of log of each segment of a timeline."""
        return self._sizes.get(timeline, {})

    def read_segment(self, timeline: int, number: int) -> bytes:
        """The bytes of a segment as the archive has it, not put anywhere."""
        return self._reader.fetch_segment(wal_segment_name(timeline, number))

    def fetch_segment(self, timeline: int, number: int) -> None:
        """Put a segment into wal/, filled up with zeros, and begin to read those behind it."""
        there = self.segments(timeline)
        for ahead in range(number, number + READ_AHEAD):
            key = timeline, ahead
            if ahead in there and key not in self._coming:
                self._coming[key] = self._threads.submit(self.read_segment, timeline, ahead)
        data = self._coming.pop((timeline, number)).result()
        self.fetched_bytes += len(data)
        whole = data.ljust(self._reader.identity.segment_bytes, b"\0")
        write_atomic(self._fs, f"{WAL_DIR}/{fetched_segment_name(timeline, number)}", whole)

    def fetch_page_file(self, name: str) -> None:
        """Put a page file into pages/, in pieces. NotFoundError if the archive does not have it."""
        path = f"{PAGES_DIR}/{name}"
        temporary = path + TEMPORARY_SUFFIX
        if self._fs.exists(temporary):
            self._fs.unlink(temporary)
        file, at = self._fs.create(temporary), 0
        try:
            for chunk in self._reader.fetch_page_file(name):
                at += file.pwrite(at, [chunk])
            file.sync()
        finally:
            file.close()
        self.fetched_bytes += at
        self._fs.rename(temporary, path)
        self._fs.sync_directory(PAGES_DIR)

    def close(self) -> None:
        """Wait for what is on its way, and drop it."""
        self._threads.shutdown(cancel_futures=True)
        self._coming.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
