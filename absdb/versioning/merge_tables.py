"""Three-way merge of one table's definition: columns by id, constraints by name, each attribute for itself.

Columns are the same if they have an id in common: their own, those they were given other types from, and those the
same column was added under on another branch (its aliases). A column that both sides added alike becomes one. A
dropped column goes if the other side left its definition alone; whether it also left its values alone is for
merge_rows.py to say. Called by merge_catalog.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from absdb.catalog.schema import Check, Column, Constraint, ForeignKey, TableSchema, constraint_to_json
from absdb.engine.retype import recast_default
from absdb.errors import InvalidInputError
from absdb.ids import ColumnId, TableId
from absdb.pages.types import describe_type
from absdb.versioning.three_way import MISSING, Decider, SchemaConflict

Columns = tuple[Column, ...]
ChangedValues = Callable[[str, "MergedColumn"], int]
"""In how many rows a side, "ours" or "theirs", has changed the values of a column since the bases."""


@dataclass(frozen=True, slots=True)
class MergedColumn:
    """A column of the result (None if it goes), and what it is on each side; None where it is not there."""

    merged: Column | None
    ours: Column | None
    theirs: Column | None
    bases: tuple[Column | None, ...]
    ids: frozenset[ColumnId]
    """Every id that the column has been known under, on any side."""

    @property
    def in_bases(self) -> bool:
        """Whether a base has it, so that a side without it has dropped it."""
        return any(base is not None for base in self.bases)

    def in_schema(self, schema: TableSchema) -> Column | None:
        """The column as a state of the table has it."""
        return next((column for column in schema.columns if ids_of(schema, column) & self.ids), None)


@dataclass(frozen=True, slots=True)
class MergedTable:
    """A table after the merge, with its columns as the sides have them. `ours` and `theirs` may be one of them only."""

    schema: TableSchema
    columns: tuple[MergedColumn, ...]
    ours: TableSchema | None
    theirs: TableSchema | None
    bases: tuple[TableSchema | None, ...]

    @property
    def name(self) -> str:
        """What conflicts and choices call it: as it is named on our side, if it is there."""
        return (self.schema if self.ours is None else self.ours).full_name


def ids_of(schema: TableSchema, column: Column) -> set[ColumnId]:
    """Every id under which a column has been known."""
    found = {column.id, *column.aliases}
    while column.replaces is not None:
        found.add(column.replaces)
        before = schema.by_id.get(column.replaces)
        if before is None:
            break
        found.update(before.aliases)
        column = before
    return found


def merge_table(
    decider: Decider,
    bases: Sequence[TableSchema | None],
    ours: TableSchema,
    theirs: TableSchema,
    changed: ChangedValues,
) -> MergedTable:
    """One definition of two that have the same key."""
    known = [base for base in bases if base is not None]
    name = ours.full_name
    columns = [_merged(decider, name, group, changed) for group in _groups(bases, ours, theirs)]
    renamed = {other: c.merged.id for c in columns if c.merged is not None for other in c.ids}
    place = decider.value(
        [(base.namespace, base.name) for base in known],
        (ours.namespace, ours.name),
        (theirs.namespace, theirs.name),
        table_name=name,
        item="name",
        show=".".join,
    )
    kept = [c.merged for c in columns if c.merged is not None]
    visible = _in_order(decider, name, known, ours, theirs, kept, renamed)
    simple = {
        attribute: decider.value(
            [getattr(base, attribute) for base in known],
            getattr(ours, attribute),
            getattr(theirs, attribute),
            table_name=name,
            item=attribute,
        )
        for attribute in ("comment", "compression")
    }
    shown = {column.id for column in visible}
    retired = {
        c.id: c for side in (theirs, ours) for c in (*side.retired, *side.columns) if c.id not in shown
    }
    schema = dataclasses.replace(
        ours,
        namespace=place[0],
        name=place[1],
        columns=visible,
        retired=tuple(retired.values()),
        constraints=_constraints(decider, name, known, ours, theirs, renamed, visible),
        options=_options(decider, name, known, ours, theirs),
        **simple,
    )
    return MergedTable(schema, tuple(columns), ours, theirs, tuple(bases))


# ---------------------------------------------------------------- which columns are one


def _groups(
    bases: Sequence[TableSchema | None], ours: TableSchema, theirs: TableSchema
) -> Iterator[MergedColumn]:
    """The columns of all sides, those that are one together; `merged` is not filled in."""
    sides: list[TableSchema | None] = [ours, theirs, *bases]
    groups: list[tuple[set[ColumnId], list[Column | None]]] = []
    for at, side in enumerate(sides):
        for column in side.columns if side is not None else ():
            assert side is not None
            ids = ids_of(side, column)
            group = next((g for g in groups if g[0] & ids and g[1][at] is None), None)
            group = group or _namesake(groups, at, column)
            if group is None:
                group = (set(), [None] * len(sides))
                groups.append(group)
            group[0].update(ids)
            group[1][at] = column
    for ids, found in groups:
        yield MergedColumn(None, found[0], found[1], tuple(found[2:]), frozenset(ids))


def _namesake(
    groups: list[tuple[set[ColumnId], list[Column | None]]], at: int, column: Column
) -> tuple[set[ColumnId], list[Column | None]] | None:
    """A column that ours has added under the same name and with the same type as this one of theirs."""
    if at != 1:
        return None
    for group in groups:
        own = group[1][0]
        if own is not None and group[1][1] is None and (own.name, own.type) == (column.name, column.type):
            return group
    return None


# ---------------------------------------------------------------- one column


def _merged(decider: Decider, table: str, group: MergedColumn, changed: ChangedValues) -> MergedColumn:
    ours, theirs = group.ours, group.theirs
    known = [base for base in group.bases if base is not None]
    if ours is not None and theirs is not None:
        return dataclasses.replace(group, merged=_both(decider, table, known, ours, theirs))
    if ours is None and theirs is None:
        return group
    there = ours if ours is not None else theirs
    assert there is not None
    if not group.in_bases:
        return dataclasses.replace(group, merged=there)
    kept = decider.value(
        list(group.bases), ours, theirs, table_name=table, item=f"column {there.name}", show=_shown
    )
    if kept is None and there in group.bases:
        kept = _unless_changed(decider, table, group, there, changed)
    return dataclasses.replace(group, merged=kept)


def _unless_changed(
    decider: Decider, table: str, group: MergedColumn, there: Column, changed: ChangedValues
) -> Column | None:
    """None for a column that goes; a conflict if the side that has it still has changed values of it."""
    side = "ours" if there is group.ours else "theirs"
    rows = changed(side, group)
    if not rows:
        return None
    texts = {
        side: f"{rows} value{'s' * (rows != 1)} changed",
        "theirs" if side == "ours" else "ours": "dropped",
    }
    winner = decider.side(
        SchemaConflict(table, f"column {there.name}", _shown(there), texts["ours"], texts["theirs"])
    )
    return there if (winner or "ours") == side else None


def _both(decider: Decider, table: str, bases: list[Column], ours: Column, theirs: Column) -> Column:
    chosen = _identity(decider, table, bases, ours, theirs)
    attributes: dict[str, Any] = {}
    for name in ("name", "nullable", "default", "generated", "comment"):
        attributes[name] = decider.value(
            [getattr(base, name) for base in bases],
            getattr(ours, name),
            getattr(theirs, name),
            table_name=table,
            item=f"column {ours.name}: {name}",
        )
    source = ours if attributes["default"] == ours.default else theirs
    if source.type != chosen.type and attributes["default"] is not None:
        attributes["default"] = _default_as(decider, table, source, chosen.type)
    return dataclasses.replace(chosen, **attributes)


def _default_as(decider: Decider, table: str, source: Column, kind: pa.DataType) -> Any:
    """A default as one of the type that the column has after the merge."""
    try:
        return recast_default(source, kind)
    except InvalidInputError as problem:
        decider.side(
            SchemaConflict(table, f"column {source.name}: default", "", str(source.default), problem.message)
        )
        return None


def _identity(decider: Decider, table: str, bases: list[Column], ours: Column, theirs: Column) -> Column:
    """The column whose id, type and initial default the result has."""
    if ours.id == theirs.id:
        kinds = [base.type for base in bases if base.id == ours.id]
        kind = decider.value(
            kinds,
            ours.type,
            theirs.type,
            table_name=table,
            item=f"column {ours.name}: type",
            show=describe_type,
        )
        return theirs if kind == theirs.type else ours
    if bases and all(ours.id == base.id for base in bases):
        return theirs
    if bases and all(theirs.id == base.id for base in bases):
        return ours
    if ours.type == theirs.type:
        aliases = dict.fromkeys((*ours.aliases, theirs.id, *theirs.aliases))
        return dataclasses.replace(ours, aliases=tuple(one for one in aliases if one != ours.id))
    base = _shown(bases[0]) if bases else ""
    conflict = SchemaConflict(
        table, f"column {ours.name}: type", base, describe_type(ours.type), describe_type(theirs.type)
    )
    return theirs if decider.side(conflict) == "theirs" else ours


def _shown(column: Column | None) -> str:
    return "" if column is None else f"{column.name} {describe_type(column.type)}"


# ---------------------------------------------------------------- what stands beside the columns


def _in_order(
    decider: Decider,
    table: str,
    bases: Sequence[TableSchema],
    ours: TableSchema,
    theirs: TableSchema,
    columns: Sequence[Column],
    renamed: dict[ColumnId, ColumnId],
) -> Columns:
    """The columns in the order of whoever has changed it; new ones of the other side behind those they followed."""
    by_id = {column.id: column for column in columns}
    orders = [[renamed[c.id] for c in side.columns if c.id in renamed] for side in (ours, theirs, *bases)]
    common = set(orders[0]).intersection(*orders[1:])
    mutual = [[one for one in order if one in common] for order in orders]
    chosen = decider.value(
        mutual[2:],
        mutual[0],
        mutual[1],
        table_name=table,
        item="order of columns",
        show=lambda order: ", ".join(by_id[one].name for one in order),
    )
    first, second = (0, 1) if chosen == mutual[0] else (1, 0)
    order = list(orders[first])
    for at, one in enumerate(orders[second]):
        if one not in order:
            before = next((o for o in reversed(orders[second][:at]) if o in order), None)
            order.insert(0 if before is None else order.index(before) + 1, one)
    return _with_own_names(decider, table, [by_id[one] for one in order if one in by_id], ours)


def _with_own_names(decider: Decider, table: str, columns: list[Column], ours: TableSchema) -> Columns:
    """Of two columns of one name only ours stays, or theirs if that was decided."""
    own = {column.id for column in ours.columns}
    found: dict[str, Column] = {}
    for column in columns:
        other = found.get(column.name)
        if other is None:
            found[column.name] = column
            continue
        mine, their = (other, column) if other.id in own else (column, other)
        conflict = SchemaConflict(table, f"column {column.name}", "", _shown(mine), _shown(their))
        found[column.name] = their if decider.side(conflict) == "theirs" else mine
    return tuple(found.values())


def _constraints(
    decider: Decider,
    table: str,
    bases: Sequence[TableSchema],
    ours: TableSchema,
    theirs: TableSchema,
    renamed: dict[ColumnId, ColumnId],
    visible: Columns,
) -> tuple[Constraint, ...]:
    sides = [
        {c.name: _about(c, side.id, ours.id, renamed) for c in side.constraints}
        for side in (ours, theirs, *bases)
    ]
    shown = {column.id for column in visible}
    found = []
    for name in dict.fromkeys((*sides[0], *sides[1])):
        kept = decider.value(
            [side.get(name, MISSING) for side in sides[2:]] or [MISSING],
            sides[0].get(name, MISSING),
            sides[1].get(name, MISSING),
            table_name=table,
            item=f"constraint {name}",
            show=lambda constraint: str(constraint_to_json(constraint)),
        )
        if kept is MISSING:
            continue
        if not isinstance(kept, Check) and not shown.issuperset(kept.columns):
            text = str(constraint_to_json(kept))
            decider.side(
                SchemaConflict(table, f"constraint {name}, of which a column is gone", text, text, "")
            )
            continue
        found.append(kept)
    return tuple(found)


def _about(
    constraint: Constraint, table: TableId, merged: TableId, renamed: dict[ColumnId, ColumnId]
) -> Constraint:
    """A constraint that speaks of the columns of the result."""
    if isinstance(constraint, Check):
        return constraint
    columns = tuple(renamed.get(column, column) for column in constraint.columns)
    if isinstance(constraint, ForeignKey) and constraint.table in (table, merged):
        references = tuple(renamed.get(column, column) for column in constraint.references)
        return dataclasses.replace(constraint, columns=columns, table=merged, references=references)
    return dataclasses.replace(constraint, columns=columns)


def _options(
    decider: Decider, table: str, bases: Sequence[TableSchema], ours: TableSchema, theirs: TableSchema
) -> dict[str, Any]:
    found = {}
    for name in {*ours.options, *theirs.options} - {"aliases"}:
        kept = decider.value(
            [base.options.get(name, MISSING) for base in bases] or [MISSING],
            ours.options.get(name, MISSING),
            theirs.options.get(name, MISSING),
            table_name=table,
            item=f"option {name}",
        )
        if kept is not MISSING:
            found[name] = kept
    aliases = dict.fromkeys((*aliases_of(ours), theirs.id, *aliases_of(theirs)))
    others = [one for one in aliases if one != ours.id]
    return {**found, "aliases": others} if others else found


def aliases_of(schema: TableSchema) -> tuple[TableId, ...]:
    """The ids of the same table on branches that had created it by themselves before they were merged."""
    return tuple(TableId(other) for other in schema.options.get("aliases", ()))
