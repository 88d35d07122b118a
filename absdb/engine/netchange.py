"""From a transaction's writes to its net change of one table: the newest version of each key, with before images.

Few rows stay plain tuples, more become one Arrow batch, and above the bulk threshold they go into page files
before the commit record that names them. A key written and taken back to nothing is left out, and so is a row written
as it was, unless the transaction `keeps_equal`: neither a diff nor a history shows it. Called by engine/transaction.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine.changeset import RowChange, TableChange, codec_of, count_rows
from absdb.engine.gather import merged_batches, without_lsn
from absdb.engine.rowcodec import Row, values_at
from absdb.engine.unchanged import Bools, unchanged, unchanged_from
from absdb.pages.run import Run, merge_runs
from absdb.pages.section import DELETE, OP, Key, Section
from absdb.pages.types import physical_type

if TYPE_CHECKING:
    from absdb.engine.transaction import TableWrites, Transaction

ROWS_MAX = 100
"""Change sets up to this many rows are written in the row encoding."""


def net_change(tx: Transaction, schema: TableSchema, writes: TableWrites) -> TableChange | None:
    """The net change of one table, None if there is none."""
    pending = None if tx.keeps_equal else _few_rows(schema, writes)
    if pending is not None and codec_of(schema) is not None:
        return row_changes(schema, pending, writes.befores, lambda key: tx.base_reader(schema).row(key))
    writes.cover.seal()
    runs = writes.cover.view[0]
    if not any(run.rows for run in runs):
        return None
    stored = _in_order(runs)
    if stored is not None:
        return _as_pages(tx, schema, stored)
    if tx.stores and sum(run.nbytes for run in runs) > tx.engine.settings.bulk_threshold:
        effective = _effective(tx, schema, merged_batches(schema, list(runs)))
        stored = tx.engine.bulk.store(schema, effective, tx.files)
        return None if stored is None else _as_pages(tx, schema, stored)
    merged = runs[0] if len(runs) == 1 else merge_runs(schema.key_spec, runs, schema.fills)
    return _as_batch(tx, schema, merged.newest)


def _in_order(runs: Sequence[Run]) -> Run | None:
    """Stored runs whose keys do not overlap as one, which is the pages of all of them; None if they are not such."""
    if not all(run.is_stored and run.rows for run in runs):
        return None
    if len(runs) == 1:
        return runs[0]
    ordered = sorted(runs, key=lambda run: run.newest.pages[0].first)
    if any(a.newest.pages[-1].last >= b.newest.pages[0].first for a, b in pairwise(ordered)):
        return None
    pages = Section(page for run in ordered for page in run.newest.pages)
    return Run(lo=0, hi=runs[-1].hi, newest=pages, spec=runs[0].spec)


def _few_rows(schema: TableSchema, writes: TableWrites) -> Mapping[Key, tuple[Row, int]] | None:
    """The newest version of each key, as key → (stored row, op); None if they are many or of another definition."""
    pending = writes.pending
    if pending is not None and writes.schema is schema and len(pending) <= ROWS_MAX:
        return pending
    runs, buffer = writes.cover.view
    if runs or (buffer is not None and (buffer.schema is not schema or len(buffer.newest) > ROWS_MAX)):
        return None
    if buffer is None:
        return {}
    return {key: (buffer.rows[at], buffer.ops[at]) for key, at in buffer.newest.items()}


def row_changes(
    schema: TableSchema,
    written: Mapping[Key, tuple[Row, int]],
    befores: Mapping[Key, Row | None],
    find: Callable[[Key], Row | None],
) -> TableChange | None:
    """The net change that some versions of rows make, None if there is none; `find` gives befores not known yet."""
    changes = []
    inserted = updated = 0
    for key, (row, op) in written.items():
        before = befores[key] if key in befores else find(key)
        if op == DELETE:
            if before is not None:
                changes.append(RowChange(key, None, before))
        elif before is None:
            inserted += 1
            changes.append(RowChange(key, row, None))
        elif not _same(schema, before, row):
            updated += 1
            changes.append(RowChange(key, row, before))
    if not changes:
        return None
    return TableChange(
        schema, changes, inserted=inserted, updated=updated, deleted=len(changes) - inserted - updated
    )


def _same(schema: TableSchema, before: Row, after: Row) -> bool:
    """Whether two rows hold the same: NaN is NaN, and 0.0 is not -0.0, which Python sees the other way round."""
    split = schema.__dict__.get("_floats_and_others")
    if split is None:
        floats = [at for at, c in enumerate(schema.stored) if pa.types.is_floating(physical_type(c.type))]
        others = [at for at in range(len(schema.stored)) if at not in floats]
        split = schema.__dict__["_floats_and_others"] = values_at(floats), values_at(others)
    floats_in, others_in = split
    return bool(others_in(before) == others_in(after) and repr(floats_in(before)) == repr(floats_in(after)))


def _as_batch(tx: Transaction, schema: TableSchema, section: Section) -> TableChange | None:
    batch = pa.concat_batches([without_lsn(batch) for batch in section.batches()])
    found = tx.base_reader(schema).lookup(schema.key_spec.keys_of(batch))
    alive = found.alive
    before = found.take(schema.physical_projection) if alive.any() else None
    needless = unchanged_from(schema, batch, alive, before) | _idle_tombstones(batch, alive)
    if needless.any() and not tx.keeps_equal:
        batch = batch.take(pa.array(np.flatnonzero(~needless)))
        before = None if before is None else before.take(pa.array(np.flatnonzero(~needless[alive])))
    if batch.num_rows == 0:
        return None
    at = batch.schema.get_field_index(OP)
    if at >= 0 and not batch.column(at).to_numpy(zero_copy_only=False).any():
        batch = batch.remove_column(at)
    change = TableChange(
        schema, batch=batch, before=before if before is not None and before.num_rows else None
    )
    count_rows(change)
    return change


def _effective(
    tx: Transaction, schema: TableSchema, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Batches of net versions without those that change nothing."""
    base = tx.base_reader(schema)
    if tx.keeps_equal:
        yield from batches
        return
    for batch in batches:
        found = base.lookup(schema.key_spec.keys_of(batch))
        needless = unchanged(base, batch, found) | _idle_tombstones(batch, found.alive)
        kept = batch if not needless.any() else batch.take(pa.array(np.flatnonzero(~needless)))
        if kept.num_rows:
            yield kept


def _idle_tombstones(batch: pa.RecordBatch, alive: Bools) -> Bools:
    """Which rows are tombstones of rows that are not there."""
    at = batch.schema.get_field_index(OP)
    if at < 0:
        return np.zeros(batch.num_rows, bool)
    idle: Bools = (batch.column(at).to_numpy(zero_copy_only=False) == DELETE) & ~alive
    return idle


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
