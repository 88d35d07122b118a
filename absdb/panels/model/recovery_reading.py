"""Reads what can be recovered to: the backups of a repository, the archive's listing, and the log of the instance.

What is read of a backup, and of the end of a closed segment, is kept: it never changes. So a second look costs two
listings. Called in the thread of the workbench only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from absdb.backup.archive.reader import ArchiveReader
from absdb.backup.codec.key import Key
from absdb.backup.listing import facts_of
from absdb.backup.recovery.log_range import LogReach, last_record, reach
from absdb.backup.recovery.plan import Archive, known_timelines
from absdb.backup.recovery.start import start_of
from absdb.backup.repository import Repository
from absdb.errors import AbsdbError
from absdb.instance import Instance
from absdb.objectstore.locate import open_store
from absdb.panels.model.recoverable import (
    At,
    Base,
    Lane,
    Mark,
    Piece,
    Recoverable,
    Stretch,
    Times,
    gaps_of,
    read_marks,
)
from absdb.paths import wal_segment_name
from absdb.reprs import counted
from absdb.wal.format import LogIdentity
from absdb.wal.timelines import TimelineHistory

READERS = 8
Known = dict[int, TimelineHistory]


class RecoveryReader:
    """Reads for one instance, and keeps what does not change."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._bases: dict[tuple[str, str, Any], Base] = {}
        self._ends: dict[tuple[str, int], At] = {}

    def read(
        self, url: str, rows: Sequence[dict[str, Any]], archive_url: str, key: Key | None
    ) -> Recoverable:
        """What can be recovered to from the backups in `rows` (those of `list_backups`), and the archive there is."""
        problems: list[str] = []
        bases = self._read_bases(url, rows, key, problems)
        if not archive_url:
            archive_url = next((base.archive_url for base in reversed(bases) if base.archive_url), "")
        with self._archive(archive_url, key, problems) as archive:
            known = _known(bases, archive)
            own = known.setdefault(self._instance.timeline, TimelineHistory(self._instance.timeline))
            marks = read_marks(self._instance, own)
            if not bases:
                return Recoverable(own, marks=tuple(marks), archive_url=archive_url, problems=tuple(problems))
            times = _times(bases, marks)
            reaches = [
                (base, way, found)
                for base in bases
                for way in known.values()
                if (found := _reach(base, way, archive)) is not None
            ]
            self._learn_ends(reaches, archive, times)
            _learn_forks(known, times)
            stretches = [_stretch(base, way, found, times) for base, way, found in reaches]
            stretches = [each for each in stretches if each.pieces]
            lanes = _lanes(known, stretches, times)
            gaps = gaps_of(stretches, times)
            return Recoverable(
                own,
                tuple(lanes),
                tuple(bases),
                tuple(stretches),
                tuple(gaps),
                tuple(marks),
                archive_url,
                tuple(problems),
            )

    def _read_bases(
        self, url: str, rows: Sequence[dict[str, Any]], key: Key | None, problems: list[str]
    ) -> list[Base]:
        """The backups that a recovery of this instance can begin with, oldest first."""
        wanted = [
            (url, row["label"], row["finished_at"])
            for row in rows
            if row["state"] == "complete" and row["kind"] != "database"
        ]
        missing = [each for each in wanted if each not in self._bases]
        if missing:
            with (
                Repository(url, key=key) as repository,
                ThreadPoolExecutor(READERS, thread_name_prefix="absdb-recovery-look") as threads,
            ):

                def look(which: tuple[str, str, Any]) -> str:
                    try:
                        self._bases[which] = _base(repository, which[1])
                    except AbsdbError as error:
                        return f"{which[1]}: {error.message}"
                    return ""

                problems += [problem for problem in threads.map(look, missing) if problem]
        found = [self._bases[each] for each in wanted if each in self._bases]
        ours = [base for base in found if base.info.instance_id == self._instance.id]
        if len(ours) < len(found):
            foreign = counted(len(found) - len(ours), "backup")
            problems.append(f"{foreign} of another instance, which leads to no state of this one")
        pinned = {row["label"] for row in rows if row["pinned"]}
        ours = [replace(base, info=replace(base.info, pinned=base.label in pinned)) for base in ours]
        return sorted(ours, key=lambda base: base.at)

    @contextmanager
    def _archive(self, url: str, key: Key | None, problems: list[str]) -> Iterator[Archive | None]:
        if not url:
            yield None
            return
        archive = None
        try:
            store = open_store(url)
        except AbsdbError as error:
            problems.append(f"the archive: {error.message}")
            yield None
            return
        try:
            archive = Archive.of(ArchiveReader(store, key))
            if archive.reader.identity.instance_id.hex() != self._instance.id:
                problems.append(f"the archive: {url} is that of another instance")
                archive = None
        except AbsdbError as error:
            problems.append(f"the archive: {error.message}")
        try:
            yield archive
        finally:
            store.close()

    def _learn_ends(
        self,
        reaches: Sequence[tuple[Base, TimelineHistory, LogReach]],
        archive: Archive | None,
        times: Times,
    ) -> None:
        """When timelines that the instance does not know itself end, from the last segments of the archive."""
        own = self._instance.timeline
        for base, _, found in reaches:
            if archive is None or found.timeline == own or found.lsn <= base.start.end_lsn:
                continue
            key = archive.reader.store.url, found.timeline << 64 | found.lsn
            if key not in self._ends:
                at = _last(base, found, archive)
                if at is None:
                    continue
                self._ends[key] = at
            times.learn(found.timeline, [self._ends[key]])


