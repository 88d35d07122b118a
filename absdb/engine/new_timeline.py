"""The end of a recovery: the state that was reached goes on, on a timeline of its own.

    1  the state goes into page files and a manifest
    2  the first records of the new timeline, a new era for each database, are written and synced
    3  the timeline's history file
    4  `control` is replaced: until now everything named the state before the recovery, from now on the new one
    5  the log of other timelines is removed (`clear_older_log`)

A crash up to 4 leaves a directory that recovers again to the same state; what 1 to 3 have left is removed then, or
garbage. After 4 the recovery is done, and only 5 may be left to do.

LSNs, and numbers that the allocator gave out after the target, are used again. Where that might do harm, and why it
does not:

- Eras have other ids than any of the abandoned future: ids on timeline T start at T times 2^20, so that a lineage,
  an ancestry or a page of one future never passes for one of another. The same goes for databases, tables and columns.
  Ids have 32 bits: this holds for 4,094 timelines that use less than a million ids each; beyond that only LSN and
  time tell futures apart.
- Hidden row ids and sequences go on where the state had them, as users expect of a recovery. Nothing of the abandoned
  future is in the instance that they could meet.
- Page files carry a random tag in their names beside the number, and the archive refuses other bytes under a name.
- Times of commits go on above the last one that was kept, so that AS OF stays unambiguous.
- A frame remembers the LSN and the time of the commit it shows. One of the abandoned future names an LSN that is
  another commit's here, at another time; refreshing it reads what is here now.

Each database begins its era on the state it had, with the reason "recovered": an event of its log that undoes no
commit. What the target left out was never there for this instance.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from absdb.catalog.control import Control, write_control
from absdb.engine.checkpoint import store_state
from absdb.engine.engine import Engine
from absdb.engine.log_end import log_of
from absdb.errors import StateError
from absdb.ids import DatabaseId, EraId
from absdb.io.base import FileSystem, write_atomic
from absdb.paths import WAL_DIR, is_fetched_segment, parse_wal_segment_name, timeline_history_name
from absdb.wal.format import RecordKind
from absdb.wal.timelines import TimelineHistory, format_history
from absdb.wal.writer import LogWriter

RECOVERED = "recovered"
BATCH_RECORDS = 1000


def begin_timeline(
    engine: Engine, history: TimelineHistory, *, epoch: int, instance: Mapping[str, Any]
) -> Control:
    """Let the state that an engine shows go on as the timeline of `history`; returns the new `control`.

    The engine is one that `replay_to` has brought to its target, which is the last switch of the history; nobody
    else writes here. It is spoilt afterwards: close it and open the instance. `epoch` is above any on the way;
    `instance` is kept in the manifest until the next checkpoint.
    """
    parent, lsn, reason = history.switches[-1]
    if lsn != engine.published:
        raise StateError(
            f"timeline {history.timeline} leaves {parent} at {lsn}, the state is that of {engine.published}"
        )
    engine.allocator.reserve_for(history.timeline)
    name, _ = store_state(engine, instance)
    control = dataclasses.replace(
        engine.control,
        timeline=history.timeline,
        epoch=epoch,
        checkpoint_lsn=lsn,
        manifest=name,
        durable_lsn=_write_eras(engine, history.timeline, epoch, lsn, reason),
    )
    path = f"{WAL_DIR}/{timeline_history_name(history.timeline)}"
    write_atomic(engine.fs, path, format_history(history, control.instance_id))
    write_control(engine.fs, control)
    return control


def clear_older_log(fs: FileSystem, control: Control) -> None:
    """Remove the log of all timelines but the one in force, and what was fetched of it."""
    for name in fs.list(WAL_DIR):
        parsed = parse_wal_segment_name(name)
        if is_fetched_segment(name) or (parsed is not None and parsed.timeline != control.timeline):
            fs.unlink(f"{WAL_DIR}/{name}")
    fs.sync_directory(WAL_DIR)


def _write_eras(engine: Engine, timeline: int, epoch: int, lsn: int, reason: str) -> int:
    """Begin the log of the timeline with a new era for each database; the LSN up to which it is durable."""
    log = {**log_of(engine.control), "timeline": timeline}
    wal = LogWriter(engine.fs, directory=WAL_DIR, epoch=epoch, position=lsn, prepare_ahead=False, **log)
    try:
        for number, (database, body) in enumerate(_eras(engine, reason), 1):
            data = json.dumps(body, separators=(",", ":")).encode()
            wal.append(RecordKind.DATABASE, database, engine.next_txid(), engine.next_time(), data)
            if number % BATCH_RECORDS == 0:
                wal.flush()
        wal.flush()
        return wal.durable_lsn
    finally:
        wal.close()


def _eras(engine: Engine, reason: str) -> Iterator[tuple[DatabaseId, dict[str, Any]]]:
    for info, lineage in engine.heads():
        era = EraId(engine.allocator.new_id())
        yield (
            info.id,
            {
                "op": RECOVERED,
                "author": engine.author,
                "message": reason,
                "database": {**info.to_json(), "eras": [*info.eras, era]},
                "era": {
                    "id": era,
                    "database": info.id,
                    "start_lsn": 0,
                    "base": lineage,
                    "table_bases": {},
                    "reason": RECOVERED,
                },
            },
        )
