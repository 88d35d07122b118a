"""The changes of ALTER TABLE to names and to how the table is kept. Called by alter_table.py."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from absdb.catalog.schema import TableSchema
from absdb.engine import ddl
from absdb.engine.ddl_checks import put
from absdb.paths import check_name
from absdb.sql.change.target import column_of
from absdb.sql.define.alter_constraint import constraint_of
from absdb.sql.define.alter_view import check_free, existing_schema
from absdb.sql.define.ddl_target import Target, already
from absdb.sql.define.table_options import read_options
from absdb.sql.query.names import alike, same
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import pointing_at
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.define.alter_table import Change
    from absdb.sql.session import Call


def read_rename(call: Call, cursor: TokenCursor, target: Target) -> Change:
    """`RENAME TO new`, `RENAME [COLUMN] name TO new`, `RENAME CONSTRAINT name TO new`."""
    if cursor.accept("TO"):
        at = cursor.token.start
        new = cursor.name("the new name of the table")

        def rename(scope: TransactionScope, schema: TableSchema) -> TableSchema:
            with pointing_at(call.text, at):
                check_free(target, scope, schema.namespace, new, schema.name)
                return ddl.rename_table(scope.tx, schema, new)

        return rename
    if cursor.ahead("CONSTRAINT") and cursor.tokens[cursor.at + 1].upper != "TO":
        cursor.expect("CONSTRAINT")
        return _read_constraint(call, cursor)
    cursor.accept("COLUMN")
    at = cursor.token.start
    old = cursor.name("the name of a column")
    cursor.expect("TO")
    new_at = cursor.token.start
    name = cursor.name("the new name of the column")

    def change(scope: TransactionScope, schema: TableSchema) -> TableSchema:
        column = column_of(call, schema, old, at)
        if name == column.name:
            return schema
        with pointing_at(call.text, new_at):
            if not same(name, column.name) and alike(schema.by_name, name) is not None:
                raise already("column", name, "take another name")
            return ddl.rename_column(scope.tx, schema, column.name, name)

    return change


def _read_constraint(call: Call, cursor: TokenCursor) -> Change:
    at = cursor.token.start
    old = cursor.name("the name of a constraint")
    cursor.expect("TO")
    new_at = cursor.token.start
    new = cursor.name("the new name of the constraint")

    def change(scope: TransactionScope, schema: TableSchema) -> TableSchema:
        constraint = constraint_of(call, schema, old, at)
        with pointing_at(call.text, new_at):
            if any(same(other.name, new) and other != constraint for other in schema.constraints):
                raise already("constraint", new, "take another name")
            renamed = dataclasses.replace(constraint, name=check_name("constraint", new))
        constraints = tuple(renamed if other == constraint else other for other in schema.constraints)
        return put(scope.tx, dataclasses.replace(schema, constraints=constraints))

    return change


def read_set(cursor: TokenCursor, target: Target) -> Change:
    """`SET SCHEMA schema`, `SET (compression = …)`."""
    if cursor.accept("SCHEMA"):
        at = cursor.token.start
        space = cursor.name("the name of a schema")

        def move(scope: TransactionScope, schema: TableSchema) -> TableSchema:
            with pointing_at(cursor.text, at):
                home = existing_schema(scope, space)
                if home == schema.namespace:
                    return schema
                check_free(target, scope, home, schema.name, schema.name)
                return ddl.rename_table(scope.tx, schema, schema.name, home)

        return move
    if not cursor.ahead("("):
        cursor.refuse("SCHEMA", "( and an option")
    compression = read_options(cursor)
    return lambda scope, schema: put(scope.tx, dataclasses.replace(schema, compression=compression))
