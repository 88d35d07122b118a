"""What becomes of rows that theirs has changed: the rule, row by row and cell by cell, whole columns at a time.

    theirs is as every base           ours stays
    ours is as every base             theirs comes, be it a deletion
    both changed the row
        alike                         ours stays
        one side deleted it           conflict: delete/modify
        cells changed by one side     that side's value
        by both, to one value         that value; both changes where the policy is sum and the bases agree
        by both, to two values        the column's policy; else conflict: cell, or add/add where no base has the row

NULL equals NULL and NaN equals NaN. In strict mode any row that both sides changed differently is a conflict as a
whole. A generated column is never in dispute: it is computed from the merged row. Called by merge_rows.py.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from absdb.ids import ColumnId
from absdb.versioning.conflicts import BASE, OPEN, OURS, THEIRS, VALUE, Ints
from absdb.versioning.merge_sides import Bools, Slice
from absdb.versioning.merge_tables import MergedColumn

OUR, THEIR, FIRST_BASE = 0, 1, 2
"""Where the sides stand in a Slice."""

Decide = Callable[[MergedColumn | None, Ints], "tuple[Ints, pa.Array | None]"]
"""For rows in conflict at some positions: what was decided (OPEN, OURS, THEIRS, BASE, VALUE), and the values."""
Policy = Callable[[Slice, MergedColumn, Ints], "tuple[pa.Array, Bools]"]
"""Values for cells in conflict at some positions, and for which of them there is one."""


@dataclass(slots=True)
class CellPlan:
    """Where the cells of one column come from."""

    side: Ints
    """Per row OURS, THEIRS, BASE or VALUE."""
    values: list[tuple[Ints, pa.Array]] = field(default_factory=list)
    """(rows, values) for VALUE."""
    disputed: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    """Rows whose cell is still in conflict."""


@dataclass(slots=True)
class Plan:
    """What becomes of each key of a slice."""

    write: Bools
    """Rows to be written: merged, or theirs, or as they are because that was a decision."""
    delete: Bools
    cells: dict[ColumnId, CellPlan]
    disputed_rows: Ints
    """Rows in conflict as a whole."""
    added: Bools
    """Rows that no base has: their conflicting cells are add/add."""


def plan(
    part: Slice,
    columns: Sequence[MergedColumn],
    bases: int,
    *,
    strict: bool,
    decide: Decide,
    policies: Mapping[ColumnId, Policy],
    sums: Container[ColumnId],
    rewrite_ours: bool,
) -> Plan:
    """Decide every key of a slice. In columns of `sums` both changes count, also if they come to one value."""
    cells = [c for c in columns if c.merged is not None and c.merged.generated is None]
    sides = range(FIRST_BASE, FIRST_BASE + bases)
    changed = {side: [_changed(part, side, column, sides) for column in cells] for side in (OUR, THEIR)}
    touched = {side: _touched(part, side, changed[side], sides) for side in (OUR, THEIR)}
    ours, theirs = part.alive[OUR], part.alive[THEIR]
    differ = [part.differs(OUR, THEIR, column) for column in cells]
    unequal = (ours != theirs) | _any(differ, len(part))
    incoming = touched[THEIR] & ~touched[OUR] & unequal
    summed = {
        column.merged.id: _summed(part, column, mine & their, sides)
        for column, mine, their in zip(cells, changed[OUR], changed[THEIR], strict=True)
        if column.merged is not None and column.merged.id in sums
    }
    both = touched[THEIR] & touched[OUR] & (unequal | _any(list(summed.values()), len(part)))
    result = Plan(
        write=incoming & theirs,
        delete=incoming & ~theirs,
        cells={c.merged.id: CellPlan(_sources(part, c, incoming)) for c in cells if c.merged is not None},
        disputed_rows=np.empty(0, np.int64),
        added=~_any([part.alive[side] for side in sides], len(part)),
    )
    if rewrite_ours:
        result.write |= ours & ~result.delete
    whole = both & (ours != theirs) if not strict else both
    _decide_rows(result, part, np.flatnonzero(whole), decide)
    each = both & ~whole
    for column, mine, their, different in zip(cells, changed[OUR], changed[THEIR], differ, strict=True):
        assert column.merged is not None
        cell = result.cells[column.merged.id]
        taken = each & their & ~mine
        cell.side[taken] = THEIRS
        result.write |= taken & different
        clash = np.flatnonzero(each & their & mine & (different | summed.get(column.merged.id, False)))
        _decide_cells(result, cell, part, column, clash, decide, policies.get(column.merged.id))
    _refuse_misfits(result, part, cells)
    result.write &= ~_positions(result.disputed_rows, len(part))
    return result


def _sources(part: Slice, column: MergedColumn, incoming: Bools) -> Ints:
    """Where the cells come from before anything is decided: rows of theirs keep what only ours knows."""
    taken = incoming if part.has(THEIR, column) else incoming & ~part.alive[OUR]
    return np.where(taken, THEIRS, OURS).astype(np.int8)


def _refuse_misfits(result: Plan, part: Slice, columns: Sequence[MergedColumn]) -> None:
    """Values that cannot be of the type that a column has after the merge are in conflict."""
    for column in columns:
        assert column.merged is not None
        cell = result.cells[column.merged.id]
        for code, side in ((OURS, OUR), (THEIRS, THEIR)):
            misfits = part.misfits(side, column)
            if misfits is not None:
                rows = np.flatnonzero(misfits & result.write & (cell.side == code) & part.alive[side])
                cell.disputed = np.union1d(cell.disputed, rows)


def _changed(part: Slice, side: int, column: MergedColumn, bases: range) -> Bools:
    """Whether a side's cell differs from that of any base; never if the side has dropped the column."""
    if not part.has(side, column) and column.in_bases:
        return np.zeros(len(part), bool)
    return _any([part.differs(side, base, column) for base in bases], len(part), default=part.alive[side])


