"""The forms in which rows are printed, each written batch by batch as they come.

    table     for people (table_text.py)             line     a row as `name  value` lines
    json      one document: an array of objects      jsonl    an object a line
    csv       as `absdb export` writes it            arrow    an Arrow IPC stream

A writer gets `begin` with the columns, `batch` for each batch, and `end`. Memory is bounded by a batch; columns of
a table are as wide as their first thousand rows need, and wider from the row on that needs it. Called by
results.py.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from absdb.cli.cell_texts import TEXT, as_json, plain
from absdb.cli.table_text import Screen, joined_lines, lines_at_terminal, lines_whole, sideways
from absdb.io.row_files import Sink, Write

BLOCK_ROWS = 1000
WIDTH_WITHOUT_TERMINAL = 10_000


class TableWriter:
    """Aligned columns; on a screen they fit it, elsewhere they are whole."""

    def __init__(self, write: Write, screen: Screen | None) -> None:
        self._write = write
        self._screen = screen
        self._schema = pa.schema([])
        self._widths: list[int] = []
        self._head = True

    def begin(self, schema: pa.Schema) -> None:
        self._schema = schema

    def batch(self, batch: pa.RecordBatch) -> None:
        for start in range(0, batch.num_rows, BLOCK_ROWS):
            self._block(pa.Table.from_batches([batch.slice(start, BLOCK_ROWS)]))

    def end(self) -> None:
        if self._head:
            self._block(self._schema.empty_table())

    def _block(self, table: pa.Table) -> None:
        if self._screen is None:
            self._write(lines_whole(table, self._widths, head=self._head))
        else:
            _put(self._write, lines_at_terminal(table, self._screen, head=self._head))
        self._head = False


class LineWriter:
    """Rows on their side, one below the other."""

    def __init__(self, write: Write, screen: Screen | None) -> None:
        self._write = write
        self._screen = screen or Screen(WIDTH_WITHOUT_TERMINAL, colour=False)
        self._rows = 0

    def begin(self, schema: pa.Schema) -> None:
        pass

    def batch(self, batch: pa.RecordBatch) -> None:
        for start in range(0, batch.num_rows, BLOCK_ROWS):
            block = pa.Table.from_batches([batch.slice(start, BLOCK_ROWS)])
            _put(self._write, sideways(block, self._screen, self._rows + 1))
            self._rows += block.num_rows

    def end(self) -> None:
        pass


class JsonWriter:
    """An array with a row on each line, or only the lines."""

    def __init__(self, write: Write, *, lines: bool) -> None:
        self._write = write
        self._lines = lines
        self._names: list[str] = []
        self._empty = True

    def begin(self, schema: pa.Schema) -> None:
        self._names = distinct(schema.names)

    def batch(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        parts: list[Any] = []
        for name, column in zip(self._names, batch.columns, strict=True):
            opening = "{" if not parts else ", "
            label = f"{opening}{json.dumps(name, ensure_ascii=False)}: "
            parts += [pa.scalar(label, TEXT), as_json(column)]
        rows = pc.binary_join_element_wise(*parts, pa.scalar("}", TEXT), pa.scalar("", TEXT))
        if self._lines:
            self._write(joined_lines(rows))
        else:
            self._write(("[\n  " if self._empty else ",\n  ").encode() + joined_lines(rows, ",\n  ", ""))
        self._empty = False

    def end(self) -> None:
        if not self._lines:
            self._write(b"[]\n" if self._empty else b"\n]\n")


class CsvWriter:
    """Text is quoted, NULL is nothing; what CSV has no form for is written as a table shows it."""

    def __init__(self, write: Write) -> None:
        self._sink = pa.PythonFile(Sink(write), mode="w")
        self._writer: Any = None
        self._schema = pa.schema([])

    def begin(self, schema: pa.Schema) -> None:
        import pyarrow.csv as csv

        self._schema = pa.schema([field.with_type(_csv_type(field.type)) for field in schema])
        self._writer = csv.CSVWriter(self._sink, self._schema)

    def batch(self, batch: pa.RecordBatch) -> None:
        columns = [
            column if field.type == column.type else plain(column)
            for field, column in zip(self._schema, batch.columns, strict=True)
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def end(self) -> None:
        self._writer.close()


class ArrowWriter:
    """An IPC stream, which pyarrow.ipc.open_stream and polars.read_ipc_stream read."""

    def __init__(self, write: Write) -> None:
        self._sink = pa.PythonFile(Sink(write), mode="w")
        self._writer: Any = None

    def begin(self, schema: pa.Schema) -> None:
        self._writer = pa.ipc.new_stream(self._sink, schema)

    def batch(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)

    def end(self) -> None:
        self._writer.close()


Writer = TableWriter | LineWriter | JsonWriter | CsvWriter | ArrowWriter
FORMATS = ("table", "line", "json", "jsonl", "csv", "arrow")


def writer_of(format: str, write: Write, screen: Screen | None) -> Writer:
    """A new writer of one of FORMATS; `screen` is the terminal that it writes to, if it does."""
    match format:
        case "table":
            return TableWriter(write, screen)
        case "line":
            return LineWriter(write, screen)
        case "csv":
            return CsvWriter(write)
        case "arrow":
            return ArrowWriter(write)
    return JsonWriter(write, lines=format == "jsonl")


def distinct(names: list[str]) -> list[str]:
    """The names, those that came before with a number: id, id_2."""
    found: list[str] = []
    for name in names:
        number, new = 2, name
        while new in found:
            number, new = number + 1, f"{name}_{number}"
        found.append(new)
    return found


def _put(write: Write, lines: list[str]) -> None:
    write("".join(f"{line}\n" for line in lines).encode(errors="replace"))


def _csv_type(kind: pa.DataType) -> pa.DataType:
    scalar = pt.is_integer(kind) or pt.is_floating(kind) or pt.is_boolean(kind) or pt.is_decimal(kind)
    if scalar or pt.is_date(kind) or pt.is_timestamp(kind):
        return kind
    return TEXT
