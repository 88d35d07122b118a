"""Writing every row of a table once more under another definition, in key order and with bounded memory.

Called by the verbs of ddl that compute a column for rows that are there. Large tables go into a page file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.catalog.schema import Column, TableSchema
from absdb.engine.prepare import Given, complete

if TYPE_CHECKING:
    from collections.abc import Callable

    from absdb.engine.transaction import Transaction

Replacements = dict[str, "tuple[Column, Callable[[pa.RecordBatch], pa.Array]]"]
"""By page name of a column that goes: the one in its place, and its physical values for rows of the old table."""


def rewrite(
    tx: Transaction, before: TableSchema, after: TableSchema, replaced: Replacements | None = None
) -> None:
    """Write every row under `after`; what it has and `before` has not is computed as for a new row."""
    write_sorted(tx, after, _rewritten(tx, before, after, replaced or {}))


def _rewritten(
    tx: Transaction, before: TableSchema, after: TableSchema, replaced: Replacements
) -> Iterator[pa.RecordBatch]:
    kept = {c.page_name for c in after.columns if c.generated is None}
    for batch in tx.reader(before).physical():
        columns = {name: batch.column(name) for name in batch.schema.names if name in kept}
        for column, values in replaced.values():
            if column.generated is None:
                columns[column.page_name] = values(batch)
        row_ids = batch.column(before.hidden_key.page_name) if before.hidden_key is not None else None
        yield complete(tx, after, Given(batch.num_rows, columns), row_ids=row_ids)


def write_sorted(tx: Transaction, schema: TableSchema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write page batches that come in key order: in memory up to the bulk threshold, else by a page file."""
    first: list[pa.RecordBatch] = []
    rest, size = iter(batches), 0
    for batch in rest:
        first.append(batch)
        size += batch.nbytes
        if size > tx.engine.settings.bulk_threshold:
            run = tx.engine.bulk.store(schema, chain(first, rest), tx.files)
            assert run is not None
            tx.write_run(schema, run.with_lsn)
            return
    if first:
        tx.write_batch(schema, pa.concat_batches(first))