def _summed(part: Slice, column: MergedColumn, both: Bools, bases: range) -> Bools:
    """Of cells that both sides changed, those whose changes add up also where they come to one value."""
    known = both & part.values(OUR, column).is_valid().to_numpy(zero_copy_only=False)
    return known & bases_agree(part, column, bases)


def bases_agree(part: Slice, column: MergedColumn, bases: range) -> Bools:
    """For each key whether all bases hold one value: else nobody can say what each side has added to it."""
    moved = [part.differs(bases[0], other, column) for other in bases[1:]]
    return ~_any(moved, len(part))


def _touched(part: Slice, side: int, cells: Sequence[Bools], bases: range) -> Bools:
    if not bases:
        return part.alive[side].copy()
    moved = [part.alive[side] != part.alive[base] for base in bases]
    return _any([*cells, *moved], len(part))


def _any(masks: Sequence[Bools], rows: int, default: Bools | None = None) -> Bools:
    found = np.zeros(rows, bool) if default is None or masks else default.copy()
    for mask in masks:
        found |= mask
    return found


def _positions(rows: Ints, count: int) -> Bools:
    found = np.zeros(count, bool)
    found[rows] = True
    return found


def _decide_rows(result: Plan, part: Slice, rows: Ints, decide: Decide) -> None:
    """Rows in conflict as a whole: one side deleted what the other changed, or in strict mode any."""
    if not len(rows):
        return
    decided, _ = decide(None, rows)
    for side, code in ((OUR, OURS), (THEIR, THEIRS), (FIRST_BASE, BASE)):
        chosen = rows[decided == code]
        alive = part.alive[side][chosen] if side < len(part.alive) else np.zeros(len(chosen), bool)
        result.write[chosen[alive]] = True
        result.delete[chosen[~alive]] = True
        for cell in result.cells.values():
            cell.side[chosen] = code
    result.disputed_rows = rows[decided == OPEN]


def _decide_cells(
    result: Plan,
    cell: CellPlan,
    part: Slice,
    column: MergedColumn,
    rows: Ints,
    decide: Decide,
    policy: Policy | None,
) -> None:
    """Cells that both sides changed to different values."""
    if not len(rows):
        return
    decided, values = decide(column, rows)
    for code in (OURS, THEIRS, BASE):
        cell.side[rows[decided == code]] = code
    if values is not None:
        own = np.flatnonzero(decided == VALUE)
        cell.side[rows[own]] = VALUE
        cell.values.append((rows[own], values.take(pa.array(own))))
    still = rows[decided == OPEN]
    result.write[rows[decided != OPEN]] = True
    if policy is not None and len(still):
        made, known = policy(part, column, still)
        at = np.flatnonzero(known)
        cell.side[still[at]] = VALUE
        cell.values.append((still[at], made.take(pa.array(at))))
        result.write[still[at]] = True
        still = still[~known]
    cell.disputed = still
