"""UNIQUE and FOREIGN KEY on the change of many rows, page by page: memory is bounded by a page and by indexes.

A Side is what a change writes, or what it takes away: rows of one table sorted by key, as one batch. Both sides
of a change come in chunks, whatever its form. Called by engine/constraints.py; constraint_rows.py does the same
for a few rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import ForeignKey, TableSchema, Unique
from absdb.engine.changeset import TableChange
from absdb.engine.comparable import brought, types_of
from absdb.engine.constraint_errors import another_has, nothing_there, referred_to, two_have
from absdb.engine.outcome import Outcome, Positions, whole_values
from absdb.engine.reader import TableReader
from absdb.engine.values import Columns
from absdb.pages.index import ROW, VALUE, encode_values
from absdb.pages.key import Key, Keys, at, equal, length, runs_of_equal, sort_order, take
from absdb.pages.key import slice as slice_keys
from absdb.pages.section import DELETE, Section
from absdb.pages.types import physical_type
from absdb.pages.values import rows_to_batch

CHUNK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Side:
    """Rows of one table: their keys, sorted, and their stored columns."""

    schema: TableSchema
    keys: Keys
    batch: pa.RecordBatch

    def values(self, columns: Columns) -> tuple[Keys, Positions]:
        """(encoded values, row numbers), sorted by value, of the rows without a NULL in the columns."""
        values, rows = whole_values([self.batch.column(f"c{column}") for column in columns])
        order = sort_order(values)
        return take(values, order), rows[order]

    def columns(self, columns: Columns, rows: Positions) -> list[pa.Array]:
        picked = pa.array(rows)
        return [self.batch.column(f"c{column}").take(picked) for column in columns]

    def shown(self, rows: Positions, most: int) -> list[Key]:
        """The first few keys of some rows."""
        return [at(self.keys, int(row)) for row in np.sort(rows)[:most]]


def side_of(schema: TableSchema, batch: pa.RecordBatch) -> Side:
    """A side of physical rows sorted by key."""
    return Side(schema, schema.key_spec.keys_of(schema.key_spec.with_key(batch)), batch)


# ---------------------------------------------------------------- the sides of a change


def written_by(change: TableChange) -> Iterator[Side]:
    """The rows that a change writes."""
    schema = change.schema
    if change.rows is not None:
        yield from _of_rows(schema, [item.row for item in change.rows if item.row is not None])
        return
    section = change.run.newest if change.run is not None else Section.of([change.batch], schema.key_spec)
    for page in section.pages:
        batch, ops = schema.physical_projection.apply(page.batch()), page.ops()
        if ops is not None:
            batch = batch.take(pa.array(np.flatnonzero(ops != DELETE)))
        yield from _chunks(schema, batch)


def removed_by(change: TableChange, base: TableReader) -> Iterator[Side]:
    """The rows that a change replaces or deletes, as `base` has them."""
    schema = change.schema
    if change.rows is not None:
        yield from _of_rows(schema, [item.before for item in change.rows if item.before is not None])
    elif change.batch is not None:
        if change.before is not None:
            yield from _chunks(schema, change.before)
    else:
        for page in change.run.newest.pages:
            yield from rows_under(base, page.keys())


def rows_under(reader: TableReader, keys: Keys) -> Iterator[Side]:
    """The rows that are there under sorted keys."""
    found = reader.lookup(keys)
    for batch in found.batches(reader.schema.physical_projection, CHUNK_ROWS):
        yield side_of(reader.schema, batch)


def _of_rows(schema: TableSchema, rows: list[Any]) -> Iterator[Side]:
    if rows:
        batch = rows_to_batch(rows, [(c.page_name, physical_type(c.type)) for c in schema.stored])
        side = side_of(schema, batch)
        order = sort_order(side.keys)
        yield Side(schema, take(side.keys, order), batch.take(pa.array(order)))


def _chunks(schema: TableSchema, batch: pa.RecordBatch) -> Iterator[Side]:
    for start in range(0, batch.num_rows, CHUNK_ROWS):
        yield side_of(schema, batch.slice(start, CHUNK_ROWS))


# ---------------------------------------------------------------- the checks


def unique_within(outcome: Outcome, schema: TableSchema, constraint: Unique, section: Section) -> bool:
    """ConstraintError if two rows of a section have one value; False if only looking each up can tell."""
    index = outcome.indexes.run(schema, section, constraint.columns)
    if len(index) != 1:
        return False
    values = index[0].column(VALUE)
    values = values if pa.types.is_binary(values.type) else values.to_numpy()
    again = np.flatnonzero(~runs_of_equal(values))
    if len(again):
        first = again[: outcome.keys_listed]
        rows = index[0].column(ROW).take(pa.array(np.unique(np.concatenate([first - 1, first]))))
        outcome.refuse(two_have(schema, constraint, sorted(set(rows.to_pylist())), len(again) + 1))
    return True


def check_unique(outcome: Outcome, constraint: Unique, side: Side, *, own: bool = True) -> None:
    """ConstraintError if a row written has a value that another row has; without `own`, one not written here."""
    values, rows = side.values(constraint.columns)
    again = np.flatnonzero(~runs_of_equal(values)) if length(values) else rows[:0]
    if len(again):
        both = np.concatenate([rows[again - 1], rows[again]])
        outcome.refuse(
            two_have(side.schema, constraint, side.shown(both, outcome.keys_listed), len(again) + 1)
        )
    for positions, keys in outcome.holders_of_many(side.schema, constraint.columns, values, own=own):
        others = ~equal(keys, take(side.keys, rows[positions]))
        if others.any():
            broken = rows[positions[others]]
            keys = side.shown(broken, outcome.keys_listed)
            outcome.refuse(another_has(side.schema, constraint, keys, len(np.unique(broken))))


def check_references(outcome: Outcome, constraint: ForeignKey, side: Side) -> None:
    """ConstraintError if what rows refer to is not there."""
    values, rows = side.values(constraint.columns)
    if not length(values):
        return
    parent = outcome.catalog.tables[constraint.table]
    there = _there(outcome, parent, constraint.references, side, constraint.columns, values, rows)
    if not there.all():
        broken = rows[~there]
        keys = side.shown(broken, outcome.keys_listed)
        outcome.refuse(nothing_there(side.schema, constraint, parent, keys, len(broken)))


def check_unreferred(outcome: Outcome, child: TableSchema, constraint: ForeignKey, side: Side) -> None:
    """ConstraintError if rows still refer to values that no row has any more."""
    columns = constraint.references
    values, rows = side.values(columns)
    if not length(values):
        return
    gone = np.flatnonzero(~_there(outcome, side.schema, columns, side, columns, values, rows))
    if not len(gone):
        return
    values, whole = _values_for(child, constraint.columns, side, columns, take(values, gone), rows[gone])
    for positions, _ in outcome.holders_of_many(child, constraint.columns, values):
        broken = rows[gone[np.unique(whole[positions])]]
        keys = side.shown(broken, outcome.keys_listed)
        outcome.refuse(referred_to(side.schema, constraint, child, keys, len(broken)))


def _there(
    outcome: Outcome,
    table: TableSchema,
    columns: Columns,
    side: Side,
    own_columns: Columns,
    values: Keys,
    rows: Positions,
) -> np.ndarray[Any, Any]:
    """For each value whether a row of `table` has it in `columns`."""
    there = np.zeros(len(rows), bool)
    if columns == table.key:
        arrays, whole = _brought(table, columns, side, own_columns, rows)
        there[whole] = outcome.reader(table).lookup(table.key_spec.encode(arrays)).alive
        return there
    values, whole = _values_for(table, columns, side, own_columns, values, rows)
    for positions, _ in outcome.holders_of_many(table, columns, values):
        there[whole[positions]] = True
    return there


def _values_for(
    table: TableSchema, columns: Columns, side: Side, own_columns: Columns, values: Keys, rows: Positions
) -> tuple[Keys, Positions]:
    """(values as columns of `table` have them, sorted, the position of each among `values`), of those that fit."""
    if types_of(table, columns) == types_of(side.schema, own_columns):
        return values, np.arange(len(rows))
    arrays, whole = _brought(table, columns, side, own_columns, rows)
    encoded = encode_values(arrays)
    order = sort_order(encoded)
    return take(encoded, order), whole[order]


def _brought(
    table: TableSchema, columns: Columns, side: Side, own_columns: Columns, rows: Positions
) -> tuple[list[pa.Array], Positions]:
    """(columns of a side in the types of columns of `table`, which of `rows` they are), of rows that fit there."""
    arrays = side.columns(own_columns, rows)
    types = types_of(table, columns)
    if types == types_of(side.schema, own_columns):
        return arrays, np.arange(len(rows))
    arrays = [brought(array, type_) for array, type_ in zip(arrays, types, strict=True)]
    whole = np.ones(len(rows), bool)
    for array in arrays:
        whole &= array.is_valid().to_numpy(zero_copy_only=False)
    at = np.flatnonzero(whole)
    return [array.take(pa.array(at)) for array in arrays], at


def keys_in_chunks(parts: Iterable[Keys]) -> Iterator[Keys]:
    """The keys of all parts, a bounded number at a time."""
    for keys in parts:
        for start in range(0, length(keys), CHUNK_ROWS):
            yield slice_keys(keys, start, min(start + CHUNK_ROWS, length(keys)))
