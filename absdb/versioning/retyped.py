"""A column that one side gave another type: which columns of two schemas are one, and which rows hold the same.

A change of type that is no lossless widening makes a new column that `replaces` the old one. Its *origin* is the
column that the chain of replacements began with; columns of one origin are the same column. Their values are
compared as `retype_column` makes one of the other: cast from the older column's type without any loss, in the
direction of the change. A value that cannot be cast so is a change. Called by versioning/table_diff.py and
merge_sides.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from absdb.catalog.schema import Column, TableSchema
from absdb.engine.fitting import MisfitError, cast
from absdb.engine.prepare import physical_scalar
from absdb.ids import ColumnId
from absdb.pages.compare import equal_rows
from absdb.pages.types import physical_type

Bools = np.ndarray[Any, np.dtype[np.bool_]]

_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
"""Text that may be a number; what is not is found at once, rather than by trying."""


def initial_as(column: Column, kind: pa.DataType) -> Any:
    """The initial default of a column as a physical value of a wider type: 1 s is 1,000,000 µs."""
    if column.initial_default is None or physical_type(column.type) == kind:
        return column.initial_default
    scalar = physical_scalar(column.initial_default, physical_type(column.type)).cast(kind)
    return scalar.value if pt.is_temporal(kind) else scalar.as_py()


def origin_of(schema: TableSchema, column: Column) -> ColumnId:
    """The id of the column that this one goes back to through changes of type; its own if there were none."""
    while column.replaces is not None:
        before = schema.by_id.get(column.replaces)
        if before is None:
            return column.replaces
        column = before
    return column.id


def descends(schema: TableSchema, column: Column, ancestor: Column) -> bool:
    """Whether a column of `schema` was made from `ancestor` by changes of type."""
    while column.replaces is not None:
        if column.replaces == ancestor.id:
            return True
        if column.replaces not in schema.by_id:
            return False
        column = schema.by_id[column.replaces]
    return False


def changed_values(older: pa.Array, newer: pa.Array) -> Bools:
    """For each row whether the older value, cast to the newer type without loss, is another one; NULL is NULL."""
    made, fits = cast_each(older, newer.type)
    same = equal_rows(made, newer) & fits
    changed: Bools = ~same
    return changed


def cast_each(values: pa.Array, wanted: pa.DataType) -> tuple[pa.Array, Bools]:
    """(the values as another type, NULL where one does not fit; which ones fit)."""
    fits = np.ones(len(values), bool)
    text = pt.is_string(values.type) or pt.is_large_string(values.type)
    if text and _is_number(wanted):
        readable = pc.fill_null(pc.match_substring_regex(values, _NUMBER), True)
        fits &= readable.to_numpy(zero_copy_only=False)
    elif _is_number(values.type) and _is_number(wanted):
        fits &= _kept(values, wanted)
    if not fits.all():
        values = pc.if_else(pa.array(fits), values, pa.scalar(None, values.type))
    pieces: list[pa.Array] = []
    _cast_pieces(values, wanted, 0, fits, pieces)
    return (pa.concat_arrays(pieces) if pieces else pa.array([], wanted)), fits


def _is_number(kind: pa.DataType) -> bool:
    return bool(pt.is_integer(kind) or pt.is_floating(kind))


def _kept(values: pa.Array, wanted: pa.DataType) -> Bools:
    """Which numbers are still the same after they have been another type."""
    there = values.cast(wanted, safe=False)
    return equal_rows(there.cast(values.type, safe=False), values)


def _cast_pieces(
    values: pa.Array, wanted: pa.DataType, start: int, fits: Bools, pieces: list[pa.Array]
) -> None:
    """Cast what can be cast, in halves around what cannot, which becomes NULL and does not fit."""
    if not len(values):
        return
    try:
        pieces.append(cast(values, wanted))
    except MisfitError:
        if len(values) == 1:
            fits[start] = False
            pieces.append(pa.nulls(1, wanted))
            return
        half = len(values) // 2
        _cast_pieces(values.slice(0, half), wanted, start, fits, pieces)
        _cast_pieces(values.slice(half), wanted, start + half, fits, pieces)
