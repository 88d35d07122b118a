"""The instance's own log as the archiver reads it: what is durable, which segments there are, their bytes.

Reads beside the writer and takes none of its locks. In nosync mode what was written is not durable yet: the archiver
then syncs the segments itself, by files of its own, so that nobody's commit waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.engine.log_end import log_of
from absdb.errors import CorruptLogError, StorageError
from absdb.paths import WAL_DIR, parse_timeline_history_name, wal_segment_name
from absdb.wal.format import LogIdentity
from absdb.wal.segments import SegmentFiles

if TYPE_CHECKING:
    from absdb.engine.engine import Engine


class OwnLog:
    """The segments of the timeline that an engine writes."""

    def __init__(self, engine: Engine) -> None:
        control = engine.control
        self.timeline = control.timeline
        self.segment_bytes = control.segment_bytes
        self.opened_at = control.checkpoint_lsn
        """The checkpoint when the instance was opened: since then no log goes, nor what it names, before it is sent."""
        self._files = SegmentFiles(engine.fs, WAL_DIR, LogIdentity(**log_of(control)))
        self._synced = 0

    def numbers(self) -> list[int]:
        """Numbers of the segments that are there, ascending; the last may be made ahead of need."""
        return self._files.numbers()

    def start(self) -> int:
        """Where the log that is there begins."""
        return min(self.numbers(), default=0) * self.segment_bytes

    def name(self, segment: int) -> str:
        """What a segment is called."""
        return wal_segment_name(self.timeline, segment)

    def durable_lsn(self, engine: Engine) -> int:
        """Up to where the log is durable. A failed sync poisons the engine."""
        upto = engine.published
        if engine.settings.wal_sync_mode != "nosync":
            return upto
        first, last = self._synced // self.segment_bytes, max(0, upto - 1) // self.segment_bytes
        for segment in [number for number in self.numbers() if first <= number <= last]:
            self._sync(engine, segment)
        self._synced = upto
        return upto

    def _sync(self, engine: Engine, segment: int) -> None:
        file = self._files.open(segment, write=True)
        try:
            file.sync(data_only=True)
        except StorageError as error:
            engine.poison(error)
            raise
        finally:
            file.close()

    def read(self, segment: int, upto: int) -> bytes:
        """A segment's first bytes, those below LSN `upto`. CorruptLogError if there are fewer, or it is no segment."""
        start = segment * self.segment_bytes
        file = self._files.open(segment)
        try:
            data = file.pread(0, upto - start)
        finally:
            file.close()
        if len(data) != upto - start:
            raise CorruptLogError(
                f"{self._files.path(segment)} has {len(data)} bytes, expected {upto - start}",
                path=self._files.path(segment),
                lsn=start + len(data),
            )
        return data


def history_files(engine: Engine) -> list[str]:
    """Names of the timelines' history files that the instance has."""
    return [name for name in engine.fs.list(WAL_DIR) if parse_timeline_history_name(name) is not None]
