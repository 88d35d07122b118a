"""The verbs that change rows: insert, upsert, update, delete, replace, sync, on frames that fit in memory.

Each takes a transaction, a table and a table of rows, finds what is there by key, and writes one page batch into
the transaction. Few dicts go through engine/small.py, large frames and streams through engine/load.py, with the
same results. All of a verb is checked before any of it is written, so an error leaves the transaction as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import Column, TableSchema
from absdb.engine.gather import key_batch
from absdb.engine.prepare import Given, Present, complete, conform, keys_of
from absdb.engine.reader import TableReader
from absdb.engine.refusals import refuse_duplicates, refuse_existing, require_key
from absdb.pages.compare import changed_matrix
from absdb.pages.fold import fold
from absdb.pages.key import Keys, is_increasing, length, runs_of_equal, sort_order, take
from absdb.pages.lookup import Found, lookup
from absdb.pages.section import DELETE, OP, Section

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction


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
    batch = upserts(tx, schema, tx.reader(schema), conform(schema, rows))
    tx.write_batch(schema, batch)
    return batch.num_rows


def update(tx: Transaction, schema: TableSchema, rows: pa.Table) -> int:
    """Change rows that are there, by key; others are left out. Returns the number of rows found."""
    require_key(schema, "update")
    batch = updates(tx, schema, tx.reader(schema), *in_order(schema, conform(schema, rows)))
    tx.write_batch(schema, batch)
    return batch.num_rows


def delete(tx: Transaction, schema: TableSchema, rows: pa.Table) -> int:
    """Remove rows by key; other columns are ignored, unknown keys too. Returns the number of rows removed."""
    require_key(schema, "delete")
    batch = deletions(schema, tx.reader(schema), rows)
    tx.write_batch(schema, batch)
    return batch.num_rows


def sync(tx: Transaction, schema: TableSchema, rows: pa.Table) -> tuple[int, int, int]:
    """Make the table equal `rows`, writing only what differs; columns left out keep their values.

    Returns rows (added, modified, removed). Costs a comparison of both sides, not a rewrite.
    """
    require_key(schema, "sync")
    reader = tx.reader(schema)
    keys, given = in_order(schema, conform(schema, rows))
    batch, added, modified = differences(tx, schema, reader, keys, given)
    gone = missing_keys(schema, reader.sections, key_section(schema, keys))
    removed = sum([remove_keys(tx, schema, part) for part in gone])
    tx.write_batch(schema, batch)
    return added, modified, removed


def replace(tx: Transaction, schema: TableSchema, rows: pa.Table) -> int:
    """Put `rows` in the place of everything that is there. Returns the number of rows."""
    batch = in_key_order(schema, complete(tx, schema, conform(schema, rows)))
    wanted = key_section(schema, schema.key_spec.keys_of(batch))
    for gone in missing_keys(schema, tx.reader(schema).sections, wanted):
        remove_keys(tx, schema, gone)
    tx.write_batch(schema, batch)
    return batch.num_rows


def truncate(tx: Transaction, schema: TableSchema) -> int:
    """Remove all rows. Returns their number."""
    gone = missing_keys(schema, tx.reader(schema).sections, Section.EMPTY)
    return sum([remove_keys(tx, schema, keys) for keys in gone])


# ---------------------------------------------------------------- page batches of rows given


def in_order(schema: TableSchema, given: Given) -> tuple[Keys, Given]:
    """(keys, rows) sorted by key; ConstraintError if a key comes twice."""
    keys = keys_of(schema, given)
    if is_increasing(keys, strict=True):
        return keys, given
    order = sort_order(keys)
    keys = take(keys, order)
    refuse_duplicates(schema, keys)
    return keys, given.take(order)


def upserts(tx: Transaction, schema: TableSchema, reader: TableReader, given: Given) -> pa.RecordBatch:
    """What an upsert writes, sorted by key."""
    keys, given = in_order(schema, given)
    if not _left_out(schema, given):
        return complete(tx, schema, given)
    return complete(tx, schema, given, present=_present(schema, reader.lookup(keys), given))


def updates(
    tx: Transaction, schema: TableSchema, reader: TableReader, keys: Keys, given: Given
) -> pa.RecordBatch:
    """What an update by sorted rows writes, sorted by key."""
    found = reader.lookup(keys)
    if not found.alive.all():
        there = np.flatnonzero(found.alive)
        given, found = given.take(there), reader.lookup(take(keys, there))
    return complete(tx, schema, given, present=_present(schema, found, given))


def deletions(schema: TableSchema, reader: TableReader, rows: pa.Table) -> pa.RecordBatch:
    """Tombstones for those of the keys given that are there, sorted."""
    keys = keys_of(
        schema, conform(schema, rows.select([n for n in rows.column_names if n in schema.key_names]))
    )
    if not is_increasing(keys, strict=True):
        keys = take(keys, sort_order(keys))
        keys = take(keys, np.flatnonzero(runs_of_equal(keys)))
    return tombstones(schema, take(keys, np.flatnonzero(reader.lookup(keys).alive)))


def differences(
    tx: Transaction, schema: TableSchema, reader: TableReader, keys: Keys, given: Given
) -> tuple[pa.RecordBatch, int, int]:
    """(what a sync writes of sorted rows, new ones, changed ones)."""
    found = reader.lookup(keys)
    alive = np.flatnonzero(found.alive)
    if len(alive):
        changed = ~found.alive
        changed[alive] = _differs(schema, found, given.take(alive))
        if not changed.all():
            kept = np.flatnonzero(changed)
            keys, given = take(keys, kept), given.take(kept)
            found = reader.lookup(keys)
    batch = complete(tx, schema, given, present=_present(schema, found, given))
    modified = int(found.alive.sum())
    return batch, length(keys) - modified, modified


def _differs(schema: TableSchema, found: Found, given: Given) -> np.ndarray[Any, Any]:
    """For each row that is there whether a column given has another value."""
    columns = [c for c in schema.columns if c.page_name in given.columns and c.id not in schema.key]
    differs = np.zeros(given.rows, bool)
    if columns:
        old = found.take(schema.page_projection(tuple(c.id for c in columns)))
        new = pa.record_batch([given.columns[name] for name in old.schema.names], schema=old.schema)
        for column in changed_matrix(old, new).values():
            differs |= column
    return differs


def _left_out(schema: TableSchema, given: Given) -> list[Column]:
    return [c for c in schema.columns if c.generated is None and c.page_name not in given.columns]


def _present(schema: TableSchema, found: Found, given: Given) -> Present:
    columns = tuple(c.id for c in _left_out(schema, given))
    rows = found.take(schema.page_projection(columns)) if columns else None
    return Present(
        found.alive, dict(zip(rows.schema.names, rows.columns, strict=True)) if rows is not None else {}
    )


def in_key_order(schema: TableSchema, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch sorted by key; ConstraintError if a key occurs twice."""
    keys = schema.key_spec.keys_of(batch)
    if is_increasing(keys, strict=True):
        return batch
    order = sort_order(keys)
    refuse_duplicates(schema, take(keys, order))
    return batch.take(pa.array(order))


