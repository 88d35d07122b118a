"""Memcomparable bytes: the values of a row as one string of bytes, ordered as the values are.

Each part is unambiguous when others follow, so the parts of a row are simply joined:

    values                     bytes   form
    signed ints, uint8..32         8   big-endian two's complement, sign bit flipped
    uint64                         8   big-endian
    date, time, timestamp,         8   as signed ints, in the unit of the column
      duration
    floats                         8   as float64, big-endian; negative: all bits flipped, else the sign bit;
                                       -0.0 is 0.0, and there is one NaN, after infinity
    bool                           1   00 or 01
    decimals                  4..32    unscaled value in the width of the type, big-endian, sign bit flipped
    fixed_size_binary[n]           n   as it is
    string, binary            2 + n    UTF-8 or as it is, 00 replaced by 00 FF, then 00 00

All integers take eight bytes and so do all floats: widening a column to a larger integer, float or string
type leaves the encoding of its values unchanged (`same_encoding`). Nulls have no encoding.

Every type has two encoders that must agree byte for byte: `encode_columns` for arrays, and `row_encoder` for
one row of plain Python values, which runs on the path of one-row commits and so keeps away from pyarrow.

Called by `key` for keys of several columns and by `index` for UNIQUE and FOREIGN KEY columns.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from absdb.errors import InvalidInputError

Bytes2D = npt.NDArray[np.uint8]

BYTES_MAX = 1 << 31
SIGN = 1 << 63
_ALL = (1 << 64) - 1
_VARIABLE = frozenset([pa.string(), pa.large_string(), pa.binary(), pa.large_binary()])
_TERMINATOR = b"\x00\x00"
_DOUBLE = struct.Struct(">d")
_NAN = (0x7FF8000000000000 | SIGN).to_bytes(8, "big")
# Wide enough for decimal256, so that no digit is ever rounded away.
_EXACT = Context(prec=100, Emax=999_999, Emin=-999_999)


def is_variable(physical: pa.DataType) -> bool:
    """Whether values of this type differ in length: strings and binaries."""
    return physical in _VARIABLE


def fixed_width(physical: pa.DataType) -> int:
    """The bytes a value of this type, which must not be variable, takes in an encoding."""
    if pt.is_boolean(physical):
        return 1
    return int(physical.byte_width) if pt.is_fixed_size_binary(physical) or pt.is_decimal(physical) else 8


def same_encoding(old: pa.DataType, new: pa.DataType) -> bool:
    """Whether a value of the old type, once widened to the new one, still has the same encoding."""
    if old.equals(new) or (is_variable(old) and is_variable(new)):
        return True
    if pt.is_integer(old) and pt.is_integer(new):
        return pt.is_uint64(old) == pt.is_uint64(new)
    return pt.is_floating(old) and pt.is_floating(new)


# ---------------------------------------------------------------- columns


def encode_columns(arrays: Sequence[pa.Array]) -> pa.Array:
    """The encodings of all rows, as a binary array; the arrays are physical, equally long and without nulls.

    At most 2 GiB of encoded bytes a call, what a binary array can address; InvalidInputError beyond.
    """
    try:
        return _encoded(arrays)
    except pa.ArrowInvalid as problem:
        raise too_many_bytes(len(arrays[0])) from problem


def too_many_bytes(rows: int) -> InvalidInputError:
    return InvalidInputError(
        f"the keys of {rows} rows take more than 2 GiB", hint="pass the rows in several batches"
    )


def _encoded(arrays: Sequence[pa.Array]) -> pa.Array:
    parts: list[Any] = []
    block: list[Bytes2D] = []
    for array in arrays:
        if not is_variable(array.type):
            block.append(_fixed_bytes(array))
            continue
        if block:
            parts.append(_binary_of_block(block))
            block = []
        parts += [_escaped(array), pa.scalar(_TERMINATOR, pa.binary())]
    if block:
        parts.append(_binary_of_block(block))
    return parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, b"")


def decode_columns(keys: pa.Array, types: Sequence[pa.DataType]) -> list[pa.Array]:
    """The columns that `encode_columns` encoded; NaN and -0.0 come back as the one NaN and 0.0."""
    data, starts = _bytes_of(keys)
    arrays = []
    terminators: npt.NDArray[np.int64] | None = None
    for type_ in types:
        if is_variable(type_):
            if terminators is None:
                terminators = np.flatnonzero((data[:-1] == 0) & (data[1:] == 0))
            # Inside a part every 00 is followed by FF, so the first 00 00 from its start on ends it.
            ends = terminators[np.searchsorted(terminators, starts)]
            arrays.append(_unescaped(data, starts, ends, type_))
            starts = ends + len(_TERMINATOR)
        else:
            width = fixed_width(type_)
            arrays.append(_fixed_array(data[starts[:, None] + np.arange(width)], type_))
            starts = starts + width
    return arrays


def integers_of(array: pa.Array) -> npt.NDArray[Any]:
    """An integer or temporal array without nulls as int64 (uint64 if that is its type); a view at 64 bits."""
    type_ = array.type
    if pt.is_integer(type_):
        values = array.to_numpy()
    else:
        values = array.view(pa.int32() if type_.bit_width == 32 else pa.int64()).to_numpy()
    return values if values.dtype.itemsize == 8 else values.astype(np.int64)


def integers_to_array(values: npt.NDArray[Any], type_: pa.DataType) -> pa.Array:
    """The inverse of `integers_of`."""
    if type_.bit_width == 64:
        return pa.array(values).view(type_)
    if pt.is_integer(type_):
        return pa.array(values.astype(type_.to_pandas_dtype()))
    return pa.array(values.astype(np.int32)).view(type_)


def _fixed_bytes(array: pa.Array) -> Bytes2D:
    """One row of encoded bytes for each value."""
    type_ = array.type
    if pt.is_boolean(type_):
        return array.to_numpy(zero_copy_only=False).astype(np.uint8).reshape(-1, 1)
    if pt.is_fixed_size_binary(type_) or pt.is_decimal(type_):
        width = fixed_width(type_)
        raw = np.frombuffer(array.buffers()[1], np.uint8, len(array) * width, array.offset * width)
        raw = raw.reshape(-1, width)
        if not pt.is_decimal(type_):
            return raw
        raw = raw[:, ::-1].copy()
        raw[:, 0] ^= 0x80
        return raw
    if pt.is_floating(type_):
        words = _float_words(array.to_numpy().astype(np.float64))
    else:
        integers = integers_of(array)
        words = integers if pt.is_uint64(type_) else integers.view(np.uint64) ^ np.uint64(SIGN)
    return words.astype(">u8").view(np.uint8).reshape(-1, 8)


def _float_words(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    values = values + 0.0  # turns -0.0 into 0.0
    values[np.isnan(values)] = np.nan
    words = values.view(np.uint64)
    return words ^ np.where(words >> np.uint64(63), np.uint64(_ALL), np.uint64(SIGN))


def _fixed_array(raw: Bytes2D, type_: pa.DataType) -> pa.Array:
    """The inverse of `_fixed_bytes`."""
    if pt.is_boolean(type_):
        return pa.array(raw[:, 0] != 0)
    if pt.is_fixed_size_binary(type_) or pt.is_decimal(type_):
        if pt.is_decimal(type_):
            raw = raw[:, ::-1].copy()
            raw[:, -1] ^= 0x80
        buffer = pa.py_buffer(np.ascontiguousarray(raw))
        return pa.Array.from_buffers(type_, len(raw), [None, buffer])
    words = np.ascontiguousarray(raw).view(">u8").reshape(-1).astype(np.uint64)
    if pt.is_floating(type_):
        words ^= np.where(words >> np.uint64(63), np.uint64(SIGN), np.uint64(_ALL))
        return pa.array(words.view(np.float64).astype(type_.to_pandas_dtype()))
    integers = words if pt.is_uint64(type_) else (words ^ np.uint64(SIGN)).view(np.int64)
    return integers_to_array(integers, type_)


def _binary_of_block(block: list[Bytes2D]) -> pa.Array:
    """A binary array of neighbouring fixed-width parts, which need no join one by one."""
    raw = block[0] if len(block) == 1 else np.hstack(block)
    rows, width = raw.shape
    if rows * width >= BYTES_MAX:
        raise pa.ArrowInvalid("too many bytes for a binary array")
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(raw))]
    return pa.Array.from_buffers(pa.binary(), rows, buffers)


def binary_of(array: pa.Array) -> pa.Array:
    """A string or binary array, of fixed size or not, as a binary array; zero-copy where offsets allow."""
    if pt.is_binary(array.type):
        return array
    if pt.is_string(array.type):
        return array.view(pa.binary())
    return array.cast(pa.binary())


def _escaped(array: pa.Array) -> pa.Array:
    array = binary_of(array)
    data, starts = _bytes_of(array)
    if len(starts) and not data[starts[0] :].all():
        array = pc.replace_substring(array, pattern=b"\x00", replacement=b"\x00\xff")
    return array


def _unescaped(
    data: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    type_: pa.DataType,
) -> pa.Array:
    lengths = ends - starts
    offsets = np.zeros(len(starts) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    picked = data[np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)]
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(picked)]
    array = pa.Array.from_buffers(pa.binary(), len(starts), buffers)
    if not picked.all():
        array = pc.replace_substring(array, pattern=b"\x00\xff", replacement=b"\x00")
    return array.view(type_) if pt.is_string(type_) else array.cast(type_)


def _bytes_of(array: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of a binary array up to its last value's end, and where each value starts in them."""
    _, offset_buffer, data_buffer = array.buffers()
    if not len(array):
        return np.empty(0, np.uint8), np.empty(0, np.int64)
    offsets = np.frombuffer(offset_buffer, np.int32, len(array) + 1, array.offset * 4).astype(np.int64)
    if data_buffer is None or not offsets[-1]:
        return np.empty(0, np.uint8), offsets[:-1]
    return np.frombuffer(data_buffer, np.uint8, int(offsets[-1])), offsets[:-1]


