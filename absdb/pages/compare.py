"""Equality of rows, whole columns at a time: it decides what a diff shows and what a merge calls a conflict.

Nulls equal nulls, NaN equals NaN whatever its bits, -0.0 equals 0.0. Lists, structs and maps are equal if
their parts are, maps in the order of their entries. What stands under a null, in a buffer or in the children
of a null list, never counts.

Called by versioning/ (diff, merge) and by engine/ where an update turns out to change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from absdb.errors import SchemaMismatchError
from absdb.pages.types import describe_type, to_physical

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


def equal_rows(a: pa.Array | pa.ChunkedArray, b: pa.Array | pa.ChunkedArray) -> Mask:
    """For each row, whether the two columns, of one type and length, hold the same value.

    Raises SchemaMismatchError if types or lengths differ.
    """
    if not a.type.equals(b.type):
        raise SchemaMismatchError(f"cannot compare {describe_type(a.type)} with {describe_type(b.type)}")
    if len(a) != len(b):
        raise SchemaMismatchError(f"cannot compare {len(a)} rows with {len(b)}")
    return _equal(_one_array(a), _one_array(b))


def changed_matrix(
    a: pa.RecordBatch | pa.Table, b: pa.RecordBatch | pa.Table, columns: Iterable[str] | None = None
) -> dict[str, Mask]:
    """For each column, by default all of `a`, which rows differ between two batches or tables."""
    names = list(a.schema.names if columns is None else columns)
    for side in (a, b):
        missing = [name for name in names if name not in side.schema.names]
        if missing:
            raise SchemaMismatchError(f"cannot compare: no column {missing[0]!r} on one of the two sides")
    return {name: ~equal_rows(a.column(name), b.column(name)) for name in names}


def _one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as a single physical array."""
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(_chunks(column))
    return to_physical(column, column.type)


def _chunks(column: pa.ChunkedArray) -> list[pa.Array]:
    return column.chunks or [pa.array([], column.type)]


def _equal(a: pa.Array, b: pa.Array) -> Mask:
    """Both have one physical type and one length."""
    if a is b or pt.is_null(a.type):
        return np.ones(len(a), np.bool_)
    both_valid: Mask | None = None
    same_validity: Mask | None = None
    if a.null_count or b.null_count:
        a_valid, b_valid = _mask_of(a.is_valid()), _mask_of(b.is_valid())
        same_validity, both_valid = a_valid == b_valid, a_valid & b_valid
    same = _comparison_of(a.type)(a, b, both_valid)
    if same_validity is None or both_valid is None:
        return same
    # Null on both sides is equal whatever the values below, null on one side never.
    same |= ~both_valid
    same &= same_validity
    return same


def _comparison_of(type_: pa.DataType) -> Callable[[pa.Array, pa.Array, Mask | None], Mask]:
    """How values are compared; the functions may say anything where not both are valid (None: all are)."""
    if pt.is_struct(type_):
        return _equal_structs
    if pt.is_nested(type_):
        return _equal_lists
    if pt.is_floating(type_):
        return _equal_floats
    if pt.is_boolean(type_) or pt.is_string(type_) or pt.is_binary(type_):
        return _equal_by_arrow
    if pt.is_large_string(type_) or pt.is_large_binary(type_):
        return _equal_by_arrow
    return _equal_bytes


def _equal_by_arrow(a: pa.Array, b: pa.Array, both_valid: Mask | None) -> Mask:
    return _mask_of(pc.equal(_all_valid(a), _all_valid(b)))


def _all_valid(array: pa.Array) -> pa.Array:
    """The same memory without nulls: what lies under one is a value as good as any, and costs nothing to skip."""
    if not array.null_count:
        return array
    buffers = [None, *array.buffers()[1:]]
    return pa.Array.from_buffers(array.type, len(array), buffers, 0, array.offset)


def _equal_floats(a: pa.Array, b: pa.Array, both_valid: Mask | None) -> Mask:
    x, y = _values_of(a, a.type.to_pandas_dtype()), _values_of(b, b.type.to_pandas_dtype())
    same: Mask = x == y
    if not same.all():
        same |= (x != x) & (y != y)
    return same


