"""One pass of the archiver: page files that the log names, then closed segments in order, then the open one.

Each thing is durable in the archive before the next one that rests on it is begun, and put only if it is not there. So
a pass can end anywhere, with an error or with the process, and the next one goes on: from what this one knows, or from
the archive's listing.
"""

from __future__ import annotations

import dataclasses
import errno
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from absdb.backup.archive.ahead import Ahead
from absdb.backup.archive.contents import ArchivedSegment, archived_segment
from absdb.backup.archive.identity import ArchiveIdentity, claim
from absdb.backup.archive.journal import DAY_US, Journal
from absdb.backup.archive.own_log import OwnLog, history_files
from absdb.backup.archive.position import Learned, learn
from absdb.backup.archive.sending import Sender
from absdb.backup.archive.waiting import NamedFile, Waiting
from absdb.engine.archive_status import ARCHIVE_HOLD, ArchiveStatus, Gap
from absdb.errors import AlreadyExistsError, ConflictError, StorageError
from absdb.ids import LSN_MAX
from absdb.io.base import read_file
from absdb.object_names import archived_page_file_name, file_list_name, gap_name, partial_segment_name
from absdb.paths import PAGES_DIR, WAL_DIR, hex_digits

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

FILES_AT_ONCE = 4


class Shipper:
    """Sends one instance's log to one archive. One pass at a time."""

    def __init__(self, own: OwnLog, waiting: Waiting, journal: Journal, sender: Sender) -> None:
        self._own = own
        self._waiting = waiting
        self._journal = journal
        self._sender = sender
        self._ahead = Ahead(own, sender)
        self.learned = False
        """Whether the archive has told what is in it."""
        self._last_closed: int | None = None
        self._put: set[str] = set()
        """Copies of the open segment that this process has put, or has compared with the log."""
        self._sent: set[str] = set()
        self.current = ""
        """What is being sent, for messages."""

    def ship(self, engine: Engine, upto: int, *, send_open: bool, stop: Callable[[], bool]) -> None:
        """Send what waits up to LSN `upto`, which is durable; the open segment only with `send_open`.

        Ends early when `stop` says so. Raises what goes wrong; what was sent before stays sent.
        """
        self.current = ""
        if not self.learned:
            self._learn(engine, upto)
        self._send_gaps()
        self._waiting.look(engine, upto)
        size = self._own.segment_bytes
        while (end := (self._waiting.position // size + 1) * size) <= upto:
            self._send_segment(engine, end, upto)
            if stop():
                return
        if send_open and upto > self._waiting.position:
            self._send_segment(engine, upto, upto)

    def close(self) -> None:
        """Let go of the store."""
        self._sender.store.close()

    def forget(self) -> None:
        """Ask the archive again before the next pass: it may not be what it was."""
        self.learned = False

    # what is there

    def _learn(self, engine: Engine, upto: int) -> None:
        control, store = engine.control, self._sender.store
        wanted = ArchiveIdentity(
            control.instance_id,
            control.segment_bytes,
            engine.clock.now_us(),
            control.timeline,
            self._own.opened_at,
        )
        identity = claim(store, wanted)
        for name in history_files(engine):
            self.current = name
            self._sender.send_plain(name, read_file(engine.fs, f"{WAL_DIR}/{name}"))
        found = learn(engine, self._own, self._sender, identity, upto)
        for copy in found.contents.outdated:
            if copy.timeline == self._own.timeline:
                store.delete(copy.stored_name)
        self._take_over(found)
        self._waiting.begin(found.position)
        self._hold(engine)
        self._put = {each.stored_name for each in found.contents.of(self._own.timeline) if each.partial}
        self._last_closed, self.learned = None, True

    def _take_over(self, found: Learned) -> None:
        """What the listing says is so. Gaps recorded while the archive was out of reach are as long as it shows."""
        timeline = self._own.timeline
        others = tuple(gap for gap in self._journal.status.unsent_gaps if gap.timeline != timeline)
        mine = [gap for gap in self._journal.status.unsent_gaps if gap.timeline == timeline]
        gaps = [gap for gap in found.contents.gaps if gap.timeline == timeline and not gap.accepted]
        closed = [each for each in found.contents.of(timeline) if not each.partial]
        newest_us = max((each.modified_us for each in found.contents.of(timeline)), default=None)
        day = max((each.modified_us // DAY_US for each in closed), default=0)

        def told(status: ArchiveStatus) -> ArchiveStatus:
            return dataclasses.replace(
                status,
                archived_lsn=found.archived_lsn,
                archived_us=newest_us,
                archived_today=sum(each.modified_us // DAY_US == day for each in closed),
                day=day,
            )

        self._journal.update(told)
        self._journal.first_told = min((gap.from_lsn for gap in gaps), default=None)
        if found.gap is None:
            self._journal.replace_gaps(others)
        elif mine and mine[-1].from_lsn < found.gap.to_lsn and found.gap.from_lsn < mine[-1].to_lsn:
            known = dataclasses.replace(found.gap, when_us=mine[-1].when_us, reason=mine[-1].reason)
            self._journal.replace_gaps((*others, known))
        else:
            self._journal.replace_gaps(others)
            self._journal.gap(found.gap)

    def _send_gaps(self) -> None:
        for gap in self._journal.status.unsent_gaps:
            name = gap_name(gap.timeline, gap.from_lsn, gap.to_lsn)
            with suppress(AlreadyExistsError):  # found before a crash, and again after it
                data = json.dumps(dataclasses.asdict(gap), indent=1).encode()
                self._sender.store.put(name, data, if_absent=True)
            self._journal.gap_sent(gap)

    # sending

    def _send_segment(self, engine: Engine, end: int, upto: int) -> None:
        """Send the segment that the position is in up to `end`: all of it, or what there is of the open one."""
        own, position = self._own, self._waiting.position
        segment = position // own.segment_bytes
        closed = end == (segment + 1) * own.segment_bytes
        name = own.name(segment) if closed else partial_segment_name(own.timeline, segment, end)
        self.current = name
        self._send_files(engine, position, end)
        copies = self._look(segment, is_last=not closed)
        raw, encoded = self._own_bytes(segment, end)
        if closed and end + own.segment_bytes <= upto:
            self._ahead.want(segment + 1)
        self._compare(copies, upto)
        if not any(copy.name == name for copy in copies):
            self._sender.put(name, raw, encoded)
        if closed:
            self._last_closed, self._put = segment, set()
        else:
            self._put.add(name + self._sender.codec.suffix)
        for copy in copies:
            if copy.partial and copy.name != name:
                self._sender.store.delete(copy.stored_name)
        self._waiting.advance(end)
        self._sent &= {file.name for file in self._waiting.files(LSN_MAX)}
        self._hold(engine)
        self._journal.archived(position, end, closed=closed)

    def _own_bytes(self, segment: int, end: int) -> tuple[bytes, bytes | None]:
        try:
            return self._ahead.take(segment, end)
        except StorageError as error:
            if error.errno == errno.ENOENT:
                self.forget()  # it was let go meanwhile: the next pass finds out what is lacking
            raise

    def _compare(self, copies: list[ArchivedSegment], upto: int) -> None:
        """ConflictError if a copy that this process has not put is not the beginning of the segment."""
        for copy in copies:
            if copy.stored_name not in self._put:
                raw = self._own.read(copy.segment, min(copy.end_lsn, upto))
                self._sender.compare(copy.stored_name, raw)

    def _look(self, segment: int, *, is_last: bool) -> list[ArchivedSegment]:
        """The copies of this segment that are there. The one before it must be, if this process has sent it.

        ConflictError if the archive has more of the log than there is.
        """
        own, store = self._own, self._sender.store
        after = own.name(segment - 2) + "~" if segment >= 2 else ""
        found = [
            copy
            for info in store.list(hex_digits(own.timeline, 8, "timeline"), after=after)
            if (copy := archived_segment(info, own.segment_bytes)) is not None
        ]
        before = self._last_closed
        if before == segment - 1 and not any(each.segment == before and not each.partial for each in found):
            self.forget()
            raise StorageError(
                f"segment {own.name(before)} was archived in {store.url} and is not there any more",
                hint="see who removes objects there; what the instance still has is sent again",
            )
        beyond = [copy for copy in found if copy.end_lsn >= (segment + 1) * own.segment_bytes]
        if is_last and beyond:
            raise ConflictError(
                f"{store.url}/{beyond[0].stored_name} is there, and the log of this instance does not reach that far",
                hint="a copy of this instance archives into the same place; give each a wal_archive_target of its own",
            )
        return [copy for copy in found if copy.segment == segment]

    def _send_files(self, engine: Engine, position: int, end: int) -> None:
        """Send the page files that log behind `position` names, up to the first record behind `end`, side by side."""
        files = [file for file in self._waiting.files(end) if file.name not in self._sent]
        if not files:
            return
        with ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="absdb-archive-file") as executor:
            there = list(executor.map(lambda file: self._send_file(engine, file), files))
            list(executor.map(self._send_list, *zip(*_by_record(files).items(), strict=True)))
        self._sent.update(file.name for file in files)
        missing = [file for file, is_there in zip(files, there, strict=True) if not is_there]
        if missing:
            reason = f"page file {missing[0].name} was removed from the instance before it was archived"
            lsn = max(file.lsn for file in missing)
            self._journal.gap(Gap(self._own.timeline, position, lsn, engine.clock.now_us(), reason))
            self._send_gaps()

    def _send_list(self, lsn: int, names: list[str]) -> None:
        """A list for each record: so it is the same whoever makes it, also after a restart in between."""
        data = json.dumps({"files": names}).encode()
        self._sender.send_plain(file_list_name(self._own.timeline, lsn - 1, lsn), data)

    def _send_file(self, engine: Engine, named: NamedFile) -> bool:
        """Whether the archive has the page file now: not if it is neither there nor here."""
        name = archived_page_file_name(named.name)
        try:
            file = engine.fs.open(f"{PAGES_DIR}/{named.name}")
        except StorageError as error:
            if error.errno != errno.ENOENT:
                raise
            return any(True for _ in self._sender.store.list(name))
        try:
            self._sender.send(name, file.size(), file.pread)
        finally:
            file.close()
        return True

    def _hold(self, engine: Engine) -> None:
        engine.logged_files.holds.hold(ARCHIVE_HOLD, self._waiting.position)


def _by_record(files: list[NamedFile]) -> dict[int, list[str]]:
    """The names that each record names, by where it ends."""
    named: dict[int, list[str]] = {}
    for file in files:
        named.setdefault(file.lsn, []).append(file.name)
    return named