# ---------------------------------------------------------------- one row


def row_encoder(types: Sequence[pa.DataType]) -> Callable[[Sequence[Any]], bytes]:
    """A function from the physical Python values of one row, without None, to its encoding."""
    parts = [_part_encoder(type_) for type_ in types]
    if len(parts) == 1:
        only = parts[0]
        return lambda values: only(values[0])
    if len(parts) == 2:
        left, right = parts
        return lambda values: left(values[0]) + right(values[1])
    return lambda values: b"".join([encode(value) for encode, value in zip(parts, values, strict=True)])


def row_decoder(types: Sequence[pa.DataType]) -> Callable[[bytes], tuple[Any, ...]]:
    """A function from an encoding back to the physical Python values of its row."""
    parts = [(None if is_variable(type_) else fixed_width(type_), _part_decoder(type_)) for type_ in types]

    def decode(key: bytes) -> tuple[Any, ...]:
        values, start = [], 0
        for width, part in parts:
            end = key.index(_TERMINATOR, start) if width is None else start + width
            values.append(part(key[start:end]))
            start = end + 2 if width is None else end
        return tuple(values)

    return decode


def _part_encoder(type_: pa.DataType) -> Callable[[Any], bytes]:
    if pt.is_boolean(type_):
        return lambda value: b"\x01" if value else b"\x00"
    if pt.is_string(type_) or pt.is_large_string(type_):
        return lambda value: value.encode().replace(b"\x00", b"\x00\xff") + _TERMINATOR
    if pt.is_binary(type_) or pt.is_large_binary(type_):
        return lambda value: bytes(value).replace(b"\x00", b"\x00\xff") + _TERMINATOR
    if pt.is_fixed_size_binary(type_):
        return bytes
    if pt.is_decimal(type_):
        width, scale = fixed_width(type_), type_.scale
        shift = 1 << (8 * width - 1)
        return lambda value: (int(_EXACT.scaleb(value, scale)) + shift).to_bytes(width, "big")
    if pt.is_floating(type_):
        return _encode_float
    if pt.is_uint64(type_):
        return lambda value: value.to_bytes(8, "big")
    return lambda value: (value + SIGN).to_bytes(8, "big")


