"""What an instance has done and holds, in figures: one row each, for metadata calls, SQL views and metrics.

Figures of the log count since the instance was opened; a read-only instance writes none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.clock import peek_us
from absdb.engine.archive_status import ArchiveStatus, status_of
from absdb.engine.backup_status import BackupStatus
from absdb.engine.listing import field, listed
from absdb.errors import StorageError
from absdb.ids import Lsn
from absdb.paths import PAGES_DIR
from absdb.wal.writer import LogStatistics

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

DAY_US = 86_400 * 1_000_000

WAL_STATS = pa.schema(
    [
        field("current_lsn", pa.string()),
        field("last_checkpoint_lsn", pa.string()),
        field("wal_bytes_written", pa.int64()),
        field("wal_records_written", pa.int64()),
        field("group_commit_batches", pa.int64()),
        field("avg_records_per_fsync", pa.float64()),
        field("last_archived_lsn", pa.string(), nullable=True),
        field("last_archived_time", pa.timestamp("us", "UTC"), nullable=True),
        field("archive_lag_seconds", pa.float64(), nullable=True),
        field("archive_waiting_bytes", pa.int64()),
        field("segments_archived_today", pa.int64()),
        field("wal_segment_size_bytes", pa.int64()),
        field("failed_count", pa.int64()),
        field("last_failed_time", pa.timestamp("us", "UTC"), nullable=True),
        field("last_failed_segment", pa.string(), nullable=True),
        field("last_archive_failure", pa.string(), nullable=True),
        field("first_gap_lsn", pa.string(), nullable=True),
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
        field("last_backup", pa.string(), nullable=True),
        field("last_backup_time", pa.timestamp("us", "UTC"), nullable=True),
        field("next_backup_time", pa.timestamp("us", "UTC"), nullable=True),
        field("backup_failures", pa.int64()),
        field("last_backup_failure", pa.string(), nullable=True),
    ]
)


def wal_stats(engine: Engine) -> pa.Table:
    """One row about the log and its archive. `wal_bytes_written` and the counts are since the instance was opened.

    `archive_lag_seconds` is the age of the oldest commit that is not in the archive, 0 if all are; what is said about
    the archive is NULL where there is none.
    """
    done = LogStatistics() if engine.read_only else engine.wal.statistics
    archive = status_of(engine)
    now_us = peek_us(engine.clock)
    row = (
        str(Lsn(engine.published)),
        str(Lsn(engine.control.checkpoint_lsn)),
        done.bytes_written,
        done.records_written,
        done.batches,
        done.records_written / done.syncs if done.syncs else 0.0,
        _lsn(archive.archived_lsn),
        archive.archived_us,
        _lag_s(engine, archive, now_us),
        archive.waiting_bytes,
        archive.archived_today if archive.day == now_us // DAY_US else 0,
        engine.control.segment_bytes,
        archive.failed_count,
        archive.failed_us,
        archive.failed_segment,
        archive.failure,
        _lsn(archive.first_gap_lsn),
    )
    return listed(WAL_STATS, [row])


def _lsn(lsn: int | None) -> str | None:
    return None if lsn is None else str(Lsn(lsn))


def _lag_s(engine: Engine, archive: ArchiveStatus, now_us: int) -> float | None:
    """How old the oldest commit is that the archive does not have."""
    if archive.archived_lsn is None:
        return None
    made_us = engine.log.first_time_after(archive.archived_lsn)
    return 0.0 if made_us is None else max(0, now_us - made_us) / 1_000_000


def stats(engine: Engine) -> pa.Table:
    """One row about what is there: things, page files and their bytes, rows in memory, log since the checkpoint.

    `tables` counts those of every database; `torn_bytes` is what recovery cut off the log's end. What is said of
    backups is that of the schedule in this process.
    """
    history, background = engine.history, engine.background
    backups = engine.backup_status() if engine.backup_status is not None else BackupStatus()
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
        backups.last_label,
        backups.last_us,
        backups.next_us,
        backups.failures,
        backups.failure,
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
