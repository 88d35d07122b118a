"""The rows in which two states of one table differ, found from what was changed rather than from what is there.

    lineages      drop the common prefix; keys written in what remains of *both* are the candidates
    candidates    look both sides up, compare the columns both have; to count them, until one differs

so the cost follows the change. A column that one side added reads as its initial default on the other; one that a
side dropped is left to the schema diff; one that was given another type is compared by value (retyped.py). Where
history that would name the candidates has expired, or the two are no relatives, every key of both sides is a
candidate, a page at a time. Memory is bounded by SLICE_ROWS rows, fewer if they are wide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from absdb.catalog.lineage import Lineage, common_prefix, remainder
from absdb.catalog.schema import Column, TableSchema
from absdb.engine.candidates import Written, rows_at_once, runs_of, written_keys
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.errors import HistoryExpiredError
from absdb.ids import ColumnId
from absdb.pages.compare import changed_matrix
from absdb.pages.fold import fold
from absdb.pages.key import Keys, length, take
from absdb.pages.key import slice as slice_keys
from absdb.pages.lookup import Found
from absdb.pages.projection import OutputColumn, Projection
from absdb.pages.types import can_widen, physical_type
from absdb.versioning.retyped import changed_values, descends, initial_as, origin_of

SLICE_ROWS = 262_144
SAMPLE_BLOCKS, SAMPLE_BLOCK_ROWS = 4, 16
"""Rows that tell in which column most differ: neighbours, since those of one page come cheaper."""

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Ints = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Shared:
    """A column both sides can be compared in, as it is on each side."""

    name: str
    source: Column
    target: Column
    kind: pa.DataType | None
    """The type compared in, which holds the values of both; None if there is no such type."""
    backwards: bool = False
    """Without such a type: whether it was the source that gave the target's column another one."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The compared columns of the rows that are on both sides, in the order in which they lie on disk."""

    old: pa.RecordBatch
    new: pa.RecordBatch
    order: Ints
    """Row i is that of the key `order[i]` of the slice."""


@dataclass(frozen=True, slots=True)
class DiffSlice:
    """Candidate keys in key order: which are there on each side, and in which columns those on both differ."""

    keys: Keys
    in_source: Bools
    in_target: Bools
    changed: dict[str, Bools]
    """Per shared column, over the keys that are on both sides."""
    before: Found
    """Where the rows are on the source's side; `after` is the target's."""
    after: Found
    compared: Compared | None = None
    """None if nothing had to be compared."""

    @property
    def both(self) -> Bools:
        return self.in_source & self.in_target

    def modified(self) -> Bools:
        """Over the keys on both sides: whether any column differs."""
        found = np.zeros(int(self.both.sum()), bool)
        for column in self.changed.values():
            found |= column
        return found


