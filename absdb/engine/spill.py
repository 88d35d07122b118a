"""A transaction's writes that outgrow memory go into page files before it commits.

Batches that come in key order, as those of a merge do, give page files that do not overlap, and the commit takes them
as they are (engine/netchange.py). Called by versioning/merge_rows.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.catalog.schema import TableSchema
from absdb.engine.gather import merged_batches

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

SPILL_BYTES = 64 * 1024 * 1024
"""Writes to one table above this size do not stay in memory; merging them there takes about twice as much."""


def spill(tx: Transaction, schema: TableSchema, *, last: bool = False) -> None:
    """Move what was written to a table into a page file, if it is much; with `last` the rest of it, if some was moved.

    What the transaction was between two of its writes cannot be read any more: for verbs that read it only in the end.
    """
    writes = tx.writes.get(schema.id)
    if writes is None or not tx.stores:
        return
    writes.cover.seal()
    runs = writes.cover.view[0]
    loose = [run for run in runs if not run.is_stored]
    begun = len(loose) < len(runs)
    if not loose or (sum(run.nbytes for run in loose) < SPILL_BYTES and not (last and begun)):
        return
    stored = tx.engine.bulk.store(schema, merged_batches(schema, loose), tx.files)
    assert stored is not None
    run = stored.with_lsn(loose[-1].hi)
    run.lo = loose[0].lo
    writes.cover.replace(loose, [run])
