"""Tables made, dropped, brought back and renamed. See ddl.py."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.catalog.database import DatabaseCatalog, EntityId
from absdb.catalog.schema import DEFAULT_NAMESPACE, Column, ForeignKey, TableSchema
from absdb.engine.ddl_checks import (
    atomic,
    check_expressions,
    check_free,
    check_namespace,
    own_sequences,
    put,
    sequences_of,
)
from absdb.engine.definition import ColumnDefinition, fresh_column, key_columns_of
from absdb.engine.integrity import broken_reference
from absdb.errors import ConstraintError, InvalidInputError, NotFoundError
from absdb.ids import ColumnId, TableId
from absdb.pages.format import COMPRESSIONS
from absdb.paths import check_name, check_text, normal_name

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction


@atomic
def create_table(
    tx: Transaction,
    name: str,
    columns: Sequence[ColumnDefinition],
    *,
    key: Sequence[str] = (),
    namespace: str = DEFAULT_NAMESPACE,
    comment: str = "",
    compression: str | None = None,
) -> TableSchema:
    """A new, empty table; without a key its rows have a hidden one. Constraints are added with `add_constraint`."""
    name = check_name("table", name)
    check_namespace(tx, namespace)
    check_free(tx, namespace, name)
    if compression not in COMPRESSIONS:
        raise InvalidInputError(
            f"table {name!r}: page compression {compression!r} is not known", hint="use None, 'lz4' or 'zstd'"
        )
    if not columns:
        raise InvalidInputError(f"table {name!r} needs at least one column")
    made = tuple(fresh_column(tx, definition) for definition in columns)
    twice = [column for column, count in Counter(c.name for c in made).items() if count > 1]
    if twice:
        raise InvalidInputError(f"table {name!r} has the column {twice[0]!r} twice")
    hidden = None
    if not key:
        hidden = Column(id=ColumnId(tx.engine.allocator.new_id()), name="", type=pa.int64(), nullable=False)
    schema = TableSchema(
        id=TableId(tx.engine.allocator.new_id()),
        namespace=namespace,
        name=name,
        columns=made,
        key=(hidden.id,) if hidden is not None else key_columns_of(name, made, key),
        hidden_key=hidden,
        comment=check_text("comment", comment),
        compression=compression if compression is not None else tx.engine.settings.page_compression,
    )
    check_expressions(tx, schema)
    return put(tx, schema)


@atomic
def drop_table(tx: Transaction, schema: TableSchema) -> None:
    """Remove a table; `undrop_table` brings it back for as long as history is kept."""
    for other, constraint in tx.catalog.referencing.get(schema.id, ()):
        if other.id != schema.id:
            raise ConstraintError(
                f"table {schema.full_name!r} is referenced by {constraint.name!r} of table {other.full_name!r}",
                hint=f"drop that constraint first: alter {other.full_name}",
                table=schema.full_name,
                constraint=constraint.name,
                keys=[],
            )
    gone: list[EntityId] = [("table", schema.id)]
    gone += [("sequence", own) for own in own_sequences(tx.catalog, schema)]
    tx.change_schema(dict.fromkeys(gone))
    tx.writes.pop(schema.id, None)


@atomic
def undrop_table(tx: Transaction, name: str, namespace: str = DEFAULT_NAMESPACE) -> TableSchema:
    """Bring back the table of that name that was dropped last, with its rows.

    NotFoundError if there is none; ConstraintError if its foreign keys do not hold any more.
    """
    name = normal_name(name)
    check_namespace(tx, namespace)
    check_free(tx, namespace, name)
    known = set(tx.catalog.tables)
    for catalog in catalogs_back(tx):
        found = catalog.tables_by_name.get((namespace, name))
        if found is None or found.id in known:
            # A table counts by the last name it had; what these had been called before does not matter.
            known.update(catalog.tables)
            continue
        back: list[EntityId] = [("table", found.id)]
        back += [
            ("sequence", own) for own in sequences_of(found) if ("sequence", own) not in tx.catalog.entities
        ]
        tx.change_schema({entity: catalog.entities[entity] for entity in back})
        tx.reader(found)  # HistoryExpiredError if its rows are no longer kept
        _check_references(tx, found)
        return found
    raise NotFoundError(
        f"no table {name!r} was dropped here within the kept history",
        hint="at(…) shows what was there at a time",
        table=name,
    )


def catalogs_back(tx: Transaction) -> Iterator[DatabaseCatalog]:
    """What was defined along the transaction's lineage, the newest first."""
    for era, reached in reversed(tx.lineage):
        for lsn, catalog in reversed(list(tx.engine.history.catalog_versions(era))):
            if lsn <= reached:
                yield catalog


def _check_references(tx: Transaction, schema: TableSchema) -> None:
    """ConstraintError if a foreign key of a table that comes back refers to what has gone meanwhile."""
    broken = broken_reference(tx.catalog)
    if broken is not None:
        table, reference = broken
        raise ConstraintError(
            f"table {schema.full_name!r} cannot come back: what its constraint {reference.name!r} refers to has gone",
            hint="bring that table back first, or read the old rows with at(…)",
            table=table.full_name,
            constraint=reference.name,
            keys=[],
        )
    for constraint in schema.constraints:
        if isinstance(constraint, ForeignKey):
            tx.engine.constraints.check_all(tx, schema, constraint)


@atomic
def rename_table(
    tx: Transaction, schema: TableSchema, name: str, namespace: str | None = None
) -> TableSchema:
    """Give a table another name, or move it to another schema."""
    name = check_name("table", name)
    namespace = schema.namespace if namespace is None else namespace
    check_namespace(tx, namespace)
    check_free(tx, namespace, name)
    return put(tx, dataclasses.replace(schema, name=name, namespace=namespace))