def _part_decoder(type_: pa.DataType) -> Callable[[bytes], Any]:
    if pt.is_boolean(type_):
        return lambda part: part != b"\x00"
    if pt.is_string(type_) or pt.is_large_string(type_):
        return lambda part: part.replace(b"\x00\xff", b"\x00").decode()
    if is_variable(type_):
        return lambda part: part.replace(b"\x00\xff", b"\x00")
    if pt.is_fixed_size_binary(type_):
        return bytes
    if pt.is_decimal(type_):
        shift, scale = 1 << (8 * fixed_width(type_) - 1), -type_.scale
        return lambda part: _EXACT.scaleb(Decimal(int.from_bytes(part, "big") - shift), scale)
    if pt.is_floating(type_):
        return _decode_float
    if pt.is_uint64(type_):
        return lambda part: int.from_bytes(part, "big")
    return lambda part: int.from_bytes(part, "big") - SIGN


def _encode_float(value: float) -> bytes:
    if value != value:
        return _NAN
    word = int.from_bytes(_DOUBLE.pack(value + 0.0), "big")
    return (word ^ (_ALL if word >> 63 else SIGN)).to_bytes(8, "big")


def _decode_float(part: bytes) -> float:
    word = int.from_bytes(part, "big")
    value: float = _DOUBLE.unpack((word ^ (SIGN if word >> 63 else _ALL)).to_bytes(8, "big"))[0]
    return value
