"""Whether the definitions of a database fit together: names are there once, and references lead somewhere.

The verbs of ddl see to it inside a transaction. Two transactions that each change one side of a reference, or
take the same name, are found out when the second one commits: see commit.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.schema import ForeignKey, TableSchema, Unique
from absdb.engine.comparable import are_comparable
from absdb.engine.ddl_checks import sequences_of
from absdb.ids import ColumnId
from absdb.pages.types import physical_type


def can_be_referred_to(target: TableSchema, columns: Iterable[ColumnId]) -> bool:
    """Whether columns are the key of a table or UNIQUE there."""
    wanted = set(columns)
    return wanted == set(target.key) or any(
        isinstance(c, Unique) and set(c.columns) == wanted for c in target.constraints
    )


def broken_reference(catalog: DatabaseCatalog) -> tuple[TableSchema, ForeignKey] | None:
    """A foreign key whose table, columns or UNIQUE are not there or of types that do not fit; None if all are."""
    for target_id, pairs in catalog.referencing.items():
        target = catalog.tables.get(target_id)
        for table, reference in pairs:
            if target is None or not _leads(table, target, reference):
                return table, reference
    return None


def _leads(table: TableSchema, target: TableSchema, reference: ForeignKey) -> bool:
    own = {column.id: physical_type(column.type) for column in table.columns}
    theirs = {column.id: physical_type(column.type) for column in target.columns}
    pairs = zip(reference.columns, reference.references, strict=True)
    fit = all(a in own and b in theirs and are_comparable(own[a], theirs[b]) for a, b in pairs)
    return fit and can_be_referred_to(target, reference.references)


_NAMED = ("sequence", "view", "macro")


def clash(catalog: DatabaseCatalog) -> str:
    """What is there twice, or in a schema that is not there, as a message says it; "" if nothing is."""
    names: set[tuple[str, str, str]] = set()
    for (kind, _), value in catalog.entities.items():
        if kind == "table":
            name, shown = ("table", value.namespace, value.name), value.full_name
            if any(("sequence", own) not in catalog.entities for own in sequences_of(value)):
                return f"a sequence of table {shown!r}"
        elif kind in _NAMED:
            # A view has its name among those of the tables; an identity's sequence is in no schema.
            space = value.get("namespace", "")
            name, shown = ("table" if kind == "view" else kind, space, value["name"]), value["name"]
        else:
            continue
        if name[1] and name[1] not in catalog.namespaces:
            return f"the schema of {kind} {shown!r}"
        if name in names:
            return f"the {kind} {shown!r}"
        names.add(name)
    return ""
