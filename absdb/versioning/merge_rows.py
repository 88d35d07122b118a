"""Merging the rows of one table into a transaction: candidates, decisions, the rows that are written.

Rows that come from theirs alone get the defaults of columns that theirs does not know. Rows that only ours changed
are written again where the merge gives them something new: another type, a computed column. Rows on which something
was decided are written even if that leaves them as they are: later merges must see that somebody decided. What is in
conflict stays as ours has it. Called by merge_states.py.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import Column
from absdb.engine.prepare import Given, complete
from absdb.engine.spill import spill
from absdb.engine.writes import tombstones
from absdb.errors import ConstraintError
from absdb.ids import ColumnId
from absdb.pages.key import take
from absdb.pages.types import to_logical
from absdb.versioning.conflicts import BASE, OPEN, OURS, THEIRS, Conflicts, Ints, shown_keys_of
from absdb.versioning.merge_cells import FIRST_BASE, OUR, THEIR, CellPlan, Plan, Policy, plan
from absdb.versioning.merge_sides import Side, Slice, candidates
from absdb.versioning.merge_tables import MergedColumn, MergedTable
from absdb.versioning.resolutions import Resolutions

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

Report = Callable[[ConstraintError], None]


@dataclass(frozen=True, slots=True)
class RowRules:
    """How conflicts of rows are met."""

    strict: bool
    default: Callable[[str], int]
    """What holds for a table where nothing was decided: OPEN, OURS or THEIRS."""
    resolutions: Resolutions
    policies: Mapping[ColumnId, Policy]
    sums: Container[ColumnId]
    """Columns in which both changes count."""


class RowMerge:
    """One table of a merge."""

    def __init__(
        self, tx: Transaction, merged: MergedTable, ours: Side, theirs: Side, bases: Sequence[Side]
    ) -> None:
        self._tx = tx
        self._table = merged
        self._ours = ours
        self._theirs = theirs
        self._bases = bases
        self._columns = [
            c for c in merged.columns if c.merged is not None and c.merged.id not in merged.schema.key
        ]

    def run(self, rules: RowRules, conflicts: Conflicts, report: Report) -> None:
        """Write what theirs brings; note conflicts, and tell `report` of rows that break constraints."""
        rewrite = any(_is_new_to(c) for c in self._columns)
        sides = [self._theirs, self._ours] if rewrite else [self._theirs]
        for keys in candidates(self._tx.engine, sides, self._bases):
            part = Slice(keys, [self._ours, self._theirs, *self._bases], self._columns)
            found = plan(
                part,
                self._columns,
                len(self._bases),
                strict=rules.strict,
                decide=partial(self._decided, rules, part),
                policies=rules.policies,
                sums=rules.sums,
                rewrite_ours=rewrite,
            )
            _note(conflicts, self._table, part, found, self._columns)
            self._write(part, found, report)
            spill(self._tx, self._table.schema)
        spill(self._tx, self._table.schema, last=True)

    def _decided(
        self, rules: RowRules, part: Slice, column: MergedColumn | None, rows: Ints
    ) -> tuple[Ints, pa.Array | None]:
        keys = take(part.keys, rows)
        schema, name = self._table.schema, self._table.name
        decided, values = rules.resolutions.of(name, schema, None if column is None else column.merged, keys)
        if column is not None:
            whole, _ = rules.resolutions.of(name, schema, None, keys)
            decided = np.where(decided == OPEN, whole, decided)
        decided[decided == OPEN] = rules.default(name)
        return decided, values

    # ---------------------------------------------------------------- writing

    def _write(self, part: Slice, found: Plan, report: Report) -> None:
        schema, tx = self._table.schema, self._tx
        gone = np.flatnonzero(found.delete)
        if len(gone):
            tx.write_batch(schema, tombstones(schema, take(part.keys, gone)))
        ours, theirs = part.alive[OUR], part.alive[THEIR]
        groups = [
            (ours & theirs, OUR),
            (ours & ~theirs, OUR),
            (~ours & theirs, THEIR),
            (~ours & ~theirs, FIRST_BASE),
        ]
        for rows, side in groups:
            at = np.flatnonzero(found.write & rows)
            if len(at):
                self._write_rows(part, found, at, side, report)

    def _write_rows(self, part: Slice, found: Plan, at: Ints, side: int, report: Report) -> None:
        """Rows that are there on one side: what that side does not know is left out, unless another one gives it."""
        schema, keys = self._table.schema, take(part.keys, at)
        given = dict(
            zip((c.page_name for c in schema.key_columns), schema.key_spec.decode(keys), strict=True)
        )
        for column in self._columns:
            merged = column.merged
            assert merged is not None
            if merged.generated is not None:
                continue
            known = part.has(side, column) or (part.alive[THEIR][at[0]] and part.has(THEIR, column))
            if known or (side == OUR and _reads_initial(merged)):
                given[merged.page_name] = _cells(part, column, found.cells[merged.id], at)
        row_ids = given.pop(schema.hidden_key.page_name) if schema.hidden_key is not None else None
        batch = complete(self._tx, schema, Given(len(at), given), row_ids=row_ids, report=report)
        self._tx.write_batch(schema, batch)


def _reads_initial(column: Column) -> bool:
    """Whether rows older than the column read as its default, so that it need not be computed for them.

    A column that was given another type has no older rows: all there were have been written again.
    """
    return column.default is None or (column.default.kind == "value" and column.replaces is None)


def _is_new_to(column: MergedColumn) -> bool:
    """Whether rows of ours have to be written again for the sake of a column."""
    merged, ours = column.merged, column.ours
    assert merged is not None
    if ours is None:
        lacking = not merged.nullable and merged.initial_default is None
        return merged.generated is not None or lacking or not _reads_initial(merged)
    narrowed = ours.nullable and not merged.nullable
    return ours.id != merged.id or narrowed or ours.generated != merged.generated


def _cells(part: Slice, column: MergedColumn, cell: CellPlan, at: Ints) -> pa.Array:
    """The values of one column for the rows at some positions."""
    sides = cell.side[at]
    arrays: list[pa.Array] = []
    numbers, length = np.zeros(len(at), np.int64), 0
    for code, side in ((OURS, OUR), (THEIRS, THEIR), (BASE, FIRST_BASE)):
        chosen = sides == code
        if chosen.any():
            numbers[chosen] = at[chosen] + length
            arrays.append(part.values(side, column))
            length += len(part)
    for rows, values in cell.values:
        place = np.searchsorted(at, rows)
        inside = (place < len(at)) & (at[np.minimum(place, len(at) - 1)] == rows)
        numbers[place[inside]] = np.flatnonzero(inside) + length
        arrays.append(values)
        length += len(values)
    whole = arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)
    return whole.take(pa.array(numbers))


# ---------------------------------------------------------------- conflicts


def _note(
    conflicts: Conflicts, table: MergedTable, part: Slice, found: Plan, columns: Sequence[MergedColumn]
) -> None:
    schema = table.schema
    if len(found.disputed_rows):
        _note_rows(conflicts, table, part, found, columns)
    has_base = len(part.alive) > FIRST_BASE
    for column in columns:
        cell = found.cells.get(column.merged.id) if column.merged is not None else None
        if cell is None or not len(cell.disputed):
            continue
        assert column.merged is not None
        kind, at = column.merged.type, pa.array(cell.disputed)
        sides = [part.values(side, column) for side in (OUR, THEIR, *([FIRST_BASE] if has_base else []))]
        ours, theirs, *base = [to_logical(values.take(at), kind).to_pylist() for values in sides]
        added = found.added[cell.disputed]
        for name, mask in (("add/add", added), ("cell", ~added)):
            rows = np.flatnonzero(mask).tolist()
            if rows:
                keys = shown_keys_of(schema, take(part.keys, cell.disputed[mask]))
                befores = [base[0][row] for row in rows] if base else [None] * len(rows)
                conflicts.add(
                    table=table.name,
                    kind=name,
                    keys=keys,
                    column=column.merged.name,
                    base=befores,
                    ours=[ours[row] for row in rows],
                    theirs=[theirs[row] for row in rows],
                )


def _note_rows(
    conflicts: Conflicts, table: MergedTable, part: Slice, found: Plan, columns: Sequence[MergedColumn]
) -> None:
    schema, rows = table.schema, found.disputed_rows
    whole = [_whole_rows(part, side, rows, columns) for side in (FIRST_BASE, OUR, THEIR)]
    keys = np.array([None, *shown_keys_of(schema, take(part.keys, rows))], object)[1:]
    one_gone = (part.alive[OUR] != part.alive[THEIR])[rows]
    for kind, mask in (("delete/modify", one_gone), ("row", ~one_gone)):
        if mask.any():
            base, ours, theirs = (side.filter(pa.array(mask)).to_pylist() for side in whole)
            conflicts.add(
                table=table.name,
                kind=kind,
                keys=keys[mask].tolist(),
                column=None,
                base=base,
                ours=ours,
                theirs=theirs,
            )


def _whole_rows(part: Slice, side: int, rows: Ints, columns: Sequence[MergedColumn]) -> pa.Array:
    """Rows of a side as structs of what is no key, NULL where there is no row."""
    alive = part.alive[side][rows] if side < len(part.alive) else np.zeros(len(rows), bool)
    if not alive.any():
        return pa.nulls(len(rows))
    shown = [
        (c.merged.name, to_logical(part.values(side, c).take(pa.array(rows)), c.merged.type))
        for c in columns
        if c.merged is not None
    ]
    names, arrays = zip(*shown, strict=True) if shown else (("",), (pa.nulls(len(rows)),))
    return pa.StructArray.from_arrays(arrays, names, mask=pa.array(~alive))
