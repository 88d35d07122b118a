"""A table state as DuckDB reads it: an Arrow table with the columns a query needs and the rows it can match.

Pages are mapped, not copied; states that were read before are kept folded by the engine. Types that DuckDB cannot
read are cast to the nearest one that holds every value. Called by rewrite.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.types as pt

from absdb.catalog.schema import TableSchema
from absdb.engine.reader import TableReader


def scan(reader: TableReader, columns: Sequence[str] | None) -> pa.Table:
    """The table, or some of its columns in the table's order."""
    return readable(reader.to_table(columns))


def needed(schema: TableSchema, names: set[str]) -> list[str]:
    """The columns of a table whose names occur in a query, one at least, in the table's order."""
    found = [column.name for column in schema.columns if column.name.casefold() in names]
    return found or [column.name for column in schema.columns][:1]


def readable(table: pa.Table) -> pa.Table:
    """The table with every column in a type that DuckDB reads."""
    for at, field in enumerate(table.schema):
        target = readable_type(field.type)
        if target != field.type:
            table = table.set_column(at, field.with_type(target), table.column(at).cast(target))
    return table


def readable_type(kind: pa.DataType) -> pa.DataType:
    """The type itself, or the nearest that DuckDB knows."""
    for test, target in _UNREADABLE:
        if test(kind):
            return target
    return kind


_UNREADABLE: list[tuple[Callable[[pa.DataType], bool], pa.DataType]] = [
    (pt.is_float16, pa.float32()),
]
