"""Changes of rows that SQL has computed: by stored key, be it hidden, and giving back the rows as they are now.

The verbs of engine/writes.py take rows as users pass them, without a hidden key. Here rows of any table are told
apart by what `stored_key` lists: the key's columns, or ROW_ID for a table without a key. All of a change is
checked before any of it is written. Called by sql/ for UPDATE, DELETE, MERGE and whatever has RETURNING.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import Column, TableSchema
from absdb.engine.gather import Gatherer
from absdb.engine.intake import whole_or_stream
from absdb.engine.prepare import Given, Present, complete, conform, fill, keys_of
from absdb.engine.reader import TableReader
from absdb.engine.refusals import refuse_existing
from absdb.engine.rows import logical_key
from absdb.engine.writes import in_key_order, tombstones
from absdb.pages.fold import fold_table
from absdb.pages.key import Keys, at, is_increasing, length, runs_of_equal, sort_order, take
from absdb.pages.projection import OutputColumn, Projection, has_extension
from absdb.pages.types import to_logical, to_physical

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

ROW_ID = "@row"
"""The hidden key of a row as a column; no column of a table can be called that."""


def stored_key(schema: TableSchema) -> list[str]:
    """The columns that tell rows apart."""
    return list(schema.key_names) if schema.hidden_key is None else [ROW_ID]


def with_row_ids(reader: TableReader) -> pa.Table:
    """All rows of a table without a key, with ROW_ID as the last column."""
    schema, hidden = reader.schema, reader.schema.hidden_key
    assert hidden is not None
    row_id = OutputColumn(ROW_ID, hidden.page_name, pa.int64(), pa.int64(), None)
    projection = Projection((*schema.projection.columns, row_id))
    fields = [*schema.arrow_schema, pa.field(ROW_ID, pa.int64())]
    return fold_table(schema.key_spec, reader.sections, projection, pa.schema(fields))


def rows_with_keys(reader: TableReader, rows: pa.Table, columns: list[str] | None) -> pa.Table:
    """Those rows of a table whose keys are among `rows` (the key's columns), in key order."""
    schema = reader.schema
    keys = _distinct(keys_of(schema, conform(schema, rows.select(list(schema.key_names)))))
    names = tuple(columns if columns is not None else schema.by_name)
    found = reader.lookup(keys).take(schema.project(names))
    fields = [schema.arrow_schema.field(name) for name in names]
    return pa.Table.from_batches([found]).cast(pa.schema(fields))


def insert(tx: Transaction, schema: TableSchema, rows: pa.Table) -> pa.Table:
    """Add rows that are not there; ConstraintError for keys that are. Returns the rows with every column, in order."""
    batch = complete(tx, schema, conform(schema, rows))
    ordered = in_key_order(schema, batch)
    if ordered.num_rows and schema.hidden_key is None:
        keys = schema.key_spec.keys_of(ordered)
        refuse_existing(schema, keys, tx.reader(schema).lookup(keys).alive)
    tx.write_batch(schema, ordered)
    return visible(schema, batch)


def update(tx: Transaction, schema: TableSchema, rows: pa.Table) -> pa.Table:
    """Change columns of rows that are there. Returns those rows as they are now, with every column, in the order given.

    `rows` has the columns of `stored_key` and those that change, each row once.
    """
    batch = _updated(tx, schema, tx.reader(schema), rows)
    tx.write_batch(schema, in_key_order(schema, batch))
    return visible(schema, batch)


def update_stream(tx: Transaction, schema: TableSchema, rows: pa.RecordBatchReader) -> int:
    """The same for any number of rows, with bounded memory; returns their number."""
    table, batches = whole_or_stream(tx, rows)
    if table is not None:
        return update(tx, schema, table).num_rows
    reader, gatherer = tx.reader(schema), Gatherer(tx, schema)
    try:
        for batch in batches:
            changed = _updated(tx, schema, reader, pa.Table.from_batches([batch]))
            gatherer.add(in_key_order(schema, changed))
        run = gatherer.finish()
    finally:
        gatherer.abort()
    assert run is not None, "a stream above the threshold has rows"
    tx.write_run(schema, run.with_lsn)
    return run.newest.rows


def _updated(tx: Transaction, schema: TableSchema, reader: TableReader, rows: pa.Table) -> pa.RecordBatch:
    """What an update writes, in the order of the rows."""
    given, row_ids = _conformed(schema, rows)
    found = reader.lookup(_keys(schema, given, row_ids))
    assert found.alive.all(), "the rows were read in this transaction"
    left_out = tuple(c for c in schema.columns if c.generated is None and c.page_name not in given.columns)
    old = found.take(schema.page_projection(tuple(c.id for c in left_out))) if left_out else None
    columns = {} if old is None else dict(zip(old.schema.names, old.columns, strict=True))
    return complete(tx, schema, given, present=Present(found.alive, columns), row_ids=row_ids)


def replace(tx: Transaction, schema: TableSchema, old_keys: pa.Table, rows: pa.Table) -> pa.Table:
    """Put rows with other keys in the place of rows that are there; returns them as `insert` does.

    `old_keys` has the key's columns; each row of it goes. Two rows may swap their keys.
    """
    with tx.atomic():
        delete(tx, schema, old_keys)
        return insert(tx, schema, rows)


def delete(tx: Transaction, schema: TableSchema, rows: pa.Table) -> int:
    """Remove rows by `stored_key`; returns how many there were. Other columns are ignored."""
    given, row_ids = _conformed(schema, rows.select(stored_key(schema)))
    keys = _distinct(_keys(schema, given, row_ids))
    there = take(keys, np.flatnonzero(tx.reader(schema).lookup(keys).alive))
    tx.write_batch(schema, tombstones(schema, there))
    return length(there)


def alive(reader: TableReader, rows: pa.Table) -> np.ndarray[Any, Any]:
    """For each row, whether the table has its key; rows whose key is NULL have none."""
    schema = reader.schema
    given = conform(schema, rows.select(list(schema.key_names)))
    there = np.ones(given.rows, bool)
    for array in given.columns.values():
        there &= array.is_valid().to_numpy(zero_copy_only=False)
    known = np.flatnonzero(there)
    there[known] = reader.lookup(keys_of(schema, given.take(known))).alive
    return there


def physical(values: pa.ChunkedArray, column: Column) -> pa.Array:
    """Values of a column as pages hold them."""
    return to_physical(
        pa.concat_arrays(values.chunks) if values.num_chunks else values.combine_chunks(), column.type
    )


def given_twice(schema: TableSchema, rows: pa.Table) -> tuple[Any, ...] | None:
    """The `stored_key` of a row that is among `rows` more than once; () if the key is hidden, None if there is none."""
    keys = _keys(schema, *_conformed(schema, rows.select(stored_key(schema))))
    keys = take(keys, sort_order(keys))
    again = np.flatnonzero(~runs_of_equal(keys))
    if not len(again):
        return None
    return () if schema.hidden_key is not None else logical_key(schema, at(keys, int(again[0])))


def filled(tx: Transaction, schema: TableSchema, rows: pa.Table) -> pa.Table:
    """New rows as they would be inserted, with their defaults and generated values; nothing is checked.

    Columns are of the types that pages hold, except UUIDs, JSON and the like.
    """
    values = fill(tx, schema, conform(schema, rows))
    arrays = [
        to_logical(values[column.page_name], column.type)
        if has_extension(column.type)
        else values[column.page_name]
        for column in schema.columns
    ]
    return pa.Table.from_arrays(arrays, names=list(schema.by_name))


def visible(schema: TableSchema, batch: pa.RecordBatch) -> pa.Table:
    """A page batch as users see it."""
    arrays = [to_logical(batch.column(column.page_name), column.type) for column in schema.columns]
    return pa.Table.from_arrays(arrays, schema=schema.arrow_schema)


def _conformed(schema: TableSchema, rows: pa.Table) -> tuple[Given, pa.Array | None]:
    """(columns as pages hold them, the hidden keys if the table has some)."""
    if schema.hidden_key is None:
        return conform(schema, rows), None
    column = rows.column(ROW_ID).combine_chunks()
    row_ids = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    given = conform(schema, rows.drop_columns([ROW_ID]))
    given.rows = rows.num_rows
    return given, row_ids


def _keys(schema: TableSchema, given: Given, row_ids: pa.Array | None) -> Keys:
    return keys_of(schema, given) if row_ids is None else schema.key_spec.encode([row_ids])


def _distinct(keys: Keys) -> Keys:
    """The keys in order, each once."""
    if is_increasing(keys, strict=True):
        return keys
    keys = take(keys, sort_order(keys))
    return take(keys, np.flatnonzero(runs_of_equal(keys)))


def fitted(schema: TableSchema, column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values of a column in its own type; SchemaMismatchError if they do not fit."""
    array = conform(schema, pa.table({column.name: values})).columns[column.page_name]
    return pa.chunked_array([to_logical(array, column.type)], type=column.type)
