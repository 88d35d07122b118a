"""The verbs that change rows: insert, upsert, update, delete, replace, sync, on frames of any size.

Each takes a transaction, a table and a table of rows, finds what is there by key, and writes page batches into
the transaction. Small inputs are sorted and written at once; large ones stream through engine/load.py. All of a
verb is checked before any of it is written, so an error leaves the transaction as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine.prepare import complete, conform
from absdb.errors import ConstraintError, InvalidInputError
from absdb.pages.compare import changed_matrix
from absdb.pages.fold import fold
from absdb.pages.key import Key, Keys, at, is_increasing, length, runs_of_equal, sort_order, take
from absdb.pages.lookup import Found, lookup
from absdb.pages.section import DELETE, OP, Section
from absdb.pages.types import to_physical

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

SHOWN = 5


def insert(tx: Transaction, schema: TableSchema, rows: pa.Table) -> int:
    """Add rows that are not there; ConstraintError names keys that are. Returns the number of rows."""
    batch = in_key_order(schema, complete(tx, schema, conform(schema, rows)))
    if batch.num_rows and schema.hidden_key is None:
        keys = schema.key_spec.keys_of(batch)
        refuse_existing(schema, keys, tx.reader(schema).lookup(keys).alive)
    tx.write_batch(schema, batch)
    return batch.num_rows


def upsert(tx: Transaction, schema: TableSchema, rows: pa.Table) -> int:
    """Add rows or change those that are there; columns left out keep their value. Returns the number of rows."""
    require_key(schema, "upsert")
    given = conform(schema, rows)
    present, _, given = _present(tx, schema, given)
    batch = in_key_order(schema, complete(tx, schema, given, present=present))
    tx.write_batch(schema, batch)
    return batch.num_rows


def update(tx: Transaction, schema: TableSchema, rows: pa.Table) -> int:
    """Change rows that are there, by key; others are left out. Returns the number of rows found."""
    require_key(schema, "update")
    given = conform(schema, rows)
    present, found, given = _present(tx, schema, given)
    if not found.alive.all():
        keep = pa.array(found.alive)
        given, present = given.filter(keep), present.filter(keep)
    batch = in_key_order(schema, complete(tx, schema, given, present=present))
    tx.write_batch(schema, batch)
    return batch.num_rows


def delete(tx: Transaction, schema: TableSchema, rows: pa.Table) -> int:
    """Remove rows by key; other columns are ignored, unknown keys too. Returns the number of rows removed."""
    require_key(schema, "delete")
    given = conform(schema, rows.select([n for n in rows.column_names if n in schema.key_names]))
    keys = keys_of(schema, given)
    order = sort_order(keys)
    keys = take(keys, order)
    keys = take(keys, np.flatnonzero(runs_of_equal(keys)))
    found = tx.reader(schema).lookup(keys)
    return remove_keys(tx, schema, take(keys, np.flatnonzero(found.alive)))


def remove_keys(tx: Transaction, schema: TableSchema, keys: Keys) -> int:
    """Write tombstones for keys that are there, sorted."""
    if length(keys):
        tx.write_batch(schema, tombstones(schema, keys))
    return length(keys)


def sync(tx: Transaction, schema: TableSchema, rows: pa.Table) -> tuple[int, int, int]:
    """Make the table equal `rows`, writing only what differs; columns left out keep their values.

    Returns rows (added, modified, removed). Costs a comparison of both sides, not a rewrite.
    """
    require_key(schema, "sync")
    present, found, given = _present(tx, schema, conform(schema, rows))
    batch = complete(tx, schema, given, present=present)
    reader = tx.reader(schema)
    changed = ~found.alive
    if found.alive.any():
        alive = np.flatnonzero(found.alive)
        old = present.take(pa.array(alive)).drop_columns(["_alive"])
        new = batch.take(pa.array(alive)).select(old.schema.names)
        differs = np.zeros(len(alive), bool)
        for column in changed_matrix(old, new).values():
            differs |= column
        changed[alive] = differs
    wanted = take(schema.key_spec.keys_of(batch), sort_order(schema.key_spec.keys_of(batch)))
    gone = _missing_keys(schema, reader.sections, wanted)
    modified = int((changed & found.alive).sum())
    if changed.any():
        tx.write_batch(schema, in_key_order(schema, batch.filter(pa.array(changed))))
    removed = 0
    for keys in gone:
        removed += remove_keys(tx, schema, keys)
    return int(changed.sum()) - modified, modified, removed


def replace(tx: Transaction, schema: TableSchema, rows: pa.Table) -> int:
    """Put `rows` in the place of everything that is there. Returns the number of rows."""
    batch = in_key_order(schema, complete(tx, schema, conform(schema, rows)))
    keys = schema.key_spec.keys_of(batch)
    for gone in _missing_keys(schema, tx.reader(schema).sections, keys):
        remove_keys(tx, schema, gone)
    tx.write_batch(schema, batch)
    return batch.num_rows


def truncate(tx: Transaction, schema: TableSchema) -> int:
    """Remove all rows. Returns their number."""
    removed = 0
    none = schema.key_spec.keys_of(empty_page(schema))
    for gone in _missing_keys(schema, tx.reader(schema).sections, none):
        removed += remove_keys(tx, schema, gone)
    return removed


def _missing_keys(schema: TableSchema, sections: Sequence[Section], wanted: Keys) -> list[Keys]:
    """The keys that are there and not among `wanted` (sorted), page by page."""
    projection = schema.key_projection
    found: list[Keys] = []
    probe = Section.of([], schema.key_spec)
    if length(wanted):
        probe = key_section(schema, wanted)
    for batch in fold(schema.key_spec, list(sections), projection):
        keys = schema.key_spec.keys_of(schema.key_spec.with_key(batch))
        known = (
            lookup(schema.key_spec, [probe], keys).known if length(wanted) else np.zeros(length(keys), bool)
        )
        if not known.all():
            found.append(take(keys, np.flatnonzero(~known)))
    return found


def key_section(schema: TableSchema, keys: Keys) -> Section:
    """A section in memory that holds nothing but sorted keys."""
    batch = pa.record_batch(schema.key_spec.decode(keys), names=list(schema.key_spec.columns))
    return Section.of([schema.key_spec.with_key(batch)], schema.key_spec)


def _present(tx: Transaction, schema: TableSchema, given: pa.Table) -> tuple[pa.RecordBatch, Found, pa.Table]:
    """For each row given, sorted by key, the row that is there now and `_alive`; and the rows sorted the same way."""
    keys = keys_of(schema, given)
    if not is_increasing(keys, strict=True):
        order = sort_order(keys)
        keys = take(keys, order)
        refuse_duplicates(schema, keys)
        given = given.take(pa.array(order))
    found = tx.reader(schema).lookup(keys)
    rows = found.take(schema.physical_projection)
    spread = np.cumsum(found.alive) - 1
    index = pa.array(spread, mask=~found.alive)
    present = pa.record_batch(
        [*[column.take(index) for column in rows.columns], pa.array(found.alive)],
        names=[*rows.schema.names, "_alive"],
    )
    return present, found, given


def keys_of(schema: TableSchema, given: pa.Table) -> Keys:
    """The encoded keys of conformed rows; InvalidInputError if a key column is missing or NULL."""
    missing = [name for name in schema.key_names if name not in given.column_names]
    if missing:
        raise InvalidInputError(
            f"table {schema.full_name!r}: the rows have no {', '.join(missing)}",
            hint=f"its key is {', '.join(schema.key_names)}; every row needs it",
        )
    arrays = []
    for column in schema.key_columns:
        values = given.column(column.name)
        if values.null_count:
            raise ConstraintError(
                f"table {schema.full_name!r}: key column {column.name!r} is NULL in {values.null_count} rows",
                hint="nothing was changed",
                table=schema.full_name,
                constraint="PRIMARY KEY",
                keys=[],
            )
        chunk = values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)
        if isinstance(chunk, pa.ChunkedArray):
            chunk = chunk.chunk(0) if chunk.num_chunks else pa.array([], column.type)
        arrays.append(to_physical(chunk, column.type))
    return schema.key_spec.encode(arrays)


def in_key_order(schema: TableSchema, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch sorted by key; ConstraintError if a key occurs twice."""
    keys = schema.key_spec.keys_of(batch)
    if is_increasing(keys, strict=True):
        return batch
    order = sort_order(keys)
    refuse_duplicates(schema, take(keys, order))
    return batch.take(pa.array(order))


