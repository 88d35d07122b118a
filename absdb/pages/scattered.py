"""A few rows of each of many pages, column by column instead of page by page.

Arrow's own `take` costs some fifty microseconds a page, however few rows are wanted of it: of a table of fifty
million rows a thousand changed rows lie in as many pages. Here the addresses of a page's buffers are noted once
(`Page.buffers`), and one column of all pages is then read with one step of numpy.

Pages whose columns are of other types than wanted, or of types that are not laid out so plainly, are left to `take`,
and so are compressed ones, which would all be in memory at once, and long texts, for which copying byte by byte would
cost more. Called by projection.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from absdb.pages.decoded import owned_bytes

if TYPE_CHECKING:
    from absdb.pages.projection import OutputColumn
    from absdb.pages.section import Page

Ints = np.ndarray[Any, np.dtype[Any]]
PAGES_MIN = 16
ROWS_A_PAGE_MAX = 64
TEXT_BYTES_MAX = 1 << 20
VALIDITY, FIRST, SECOND, OFFSET = range(4)
"""What `Page.buffers` notes of a column: addresses, 0 where there is no buffer, and where its rows begin in them."""


def pays(pages: int, rows: int) -> bool:
    """Whether so many rows of so many pages are few rows of many pages."""
    return pages >= PAGES_MIN and rows <= pages * ROWS_A_PAGE_MAX


def buffers_of(batch: pa.RecordBatch) -> Ints:
    """The addresses of a batch's buffers: a row a column, as VALIDITY to OFFSET say; zeros if it is not plain."""
    return np.array([_noted(column) for column in batch.columns], np.int64).reshape(-1, 4)


def _noted(column: pa.Array) -> tuple[int, int, int, int]:
    if not _is_plain(column.type):
        return 0, 0, 0, 0
    validity, first, *others = column.buffers()
    second = others[0] if others else None
    bits = 32 if others else column.type.bit_width
    if first is None or first.size * 8 < (column.offset + len(column) + len(others)) * bits:
        return 0, 0, 0, 0
    return (*(0 if buffer is None else buffer.address for buffer in (validity, first, second)), column.offset)


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_binary(kind) or pt.is_boolean(kind) or _width(kind))


def _width(kind: pa.DataType) -> int:
    """The bytes of a value; 0 if they are not all of one whole number of bytes that numpy knows."""
    if not (pt.is_primitive(kind) or pt.is_decimal128(kind)) or pt.is_boolean(kind):
        return 0
    return kind.bit_width // 8 if kind.bit_width in (8, 16, 32, 64, 128) else 0


def gather(
    pages: Sequence[Page], part: Ints, rows: Ints, columns: Sequence[OutputColumn]
) -> list[pa.Array] | None:
    """The columns of row `rows[i]` of `pages[part[i]]`, physical; None if these pages are left to `take`."""
    batches = []  # held while their addresses are used
    layouts: dict[str | int, list[int] | None] = {}
    initial = [column.constant(max(page.rows for page in pages)) for column in columns]
    lacking = np.array([_noted(array) for array in initial], np.int64)
    noted = np.empty((len(pages), len(columns), 4), np.int64)
    for number, page in enumerate(pages):
        batch = page.batch()
        batches.append(batch)
        file = id(page) if page.origin is None else page.origin[0].name
        if file not in layouts:
            decoded = page.origin is not None and owned_bytes(batch)
            layouts[file] = None if decoded else _places(batch.schema, columns)
        places = layouts[file]
        if places is None:
            return None
        noted[number] = np.concatenate([page.buffers(batch), lacking])[places]
    if not noted[:, :, FIRST].all():
        return None
    memory = _Memory(noted)
    made = [memory.read(column.physical, noted[part, at], rows) for at, column in enumerate(columns)]
    found = [array for array in made if array is not None]
    return found if len(found) == len(made) else None


def _places(schema: pa.Schema, columns: Sequence[OutputColumn]) -> list[int] | None:
    """The columns' places among those of a page and, behind them, their initial values; None if one does not fit."""
    found = []
    for number, column in enumerate(columns):
        at = schema.get_field_index(column.source)
        if not _is_plain(column.physical) or (at >= 0 and schema.field(at).type != column.physical):
            return None
        found.append(at if at >= 0 else len(schema) + number)
    return found


class _Memory:
    """What the addresses point to, as one array. Nothing outside the buffers is touched, nor may it be."""

    def __init__(self, noted: Ints) -> None:
        addresses = noted[:, :, :OFFSET]
        self._low = int(addresses[addresses > 0].min()) & ~63
        self._span = (int(addresses.max()) | 63) + (1 << 32) - self._low

    def read(self, kind: pa.DataType, at: Ints, rows: Ints) -> pa.Array | None:
        """A column, given what was noted of it for each row; None if it is left to `take`."""
        where = at[:, OFFSET] + rows
        validity = self._validity(at[:, VALIDITY], where)
        nulls = 0 if validity is None else -1
        width = _width(kind)
        if pt.is_boolean(kind):
            return _made(kind, len(rows), [validity, _packed(self._bits(at[:, FIRST], where))], nulls)
        if width:
            values = self._values(min(width, 8), at[:, FIRST], where, width // min(width, 8))
            return None if values is None else _made(kind, len(rows), [validity, pa.py_buffer(values)], nulls)
        starts = self._values(4, at[:, FIRST], where)
        ends = self._values(4, at[:, FIRST], where + 1)
        if starts is None or ends is None:
            return None
        lengths = ends.view(np.int32).astype(np.int64) - starts.view(np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        if offsets[-1] > TEXT_BYTES_MAX:
            return None
        source = np.repeat(at[:, SECOND] - self._low + starts.view(np.int32) - offsets[:-1], lengths)
        data = self._as(1)[source + np.arange(offsets[-1])]
        buffers = [validity, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
        return _made(kind, len(rows), buffers, nulls)

    def _validity(self, addresses: Ints, where: Ints) -> pa.Buffer | None:
        known = addresses > 0
        if not known.any():
            return None
        bits = np.ones(len(where), bool)
        bits[known] = self._bits(addresses[known], where[known])
        return None if bits.all() else _packed(bits)

    def _bits(self, addresses: Ints, where: Ints) -> Ints:
        octets = self._as(1)[addresses - self._low + (where >> 3)]
        return (octets >> (where & 7).astype(np.uint8)) & 1

    def _values(self, width: int, addresses: Ints, where: Ints, words: int = 1) -> Ints | None:
        """Values of `words` words of `width` bytes each; None if they are not aligned to that."""
        places = addresses - self._low
        if (places % width).any():
            return None
        at = places // width + where * words
        if words > 1:
            at = (at[:, None] + np.arange(words)).ravel()
        return self._as(width)[at]

    def _as(self, width: int) -> Ints:
        buffer = pa.foreign_buffer(self._low, self._span // 8 * 8)
        return np.frombuffer(buffer, np.dtype(f"u{width}"))


def _packed(bits: Ints) -> pa.Buffer:
    return pa.py_buffer(np.packbits(bits.astype(bool), bitorder="little"))


def _made(kind: pa.DataType, rows: int, buffers: list[pa.Buffer | None], nulls: int) -> pa.Array:
    return pa.Array.from_buffers(kind, rows, buffers, null_count=nulls)
