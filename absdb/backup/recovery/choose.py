"""Which backup a recovery begins with: the newest that is not after the target, on the way to its timeline.

A name may stand anywhere: the log is searched for it, from the newest backup's checkpoint on, then from the one before
that. Called by restore.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from absdb.backup.manifest import Backup
from absdb.backup.recovery.conf import RecoveryConf
from absdb.backup.recovery.fetch import ArchiveSource
from absdb.backup.recovery.log_range import reach
from absdb.backup.recovery.plan import Archive, Plan, chosen_way, known_timelines, plan_recovery
from absdb.backup.recovery.start import Start, own_segments, start_of
from absdb.backup.repository import Repository
from absdb.engine.recover_to import name_of
from absdb.engine.recovery_log import FetchedSegments
from absdb.errors import AbsdbError, InvalidInputError, NotFoundError, StateError
from absdb.io.base import write_atomic
from absdb.io.memory import MemoryFileSystem
from absdb.object_names import BACKUP_MANIFEST
from absdb.paths import WAL_DIR
from absdb.wal.format import LogIdentity
from absdb.wal.reader import read_segments
from absdb.wal.segments import SegmentFiles
from absdb.wal.timelines import Span, read_spans


@dataclass(frozen=True, slots=True)
class Choice:
    """A backup to restore, and the recovery that follows."""

    backup: Backup
    plan: Plan


def choose(repository: Repository, label: str | None, conf: RecoveryConf, archive: Archive | None) -> Choice:
    """The backup to begin with: `label` if it is given.

    If the target fits none of them the error is that of the newest one, or of the oldest if it lies before them all.
    """
    if label is not None:
        start = start_of(repository, label)
        plan = plan_recovery(start, conf, archive)
        if not _Names(conf.recovery_target_name, repository, archive).are_behind(label, start, plan):
            raise plan.possible.missed(conf.described(), [])
        return Choice(repository.header(label), plan)
    starts = [(backup, start_of(repository, backup.label)) for backup in _newest_first(repository)]
    refused: AbsdbError | None = None
    names = _Names(conf.recovery_target_name, repository, archive)
    for backup, start in _on_the_way(starts, conf, archive):
        try:
            plan = plan_recovery(start, conf, archive)
        except (InvalidInputError, NotFoundError, StateError) as error:
            if refused is None or error.facts.get("too_early"):
                refused = error
            continue
        if names.are_behind(backup.label, start, plan):
            return Choice(backup, plan)
    if refused is not None:
        raise refused
    raise names.missing(repository.url)


def _on_the_way(
    starts: Sequence[tuple[Backup, Start]], conf: RecoveryConf, archive: Archive | None
) -> Sequence[tuple[Backup, Start]]:
    """With `latest`, those that lead to the newest timeline that any leads to: others are of abandoned futures."""
    if conf.recovery_target_timeline != "latest":
        return starts
    newest = [chosen_way(known_timelines(start, archive), conf, start).timeline for _, start in starts]
    return [each for each, timeline in zip(starts, newest, strict=True) if timeline == max(newest)]


def _newest_first(repository: Repository) -> Iterator[Backup]:
    """Whole backups of all databases, or those of one if there are no others."""
    labels = [each for each in repository.labels() if repository.store.exists(f"{each}/{BACKUP_MANIFEST}")]
    found = sorted((repository.header(label) for label in labels), key=lambda each: -each.finished_us)
    if not found:
        raise NotFoundError(
            f"there is no backup in {repository.url}", hint="`absdb backup --output URL` makes one"
        )
    whole = [backup for backup in found if backup.kind != "database"]
    yield from whole or found


class _Names:
    """Looks for a name in the log, going back from backup to backup, each stretch of it once."""

    def __init__(self, name: str, repository: Repository, archive: Archive | None) -> None:
        self._name = name
        self._repository = repository
        self._archive = archive
        self._searched: dict[int, tuple[int, int]] = {}

    def are_behind(self, label: str, start: Start, plan: Plan) -> bool:
        """Whether the name is in the log behind a backup; where that cannot be looked up, replay finds out."""
        if not self._name:
            return True
        if self._archive is None:
            return self._name in _names_with(self._repository, label, start)
        possible = plan.possible
        way = possible.way.timeline
        until = self._searched.get(way, (possible.latest_timeline, possible.latest_lsn))
        spans = _upto(plan.spans, *until)
        if not _is_archived(self._archive, start, spans):
            return True
        self._searched[way] = start.timeline, start.checkpoint_lsn
        return self._name in _names_in(self._archive, start, spans)

    def missing(self, url: str) -> NotFoundError:
        """The error if it is nowhere."""
        return NotFoundError(
            f"no restore point or snapshot {self._name!r} was made since the oldest backup in {url}",
            hint="the log of the instance shows the names there are",
        )


def _upto(spans: Sequence[Span], timeline: int, lsn: int) -> list[Span]:
    """The spans up to a point on the way."""
    return [
        span if span.timeline < timeline else span._replace(end_lsn=lsn)
        for span in spans
        if span.timeline <= timeline
    ]


def _is_archived(archive: Archive, start: Start, spans: Sequence[Span]) -> bool:
    *rest, last = spans
    archived = {span.timeline: archive.sizes(span.timeline) for span in spans}
    if start.checkpoint_lsn // start.segment_bytes not in archived[start.timeline]:
        return False
    found = reach(
        [*rest, last._replace(end_lsn=None)],
        (start.timeline, start.checkpoint_lsn),
        archived,
        start.segment_bytes,
    )
    return found.timeline == last.timeline and found.lsn >= (last.end_lsn or 0)


def _names_with(repository: Repository, label: str, start: Start) -> set[str]:
    """The names that the log which came with a backup gives. Fetches that log, and holds it in memory."""
    fs = MemoryFileSystem()
    fs.make_directory(WAL_DIR)
    for path, data in own_segments(repository, label):
        write_atomic(fs, path, data)
    log = LogIdentity(start.instance_id, start.timeline, start.segment_bytes)
    records = read_segments(SegmentFiles(fs, WAL_DIR, log), start.checkpoint_lsn)
    return {name for record in records if (name := name_of(record)) is not None}


def _names_in(archive: Archive, start: Start, spans: Sequence[Span]) -> set[str]:
    """The names that the archive's log gives along spans. Reads that log, a few segments of it at a time in memory."""
    fs = MemoryFileSystem()
    fs.make_directory(WAL_DIR)
    log = LogIdentity(start.instance_id, start.timeline, start.segment_bytes)
    with ArchiveSource(fs, archive.reader, archive.contents) as source:
        logs = {
            span.timeline: FetchedSegments(fs, dataclasses.replace(log, timeline=span.timeline), source, 0)
            for span in spans
        }
        return {
            name for record in read_spans(logs.__getitem__, spans) if (name := name_of(record)) is not None
        }
