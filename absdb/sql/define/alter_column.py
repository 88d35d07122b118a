"""The changes of ALTER TABLE that concern one column. Called by alter_table.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.catalog.schema import Check, Column, Default, TableSchema
from absdb.engine import ddl
from absdb.engine.ddl_checks import readers_of
from absdb.engine.definition import NO_DEFAULT
from absdb.engine.prepare import physical_scalar
from absdb.errors import QueryError
from absdb.pages.types import can_widen, physical_type, to_logical
from absdb.pages.values import Converter
from absdb.sql.change.target import column_of
from absdb.sql.define.column_building import (
    column_definition,
    default_of,
    evaluated_type,
    without_bare_functions,
)
from absdb.sql.define.column_clauses import Expression, read_column, read_default
from absdb.sql.define.constants import exported
from absdb.sql.define.create_table import add_constraints
from absdb.sql.define.identity import start_identity
from absdb.sql.duck.duck_errors import query_error
from absdb.sql.duck.scan import readable
from absdb.sql.duck.types import duckdb_type, type_at
from absdb.sql.query.names import alike
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at
from absdb.sql.text.tokens import quoted
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.define.alter_table import Change
    from absdb.sql.session import Call


def read_add(call: Call, cursor: TokenCursor) -> Change:
    """`ADD [COLUMN] [IF NOT EXISTS] column`: rows that are there read as its default."""
    cursor.accept("COLUMN")
    if_absent = cursor.accept("IF", "NOT", "EXISTS")
    clause = read_column(call.session.backend, cursor)
    key = next((each for each in clause.constraints if each.kind == "primary key"), None)
    if key is not None:
        raise error_at(
            call.text,
            key.at,
            "a table keeps the key it was made with",
            hint="create a table and copy the rows",
        )

    def change(scope: TransactionScope, schema: TableSchema) -> TableSchema:
        if alike(schema.by_name, clause.name) is not None:
            if if_absent:
                return schema
            raise error_at(
                call.text, clause.at, f"table {schema.full_name!r} has a column {clause.name!r} already"
            )
        definition = column_definition(call, scope, clause, schema.arrow_schema)
        made = ddl.add_column(scope.tx, schema, definition)
        start_identity(scope, made, [clause])
        return add_constraints(call, scope, made, clause.constraints, [clause])

    return change


def read_drop(call: Call, cursor: TokenCursor) -> Change:
    """`DROP [COLUMN] [IF EXISTS] name [CASCADE | RESTRICT]`."""
    cursor.accept("COLUMN")
    if_exists = cursor.accept("IF", "EXISTS")
    at = cursor.token.start
    name = cursor.name("the name of a column")
    cascade = cursor.accept_one(("CASCADE", "RESTRICT")) == "CASCADE"

    def change(scope: TransactionScope, schema: TableSchema) -> TableSchema:
        if if_exists and alike(schema.by_name, name) is None:
            return schema
        column = column_of(call, schema, name, at)
        if cascade:
            schema = _without_constraints(scope, schema, column)
        return ddl.drop_column(scope.tx, schema, column.name)

    return change


def _without_constraints(scope: TransactionScope, schema: TableSchema, column: Column) -> TableSchema:
    """The table without the constraints that need a column, and without the foreign keys of others to it."""
    for child, reference in scope.catalog().referencing.get(schema.id, ()):
        if column.id in reference.references:
            dropped = ddl.drop_constraint(scope.tx, scope.catalog().tables[child.id], reference.name)
            schema = dropped if child.id == schema.id else schema
    readers = {owner for owner, _ in readers_of(scope.tx, schema, column)}
    for constraint in schema.constraints:
        if isinstance(constraint, Check):
            needs = f"constraint {constraint.name!r}" in readers
        else:
            needs = column.id in constraint.columns
        if needs:
            schema = ddl.drop_constraint(scope.tx, schema, constraint.name)
    return schema


def read_alter(call: Call, cursor: TokenCursor) -> Change:
    """`ALTER [COLUMN] name …`."""
    cursor.accept("COLUMN")
    at = cursor.token.start
    name = cursor.name("the name of a column")
    if cursor.accept("TYPE") or cursor.accept("SET", "DATA", "TYPE"):
        return _read_type(call, cursor, name, at)
    verb = cursor.expect_one(("SET", "DROP"))
    if cursor.accept("NOT", "NULL"):
        details: dict[str, Any] = {"nullable": verb == "DROP"}
        return lambda scope, schema: ddl.alter_column(
            scope.tx, schema, column_of(call, schema, name, at).name, **details
        )
    if not cursor.accept("DEFAULT"):
        cursor.refuse("NOT NULL", "DEFAULT", *(["DATA TYPE"] if verb == "SET" else []))
    expression = read_default(cursor) if verb == "SET" else None

    def change(scope: TransactionScope, schema: TableSchema) -> TableSchema:
        column = column_of(call, schema, name, at)
        default = None if expression is None else _default(call, scope, expression, column)
        return ddl.alter_column(scope.tx, schema, column.name, default=default)

    return change


def _default(call: Call, scope: TransactionScope, expression: Expression, column: Column) -> Default | None:
    details = default_of(call, scope, expression, column.type)
    if "sequence" in details:
        return Default("sequence", details["sequence"])
    if "default_sql" in details:
        return Default("expression", details["default_sql"])
    value = details["default"]
    if value is NO_DEFAULT:
        return None
    return Default("value", Converter.of(column.type, column.name).to_physical(value))


def _read_type(call: Call, cursor: TokenCursor, name: str, at: int) -> Change:
    """A lossless widening touches no rows; for anything else DuckDB casts the values, or computes them anew."""
    type_at_offset = cursor.token.start
    kind, values = type_at(call.session.backend, cursor)
    if values:
        raise error_at(
            call.text, type_at_offset, "a column does not become an ENUM", hint="add a CHECK instead"
        )
    if cursor.accept("COLLATE"):
        cursor.refuse("USING", "the end of the statement")
    using: Expression | None = None
    if cursor.accept("USING"):
        start = cursor.token.start
        using = Expression(cursor.until(","), start)

    def change(scope: TransactionScope, schema: TableSchema) -> TableSchema:
        column = column_of(call, schema, name, at)
        text = _using(call, scope, schema, column, kind, using)
        recast: Default | None = None
        if text is not None and column.default is not None and column.default.kind != "sequence":
            recast = _recast(call, column, column.default, kind, type_at_offset)
            schema = ddl.alter_column(scope.tx, schema, column.name, default=None)
        try:
            schema = ddl.retype_column(scope.tx, schema, column.name, kind, using=text)
        except QueryError as error:
            raise error_at(call.text, type_at_offset, error.message, hint=error.hint) from error
        if recast is not None:
            schema = ddl.alter_column(scope.tx, schema, column.name, default=recast)
        return schema

    return change


def _using(
    call: Call,
    scope: TransactionScope,
    schema: TableSchema,
    column: Column,
    kind: pa.DataType,
    using: Expression | None,
) -> str | None:
    """The expression that gives the new values, cast as DuckDB does; None where every old value is a new one."""
    source, wanted = physical_type(column.type), physical_type(kind)
    if using is None and (source == wanted or can_widen(source, wanted)):
        return None
    text = quoted(column.name)
    if using is not None:
        text = without_bare_functions(using.text)
        evaluated_type(call, scope, Expression(text, using.at), schema.arrow_schema)
    return f"CAST(({text}\n) AS {duckdb_type(call.session.backend, kind)})"


def _recast(call: Call, column: Column, default: Default, kind: pa.DataType, at: int) -> Default:
    """A default for the column's new type, cast as DuckDB does."""
    backend = call.session.backend
    target = duckdb_type(backend, kind)
    if default.kind == "expression":
        return Default("expression", f"CAST({default.value} AS {target})")
    physical = physical_scalar(default.value, physical_type(column.type))
    old = readable(pa.table({"x": to_logical(pa.repeat(physical, 1), column.type)}))
    with backend.registered({"kept": old}) as connection:
        try:
            found = exported(connection.sql(f"SELECT CAST(x AS {target}) AS x FROM kept"))
        except Exception as error:
            said = query_error(error, "", []).message.split("\n")[0]
            message = f"the default of column {column.name!r} does not become {target}: {said}"
            raise error_at(call.text, at, message, hint="drop the default first") from error
    return Default("value", Converter.of(kind, column.name).to_physical(found.column(0)[0].as_py()))
