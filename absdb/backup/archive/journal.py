"""What the archiver tells of itself: how far it is, failures, gaps. Kept in memory, and in `archive-status` for others.

A gap is durable in that file before the log that it stands for may go; the rest is written when a pass is over.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from typing import TYPE_CHECKING

from absdb.backup.archive.holes import Hole
from absdb.clock import Clock
from absdb.engine.archive_status import ArchiveStatus, Gap, read_status, write_status
from absdb.ids import Lsn
from absdb.io.base import FileSystem

if TYPE_CHECKING:
    from collections.abc import Callable

LOG = logging.getLogger("absdb")
DAY_US = 86_400 * 1_000_000


class Journal:
    """The status of one archiver. Safe for many threads; writes nothing once it is closed."""

    def __init__(self, fs: FileSystem, clock: Clock, timeline: int) -> None:
        self._fs = fs
        self._clock = clock
        self._mutex = threading.RLock()
        self._closed = False
        self._status = self._saved = read_status(fs)
        if self._status.timeline != timeline:
            kept = {"failed_count", "failed_us", "failed_segment", "first_gap_lsn", "unsent_gaps"}
            facts = {name: getattr(self._status, name) for name in kept}
            self._status = ArchiveStatus(timeline=timeline, **facts)
        self.first_told = self._status.first_gap_lsn
        """Where the first gap begins that the archive tells of, as far as is known."""

    @property
    def status(self) -> ArchiveStatus:
        return self._status

    def update(self, change: Callable[[ArchiveStatus], ArchiveStatus]) -> None:
        """Put a changed status in place of the last one."""
        with self._mutex:
            self._status = change(self._status)

    def save(self, waiting_bytes: int | None = None) -> None:
        """Write the file if anything has changed. StorageError if the disk refuses."""
        with self._mutex:
            if waiting_bytes is not None:
                self._status = dataclasses.replace(self._status, waiting_bytes=waiting_bytes)
            if self._status != self._saved and not self._closed:
                write_status(self._fs, self._status)
                self._saved = self._status

    def close(self) -> None:
        """Write nothing from now on: the directory may belong to another process."""
        with self._mutex:
            self._closed = True

    def archived(self, start: int, lsn: int, *, closed: bool) -> None:
        """The archive has everything from `start` up to `lsn`, and one closed segment more if it was one.

        So what was let go of it meanwhile is no gap.
        """
        now_us = self._clock.now_us()
        day = now_us // DAY_US
        with self._mutex:
            today = self._status.archived_today if self._status.day == day else 0
            self._status = dataclasses.replace(
                self._status,
                archived_lsn=max(lsn, self._status.archived_lsn or 0),
                archived_us=now_us,
                archived_today=today + closed,
                day=day,
            )
            if self._status.unsent_gaps:
                archived = Hole(self._status.timeline, start, lsn)
                kept = (_behind(gap, archived) for gap in self._status.unsent_gaps)
                self._put_gaps(tuple(gap for gap in kept if gap is not None))

    def failed(self, segment: str, error: BaseException) -> None:
        """A pass ended with an error."""
        with self._mutex:
            self._status = dataclasses.replace(
                self._status,
                failed_count=self._status.failed_count + 1,
                failed_us=self._clock.now_us(),
                failed_segment=segment,
                failure=str(getattr(error, "message", error)),
            )

    def gap(self, gap: Gap) -> None:
        """Record a gap, durably, and say so. It goes on where the last one ends, if they touch."""
        with self._mutex:
            gaps = list(self._status.unsent_gaps)
            if gaps and (gaps[-1].timeline, gaps[-1].to_lsn) == (gap.timeline, gap.from_lsn):
                gap = dataclasses.replace(gaps.pop(), to_lsn=gap.to_lsn)
            self._put_gaps((*gaps, gap))
            self.save()
        LOG.error(
            "%s: the archive has a gap: log of timeline %d from LSN %s to %s will never be in it: %s. "
            "Make a new full backup: no earlier one can be recovered across the gap",
            self._fs.root,
            gap.timeline,
            Lsn(gap.from_lsn),
            Lsn(gap.to_lsn),
            gap.reason,
        )

    def replace_gaps(self, gaps: tuple[Gap, ...]) -> None:
        """These are the gaps that the archive does not tell of yet."""
        with self._mutex:
            self._put_gaps(gaps)
            self.save()

    def gap_sent(self, gap: Gap) -> None:
        """The archive tells of it now."""
        with self._mutex:
            known = [lsn for lsn in (self.first_told, gap.from_lsn) if lsn is not None]
            self.first_told = min(known)
            self._put_gaps(tuple(each for each in self._status.unsent_gaps if each != gap))
            self.save()

    def _put_gaps(self, gaps: tuple[Gap, ...]) -> None:
        known = [gap.from_lsn for gap in gaps]
        if self.first_told is not None:
            known.append(self.first_told)
        first = min(known, default=None)
        self._status = dataclasses.replace(self._status, unsent_gaps=gaps, first_gap_lsn=first)


def _behind(gap: Gap, archived: Hole) -> Gap | None:
    """What is left of a gap that begins in log that was archived after all."""
    if gap.timeline != archived.timeline or not archived.from_lsn <= gap.from_lsn < archived.to_lsn:
        return gap
    return dataclasses.replace(gap, from_lsn=archived.to_lsn) if gap.to_lsn > archived.to_lsn else None