def refuse_duplicates(schema: TableSchema, keys: Keys) -> None:
    """ConstraintError if sorted keys hold one twice."""
    again = np.flatnonzero(~runs_of_equal(keys))
    if len(again):
        _refuse(
            schema, [at(keys, int(i)) for i in again[:SHOWN]], len(again), "more than once in the rows given"
        )


def refuse_existing(schema: TableSchema, keys: Keys, alive: np.ndarray) -> None:
    """ConstraintError if some of the keys are there already."""
    there = np.flatnonzero(alive)
    if len(there):
        _refuse(schema, [at(keys, int(i)) for i in there[:SHOWN]], len(there), "already in the table")


def refuse_duplicates_of(schema: TableSchema, keys: Sequence[Key]) -> None:
    """ConstraintError for a list of keys that holds some twice."""
    counts = Counter(keys)
    again = [key for key, count in counts.items() if count > 1]
    _refuse(schema, again[:SHOWN], len(again), "more than once in the rows given")


def refuse_existing_keys(schema: TableSchema, keys: Sequence[Key]) -> None:
    """ConstraintError for keys that are there already."""
    _refuse(schema, keys[:SHOWN], len(keys), "already in the table")


def _refuse(schema: TableSchema, keys: Sequence[Key], count: int, what: str) -> None:
    shown = [schema.key_spec.decode_one(key) for key in keys]
    text = ", ".join(str(key[0] if len(key) == 1 else key) for key in shown)
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    raise ConstraintError(
        f"table {schema.full_name!r}: key {text}{more} is {what}",
        hint="nothing was changed; upsert() changes rows that are there",
        table=schema.full_name,
        constraint="PRIMARY KEY",
        keys=shown,
    )


def tombstones(schema: TableSchema, keys: Keys) -> pa.RecordBatch:
    """A page batch that deletes the keys."""
    rows = length(keys)
    key_arrays = dict(zip(schema.key_spec.columns, schema.key_spec.decode(keys), strict=True))
    arrays = [key_arrays.get(f.name) for f in schema.page_schema]
    filled = [
        pa.nulls(rows, f.type) if array is None else array
        for array, f in zip(arrays, schema.page_schema, strict=True)
    ]
    batch = schema.key_spec.with_key(pa.record_batch(filled, schema=schema.page_schema))
    return batch.append_column(pa.field(OP, pa.int8()), pa.repeat(pa.scalar(DELETE, pa.int8()), rows))


def empty_page(schema: TableSchema) -> pa.RecordBatch:
    """A page batch without rows."""
    return schema.key_spec.with_key(pa.RecordBatch.from_pylist([], schema=schema.page_schema))


def require_key(schema: TableSchema, verb: str) -> None:
    """InvalidInputError for a verb that needs a key on a table that has none."""
    if schema.hidden_key is not None:
        raise InvalidInputError(
            f"table {schema.full_name!r} has no key, so {verb}() cannot tell its rows apart",
            hint="create the table with key=…, or use insert() and replace()",
        )
