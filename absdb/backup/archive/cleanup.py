"""`wal-cleanup`: removing old log from an archive, and the page files that nothing kept names. Planned first.

A segment goes if it is old enough, by LSN or by the time it came, and nothing that is protected lies in it: the log of
kept backups. The newest segment of each timeline stays, so that whoever archives finds the end of the log there. What
then is missing between kept log is acknowledged in the same breath, as it is no accident.

Which page files a part of the log names is said by the lists in files/, which the archiver puts beside them: a page
file goes if a list that is to go names it and none that stays does. So what is just being sent, and in no list yet,
stays. Log goes before page files, lists go last: a cleanup that was cut short is finished by the next one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from absdb.backup.archive.contents import (
    ArchivedPageFile,
    ArchivedSegment,
    Contents,
    archived_page_files,
)
from absdb.backup.archive.holes import Hole
from absdb.backup.archive.listing import holes_in
from absdb.backup.archive.reader import ArchiveReader
from absdb.backup.small_objects import read_json
from absdb.clock import Clock, peek_us
from absdb.errors import AlreadyExistsError, CorruptionError, InvalidInputError
from absdb.object_names import FileListName, GapName, file_list_name, gap_name
from absdb.settings import Settings

DAY_US = 86_400 * 1_000_000
Span = tuple[int, int, int]
"""Timeline, and from where to where."""


@dataclass(slots=True)
class CleanupPlan:
    """What a cleanup will remove. `accepted` are the holes that it makes and acknowledges."""

    segments: list[ArchivedSegment] = field(default_factory=list)
    page_files: list[ArchivedPageFile] = field(default_factory=list)
    lists: list[FileListName] = field(default_factory=list)
    gaps: list[GapName] = field(default_factory=list)
    accepted: list[Hole] = field(default_factory=list)
    kept: Contents = field(default_factory=Contents)
    """What stays."""

    @property
    def bytes(self) -> int:
        """What the store gains."""
        return sum(each.size for each in self.segments) + sum(each.size for each in self.page_files)

    @property
    def count(self) -> int:
        """Objects that go."""
        return len(self.segments) + len(self.page_files) + len(self.lists) + len(self.gaps)


def retained_since_us(settings: Settings, clock: Clock) -> int:
    """Since when archived log is kept in any case, by `wal_retention_days`; µs since 1970 UTC."""
    return peek_us(clock) - settings.wal_retention_days * DAY_US


def plan_cleanup(
    archive: ArchiveReader,
    *,
    before_lsn: int | None = None,
    before_us: int | None = None,
    protected: Callable[[], Iterable[Span]] = tuple,
) -> CleanupPlan:
    """What may go of log that ends at or below `before_lsn` and came before `before_us`; of both where both are given.

    `protected` tells which log is needed, whatever its age. Costs a listing, and a read a list of page files.
    """
    if before_lsn is None and before_us is None:
        raise InvalidInputError("a cleanup of the archive needs a limit", hint="give an LSN, or an age")
    contents = archive.contents()
    needed = [*protected(), *_newest(contents)]

    def goes(segment: ArchivedSegment) -> bool:
        old = before_lsn is None or segment.end_lsn <= before_lsn
        old = old and (before_us is None or segment.modified_us < before_us)
        span = segment.timeline, segment.start_lsn, segment.end_lsn
        return old and not any(_overlap(span, each) for each in needed)

    plan = CleanupPlan(segments=[each for each in contents.segments if goes(each)])
    gone = {(each.timeline, each.segment) for each in plan.segments}
    plan.segments += [each for each in contents.outdated if (each.timeline, each.segment) in gone]
    plan.kept = Contents(
        segments=[each for each in contents.segments if (each.timeline, each.segment) not in gone],
        histories=contents.histories,
    )
    _plan_gaps(archive, contents, plan)
    _plan_page_files(archive, contents, plan)
    return plan


def clean_up(
    archive: ArchiveReader, plan: CleanupPlan, *, clock: Clock, report: Callable[[int], None] | None = None
) -> None:
    """Do what was planned. `report` is told how many objects are gone."""
    store = archive.store
    for hole in plan.accepted:
        said = {**hole._asdict(), "when_us": clock.now_us(), "comment": "removed by wal-cleanup"}
        with suppress(AlreadyExistsError):
            store.put(gap_name(*hole, accepted=True), json.dumps(said, indent=1).encode(), if_absent=True)
    names = [
        *(each.stored_name for each in plan.segments),
        *(each.stored_name for each in plan.page_files),
        *(file_list_name(*each) for each in plan.lists),
        *(gap_name(*each[:3], accepted=each.accepted) for each in plan.gaps),
    ]
    for done, name in enumerate(names, 1):
        store.delete(name)
        if report is not None:
            report(done)


def _newest(contents: Contents) -> list[Span]:
    """The last segment of each timeline."""
    last = {each.timeline: each for each in contents.segments}
    return [(each.timeline, each.start_lsn, each.end_lsn) for each in last.values()]


def _overlap(one: Span, two: Span) -> bool:
    return one[0] == two[0] and one[1] < two[2] and two[1] < one[2]


def _plan_gaps(archive: ArchiveReader, contents: Contents, plan: CleanupPlan) -> None:
    """Gaps below all that is kept of their timeline go; holes that come about are acknowledged."""
    first: dict[int, int] = {}
    for each in plan.kept.segments:
        first.setdefault(each.timeline, each.start_lsn)
    for gap in contents.gaps:
        if gap.to_lsn <= first.get(gap.timeline, gap.from_lsn):
            plan.gaps.append(gap)
        else:
            plan.kept.gaps.append(gap)
    plan.accepted = sorted(set(holes_in(archive, plan.kept)) - set(holes_in(archive, contents)))


def _plan_page_files(archive: ArchiveReader, contents: Contents, plan: CleanupPlan) -> None:
    kept = [(each.timeline, each.start_lsn, each.end_lsn) for each in plan.kept.segments]
    first = min((each.start_lsn for each in plan.kept.segments), default=0)
    for each in contents.lists:
        # Behind all that is kept: of log that is on its way.
        on_its_way = each.to_lsn > max((end for of, _, end in kept if of == each.timeline), default=first)
        stays = on_its_way or any(_overlap(each, span) for span in kept)
        (plan.kept.lists if stays else plan.lists).append(each)
    if not plan.lists:
        return
    going = _named(archive, plan.lists)
    going -= _named(archive, plan.kept.lists)
    plan.page_files = [file for file in archived_page_files(archive.store) if file.name in going]


def _named(archive: ArchiveReader, lists: Iterable[FileListName]) -> set[str]:
    """Names of the page files in some of the lists."""
    names = set[str]()
    for each in lists:
        files = read_json(archive.store, file_list_name(*each)).get("files")
        if not isinstance(files, list):
            raise CorruptionError(f"{archive.store.url}/{file_list_name(*each)} is no list of page files")
        names.update(map(str, files))
    return names
