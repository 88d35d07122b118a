"""The changes of ALTER TABLE that concern constraints. Called by alter_table.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.catalog.schema import Constraint, TableSchema
from absdb.engine import ddl
from absdb.errors import NotFoundError
from absdb.sql.define.column_building import column_names
from absdb.sql.define.column_clauses import begins_constraint, read_constraint
from absdb.sql.define.create_table import add_constraints
from absdb.sql.query.names import alike
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import placed
from absdb.sql.text.suggestion import suggestion
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.define.alter_table import Change
    from absdb.sql.session import Call


def begins(cursor: TokenCursor) -> bool:
    """Whether a constraint comes next."""
    return cursor.token.upper == "CONSTRAINT" or begins_constraint(cursor)


def read_add(call: Call, cursor: TokenCursor) -> Change:
    """`ADD [CONSTRAINT name] …`: the rows that are there must hold it. A key writes all of them anew."""
    clause = read_constraint(cursor)
    if clause.kind == "primary key":

        def change(scope: TransactionScope, schema: TableSchema) -> TableSchema:
            names = column_names(call, clause.at, clause.columns, list(schema.by_name), schema.full_name)
            return ddl.add_key(scope.tx, schema, names)

        return change
    return lambda scope, schema: add_constraints(call, scope, schema, [clause], [])


def read_drop(call: Call, cursor: TokenCursor) -> Change:
    """`DROP CONSTRAINT [IF EXISTS] name [CASCADE | RESTRICT]`; CASCADE drops foreign keys that need it."""
    if_exists = cursor.accept("IF", "EXISTS")
    at = cursor.token.start
    name = cursor.name("the name of a constraint")
    cursor.accept_one(("CASCADE", "RESTRICT"))

    def change(scope: TransactionScope, schema: TableSchema) -> TableSchema:
        if if_exists and alike({each.name: each for each in schema.constraints}, name) is None:
            return schema
        return ddl.drop_constraint(scope.tx, schema, constraint_of(call, schema, name, at).name)

    return change


def constraint_of(call: Call, schema: TableSchema, name: str, at: int) -> Constraint:
    """A constraint by its name, in any case; NotFoundError with the nearest one."""
    known = {each.name: each for each in schema.constraints}
    found = alike(known, name)
    if found is None:
        error = NotFoundError(
            f"table {schema.full_name!r} has no constraint {name!r}",
            hint=suggestion(name, known, "constraints"),
        )
        raise placed(error, call.text, at)
    return found
