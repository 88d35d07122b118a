"""Rows that are written as they are already: found here, and left out of what a commit writes.

A row is unchanged if every stored column is the same: to the bit where floats are concerned (0.0 is not -0.0, and a
NaN is the NaN it was), and as pages/compare.py says for all others. A few rows tell in which column most of them
differ; it is compared first, so that where all rows did change little else is read. Called by engine/load.py for
each batch of a stream and by engine/netchange.py for what a transaction has in the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from absdb.catalog.schema import Column, TableSchema
from absdb.engine.reader import TableReader
from absdb.pages.compare import equal_rows
from absdb.pages.lookup import Found
from absdb.pages.section import OP, UPSERT

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Rows = np.ndarray[Any, np.dtype[np.int64]]

SAMPLE_ROWS = 64
_WORDS = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}


def unchanged(reader: TableReader, batch: pa.RecordBatch, found: Found | None = None) -> Bools:
    """For each row of a page batch whether the table has that very row; tombstones are never unchanged.

    `found` is where the keys are in the table, if that is known.
    """
    schema = reader.schema
    found = reader.lookup(schema.key_spec.keys_of(batch)) if found is None else found
    same = found.alive
    ops = batch.schema.get_field_index(OP)
    if ops >= 0:
        same = same & (batch.column(ops).to_numpy(zero_copy_only=False) == UPSERT)
    rows = np.flatnonzero(same)
    for column in _most_telling_first(schema, found, batch, rows):
        if not len(rows):
            break
        rows = rows[_same_in(schema, [column], found, batch, rows)[0]]
    same = np.zeros(batch.num_rows, bool)
    same[rows] = True
    return same


def unchanged_from(
    schema: TableSchema, batch: pa.RecordBatch, alive: Bools, old: pa.RecordBatch | None
) -> Bools:
    """The same where the rows that are there have been fetched: `old` has those of the keys that are `alive`."""
    same = alive.copy()
    if old is None:
        return same
    ops = batch.schema.get_field_index(OP)
    if ops >= 0:
        same &= batch.column(ops).to_numpy(zero_copy_only=False) == UPSERT
    new = schema.physical_projection.apply(batch)
    rows = np.flatnonzero(alive)
    new = new if len(rows) == batch.num_rows else new.take(pa.array(rows))
    for column in schema.stored:
        if column.id not in schema.key and same.any():
            same[rows] &= _identical(old.column(column.page_name), new.column(column.page_name))
    return same


def _most_telling_first(schema: TableSchema, found: Found, batch: pa.RecordBatch, rows: Rows) -> list[Column]:
    """The stored columns without the key, the one in which most of a few rows differ first."""
    columns = [column for column in schema.stored if column.id not in schema.key]
    if len(rows) <= SAMPLE_ROWS or len(columns) < 2:
        return columns
    sample = rows[:: -(-len(rows) // SAMPLE_ROWS)]
    kept = [int(same.sum()) for same in _same_in(schema, columns, found, batch, sample)]
    return [columns[at] for at in np.argsort(kept, kind="stable")]


def _same_in(
    schema: TableSchema, columns: list[Column], found: Found, batch: pa.RecordBatch, rows: Rows
) -> list[Bools]:
    """For each column, which of some rows have the value there that the table has."""
    projection = schema.page_projection(tuple(column.id for column in columns))
    old = found.some(rows).take(projection)
    new = projection.apply(batch)
    new = new if len(rows) == batch.num_rows else new.take(pa.array(rows))
    return [_identical(old.column(at), new.column(at)) for at in range(len(columns))]


def _identical(old: pa.Array, new: pa.Array) -> Bools:
    kind = _as_words(old.type)
    return equal_rows(old, new) if kind.equals(old.type) else equal_rows(old.view(kind), new.view(kind))


def _as_words(kind: pa.DataType) -> pa.DataType:
    """The type with integers of the same width in the place of floats, also inside of nested values."""
    if pt.is_floating(kind):
        return _WORDS[kind.bit_width]
    if not pt.is_nested(kind):
        return kind
    inner = [kind.field(at).with_type(_as_words(kind.field(at).type)) for at in range(kind.num_fields)]
    if pt.is_struct(kind):
        return pa.struct(inner)
    if pt.is_map(kind):
        return pa.map_(_as_words(kind.key_type), _as_words(kind.item_type))
    if pt.is_fixed_size_list(kind):
        return pa.list_(inner[0], kind.list_size)
    return pa.large_list(inner[0]) if pt.is_large_list(kind) else pa.list_(inner[0])
