"""SET lists: `a = b + 1, (c, d) = (1, DEFAULT)`, as written and as columns of a query.

Each value is cast to its column's type, as DuckDB does for its own tables. Called by update.py, on_conflict.py
and merge_into.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from absdb.catalog.schema import Column, TableSchema
from absdb.sql.change.target import given_twice, types_of, written_column
from absdb.sql.text.assembly import Piece, Span
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at
from absdb.sql.text.time_travel import matching
from absdb.sql.text.tokens import quoted

if TYPE_CHECKING:
    from absdb.sql.session import Call


@dataclass(frozen=True, slots=True)
class Assignment:
    """`name = value`; without a value it is DEFAULT. `at` is the place of the name."""

    name: str
    at: int
    value: Span | None


def read_assignments(cursor: TokenCursor, following: Sequence[str]) -> list[Assignment]:
    """A SET list up to one of the keywords `following`, or to the end."""
    found = _read_one(cursor, following)
    while cursor.accept(","):
        if cursor.done or cursor.token.upper in following:
            break
        found += _read_one(cursor, following)
    return found


def _read_one(cursor: TokenCursor, following: Sequence[str]) -> list[Assignment]:
    if cursor.ahead("("):
        return _read_several(cursor, following)
    at = cursor.token.start
    name = cursor.name("a column")
    if cursor.ahead("."):
        raise error_at(cursor.text, at, "a column behind SET is named without its table")
    cursor.expect("=")
    return [Assignment(name, at, expression(cursor, (",", *following)))]


def _read_several(cursor: TokenCursor, following: Sequence[str]) -> list[Assignment]:
    cursor.expect("(")
    names: list[tuple[str, int]] = []
    while True:
        at = cursor.token.start
        names.append((cursor.name("a column"), at))
        if not cursor.accept(","):
            break
    cursor.expect(")")
    cursor.expect("=")
    start = cursor.token.start
    cursor.accept("ROW")
    if not cursor.ahead("("):
        cursor.refuse("(")
    close = matching(cursor.text, cursor.tokens, cursor.at)
    cursor.expect("(")
    values: list[Span | None] = []
    while cursor.at < close:
        values.append(expression(cursor, (",", ")")))
        if not cursor.accept(","):
            break
    cursor.expect(")")
    if len(values) != len(names):
        raise error_at(cursor.text, start, f"{len(names)} columns are given {len(values)} values")
    if not cursor.done and cursor.token.upper not in (",", *following):
        cursor.refuse(",", *following)
    return [Assignment(name, at, value) for (name, at), value in zip(names, values, strict=True)]


def expression(cursor: TokenCursor, following: Sequence[str]) -> Span | None:
    """An expression up to one of the words `following` outside brackets; None for DEFAULT."""
    start, cases = cursor.at, 0
    while not cursor.done and (cases or cursor.token.upper not in following or _inside(cursor)):
        if cursor.token.upper in (")", "]", "}"):
            break
        cases += (cursor.token.upper == "CASE") - (cursor.token.upper == "END")
        opens = cursor.token.upper in ("(", "[", "{")
        cursor.at = matching(cursor.text, cursor.tokens, cursor.at) + 1 if opens else cursor.at + 1
    taken = cursor.tokens[start : cursor.at]
    if not taken:
        cursor.refuse("an expression")
    if len(taken) == 1 and taken[0].upper == "DEFAULT":
        return None
    return Span(taken[0].start, taken[-1].stop)


def _inside(cursor: TokenCursor) -> bool:
    """Whether the word here belongs to an expression: `a IS DISTINCT FROM b`, or a name behind a point."""
    before = cursor.tokens[cursor.at - 1].upper if cursor.at else ""
    return before == "." or (cursor.token.upper == "FROM" and before == "DISTINCT")


def assigned_columns(call: Call, schema: TableSchema, assignments: Sequence[Assignment]) -> list[Column]:
    """The columns that are given values, in the order of the list; QueryError for one given twice."""
    found: list[Column] = []
    for each in assignments:
        column = written_column(call, schema, each.name, each.at)
        if column in found:
            given_twice(call, each.at, column.name)
        found.append(column)
    return found


def casts(
    call: Call, schema: TableSchema, columns: Sequence[Column], assignments: Sequence[Assignment]
) -> list[Piece]:
    """`CAST((value) AS type) AS "column", …` for a SELECT list; DEFAULT is NULL here."""
    types = types_of(call.session.backend, schema)
    pieces: list[Piece] = []
    for column, each in zip(columns, assignments, strict=True):
        pieces.append(", " if pieces else "")
        pieces += [*cast_of(each.value, types[column.name]), f" AS {quoted(column.name)}"]
    return pieces


def cast_of(value: Piece | None, kind: str) -> list[Piece]:
    """One value with its column's type."""
    return [f"CAST(NULL AS {kind})"] if value is None else ["CAST((", value, f"\n) AS {kind})"]
