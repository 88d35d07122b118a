"""CREATE TABLE with columns and constraints; with AS it is create_table_as.py's.

    CREATE [OR REPLACE] TABLE [IF NOT EXISTS] name (column | constraint, …) [WITH (compression = 'zstd')]

A primary key is the table's key: rows are kept in its order, and found, diffed and merged by it. OR REPLACE makes
a new table of the same name; what was there is still there at earlier points. Called by dispatch.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine import ddl
from absdb.engine.constraint_definition import add_constraint
from absdb.sql.define import create_table_as
from absdb.sql.define.column_building import (
    column_definition,
    column_names,
    constraint_definition,
    enum_checks,
    try_checks,
)
from absdb.sql.define.column_clauses import ColumnClause, ConstraintClause, read_element
from absdb.sql.define.ddl_target import Creation, make_room, read_creation
from absdb.sql.define.identity import start_identity
from absdb.sql.define.table_options import read_table_options
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at
from absdb.sql.text.time_travel import matching
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call


@dataclass
class _Described:
    """What stands in the brackets, and behind them."""

    columns: list[ColumnClause] = field(default_factory=list)
    constraints: list[ConstraintClause] = field(default_factory=list)
    compression: str | None = None

    def all_constraints(self) -> list[ConstraintClause]:
        return [*(each for column in self.columns for each in column.constraints), *self.constraints]


def execute(call: Call) -> Result:
    """Make a table."""
    cursor = TokenCursor(call.statement)
    creation = read_creation(call, cursor, "TABLE")
    if _has_query(cursor):
        return create_table_as.execute(call, cursor, creation)
    described = _described(call, cursor)
    creation.target.write(lambda scope: _create(call, scope, creation, described))
    return Result(statement="CREATE TABLE")


def _has_query(cursor: TokenCursor) -> bool:
    """Whether the rest is `[(names)] [WITH (…)] AS query`."""
    at = cursor.at
    if cursor.token.upper == "(":
        at = matching(cursor.text, cursor.tokens, at) + 1
    if cursor.tokens[at].upper == "WITH" and cursor.tokens[at + 1].upper == "(":
        at = matching(cursor.text, cursor.tokens, at + 1) + 1
    return cursor.tokens[at].upper == "AS"


def _described(call: Call, cursor: TokenCursor) -> _Described:
    found = _Described()
    backend = call.session.backend
    cursor.expect("(")
    while True:
        element = read_element(backend, cursor)
        (found.columns if isinstance(element, ColumnClause) else found.constraints).append(element)  # type: ignore[arg-type]  # the list fits the element
        if not cursor.accept(","):
            break
    if not cursor.accept(")"):
        cursor.refuse(",", ")")
    found.compression = read_table_options(cursor)
    cursor.end()
    return found


def _create(call: Call, scope: TransactionScope, creation: Creation, described: _Described) -> None:
    space = make_room(scope, creation)
    if space is None:
        return
    name = creation.target.name
    _check_columns(call, described)
    names = [column.name for column in described.columns]
    constraints = described.all_constraints()
    keys = [clause for clause in constraints if clause.kind == "primary key"]
    if len(keys) > 1:
        raise error_at(call.text, keys[1].at, f"table {name!r} has two primary keys")
    key = column_names(call, keys[0].at, keys[0].columns, names, name) if keys else []
    for column in described.columns:
        column.nullable = column.nullable and column.name not in key
    typed = pa.schema([(column.name, column.type) for column in described.columns if column.type is not None])
    definitions = [column_definition(call, scope, column, typed) for column in described.columns]
    made = ddl.create_table(
        scope.tx, name, definitions, key=key, namespace=space, compression=described.compression
    )
    start_identity(scope, made, described.columns)
    add_constraints(
        call, scope, made, [each for each in constraints if each.kind != "primary key"], described.columns
    )


def _check_columns(call: Call, described: _Described) -> None:
    if not described.columns:
        raise error_at(call.text, described.constraints[0].at, "a table needs at least one column")
    seen: dict[str, str] = {}
    for column in described.columns:
        if column.name.casefold() in seen:
            raise error_at(call.text, column.at, f"there are two columns {column.name!r}")
        seen[column.name.casefold()] = column.name


def add_constraints(
    call: Call,
    scope: TransactionScope,
    made: TableSchema,
    clauses: list[ConstraintClause],
    columns: list[ColumnClause],
) -> TableSchema:
    """Add the constraints that clauses describe, and those that ENUM columns imply."""
    try_checks(call, scope, made, clauses)
    names = [column.name for column in made.columns]
    for clause in clauses:
        made = add_constraint(
            scope.tx, made, constraint_definition(call, scope, clause, names, made.full_name)
        )
    for check in enum_checks(columns):
        made = add_constraint(scope.tx, made, check)
    return made
