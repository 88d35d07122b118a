"""INSERT as it is written: target, columns, where the rows come from, what happens on a conflict.

    [WITH …] INSERT [OR REPLACE | OR IGNORE] INTO t [AS a] [BY NAME | BY POSITION] [(a, b)]
        DEFAULT VALUES | VALUES (1, DEFAULT), … | query
        [ON CONFLICT [(a, b)] DO NOTHING | DO UPDATE SET a = … [WHERE …]] [RETURNING …]

Read once per text and kept. Called by insert.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from absdb.sql.change.assignments import Assignment, read_assignments
from absdb.sql.change.returning import read_returning
from absdb.sql.change.target import TargetRef, begun, read_target
from absdb.sql.text.assembly import Span
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.parsed import Statement
from absdb.sql.text.source import error_at
from absdb.sql.text.time_travel import matching
from absdb.sql.text.tokens import Kind, Token

_AFTER_TARGET = (
    "VALUES",
    "SELECT",
    "DEFAULT",
    "WITH",
    "FROM",
    "TABLE",
    "BY",
    "ON",
    "RETURNING",
    "PIVOT",
    "UNPIVOT",
)
_DATED = ("DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ")
_BEHIND = (",", ")")
_SINGLE = (Kind.NUMBER, Kind.STRING, Kind.PARAMETER, Kind.WORD)
_CONSTANTS = {"NULL": None, "TRUE": True, "FALSE": False}
_QUERY = ("SELECT", "WITH", "FROM", "VALUES", "TABLE", "(", "PIVOT", "UNPIVOT")


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of VALUES. `kind`: "default", "parameter" (`value` is its name), "literal", "constant" (a number or
    date that only DuckDB knows the value of), "" for what may name something."""

    span: Span
    kind: str
    value: Any = None


@dataclass(slots=True)
class Conflict:
    """ON CONFLICT: the columns named, and the assignments; none of them means DO NOTHING."""

    columns: list[tuple[str, int]]
    assignments: list[Assignment] = field(default_factory=list)
    condition: Span | None = None
    replace: bool = False
    at: int = 0


@dataclass(slots=True)
class InsertPlan:
    """An INSERT statement in its parts. Of `rows`, `query` and neither (DEFAULT VALUES), one is there."""

    target: TargetRef
    with_clause: Span | None
    by_name: bool = False
    columns: list[tuple[str, int]] | None = None
    rows: list[list[Cell]] | None = None
    query: Span | None = None
    conflict: Conflict | None = None
    returning: Span | None = None

    @property
    def plain(self) -> bool:
        """Whether all values are literals, parameters and defaults, and nothing is asked back."""
        return (
            self.rows is not None and self.conflict is None and self.returning is None and self._only_values
        )

    constant: bool = False
    """Whether there is nothing in VALUES that could be the name of a table or function of ours."""
    _only_values: bool = False

    @classmethod
    def read(cls, statement: Statement) -> InsertPlan:
        cursor, with_clause = begun(statement)
        at = cursor.token.start
        cursor.expect("INSERT")
        action = cursor.expect_one(("REPLACE", "IGNORE")) if cursor.accept("OR") else ""
        cursor.expect("INTO")
        plan = cls(read_target(cursor, _AFTER_TARGET), with_clause)
        if cursor.accept("BY"):
            plan.by_name = cursor.expect_one(("NAME", "POSITION")) == "NAME"
        if cursor.ahead("(") and cursor.tokens[cursor.at + 1].upper not in _QUERY:
            plan.columns = column_names(cursor)
        plan._read_rows(cursor)
        if plan.by_name and (plan.query is None or plan.columns is not None):
            raise error_at(
                statement.text,
                at,
                "BY NAME goes with a query and without a list of columns",
                hint="name its columns",
            )
        if cursor.ahead("ON", "CONFLICT"):
            if action:
                raise error_at(
                    statement.text, cursor.token.start, f"ON CONFLICT does not go with OR {action}"
                )
            plan.conflict = _read_conflict(cursor)
        elif action:
            plan.conflict = Conflict([], replace=action == "REPLACE", at=at)
        plan.returning = read_returning(cursor)
        return plan

    def _read_rows(self, cursor: TokenCursor) -> None:
        if cursor.accept("DEFAULT", "VALUES"):
            return
        start = cursor.at
        if cursor.accept("VALUES"):
            rows = [read_row(cursor)]
            while cursor.accept(",") and cursor.ahead("("):
                rows.append(read_row(cursor))
            if cursor.done or cursor.token.upper in ("ON", "RETURNING"):
                uneven = next((row for row in rows if len(row) != len(rows[0])), None)
                if uneven is not None:
                    message = f"this row has {len(uneven)} values, and the first one {len(rows[0])}"
                    raise error_at(cursor.text, uneven[0].span.start, message)
                self.rows = rows
                kinds = {cell.kind for row in rows for cell in row}
                self.constant = "" not in kinds
                self._only_values = self.constant and "constant" not in kinds
                return
            cursor.at = start
        if cursor.token.upper not in _QUERY:
            cursor.refuse("VALUES", "SELECT", "DEFAULT VALUES")
        while not (cursor.done or cursor.ahead("RETURNING") or _at_conflict(cursor)):
            opens = cursor.token.upper in ("(", "[", "{")
            cursor.at = matching(cursor.text, cursor.tokens, cursor.at) + 1 if opens else cursor.at + 1
        self.query = Span(cursor.tokens[start].start, cursor.tokens[cursor.at - 1].stop)


