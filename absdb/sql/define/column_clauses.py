"""Columns and constraints as CREATE TABLE and ALTER TABLE write them.

    name type [NOT NULL | NULL] [PRIMARY KEY] [UNIQUE] [CHECK (…)] [DEFAULT …] [REFERENCES table [(column)]]
    name [type] [GENERATED ALWAYS] AS (…) [STORED | VIRTUAL]
    name type GENERATED ALWAYS | BY DEFAULT AS IDENTITY [(START WITH n INCREMENT BY n)]
    [CONSTRAINT name] PRIMARY KEY (…) | UNIQUE (…) | CHECK (…) | FOREIGN KEY (…) REFERENCES table [(…)]

Only reads; column_building.py makes definitions of it. Generated columns are stored whichever word is given.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from absdb.sql.define.sequence_options import SequenceOptions, read_options
from absdb.sql.duck.connection import Backend
from absdb.sql.duck.reserved import refuse_reserved
from absdb.sql.duck.types import type_at
from absdb.sql.query.names import Path
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at
from absdb.sql.text.time_travel import matching

_BEGIN = ("CONSTRAINT", "NOT", "NULL", "PRIMARY", "UNIQUE", "CHECK", "DEFAULT", "REFERENCES")
_WORDS = (*_BEGIN, "GENERATED", "COLLATE", "USING")
_NO_TYPE = {*_WORDS, "AS", ",", ")", ""}
_TABLE_CONSTRAINTS = ("PRIMARY", "UNIQUE", "CHECK", "FOREIGN")


@dataclass(frozen=True, slots=True)
class Expression:
    """A text, and where it begins in the statement."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class ConstraintClause:
    """One constraint: `kind` is primary key, unique, check or foreign key; columns by name, as they are written."""

    kind: str
    at: int
    name: str | None = None
    columns: tuple[str, ...] = ()
    expression: Expression | None = None
    table: Path = ()
    references: tuple[str, ...] = ()


@dataclass(slots=True)
class ColumnClause:
    """One column; a constraint written behind it is one of the table with this column."""

    name: str
    at: int
    type: pa.DataType | None = None
    values: tuple[str, ...] = ()
    """Of an ENUM."""
    nullable: bool = True
    default: Expression | None = None
    generated: Expression | None = None
    identity: SequenceOptions | None = None
    constraints: list[ConstraintClause] = field(default_factory=list)


def read_element(backend: Backend, cursor: TokenCursor) -> ColumnClause | ConstraintClause:
    """A column, or a constraint of the table."""
    if cursor.token.upper == "CONSTRAINT" or begins_constraint(cursor):
        return read_constraint(cursor)
    return read_column(backend, cursor)


def begins_constraint(cursor: TokenCursor) -> bool:
    """Whether a constraint comes next, and no column that is called `check` or `unique`."""
    if cursor.token.upper not in _TABLE_CONSTRAINTS:
        return False
    return cursor.tokens[cursor.at + 1].upper in ("KEY", "(")


def read_constraint(cursor: TokenCursor) -> ConstraintClause:
    """A constraint that stands for itself."""
    name = cursor.name("the name of a constraint") if cursor.accept("CONSTRAINT") else None
    at = cursor.token.start
    kind = cursor.expect_one(_TABLE_CONSTRAINTS)
    if kind == "CHECK":
        return ConstraintClause("check", at, name, expression=_in_brackets(cursor))
    if kind in ("PRIMARY", "FOREIGN"):
        cursor.expect("KEY")
    columns = tuple(cursor.names())
    if kind != "FOREIGN":
        return ConstraintClause("primary key" if kind == "PRIMARY" else "unique", at, name, columns)
    cursor.expect("REFERENCES")
    return _reference(cursor, at, name, columns)


def read_column(backend: Backend, cursor: TokenCursor) -> ColumnClause:
    """A column with its type and what holds for it."""
    column = ColumnClause(cursor.name("the name of a column"), cursor.tokens[cursor.at - 1].start)
    refuse_reserved(backend, cursor, cursor.tokens[cursor.at - 1])
    if cursor.token.upper not in _NO_TYPE:
        column.type, column.values = type_at(backend, cursor)
    while _read_clause(cursor, column):
        pass
    if column.type is None and column.generated is None:
        cursor.refuse("a type")
    return column


