"""The rows in which two states of a table differ, as a stream of Arrow batches.

    diff_type          added, modified or removed
    <key columns>      as the target has them; none for a table without a key
    from_<name>        each column both sides have, as the source has it; NULL in added rows. In the wider of its two
                       types, or in the source's where a change of type was no widening
    to_<name>          ... as the target has it; NULL in removed rows
    changed            the names of the columns that differ, in modified rows; NULL in the others

In key order, unless everything had to be compared. Memory is bounded by a slice of candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from absdb.pages.key import Keys, take
from absdb.pages.lookup import Found
from absdb.pages.projection import Projection
from absdb.pages.types import physical_type, to_logical
from absdb.versioning.table_diff import DiffSlice, Shared, TableDiff

ADDED, MODIFIED, REMOVED = range(3)
DIFF_TYPES = ("added", "modified", "removed")

Ints = np.ndarray[Any, np.dtype[Any]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


def diff_rows(diff: TableDiff) -> pa.RecordBatchReader:
    """The rows that differ. The cost follows the change, not the size of the table."""
    schema = rows_schema(diff)
    return pa.RecordBatchReader.from_batches(schema, _batches(diff, schema))


def rows_schema(diff: TableDiff) -> pa.Schema:
    """The columns of `diff_rows`."""
    fields = [pa.field("diff_type", pa.string(), nullable=False)]
    fields += [pa.field(c.name, c.type, nullable=False) for c in _key_columns(diff)]
    for shared in diff.columns:
        old, new = _logical(shared)
        fields += [pa.field(f"from_{shared.name}", old), pa.field(f"to_{shared.name}", new)]
    return pa.schema([*fields, pa.field("changed", pa.list_(pa.string()))])


def _batches(diff: TableDiff, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for part in diff.slices():
        kinds, at = _chosen(part)
        if len(at):
            yield pa.RecordBatch.from_arrays(_arrays(diff, part, kinds, at), schema=schema)
        # Its rows need not be there beside those of the next one.
        del part


def _chosen(part: DiffSlice) -> tuple[Ints, Ints]:
    """What became of the candidates that differ, and which ones they are."""
    kinds = np.full(len(part.in_target), -1, np.int8)
    kinds[part.in_target & ~part.in_source] = ADDED
    kinds[part.in_source & ~part.in_target] = REMOVED
    both = np.flatnonzero(part.both)
    kinds[both[part.modified()]] = MODIFIED
    at = np.flatnonzero(kinds >= 0)
    return kinds[at], at


def _arrays(diff: TableDiff, part: DiffSlice, kinds: Ints, at: Ints) -> list[pa.Array]:
    keys = take(part.keys, at)
    before, after = _sides(diff, part, kinds, at)
    arrays = [pa.array(DIFF_TYPES, pa.string()).take(pa.array(kinds)), *_keys(diff, keys)]
    for number, shared in enumerate(diff.columns):
        old, new = _logical(shared)
        arrays += [to_logical(before[number], old), to_logical(after[number], new)]
    return [*arrays, _changed(diff, part, kinds, at)]


def _key_columns(diff: TableDiff) -> tuple[Any, ...]:
    schema = diff.target.schema
    return () if schema.hidden_key is not None else schema.key_columns


def _keys(diff: TableDiff, keys: Keys) -> list[pa.Array]:
    parts = diff.target.schema.key_spec.decode(keys)
    return [to_logical(part, column.type) for part, column in zip(parts, _key_columns(diff), strict=False)]


def _sides(diff: TableDiff, part: DiffSlice, kinds: Ints, at: Ints) -> tuple[list[pa.Array], list[pa.Array]]:
    """The columns of both sides for every row that differs, NULL where it is not there."""
    if not diff.columns:
        return [], []
    place, old, new = np.full(len(part.in_target), -1, np.int64), None, None
    if part.compared is not None:
        old, new, order = part.compared.old, part.compared.new, part.compared.order
        place[order] = np.arange(len(order))
    place = np.where(kinds == MODIFIED, place[at], -1)
    return (
        _side(part.before, diff.projection("source"), old, place, at, kinds == REMOVED),
        _side(part.after, diff.projection("target"), new, place, at, kinds == ADDED),
    )


def _side(
    found: Found, projection: Projection, compared: pa.RecordBatch | None, place: Ints, at: Ints, alone: Bools
) -> list[pa.Array]:
    """Rows that are on both sides have been read, and have a `place` among those compared; those that are on
    this side `alone` are read now."""
    batches = [] if compared is None else [compared]
    if alone.any():
        read = sum(batch.num_rows for batch in batches)
        place = place.copy()
        place[alone] = read + np.arange(np.count_nonzero(alone))
        batches.append(found.some(at[alone]).take(projection))
    rows = pa.concat_batches(batches) if batches else projection.empty()
    if rows.num_rows == len(place) and np.array_equal(place, np.arange(len(place))):
        return rows.columns
    wanted = pa.array(place, mask=place < 0)
    return [column.take(wanted) for column in rows.columns]


def _logical(shared: Shared) -> tuple[pa.DataType, pa.DataType]:
    """The types a column is shown in, on the source's side and on the target's: one, which is that of the side
    whose values need no widening (the target's if both), or each its own where no type holds both."""
    if shared.kind is None:
        return shared.source.type, shared.target.type
    one = shared.target.type if physical_type(shared.target.type) == shared.kind else shared.source.type
    return one, one


def _changed(diff: TableDiff, part: DiffSlice, kinds: Ints, at: Ints) -> pa.Array:
    """For each modified row the names of the columns that differ."""
    modified = part.modified()
    names = [shared.name for shared in diff.columns if shared.name in part.changed]
    counts = np.zeros(len(kinds), np.int32)
    which = np.empty(0, np.int64)
    if modified.any():
        matrix = np.stack([part.changed[name][modified] for name in names], axis=1)
        counts[kinds == MODIFIED] = matrix.sum(axis=1)
        which = np.nonzero(matrix)[1]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    values = pa.array(names, pa.string()).take(pa.array(which))
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(kinds != MODIFIED))
