"""Three-way merge of all that a database defines: tables by id, and views, macros, sequences, schemas, checks.

    a table on both sides           merge_tables.py
    added by one side               is there afterwards; added alike on both sides, it is one table
    dropped by one side             goes if the other left it alone, rows included; else a conflict
    views, macros, sequences, …     by id, each as a whole

What is in dispute stays as ours has it until it is decided; the rest merges. Called by merge_states.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from absdb.catalog.database import DatabaseCatalog, EntityId
from absdb.catalog.schema import TableSchema
from absdb.engine.integrity import broken_reference, clash
from absdb.pages.types import describe_type
from absdb.versioning.merge_tables import MergedColumn, MergedTable, aliases_of, ids_of, merge_table
from absdb.versioning.three_way import MISSING, Decider, SchemaConflict


class Rows(Protocol):
    """What a merge of definitions asks about rows. `side` is "ours" or "theirs"."""

    def changed(self, side: str, table: TableSchema) -> bool:
        """Whether a side's rows of a table are others than the bases'."""

    def changed_values(self, side: str, tables: Tables, column: MergedColumn) -> int:
        """In how many rows that the bases have, and that are still there, a side has changed a column."""


@dataclass(slots=True)
class MergedCatalog:
    """What changes on our side, and the tables whose rows are to be merged."""

    changes: dict[EntityId, Any] = field(default_factory=dict)
    tables: list[MergedTable] = field(default_factory=list)

    def put(self, ours: DatabaseCatalog, entity: EntityId, value: Any) -> None:
        """Note a value that differs from ours."""
        if ours.entities.get(entity) != value:
            self.changes[entity] = value


@dataclass(frozen=True, slots=True)
class Tables:
    """One table on all sides; None where it is not there."""

    ours: TableSchema | None
    theirs: TableSchema | None
    bases: tuple[TableSchema | None, ...]


def merge_catalogs(
    decider: Decider,
    bases: Sequence[DatabaseCatalog],
    ours: DatabaseCatalog,
    theirs: DatabaseCatalog,
    rows: Rows,
) -> MergedCatalog:
    """What becomes of ours; conflicts are left with the decider."""
    result = MergedCatalog()
    _merge_entities(decider, bases, ours, theirs, result)
    for group in _groups(bases, ours, theirs):
        _merge_group(decider, group, ours, result, rows)
    _check_together(decider, ours, result)
    return result


# ---------------------------------------------------------------- tables


def _groups(
    bases: Sequence[DatabaseCatalog], ours: DatabaseCatalog, theirs: DatabaseCatalog
) -> Iterator[Tables]:
    """Tables that are one, on all sides."""
    sides = [ours, theirs, *bases]
    groups: list[tuple[set[int], list[TableSchema | None]]] = []
    for at, side in enumerate(sides):
        for table in side.tables.values():
            ids = {table.id, *aliases_of(table)}
            group = next((g for g in groups if g[0] & ids and g[1][at] is None), None)
            if group is None and at == 1:
                group = next((g for g in groups if g[1][1] is None and _alike(g[1][0], table)), None)
            if group is None:
                group = (set(), [None] * len(sides))
                groups.append(group)
            group[0].update(ids)
            group[1][at] = table
    for _, found in groups:
        yield Tables(found[0], found[1], tuple(found[2:]))


def _alike(ours: TableSchema | None, theirs: TableSchema) -> bool:
    """Whether two tables that were made apart are the same table."""
    return ours is not None and bool(ours.key_names) and _shape(ours) == _shape(theirs)


def _shape(table: TableSchema) -> tuple[Any, ...]:
    columns = sorted((column.name, describe_type(column.type)) for column in table.columns)
    return table.full_name, table.key_names, columns


def _merge_group(
    decider: Decider, group: Tables, catalog: DatabaseCatalog, result: MergedCatalog, rows: Rows
) -> None:
    ours, theirs = group.ours, group.theirs
    known = [base for base in group.bases if base is not None]
    if ours is not None and theirs is not None:
        merged = merge_table(
            decider, group.bases, ours, theirs, lambda side, column: rows.changed_values(side, group, column)
        )
        if merged.schema != ours:
            result.put(catalog, ("table", ours.id), merged.schema)
        result.tables.append(merged)
    elif ours is None and theirs is not None:
        if not known or _disputed(decider, known, theirs, "theirs", rows) == "theirs":
            result.put(catalog, ("table", theirs.id), theirs)
            result.tables.append(_taken_whole(theirs))
    elif ours is not None and known and _disputed(decider, known, ours, "ours", rows) == "theirs":
        result.put(catalog, ("table", ours.id), None)


def _taken_whole(theirs: TableSchema) -> MergedTable:
    """A table that comes from theirs alone."""
    columns = (MergedColumn(c, None, c, (), frozenset(ids_of(theirs, c))) for c in theirs.columns)
    return MergedTable(theirs, tuple(columns), None, theirs, ())


def _disputed(
    decider: Decider, bases: Sequence[TableSchema], kept: TableSchema, side: str, rows: Rows
) -> str:
    """Who wins where one side has a table and the other one dropped it: who dropped it, if nothing was changed."""
    dropper = "ours" if side == "theirs" else "theirs"
    if all(kept == base for base in bases) and not rows.changed(side, kept):
        return dropper
    texts = {side: "changed", dropper: "dropped"}
    conflict = SchemaConflict(kept.full_name, "table", "there", texts["ours"], texts["theirs"])
    return decider.side(conflict) or "ours"


# ---------------------------------------------------------------- everything else


def _merge_entities(
    decider: Decider,
    bases: Sequence[DatabaseCatalog],
    ours: DatabaseCatalog,
    theirs: DatabaseCatalog,
    result: MergedCatalog,
) -> None:
    for entity in {**ours.entities, **theirs.entities}:
        if entity[0] in ("table", "ancestry"):
            continue
        value = decider.value(
            [base.entities.get(entity, MISSING) for base in bases] or [MISSING],
            ours.entities.get(entity, MISSING),
            theirs.entities.get(entity, MISSING),
            table_name="",
            item=_named(entity, ours, theirs),
            show=_text,
        )
        result.put(ours, entity, None if value is MISSING else value)


def _named(entity: EntityId, ours: DatabaseCatalog, theirs: DatabaseCatalog) -> str:
    value = ours.entities.get(entity) or theirs.entities.get(entity)
    name = value.get("name", entity[1]) if isinstance(value, dict) else entity[1]
    return f"{'schema' if entity[0] == 'namespace' else entity[0]} {name}"


def _text(value: Any) -> str:
    for name in ("query", "text", "sql", "definition"):
        if isinstance(value, dict) and name in value:
            return str(value[name])
    return str(value)


def _check_together(decider: Decider, ours: DatabaseCatalog, result: MergedCatalog) -> None:
    """Names that two things would have, and foreign keys that would lead nowhere: one side has to mend that first."""
    catalog = ours.apply(result.changes)
    twice = clash(catalog)
    if twice:
        decider.refuse(SchemaConflict("", f"{twice} is there twice, or what it needs is gone", "", "", ""))
    broken = broken_reference(catalog)
    if broken is not None:
        table, reference = broken
        item = f"constraint {reference.name} refers to what is gone"
        decider.refuse(SchemaConflict(table.full_name, item, "", "", ""))