def _known(bases: Sequence[Base], archive: Archive | None) -> Known:
    """All timelines that a backup or the archive knows of."""
    known: Known = {}
    for base in bases:
        known |= known_timelines(base.start, archive)
        known.setdefault(base.start.timeline, TimelineHistory(base.start.timeline))
    return known


def _base(repository: Repository, label: str) -> Base:
    return Base(
        facts_of(repository, label),
        start_of(repository, label),
        repository.header(label).wal_archive_target,
    )


def _last(base: Base, found: LogReach, archive: Archive) -> At | None:
    log = LogIdentity(base.start.instance_id, found.timeline, base.start.segment_bytes)
    sizes = archive.sizes(found.timeline)

    def fetch(timeline: int, number: int) -> bytes:
        there = number in sizes and timeline == found.timeline
        return archive.reader.fetch_segment(wal_segment_name(timeline, number)) if there else b""

    last = last_record(found, min(sizes, default=0) * base.start.segment_bytes, log, fetch)
    return None if last is None else At(*last)


def _times(bases: Sequence[Base], marks: Sequence[Mark]) -> Times:
    times = Times()
    for base in bases:
        begin = At(base.start.checkpoint_lsn, base.start.checkpoint_us)
        times.learn(base.start.timeline, [begin, base.at])
    by_timeline: dict[int, list[At]] = {}
    for mark in marks:
        by_timeline.setdefault(mark.timeline, []).append(mark.at)
    for timeline, points in by_timeline.items():
        times.learn(timeline, points)
    return times


def _learn_forks(known: Known, times: Times) -> None:
    """A timeline begins where, and when, its parent was left."""
    for number in sorted(known):
        for switch in known[number].switches[-1:]:
            times.learn(number, [times.before(switch.parent, switch.lsn)])


def _reach(base: Base, way: TimelineHistory, archive: Archive | None) -> LogReach | None:
    """How far the log goes from a backup along a way; None if it does not lead there."""
    start = base.start
    if not way.leads_from(start.timeline, start.checkpoint_lsn):
        return None
    spans = way.spans_from(start.timeline, start.checkpoint_lsn)
    archived = {} if archive is None else {each.timeline: archive.sizes(each.timeline) for each in spans}
    return reach(spans, (start.timeline, start.end_lsn), archived, start.segment_bytes)


def _stretch(base: Base, way: TimelineHistory, found: LogReach, times: Times) -> Stretch:
    start = base.start
    pieces = []
    for span in way.spans_from(start.timeline, start.checkpoint_lsn):
        end = found.lsn if span.timeline == found.timeline else span.end_lsn
        if end is not None and (end > span.from_lsn or span.timeline == start.timeline):
            begin = times.before(span.timeline, span.from_lsn)
            pieces.append(Piece(span.timeline, begin, times.before(span.timeline, end)))
        if span.timeline == found.timeline:
            break
    return Stretch(base, way, tuple(pieces), found.gap)


def _lanes(known: Known, stretches: Sequence[Stretch], times: Times) -> list[Lane]:
    """The timelines that anything leads to or along, oldest first."""
    used = {piece.timeline for each in stretches for piece in each.pieces}
    lanes = []
    for number in sorted(known):
        switches = known[number].switches
        if number not in used:
            continue
        fork = times.before(switches[-1].parent, switches[-1].lsn) if switches else None
        lanes.append(Lane(number, switches[-1].parent if switches else None, fork))
    return lanes
