"""Stored rows: tuples of physical values (temporal types as integers in the column's unit), from pages and to keys.

Called by engine/reader.py for look-ups and before images of small changes; one row of eight columns takes
some 7 µs.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine.rowcodec import Row
from absdb.errors import InvalidInputError
from absdb.pages.section import Key, Page
from absdb.pages.types import physical_type
from absdb.pages.values import Converter, rows_to_batch

RowGetter = Callable[[Page, int], Row]
Reader = Callable[[int], Any]


def _is_temporal(kind: pa.DataType) -> bool:
    return bool(pa.types.is_temporal(kind) and not pa.types.is_interval(kind))


def physical_value(scalar: pa.Scalar, kind: pa.DataType) -> Any:
    """A value of a page column as rows hold it, cast where the column has been widened to `kind`."""
    if scalar.type != kind:
        scalar = scalar.cast(kind)
    return scalar.value if _is_temporal(kind) else scalar.as_py()


def row_getter(schema: TableSchema) -> RowGetter:
    """A function (page, row number) → stored row of `schema`, made once per schema."""
    cached: RowGetter | None = schema.__dict__.get("_row_getter")
    if cached is None:
        cached = schema.__dict__["_row_getter"] = _make(schema)
    return cached


def _make(schema: TableSchema) -> RowGetter:
    columns = [
        (c.page_name, physical_type(c.type), _is_temporal(physical_type(c.type)), c.initial_default)
        for c in schema.stored
    ]

    # By the id of a batch, for as long as it lives: it may be a decoded one that its store wants back.
    held: dict[int, tuple[weakref.ref[Any], list[Reader]]] = {}

    def readers_of(batch: pa.RecordBatch) -> list[Reader]:
        positions = [batch.schema.get_field_index(name) for name, *_ in columns]
        made = [
            _reader(batch.column(position), kind, temporal) if position >= 0 else _constant(default)
            for position, (_, kind, temporal, default) in zip(positions, columns, strict=True)
        ]
        number = id(batch)
        held[number] = weakref.ref(batch, lambda _: held.pop(number, None)), made
        return made

    def get(page: Page, at: int) -> Row:
        batch = page.batch()
        found = held.get(id(batch))
        readers = found[1] if found is not None and found[0]() is batch else readers_of(batch)
        return tuple([read(at) for read in readers])

    return get


def _reader(column: pa.Array, kind: pa.DataType, temporal: bool) -> Reader:
    """What reads a value of a page column as rows hold it."""
    if column.type != kind:
        return lambda at: physical_value(column[at], kind)
    if temporal:
        return lambda at: column[at].value
    return lambda at: column[at].as_py()


def _constant(value: Any) -> Reader:
    return lambda _: value


def key_of(schema: TableSchema, row: Row) -> Key:
    """The encoded key of a stored row."""
    positions = schema.__dict__.get("_key_positions") or key_positions(schema)
    return schema.key_spec.encode_one([row[at] for at in positions])


def logical_key(schema: TableSchema, key: Key) -> tuple[Any, ...]:
    """The values of an encoded key as users see them, for messages."""
    stored = schema.key_spec.decode_one(key)
    columns = zip(schema.key_columns, stored, strict=True)
    try:
        return tuple([Converter.of(column.type).to_python(value) for column, value in columns])
    except InvalidInputError:  # a time that Python cannot show
        return stored


def key_positions(schema: TableSchema) -> tuple[int, ...]:
    """Where the key columns are in a stored row."""
    cached: tuple[int, ...] | None = schema.__dict__.get("_key_positions")
    if cached is None:
        ids = [column.id for column in schema.stored]
        cached = tuple(ids.index(column_id) for column_id in schema.key)
        schema.__dict__["_key_positions"] = cached
    return cached


def row_translator(old: TableSchema, new: TableSchema) -> Callable[[Row], Row]:
    """A function that makes of a row stored under one definition the row that another one stores."""
    made: dict[int, tuple[TableSchema, Callable[[Row], Row]]] = new.__dict__.setdefault("_translators", {})
    found = made.get(id(old))
    if found is None:
        found = made[id(old)] = (old, _make_translator(old, new))
    return found[1]


def _make_translator(old: TableSchema, new: TableSchema) -> Callable[[Row], Row]:
    places = {column.id: (at, column) for at, column in enumerate(old.stored)}
    parts: list[Callable[[Row], Any]] = []
    for column in new.stored:
        at, before = places.get(column.id, (-1, column))
        source, target = physical_type(before.type), physical_type(column.type)
        if at < 0:
            parts.append(lambda _, value=column.initial_default: value)  # type: ignore[misc]
        elif source == target:
            parts.append(operator.itemgetter(at))
        else:
            parts.append(_widener(at, source, target))
    return lambda row: tuple([part(row) for part in parts])


def _widener(at: int, source: pa.DataType, target: pa.DataType) -> Callable[[Row], Any]:
    """What reads a column whose type has been widened since the row was written."""

    def read(row: Row) -> Any:
        value = row[at]
        if value is None:
            return None
        return physical_value(rows_to_batch([(value,)], [("", source)]).column(0)[0], target)

    return read
