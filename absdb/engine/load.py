"""The verbs that change rows, on streams of batches of any size and in any order, with bounded memory.

    load      insert, or upsert of rows that have every column
    upsert    columns left out keep their values
    update, delete, sync, replace, truncate

Each batch is looked up and completed as it comes, and gathered into sorted page files (engine/gather.py), which
the transaction holds as one run. Rows that are there already as they are given are not written, so that no
history shows them as changed. The results are those of engine/writes.py, which takes what fits in memory. An error
leaves the transaction as it was; files written by then are garbage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine import writes
from absdb.engine.gather import Gatherer, IdleKeys
from absdb.engine.prepare import complete, conform
from absdb.engine.refusals import refuse_existing, require_key
from absdb.engine.unchanged import unchanged
from absdb.pages.key import Keys
from absdb.pages.run import Run
from absdb.pages.section import Section

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

BATCH_ROWS = 262_144

Progress = Callable[[int], None]
Batches = Iterable[pa.RecordBatch]
Step = Callable[[pa.Table], pa.RecordBatch]
Made = tuple[Keys, pa.RecordBatch]
"""The keys of the rows given, sorted, and the rows that a verb makes of them, by key; some may be left out."""


def load(
    tx: Transaction,
    schema: TableSchema,
    batches: Batches,
    *,
    progress: Progress | None = None,
    refuse_present: bool = True,
) -> int:
    """Write all rows of a stream as one bulk change; returns their number. `progress` is told rows so far."""
    run = _gather(tx, schema, batches, lambda rows: complete(tx, schema, conform(schema, rows)), progress)
    if run is None:
        return 0
    if refuse_present and schema.hidden_key is None:
        reader = tx.reader(schema)
        if reader.sections:
            for page in run.newest.pages:
                refuse_existing(schema, page.keys(), reader.lookup(page.keys()).alive)
    tx.write_run(schema, run.with_lsn)
    return run.newest.rows


def upsert(tx: Transaction, schema: TableSchema, batches: Batches, progress: Progress | None = None) -> int:
    """Add rows or change those that are there; columns left out keep their value. Returns the number of rows given."""
    require_key(schema, "upsert")
    reader = tx.reader(schema)

    def made(rows: pa.Table) -> Made:
        batch = writes.upserts(tx, schema, reader, conform(schema, rows))
        return schema.key_spec.keys_of(batch), batch

    return _write_changed(tx, schema, batches, made, progress)


def update(tx: Transaction, schema: TableSchema, batches: Batches, progress: Progress | None = None) -> int:
    """Change rows that are there, by key; others are left out. Returns the number of rows found."""
    require_key(schema, "update")
    reader = tx.reader(schema)

    def made(rows: pa.Table) -> Made:
        keys, given = writes.in_order(schema, conform(schema, rows))
        return keys, writes.updates(tx, schema, reader, keys, given)

    return _write_changed(tx, schema, batches, made, progress)


def delete(tx: Transaction, schema: TableSchema, batches: Batches) -> int:
    """Remove rows by key; other columns are ignored, unknown keys too. Returns the number of rows removed."""
    require_key(schema, "delete")
    reader = tx.reader(schema)
    return _write(tx, schema, batches, lambda rows: writes.deletions(schema, reader, rows), repeats=True)


def sync(
    tx: Transaction, schema: TableSchema, batches: Batches, progress: Progress | None = None
) -> tuple[int, int, int]:
    """Make the table equal the stream, writing only what differs; columns left out keep their values.

    Returns rows (added, modified, removed).
    """
    require_key(schema, "sync")
    reader = tx.reader(schema)
    seen, counts = Gatherer(tx, schema), [0, 0]

    def changed(rows: pa.Table) -> pa.RecordBatch:
        keys, given = writes.in_order(schema, conform(schema, rows))
        for page in writes.key_section(schema, keys).pages:
            seen.add(page.batch())
        batch, added, modified = writes.differences(tx, schema, reader, keys, given)
        counts[0] += added
        counts[1] += modified
        return batch

    try:
        run = _gather(tx, schema, batches, changed, progress)
        wanted = seen.finish()
    finally:
        seen.abort()
    removed = _write_removed(tx, schema, reader.sections, wanted)
    if run is not None:
        tx.write_run(schema, run.with_lsn)
    return counts[0], counts[1], removed


def replace(tx: Transaction, schema: TableSchema, batches: Batches, progress: Progress | None = None) -> int:
    """Put the stream in the place of everything that is there. Returns the number of rows."""
    run = _gather(tx, schema, batches, lambda rows: complete(tx, schema, conform(schema, rows)), progress)
    _write_removed(tx, schema, tx.reader(schema).sections, run)
    if run is None:
        return 0
    tx.write_run(schema, run.with_lsn)
    return run.newest.rows


def truncate(tx: Transaction, schema: TableSchema) -> int:
    """Remove all rows. Returns their number."""
    return _write_removed(tx, schema, tx.reader(schema).sections, None)


def rebatch(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """A table in batches that are large enough to be worth their calls and small enough to pipeline."""
    yield from table.to_batches(max_chunksize=BATCH_ROWS)


def _write(
    tx: Transaction,
    schema: TableSchema,
    batches: Batches,
    step: Step,
    progress: Progress | None = None,
    *,
    repeats: bool = False,
) -> int:
    run = _gather(tx, schema, batches, step, progress, repeats=repeats)
    if run is None:
        return 0
    tx.write_run(schema, run.with_lsn)
    return run.newest.rows


def _write_changed(
    tx: Transaction,
    schema: TableSchema,
    batches: Batches,
    made: Callable[[pa.Table], Made],
    progress: Progress | None,
) -> int:
    """Write those of the rows made that differ from what is there. Returns the number of all rows made."""
    reader, idle = tx.reader(schema), IdleKeys(tx, schema)
    count = 0

    def changed(rows: pa.Table) -> pa.RecordBatch:
        nonlocal count
        keys, batch = made(rows)
        count += batch.num_rows
        kept = np.flatnonzero(~unchanged(reader, batch)) if reader.sections else None
        if kept is not None and len(kept) < batch.num_rows:
            batch = batch.take(pa.array(kept))
        idle.add(keys, schema.key_spec.keys_of(batch))
        return batch

    try:
        run = _gather(tx, schema, batches, changed, progress)
        idle.refuse_repeated(run)
    finally:
        idle.abort()
    if run is not None:
        tx.write_run(schema, run.with_lsn)
    return count


def _gather(
    tx: Transaction,
    schema: TableSchema,
    batches: Batches,
    step: Step,
    progress: Progress | None,
    *,
    repeats: bool = False,
) -> Run | None:
    """One run of what `step` makes of each batch."""
    gatherer, done = Gatherer(tx, schema, repeats=repeats), 0
    try:
        for batch in batches:
            gatherer.add(step(pa.Table.from_batches([batch])))
            done += batch.num_rows
            if progress is not None:
                progress(done)
        return gatherer.finish()
    finally:
        gatherer.abort()


def _write_removed(tx: Transaction, schema: TableSchema, sections: list[Section], wanted: Run | None) -> int:
    """Write tombstones for all rows that are not in `wanted`; returns how many. Few stay in memory."""
    kept = Section.EMPTY if wanted is None else wanted.newest
    found = writes.missing_keys(schema, sections, kept)
    first = next(found, None)
    if first is None:
        return 0
    second = next(found, None)
    if second is None:
        return writes.remove_keys(tx, schema, first)

    def all_of_them() -> Iterator[pa.RecordBatch]:
        for keys in (first, second, *found):
            yield writes.tombstones(schema, keys)

    run = tx.engine.bulk.store(schema, all_of_them(), tx.files)
    assert run is not None
    tx.write_run(schema, run.with_lsn)
    return run.newest.rows
