"""Changes of a definition as users write them, with types as text and defaults as Python values, for ddl.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absdb.catalog.schema import Default, TableSchema
from absdb.engine import ddl
from absdb.engine.definition import ColumnDefinition
from absdb.engine.table_creation import split_name
from absdb.engine.type_text import as_type
from absdb.pages.values import Converter

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction


def add_column(
    tx: Transaction, schema: TableSchema, named: tuple[str, Any], *, position: int | None, **details: Any
) -> TableSchema:
    """Add a column of a (name, type); `details` are those of a ColumnDefinition."""
    name, kind = named
    return ddl.add_column(tx, schema, ColumnDefinition(name, as_type(kind), **details), position=position)


def alter_column(
    tx: Transaction,
    schema: TableSchema,
    name: str,
    *,
    nullable: bool | None,
    default: Any,
    comment: str | None,
) -> TableSchema:
    """Change NOT NULL, default (a Python value; None drops it, … leaves it) and comment of a column."""
    if default is not ... and default is not None:
        column = schema.column(name)
        default = Default("value", Converter.of(column.type, name).to_physical(default))
    return ddl.alter_column(tx, schema, name, nullable=nullable, default=default, comment=comment)


def rename_table(tx: Transaction, schema: TableSchema, name: str) -> TableSchema:
    """Give a table another name; `schema.name` moves it, a plain name leaves it in its schema."""
    namespace, plain = split_name(name)
    return ddl.rename_table(tx, schema, plain, namespace if "." in name else None)