def _equal_bytes(a: pa.Array, b: pa.Array, both_valid: Mask | None) -> Mask:
    """Where equal values are equal bytes: integers, temporal types, decimals, intervals, fixed binaries."""
    width = a.type.bit_width // 8
    if width == 0:
        return np.ones(len(a), np.bool_)
    word = next(size for size in (8, 4, 2, 1) if width % size == 0)
    dtype, words = np.dtype(f"u{word}"), width // word
    x, y = _values_of(a, dtype, words), _values_of(b, dtype, words)
    if words == 1:
        return np.equal(x, y)
    # Column by column: numpy is slow at reducing along an axis of two or three.
    same: Mask = x[0::words] == y[0::words]
    for i in range(1, words):
        same &= x[i::words] == y[i::words]
    return same


def _equal_structs(a: pa.Array, b: pa.Array, both_valid: Mask | None) -> Mask:
    same = np.ones(len(a), np.bool_)
    for i in range(a.type.num_fields):
        same &= _equal(a.field(i), b.field(i))
    return same


def _equal_lists(a: pa.Array, b: pa.Array, both_valid: Mask | None) -> Mask:
    """Lists of all kinds and maps: equal lengths, then the items of the rows still in question in one go."""
    a_starts, a_lengths = _extents(a)
    b_starts, b_lengths = _extents(b)
    same: Mask = a_lengths == b_lengths
    rows = np.flatnonzero((same if both_valid is None else same & both_valid) & (a_lengths > 0))
    if not len(rows):
        return same
    lengths = a_lengths[rows]
    items = _equal_items(a, _span(a_starts[rows], lengths), b, _span(b_starts[rows], lengths))
    # A list differs if any of its items does. No list is empty here, which reduceat could not stand.
    firsts = np.cumsum(lengths) - lengths
    same[rows] = np.logical_and.reduceat(items, firsts)
    return same


def _equal_items(a: pa.Array, a_items: Rows, b: pa.Array, b_items: Rows) -> Mask:
    if pt.is_map(a.type):
        keys = _equal(_pick(a.keys, a_items), _pick(b.keys, b_items))
        return keys & _equal(_pick(a.items, a_items), _pick(b.items, b_items))
    return _equal(_pick(a.values, a_items), _pick(b.values, b_items))


def _pick(values: pa.Array, items: Rows) -> pa.Array:
    """The items, as a slice if they are neighbours."""
    start, count = int(items[0]), len(items)
    if int(items[-1]) - start + 1 == count:  # ascending without repetition, so nothing is left out
        return values.slice(start, count)
    return values.take(pa.array(items))


def _span(starts: Rows, lengths: Rows) -> Rows:
    """start, start + 1, ... for each of the lengths, one after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)


def _extents(array: pa.Array) -> tuple[Rows, Rows]:
    """Where each list starts among the unsliced items, and its length; both arbitrary at nulls."""
    if pt.is_fixed_size_list(array.type):
        size = array.type.list_size
        starts = np.arange(array.offset, array.offset + len(array), dtype=np.int64) * size
        return starts, np.full(len(array), size, np.int64)
    if not len(array):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    wide = pt.is_large_list(array.type)
    dtype = np.dtype(np.int64 if wide else np.int32)
    offsets = np.frombuffer(array.buffers()[1], dtype, len(array) + 1, array.offset * dtype.itemsize)
    offsets = offsets.astype(np.int64)
    return offsets[:-1], np.diff(offsets)


def _values_of(array: pa.Array, dtype: Any, words: int = 1) -> npt.NDArray[Any]:
    """The raw values, `words` of `dtype` each, also those under nulls."""
    if not len(array):
        return np.empty(0, dtype)
    itemsize = np.dtype(dtype).itemsize * words
    return np.frombuffer(array.buffers()[1], dtype, len(array) * words, array.offset * itemsize)


def _mask_of(booleans: pa.Array) -> Mask:
    return booleans.to_numpy(zero_copy_only=False)
