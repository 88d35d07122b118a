"""What a recovery would do: which log there is, along which timeline, and whether the target is on it.

Reads the archive's listing, its history files and the last segment; changes nothing. Called by recover.py, and by
restore.py before anything is restored.
"""

from __future__ import annotations

from dataclasses import dataclass

from absdb.backup.archive.contents import Contents
from absdb.backup.archive.reader import ArchiveReader
from absdb.backup.recovery.conf import IMMEDIATE, RecoveryConf
from absdb.backup.recovery.log_range import LogReach, last_record, reach
from absdb.backup.recovery.possible import Possible
from absdb.backup.recovery.start import Start
from absdb.engine.recover_to import Target
from absdb.errors import CorruptionError, NotFoundError, StateError
from absdb.paths import timeline_history_name, wal_segment_name
from absdb.wal.format import LogIdentity
from absdb.wal.timelines import Span, TimelineHistory, known_histories, newest_from, parse_history

Known = dict[int, TimelineHistory]


@dataclass(frozen=True, slots=True)
class Archive:
    """An open archive, what was listed in it, and the histories of its timelines."""

    reader: ArchiveReader
    contents: Contents
    histories: tuple[TimelineHistory, ...]

    @classmethod
    def of(cls, reader: ArchiveReader) -> Archive:
        """Costs a listing, and reading the history files."""
        contents, histories = reader.contents(), []
        for number in contents.histories:
            path = f"{reader.store.url}/{timeline_history_name(number)}"
            data = reader.fetch_history(number)
            histories.append(parse_history(data, path=path, instance_id=reader.identity.instance_id))
        return cls(reader, contents, tuple(histories))

    def sizes(self, timeline: int) -> dict[int, int]:
        """Number → bytes of each segment of a timeline."""
        return {each.segment: each.end_lsn - each.start_lsn for each in self.contents.of(timeline)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A recovery that is possible: `spans` of log to replay up to `target`, and the timeline to begin there."""

    start: Start
    spans: tuple[Span, ...]
    target: Target
    possible: Possible
    next_timeline: int

    @property
    def end_lsn(self) -> int:
        """Where it will end at the latest."""
        return self.possible.latest_lsn if self.target.lsn is None else self.target.lsn


def plan_recovery(start: Start, conf: RecoveryConf, archive: Archive | None) -> Plan:
    """The recovery that `conf` asks for. InvalidInputError or StateError, with what is possible, if it is not."""
    known = known_timelines(start, archive)
    way = chosen_way(known, conf, start)
    spans = way.spans_from(start.timeline, start.checkpoint_lsn)
    archived = {} if archive is None else {each.timeline: archive.sizes(each.timeline) for each in spans}
    found = reach(spans, (start.timeline, start.end_lsn), archived, start.segment_bytes)
    latest_timeline, latest_lsn, latest_us = _end(start, archive, spans, found)
    possible = Possible(
        way=way,
        earliest_lsn=start.checkpoint_lsn,
        earliest_us=start.checkpoint_us,
        latest_timeline=latest_timeline,
        latest_lsn=latest_lsn,
        latest_us=latest_us,
        backup_end_lsn=start.end_lsn if conf.backup_end_lsn is None else conf.backup_end_lsn,
        gap=found.gap,
    )
    return Plan(
        start=start,
        spans=tuple(spans),
        target=possible.target(conf),
        possible=possible,
        next_timeline=1 + max(start.timeline, *known),
    )


def known_timelines(start: Start, archive: Archive | None) -> Known:
    """All timelines that the backup or the archive knows of.

    StateError if the archive is another instance's, CorruptionError if its segments are of another size.
    """
    if archive is None:
        return known_histories(start.histories)
    owner = archive.reader.identity.instance_id
    if owner != start.instance_id:
        raise StateError(
            f"{archive.reader.store.url} is the archive of instance {owner.hex()}, "
            f"and the backup is of {start.instance_id.hex()}",
            hint="name the archive of the instance that the backup is of",
        )
    if archive.reader.identity.segment_bytes != start.segment_bytes:
        raise CorruptionError(
            f"{archive.reader.store.url} says that segments have {archive.reader.identity.segment_bytes} bytes, "
            f"and those of the backup have {start.segment_bytes}",
            hint='its archive.json was changed; archive_url = "" restores the backup without it',
        )
    return known_histories([*start.histories, *archive.histories])


def chosen_way(known: Known, conf: RecoveryConf, start: Start) -> TimelineHistory:
    """The timeline to recover along. NotFoundError for one that nobody knows.

    The end of a backup lies on the backup's own, also where another one has left that before.
    """
    own = known.setdefault(start.timeline, TimelineHistory(start.timeline))
    wanted = conf.recovery_target_timeline
    if wanted == "current" or conf.recovery_target == IMMEDIATE:
        return own
    if wanted == "latest":
        return newest_from(known, start.timeline, start.checkpoint_lsn)
    if int(wanted) not in known:
        raise NotFoundError(
            f"recovery_target_timeline is {wanted}, which nobody knows",
            hint=f"timelines that are known: {', '.join(map(str, sorted(known)))}",
        )
    return known[int(wanted)]


def _end(start: Start, archive: Archive | None, spans: list[Span], found: LogReach) -> tuple[int, int, int]:
    """Timeline, LSN and time of the last record that can be reached; of the checkpoint if there is none behind it."""

    def read(timeline: int, number: int) -> bytes:
        here = start.read(number) if timeline == start.timeline else b""
        if archive is None or number not in archive.sizes(timeline):
            return here
        data = archive.reader.fetch_segment(wal_segment_name(timeline, number))
        return data + here[len(data) :]

    where = found
    for timeline, from_lsn, end_lsn in reversed([each for each in spans if each.timeline <= found.timeline]):
        if timeline != found.timeline:
            assert end_lsn is not None
            where = LogReach(timeline, end_lsn, None)
        log = LogIdentity(start.instance_id, timeline, start.segment_bytes)
        last = last_record(where, from_lsn, log, read)
        if (
            timeline == start.timeline
            and start.end_us is not None
            and (last is None or last[0] < start.end_lsn)
        ):
            last = min(start.end_lsn, where.lsn), start.end_us
        if last is not None:
            return timeline, *last
    return start.timeline, start.checkpoint_lsn, start.checkpoint_us
