"""Values of some columns in stored rows, as one hashable thing: what UNIQUE and FOREIGN KEY compare.

Rows that are equal in the columns give equal tuples, and these are equal in index runs too: NaN equals NaN,
-0.0 equals 0.0. A row with a NULL in one of them gives None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine.rowcodec import Row
from absdb.ids import ColumnId
from absdb.pages.key import Key, KeySpec
from absdb.pages.types import physical_type

Value = tuple[Any, ...]
Columns = tuple[ColumnId, ...]
ValueOf = Callable[[Row], "Value | None"]

_NAN = "nan"


def value_of(schema: TableSchema, columns: Columns) -> ValueOf:
    """A function from a stored row to its value in the columns, made once per schema."""
    made: dict[Columns, ValueOf] = schema.__dict__.setdefault("_values", {})
    found = made.get(columns)
    if found is None:
        found = made[columns] = _make(schema, columns)
    return found


def _make(schema: TableSchema, columns: Columns) -> ValueOf:
    ids = [column.id for column in schema.stored]
    positions = [ids.index(column) for column in columns]
    floats = any(pa.types.is_floating(physical_type(schema.by_id[column].type)) for column in columns)

    def one(row: Row) -> Value | None:
        value = row[position]
        return None if value is None else (value,)

    def several(row: Row) -> Value | None:
        value = tuple([row[at] for at in positions])
        return None if None in value else value

    def with_floats(row: Row) -> Value | None:
        value = several(row)
        return None if value is None else tuple([_NAN if part != part else part for part in value])

    position = positions[0]
    return with_floats if floats else one if len(positions) == 1 else several


class ValueSpec(NamedTuple):
    """How values of some columns are encoded in index runs, and the types of that encoding as text."""

    spec: KeySpec
    types: str


def value_spec(schema: TableSchema, columns: Columns) -> ValueSpec:
    """The encoding of values of the columns, made once per schema."""
    made: dict[Columns, ValueSpec] = schema.__dict__.setdefault("_value_specs", {})
    found = made.get(columns)
    if found is None:
        named = [schema.by_id[column] for column in columns]
        types = [physical_type(column.type) for column in named]
        spec = KeySpec.of([column.page_name for column in named], types)
        found = made[columns] = ValueSpec(spec, ",".join(map(str, types)))
    return found


def encode_value(schema: TableSchema, columns: Columns, value: Value) -> Key:
    """A value as index runs have it."""
    parts = [float(part) if part is _NAN else part for part in value]
    return value_spec(schema, columns).spec.encode_one(parts)
