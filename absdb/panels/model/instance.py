"""What the Instance page shows: figures of the log, of checkpoints, of what is on disk, and who pins history.

A read-only instance has no log of its own; what it does not know is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from absdb.instance import Instance
from absdb.sizes import size


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What is known of an instance: groups of (what it is, value), and tables of pins and settings."""

    groups: Mapping[str, list[tuple[str, str]]]
    pins: pa.Table
    settings: pa.Table


def instance_facts(instance: Instance) -> InstanceFacts:
    """The figures as of now."""
    stats = instance.stats().iloc[0]
    wal = instance.wal_stats().iloc[0]
    groups = {
        "Write-ahead log": [
            ("LSN", str(wal["current_lsn"])),
            ("written since it was opened", size(wal["wal_bytes_written"])),
            ("records", f"{wal['wal_records_written']:,}"),
            ("syncs", f"{wal['group_commit_batches']:,}"),
            ("records a sync", f"{wal['avg_records_per_fsync']:.1f}"),
            ("segment size", size(wal["wal_segment_size_bytes"])),
        ],
        "Checkpoints": [
            ("last checkpoint", str(wal["last_checkpoint_lsn"])),
            ("log since then", size(stats["wal_bytes_since_checkpoint"])),
            ("rows in memory", f"{stats['tail_rows']:,}"),
            ("failures of upkeep", f"{stats['maintenance_failures']:,}"),
        ],
        "Stored": [
            ("databases", f"{stats['databases']:,}"),
            ("tables", f"{stats['tables']:,}"),
            ("snapshots", f"{stats['snapshots']:,}"),
            ("commits", f"{stats['commits']:,}"),
            ("page files", f"{stats['page_files']:,}"),
            ("bytes in page files", size(stats["page_bytes"])),
        ],
    }
    if wal["last_archived_lsn"] or wal["failed_count"]:
        groups["Archive of the log"] = _archive(wal)
    if stats["last_failure"]:
        groups["Checkpoints"].append(("last failure", str(stats["last_failure"])))
    return InstanceFacts(groups, _texts(instance.pins()), _texts(instance.settings()))


def _archive(wal: Any) -> list[tuple[str, str]]:
    """What is known of the archive; what is not, or does not matter, is left out."""
    lag_s = wal["archive_lag_seconds"]
    figures = [
        ("archived up to", wal["last_archived_lsn"]),
        ("behind", f"{lag_s:,.1f} s" if lag_s == lag_s else None),  # NaN where it is not known
        ("waiting", size(wal["archive_waiting_bytes"])),
        ("segments today", f"{wal['segments_archived_today']:,}"),
        ("failures", f"{wal['failed_count']:,}"),
        ("last failure", wal["last_archive_failure"]),
        ("first gap", wal["first_gap_lsn"]),
    ]
    return [(what, str(value)) for what, value in figures if value]


def _texts(frame: Any) -> pa.Table:
    columns = {
        name: pa.array([None if value is None else str(value) for value in frame[name]], pa.string())
        for name in frame.columns
    }
    return pa.table(columns)
