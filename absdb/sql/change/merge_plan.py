"""MERGE INTO as it is written: target, source, the condition that joins them, and what happens to whom.

    [WITH …] MERGE INTO t [AS a] USING source ON … | USING (a, b)
        WHEN MATCHED | NOT MATCHED [BY TARGET] | NOT MATCHED BY SOURCE [AND …] THEN
            UPDATE [SET a = … | SET * | BY NAME | BY POSITION]
            INSERT [(a, b) VALUES (…) | VALUES (…) | DEFAULT VALUES | [BY NAME | BY POSITION] [*]]
            DELETE | DO NOTHING | ERROR [message]
        [RETURNING …]

Read once per text and kept. Called by merge_into.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from absdb.sql.change.assignments import Assignment, expression, read_assignments
from absdb.sql.change.insert_plan import Cell, column_names, read_row
from absdb.sql.change.join_source import Source, read_source
from absdb.sql.change.returning import read_returning
from absdb.sql.change.target import TargetRef, begun, read_target
from absdb.sql.text.assembly import Span
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.parsed import Statement
from absdb.sql.text.source import error_at
from absdb.sql.text.time_travel import matching

MATCHED = "MATCHED"
BY_TARGET = "NOT MATCHED"
BY_SOURCE = "NOT MATCHED BY SOURCE"
_ALLOWED = {
    MATCHED: ("UPDATE", "DELETE", "INSERT", "DO", "ERROR"),
    BY_TARGET: ("INSERT", "DO", "ERROR"),
    BY_SOURCE: ("UPDATE", "DELETE", "DO", "ERROR"),
}


@dataclass(slots=True)
class Action:
    """One WHEN clause. `way` says where values come from that are not written: "" | "NAME" | "POSITION" | "DEFAULT"."""

    side: str
    condition: Span | None
    verb: str
    at: int
    assignments: list[Assignment] = field(default_factory=list)
    columns: list[tuple[str, int]] | None = None
    cells: list[Cell] | None = None
    way: str = ""
    message: Span | None = None


@dataclass(slots=True)
class MergePlan:
    """A MERGE INTO statement in its parts. Either `on` is there, a condition, or `using`, (a, b) with its brackets."""

    with_clause: Span | None
    target: TargetRef
    source: Source
    on: Span | None
    using: Span | None
    actions: list[Action]
    returning: Span | None
    using_names: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, statement: Statement) -> MergePlan:
        cursor, clause = begun(statement)
        cursor.expect("MERGE", "INTO")
        target = read_target(cursor, ("USING",))
        cursor.expect("USING")
        first = cursor.at
        expression(cursor, ("WHEN", "RETURNING"))
        join = _last_join(cursor, first)
        on = using = None
        if cursor.tokens[join].upper == "ON":
            on = _span(cursor, join + 1, cursor.at)
        else:
            using = _span(cursor, join + 1, cursor.at)
        source = read_source(cursor, first, join)
        actions: list[Action] = []
        while cursor.accept("WHEN"):
            actions.append(_read_action(cursor, actions))
        if not actions:
            cursor.refuse("WHEN")
        returning = read_returning(cursor)
        names = [] if using is None else TokenCursor(statement, join + 1).names()
        return cls(clause, target, source, on, using, actions, returning, names)


def _span(cursor: TokenCursor, first: int, stop: int) -> Span:
    if stop <= first:
        at = cursor.tokens[min(first, len(cursor.tokens) - 1)].start
        raise error_at(cursor.text, at, "expected a condition that joins the two tables")
    return Span(cursor.tokens[first].start, cursor.tokens[stop - 1].stop)


def _last_join(cursor: TokenCursor, first: int) -> int:
    """The token ON or USING that belongs to the statement: the last one, as others join tables of the source."""
    found, at = -1, first
    while at < cursor.at:
        if cursor.tokens[at].upper in ("ON", "USING"):
            found = at
        opens = cursor.tokens[at].upper in ("(", "[", "{")
        at = matching(cursor.text, cursor.tokens, at) + 1 if opens else at + 1
    if found <= first:
        cursor.refuse("ON", "USING")
    return found


def _read_action(cursor: TokenCursor, before: Sequence[Action]) -> Action:
    at = cursor.token.start
    side = MATCHED
    if cursor.accept("NOT"):
        cursor.expect("MATCHED")
        side = BY_TARGET
        if cursor.accept("BY") and cursor.expect_one(("SOURCE", "TARGET")) == "SOURCE":
            side = BY_SOURCE
    else:
        cursor.expect("MATCHED")
    if any(each.side == side and each.condition is None for each in before):
        raise error_at(cursor.text, at, f"this is never reached: WHEN {side} without a condition came before")
    condition = expression(cursor, ("THEN",)) if cursor.accept("AND") else None
    cursor.expect("THEN")
    at = cursor.token.start
    action = Action(side, condition, cursor.expect_one(_ALLOWED[side]), at)
    if action.verb == "UPDATE":
        _read_update(cursor, action)
    elif action.verb == "INSERT":
        _read_insert(cursor, action)
    elif action.verb == "DO":
        cursor.expect("NOTHING")
    elif action.verb == "ERROR" and not (cursor.done or cursor.token.upper in ("WHEN", "RETURNING")):
        action.message = expression(cursor, ("WHEN", "RETURNING"))
    return action


def _read_update(cursor: TokenCursor, action: Action) -> None:
    if cursor.accept("SET"):
        if cursor.accept("*"):
            action.way = "POSITION"
        else:
            action.assignments = read_assignments(cursor, ("WHEN", "RETURNING"))
    else:
        action.way = cursor.expect_one(("NAME", "POSITION")) if cursor.accept("BY") else "POSITION"


def _read_insert(cursor: TokenCursor, action: Action) -> None:
    if cursor.accept("DEFAULT", "VALUES"):
        action.way = "DEFAULT"
        return
    if cursor.ahead("("):
        action.columns = column_names(cursor)
        if not cursor.ahead("VALUES"):
            cursor.refuse("VALUES")
    if cursor.accept("VALUES"):
        action.cells = read_row(cursor)
        return
    action.way = cursor.expect_one(("NAME", "POSITION")) if cursor.accept("BY") else "POSITION"
    cursor.accept("*")
