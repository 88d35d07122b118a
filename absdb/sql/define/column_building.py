"""Column and constraint clauses as the engine's definitions, with defaults computed and expressions tried out.

    DEFAULT 1, 'x', DATE '2026-01-01', [1, 2]   a value: rows that were there before an ADD COLUMN read as it
    DEFAULT now(), 1 + random()                 an expression, evaluated for every new row
    DEFAULT nextval('s')                        the next value of sequence s, which may serve several columns

Expressions are run over no rows once, so that a function that does not exist is refused where it is written and
not at the first insert. Called by CREATE TABLE and ALTER TABLE, inside their transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.catalog.schema import Check, TableSchema
from absdb.engine import constraint_definition as definitions
from absdb.engine.constraint_definition import ConstraintDefinition
from absdb.engine.definition import NO_DEFAULT, ColumnDefinition
from absdb.errors import AbsdbError, NotFoundError, QueryError, UnknownNameError
from absdb.sql.define.column_clauses import ColumnClause, ConstraintClause, Expression
from absdb.sql.define.constants import constant_value
from absdb.sql.define.ddl_target import Target
from absdb.sql.duck.types import duckdb_type
from absdb.sql.query.names import alike
from absdb.sql.text.edits import Edit, Edited
from absdb.sql.text.source import error_at
from absdb.sql.text.suggestion import suggestion
from absdb.sql.text.tokens import Kind, literal, quoted, tokenize
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call

_BARE_FUNCTIONS = {
    "CURRENT_TIMESTAMP": "get_current_timestamp",
    "CURRENT_DATE": "current_date",
    "CURRENT_TIME": "get_current_time",
    "LOCALTIMESTAMP": "current_localtimestamp",
    "LOCALTIME": "current_localtime",
}


def column_definition(
    call: Call, scope: TransactionScope, clause: ColumnClause, beside: pa.Schema
) -> ColumnDefinition:
    """The definition of a column; `beside` has the other columns, which a generated one may read."""
    kind = clause.type
    details: dict[str, Any] = {"nullable": clause.nullable}
    if clause.generated is not None:
        given = evaluated_type(call, scope, clause.generated, beside)
        kind = given if kind is None else kind
        details["generated"] = _as_type(call, clause.generated.text, given, kind)
    assert kind is not None, "a column that is not generated has a type"
    if clause.default is not None:
        details |= default_of(call, scope, clause.default, kind)
    if clause.identity is not None:
        details |= {"identity": True, "nullable": False}
    try:
        return ColumnDefinition(clause.name, kind, **details)
    except AbsdbError as error:
        raise error_at(call.text, clause.at, error.message, hint=error.hint) from error


def evaluated_type(
    call: Call, scope: TransactionScope, expression: Expression, beside: pa.Schema
) -> pa.DataType:
    """The type of an expression over columns. QueryError points at one that cannot be evaluated."""
    evaluator = scope.engine.evaluator
    try:
        names = {name.partition(".")[0].casefold() for name in evaluator.columns_of(expression.text)}
        read = [field for field in beside if field.name.casefold() in names]
        rows = pa.schema(read).empty_table() if read else pa.table({"": pa.nulls(0, pa.int8())})
        return evaluator.evaluate([expression.text], rows)[0].type
    except QueryError as error:
        raise error_at(call.text, expression.at, error.message, hint=error.hint) from error


def default_of(
    call: Call, scope: TransactionScope, expression: Expression, kind: pa.DataType
) -> dict[str, Any]:
    """What a ColumnDefinition has to say of a default."""
    sequence = _sequence_of(call, scope, expression)
    if sequence is not None:
        if not pa.types.is_integer(kind):
            raise error_at(
                call.text, expression.at, "nextval() gives integers, which the column does not hold"
            )
        return {"sequence": sequence}
    is_constant, value = constant_value(call, expression, kind)
    if is_constant:
        return {"default": NO_DEFAULT if value is None else value}
    called = Expression(without_bare_functions(expression.text), expression.at)
    given = evaluated_type(call, scope, called, pa.schema([]))
    return {"default_sql": _as_type(call, called.text, given, kind)}


def without_bare_functions(text: str) -> str:
    """The functions of the SQL standard that are called without brackets, called with them: they are no columns."""
    edits = [
        Edit(token.start, token.stop, f"{_BARE_FUNCTIONS[token.upper]}()")
        for token, following in pairwise(tokenize(text))
        if token.upper in _BARE_FUNCTIONS and following.upper != "("
    ]
    return Edited(text, edits).text


def _as_type(call: Call, text: str, given: pa.DataType, kind: pa.DataType) -> str:
    """The expression with a cast to the column's type around it, if it gives another one, as DuckDB assigns it."""
    exported_so = isinstance(kind, pa.UuidType) and pa.types.is_string(given)
    if given.equals(kind) or pa.types.is_null(given) or exported_so:
        return text
    return f"CAST({text} AS {duckdb_type(call.session.backend, kind)})"


