"""From a transaction's writes to its net change of one table: the newest version of each key, with before images.

Few rows stay plain tuples, more become one Arrow batch, and above the bulk threshold they go into page files
before the commit record that names them. A key written and taken back to nothing is left out. Called by
engine/transaction.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine.changeset import RowChange, TableChange, codec_of, count_rows
from absdb.pages.key import concat
from absdb.pages.run import Run, merge_runs
from absdb.pages.section import DELETE, LSN, OP, Section

if TYPE_CHECKING:
    from absdb.engine.transaction import TableWrites, Transaction

ROWS_MAX = 100
"""Change sets up to this many rows are written in the row encoding."""


def net_change(tx: Transaction, schema: TableSchema, writes: TableWrites) -> TableChange | None:
    """The net change of one table, None if there is none."""
    runs, buffer = writes.cover.view
    if not runs and buffer is None:
        return None
    small = not runs and buffer is not None and buffer.schema is schema and len(buffer.newest) <= ROWS_MAX
    if small and codec_of(schema) is not None:
        return _as_rows(tx, schema, writes)
    writes.cover.seal()
    runs = writes.cover.view[0]
    if len(runs) == 1 and runs[0].is_stored:
        return _as_pages(tx, schema, runs[0])
    merged = runs[0] if len(runs) == 1 else merge_runs(schema.key_spec, runs, schema.fills)
    if sum(page.batch().nbytes for page in merged.newest.pages) > tx.engine.settings.bulk_threshold:
        stored = tx.engine.bulk.store(schema, newest_batches(merged.newest))
        return _as_pages(tx, schema, stored)
    return _as_batch(tx, schema, merged.newest)


def _as_rows(tx: Transaction, schema: TableSchema, writes: TableWrites) -> TableChange | None:
    buffer = writes.cover.view[1]
    assert buffer is not None
    base = tx.base_reader(schema)
    changes = []
    for key, at in buffer.newest.items():
        before = writes.befores[key] if key in writes.befores else base.row(key)
        if buffer.ops[at] == DELETE:
            if before is not None:
                changes.append(RowChange(key, None, before))
        elif before != buffer.rows[at] or before is None:
            changes.append(RowChange(key, buffer.rows[at], before))
    if not changes:
        return None
    change = TableChange(schema, rows=changes)
    count_rows(change)
    return change


def newest_batches(section: Section) -> Iterator[pa.RecordBatch]:
    """The batches of a section without `_lsn`, which a commit's own LSN replaces."""
    for batch in section.batches():
        at = batch.schema.get_field_index(LSN)
        yield batch if at < 0 else batch.remove_column(at)


def _as_batch(tx: Transaction, schema: TableSchema, section: Section) -> TableChange | None:
    batch = pa.Table.from_batches(list(newest_batches(section))).combine_chunks().to_batches()[0]
    keys = concat([page.keys() for page in section.pages])
    found = tx.base_reader(schema).lookup(keys)
    at = batch.schema.get_field_index(OP)
    if at >= 0:
        deleted = batch.column(at).to_numpy(zero_copy_only=False) == DELETE
        needless = deleted & ~found.alive
        if needless.any():
            keep = pa.array(~needless)
            batch = batch.filter(keep)
        if not deleted[~needless].any():
            batch = batch.remove_column(at)
    if batch.num_rows == 0:
        return None
    before = found.take(schema.physical_projection) if found.alive.any() else None
    change = TableChange(schema, batch=batch, before=before)
    count_rows(change)
    return change


def _as_pages(tx: Transaction, schema: TableSchema, run: Run) -> TableChange:
    base = tx.base_reader(schema)
    change = TableChange(schema, run=run, pages=tx.engine.bulk.describe(run))
    existed = 0
    if base.sections:
        for page in run.newest.pages:
            alive = base.lookup(page.keys()).alive
            ops = page.ops()
            gone = int(np.count_nonzero(alive & (ops == DELETE))) if ops is not None else 0
            change.deleted += gone
            existed += int(alive.sum()) - gone
    change.updated = existed
    change.inserted = run.newest.rows - run.newest.deletes - existed
    return change
