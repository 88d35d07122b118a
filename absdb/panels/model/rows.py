"""Rows for a grid, a page at a time, as texts: what a browser gets is what it shows.

    RowSource       columns, count, page(offset, count)
    ArrowRows       of an Arrow table, in its order or sorted by a column
    StreamRows      of batches that come as they are asked for: a diff, a query larger than memory

A cell is a text, None for NULL, or a Change. Values become texts only for the rows of the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from absdb.diff_reprs import Change, MarkedRow, brought_together, marked_rows
from absdb.errors import InvalidInputError
from absdb.reprs import rows_of

KEPT_BYTES_MAX = 256 << 20
"""How much of a stream is kept, so that one can page back."""
TEXT_CHARACTERS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class GridColumn:
    """A column of a grid: what it is called, its type as shown, whether its cells can be edited."""

    name: str
    type: str = ""
    numeric: bool = False
    editable: bool = False


@dataclass(frozen=True, slots=True)
class GridRow:
    """A row: its cells, and its sign where rows are marked."""

    cells: list[Any]
    sign: str = ""


class RowSource(Protocol):
    """Where a grid takes its rows from."""

    @property
    def columns(self) -> Sequence[GridColumn]:
        """The columns, in order."""

    @property
    def count(self) -> int | None:
        """How many rows there are; None while that is not known."""

    def page(self, offset: int, count: int) -> list[GridRow]:
        """Up to `count` rows from `offset` on."""


class SortableRows(RowSource, Protocol):
    """Rows that can be put in the order of a column."""

    def sorted_by(self, column: str, *, descending: bool) -> RowSource:
        """The same rows in that order; NULLs last."""


@dataclass(frozen=True)
class ArrowRows:
    """The rows of an Arrow table."""

    table: pa.Table
    order: pa.Array | None = None
    editable: frozenset[str] = frozenset()

    @property
    def columns(self) -> Sequence[GridColumn]:
        return [column_of(one, editable=one.name in self.editable) for one in self.table.schema]

    @property
    def count(self) -> int | None:
        return self.table.num_rows

    def page(self, offset: int, count: int) -> list[GridRow]:
        if self.order is None:
            rows = self.table.slice(offset, count)
        else:
            rows = self.table.take(self.order.slice(offset, count))
        return [GridRow([cell_text(value) for value in row]) for row in rows_of(rows)]

    def sorted_by(self, column: str, *, descending: bool) -> RowSource:
        if column not in self.table.column_names:
            raise InvalidInputError(f"there is no column {column!r} to sort by")
        values = self.table[column]
        if pa.types.is_nested(values.type):
            raise InvalidInputError(f"rows cannot be sorted by {column!r}, whose type is {values.type}")
        keys = [("x", "descending" if descending else "ascending")]
        return ArrowRows(self.table, pc.sort_indices(pa.table({"x": values}), sort_keys=keys), self.editable)


@dataclass
class StreamRows:
    """Rows of batches that are read as far as somebody looks.

    `compared` are the columns of a diff whose two sides stand before `changed`; None for plain rows. `total` is
    the number of rows if it is known.
    """

    batches: Iterator[pa.RecordBatch]
    schema: pa.Schema
    compared: Sequence[str] | None = None
    total: int | None = None
    _kept: list[pa.RecordBatch] = field(default_factory=list)
    _rows: int = 0
    _ended: bool = False

    @property
    def columns(self) -> Sequence[GridColumn]:
        if self.compared is None:
            return [column_of(one) for one in self.schema]
        first = len(self.schema) - 1 - 2 * len(self.compared)
        found = [column_of(one) for one in list(self.schema)[1:first]]
        for at, name in enumerate(self.compared):
            one = self.schema.field(first + 2 * at + 1)
            found.append(GridColumn(name, str(one.type), is_number(one.type)))
        return found

    @property
    def count(self) -> int | None:
        return self._rows if self._ended else self.total

    def page(self, offset: int, count: int) -> list[GridRow]:
        self._read_to(offset + count)
        rows = pa.Table.from_batches(self._kept, self.schema).slice(offset, count)
        if self.compared is None:
            return [GridRow([cell_text(value) for value in row]) for row in rows_of(rows)]
        return [marked(row) for row in marked_rows(rows, self.compared)[1]]

    def _read_to(self, rows: int) -> None:
        size = sum(batch.nbytes for batch in self._kept)
        while self._rows < rows and not self._ended:
            if size > KEPT_BYTES_MAX:
                raise InvalidInputError(
                    f"only the first {self._rows:,} rows can be paged through here",
                    hint="filter them, or export them to a file",
                )
            batch = next(self.batches, None)
            if batch is None:
                self._ended = True
                return
            self._kept.append(batch)
            self._rows += batch.num_rows
            size += batch.nbytes


def marked(row: MarkedRow) -> GridRow:
    """A row of a diff as a grid shows it."""
    return GridRow(
        [_change(cell) if isinstance(cell, Change) else cell_text(cell) for cell in row.cells], row.sign
    )


def _change(change: Change) -> Change:
    old, new = brought_together(change.old, change.new)
    return Change(cell_text(old), cell_text(new))


def column_of(one: pa.Field, *, editable: bool = False) -> GridColumn:
    """The column of an Arrow field."""
    return GridColumn(one.name, str(one.type), is_number(one.type), editable)


def cell_text(value: Any) -> str | None:
    """A value as text; None for NULL; floats without digits that only rounding made; what is very long is cut."""
    if value is None:
        return None
    if isinstance(value, float):
        value = float(f"{value:.15g}")
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= TEXT_CHARACTERS_MAX else text[: TEXT_CHARACTERS_MAX - 1] + "…"


def is_number(kind: pa.DataType) -> bool:
    """Whether values of the type stand to the right, and can be drawn."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
