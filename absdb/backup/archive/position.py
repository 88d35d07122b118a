"""Where to go on: what the listing of the archive says, beside what the instance has.

The archive alone knows what is in it, so a process that begins asks it and nothing else. What it finds:

    the archive ends where the instance's log goes on       go on there
    log between the two is not there any more               a gap, from the one to the other
    the archive has more than the instance, or other bytes  ConflictError: one of the two went its own way

Called by shipping.py, before anything is sent.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from absdb.backup.archive.contents import ArchivedSegment, Contents, read_contents
from absdb.backup.archive.identity import ArchiveIdentity
from absdb.backup.archive.own_log import OwnLog, history_files
from absdb.backup.archive.sending import Sender
from absdb.engine.archive_status import Gap
from absdb.errors import ConflictError, StateError
from absdb.ids import Lsn
from absdb.io.base import read_file
from absdb.paths import WAL_DIR, timeline_history_name
from absdb.wal.timelines import parse_history

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

LOG = logging.getLogger("absdb")


@dataclass(frozen=True, slots=True)
class Learned:
    """`position`: from here on the archive needs log. `archived_lsn`: up to here it has it."""

    position: int
    archived_lsn: int
    gap: Gap | None
    contents: Contents


def learn(engine: Engine, own: OwnLog, sender: Sender, identity: ArchiveIdentity, upto: int) -> Learned:
    """Where to go on. `upto` is where the instance's log ends. Costs a listing, and reading back the last segment."""
    contents = read_contents(sender.store, own.segment_bytes)
    there = contents.of(own.timeline)
    _check_not_ahead(sender.store.url, there, upto)
    archived = there[-1].end_lsn if there else min(_begin(engine, own, identity), upto)
    position = _first_missing(own, there, archived, upto)
    known = _known_gaps_end(contents, own.timeline, archived)
    _check_same(own, sender, there)
    gap = None
    if position > known:
        reason = "the log was removed from the instance before it was archived"
        gap = Gap(own.timeline, known, position, engine.clock.now_us(), reason)
    return Learned(max(position, known), min(archived, position), gap, contents)


def _check_not_ahead(url: str, there: list[ArchivedSegment], upto: int) -> None:
    if there and there[-1].end_lsn > upto:
        raise ConflictError(
            f"the archive {url} has log up to LSN {Lsn(there[-1].end_lsn)} of timeline {there[-1].timeline}, "
            f"and this instance ends at {Lsn(upto)}",
            hint="this is an older copy of the instance, or one beside it: recover from the archive, "
            "or give it a wal_archive_target of its own",
        )


def _begin(engine: Engine, own: OwnLog, identity: ArchiveIdentity) -> int:
    """Where the archive of this timeline begins: where the archive does, or where the timeline left another one."""
    if identity.begins_timeline == own.timeline:
        return identity.begins_lsn
    name = timeline_history_name(own.timeline)
    if name not in history_files(engine):
        return own.start()
    history = parse_history(
        read_file(engine.fs, f"{WAL_DIR}/{name}"),
        path=f"{WAL_DIR}/{name}",
        instance_id=engine.control.instance_id,
    )
    return history.switches[-1].lsn


def _first_missing(own: OwnLog, there: list[ArchivedSegment], archived: int, upto: int) -> int:
    """The lowest LSN that the instance has and the archive lacks; segments that were removed from it are not missed."""
    size = own.segment_bytes
    closed = {segment.segment for segment in there if not segment.partial}
    copies = {segment.segment: segment.end_lsn for segment in there if segment.partial}
    first = there[0].segment if there else archived // size
    for number in own.numbers():
        if number < first or number in closed or number * size >= max(upto, 1):
            continue
        if number * size > archived:
            return number * size
        return copies.get(number, archived if not there else number * size)
    return archived


def _known_gaps_end(contents: Contents, timeline: int, archived: int) -> int:
    """Where the gaps that the archive knows of behind its end are over: nothing in them will ever come."""
    end = archived
    for gap in sorted(contents.gaps):
        if gap.timeline == timeline and gap.from_lsn <= end < gap.to_lsn:
            end = gap.to_lsn
    return end


def _check_same(own: OwnLog, sender: Sender, there: list[ArchivedSegment]) -> None:
    """ConflictError if the end of the archive is not what the instance has: a log that parted earlier differs there."""
    here = set(own.numbers())
    for segment in there[-1:]:
        if segment.segment not in here:
            continue
        try:
            sender.compare(segment.stored_name, own.read(segment.segment, segment.end_lsn))
        except StateError as error:
            # Encrypted with another key: it was changed, and what was encrypted before stays as it is.
            LOG.warning(
                "the archive's %s cannot be compared with the log: %s", segment.stored_name, error.message
            )
