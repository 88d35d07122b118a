"""A key for a table that was made without one. See ddl.py.

The order of pages and the identity of rows follow from the key, so the table is made anew under its name: all rows
are written once, in the order of the key, and points in the past go on showing the table without one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.catalog.schema import Check, Column, Constraint, ForeignKey, TableSchema
from absdb.engine import intake
from absdb.engine.ddl_checks import atomic, put
from absdb.engine.definition import key_columns_of
from absdb.errors import AlreadyExistsError, ConstraintError
from absdb.ids import ColumnId, TableId

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction


@atomic
def add_key(tx: Transaction, schema: TableSchema, names: Sequence[str]) -> TableSchema:
    """Give a table a key; ConstraintError if its values come twice or are NULL, or if foreign keys refer to it."""
    if schema.key_names:
        raise AlreadyExistsError(
            f"table {schema.full_name!r} has the key ({', '.join(schema.key_names)}) already",
            hint="create a table with the new key and copy the rows",
        )
    for child, reference in tx.catalog.referencing.get(schema.id, ()):
        if child.id != schema.id:
            raise ConstraintError(
                f"table {schema.full_name!r} is referenced by {reference.name!r} of table {child.full_name!r}",
                hint="drop that constraint first, and add it again afterwards",
                table=schema.full_name,
                constraint=reference.name,
                keys=[],
            )
    key_columns_of(schema.full_name, schema.columns, names)
    made = _keyed(tx, schema, names)
    put(tx, made)
    given = [column.name for column in schema.columns if column.generated is None]
    rows = tx.reader(schema).scan(given)
    kinds = pa.schema([(name, schema.column(name).type) for name in given])
    repeatable = tx.repeatable
    intake.insert(tx, made, pa.RecordBatchReader.from_batches(kinds, rows))
    tx.repeatable = repeatable  # the rows are those of the snapshot, which can be read again
    tx.rests_on.add(schema.id)
    tx.change_schema({("table", schema.id): None})
    tx.writes.pop(schema.id, None)
    return made


def _keyed(tx: Transaction, schema: TableSchema, names: Sequence[str]) -> TableSchema:
    """The table's definition under new ids, with the key."""
    allocator = tx.engine.allocator
    table = TableId(allocator.new_id())
    ids = {column.id: ColumnId(allocator.new_id()) for column in schema.columns}
    columns = tuple(
        dataclasses.replace(
            column,
            id=ids[column.id],
            nullable=column.nullable and column.name not in names,
            initial_default=None,
            replaces=None,
        )
        for column in schema.columns
    )
    return dataclasses.replace(
        schema,
        id=table,
        columns=columns,
        key=_ids_of(columns, names),
        hidden_key=None,
        retired=(),
        constraints=tuple(_moved(constraint, schema, table, ids) for constraint in schema.constraints),
    )


def _ids_of(columns: Sequence[Column], names: Sequence[str]) -> tuple[ColumnId, ...]:
    by_name = {column.name: column.id for column in columns}
    return tuple(by_name[name] for name in names)


def _moved(
    constraint: Constraint, schema: TableSchema, table: TableId, ids: dict[ColumnId, ColumnId]
) -> Constraint:
    """A constraint that speaks of the new ids."""
    if isinstance(constraint, Check):
        return constraint
    columns = tuple(ids[column] for column in constraint.columns)
    if isinstance(constraint, ForeignKey) and constraint.table == schema.id:
        references = tuple(ids[column] for column in constraint.references)
        return dataclasses.replace(constraint, columns=columns, table=table, references=references)
    return dataclasses.replace(constraint, columns=columns)
