"""Keys of rows, in the one form in which they are sorted, searched and kept as fences.

    KeyKind   key columns                                      Keys                          one key
    INTEGER   one integer, date, time, timestamp or duration   np.ndarray, int64 (uint64     int
                                                               for a uint64 column)
    BYTES     one string, binary or fixed_size_binary          pa.Array of binary            bytes
    ENCODED   anything else, several columns                   pa.Array of binary, stored    bytes
                                                               in the page as `_key`

The first two kinds are views of the column itself and need nothing stored. ENCODED keys are memcomparable
(see `memcomparable`). In all three the order of Keys is the order of the values. Keys never hold nulls.

A KeySpec ties this to the columns of a table; the functions below it work on Keys of any kind.

Called by every module of pages/ and by the engine, which keys its tail by what `encode_one` gives.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from absdb.errors import InvalidInputError
from absdb.pages.memcomparable import (
    binary_of,
    decode_columns,
    encode_columns,
    integers_of,
    integers_to_array,
    is_variable,
    row_decoder,
    row_encoder,
    too_many_bytes,
)
from absdb.pages.sorting import sort_binary, sort_integers
from absdb.pages.types import describe_type, is_orderable

Key = int | bytes
Keys = Any  # np.ndarray of int64 or uint64, or pa.Array of binary
Side = Literal["left", "right"]

KEY_COLUMN = "_key"


class KeyKind(Enum):
    INTEGER = "integer"
    BYTES = "bytes"
    ENCODED = "encoded"


@dataclass(frozen=True, slots=True)
class KeySpec:
    """The key of one table: page column names, their physical types, and the form its keys take."""

    columns: tuple[str, ...]
    types: tuple[pa.DataType, ...]
    kind: KeyKind
    _encode_row: Callable[[Sequence[Any]], Key] = field(repr=False, compare=False)
    _decode_row: Callable[[Any], tuple[Any, ...]] = field(repr=False, compare=False)

    @classmethod
    def of(cls, columns: Sequence[str], types: Sequence[pa.DataType]) -> KeySpec:
        """Raises InvalidInputError for a type that has no order, such as a list."""
        if not columns or len(columns) != len(types):
            raise InvalidInputError(f"a key needs one type for each column: {len(columns)} and {len(types)}")
        for name, type_ in zip(columns, types, strict=True):
            if not is_orderable(type_):
                raise InvalidInputError(
                    f"column {name!r} of type {describe_type(type_)} cannot be part of a key: "
                    "its values have no order",
                    column=name,
                )
        kind = _kind_of(types)
        return cls(tuple(columns), tuple(types), kind, _row_encoder(kind, types), _row_decoder(kind, types))

    def __reduce__(self) -> tuple[Any, ...]:
        return KeySpec.of, (self.columns, self.types)

    def __hash__(self) -> int:
        return hash(self.columns)

    def keys_of(self, batch: pa.RecordBatch) -> Keys:
        """The keys of a page, copied only if the column is narrower than 64 bits; `_key` if ENCODED."""
        if self.kind is KeyKind.ENCODED:
            return batch.column(KEY_COLUMN)
        return self.encode([batch.column(self.columns[0])])

    def with_key(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with `_key` as its last column, computed from the key columns, if the kind is ENCODED."""
        if self.kind is not KeyKind.ENCODED:
            return batch
        keys = self.encode([batch.column(name) for name in self.columns])
        if KEY_COLUMN in batch.schema.names:
            batch = batch.drop_columns([KEY_COLUMN])
        return batch.append_column(pa.field(KEY_COLUMN, pa.binary(), nullable=False), keys)

    def encode(self, arrays: Sequence[pa.Array]) -> Keys:
        """Keys from physical key columns; InvalidInputError, with `column` and `nulls`, if one has nulls."""
        for name, array in zip(self.columns, arrays, strict=True):
            if array.null_count:
                raise _null_error(name, array.null_count, len(array))
        if self.kind is KeyKind.INTEGER:
            return integers_of(arrays[0])
        return binary_of(arrays[0]) if self.kind is KeyKind.BYTES else encode_columns(arrays)

    def encode_one(self, values: Sequence[Any]) -> Key:
        """The key of one row from the physical Python values of its key columns, checked only for None."""
        if None in values:
            raise _null_error(self.columns[list(values).index(None)], 1, 1)
        return self._encode_row(values)

    def decode(self, keys: Keys) -> list[pa.Array]:
        """The key columns these are the keys of."""
        if self.kind is KeyKind.INTEGER:
            return [integers_to_array(keys, self.types[0])]
        if self.kind is KeyKind.BYTES:
            type_ = self.types[0]
            return [keys.view(type_) if pt.is_string(type_) else keys.cast(type_)]
        return decode_columns(keys, self.types)

    def decode_one(self, key: Key) -> tuple[Any, ...]:
        """The physical Python values of the key columns of one row."""
        return self._decode_row(key)


def _kind_of(types: Sequence[pa.DataType]) -> KeyKind:
    if len(types) > 1:
        return KeyKind.ENCODED
    only = types[0]
    if pt.is_integer(only) or pt.is_temporal(only):
        return KeyKind.INTEGER
    return KeyKind.BYTES if is_variable(only) or pt.is_fixed_size_binary(only) else KeyKind.ENCODED


def _row_encoder(kind: KeyKind, types: Sequence[pa.DataType]) -> Callable[[Sequence[Any]], Key]:
    if kind is KeyKind.ENCODED:
        return row_encoder(types)
    if kind is KeyKind.INTEGER:
        return lambda values: int(values[0])
    if pt.is_string(types[0]) or pt.is_large_string(types[0]):
        return lambda values: values[0].encode()
    return lambda values: bytes(values[0])


