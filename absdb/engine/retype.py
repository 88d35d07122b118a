"""Changing the type of a column: for nothing where every value of the old type is one of the new, else by a rewrite.

    widening     same column id; pages keep the old type and are cast as they are read
    otherwise    a new column id that `replaces` the old one, which retires; every row is written once more

A widening that a CHECK or a generated column would see is a rewrite as well, so that these are computed anew.
Part of ddl.py.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.catalog.schema import Column, Constraint, Default, TableSchema, Unique
from absdb.engine.ddl_checks import (
    atomic,
    check_expressions,
    check_unconstrained,
    put,
    readers_of,
    with_column,
)
from absdb.engine.definition import default_of
from absdb.engine.expressions import columns_read
from absdb.engine.fitting import MisfitError, cast
from absdb.engine.prepare import logical_rows, physical_scalar
from absdb.engine.rewrite import rewrite
from absdb.errors import ConstraintError, InvalidInputError
from absdb.ids import ColumnId
from absdb.pages.types import can_widen, describe_type, is_orderable, physical_type, to_physical

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction


@atomic
def retype_column(
    tx: Transaction, schema: TableSchema, name: str, kind: pa.DataType, *, using: str | None = None
) -> TableSchema:
    """Change a column's type. A lossless widening costs nothing; anything else rewrites the table's rows.

    Values are cast, or computed by the SQL expression `using`; ConstraintError if some do not fit, and nothing
    changes.
    """
    column = schema.column(name)
    source, target = physical_type(column.type), physical_type(kind)
    if column.type == kind and using is None:
        return schema
    if source != target:
        _check_may_change(tx, schema, column, kind)
    free = source == target or (can_widen(source, target) and not any(readers_of(tx, schema, column)))
    if using is None and free:
        return _widened(tx, schema, column, kind)
    if column.id in schema.key:
        raise _belongs_to_key(schema, column)
    check_unconstrained(tx, schema, column, "given another type", unique=False)
    return _replaced(tx, schema, column, kind, using)


def _check_may_change(tx: Transaction, schema: TableSchema, column: Column, kind: pa.DataType) -> None:
    if column.id in schema.key:
        raise _belongs_to_key(schema, column)
    check_unconstrained(
        tx, schema, column, "given another type", unique=not is_orderable(physical_type(kind))
    )
    identity = column.default is not None and column.default.kind == "sequence"
    if identity and not pa.types.is_integer(physical_type(kind)):
        raise InvalidInputError(
            f"identity column {column.name!r} of table {schema.full_name!r} cannot become {describe_type(kind)}",
            hint="drop its default first",
        )


def _belongs_to_key(schema: TableSchema, column: Column) -> InvalidInputError:
    return InvalidInputError(
        f"column {column.name!r} belongs to the key of table {schema.full_name!r}; its type cannot change",
        hint="create a table with the new key and copy the rows",
        table=schema.full_name,
        column=column.name,
    )


def _widened(tx: Transaction, schema: TableSchema, column: Column, kind: pa.DataType) -> TableSchema:
    initial = column.initial_default
    widened = dataclasses.replace(
        column,
        type=kind,
        default=recast_default(column, kind),
        initial_default=None if initial is None else _recast(column, initial, kind).value,
    )
    return put(tx, with_column(schema, column.id, widened))


def _replaced(
    tx: Transaction, schema: TableSchema, column: Column, kind: pa.DataType, using: str | None
) -> TableSchema:
    new = dataclasses.replace(
        column,
        id=ColumnId(tx.engine.allocator.new_id()),
        type=kind,
        default=recast_default(column, kind),
        initial_default=None,
        replaces=column.id,
    )
    changed = dataclasses.replace(
        schema,
        columns=tuple(new if c.id == column.id else c for c in schema.columns),
        retired=(*schema.retired, column),
        constraints=tuple(_about(constraint, column, new) for constraint in schema.constraints),
    )
    check_expressions(tx, changed)
    put(tx, changed)
    values = _using(tx, schema, column, kind, using) if using is not None else _casting(schema, column, kind)
    rewrite(tx, schema, changed, {column.page_name: (new, values)})
    for constraint in changed.constraints:
        if isinstance(constraint, Unique) and new.id in constraint.columns:
            tx.engine.constraints.check_all(tx, changed, constraint)
    return changed


def _about(constraint: Constraint, old: Column, new: Column) -> Constraint:
    """A constraint that speaks of the new column where it spoke of the old one."""
    if not isinstance(constraint, Unique):
        return constraint
    columns = tuple(new.id if column == old.id else column for column in constraint.columns)
    return dataclasses.replace(constraint, columns=columns)


def _casting(schema: TableSchema, column: Column, kind: pa.DataType) -> Any:
    def values(batch: pa.RecordBatch) -> pa.Array:
        return _cast(schema, column, kind, batch.column(column.page_name))

    return values


def _using(tx: Transaction, schema: TableSchema, column: Column, kind: pa.DataType, using: str) -> Any:
    columns_read(tx.engine.evaluator, schema, [using])

    def values(batch: pa.RecordBatch) -> pa.Array:
        stored = {name: batch.column(name) for name in batch.schema.names}
        rows = logical_rows(tx, schema, [using], stored, batch.num_rows)
        found = tx.engine.evaluator.evaluate([using], rows)[0]
        return _cast(schema, column, kind, to_physical(found, found.type))

    return values


def _cast(schema: TableSchema, column: Column, kind: pa.DataType, values: pa.Array) -> pa.Array:
    try:
        return cast(values, physical_type(kind))
    except MisfitError as problem:
        raise ConstraintError(
            f"table {schema.full_name!r}: column {column.name!r} cannot become {describe_type(kind)}: {problem}",
            hint=f'give an SQL expression with using=, such as using="try_cast({column.name} AS INTEGER)"',
            table=schema.full_name,
            constraint="type",
            keys=[],
        ) from problem


def recast_default(column: Column, kind: pa.DataType) -> Default | None:
    default = column.default
    if default is None or default.kind != "value":
        return default
    return _recast(column, default.value, kind)


def _recast(column: Column, value: Any, kind: pa.DataType) -> Default:
    """A default's physical value as one of another type."""
    scalar = physical_scalar(value, physical_type(column.type))
    try:
        return default_of(cast(pa.repeat(scalar, 1), physical_type(kind)), kind)
    except MisfitError as problem:
        raise InvalidInputError(
            f"the default of column {column.name!r} is no {describe_type(kind)}: {problem}",
            hint="drop the default first",
        ) from problem