def column_names(cursor: TokenCursor) -> list[tuple[str, int]]:
    """(a, b, c) with the place of each name."""
    cursor.expect("(")
    found = [_placed_name(cursor)]
    while cursor.accept(","):
        found.append(_placed_name(cursor))
    cursor.expect(")")
    return found


def _placed_name(cursor: TokenCursor) -> tuple[str, int]:
    at = cursor.token.start
    return cursor.name("a column"), at


def _at_conflict(cursor: TokenCursor) -> bool:
    following = cursor.tokens[min(cursor.at + 2, len(cursor.tokens) - 1)].upper
    return cursor.ahead("ON", "CONFLICT") and following in ("(", "DO", "ON", "WHERE")


def read_row(cursor: TokenCursor) -> list[Cell]:
    """(1, DEFAULT, x)"""
    cursor.expect("(")
    cells = [read_cell(cursor)]
    tokens = cursor.tokens
    while tokens[cursor.at].upper == ",":
        cursor.at += 1
        if tokens[cursor.at].upper == ")":
            break
        cells.append(read_cell(cursor))
    cursor.expect(")")
    return cells


def read_cell(cursor: TokenCursor) -> Cell:
    """One value up to the comma or bracket behind it."""
    only = cursor.token
    if only.kind in _SINGLE and cursor.tokens[cursor.at + 1].upper in _BEHIND:
        cursor.at += 1
        return _read_single(cursor.text, only, Span(only.start, only.stop), 1)
    start = cursor.at
    cursor.until(",", ")")
    taken = cursor.tokens[start : cursor.at]
    if not taken:
        cursor.refuse("a value")
    span = Span(taken[0].start, taken[-1].stop)
    sign = 1
    if len(taken) == 2 and taken[0].upper == "-" and taken[1].kind is Kind.NUMBER:
        sign, taken = -1, taken[1:]
    if len(taken) > 1:
        dated = len(taken) == 2 and taken[0].upper in _DATED and taken[1].kind is Kind.STRING
        return Cell(span, "constant" if dated else "")
    return _read_single(cursor.text, taken[0], span, sign)


def _read_single(text: str, only: Token, span: Span, sign: int) -> Cell:
    """A value of one token, but for its sign."""
    if only.kind is Kind.PARAMETER:
        return Cell(span, "parameter", only.value)
    if only.kind is Kind.STRING and text[only.start] == "'":
        return Cell(span, "literal", only.value)
    if only.kind is Kind.NUMBER and only.value.isdecimal():
        return Cell(span, "literal", sign * int(only.value))
    if only.kind is Kind.NUMBER:
        return Cell(span, "constant")
    if only.upper == "DEFAULT":
        return Cell(span, "default")
    if only.upper in _CONSTANTS:
        return Cell(span, "literal", _CONSTANTS[only.upper])
    return Cell(span, "")


def _read_conflict(cursor: TokenCursor) -> Conflict:
    at = cursor.token.start
    cursor.expect("ON", "CONFLICT")
    if cursor.ahead("ON", "CONSTRAINT"):
        raise error_at(
            cursor.text,
            cursor.token.start,
            "a conflict is named by its columns",
            hint="ON CONFLICT (a, b) DO …",
        )
    conflict = Conflict(column_names(cursor) if cursor.ahead("(") else [], at=at)
    if cursor.ahead("WHERE"):
        raise error_at(
            cursor.text,
            cursor.token.start,
            "there are no conflicts of a part of the rows",
            hint="write the condition behind DO UPDATE SET …",
        )
    cursor.expect("DO")
    if cursor.expect_one(("NOTHING", "UPDATE")) == "UPDATE":
        cursor.expect("SET")
        conflict.assignments = read_assignments(cursor, ("WHERE", "RETURNING"))
        if cursor.accept("WHERE"):
            start = cursor.at
            cursor.until("RETURNING")
            if cursor.at == start:
                cursor.refuse("a condition")
            conflict.condition = Span(cursor.tokens[start].start, cursor.tokens[cursor.at - 1].stop)
    return conflict