class TableDiff:
    """What `target` has that `source` has not, in one table that exists on both sides."""

    def __init__(
        self,
        engine: Engine,
        source: TableReader,
        target: TableReader,
        lineages: tuple[Lineage, Lineage] | None,
    ) -> None:
        """`lineages` are those of the table on both sides; None if they are different tables of one name."""
        self._engine = engine
        self.source = source
        self.target = target
        self._lineages = lineages
        self.columns = shared_columns(source.schema, target.schema, by_id=lineages is not None)

    @property
    def _is_one_state(self) -> bool:
        return self._lineages is not None and self._lineages[0] == self._lineages[1]

    def slices(self) -> Iterator[DiffSlice]:
        """Candidates and what became of them, in slices; in key order unless everything had to be compared."""
        if self._is_one_state:
            return
        for keys, only_new in self._candidates():
            before, after = self.source.lookup(keys), self.target.lookup(keys)
            if only_new:
                # The other pass has compared what is on both sides.
                new = np.flatnonzero(after.alive & ~before.alive)
                before, after = before.some(new), after.some(new)
                yield DiffSlice(take(keys, new), before.alive, after.alive, {}, before, after)
            else:
                yield self._compare(keys, before, after)

    def counts(self) -> tuple[int, int, int]:
        """Rows (added, modified, removed). Cheaper than `slices`: one column that differs tells of a row."""
        if self._is_one_state:
            return 0, 0, 0
        added = modified = removed = 0
        for keys, only_new in self._candidates():
            before, after = self.source.lookup(keys), self.target.lookup(keys)
            both = before.alive & after.alive
            added += int(np.count_nonzero(after.alive & ~both))
            if not only_new:
                removed += int(np.count_nonzero(before.alive & ~both))
                modified += self._count_modified(before, after, np.flatnonzero(both))
        return added, modified, removed

    def _candidates(self) -> Iterator[tuple[Keys, bool]]:
        if self._lineages is not None:
            try:
                written = self._written(*self._lineages)
            except HistoryExpiredError:
                written = None
            if written is not None:
                rows = rows_at_once((self.source.sections, self.target.sections), SLICE_ROWS)
                for keys in written_keys(self.target.schema.key_spec, written, rows):
                    for start in range(0, length(keys), rows):
                        yield slice_keys(keys, start, min(start + rows, length(keys))), False
                return
        for side, only_new in ((self.source, False), (self.target, True)):
            for batch in fold(side.schema.key_spec, side.sections, side.schema.key_projection):
                yield side.schema.key_spec.keys_of(side.schema.key_spec.with_key(batch)), only_new

    def _written(self, source: Lineage, target: Lineage) -> Written:
        """What was written beyond the common prefix of the two lineages, on either side."""
        covers, table = self._engine.covers, self.target.schema
        prefix = common_prefix(source, target)
        found: Written = []
        for lineage in (source, target):
            intervals = remainder(lineage, prefix)
            eras = [(covers.eras.get((era, table.id)), after, upto) for era, after, upto in intervals]
            found += runs_of((cover, after, upto) for cover, after, upto in eras if cover is not None)
            # After the runs were taken, not before: history may expire beside us.
            covers.check_kept(table, lineage, intervals)
        return found

    def _compare(self, keys: Keys, before: Found, after: Found) -> DiffSlice:
        both = np.flatnonzero(before.alive & after.alive)
        if not self.columns or not len(both):
            return DiffSlice(keys, before.alive, after.alive, {}, before, after)
        place = _as_stored(before, after, both)
        order = both[place]
        old, new = self._rows(self.columns, before, after, order)
        changed = {
            name: _placed(column, place) for name, column in self._changed(self.columns, old, new).items()
        }
        compared = Compared(old, new, order)
        return DiffSlice(keys, before.alive, after.alive, changed, before, after, compared)

    def _count_modified(self, before: Found, after: Found, both: Ints) -> int:
        """How many of the keys on both sides differ in any column, each looked at until one does."""
        rows = both[_as_stored(before, after, both)]
        for shared in self._most_telling_first(before, after, rows):
            if not len(rows):
                break
            sides = self._rows([shared], before, after, rows)
            rows = rows[~self._changed([shared], *sides)[shared.name]]
        return len(both) - len(rows)

    def _most_telling_first(self, before: Found, after: Found, rows: Ints) -> list[Shared]:
        """The compared columns, the one in which most of a few rows differ first."""
        if len(rows) <= SAMPLE_BLOCKS * SAMPLE_BLOCK_ROWS or len(self.columns) < 2:
            return self.columns
        starts = np.linspace(0, len(rows) - SAMPLE_BLOCK_ROWS, SAMPLE_BLOCKS).astype(np.int64)
        sample = rows[(starts[:, None] + np.arange(SAMPLE_BLOCK_ROWS)).ravel()]
        changed = self._changed(self.columns, *self._rows(self.columns, before, after, sample))
        return sorted(self.columns, key=lambda shared: -int(changed[shared.name].sum()))

    def _rows(
        self, columns: Sequence[Shared], before: Found, after: Found, rows: Ints
    ) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """Compared columns of keys that are on both sides, as they are on each."""
        sides = ((before, "source"), (after, "target"))
        old, new = (found.some(rows).take(self._projection(side, columns)) for found, side in sides)
        return old, new

    def _changed(
        self, columns: Sequence[Shared], old: pa.RecordBatch, new: pa.RecordBatch
    ) -> dict[str, Bools]:
        changed = changed_matrix(old, new, [shared.name for shared in columns if shared.kind is not None])
        for shared in columns:
            if shared.kind is None:
                sides = (old.column(shared.name), new.column(shared.name))
                changed[shared.name] = changed_values(*(reversed(sides) if shared.backwards else sides))
        return changed

    def projection(self, side: str) -> Projection:
        """The compared columns of one side, "source" or "target", in the type they are compared in or their own."""
        return self._projection(side, self.columns)

    def _projection(self, side: str, columns: Sequence[Shared]) -> Projection:
        sides = [(shared, getattr(shared, side)) for shared in columns]
        return Projection(
            OutputColumn(shared.name, column.page_name, kind, kind, initial_as(column, kind))
            for shared, column in sides
            for kind in [physical_type(column.type) if shared.kind is None else shared.kind]
        )


def _as_stored(before: Found, after: Found, rows: Ints) -> Ints:
    """What brings rows in key order together by the layers in which they are found on both sides.

    Within a layer they lie in key order, so that each page is read in few stretches, on either side.
    """
    one, two = before.layers[rows], after.layers[rows]
    if not len(rows) or ((one == one[0]).all() and (two == two[0]).all()):
        return np.arange(len(rows))
    return np.argsort(one * (int(two.max()) + 1) + two, kind="stable")


def _placed(values: Bools, place: Ints) -> Bools:
    """Each value at its place."""
    found = np.empty_like(values)
    found[place] = values
    return found


def shared_columns(source: TableSchema, target: TableSchema, *, by_id: bool) -> list[Shared]:
    """The columns two schemas can be compared in, without the key, in the target's order."""
    found: list[Shared] = []
    known = {origin_of(target, column) for column in target.columns}
    added_by_source = [c for c in source.columns if origin_of(source, c) not in known] if by_id else []
    candidates = [(target, column) for column in target.columns]
    for schema, column in (*candidates, *((source, column) for column in added_by_source)):
        if column.id in target.key or column.id in source.key or column.name in (one.name for one in found):
            continue
        if by_id:
            origin = origin_of(schema, column)
            ours, theirs = _of_origin(target, origin, column), _of_origin(source, origin, column)
        else:
            ours, theirs = target.by_name.get(column.name), source.by_name.get(column.name)
        if ours is None or theirs is None:
            continue
        old, new = physical_type(theirs.type), physical_type(ours.type)
        kind = new if old == new or can_widen(old, new) else old if can_widen(new, old) else None
        if kind is not None or by_id:
            found.append(Shared(ours.name, theirs, ours, kind, descends(source, theirs, ours)))
    return found


def _of_origin(schema: TableSchema, origin: ColumnId, column: Column) -> Column | None:
    """The column that goes back to `origin`; `column` itself where none ever did (it reads as its initial default
    there), None where it was dropped."""
    for own in schema.columns:
        if origin_of(schema, own) == origin:
            return own
    return None if any(origin_of(schema, other) == origin for other in schema.retired) else column
