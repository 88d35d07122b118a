"""Bulk writes: streams of batches, of any size and in any order, into page files with bounded memory.

Input in key order goes straight into one page file. From the first batch that is out of order on, rows gather
into chunks that are sorted and written as files of their own, and a final merge makes one sorted run of all.
A key given twice, or (for insert) one that is there, refuses the whole load; files written by then are garbage.
Called for inputs above the bulk threshold and for streams whose size is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine.prepare import complete, conform
from absdb.engine.writes import in_key_order, refuse_duplicates, refuse_existing
from absdb.errors import ConstraintError
from absdb.pages.fold import fold
from absdb.pages.key import at, concat, is_increasing, length, sort_order, take
from absdb.pages.lookup import lookup
from absdb.pages.run import Run
from absdb.pages.section import Section

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

CHUNK_BYTES = 192 * 1024 * 1024
"""Rows out of order are sorted in chunks of about this size; a load holds about three times as much."""
BATCH_ROWS = 262_144

Progress = Callable[[int], None]


def load(
    tx: Transaction,
    schema: TableSchema,
    batches: Iterable[pa.RecordBatch],
    *,
    progress: Progress | None = None,
    refuse_present: bool = True,
) -> int:
    """Write all rows of a stream as one bulk change; returns their number. `progress` is told rows so far."""
    loader = _Loader(tx, schema)
    try:
        done = 0
        for batch in batches:
            loader.add(complete(tx, schema, conform(schema, pa.Table.from_batches([batch]))))
            done += batch.num_rows
            if progress is not None:
                progress(done)
        run = loader.finish()
        if run is not None and refuse_present and schema.hidden_key is None:
            _refuse_present(tx, schema, run)
    except BaseException:
        loader.abort()
        raise
    if run is not None:
        tx.write_run(schema, run.with_lsn)
    return done


class _Loader:
    """Gathers page batches into sorted runs in files."""

    def __init__(self, tx: Transaction, schema: TableSchema) -> None:
        self._bulk = tx.engine.bulk
        self._schema = schema
        self._spec = schema.key_spec
        self._sorted = self._bulk.open_file(schema)
        self._last: int | bytes | None = None
        self._runs: list[Run] = []
        self._loose: list[pa.RecordBatch] = []
        self._loose_bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        keys = self._spec.keys_of(batch)
        first = at(keys, 0)
        follows = self._last is None or first > self._last  # type: ignore[operator]  # keys of a table are of one type
        if follows and not self._loose and not self._runs and is_increasing(keys, strict=True):
            self._sorted.append(batch)
            self._last = at(keys, length(keys) - 1)
            return
        self._loose.append(batch)
        self._loose_bytes += batch.nbytes
        if self._loose_bytes >= CHUNK_BYTES:
            self._spill()

    def _spill(self) -> None:
        if self._loose:
            joined = pa.Table.from_batches(self._loose).combine_chunks().to_batches()[0]
            self._loose, self._loose_bytes = [], 0
            self._runs.append(self._bulk.store(self._schema, [in_key_order(self._schema, joined)]))

    def finish(self) -> Run | None:
        """One run of everything; None if there were no rows."""
        first = self._sorted.finish()
        self._spill()
        runs = [run for run in (first, *self._runs) if run is not None]
        if len(runs) <= 1:
            return runs[0] if runs else None
        sections = [run.newest for run in runs]
        for number, section in enumerate(sections[1:], start=1):
            _refuse_common(self._schema, sections[:number], section)
        merged = self._bulk.store(self._schema, self._merged(sections))
        for run in runs:
            self._bulk.discard(run)
        return merged

    def _merged(self, sections: list[Section]) -> Iterator[pa.RecordBatch]:
        for batch in fold(self._spec, sections, self._schema.physical_projection):
            yield self._spec.with_key(batch)

    def abort(self) -> None:
        self._sorted.abort()
        for run in self._runs:
            self._bulk.discard(run)


def _refuse_common(schema: TableSchema, before: list[Section], section: Section) -> None:
    for page in section.pages:
        known = lookup(schema.key_spec, before, page.keys()).known
        if known.any():
            twice = take(page.keys(), known.nonzero()[0])
            both = concat([twice, twice])
            refuse_duplicates(schema, take(both, sort_order(both)))


def _refuse_present(tx: Transaction, schema: TableSchema, run: Run) -> None:
    reader = tx.reader(schema)
    if reader.sections:
        try:
            for page in run.newest.pages:
                refuse_existing(schema, page.keys(), reader.lookup(page.keys()).alive)
        except ConstraintError:
            tx.engine.bulk.discard(run)
            raise


def rebatch(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """A table in batches that are large enough to be worth their calls and small enough to pipeline."""
    yield from table.to_batches(max_chunksize=BATCH_ROWS)
