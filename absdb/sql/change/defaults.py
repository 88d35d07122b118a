"""DEFAULT written in the place of a value.

Defaults are the engine's affair: values, expressions, and numbers of sequences that are handed out once. Called by
insert.py, update.py, on_conflict.py and merge_into.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import Column, TableSchema
from absdb.engine.prepare import default_values
from absdb.engine.row_changes import fitted
from absdb.pages.types import to_logical

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction


def no_columns(rows: int) -> pa.Table:
    """Rows that leave every column to its default."""
    return pa.table({"": pa.nulls(rows)}).select([])


def defaults_of(tx: Transaction, schema: TableSchema, column: Column, rows: int) -> pa.ChunkedArray:
    """The default of a column for each of some rows."""
    made = to_logical(default_values(tx, schema, column, rows), column.type)
    return pa.chunked_array([made], type=column.type)


def with_columns(tx: Transaction, schema: TableSchema, rows: pa.Table, columns: Iterable[Column]) -> pa.Table:
    """The rows with the defaults of some columns in their place."""
    for column in columns:
        made = defaults_of(tx, schema, column, rows.num_rows)
        at = rows.schema.get_field_index(column.name)
        rows = rows.append_column(column.name, made) if at < 0 else rows.set_column(at, column.name, made)
    return rows


def with_cells(
    tx: Transaction, schema: TableSchema, rows: pa.Table, masks: Mapping[str, np.ndarray[Any, Any]]
) -> pa.Table:
    """The rows with the default of its column wherever a mask says so; a column of defaults only is left out."""
    count = rows.num_rows
    for name, mask in masks.items():
        if mask.all():
            left = [other for other in rows.column_names if other != name]
            rows = rows.select(left) if left else no_columns(count)
        elif mask.any():
            column = schema.by_name[name]
            given = fitted(schema, column, rows.column(name))
            made = defaults_of(tx, schema, column, int(mask.sum()))
            at = np.arange(count)
            at[mask] = np.arange(count, count + len(made))
            both = pa.chunked_array([*given.chunks, *made.chunks], type=column.type)
            rows = rows.set_column(rows.schema.get_field_index(name), name, both.take(pa.array(at)))
    return rows
