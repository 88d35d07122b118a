"""Rows as a user passes them, brought to the verb that takes them at the least cost.

    a dict, a few dicts                  engine/small.py: plain tuples
    more dicts, columns, frames          engine/writes.py: one Arrow batch
    more than `bulk_threshold`, streams  engine/load.py: page files, with bounded memory

What comes out is the same on each way. Dicts are converted value by value at any number, by the converters
that also serve small commits, so that what fits does not depend on how many rows there are. Called by
whoever holds a transaction: tables, SQL, imports.
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.types as pt

from absdb.catalog.schema import Column, TableSchema
from absdb.engine import load, small, writes
from absdb.engine.prepare import check_names, conform, keys_of
from absdb.engine.refusals import require_key
from absdb.errors import InvalidInputError, SchemaMismatchError
from absdb.pages.key import Keys, concat, runs_of_equal, sort_order, take
from absdb.pages.types import from_frame, physical_type, to_logical
from absdb.pages.values import Converter
from absdb.paths import normal_name

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

_SINGLE = (str, bytes, int, float, type(None))
_PLAIN = (str, bytes, int, float, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID)
Progress = Callable[[int], None]
Dicts = list[Mapping[str, Any]]
Given = Any
"""Dicts, a pyarrow.Table or a pyarrow.RecordBatchReader, which mypy knows nothing about."""


class SyncCounts(NamedTuple):
    """What `sync` did, in rows."""

    added: int
    modified: int
    removed: int


def insert(tx: Transaction, schema: TableSchema, rows: Any, progress: Progress | None = None) -> int:
    """Add rows that are not there; ConstraintError names keys that are. Returns the number of rows."""
    given = _take(tx, schema, rows)
    if type(given) is list and small.is_small(schema, given):
        return small.insert(tx, schema, given)
    return _in_shapes(
        tx,
        schema,
        given,
        lambda table: writes.insert(tx, schema, table),
        lambda batches: load.load(tx, schema, batches, progress=progress),
    )


def upsert(tx: Transaction, schema: TableSchema, rows: Any, progress: Progress | None = None) -> int:
    """Add rows or change those that are there; columns left out keep their value. Returns how many rows."""
    require_key(schema, "upsert")
    given = _take(tx, schema, rows)
    if type(given) is list and small.is_small(schema, given):
        return small.upsert(tx, schema, given)
    return _in_shapes(
        tx,
        schema,
        given,
        lambda table: writes.upsert(tx, schema, table),
        lambda batches: load.upsert(tx, schema, batches, progress),
    )


def update(tx: Transaction, schema: TableSchema, rows: Any) -> int:
    """Change rows that are there, by key; others are left out. Returns the number of rows found."""
    require_key(schema, "update")
    given = _take(tx, schema, rows)
    if type(given) is list and small.is_small(schema, given):
        return small.update(tx, schema, given)
    return _in_shapes(
        tx,
        schema,
        given,
        lambda table: writes.update(tx, schema, table),
        lambda batches: load.update(tx, schema, batches),
    )


def delete(tx: Transaction, schema: TableSchema, keys: Any) -> int:
    """Remove rows by key; unknown keys are ignored. Returns the number of rows removed.

    `keys` is a key, a list of keys (tuples where the key has several columns), dicts or a frame with the key
    columns; other columns are ignored.
    """
    require_key(schema, "delete")
    if isinstance(keys, pa.RecordBatchReader):
        tx.repeatable = False
    given = _keys_of(schema, keys)
    if type(given) is list:
        given = [_its_key(schema, row) for row in given]
        if small.is_small(schema, given):
            return small.delete(tx, schema, given)
    return _in_shapes(
        tx,
        schema,
        given,
        lambda table: writes.delete(tx, schema, table),
        lambda batches: load.delete(tx, schema, batches),
    )


def replace(tx: Transaction, schema: TableSchema, rows: Any, progress: Progress | None = None) -> int:
    """Put `rows` in the place of everything that is there. Returns the number of rows."""
    given = _one_shape(schema, _take(tx, schema, rows), "replace")
    if _is_empty(tx, schema):
        return insert(tx, schema, given, progress)
    table, batches = whole_or_stream(tx, given)
    with tx.atomic():
        if table is not None:
            return writes.replace(tx, schema, table)
        return load.replace(tx, schema, batches, progress)


def sync(tx: Transaction, schema: TableSchema, rows: Any, progress: Progress | None = None) -> SyncCounts:
    """Make the table equal `rows`, writing only what differs; columns left out keep their values."""
    require_key(schema, "sync")
    given = _one_shape(schema, _take(tx, schema, rows), "sync")
    if _is_empty(tx, schema):
        return SyncCounts(insert(tx, schema, given, progress), 0, 0)
    table, batches = whole_or_stream(tx, given)
    with tx.atomic():
        if table is not None:
            return SyncCounts(*writes.sync(tx, schema, table))
        return SyncCounts(*load.sync(tx, schema, batches, progress))


def truncate(tx: Transaction, schema: TableSchema) -> int:
    """Remove all rows. Returns their number."""
    return load.truncate(tx, schema)


def few_rows(schema: TableSchema, rows: Any) -> Dicts | None:
    """Rows given as one dict or a few, None if they are anything else or engine/small.py does not take them."""
    if type(rows) is dict:
        given: Dicts = [] if _is_columns(schema, rows) else [rows]
    elif type(rows) is list and len(rows) <= small.SMALL_MAX and all(isinstance(r, Mapping) for r in rows):
        given = rows
    else:
        return None
    return given if given and small.is_small(schema, given) else None


def few_keys(schema: TableSchema, keys: Any) -> Dicts | None:
    """The same for one key, or a list of a few, as `delete` takes them."""
    several = type(keys) in (list, tuple) and len(keys) <= small.SMALL_MAX
    if not schema.key_names or not (several or isinstance(keys, _PLAIN)):
        return None
    given = [_its_key(schema, row) for row in _keys_of(schema, keys)]
    return given if given and small.is_small(schema, given) else None


def _its_key(schema: TableSchema, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row without the columns that do not belong to the key."""
    return {name: row[name] for name in schema.key_names if name in row}


