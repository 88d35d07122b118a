"""Which types a foreign key may have on its two sides, and values of one side in the type of the other.

Types go together if equal values can be told without rounding: all integers, all strings, all binaries, decimals
of one scale. A value that the other type cannot hold, such as -1 in a uint64, has no partner there. Arguments are
physical types. Called by ddl_constraints.py, integrity.py and the checks of foreign keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from absdb.catalog.schema import TableSchema
from absdb.engine.values import Columns
from absdb.pages.types import physical_type


def are_comparable(a: pa.DataType, b: pa.DataType) -> bool:
    """Whether a foreign key may lead from a column of one type to one of the other."""
    if a == b:
        return True
    if pt.is_decimal(a) and pt.is_decimal(b):
        return bool(a.scale == b.scale)
    return any(kind(a) and kind(b) for kind in (pt.is_integer, _is_text, _is_binary))


def types_of(schema: TableSchema, columns: Columns) -> list[pa.DataType]:
    """The physical types of some columns."""
    return [physical_type(schema.by_id[column].type) for column in columns]


def fits(values: Sequence[Any], types: Sequence[pa.DataType]) -> bool:
    """Whether columns of `types` can hold the physical Python values, which are of comparable ones."""
    return all(_fits(value, type_) for value, type_ in zip(values, types, strict=True))


def brought(array: pa.Array, type_: pa.DataType) -> pa.Array:
    """The values in a comparable type, NULL where that cannot hold one."""
    held = _held(array, type_)
    if held is not None:
        array = pc.if_else(held, array, pa.scalar(None, array.type))
    return array if array.type == type_ else array.cast(type_)


def _is_text(type_: pa.DataType) -> bool:
    return bool(pt.is_string(type_) or pt.is_large_string(type_))


def _is_binary(type_: pa.DataType) -> bool:
    return bool(pt.is_binary(type_) or pt.is_large_binary(type_) or pt.is_fixed_size_binary(type_))


def _fits(value: Any, type_: pa.DataType) -> bool:
    if pt.is_integer(type_):
        lo, hi = _bounds(type_)
        return bool(lo <= value <= hi)
    if pt.is_decimal(type_):
        return bool(value.adjusted() < type_.precision - type_.scale)
    if pt.is_fixed_size_binary(type_):
        return len(value) == type_.byte_width
    return True


def _held(array: pa.Array, type_: pa.DataType) -> pa.Array | None:
    """Which values `type_` can hold; None for all."""
    own = array.type
    if pt.is_integer(type_):
        (lo, hi), (least, most) = _bounds(type_), _bounds(own)
        return None if lo <= least and most <= hi else _between(array, max(lo, least), min(hi, most))
    if pt.is_decimal(type_):
        if own.precision <= type_.precision:
            return None
        limit = Decimal((0, (9,) * type_.precision, -type_.scale))
        return _between(array, limit.copy_negate(), limit)
    if pt.is_fixed_size_binary(type_):
        if pt.is_fixed_size_binary(own):
            return None if own == type_ else pa.repeat(False, len(array))
        return pc.equal(pc.binary_length(array), type_.byte_width)
    return None


def _between(array: pa.Array, lo: Any, hi: Any) -> pa.Array:
    low, high = (pa.scalar(bound, array.type) for bound in (lo, hi))
    return pc.and_(pc.greater_equal(array, low), pc.less_equal(array, high))


def _bounds(type_: pa.DataType) -> tuple[int, int]:
    bits = type_.bit_width
    return (
        (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if pt.is_signed_integer(type_) else (0, (1 << bits) - 1)
    )
