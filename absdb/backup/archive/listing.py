"""`wal-list`: what an archive has, segment by segment, and what it has not. From the store's listing alone.

What is listed is of one of these kinds:

    segment   a closed one
    partial   the first bytes of one that was open
    gap       log that went unarchived, as was recorded when it was let go
    hole      log that is not there and that nobody recorded as missing
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pyarrow as pa

from absdb.backup.archive.contents import Contents
from absdb.backup.archive.holes import Hole, holes, without
from absdb.backup.archive.reader import ArchiveReader
from absdb.backup.small_objects import read_json
from absdb.clock import Clock
from absdb.engine.listing import field, listed
from absdb.errors import AlreadyExistsError, NotFoundError
from absdb.ids import Lsn
from absdb.object_names import gap_name
from absdb.paths import timeline_history_name
from absdb.wal.timelines import TimelineHistory, known_histories, parse_history

ARCHIVED = pa.schema(
    [
        field("kind", pa.string()),
        field("name", pa.string(), nullable=True),
        field("timeline", pa.int64()),
        field("start_lsn", pa.string()),
        field("end_lsn", pa.string()),
        field("bytes", pa.int64()),
        field("stored_bytes", pa.int64(), nullable=True),
        field("compression", pa.string(), nullable=True),
        field("encrypted", pa.bool_(), nullable=True),
        field("modified", pa.timestamp("us", "UTC"), nullable=True),
        field("accepted", pa.bool_(), nullable=True),
        field("reason", pa.string(), nullable=True),
    ]
)


def wal_list(archive: ArchiveReader) -> pa.Table:
    """ARCHIVED: every segment, gap and hole, by timeline and LSN. Costs a listing, and a read a gap and a timeline."""
    contents = archive.contents()
    accepted = [gap for gap in contents.gaps if gap.accepted]
    rows: list[tuple[Any, ...]] = [
        (
            "partial" if each.partial else "segment",
            each.stored_name,
            each.timeline,
            each.start_lsn,
            each.end_lsn,
            each.size,
            each.compression,
            each.encrypted,
            each.modified_us,
            None,
            None,
        )
        for each in contents.segments
    ]
    for gap in contents.gaps:
        if not gap.accepted:
            told = read_json(archive.store, gap_name(*gap[:3]))
            covered = not without(Hole(*gap[:3]), [each[:3] for each in accepted])
            rows.append(
                (
                    "gap",
                    None,
                    *gap[:3],
                    None,
                    None,
                    None,
                    int(told.get("when_us", 0)),
                    covered,
                    str(told.get("reason", "")),
                )
            )
    for gap in accepted:
        if not any(other[:3] == gap[:3] and not other.accepted for other in contents.gaps):
            rows.append(("hole", None, *gap[:3], None, None, None, None, True, None))
    rows += [
        ("hole", None, *hole, None, None, None, None, False, "it is not in the archive")
        for hole in holes_in(archive, contents)
    ]
    rows.sort(key=lambda row: (row[2], row[3], row[4]))
    return listed(ARCHIVED, (_shown(row) for row in rows))


def _shown(row: tuple[Any, ...]) -> tuple[Any, ...]:
    kind, name, timeline, start, end, *rest = row
    return (kind, name, timeline, str(Lsn(start)), str(Lsn(end)), end - start, *rest)


def holes_in(archive: ArchiveReader, contents: Contents) -> list[Hole]:
    """Log that is not there and that no gap accounts for, acknowledged or not. Reads the history files."""
    there: dict[int, list[tuple[int, int]]] = {}
    for each in contents.segments:
        there.setdefault(each.timeline, []).append((each.start_lsn, each.end_lsn))
    switches = {
        timeline: history.switches[-1][:2]
        for timeline, history in histories_of(archive, contents).items()
        if history.switches
    }
    known = [gap[:3] for gap in contents.gaps]
    return holes(there, switches, segment_bytes=archive.identity.segment_bytes, known=known)


def histories_of(archive: ArchiveReader, contents: Contents) -> dict[int, TimelineHistory]:
    """How each timeline that the archive has or mentions came about."""
    return known_histories(
        parse_history(
            archive.fetch_history(timeline),
            path=f"{archive.store.url}/{timeline_history_name(timeline)}",
            instance_id=archive.identity.instance_id,
        )
        for timeline in contents.histories
    )


def accept_gap(archive: ArchiveReader, timeline: int, lsn: int, *, clock: Clock, comment: str = "") -> Hole:
    """Acknowledge the gap or hole that `lsn` lies in: it is shown as accepted from then on, and never forgotten.

    NotFoundError if there is none.
    """
    contents = archive.contents()
    found = [Hole(*gap[:3]) for gap in contents.gaps if not gap.accepted] + holes_in(archive, contents)
    for hole in found:
        if hole.timeline == timeline and hole.from_lsn <= lsn < hole.to_lsn:
            break
    else:
        raise NotFoundError(
            f"there is no gap at LSN {Lsn(lsn)} of timeline {timeline} in the archive {archive.store.url}",
            hint="`absdb wal-list` shows them",
        )
    said = {**hole._asdict(), "when_us": clock.now_us(), "comment": comment}
    with suppress(AlreadyExistsError):  # somebody has acknowledged it before
        archive.store.put(gap_name(*hole, accepted=True), json.dumps(said, indent=1).encode(), if_absent=True)
    return hole