def _row_decoder(kind: KeyKind, types: Sequence[pa.DataType]) -> Callable[[Any], tuple[Any, ...]]:
    if kind is KeyKind.ENCODED:
        return row_decoder(types)
    if kind is KeyKind.BYTES and (pt.is_string(types[0]) or pt.is_large_string(types[0])):
        return lambda key: (key.decode(),)
    return lambda key: (key,)


def _null_error(column: str, nulls: int, rows: int) -> InvalidInputError:
    return InvalidInputError(
        f"key column {column!r} is null in {nulls} of {rows} row{'s' * (rows != 1)}",
        hint="every row needs a value in each key column",
        column=column,
        nulls=nulls,
    )


# ---------------------------------------------------------------- Keys, whatever their kind


def empty(spec: KeySpec) -> Keys:
    """No keys, of the form `spec` gives them."""
    if spec.kind is KeyKind.INTEGER:
        return np.empty(0, np.uint64 if pt.is_uint64(spec.types[0]) else np.int64)
    return pa.array([], pa.binary())


def length(keys: Keys) -> int:
    return len(keys)


def concat(parts: Sequence[Keys]) -> Keys:
    """All keys of the parts, of which there must be at least one, in order. InvalidInputError past 2 GiB."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    try:
        return pa.concat_arrays(parts)
    except pa.ArrowInvalid as problem:
        raise too_many_bytes(sum(map(len, parts))) from problem


def take(keys: Keys, indices: npt.NDArray[Any]) -> Keys:
    return keys[indices] if isinstance(keys, np.ndarray) else keys.take(pa.array(indices))


def slice(keys: Keys, start: int, stop: int) -> Keys:
    """The keys from start up to, not including, stop; zero-copy."""
    return keys[start:stop] if isinstance(keys, np.ndarray) else keys.slice(start, max(stop - start, 0))


def first(keys: Keys) -> Key:
    return at(keys, 0)


def last(keys: Keys) -> Key:
    return at(keys, len(keys) - 1)


def at(keys: Keys, row: int) -> Key:
    """One key as a plain int or bytes."""
    key: Key = int(keys[row]) if isinstance(keys, np.ndarray) else keys[row].as_py()
    return key


def to_list(keys: Keys) -> list[Key]:
    """Plain ints or bytes, as `encode_one` gives them."""
    return keys.tolist() if isinstance(keys, np.ndarray) else keys.to_pylist()


def from_list(spec: KeySpec, keys: Sequence[Key]) -> Keys:
    """The inverse of `to_list`."""
    if spec.kind is KeyKind.INTEGER:
        return np.array(keys, dtype=np.uint64 if pt.is_uint64(spec.types[0]) else np.int64)
    return pa.array(keys, pa.binary())


def sort_order(keys: Keys) -> npt.NDArray[np.int64]:
    """The indices that sort the keys; equal keys stay in the order they came in."""
    return sort_integers(keys) if isinstance(keys, np.ndarray) else sort_binary(keys)


def union(parts: Sequence[Keys]) -> Keys:
    """The keys of all parts, sorted, each once. There must be at least one part."""
    keys = concat(parts)
    keys = np.sort(keys, kind="stable") if isinstance(keys, np.ndarray) else take(keys, sort_order(keys))
    return take(keys, np.flatnonzero(runs_of_equal(keys)))


def search(keys: Keys, probes: Keys, side: Side = "left") -> npt.NDArray[np.int64]:
    """For each probe, the first position in the sorted keys at or after it ("right": after it)."""
    if isinstance(keys, np.ndarray):
        return np.asarray(np.searchsorted(keys, probes, side), np.int64)
    return pc.search_sorted(keys, probes, side=side).to_numpy().astype(np.int64)


def search_one(keys: Keys, key: Key, side: Side = "left") -> int:
    """`search` for a single probe: about 1 µs for integers, 6 for bytes."""
    if isinstance(keys, np.ndarray):
        # Over a memoryview, because numpy would compare uint64 with a plain int as floats, or copy.
        view = keys.data
        return bisect_left(view, key) if side == "left" else bisect_right(view, key)
    return int(pc.search_sorted(keys, pa.scalar(key, pa.binary()), side=side).as_py())


def is_increasing(keys: Keys, strict: bool = True) -> bool:
    """Whether each key is above the one before it, or, if not strict, at least not below."""
    if len(keys) < 2:
        return True
    before, after = slice(keys, 0, len(keys) - 1), slice(keys, 1, len(keys))
    if isinstance(keys, np.ndarray):
        return bool((before < after).all() if strict else (before <= after).all())
    return bool(pc.all(pc.less(before, after) if strict else pc.less_equal(before, after)).as_py())


def equal(a: Keys, b: Keys) -> npt.NDArray[np.bool_]:
    """Position by position; the two are equally long."""
    if isinstance(a, np.ndarray):
        return np.equal(a, b)
    return pc.equal(a, b).to_numpy(zero_copy_only=False)


def runs_of_equal(keys: Keys) -> npt.NDArray[np.bool_]:
    """For sorted keys: True where a key differs from the one before it, so also at the first."""
    starts = np.ones(len(keys), np.bool_)
    if len(keys) > 1:
        starts[1:] = ~equal(slice(keys, 1, len(keys)), slice(keys, 0, len(keys) - 1))
    return starts
