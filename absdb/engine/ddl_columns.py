"""Columns added, dropped, renamed, put in another order, and what holds for them changed. See ddl.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absdb.catalog.schema import Default, TableSchema
from absdb.engine.ddl_checks import (
    atomic,
    check_expressions,
    check_unconstrained,
    check_unread,
    has_rows,
    is_own_sequence,
    put,
    with_column,
)
from absdb.engine.definition import ColumnDefinition, fresh_column
from absdb.engine.rewrite import rewrite
from absdb.errors import AlreadyExistsError, ConstraintError, InvalidInputError
from absdb.paths import check_name, check_names, check_text

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction


@atomic
def add_column(
    tx: Transaction, schema: TableSchema, definition: ColumnDefinition, *, position: int | None = None
) -> TableSchema:
    """A new column, last unless `position` says otherwise. Rows that are there read as its default.

    A default that is an expression or a sequence, and a generated column, are computed now for the rows that are
    there, which writes them all; anything else costs the same at any size.
    """
    at = len(schema.columns) if position is None else position
    if not 0 <= at <= len(schema.columns):
        raise InvalidInputError(
            f"position {at} of a new column of table {schema.full_name!r}: expected 0 to {len(schema.columns)}"
        )
    column = fresh_column(tx, definition)
    if column.name in schema.by_name:
        raise AlreadyExistsError(f"table {schema.full_name!r} has a column {column.name!r} already")
    constant = column.default is not None and column.default.kind == "value"
    initial = column.default.value if constant and column.default is not None else None
    computed = column.generated is not None or (column.default is not None and not constant)
    if not column.nullable and initial is None and not computed and has_rows(tx, schema):
        raise ConstraintError(
            f"column {column.name!r} is NOT NULL and has no default, but table {schema.full_name!r} has rows",
            hint="give it a default",
            table=schema.full_name,
            constraint="NOT NULL",
            keys=[],
        )
    column = dataclasses.replace(column, initial_default=initial)
    changed = dataclasses.replace(schema, columns=(*schema.columns[:at], column, *schema.columns[at:]))
    check_expressions(tx, changed)
    put(tx, changed)
    if computed:
        rewrite(tx, schema, changed)
    return changed


@atomic
def drop_column(tx: Transaction, schema: TableSchema, name: str) -> TableSchema:
    """Remove a column; older states still have it. Refused for key columns and those a constraint needs."""
    column = schema.column(name)
    if column.id in schema.key:
        raise InvalidInputError(
            f"column {name!r} belongs to the key of table {schema.full_name!r}",
            hint="create a table with the new key and copy the rows",
        )
    if len(schema.columns) == 1:
        raise InvalidInputError(
            f"column {name!r} is the only one of table {schema.full_name!r}", hint="drop the table"
        )
    check_unconstrained(tx, schema, column, "dropped")
    check_unread(tx, schema, column, "dropped")
    _drop_sequence(tx, column.default)
    columns = tuple(c for c in schema.columns if c.id != column.id)
    return put(tx, dataclasses.replace(schema, columns=columns, retired=(*schema.retired, column)))


@atomic
def rename_column(tx: Transaction, schema: TableSchema, old: str, new: str) -> TableSchema:
    """Give a column another name. Refused while an expression of the table names it."""
    column = schema.column(old)
    new = check_name("column", new)
    if new in schema.by_name:
        raise AlreadyExistsError(f"table {schema.full_name!r} has a column {new!r} already")
    check_unread(tx, schema, column, "renamed")
    return put(tx, with_column(schema, column.id, dataclasses.replace(column, name=new)))


@atomic
def reorder_columns(tx: Transaction, schema: TableSchema, names: Sequence[str]) -> TableSchema:
    """Put the columns in another order; `names` lists the ones to come first, the others follow as they are."""
    first = [schema.column(name) for name in check_names(f"table {schema.full_name!r}: the new order", names)]
    chosen = {column.id for column in first}
    rest = [column for column in schema.columns if column.id not in chosen]
    return put(tx, dataclasses.replace(schema, columns=(*first, *rest)))


@atomic
def alter_column(
    tx: Transaction,
    schema: TableSchema,
    name: str,
    *,
    nullable: bool | None = None,
    default: Any = ...,
    comment: str | None = None,
) -> TableSchema:
    """Change what holds for new rows: NOT NULL (checked on the rows there are), default (None drops it), comment.

    `default` is a Default. An identity column whose default is changed or dropped is none any more.
    """
    column = schema.column(name)
    if nullable is False and column.nullable and _has_nulls(tx, schema, column.name):
        raise ConstraintError(
            f"column {name!r} of table {schema.full_name!r} has NULLs",
            hint="fill them first",
            table=schema.full_name,
            constraint="NOT NULL",
            keys=[],
        )
    if nullable is True and column.id in schema.key:
        raise InvalidInputError(f"column {name!r} belongs to the key of table {schema.full_name!r}")
    changes: dict[str, Any] = {}
    if nullable is not None:
        changes["nullable"] = nullable
    if default is not ...:
        if column.generated is not None:
            raise InvalidInputError(
                f"column {name!r} of table {schema.full_name!r} is generated and has no default",
                hint=f"it is {column.generated}",
            )
        if default != column.default:
            _drop_sequence(tx, column.default)
        changes["default"] = default
    if comment is not None:
        changes["comment"] = check_text("comment", comment)
    changed = with_column(schema, column.id, dataclasses.replace(column, **changes))
    check_expressions(tx, changed)
    return put(tx, changed)


def _drop_sequence(tx: Transaction, default: Default | None) -> None:
    if default is not None and default.kind == "sequence" and is_own_sequence(tx.catalog, default.value):
        tx.change_schema({("sequence", default.value): None})


def _has_nulls(tx: Transaction, schema: TableSchema, name: str) -> bool:
    page_name = schema.column(name).page_name
    return any(batch.column(page_name).null_count for batch in tx.reader(schema).physical())
