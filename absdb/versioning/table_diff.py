"""The rows in which two states of one table differ, found from what was changed rather than from what is there.

    lineages      drop the common prefix; keys written in what remains of *both* are the candidates
    candidates    look both sides up, compare the columns both have

so the cost follows the change. A column that one side added reads as its initial default on the other; one that a
side dropped is left to the schema diff; one that was given another type is compared by value (retyped.py). Where
history that would name the candidates has expired, or the two are no relatives, every key of both sides is a
candidate, a page at a time. Memory is bounded by SLICE_ROWS rows and SLICE_BYTES bytes of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from absdb.catalog.lineage import Lineage, common_prefix, remainder
from absdb.catalog.schema import Column, TableSchema
from absdb.engine.candidates import Written, runs_of, written_keys
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.errors import HistoryExpiredError
from absdb.ids import ColumnId
from absdb.pages.compare import changed_matrix
from absdb.pages.fold import fold
from absdb.pages.key import Keys, length, take
from absdb.pages.key import slice as slice_keys
from absdb.pages.projection import OutputColumn, Projection
from absdb.pages.types import can_widen, physical_type
from absdb.versioning.retyped import changed_values, descends, origin_of

SLICE_ROWS = 262_144
SLICE_BYTES = 64 << 20

Bools = np.ndarray[Any, np.dtype[np.bool_]]


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
class DiffSlice:
    """Candidate keys in key order: which are there on each side, and in which columns those on both differ."""

    keys: Keys
    in_source: Bools
    in_target: Bools
    changed: dict[str, Bools]
    """Per shared column, over the keys that are on both sides."""

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

    def slices(self) -> Iterator[DiffSlice]:
        """Candidates and what became of them, in slices; in key order unless everything had to be compared."""
        if self._lineages is not None and self._lineages[0] == self._lineages[1]:
            return
        for keys, only_new in self._candidates():
            found = self._compare(keys)
            if only_new:
                # The other pass has compared what is on both sides.
                new = np.flatnonzero(found.in_target & ~found.in_source)
                found = DiffSlice(take(keys, new), found.in_source[new], found.in_target[new], {})
            yield found

    def counts(self) -> tuple[int, int, int]:
        """Rows (added, modified, removed)."""
        added = modified = removed = 0
        for part in self.slices():
            added += int((part.in_target & ~part.in_source).sum())
            removed += int((part.in_source & ~part.in_target).sum())
            modified += int(part.modified().sum())
        return added, modified, removed

    def _candidates(self) -> Iterator[tuple[Keys, bool]]:
        if self._lineages is not None:
            try:
                written = self._written(*self._lineages)
            except HistoryExpiredError:
                written = None
            if written is not None:
                rows = self._slice_rows()
                for keys in written_keys(self.target.schema.key_spec, written, rows):
                    for start in range(0, length(keys), rows):
                        yield slice_keys(keys, start, min(start + rows, length(keys))), False
                return
        for side, only_new in ((self.source, False), (self.target, True)):
            for batch in fold(side.schema.key_spec, side.sections, side.schema.key_projection):
                yield side.schema.key_spec.keys_of(side.schema.key_spec.with_key(batch)), only_new

    def _slice_rows(self) -> int:
        """How many rows are compared at a time: fewer if they are wide."""
        sides = [side.sections for side in (self.source, self.target) if side.sections]
        pages = [max(sections, key=lambda section: section.rows).pages[0] for sections in sides]
        widest = max((page.batch().nbytes // page.rows for page in pages), default=0)
        return max(min(SLICE_ROWS, SLICE_BYTES // max(widest, 1)), 1)

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

    def _compare(self, keys: Keys) -> DiffSlice:
        before, after = self.source.lookup(keys), self.target.lookup(keys)
        both = before.alive & after.alive
        changed: dict[str, Bools] = {}
        if self.columns and both.any():
            old = before.take(self.projection("source"))
            new = after.take(self.projection("target"))
            old = old.filter(pa.array(both[before.alive]))
            new = new.filter(pa.array(both[after.alive]))
            changed = self._changed(old, new)
        return DiffSlice(keys, before.alive, after.alive, changed)

    def _changed(self, old: pa.RecordBatch, new: pa.RecordBatch) -> dict[str, Bools]:
        retyped = {shared.name: shared for shared in self.columns if shared.kind is None}
        changed = changed_matrix(old, new, [name for name in old.schema.names if name not in retyped])
        for name, shared in retyped.items():
            sides = (old.column(name), new.column(name))
            changed[name] = changed_values(*(reversed(sides) if shared.backwards else sides))
        return changed

    def projection(self, side: str) -> Projection:
        """The compared columns of one side, "source" or "target", in the type they are compared in or their own."""
        sides = [(shared, getattr(shared, side)) for shared in self.columns]
        return Projection(
            OutputColumn(shared.name, column.page_name, kind, kind, column.initial_default)
            for shared, column in sides
            for kind in [physical_type(column.type) if shared.kind is None else shared.kind]
        )


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
