"""Ways to read a table at one state that need more than a TableReader: streams, first rows, a row's history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine.engine import Engine
from absdb.engine.get import key_of
from absdb.engine.reader import TableReader
from absdb.errors import InvalidInputError
from absdb.paths import check_names
from absdb.versioning.as_of import Point
from absdb.versioning.row_history import row_history


def stream(reader: TableReader, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
    """The rows as a stream of batches in key order, of a state that stays readable while the stream lives."""
    schema = _schema(reader.schema, columns)
    return pa.RecordBatchReader.from_batches(schema, _batches(reader, columns, schema))


def named(columns: Sequence[str] | None) -> list[str] | None:
    """The columns asked for, None for all. InvalidInputError for what is no list of names, or names one twice."""
    return None if columns is None else check_names("columns", columns)


def first_rows(reader: TableReader, count: int) -> pa.Table:
    """The first rows in key order; reads no more pages than it needs."""
    return first_of(stream(reader), count)


def first_of(batches: pa.RecordBatchReader, count: int) -> pa.Table:
    """The first rows of a stream, which is read no further than it needs."""
    if not isinstance(count, int) or count < 0:
        raise InvalidInputError(f"cannot show {count!r} rows", hint="pass a whole number, 0 or more")
    found: list[pa.RecordBatch] = []
    left = count
    while left > 0 and (batch := next(batches, None)) is not None:
        found.append(batch.slice(0, left))
        left -= found[-1].num_rows
    return pa.Table.from_batches(found, batches.schema)


def table_history(engine: Engine, point: Point, schema: TableSchema, key: Any) -> pa.Table:
    """Every version of one row up to a point, oldest first."""
    return row_history(engine, schema, point.lineage, key_of(schema, key))


def _schema(schema: TableSchema, columns: Sequence[str] | None) -> pa.Schema:
    if columns is None:
        return schema.arrow_schema
    return pa.schema([schema.arrow_schema.field(schema.column(name).name) for name in columns])


def _batches(
    reader: TableReader, columns: Sequence[str] | None, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    for batch in reader.scan(columns):
        yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
