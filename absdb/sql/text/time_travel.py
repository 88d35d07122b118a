"""Points in time behind a table's name, found in the tokens, since DuckDB's parser has no place for them.

    orders AT (LSN => '0/123')              AT (TIMESTAMP => now() - INTERVAL 1 HOUR)
    orders AT (SNAPSHOT => 'before')        AT (VERSION => …): an LSN, or the name of a snapshot
    orders FOR SYSTEM_TIME AS OF TIMESTAMP '2026-04-04 14:05'
    orders FOR VERSION AS OF '0/123'        (the alias may stand before or behind)

Each such reference is replaced by a name of its own, which DuckDB's parser reads as a table, and which rewrite.py
replaces once more. Called by rewrite.py, and by statements that end in AS OF or TO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from absdb.sql.text.edits import Edit
from absdb.sql.text.source import error_at
from absdb.sql.text.tokens import Kind, Token, quoted

UNITS = ("LSN", "TIMESTAMP", "SNAPSHOT", "VERSION")
_NO_ALIAS = {
    "FROM",
    "JOIN",
    "INTO",
    "UPDATE",
    "TABLE",
    "USING",
    "ONLY",
    "LATERAL",
    "DESCRIBE",
    "SUMMARIZE",
    "PIVOT",
}


@dataclass(frozen=True, slots=True)
class When:
    """A point as it was written: the unit, and the expression as a place in the text."""

    unit: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class TravelRef:
    """A table at a point: its name's parts, and what of the text it takes the place of."""

    path: tuple[str, ...]
    when: When
    start: int
    stop: int
    alias: str


def travel_refs(text: str, tokens: Sequence[Token]) -> list[TravelRef]:
    """Every reference with a point in time, in the order of the text."""
    found = []
    for at, token in enumerate(tokens):
        if token.upper == "AT" and tokens[at + 1].upper == "(" and tokens[at + 3].upper == "=>":
            unit = tokens[at + 2]
            if unit.upper not in UNITS:
                raise error_at(
                    text, unit.start, f"{unit.value} is no kind of point", hint=f"one of {', '.join(UNITS)}"
                )
            close = matching(text, tokens, at + 1)
            when = When(unit.upper, tokens[at + 4].start, tokens[close - 1].stop)
            found.append(_ref(text, tokens, at, when, tokens[close].stop))
        elif token.upper == "FOR" and [t.upper for t in tokens[at + 2 : at + 4]] == ["AS", "OF"]:
            unit = tokens[at + 1]
            if unit.upper not in ("SYSTEM_TIME", "VERSION"):
                continue
            default = "TIMESTAMP" if unit.upper == "SYSTEM_TIME" else "VERSION"
            when, end = point_at(text, tokens, at + 4, default)
            found.append(_ref(text, tokens, at, when, tokens[end - 1].stop))
    return found


def placeholder(number: int) -> str:
    """The name that stands for a reference until it is resolved."""
    return f"absdb point {number}"


def travel_edits(refs: Sequence[TravelRef]) -> list[Edit]:
    """The replacements that make DuckDB's parser read the references as plain tables."""
    edits = []
    for number, ref in enumerate(refs):
        alias = f" AS {quoted(ref.alias)}" if ref.alias else ""
        edits.append(Edit(ref.start, ref.stop, quoted(placeholder(number)) + alias))
    return edits


def point_at(text: str, tokens: Sequence[Token], at: int, default: str) -> tuple[When, int]:
    """`[LSN|TIMESTAMP|SNAPSHOT|VERSION] expression` from token `at` on; (the point, the token behind it).

    The expression is a literal, a parameter, a call or one in parentheses, perhaps with a cast, and perhaps
    with intervals added or taken away.
    """
    unit = default
    if tokens[at].upper in UNITS and tokens[at + 1].upper not in ("(", ".", "::"):
        unit = tokens[at].upper
        at += 1
    start = tokens[at].start
    at = _primary(text, tokens, at)
    while tokens[at].upper in ("+", "-"):
        at = _primary(text, tokens, at + 1)
    return When(unit, start, tokens[at - 1].stop), at


def _primary(text: str, tokens: Sequence[Token], at: int) -> int:
    token = tokens[at]
    if token.upper == "(":
        at = matching(text, tokens, at) + 1
    elif token.upper == "INTERVAL":
        at += 2 if tokens[at + 1].upper != "(" else matching(text, tokens, at + 1) - at + 1
        at += tokens[at].kind is Kind.WORD
    elif token.upper in ("TIMESTAMP", "TIMESTAMPTZ", "DATE") and tokens[at + 1].kind is Kind.STRING:
        at += 2
    elif token.is_name or token.kind in (Kind.STRING, Kind.NUMBER, Kind.PARAMETER):
        at += 1
        if tokens[at].upper == "(":
            at = matching(text, tokens, at) + 1
    else:
        raise error_at(
            text, token.start, "a point in time is expected here", hint="such as TIMESTAMP '2026-04-04 14:05'"
        )
    while tokens[at].upper == "::":
        at += 2
    return at


def point_arguments(unit: str, value: Any) -> dict[str, Any]:
    """What a point in SQL is in the words of `resolve`."""
    if unit == "TIMESTAMP":
        return {"time": value}
    if unit == "SNAPSHOT":
        return {"snapshot": str(value)}
    if unit == "VERSION" and isinstance(value, str) and "/" not in value and not value.isdecimal():
        return {"snapshot": value}
    return {"lsn": value}


def matching(text: str, tokens: Sequence[Token], at: int) -> int:
    """The token that closes the bracket at `at`."""
    pairs, depth = {"(": ")", "[": "]", "{": "}"}, 0
    for number in range(at, len(tokens)):
        symbol = tokens[number].upper
        depth += (symbol in pairs) - (symbol in pairs.values())
        if depth == 0:
            return number
    raise error_at(text, tokens[at].start, f"{tokens[at].value!r} is not closed")


def _ref(text: str, tokens: Sequence[Token], at: int, when: When, stop: int) -> TravelRef:
    """The reference whose point begins at token `at`: its name and alias stand before it."""
    end = at - 1
    alias = ""
    before = tokens[end - 1] if end > 0 else None
    if before is not None and tokens[end].is_name and before.upper != ".":
        if before.upper == "AS":
            alias, end = tokens[end].value, end - 2
        elif before.is_name and before.upper not in _NO_ALIAS:
            alias, end = tokens[end].value, end - 1
    start = end
    while start >= 2 and tokens[start - 1].upper == "." and tokens[start - 2].is_name:
        start -= 2
    if end < 0 or not tokens[end].is_name:
        raise error_at(text, tokens[at].start, "a point in time belongs behind the name of a table")
    path = tuple(token.value for token in tokens[start : end + 1 : 2])
    return TravelRef(path, when, tokens[start].start, stop, alias)