def _in_shapes(
    tx: Transaction,
    schema: TableSchema,
    given: Given,
    whole: Callable[[pa.Table], int],
    stream: Callable[[Iterable[pa.RecordBatch]], int],
) -> int:
    """Rows, or dicts as one table for each set of columns that they have: all of them or none."""
    done = 0
    with tx.atomic():
        for part in list(_tables(schema, given)) if type(given) is list else [given]:
            table, batches = whole_or_stream(tx, part)
            done += whole(table) if table is not None else stream(batches)
    return done


def _take(tx: Transaction, schema: TableSchema, rows: Any) -> Given:
    if isinstance(rows, pa.RecordBatchReader):
        tx.repeatable = False
    return rows_of(schema, rows)


def rows_of(schema: TableSchema, rows: Any) -> Given:
    """The rows as a list of dicts, a table, or a stream. InvalidInputError for what holds no rows."""
    if isinstance(rows, Mapping):
        return _columns(schema, rows) if _is_columns(schema, rows) else [rows]
    if isinstance(rows, list | tuple) and all(isinstance(row, Mapping) for row in rows):
        return list(rows)
    given = _with_normal_names(from_frame(_nested_converted(schema, rows)))
    check_names(schema, given.schema.names)
    return given


def _nested_converted(schema: TableSchema, rows: Any) -> Any:
    """A pandas frame whose Python objects pyarrow alone would get wrong, as a dict of columns; all else as it is.

    Told the type, pyarrow cuts off decimals inside lists and forgets fields of structs; left to itself it finds
    another type, which is refused if it does not fit, but knows no maps and no UUIDs.
    """
    columns = [c for c in schema.columns if needs_type(c.type)]
    if not columns or type(rows).__module__.partition(".")[0] != "pandas" or not hasattr(rows, "columns"):
        return rows
    if not rows.columns.is_unique:
        return rows
    found = [c for c in columns if c.name in rows.columns and rows.dtypes[c.name].kind == "O"]
    if not found:
        return rows
    indexed = {n: rows.index.get_level_values(n) for n in rows.index.names if n is not None}
    given = {**indexed, **{name: rows[name] for name in rows.columns}}
    if len(given) < len(indexed) + len(rows.columns):
        return rows
    isnull = rows[[c.name for c in found]].isna()
    for column in found:
        values = zip(rows[column.name], isnull[column.name], strict=True)
        given[column.name] = array_of(column, [None if null else value for value, null in values])
    return given


