"""Long lists of VALUES as columns, so that DuckDB casts a column at a time and not each value by itself.

    VALUES (1, '2026-01-01', 1.25), (2, '2026-01-02', 1.5), …
    SELECT CAST("0" AS INTEGER), CAST("1" AS DATE), CAST("2" AS DECIMAL(12,2)) FROM columns

Only values whose cast is the same either way are taken; with others, and when a cast fails, the statement goes on as it
is written, so that errors have their place. Called by insert.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.types as pt

from absdb.catalog.schema import Column, TableSchema
from absdb.errors import QueryError
from absdb.sql.change.target import types_of
from absdb.sql.query import run
from absdb.sql.query.prepared import Prepared
from absdb.sql.text.tokens import quoted

if TYPE_CHECKING:
    from absdb.sql.change.insert_plan import Cell
    from absdb.sql.session import Call

ROWS_MIN = 20
_COLUMNS = "@values"
_DECIMAL = re.compile(r"-?\d+\.\d+")
_DIGITS_MAX = 15
"""Decimals of so many digits are cast to floating point without a second rounding, whatever their scale."""


def cast_in_columns(
    call: Call, schema: TableSchema, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]
) -> pa.Table | None:
    """The values with the types of their columns; None if they must be cast one by one. DEFAULT is NULL here."""
    if len(rows) < ROWS_MIN or call.session.duckdb_settings:
        return None
    arrays = []
    for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
        array = _array(column.type, [_value(call, cell) for cell in cells])
        if array is None:
            return None
        arrays.append(array)
    places = [str(at) for at in range(len(columns))]
    types = types_of(call.session.backend, schema)
    chosen = ", ".join(
        f'CAST("{place}" AS {types[column.name]}) AS {quoted(column.name)}'
        for place, column in zip(places, columns, strict=True)
    )
    given = {_COLUMNS: pa.table(arrays, names=places)}
    try:
        return run.table(
            call.session.backend, Prepared(f'SELECT {chosen} FROM "{_COLUMNS}"', [], given, [], []), {}
        )
    except QueryError:
        return None  # the values one by one tell which of them it was


def _value(call: Call, cell: Cell) -> Any:
    """The value of a cell; an object of no use for one that only DuckDB knows."""
    if cell.kind == "parameter":
        return call.values[cell.value]
    if cell.kind != "constant":
        return cell.value
    text = call.text[cell.span.start : cell.span.stop]
    return Decimal(text) if _DECIMAL.fullmatch(text) else cell


def _array(target: pa.DataType, values: list[Any]) -> pa.Array | None:
    """The values as DuckDB would hold them before the cast, None if a column of them would be cast differently."""
    kinds = {type(value) for value in values} - {type(None)}
    if not kinds:
        return pa.nulls(len(values), pa.string())
    if Decimal in kinds and kinds <= {int, Decimal}:
        return _decimals(target, values)
    kind = kinds.pop()
    if kinds or kind not in _TYPES:
        return None
    if kind is not str and not any(test(target) for test in _PLAIN):
        return None
    try:
        return pa.array(values, _TYPES[kind])
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return None


def _decimals(target: pa.DataType, values: list[Any]) -> pa.Array | None:
    if not (pt.is_integer(target) or pt.is_float64(target) or pt.is_decimal128(target)):
        return None
    numbers = [value if value is None else Decimal(value) for value in values]
    array = pa.array(numbers)
    kind = array.type
    return array if pt.is_decimal128(kind) and kind.precision <= _DIGITS_MAX else None


_TYPES = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
_PLAIN = (pt.is_boolean, pt.is_integer, pt.is_float32, pt.is_float64, pt.is_decimal128, pt.is_string)
