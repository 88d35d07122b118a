"""The two sides of a table's change as sorted physical rows: what it writes, and what it takes away.

Called by engine/constraints.py, which needs columns of many rows at once whatever form the change has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine.changeset import TableChange
from absdb.ids import ColumnId
from absdb.pages.index import encode_values
from absdb.pages.key import Keys, empty
from absdb.pages.section import DELETE
from absdb.pages.types import physical_type
from absdb.pages.values import rows_to_batch

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction


class Side:
    """Rows of one table: their keys, and their stored columns as one batch."""

    def __init__(self, schema: TableSchema, keys: Keys, batch: pa.RecordBatch | None) -> None:
        self.schema = schema
        self.keys = keys
        self._batch = batch

    def _arrays(self, columns: tuple[ColumnId, ...]) -> list[pa.Array]:
        assert self._batch is not None
        return [self._batch.column(f"c{column}") for column in columns]

    def values(self, columns: tuple[ColumnId, ...]) -> tuple[Keys, np.ndarray[Any, Any]]:
        """(encoded values, row numbers) of the rows without a NULL in the columns."""
        arrays = self._arrays(columns)
        whole = np.ones(len(arrays[0]), bool)
        for array in arrays:
            if array.null_count:
                whole &= array.is_valid().to_numpy(zero_copy_only=False)
        at = np.flatnonzero(whole)
        if len(at) < len(whole):
            arrays = [array.take(pa.array(at)) for array in arrays]
        return encode_values(arrays), at

    def as_keys(self, table: TableSchema, columns: tuple[ColumnId, ...], at: np.ndarray[Any, Any]) -> Keys:
        """The rows' columns as encoded keys of another table."""
        return table.key_spec.encode([array.take(pa.array(at)) for array in self._arrays(columns)])


def sides_of(tx: Transaction, change: TableChange) -> tuple[Side, Side]:
    """(rows written, rows as they were) of a change. Rows that did not exist before are not on the second side."""
    schema = change.schema
    if change.rows is not None:
        columns = [(c.page_name, physical_type(c.type)) for c in schema.stored]
        after = [item for item in change.rows if item.row is not None]
        before = [item for item in change.rows if item.before is not None]
        return (
            _of_rows(schema, [item.key for item in after], [item.row for item in after], columns),
            _of_rows(schema, [item.key for item in before], [item.before for item in before], columns),
        )
    if change.batch is not None:
        batch = schema.physical_projection.apply(_without_deletes(change.batch))
        before_batch = change.before
        if before_batch is None:
            before_batch = schema.physical_projection.empty()
        return _of_batch(schema, batch), _of_batch(schema, before_batch)
    return _of_run(tx, change)


def _without_deletes(batch: pa.RecordBatch) -> pa.RecordBatch:
    at = batch.schema.get_field_index("_op")
    if at < 0:
        return batch
    return batch.filter(pa.array(batch.column(at).to_numpy(zero_copy_only=False) != DELETE))


def _of_rows(
    schema: TableSchema, keys: list[Any], rows: list[Any], columns: list[tuple[str, pa.DataType]]
) -> Side:
    if not rows:
        return Side(schema, empty(schema.key_spec), schema.physical_projection.empty())
    batch = rows_to_batch(rows, columns)
    return _of_batch(schema, batch)


def _of_batch(schema: TableSchema, batch: pa.RecordBatch) -> Side:
    return Side(schema, schema.key_spec.keys_of(schema.key_spec.with_key(batch)), batch)


def _of_run(tx: Transaction, change: TableChange) -> tuple[Side, Side]:
    """A bulk change: its pages joined, and the rows there were under its keys."""
    schema = change.schema
    projection = schema.physical_projection
    pages = change.run.newest.pages
    after = [_without_deletes(page.batch()) for page in pages]
    joined = pa.Table.from_batches([projection.apply(batch) for batch in after]).combine_chunks()
    batches = joined.to_batches()
    written = batches[0] if batches else projection.empty()
    before = [tx.base_reader(schema).lookup(page.keys()).take(projection) for page in pages]
    old = pa.Table.from_batches(before).combine_chunks().to_batches()
    return _of_batch(schema, written), _of_batch(schema, old[0] if old else projection.empty())