def _with_normal_names(given: Given) -> Given:
    """The same with its columns' names in the form that names are kept in."""
    names = given.schema.names
    if all(name.isascii() for name in names):
        return given
    names = [normal_name(name) for name in names]
    if isinstance(given, pa.Table):
        return given.rename_columns(names)
    schema = pa.schema([field.with_name(name) for field, name in zip(given.schema, names, strict=True)])
    renamed = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in given)
    return pa.RecordBatchReader.from_batches(schema, renamed)


def needs_type(kind: pa.DataType) -> bool:
    """Whether pyarrow cannot tell from Python values that they are of the type: maps and extensions, inside too."""
    if isinstance(kind, pa.BaseExtensionType) or pt.is_map(kind):
        return True
    if pt.is_dictionary(kind) or pt.is_run_end_encoded(kind):
        return needs_type(kind.value_type)
    return any(needs_type(kind.field(i).type) for i in range(kind.num_fields))


def _is_columns(schema: TableSchema, rows: Mapping[str, Any]) -> bool:
    """Whether a dict holds columns rather than the values of one row."""
    for name, value in rows.items():
        if isinstance(value, _SINGLE) or not hasattr(value, "__len__"):
            return False
        column = schema.by_name.get(name)
        if column is None or not pt.is_nested(physical_type(column.type)):
            return not isinstance(value, Mapping | memoryview | bytearray)
    return False


def _columns(schema: TableSchema, columns: Mapping[str, Any]) -> pa.Table:
    check_names(schema, list(columns))
    arrays = {
        name: array_of(schema.by_name[name], values) if isinstance(values, list | tuple) else values
        for name, values in columns.items()
    }
    return from_frame(arrays)


def _tables(schema: TableSchema, rows: Dicts) -> Iterator[pa.Table]:
    """Dicts as Arrow tables, one for each set of columns that they have."""
    shapes: dict[frozenset[str], Dicts] = {}
    for row in rows:
        shapes.setdefault(frozenset(row), []).append(row)
    for names, alike in shapes.items():
        yield _table(schema, [name for name in alike[0] if name in names], alike)
    if not rows:
        yield _table(schema, [c.name for c in schema.columns if c.generated is None], [])


def _table(schema: TableSchema, names: Sequence[str], rows: Dicts) -> pa.Table:
    check_names(schema, names)
    if not names:
        return pa.table({"": pa.nulls(len(rows))}).select([])  # which remembers how many rows there are
    arrays = [array_of(schema.by_name[name], [row[name] for row in rows]) for name in names]
    return pa.Table.from_arrays(arrays, names=list(names))


def array_of(column: Column, values: Iterable[Any]) -> pa.Array:
    """Python values as an array of the column's type; SchemaMismatchError shows the first misfit."""
    convert = Converter.of(column.type, column.name).to_physical
    physical = physical_type(column.type)
    stored = [convert(value) for value in values]
    if pt.is_temporal(physical) and not pt.is_interval(physical):
        array = pa.array(stored, pa.int32() if physical.bit_width == 32 else pa.int64()).view(physical)
    else:
        array = pa.array(stored, physical)
    return to_logical(array, column.type)


