"""Values that fit their columns just as they are, so that an INSERT need not ask DuckDB to cast them.

Only Python types are taken of which DuckDB's cast to the column's type gives the very same value. Called by
insert.py.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.types as pt

from absdb.catalog.schema import Column

if TYPE_CHECKING:
    from absdb.sql.change.insert_plan import Cell


def exact_rows(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], values: Mapping[str, Any]
) -> list[dict[str, Any]] | None:
    """The rows as dicts, without the columns that are DEFAULT; None if a value is not of its column's type."""
    names = [column.name for column in columns]
    fits = [_fit_of(column) for column in columns]
    found = []
    for row in rows:
        made: dict[str, Any] = {}
        for name, wanted, cell in zip(names, fits, row, strict=True):
            if cell.kind == "default":
                continue
            value = values[cell.value] if cell.kind == "parameter" else cell.value
            if value is not None and not wanted.takes(value):
                return None
            made[name] = value
        found.append(made)
    return found


class _Fit(NamedTuple):
    """The Python type of the values that fit as they are, None if there is none; dates with time are of two kinds."""

    python: type | None
    zoned: bool = False

    def takes(self, value: Any) -> bool:
        kind = type(value)
        return kind is self.python and (kind is not dt.datetime or (value.tzinfo is not None) is self.zoned)


_FITS: dict[pa.DataType, _Fit] = {}


def _fit_of(column: Column) -> _Fit:
    kind = column.type
    if kind not in _FITS:
        _FITS[kind] = _Fit(_python_type(kind), pt.is_timestamp(kind) and kind.tz is not None)
    return _FITS[kind]


def _python_type(kind: pa.DataType) -> type | None:
    if isinstance(kind, pa.UuidType):
        return uuid.UUID
    if isinstance(kind, pa.BaseExtensionType):
        return None
    if pt.is_timestamp(kind):
        return dt.datetime if kind.unit in ("us", "ns") else None
    return next((made for test, made in _TESTS if test(kind)), None)


_TESTS: list[tuple[Any, type]] = [
    (pt.is_integer, int),
    (pt.is_float64, float),
    (pt.is_boolean, bool),
    (pt.is_string, str),
    (pt.is_large_string, str),
    (pt.is_string_view, str),
    (pt.is_binary, bytes),
    (pt.is_large_binary, bytes),
    (pt.is_binary_view, bytes),
    (pt.is_date32, dt.date),
    (pt.is_decimal128, Decimal),
]
