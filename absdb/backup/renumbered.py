"""The definitions of one database with new ids, so that they can stand in an instance that gave the old ids to others.

Tables, columns, sequences, views and macros get ids of their own; what refers to them follows: keys, constraints,
defaults, merge policies. Columns that were dropped, and what was merged in, stay behind. Called by adopt.py.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from absdb.catalog.database import DatabaseCatalog, EntityId
from absdb.catalog.schema import Column, Constraint, Default, ForeignKey, TableSchema, Unique
from absdb.ids import ColumnId, TableId
from absdb.versioning.policies import OPTION


@dataclass(frozen=True, slots=True)
class Renumbered:
    """The entities under their new ids, and what became of tables and sequences."""

    entities: dict[EntityId, Any]
    tables: list[tuple[TableSchema, TableSchema]]
    """(as it was, as it is now) of each table."""
    spaces: list[tuple[str, str]]
    """(old, new) names of the spaces that numbers are handed out in."""


def renumbered(catalog: DatabaseCatalog, new_id: Callable[[], int]) -> Renumbered:
    """The same definitions with ids that `new_id` gives."""
    ids = _Ids(new_id)
    found = Renumbered({}, [], [])
    for (kind, name), value in catalog.entities.items():
        if kind == "table":
            made = ids.table(value)
            found.entities["table", made.id] = made
            found.tables.append((value, made))
            if made.hidden_key is not None:
                found.spaces.append((f"row:{value.id}", f"row:{made.id}"))
        elif kind != "ancestry":
            number = ids[name] if isinstance(name, int) else name
            found.entities[kind, number] = {**value, "id": number} if "id" in value else value
            if kind == "sequence":
                found.spaces.append((f"seq:{name}", f"seq:{number}"))
    return found


class _Ids(defaultdict[int, int]):
    """Old id → new id."""

    def __init__(self, new_id: Callable[[], int]) -> None:
        super().__init__(new_id)

    def table(self, table: TableSchema) -> TableSchema:
        return TableSchema(
            id=TableId(self[table.id]),
            namespace=table.namespace,
            name=table.name,
            columns=tuple(self.column(column) for column in table.columns),
            key=self.columns(table.key),
            hidden_key=None if table.hidden_key is None else self.column(table.hidden_key),
            constraints=tuple(self.constraint(constraint) for constraint in table.constraints),
            comment=table.comment,
            compression=table.compression,
            options=self.options(table),
        )

    def column(self, column: Column) -> Column:
        default = column.default
        if default is not None and default.kind == "sequence":
            default = Default("sequence", self[default.value])
        new = ColumnId(self[column.id])
        return dataclasses.replace(column, id=new, default=default, replaces=None, aliases=())

    def columns(self, columns: tuple[ColumnId, ...]) -> tuple[ColumnId, ...]:
        return tuple(ColumnId(self[column]) for column in columns)

    def constraint(self, constraint: Constraint) -> Constraint:
        if isinstance(constraint, Unique):
            return Unique(constraint.name, self.columns(constraint.columns))
        if isinstance(constraint, ForeignKey):
            return ForeignKey(
                constraint.name,
                self.columns(constraint.columns),
                TableId(self[constraint.table]),
                self.columns(constraint.references),
            )
        return constraint

    def options(self, table: TableSchema) -> dict[str, Any]:
        """What is kept with a table; of merge policies those of columns that are there."""
        found = dict(table.options)
        if OPTION in found:
            there = {str(column.id): column.id for column in table.columns}
            policies = {str(self[there[c]]): policy for c, policy in found[OPTION].items() if c in there}
            found[OPTION] = policies
        return found