def _read_clause(cursor: TokenCursor, column: ColumnClause) -> bool:
    """Read one clause of a column; whether there was one."""
    name = cursor.name("the name of a constraint") if cursor.accept("CONSTRAINT") else None
    at = cursor.token.start
    if cursor.accept("NOT", "NULL"):
        column.nullable = False
    elif cursor.accept("NULL"):
        pass
    elif cursor.accept("PRIMARY", "KEY"):
        column.constraints.append(ConstraintClause("primary key", at, name, (column.name,)))
    elif cursor.accept("UNIQUE"):
        column.constraints.append(ConstraintClause("unique", at, name, (column.name,)))
    elif cursor.accept("CHECK"):
        column.constraints.append(ConstraintClause("check", at, name, expression=_in_brackets(cursor)))
    elif cursor.accept("REFERENCES"):
        column.constraints.append(_reference(cursor, at, name, (column.name,)))
    elif cursor.accept("DEFAULT"):
        column.default = read_default(cursor)
    elif cursor.ahead("GENERATED") or cursor.ahead("AS"):
        _generated(cursor, column)
    elif cursor.accept("USING", "COMPRESSION"):
        raise error_at(
            cursor.text,
            at,
            "compression is one for the table",
            hint="behind the columns: WITH (compression = 'zstd')",
        )
    elif cursor.accept("COLLATE"):
        raise error_at(
            cursor.text,
            at,
            "a column has no collation: keys and constraints compare text byte by byte",
            hint="say COLLATE in the query, as in ORDER BY name COLLATE NOCASE",
        )
    elif name is not None:
        cursor.refuse("NOT NULL", "PRIMARY KEY", "UNIQUE", "CHECK", "REFERENCES")
    else:
        return False
    return True


def read_default(cursor: TokenCursor) -> Expression:
    """The expression behind DEFAULT, up to the next clause."""
    start = cursor.at
    if cursor.done or cursor.token.upper in (",", ")"):
        cursor.refuse("a value")
    if cursor.token.upper in ("(", "[", "{"):
        cursor.at = matching(cursor.text, cursor.tokens, cursor.at) + 1
    else:
        cursor.at += 1
    cursor.until(",", ")", *_WORDS)
    return Expression(cursor.written(start, cursor.at), cursor.tokens[start].start)


def _in_brackets(cursor: TokenCursor) -> Expression:
    at = cursor.token.stop
    return Expression(cursor.brackets(), at)


def _generated(cursor: TokenCursor, column: ColumnClause) -> None:
    """`[GENERATED ALWAYS] AS (…)`, or an identity."""
    at = cursor.token.start
    if cursor.accept("GENERATED") and not cursor.accept("ALWAYS"):
        cursor.expect("BY", "DEFAULT")
    cursor.expect("AS")
    if cursor.accept("IDENTITY"):
        options = SequenceOptions()
        if cursor.accept("("):
            options = read_options(cursor)
            cursor.expect(")")
        column.identity = options
        return
    if cursor.token.upper != "(":
        cursor.refuse("(", "IDENTITY")
    column.generated = _in_brackets(cursor)
    cursor.accept_one(("STORED", "VIRTUAL"))
    if not column.generated.text:
        raise error_at(cursor.text, at, "the expression of a generated column is missing")


def _reference(cursor: TokenCursor, at: int, name: str | None, columns: tuple[str, ...]) -> ConstraintClause:
    """What stands behind REFERENCES."""
    table = cursor.path("the name of a table")
    references = tuple(cursor.names()) if cursor.token.upper == "(" else ()
    while cursor.token.upper == "ON":
        start = cursor.token.start
        cursor.expect("ON")
        cursor.expect_one(("DELETE", "UPDATE"))
        if not cursor.accept("NO", "ACTION") and not cursor.accept("RESTRICT"):
            raise error_at(
                cursor.text,
                start,
                "a foreign key refuses changes that would break it, and makes no changes itself",
                hint="leave the clause out, and delete or update the referring rows in the same transaction",
            )
    return ConstraintClause("foreign key", at, name, columns, table=table, references=references)
