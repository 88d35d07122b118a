"""Replay to a target: the records of a log one by one, until the next one would be too much.

    backup's checkpoint → records of one timeline after another → the target → new_timeline.begin_timeline, or nothing

The state at any LSN from the checkpoint on can be reached, since page files are never written over. Nothing of the
directory changes its meaning meanwhile: page files that are written on the way, to bound memory, are named by nobody
before the end. A page file that a record names is fetched, and verified, before the record is applied. Called by
backup/recovery/.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from absdb.engine.apply import RESTORE_POINT, replay
from absdb.engine.checkpoint import freeze, store_tails
from absdb.engine.engine import Engine
from absdb.engine.log_end import log_of
from absdb.engine.logged_files import files_named_by
from absdb.engine.recovery_log import FetchedSegments, LogSource
from absdb.pages.format import PageFile
from absdb.paths import PAGES_DIR
from absdb.wal.format import LogIdentity, Record, RecordKind
from absdb.wal.timelines import Span, read_spans

REPORT_BYTES = 1 << 20
Report = Callable[[int, int], None]
"""Told (LSN reached, time of the last record in µs)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where replay stops; nothing given is the end of the log. `inclusive` is about LSN and time."""

    lsn: int | None = None
    time_us: int | None = None
    name: str | None = None
    inclusive: bool = True

    def is_before(self, record: Record) -> bool:
        """Whether replay stops before this record."""
        limit, found = (self.lsn, record.end_lsn) if self.lsn is not None else (self.time_us, record.time_us)
        return limit is not None and (found > limit or (found == limit and not self.inclusive))

    def is_at(self, record: Record) -> bool:
        """Whether replay stops after this record."""
        if self.lsn is not None:
            return record.end_lsn == self.lsn
        return self.name is not None and name_of(record) == self.name


@dataclass(slots=True)
class Reached:
    """How far a replay came. `met`: it stopped at its target, not at the end of the log. `names`: those it passed."""

    lsn: int
    timeline: int
    time_us: int
    epoch: int
    records: int = 0
    met: bool = False
    names: list[str] = field(default_factory=list)


def name_of(record: Record) -> str | None:
    """The name that a record gives to the LSN it ends at: that of a restore point, or of a snapshot made."""
    if record.kind not in (RecordKind.NOTE, RecordKind.SNAPSHOT):
        return None
    body = json.loads(record.body)
    if record.kind is RecordKind.NOTE:
        return body["name"] if body.get("op") == RESTORE_POINT else None
    return body["snapshot"]["name"] if body["op"] == "create" else None


def replay_to(
    engine: Engine,
    spans: Sequence[Span],
    target: Target,
    source: LogSource,
    *,
    local_end: int,
    report: Report | None = None,
) -> Reached:
    """Apply the log from the engine's checkpoint along `spans` up to the target, and show it.

    The engine is one of `recovery.open_for_replay`; it is spoilt if this fails. CorruptLogError where the log is
    damaged or a segment is missing before the target. Costs the log and what it names, read once.
    """
    logs = {span.timeline: _segments(engine, span.timeline, source, local_end) for span in spans}
    durable = logs[spans[-1].timeline].known_end() if target == Target() else 0
    time_us, _ = engine.last_seen
    reached = Reached(engine.published, spans[0].timeline, time_us, engine.control.epoch)
    stored = told = engine.published
    for record in read_spans(logs.__getitem__, spans, durable_lsn=durable):
        if target.is_before(record):
            reached.met = True
            break
        _fetch_named(engine, record, source)
        engine.seen(record.time_us, record.txid)
        replay(engine, record)
        engine.published = engine.replayed = reached.lsn = record.end_lsn
        reached.timeline, reached.time_us, reached.epoch = record.timeline, record.time_us, record.epoch
        reached.records += 1
        if (name := name_of(record)) is not None:
            reached.names.append(name)
        if record.end_lsn - stored > engine.settings.checkpoint_wal_volume:
            _relieve(engine)
            stored = record.end_lsn
        if report is not None and record.end_lsn - told > REPORT_BYTES:
            report(record.end_lsn, record.time_us)
            told = record.end_lsn
        if target.is_at(record):
            reached.met = True
            break
    engine.publish(reached.lsn)
    if report is not None:
        report(reached.lsn, reached.time_us)
    # No record behind the last one can have its LSN or its time.
    last = target.lsn == reached.lsn or target.time_us == reached.time_us
    reached.met = reached.met or last or target == Target()
    return reached


def _segments(engine: Engine, timeline: int, source: LogSource, local_end: int) -> FetchedSegments:
    log = LogIdentity(**{**log_of(engine.control), "timeline": timeline})
    return FetchedSegments(engine.fs, log, source, local_end if timeline == engine.control.timeline else 0)


def _fetch_named(engine: Engine, record: Record, source: LogSource) -> None:
    """See to it that the page files which a record names are in the directory, as it describes them."""
    for described in files_named_by(record):
        file = PageFile.from_json(described)
        if engine.fs.exists(f"{PAGES_DIR}/{file.name}"):
            continue
        source.fetch_page_file(file.name)
        for problem in engine.pages.verify(file):
            raise problem


def _relieve(engine: Engine) -> None:
    """Put what replay has left in memory into page files."""
    with engine.exclusive():
        freeze(engine)
    store_tails(engine)
    engine.log.flush(engine.fs, upto=engine.published)
