"""Index runs: from the values of some columns to the keys of the rows that hold them.

An index run is a list of batches, as a rule of one, each sorted by (_value, _row):

    _value   the values of the indexed columns in the form Keys have (see `key`): int64 or uint64 for a single
             integer or temporal column, otherwise binary
    _row     the key of the row in the form its table's Keys have: int64, uint64 or binary

Rows with a null in any indexed column are absent: in SQL no null equals another. An index run is made beside
a run of rows and never changes, so what it gives are candidates: a newer layer may have changed or removed
the row, and the caller looks each candidate up by its key before it believes it.

Called by engine/ to check UNIQUE and FOREIGN KEY constraints; stored, if at all, like any other batches.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from absdb.errors import InvalidInputError
from absdb.pages.key import (
    Key,
    Keys,
    KeySpec,
    at,
    concat,
    empty,
    equal,
    is_increasing,
    runs_of_equal,
    search,
    search_one,
    sort_order,
    take,
    to_list,
)

VALUE, ROW = "_value", "_row"
# One batch holds what a binary array can address with room to spare, and what can be sorted in modest memory.
BATCH_ROWS_MAX = 1 << 24
BATCH_BYTES_MAX = 1 << 30
PART_ROWS = 262_144
ONE_ROWS = 64

Entries = tuple[Keys, Keys]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """Which columns an index is over, and the key of the table they are in."""

    values: KeySpec
    key: KeySpec

    @classmethod
    def of(cls, columns: Sequence[str], types: Sequence[pa.DataType], key: KeySpec) -> IndexSpec:
        """Columns of pages and their physical types. InvalidInputError for a type that has no order."""
        return cls(KeySpec.of(columns, types), key)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.values.columns

    @property
    def types(self) -> tuple[pa.DataType, ...]:
        return self.values.types


def encode_values(arrays: Sequence[pa.Array]) -> Keys:
    """Values to probe an index with: physical arrays without nulls, in the order of the indexed columns."""
    return KeySpec.of([f"value {i}" for i in range(len(arrays))], [a.type for a in arrays]).encode(arrays)


# ---------------------------------------------------------------- making


def build_index(spec: IndexSpec, batches: Iterable[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """The index run of rows: of pages with key and indexed columns. Tombstones are left out.

    There is always at least one batch, and more only past BATCH_ROWS_MAX rows or BATCH_BYTES_MAX bytes.
    """
    return _sorted_batches(spec, (_entries(spec, batch) for batch in batches))


def merge_index(spec: IndexSpec, batches: Iterable[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """One index run out of the batches of several; an entry they share is kept once."""
    return _sorted_batches(spec, ((_keys_in(batch, VALUE), _keys_in(batch, ROW)) for batch in batches))


def _entries(spec: IndexSpec, batch: pa.RecordBatch) -> Entries:
    """Values and row keys of the rows that belong into an index."""
    rows = spec.key.keys_of(batch)
    arrays = [batch.column(name) for name in spec.columns]
    there = [array.is_valid() for array in arrays if array.null_count]
    position = batch.schema.get_field_index("_op")
    if position >= 0:
        there.append(pc.equal(batch.column(position), 0))
    if there:
        mask = np.logical_and.reduce([valid.to_numpy(zero_copy_only=False) for valid in there])
        kept = np.flatnonzero(mask)
        arrays = [array.take(pa.array(kept)) for array in arrays]
        rows = take(rows, kept)
    return spec.values.encode(arrays), rows


def _sorted_batches(spec: IndexSpec, entries: Iterable[Entries]) -> list[pa.RecordBatch]:
    made = [_sorted_batch(*_joined(part)) for part in _parts(entries)]
    return made or [_batch(empty(spec.values), empty(spec.key))]


def _parts(entries: Iterable[Entries]) -> Iterator[list[Entries]]:
    """The entries in as many groups as there will be batches."""
    part: list[Entries] = []
    rows = size = 0
    for values, keys in entries:
        if not len(values):
            continue
        more = max(values.nbytes, keys.nbytes)
        if part and (rows + len(values) > BATCH_ROWS_MAX or size + more > BATCH_BYTES_MAX):
            yield part
            part, rows, size = [], 0, 0
        part.append((values, keys))
        rows, size = rows + len(values), size + more
    if part:
        yield part


def _joined(part: list[Entries]) -> Entries:
    return concat([values for values, _ in part]), concat([keys for _, keys in part])


def _sorted_batch(values: Keys, keys: Keys) -> pa.RecordBatch:
    """Sorted by value, then key, without repetitions."""
    if not is_increasing(keys, strict=False):
        order = sort_order(keys)
        values, keys = take(values, order), take(keys, order)
    if not is_increasing(values, strict=False):
        order = sort_order(values)  # stable, so that keys stay sorted within a value
        values, keys = take(values, order), take(keys, order)
    new = runs_of_equal(values) | runs_of_equal(keys)
    if not new.all():
        kept = np.flatnonzero(new)
        values, keys = take(values, kept), take(keys, kept)
    return _batch(values, keys)


def _batch(values: Keys, keys: Keys) -> pa.RecordBatch:
    columns = [keys_ if isinstance(keys_, pa.Array) else pa.array(keys_) for keys_ in (values, keys)]
    return pa.RecordBatch.from_arrays(columns, names=[VALUE, ROW])


def _keys_in(batch: pa.RecordBatch, name: str) -> Keys:
    """A column of an index batch as Keys."""
    column = batch.column(name)
    return column if pa.types.is_binary(column.type) else column.to_numpy()


# ---------------------------------------------------------------- asking


def probe_parts(
    index: Sequence[pa.RecordBatch], values: Keys, rows_max: int = PART_ROWS
) -> Iterator[tuple[Positions, Keys]]:
    """What `probe` gives, in parts of at most `rows_max` candidates: one value may have millions."""
    for batch in index:
        yield from _probe_batch(_checked(batch, values), _keys_in(batch, ROW), values, rows_max)


def probe(index: Sequence[pa.RecordBatch], values: Keys) -> tuple[Positions, Keys]:
    """(positions in `values`, row keys) of all candidates, over the batches of one or several index runs.

    A value with several rows comes several times, one without rows not at all; within a batch in the order of
    the values, which may come in any order but are quickest sorted.
    """
    parts = list(probe_parts(index, values, sys.maxsize))
    if not parts:
        return np.empty(0, np.int64), _keys_in(index[0].slice(0, 0), ROW) if index else np.empty(0, np.int64)
    return np.concatenate([positions for positions, _ in parts]), concat([rows for _, rows in parts])


def probe_one(index: Sequence[pa.RecordBatch], value: Key) -> list[Key]:
    """The row keys of all candidates for one value."""
    return list(probe_each(index, value))


def probe_each(index: Sequence[pa.RecordBatch], value: Key) -> Iterator[Key]:
    """The same, made as they are asked for."""
    for batch in index:
        values = _keys_in(batch, VALUE)
        start = search_one(values, value)
        if start < len(values) and at(values, start) == value:
            stop = search_one(values, value, "right")
            for first in range(start, stop, ONE_ROWS):
                yield from to_list(_keys_in(batch.slice(first, min(ONE_ROWS, stop - first)), ROW))


def _probe_batch(known: Keys, rows: Keys, values: Keys, rows_max: int) -> Iterator[Entries]:
    """Most values of a constraint check are not there, so ends are sought only for those that are."""
    if not len(known) or not len(values):
        return
    starts = search(known, values)
    inside = np.minimum(starts, len(known) - 1)
    hits = np.flatnonzero(equal(take(known, inside), values) & (starts < len(known)))
    if not len(hits):
        return
    firsts = starts[hits]
    ends = np.cumsum(search(known, take(values, hits), "right") - firsts)
    begins = np.concatenate([[0], ends[:-1]])
    for start in range(0, int(ends[-1]), rows_max):
        # Entries start .. stop of all candidates in a row: which hit each belongs to, and which row it is.
        entries = np.arange(start, min(start + rows_max, int(ends[-1])))
        owner = np.searchsorted(ends, entries, side="right")
        yield hits[owner], take(rows, firsts[owner] + (entries - begins[owner]))


def _checked(batch: pa.RecordBatch, values: Keys) -> Keys:
    """The values of a batch, if they are of the same form as those it is probed with."""
    known = _keys_in(batch, VALUE)
    forms = [keys.dtype if isinstance(keys, np.ndarray) else keys.type for keys in (known, values)]
    if forms[0] != forms[1]:
        raise InvalidInputError(f"an index over {forms[0]} values cannot be probed with {forms[1]} values")
    return known