# ---------------------------------------------------------------- rows that go


def missing_keys(schema: TableSchema, sections: list[Section], wanted: Section) -> Iterator[Keys]:
    """The keys that are there and not in the section `wanted`, page by page, sorted."""
    for batch in fold(schema.key_spec, sections, schema.key_projection):
        keys = schema.key_spec.keys_of(schema.key_spec.with_key(batch))
        known = lookup(schema.key_spec, [wanted], keys).known
        if not known.all():
            yield take(keys, np.flatnonzero(~known))


def key_section(schema: TableSchema, keys: Keys) -> Section:
    """A section in memory that holds nothing but sorted keys."""
    if not length(keys):
        return Section.EMPTY
    return Section.of([key_batch(schema, keys)], schema.key_spec)


def remove_keys(tx: Transaction, schema: TableSchema, keys: Keys) -> int:
    """Write tombstones for keys that are there, sorted."""
    tx.write_batch(schema, tombstones(schema, keys))
    return length(keys)


def tombstones(schema: TableSchema, keys: Keys) -> pa.RecordBatch:
    """A page batch that deletes the keys: it has no other columns."""
    ops = pa.repeat(pa.scalar(DELETE, pa.int8()), length(keys))
    return key_batch(schema, keys).append_column(pa.field(OP, pa.int8()), ops)
