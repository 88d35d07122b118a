"""What an instance has done and holds, in figures: one row each, for metadata calls, SQL views and metrics.

Figures of the log count since the instance was opened; a read-only instance writes none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.engine.listing import field, listed
from absdb.errors import StorageError
from absdb.ids import Lsn
from absdb.paths import PAGES_DIR
from absdb.wal.writer import LogStatistics

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

WAL_STATS = pa.schema(
    [
        field("current_lsn", pa.string()),
        field("last_checkpoint_lsn", pa.string()),
        field("wal_bytes_written", pa.int64()),
        field("wal_records_written", pa.int64()),
        field("group_commit_batches", pa.int64()),
        field("avg_records_per_fsync", pa.float64()),
        field("wal_segment_size_bytes", pa.int64()),
    ]
)
STATS = pa.schema(
    [
        field("databases", pa.int64()),
        field("tables", pa.int64()),
        field("snapshots", pa.int64()),
        field("commits", pa.int64()),
        field("page_files", pa.int64()),
        field("page_bytes", pa.int64()),
        field("tail_rows", pa.int64()),
        field("wal_bytes_since_checkpoint", pa.int64()),
        field("torn_bytes", pa.int64()),
        field("maintenance_failures", pa.int64()),
        field("last_failure", pa.string(), nullable=True),
    ]
)


def wal_stats(engine: Engine) -> pa.Table:
    """One row about the log. `wal_bytes_written` and the counts are since the instance was opened."""
    done = LogStatistics() if engine.read_only else engine.wal.statistics
    row = (
        str(Lsn(engine.published)),
        str(Lsn(engine.control.checkpoint_lsn)),
        done.bytes_written,
        done.records_written,
        done.batches,
        done.records_written / done.syncs if done.syncs else 0.0,
        engine.control.segment_bytes,
    )
    return listed(WAL_STATS, [row])


def stats(engine: Engine) -> pa.Table:
    """One row about what is there: things, page files and their bytes, rows in memory, log since the checkpoint.

    `tables` counts those of every database; `torn_bytes` is what recovery cut off the log's end.
    """
    history, background = engine.history, engine.background
    heads = [lineage for _, lineage in engine.heads()]
    files = _page_files(engine)
    row = (
        len(heads),
        sum(len(history.catalog_at(lineage).tables) for lineage in heads),
        len(history.snapshots),
        len(engine.log),
        len(files),
        sum(files),
        sum(cover.tail_rows for cover in list(engine.covers.eras.values())),
        engine.published - engine.control.checkpoint_lsn,
        engine.torn.bytes if engine.torn is not None else 0,
        background.failures if background is not None else 0,
        background.last_failure or None if background is not None else None,
    )
    return listed(STATS, [row])


def _page_files(engine: Engine) -> list[int]:
    """The sizes in bytes of the files in pages/."""
    sizes = []
    for name in engine.fs.list(PAGES_DIR):
        try:
            sizes.append(engine.fs.size(f"{PAGES_DIR}/{name}"))
        except StorageError:
            continue  # garbage collection was quicker
    return sizes
