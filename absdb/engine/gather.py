"""Page batches in any order, brought into one run in page files, with bounded memory.

Batches in key order go straight into one file. From the first one that is out of order on, batches gather into
chunks, which are sorted and written as files of their own; in the end all files are merged into one, a range of
keys at a time. A key that comes twice refuses everything, unless all are tombstones. Called by engine/load.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine.refusals import refuse_duplicates
from absdb.pages.key import (
    Keys,
    at,
    concat,
    equal,
    is_increasing,
    length,
    runs_of_equal,
    search,
    sort_order,
    take,
)
from absdb.pages.lookup import lookup
from absdb.pages.run import Run
from absdb.pages.run_merge import Layout, merge_ranges
from absdb.pages.section import LSN, Section

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

CHUNK_BYTES = 64 * 1024 * 1024
"""Rows out of order are sorted in chunks of about this size; that takes about twice as much."""
PIECE_ROWS = 65_536


class Gatherer:
    """Takes page batches and makes one run of them. Its files belong to the transaction until that ends."""

    def __init__(self, tx: Transaction, schema: TableSchema, *, repeats: bool = False) -> None:
        """`repeats` lets a key come again, for tombstones: one is as good as the other."""
        self._tx = tx
        self._schema = schema
        self._spec = schema.key_spec
        self._repeats = repeats
        self._sorted = tx.engine.bulk.open_file(schema, tx.files)
        self._last: Any = None
        self._runs: list[Run] = []
        self._loose: list[pa.RecordBatch] = []
        self._loose_bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the rows of one batch, with `_key` and, where there are tombstones, `_op`."""
        if not batch.num_rows:
            return
        keys = self._spec.keys_of(batch)
        in_order = not self._loose and not self._runs and (self._last is None or at(keys, 0) > self._last)
        if in_order and is_increasing(keys, strict=True):
            self._sorted.append(batch)
            self._last = at(keys, length(keys) - 1)
            return
        self._loose.append(batch)
        self._loose_bytes += batch.nbytes
        if self._loose_bytes >= CHUNK_BYTES:
            self._spill()

    def finish(self) -> Run | None:
        """One run of everything, in page files; None if there was nothing."""
        first = self._sorted.finish()
        self._spill()
        runs = [run for run in (first, *self._runs) if run is not None]
        if len(runs) <= 1:
            return runs[0] if runs else None
        if not self._repeats:
            for number in range(1, len(runs)):
                refuse_common(self._schema, [run.newest for run in runs[:number]], runs[number].newest)
        merged = merged_batches(self._schema, [run.with_lsn(lsn) for lsn, run in enumerate(runs, start=1)])
        return self._tx.engine.bulk.store(self._schema, merged, self._tx.files)

    def abort(self) -> None:
        """Let go of a file that is being written."""
        self._sorted.abort()

    def _spill(self) -> None:
        if not self._loose:
            return
        batches, self._loose, self._loose_bytes = self._loose, [], 0
        batch = pa.concat_batches(batches) if len(batches) > 1 else batches[0]
        del batches
        run = self._tx.engine.bulk.store(self._schema, self._ordered(batch), self._tx.files)
        assert run is not None
        self._runs.append(run)

    def _ordered(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """The rows by key, in pieces, so that they are not there twice."""
        keys = self._spec.keys_of(batch)
        order = sort_order(keys)
        keys = take(keys, order)
        new = runs_of_equal(keys)
        if not new.all():
            if not self._repeats:
                refuse_duplicates(self._schema, keys)
            order = order[np.flatnonzero(new)]
        for start in range(0, len(order), PIECE_ROWS):
            yield batch.take(pa.array(order[start : start + PIECE_ROWS]))


class IdleKeys:
    """Keys of rows that were given and are not written, for one of them may be given once more.

    While the rows given come in key order none can, and nothing is kept but a file in the making. Give it every
    batch, then the run of the rows that are written.
    """

    def __init__(self, tx: Transaction, schema: TableSchema) -> None:
        self._schema = schema
        self._idle = Gatherer(tx, schema)
        self._last: Any = None
        self._in_order = True

    def add(self, given: Keys, written: Keys) -> None:
        """The sorted keys of a batch, and those of its rows that are written."""
        if not length(given):
            return
        self._in_order = self._in_order and (self._last is None or at(given, 0) > self._last)
        self._last = at(given, length(given) - 1)
        if length(written) < length(given):
            place = np.minimum(search(written, given), max(length(written) - 1, 0))
            here = equal(take(written, place), given) if length(written) else np.zeros(length(given), bool)
            self._idle.add(key_batch(self._schema, take(given, np.flatnonzero(~here))))

    def refuse_repeated(self, written: Run | None) -> None:
        """ConstraintError if a key was given more than once."""
        if self._in_order:
            return
        idle = self._idle.finish()
        if idle is not None and written is not None:
            refuse_common(self._schema, [idle.newest], written.newest)

    def abort(self) -> None:
        """Let go of the file."""
        self._idle.abort()


def refuse_common(schema: TableSchema, before: list[Section], section: Section) -> None:
    """ConstraintError if a section has a key that one of the others has."""
    for page in section.pages:
        known = lookup(schema.key_spec, before, page.keys()).known
        if known.any():
            twice = take(page.keys(), np.flatnonzero(known))
            both = concat([twice, twice])
            refuse_duplicates(schema, take(both, sort_order(both)))


def key_batch(schema: TableSchema, keys: Keys) -> pa.RecordBatch:
    """A page batch that holds nothing but keys."""
    batch = pa.record_batch(schema.key_spec.decode(keys), names=list(schema.key_spec.columns))
    return schema.key_spec.with_key(batch)


def merged_batches(schema: TableSchema, runs: list[Run]) -> Iterator[pa.RecordBatch]:
    """The newest versions of all keys in runs given oldest first, in key order, tombstones included.

    `_lsn` is left out: it is what tells older from newer here, and a commit gives all its rows its own.
    """
    sides = [(run.newest, run.superseded) for run in runs]
    for newest, _ in merge_ranges(schema.key_spec, sides, Layout(sides, schema.fills)):
        for batch in newest:
            if batch.num_rows:
                yield without_lsn(batch)


def without_lsn(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without `_lsn`."""
    position = batch.schema.get_field_index(LSN)
    return batch if position < 0 else batch.remove_column(position)