def _sequence_of(call: Call, scope: TransactionScope, expression: Expression) -> int | None:
    """The sequence of `nextval('s')`; an error for nextval in the midst of something else."""
    tokens = tokenize(expression.text)
    at = next((n for n, token in enumerate(tokens) if token.upper in ("NEXTVAL", "CURRVAL")), None)
    if at is None or tokens[at + 1].upper != "(":
        return None
    place = expression.at + tokens[at].start
    text = tokens[at + 2]
    if at or len(tokens) != 5 or text.kind is not Kind.STRING or tokens[at].upper == "CURRVAL":
        raise error_at(
            call.text,
            place,
            "a default takes the next value of a sequence as it is",
            hint="write DEFAULT nextval('s')",
        )
    path = tuple(token.value for token in tokenize(text.value) if token.is_name)
    target = Target(call, path, expression.at + text.start)
    with target.placing():
        if target.info.id != scope.database:
            raise NotFoundError(f"sequence {text.value!r} is one of another database", hint="create one here")
        return int(target.require_entity(scope, "sequence")["id"])


def enum_checks(columns: Iterable[ColumnClause]) -> list[definitions.Check]:
    """What holds for columns that are declared as ENUM."""
    return [
        definitions.Check(f"{quoted(column.name)} IN ({', '.join(map(literal, column.values))})")
        for column in columns
        if column.values
    ]


def constraint_definition(
    call: Call, scope: TransactionScope, clause: ConstraintClause, names: Sequence[str], table: str
) -> ConstraintDefinition:
    """A constraint other than a primary key of a table that has columns of these names."""
    if clause.kind == "check":
        assert clause.expression is not None, "CHECK has an expression"
        return definitions.Check(clause.expression.text, name=clause.name)
    columns = column_names(call, clause.at, clause.columns, names, table)
    if clause.kind == "unique":
        return definitions.Unique(*columns, name=clause.name)
    target = Target(call, clause.table, clause.at)
    with target.placing():
        if target.info.id != scope.database:
            raise NotFoundError(f"a foreign key cannot refer to table {target.label!r} of another database")
        other = target.table(scope).schema
    found = column_names(call, clause.at, clause.references, [c.name for c in other.columns], other.full_name)
    return definitions.ForeignKey(columns, other.full_name, found, name=clause.name)


def column_names(call: Call, at: int, written: Sequence[str], names: Sequence[str], table: str) -> list[str]:
    """The names of columns as the table has them, whatever their case in the statement."""
    known = {name: name for name in names}
    found = []
    for name in written:
        column = alike(known, name)
        if column is None:
            raise error_at(
                call.text,
                at,
                f"table {table!r} has no column {name!r}",
                hint=suggestion(name, names, "its columns"),
                kind=UnknownNameError,
            )
        found.append(column)
    return found


def try_checks(
    call: Call, scope: TransactionScope, schema: TableSchema, clauses: Sequence[ConstraintClause]
) -> None:
    """Run the conditions of CHECK clauses over no rows, so that what is wrong in them shows now."""
    for clause in clauses:
        if clause.expression is not None:
            found = evaluated_type(call, scope, clause.expression, schema.arrow_schema)
            if (
                not pa.types.is_boolean(found)
                and not pa.types.is_integer(found)
                and not pa.types.is_null(found)
            ):
                raise error_at(
                    call.text,
                    clause.expression.at,
                    f"a CHECK is a condition, but this is {found}",
                    hint="such as price > 0",
                )


def checks_of(schema: TableSchema) -> list[Check]:
    """The CHECK constraints of a table."""
    return [constraint for constraint in schema.constraints if isinstance(constraint, Check)]