def _one_shape(schema: TableSchema, given: Given, verb: str) -> Given:
    """Dicts as one table; SchemaMismatchError if they do not all have the same columns."""
    if type(given) is not list:
        return given
    tables = list(_tables(schema, given))
    if len(tables) > 1:
        names = set(tables[0].column_names).symmetric_difference(tables[1].column_names)
        raise SchemaMismatchError(
            f"table {schema.full_name!r}: some rows have {', '.join(sorted(names))} and some have not",
            hint=f"{verb}() needs the same columns in every row",
            table=schema.full_name,
        )
    return tables[0]


def keys_given(schema: TableSchema, keys: Any, verb: str) -> Keys:
    """What `delete` takes as keys, encoded, in key order, each once. InvalidInputError if the table has no key."""
    require_key(schema, verb)
    given = _keys_of(schema, keys)
    if type(given) is list:
        given = [_its_key(schema, row) for row in given]
    tables = _tables(schema, given) if type(given) is list else [_table_of(given)]
    found = concat([keys_of(schema, conform(schema, table)) for table in tables])
    found = take(found, sort_order(found))
    return take(found, runs_of_equal(found).nonzero()[0])


def _keys_of(schema: TableSchema, keys: Any) -> Given:
    """What `delete` was given, as rows with key columns."""
    names = schema.key_names
    if isinstance(keys, Mapping) or hasattr(keys, "column_names") or hasattr(keys, "columns"):
        return _key_columns(schema, keys)
    column = isinstance(keys, pa.ChunkedArray) or type(keys).__name__ == "Series"
    if not column and (isinstance(keys, pa.RecordBatchReader) or hasattr(keys, "__arrow_c_stream__")):
        return _key_columns(schema, keys)
    if isinstance(keys, str | bytes) or not hasattr(keys, "__iter__"):
        keys = [keys]
    elif isinstance(keys, tuple) and len(names) > 1:
        keys = [keys] if not any(isinstance(part, tuple | Mapping) for part in keys) else keys
    if isinstance(keys, pa.Array | pa.ChunkedArray) or hasattr(keys, "dtype"):
        _check_parts(schema, 1)
        return from_frame({names[0]: keys})
    return [key if isinstance(key, Mapping) else _key_row(schema, key) for key in keys]


def _key_columns(schema: TableSchema, keys: Any) -> Given:
    """A frame or dict, without the columns that do not belong to the key."""
    if isinstance(keys, Mapping):
        mine = {name: keys[name] for name in schema.key_names if name in keys}
        return rows_of(schema, mine)
    given = _table_of(from_frame(keys))
    return given.select([name for name in schema.key_names if name in given.column_names])


def _key_row(schema: TableSchema, key: Any) -> Mapping[str, Any]:
    parts = key if isinstance(key, tuple) else (key,)
    _check_parts(schema, len(parts))
    return dict(zip(schema.key_names, parts, strict=True))


def _check_parts(schema: TableSchema, count: int) -> None:
    if count != len(schema.key_names):
        raise InvalidInputError(
            f"table {schema.full_name!r}: a key has {len(schema.key_names)} parts, "
            f"{', '.join(schema.key_names)}; found {count}",
            hint=f"pass {'tuples' if len(schema.key_names) > 1 else 'single values'}, or a frame with them",
        )


def whole_or_stream(tx: Transaction, given: Given) -> tuple[pa.Table | None, Iterable[pa.RecordBatch]]:
    """A table if it is below the bulk threshold, else its batches."""
    limit = tx.engine.settings.bulk_threshold
    if isinstance(given, pa.Table):
        return (given, ()) if given.nbytes <= limit else (None, load.rebatch(given))
    assert isinstance(given, pa.RecordBatchReader)
    first: list[pa.RecordBatch] = []
    size = 0
    for batch in given:
        first.append(batch)
        size += batch.nbytes
        if size > limit:
            return None, chain(first, given)
    return pa.Table.from_batches(first, given.schema), ()


def _table_of(given: Given) -> pa.Table:
    return given.read_all() if isinstance(given, pa.RecordBatchReader) else given


def _is_empty(tx: Transaction, schema: TableSchema) -> bool:
    return not tx.reader(schema).sections
