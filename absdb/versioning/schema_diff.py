"""What differs between two catalogs: tables, columns, keys and constraints, one row a difference.

Tables are paired by id, so a renamed one is the same table; those of unrelated databases by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.schema import Column, TableSchema
from absdb.engine.listing import describe_constraint, describe_default
from absdb.pages.types import describe_type


class SchemaChange(NamedTuple):
    """One difference. `kind` is table, column, key, constraint or schema; `change` is added, renamed, …"""

    table_name: str
    kind: str
    item: str
    change: str
    from_value: str
    to_value: str


class TablePair(NamedTuple):
    """A table as it is on both sides; None where it is missing. `related` if they are one table, not namesakes."""

    source: TableSchema | None
    target: TableSchema | None
    related: bool


def pair_tables(source: DatabaseCatalog, target: DatabaseCatalog) -> list[TablePair]:
    """The tables of two catalogs side by side, by name of the target, then those it has not."""
    pairs, taken = [], set()
    for table in sorted(target.tables.values(), key=lambda t: t.full_name):
        same = source.tables.get(table.id)
        if same is None:
            namesake = source.tables_by_name.get((table.namespace, table.name))
            if namesake is not None and namesake.id not in target.tables and _one_key(namesake, table):
                same = namesake
        if same is not None:
            taken.add(same.id)
        pairs.append(TablePair(same, table, same is not None and same.id == table.id))
    rest = sorted((t for t in source.tables.values() if t.id not in taken), key=lambda t: t.full_name)
    return pairs + [TablePair(table, None, False) for table in rest]


def _one_key(a: TableSchema, b: TableSchema) -> bool:
    return bool(a.key_names) and a.key_names == b.key_names and a.key_spec.types == b.key_spec.types


def schema_changes(source: DatabaseCatalog, target: DatabaseCatalog) -> list[SchemaChange]:
    """Every difference, in the order of the target's table names."""
    changes = []
    for pair in pair_tables(source, target):
        if pair.source is None and pair.target is not None:
            changes.append(SchemaChange(pair.target.full_name, "table", "", "added", "", _shape(pair.target)))
        elif pair.target is None and pair.source is not None:
            changes.append(
                SchemaChange(pair.source.full_name, "table", "", "removed", _shape(pair.source), "")
            )
        elif pair.source is not None and pair.target is not None and pair.source is not pair.target:
            changes.extend(_table_changes(pair.source, pair.target, by_id=pair.related))
            changes.extend(_constraint_changes((pair.source, source), (pair.target, target)))
    for name in sorted({*source.namespaces, *target.namespaces}):
        if (name in source.namespaces) != (name in target.namespaces):
            change = "added" if name in target.namespaces else "removed"
            changes.append(SchemaChange("", "schema", name, change, "", ""))
    return changes


def _shape(table: TableSchema) -> str:
    return ", ".join(f"{c.name} {describe_type(c.type)}" for c in table.columns)


def _table_changes(source: TableSchema, target: TableSchema, *, by_id: bool) -> Iterator[SchemaChange]:
    name = target.full_name
    if source.full_name != name:
        yield SchemaChange(name, "table", "", "renamed", source.full_name, name)
    old = {(c.id if by_id else c.name): c for c in source.columns}
    new = {(c.id if by_id else c.name): c for c in target.columns}
    for identity, column in new.items():
        before = old.get(identity)
        replaced = old.get(column.replaces) if by_id and column.replaces is not None else None
        if before is None and replaced is not None:
            yield SchemaChange(name, "column", column.name, "retyped", _column(replaced), _column(column))
        elif before is None:
            yield SchemaChange(name, "column", column.name, "added", "", _column(column))
        elif before != column:
            yield from _column_changes(name, before, column)
    replaced_ids = {c.replaces for c in new.values()}
    for identity, column in old.items():
        if identity not in new and column.id not in replaced_ids:
            yield SchemaChange(name, "column", column.name, "removed", _column(column), "")
    order = [i for i in new if i in old]
    if order != [i for i in old if i in new]:
        listed = [", ".join(c.name for c in t.columns) for t in (source, target)]
        yield SchemaChange(name, "table", "", "reordered", *listed)
    if source.key_names != target.key_names:
        yield SchemaChange(
            name, "key", "", "changed", ", ".join(source.key_names), ", ".join(target.key_names)
        )


def _column(column: Column) -> str:
    default = f" DEFAULT {describe_default(column)}" if column.default is not None else ""
    generated = f" AS ({column.generated})" if column.generated else ""
    return f"{describe_type(column.type)}{'' if column.nullable else ' NOT NULL'}{default}{generated}"


def _column_changes(table: str, old: Column, new: Column) -> Iterator[SchemaChange]:
    if old.name != new.name:
        yield SchemaChange(table, "column", new.name, "renamed", old.name, new.name)
    if _column(old) != _column(new):
        change = "retyped" if old.type != new.type else "altered"
        yield SchemaChange(table, "column", new.name, change, _column(old), _column(new))
    if old.comment != new.comment:
        yield SchemaChange(table, "column", new.name, "commented", old.comment, new.comment)


def _constraint_changes(
    source: tuple[TableSchema, DatabaseCatalog], target: tuple[TableSchema, DatabaseCatalog]
) -> Iterator[SchemaChange]:
    old, new = ({c.name: c for c in table.constraints} for table, _ in (source, target))
    for each in sorted({*old, *new}):
        if old.get(each) != new.get(each):
            change = "added" if each not in old else "removed" if each not in new else "changed"
            texts = [
                describe_constraint(*side, found[each])[-1] if each in found else ""
                for side, found in ((source, old), (target, new))
            ]
            yield SchemaChange(target[0].full_name, "constraint", each, change, *texts)
