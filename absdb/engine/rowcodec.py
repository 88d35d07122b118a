"""Rows of small commits as bytes: a null bitmap, the fixed-width values, then the others with their lengths.

    offset  bytes       field
         0  ceil(n/8)   one bit a column, in stored order, set where the value is NULL (bit 0 of byte 0 first)
         …  fixed       every fixed-width column, little-endian, packed; zero where NULL
         …  4 + k       for each other column: u32 length, then text (UTF-8), bytes, or a decimal's digits

Which columns there are, and in which order, comes from the table's schema at the record's LSN; `layout` is a
checksum of it, written beside the rows, so that a wrong schema is noticed. Columns of nested and other rare types
have no row form: `RowCodec.of` is None for such tables and their changes are always written as Arrow. One row of
eight columns takes about 2 µs. Called by engine/changeset.py.
"""

from __future__ import annotations

import decimal
import operator
import struct
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from crc32c import crc32c

from absdb.errors import CorruptionError

_FIXED = {
    pa.bool_(): "?",
    pa.int8(): "b",
    pa.int16(): "h",
    pa.int32(): "i",
    pa.int64(): "q",
    pa.uint8(): "B",
    pa.uint16(): "H",
    pa.uint32(): "I",
    pa.uint64(): "Q",
    pa.float32(): "f",
    pa.float64(): "d",
    pa.date32(): "i",
    pa.date64(): "q",
}
_LENGTH = struct.Struct("<I")

Row = tuple[Any, ...]


def _fixed_code(kind: pa.DataType) -> str | None:
    if kind in _FIXED:
        return _FIXED[kind]
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_time64(kind):
        return "q"
    return "i" if pa.types.is_time32(kind) else None


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


class RowCodec:
    """Encodes and decodes rows of one column layout; `layout` identifies it."""

    def __init__(self, columns: list[tuple[str, pa.DataType]]) -> None:
        codes = [_fixed_code(kind) for _, kind in columns]
        self.layout = crc32c(",".join(f"{name}:{kind}" for name, kind in columns).encode())
        self._count = len(columns)
        self._nulls_bytes = (len(columns) + 7) // 8
        self._fixed = struct.Struct("<" + "".join(code for code in codes if code))
        self._fixed_at = [at for at, code in enumerate(codes) if code]
        self._fixed_of = values_at(self._fixed_at)
        self._no_nulls = bytes(self._nulls_bytes)
        self._var = [(at, _var_kind(columns[at][1])) for at, code in enumerate(codes) if not code]

    @classmethod
    def of(cls, columns: list[tuple[str, pa.DataType]]) -> RowCodec | None:
        """The codec of (page name, physical type) pairs; None if one of the types has no row form."""
        known = all(
            _fixed_code(k) or _is_text(k) or _is_bytes(k) or pa.types.is_decimal(k) for _, k in columns
        )
        return cls(columns) if known else None

    def encode(self, row: Row) -> bytes:
        """One row of physical values, in stored order."""
        if None in row:
            nulls = sum([1 << at for at, value in enumerate(row) if value is None])
            fixed = [row[at] or 0 for at in self._fixed_at]
            parts = [nulls.to_bytes(self._nulls_bytes, "little"), self._fixed.pack(*fixed)]
        else:
            parts = [self._no_nulls, self._fixed.pack(*self._fixed_of(row))]
        for at, kind in self._var:
            value = row[at]
            if type(value) is str:
                data = value.encode()
            elif value is None:
                data = b""
            else:
                data = value if kind == "bytes" else str(value).encode()
            parts += (_LENGTH.pack(len(data)), data)
        return b"".join(parts)

    def decode(self, data: bytes, offset: int) -> tuple[Row, int]:
        """The row at `offset`, and the offset after it; CorruptionError if it runs past the end."""
        try:
            nulls = int.from_bytes(data[offset : offset + self._nulls_bytes], "little")
            offset += self._nulls_bytes
            row: list[Any] = [None] * self._count
            for at, value in zip(self._fixed_at, self._fixed.unpack_from(data, offset), strict=True):
                row[at] = value
            offset += self._fixed.size
            for at, kind in self._var:
                (length,) = _LENGTH.unpack_from(data, offset)
                offset += 4
                raw = data[offset : offset + length]
                if len(raw) != length:
                    raise CorruptionError("a row in the log is cut short")
                offset += length
                row[at] = raw if kind == "bytes" else raw.decode() if kind == "text" else raw
        except struct.error as error:
            raise CorruptionError("a row in the log is cut short") from error
        for at in range(self._count):
            if nulls >> at & 1:
                row[at] = None
        for at, kind in self._var:
            if kind == "decimal" and row[at] is not None:
                row[at] = decimal.Decimal(row[at].decode())
        return tuple(row), offset


def values_at(positions: list[int]) -> Callable[[Row], Sequence[Any]]:
    """A function that gives a row's values at some positions."""
    if len(positions) > 1:
        return operator.itemgetter(*positions)
    return lambda row: [row[at] for at in positions]


def _var_kind(kind: pa.DataType) -> str:
    return "text" if _is_text(kind) else "bytes" if _is_bytes(kind) else "decimal"
