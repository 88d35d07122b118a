"""The rows of one table as the sides of a merge have them, brought to the columns of the result.

    candidates   keys that were written on a side since the bases, a bounded number at a time
    Slice        those keys looked up on every side; columns are fetched when asked for, aligned to the keys

A column that a side does not have yet reads as its initial default there; one that it dropped counts as unchanged;
one that it gave another type is cast, and a value that cannot be cast differs from all but itself. Called by
merge_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from absdb.catalog.ancestry import intervals
from absdb.catalog.lineage import Interval, Lineage
from absdb.catalog.schema import Column, TableSchema
from absdb.engine.candidates import Written, rows_at_once, runs_of, written_keys
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.errors import HistoryExpiredError
from absdb.ids import TableId
from absdb.pages.compare import equal_rows
from absdb.pages.fold import fold
from absdb.pages.key import Keys, length, take
from absdb.pages.key import slice as slice_keys
from absdb.pages.lookup import Found
from absdb.pages.projection import OutputColumn, Projection
from absdb.pages.types import can_widen, physical_type
from absdb.versioning.merge_tables import MergedColumn, aliases_of
from absdb.versioning.retyped import cast_each, initial_as

SLICE_ROWS = 131_072
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Side:
    """A table at one state, under the definition it has there; `schema` is None where it does not exist."""

    lineage: Lineage
    schema: TableSchema | None
    reader: TableReader | None

    def column(self, column: MergedColumn) -> Column | None:
        """A column of the result as this side has it."""
        return None if self.schema is None else column.in_schema(self.schema)


def side_of(engine: Engine, lineage: Lineage, schema: TableSchema | None) -> Side:
    """The table at a state; HistoryExpiredError if its rows are no longer kept."""
    if schema is None:
        return Side(lineage, None, None)
    return Side(lineage, schema, TableReader(schema, engine.covers.resolve(engine.history, schema, lineage)))


def table_in(engine: Engine, lineage: Lineage, ids: set[TableId]) -> TableSchema | None:
    """The table that is known under one of the ids, at a state."""
    tables = engine.history.catalog_at(lineage).tables
    return next((table for table in tables.values() if {table.id, *aliases_of(table)} & ids), None)


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A column on one side: values of its type after the merge; which ones cannot be that, and what those are."""

    values: pa.Array
    misfits: Bools | None = None
    unfit: pa.Array | None = None

    def fitting(self, rows: int) -> Bools:
        return np.ones(rows, bool) if self.misfits is None else ~self.misfits


class Slice:
    """Some keys, in order, on every side. `sides` are ours, theirs and the bases."""

    def __init__(self, keys: Keys, sides: Sequence[Side], columns: Sequence[MergedColumn]) -> None:
        self.keys = keys
        self._sides = sides
        self._columns = columns
        self._found = [None if side.reader is None else side.reader.lookup(keys) for side in sides]
        self._fetches: dict[int, dict[int, _Fetched]] = {}

    def __len__(self) -> int:
        return length(self.keys)

    @cached_property
    def alive(self) -> list[Bools]:
        """Per side, which keys have a row."""
        return [np.zeros(len(self), bool) if one is None else one.alive for one in self._found]

    def found(self, side: int) -> Found:
        """Where the rows of a side are."""
        found = self._found[side]
        assert found is not None
        return found

    def values(self, side: int, column: MergedColumn) -> pa.Array:
        """A column of the result on one side, in its physical type, NULL where there is no row."""
        return self._fetched(side, column).values

    def misfits(self, side: int, column: MergedColumn) -> Bools | None:
        """The rows whose value cannot be one of the column's type after the merge; None if all can."""
        return self._fetched(side, column).misfits

    def has(self, side: int, column: MergedColumn) -> bool:
        """Whether the side knows the column."""
        return self._sides[side].column(column) is not None

    def _fetched(self, side: int, column: MergedColumn) -> _Fetched:
        if side not in self._fetches:
            self._fetches[side] = self._fetch(side)
        assert column.merged is not None
        return self._fetches[side][int(column.merged.id)]

    def _fetch(self, side: int) -> dict[int, _Fetched]:
        """All columns of a side at once, by the id they have in the result."""
        found, targets = self._found[side], [c.merged for c in self._columns if c.merged is not None]
        if found is None:
            return {int(c.id): _Fetched(pa.nulls(len(self), physical_type(c.type))) for c in targets}
        if not targets:
            return {}
        outputs = [
            _output(self._sides[side].column(c), c.merged) for c in self._columns if c.merged is not None
        ]
        rows = found.take(Projection(outputs))
        fetched = {}
        for merged, array in zip(targets, rows.columns, strict=True):
            values, wanted = aligned(found, array), physical_type(merged.type)
            fetched[int(merged.id)] = _Fetched(values)
            if values.type != wanted:
                made, fits = cast_each(values, wanted)
                fetched[int(merged.id)] = (
                    _Fetched(made)
                    if fits.all()
                    else _Fetched(made, ~fits, pc.if_else(pa.array(fits), None, values))
                )
        return fetched

    def differs(self, a: int, b: int, column: MergedColumn) -> Bools:
        """For each key whether two sides hold other values; where one has no row, whether the other has one."""
        ours, theirs = self._fetched(a, column), self._fetched(b, column)
        same = equal_rows(ours.values, theirs.values)
        if ours.misfits is not None or theirs.misfits is not None:
            same &= ours.fitting(len(self)) & theirs.fitting(len(self))
            if ours.unfit is not None and theirs.unfit is not None and ours.unfit.type == theirs.unfit.type:
                # Neither fits, and it is the same that does not.
                neither = ~(ours.fitting(len(self)) | theirs.fitting(len(self)))
                same |= neither & equal_rows(ours.unfit, theirs.unfit)
        different: Bools = ~same | (self.alive[a] != self.alive[b])
        return different


