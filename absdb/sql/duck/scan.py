"""A table state as DuckDB reads it: an Arrow table with the columns a query needs.

Pages are mapped, not copied; in states that are read again, those that changes cut into slices of less than SLICE_ROWS
are put together. States that were read before are kept folded by the engine. What pages hold in another type than the
table has (dictionaries, views of text) is read as pages hold it, which costs nothing. Text of few values and decimals
of up to 18 digits come in code (engine/coding.py): DuckDB reads both as what they are, VARCHAR and DECIMAL, several
times faster. Types that DuckDB cannot read become the nearest one that holds every value:

    float16                      float32, at any depth
    decimal256, negative scale   decimal128 without loss; QueryError for a value of more than 38 digits
    an empty struct              left to DuckDB, which refuses it before 2.0

Called by rewrite.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.types as pt

from absdb.catalog.schema import TableSchema
from absdb.engine.coding import coded_columns
from absdb.engine.reader import TableReader
from absdb.errors import QueryError
from absdb.pages.projection import has_extension
from absdb.pages.types import physical_type

DIGITS_MAX = 38
SLICE_ROWS = 8_192
"""Below this DuckDB takes longer to take in a slice of a few columns than it takes to copy its rows."""


def scan(reader: TableReader, columns: Sequence[str] | None) -> pa.Table:
    """The table, or some of its columns in the table's order."""
    stored = as_stored(reader)
    return readable(stored.to_table(columns, coded_columns(stored, columns)))


def as_stored(reader: TableReader) -> TableReader:
    """The same rows, with columns in the types that pages hold them in."""
    schema = reader.schema
    stored: TableSchema | None = schema.__dict__.get("_as_stored")
    if stored is None:
        columns = tuple(dataclasses.replace(c, type=_stored_type(c.type)) for c in schema.columns)
        stored = schema.__dict__["_as_stored"] = dataclasses.replace(schema, columns=columns)
    return reader.under(stored, SLICE_ROWS)


def _stored_type(kind: pa.DataType) -> pa.DataType:
    """Extension types tell DuckDB what they are, and cost nothing either."""
    return kind if has_extension(kind) else physical_type(kind)


def needed(schema: TableSchema, names: set[str]) -> list[str]:
    """The columns of a table whose names occur in a query, one at least, in the table's order."""
    found = [column.name for column in schema.columns if column.name.casefold() in names]
    return found or [column.name for column in schema.columns][:1]


def readable(table: pa.Table) -> pa.Table:
    """The table with every column in a type that DuckDB reads."""
    for at, field in enumerate(table.schema):
        target = readable_type(field.type)
        if target != field.type:
            try:
                column = table.column(at).cast(target)
            except pa.ArrowInvalid as error:
                raise QueryError(
                    f"column {field.name!r} has a value of more than {DIGITS_MAX} digits, which SQL cannot read",
                    hint="read it with to_arrow()",
                ) from error
            table = table.set_column(at, field.with_type(target), column)
    return table


def readable_type(kind: pa.DataType) -> pa.DataType:
    """The type itself, or the nearest that DuckDB knows."""
    if pt.is_float16(kind):
        return pa.float32()
    if pt.is_decimal(kind) and (kind.scale < 0 or kind.precision > DIGITS_MAX):
        return pa.decimal128(DIGITS_MAX, max(kind.scale, 0))
    if pt.is_struct(kind):
        return pa.struct([_readable_field(kind.field(at)) for at in range(kind.num_fields)])
    if pt.is_map(kind):
        return pa.map_(_readable_field(kind.key_field), _readable_field(kind.item_field), kind.keys_sorted)
    if pt.is_fixed_size_list(kind):
        return pa.list_(_readable_field(kind.value_field), kind.list_size)
    for test, make in ((pt.is_list, pa.list_), (pt.is_large_list, pa.large_list)):
        if test(kind):
            return make(_readable_field(kind.value_field))
    return kind


def _readable_field(field: pa.Field) -> pa.Field:
    return field.with_type(readable_type(field.type))
