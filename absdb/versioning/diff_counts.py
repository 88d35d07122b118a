"""How much differs between two states of a table, counted without making the rows.

Called by versioning/diff.py for summaries, and by the tables' diffs that users hold.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from absdb.versioning.diff_rows import DIFF_TYPES
from absdb.versioning.table_diff import TableDiff


class DiffCounts(NamedTuple):
    """How many rows differ."""

    added: int
    modified: int
    removed: int


def count_with_cells(diff: TableDiff) -> tuple[DiffCounts, int]:
    """What `diff_rows` would show, counted: rows, and cells of the modified ones. Compares every column."""
    added = modified = removed = cells = 0
    for part in diff.slices():
        added += int((part.in_target & ~part.in_source).sum())
        removed += int((part.in_source & ~part.in_target).sum())
        modified += int(part.modified().sum())
        cells += sum(int(column.sum()) for column in part.changed.values())
    return DiffCounts(added, modified, removed), cells


def count_rows(rows: pa.RecordBatchReader) -> tuple[DiffCounts, int]:
    """The same of rows as `diff_rows` gives them, which are read to their end."""
    counts, cells = dict.fromkeys(DIFF_TYPES, 0), 0
    for batch in rows:
        for each in pc.value_counts(batch.column(0)).to_pylist():
            counts[each["values"]] += each["counts"]
        cells += pc.sum(pc.list_value_length(batch.column(batch.num_columns - 1))).as_py() or 0
    return DiffCounts(**counts), cells


def count_content(rows: pa.RecordBatchReader) -> DiffCounts:
    """The rows of distinct ones, whose last columns say how often each side has them; none is modified."""
    counts = dict.fromkeys(DIFF_TYPES, 0)
    for batch in rows:
        more = pc.subtract(batch.column(batch.num_columns - 1), batch.column(batch.num_columns - 2))
        counts["added"] += pc.sum(pc.max_element_wise(more, 0)).as_py() or 0
        counts["removed"] -= pc.sum(pc.min_element_wise(more, 0)).as_py() or 0
    return DiffCounts(**counts)
