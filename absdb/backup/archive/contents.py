"""What is in an archive, from the listing of its store: there is no catalogue that could be wrong.

    segments   closed ones, and the newest copy of each open one (older copies are on their way out)
    histories  of timelines
    gaps       log that is missing for ever, and which gaps somebody has acknowledged
    lists      of page files that parts of the log name

Page files come last in the listing, so that they cost nothing where nobody asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from absdb.backup.codec.codec import parse_stored
from absdb.object_names import (
    ARCHIVED_PAGES,
    FileListName,
    GapName,
    parse_archived_page_file_name,
    parse_file_list_name,
    parse_gap_name,
    parse_partial_segment_name,
)
from absdb.objectstore.base import ObjectInfo, ObjectStore
from absdb.paths import parse_timeline_history_name, parse_wal_segment_name


@dataclass(frozen=True, slots=True)
class ArchivedSegment:
    """A stored segment, or the first bytes of one. It has the log from `start_lsn` to `end_lsn`."""

    stored_name: str
    name: str
    timeline: int
    segment: int
    start_lsn: int
    end_lsn: int
    size: int
    compression: str | None
    encrypted: bool
    partial: bool
    modified_us: int


@dataclass(slots=True)
class Contents:
    """All of an archive but its page files. Segments by timeline and number, a closed one instead of its copies.

    `outdated` are copies that something newer has taken the place of.
    """

    segments: list[ArchivedSegment] = field(default_factory=list)
    outdated: list[ArchivedSegment] = field(default_factory=list)
    histories: list[int] = field(default_factory=list)
    gaps: list[GapName] = field(default_factory=list)
    lists: list[FileListName] = field(default_factory=list)

    def of(self, timeline: int) -> list[ArchivedSegment]:
        """The segments of one timeline."""
        return [segment for segment in self.segments if segment.timeline == timeline]


def read_contents(store: ObjectStore, segment_bytes: int) -> Contents:
    """One listing of the store, but for page files."""
    contents = Contents()
    for info in store.list():
        if info.name.startswith(ARCHIVED_PAGES):
            break  # what comes behind in the order of names is none of ours
        segment = archived_segment(info, segment_bytes)
        if segment is not None:
            contents.segments.append(segment)
        elif (timeline := parse_timeline_history_name(info.name)) is not None:
            contents.histories.append(timeline)
        elif (gap := parse_gap_name(info.name)) is not None:
            contents.gaps.append(gap)
        elif (files := parse_file_list_name(info.name)) is not None:
            contents.lists.append(files)
    contents.segments, contents.outdated = newest_copies(contents.segments)
    return contents


def archived_segment(info: ObjectInfo, segment_bytes: int) -> ArchivedSegment | None:
    """What an object's name says, if it is a segment or a part of one."""
    stored = parse_stored(info.name)
    partial = parse_partial_segment_name(stored.name)
    name = parse_wal_segment_name(stored.name) if partial is None else partial
    if name is None:
        return None
    start = name.segment * segment_bytes
    return ArchivedSegment(
        info.name,
        stored.name,
        name.timeline,
        name.segment,
        start,
        start + segment_bytes if partial is None else partial.lsn,
        info.size,
        stored.compression,
        stored.encrypted,
        partial is not None,
        info.modified_us,
    )


def newest_copies(found: list[ArchivedSegment]) -> tuple[list[ArchivedSegment], list[ArchivedSegment]]:
    """For each segment the copy that reaches furthest, a closed one first; and the other copies."""
    best: dict[tuple[int, int], ArchivedSegment] = {}
    outdated = []
    for segment in found:
        key = segment.timeline, segment.segment
        known = best.get(key)
        if known is None:
            best[key] = segment
        elif (segment.end_lsn, not segment.partial) > (known.end_lsn, not known.partial):
            best[key] = segment
            outdated.append(known)
        else:
            outdated.append(segment)
    return [best[key] for key in sorted(best)], outdated


def copies_of(store: ObjectStore, name: str, segment_bytes: int) -> list[ArchivedSegment]:
    """All stored copies of a segment, by a listing of what begins with its name."""
    found = (archived_segment(info, segment_bytes) for info in store.list(name))
    return [segment for segment in found if segment is not None]


@dataclass(frozen=True, slots=True)
class ArchivedPageFile:
    """A stored page file; `name` is what it is called in the instance."""

    stored_name: str
    name: str
    size: int
    compression: str | None
    encrypted: bool


def archived_page_files(store: ObjectStore, name: str = "") -> Iterator[ArchivedPageFile]:
    """The page files whose names begin so, by name."""
    for info in store.list(ARCHIVED_PAGES + name):
        stored = parse_stored(info.name)
        bare = parse_archived_page_file_name(stored.name)
        if bare is not None:
            yield ArchivedPageFile(info.name, bare, info.size, stored.compression, stored.encrypted)
