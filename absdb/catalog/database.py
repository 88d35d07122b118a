"""Everything one database contains at one point: tables, schemas, sequences and other named entities.

A DatabaseCatalog is an immutable map from (kind, id) to a descriptor. A commit that changes the schema carries
the changed entries as JSON, `null` for removed ones; `apply` makes the next catalog from them. History keeps
one catalog per schema change, so that a point in the past has the schema of that time.

Kinds: `table` (TableSchema), `namespace` (an SQL schema), `sequence`, `view`, `macro`, `check` (a named data check),
`ancestry` (what has been merged in: a map era → LSN; 0 for the database, a table's id for one that was put back
alone). A kind this absdb does not know is kept as the JSON it came as.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from absdb.catalog.schema import DEFAULT_NAMESPACE, ForeignKey, TableSchema
from absdb.errors import NotFoundError
from absdb.ids import EraId, TableId
from absdb.paths import normal_name

EntityId = tuple[str, int | str]
Changes = Mapping[EntityId, Any]


@dataclass(frozen=True)
class DatabaseCatalog:
    """An immutable set of entities; lookups by name are computed once per catalog."""

    entities: Mapping[EntityId, Any]

    def apply(self, changes: Changes) -> DatabaseCatalog:
        """This catalog with some entities added or replaced, or removed where the new value is None."""
        merged = {**self.entities, **changes}
        return DatabaseCatalog({key: value for key, value in merged.items() if value is not None})

    def changes_since(self, earlier: DatabaseCatalog) -> Changes:
        """What `earlier` has to `apply` to become this."""
        new = {key: value for key, value in self.entities.items() if earlier.entities.get(key) is not value}
        return {**new, **{key: None for key in earlier.entities if key not in self.entities}}

    @cached_property
    def tables(self) -> dict[TableId, TableSchema]:
        return {value.id: value for (kind, _), value in self.entities.items() if kind == "table"}

    @cached_property
    def tables_by_name(self) -> dict[tuple[str, str], TableSchema]:
        return {(table.namespace, table.name): table for table in self.tables.values()}

    @cached_property
    def namespaces(self) -> tuple[str, ...]:
        """Names of the SQL schemas, the default one first."""
        rest = sorted(str(name) for kind, name in self.entities if kind == "namespace")
        return (DEFAULT_NAMESPACE, *rest)

    @cached_property
    def named(self) -> dict[str, dict[int, Mapping[str, Any]]]:
        """Views, macros and sequences by kind and id; a sequence of an identity column has no name of its own."""
        found: dict[str, dict[int, Mapping[str, Any]]] = {}
        for (kind, number), value in self.entities.items():
            if kind in ("view", "macro", "sequence") and "namespace" in value:
                found.setdefault(kind, {})[int(number)] = value
        return found

    @cached_property
    def referencing(self) -> dict[TableId, tuple[tuple[TableSchema, ForeignKey], ...]]:
        """For each table the foreign keys of other tables (or its own) that point at it."""
        found: dict[TableId, list[tuple[TableSchema, ForeignKey]]] = {}
        for table in self.tables.values():
            for constraint in table.constraints:
                if isinstance(constraint, ForeignKey):
                    found.setdefault(constraint.table, []).append((table, constraint))
        return {table_id: tuple(pairs) for table_id, pairs in found.items()}

    def ancestry_of(self, table: TableId | None = None) -> dict[EraId, int]:
        """What merges have brought in: era → LSN contained. What the lineage itself contains is not listed.

        A table that was put back alone has an ancestry of its own.
        """
        whole = self.entities.get(("ancestry", 0), {})
        found = whole if table is None else self.entities.get(("ancestry", int(table)), whole)
        return {EraId(int(era)): lsn for era, lsn in found.items()}

    def table(self, name: str, namespace: str | None = None) -> TableSchema:
        """The table called `name`, or `schema.name`; NotFoundError suggests the nearest name."""
        name = normal_name(name)
        if namespace is None and "." in name and (DEFAULT_NAMESPACE, name) not in self.tables_by_name:
            namespace, _, name = name.partition(".")
        found = self.tables_by_name.get((namespace or DEFAULT_NAMESPACE, name))
        if found is None:
            raise self._missing(name, namespace)
        return found

    def _missing(self, name: str, namespace: str | None) -> NotFoundError:
        names = sorted(table.full_name for table in self.tables.values())
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"tables here: {', '.join(names[:20]) or 'none'}"
        asked = name if namespace in (None, DEFAULT_NAMESPACE) else f"{namespace}.{name}"
        return NotFoundError(f"there is no table {asked!r}", hint=hint, table=asked)


_NAMED = ("namespace", "check")
"""Kinds whose id is their name."""
EMPTY_CATALOG = DatabaseCatalog({})


def changes_to_json(changes: Changes) -> dict[str, Any]:
    """Entities as JSON, keyed `kind:id`."""
    return {
        f"{kind}:{name}": value.to_json() if isinstance(value, TableSchema) else value
        for (kind, name), value in changes.items()
    }


def changes_from_json(data: Mapping[str, Any]) -> dict[EntityId, Any]:
    """The inverse of `changes_to_json`."""
    changes: dict[EntityId, Any] = {}
    for text, value in data.items():
        kind, _, name = text.partition(":")
        entity: EntityId = (kind, int(name) if name.isdecimal() and kind not in _NAMED else name)
        changes[entity] = TableSchema.from_json(value) if kind == "table" and value is not None else value
    return changes
