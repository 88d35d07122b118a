"""Definitions changed side by side: what a commit assumed about the schema must still hold when its turn comes.

    a table it writes or redefines was redefined meanwhile           WriteConflictError
    a new definition rests on rows, and rows changed meanwhile       WriteConflictError
    a table is replaced by what was read of it, likewise             WriteConflictError
    together the definitions do not fit (a name is there twice, a
    foreign key leads to what has gone)                              WriteConflictError

Called by the leader in commit.py, for transactions whose snapshot is not the newest state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from absdb.catalog.database import Changes, DatabaseCatalog, EntityId
from absdb.catalog.schema import ForeignKey, TableSchema
from absdb.engine.changeset import TableChange
from absdb.engine.integrity import broken_reference, clash
from absdb.errors import WriteConflictError
from absdb.ids import TableId

if TYPE_CHECKING:
    from absdb.engine.engine import Engine
    from absdb.engine.transaction import Transaction

AGAIN = "run the transaction again"


def check_definitions(
    engine: Engine, tx: Transaction, changes: Sequence[TableChange], catalog: DatabaseCatalog
) -> None:
    """WriteConflictError if what the transaction assumes does not hold under the newest `catalog`."""
    if catalog is not tx.base_catalog:
        _check_unchanged(tx, changes, catalog)
        if tx.schema_changes:
            _check_fits(catalog.apply(tx.schema_changes))
    resting = list(_resting_on_rows(engine, tx.base_catalog, tx.schema_changes))
    gone = [tx.base_catalog.tables[table] for table in tx.rests_on if table in tx.base_catalog.tables]
    for table, others in [*resting, *((table, [table.id]) for table in gone)]:
        for other in others:
            cover = engine.covers.eras.get((tx.era, other))
            if cover is not None and cover.hi > tx.snapshot_lsn:
                raise WriteConflictError(
                    f"rows that the new definition of table {table.full_name!r} rests on changed while the "
                    f"transaction was open",
                    hint=AGAIN,
                    table=table.full_name,
                    keys=[],
                )


def _check_unchanged(tx: Transaction, changes: Sequence[TableChange], catalog: DatabaseCatalog) -> None:
    """Tables written and entities changed must be what they were at the snapshot."""
    before = tx.base_catalog.entities
    written: list[EntityId] = [("table", change.schema.id) for change in changes]
    for entity in (*written, *tx.schema_changes):
        if catalog.entities.get(entity) is not before.get(entity):
            name = _name_of(entity, before.get(entity) or catalog.entities.get(entity))
            what = "changed" if entity in catalog.entities else "was dropped"
            raise WriteConflictError(
                f"the definition of {name} {what} while the transaction was open",
                hint=AGAIN,
                table=name,
                keys=[],
            )


def _name_of(entity: EntityId, value: object) -> str:
    if isinstance(value, TableSchema):
        return f"table {value.full_name!r}"
    name = value.get("name", entity[1]) if isinstance(value, dict) else entity[1]
    return f"{'schema' if entity[0] == 'namespace' else entity[0]} {name!r}"


def _check_fits(after: DatabaseCatalog) -> None:
    """What both have defined must fit together."""
    twice = clash(after)
    if twice:
        raise WriteConflictError(
            f"{twice} was created or dropped by another transaction meanwhile", hint=AGAIN, keys=[]
        )
    broken = broken_reference(after)
    if broken is not None:
        table, reference = broken
        raise WriteConflictError(
            f"what constraint {reference.name!r} of table {table.full_name!r} refers to was dropped or changed by "
            f"another transaction meanwhile",
            hint=AGAIN,
            table=table.full_name,
            keys=[],
        )


def _resting_on_rows(
    engine: Engine, catalog: DatabaseCatalog, changes: Changes
) -> Iterator[tuple[TableSchema, list[TableId]]]:
    """Tables redefined in a way that all rows were rewritten or checked for, and whose rows these were."""
    for (kind, _), after in changes.items():
        if kind != "table" or after is None:
            continue
        before = catalog.tables.get(after.id)
        if before is None and not any(engine.covers.of_table(after.id)):
            continue  # a new table: its rows are checked like those of any other
        known = () if before is None else before.constraints
        tables = [] if before is None or _keeps_rows(before, after) else [after.id]
        for constraint in after.constraints:
            if constraint not in known:
                tables.append(after.id)
                if isinstance(constraint, ForeignKey):
                    tables.append(constraint.table)
        if tables:
            yield after, tables


def _keeps_rows(before: TableSchema, after: TableSchema) -> bool:
    """Whether any row that fits `before` is one of `after` too, whoever writes it."""
    for column in after.columns:
        old = before.by_id.get(column.id)
        if old is None:
            constant = column.default is None or column.default.kind == "value"
            computed = column.replaces is not None or column.generated is not None or not constant
            if computed or (not column.nullable and column.initial_default is None):
                return False
        elif old.nullable and not column.nullable:
            return False
    return True