def _output(own: Column | None, merged: Column) -> OutputColumn:
    """How a side's pages give a column of the result: in its type, or in their own if values may not fit it."""
    own, wanted = own or merged, physical_type(merged.type)
    kind = physical_type(own.type)
    shown = wanted if kind == wanted or can_widen(kind, wanted) else kind
    return OutputColumn(f"c{merged.id}", own.page_name, shown, shown, initial_as(own, shown))


def aligned(found: Found, alive_rows: pa.Array) -> pa.Array:
    """The values of the rows that are there, spread over all keys that were asked for."""
    alive = found.alive
    if alive.all():
        return alive_rows
    return alive_rows.take(pa.array(np.cumsum(alive) - 1, mask=~alive))


# ---------------------------------------------------------------- candidates


def candidates(engine: Engine, sides: Sequence[Side], bases: Sequence[Side]) -> Iterator[Keys]:
    """Keys under which one of the sides may differ from a base, each once, in parts.

    In key order unless the history that would name them has expired: then they are all keys there are.
    """
    rows = rows_at_once(
        (one.reader.sections for one in (*sides, *bases) if one.reader is not None), SLICE_ROWS
    )
    schema = next(one.schema for one in (*sides, *bases) if one.schema is not None)
    try:
        written = [part for side in sides for base in bases for part in _written(engine, base, side)]
    except HistoryExpiredError:
        yield from _all_keys([*sides, *bases], rows)
        return
    for keys in written_keys(schema.key_spec, written, rows):
        yield from _parts_of(keys, rows)


def _parts_of(keys: Keys, rows: int) -> Iterator[Keys]:
    """Keys, a bounded number at a time."""
    for start in range(0, length(keys), rows):
        yield slice_keys(keys, start, min(start + rows, length(keys)))


def _written(engine: Engine, base: Side, side: Side) -> Written:
    covers = engine.covers
    found: Written = []
    for schema in {one.schema.id: one.schema for one in (base, side) if one.schema is not None}.values():
        spans: list[Interval] = intervals(engine.history, base.lineage, side.lineage, schema.id)
        eras = [(covers.eras.get((span.era, schema.id)), span.after, span.upto) for span in spans]
        found += runs_of((cover, after, upto) for cover, after, upto in eras if cover is not None)
        # After the runs were taken, not before: history may expire beside us.
        covers.check_kept(schema, side.lineage, spans)
    return found


def _all_keys(sides: Sequence[Side], rows: int) -> Iterator[Keys]:
    """Every key of each side that none before it had."""
    seen: list[TableReader] = []
    for side in sides:
        if side.reader is None or side.schema is None:
            continue
        spec = side.schema.key_spec
        for batch in fold(spec, side.reader.sections, side.schema.key_projection):
            keys = spec.keys_of(spec.with_key(batch))
            for reader in seen:
                keys = take(keys, np.flatnonzero(~reader.lookup(keys).alive))
            yield from _parts_of(keys, rows)
        seen.append(side.reader)
