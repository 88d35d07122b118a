"""Where a function call stands in the text of a query, and where its arguments do. Called by functions.py."""

from __future__ import annotations

from absdb.sql.text.parsed import Query
from absdb.sql.text.source import error_at
from absdb.sql.text.syntax import Call
from absdb.sql.text.time_travel import matching


def arguments_of(query: Query, call: Call) -> tuple[int, int, list[tuple[str, int, int]]]:
    """(start, stop, (name or "", start, stop) of each argument) of a call."""
    tokens = query.tokens
    first = query.token_of(call.path, call.at)
    assert first is not None, "the parser found the call in this text"
    opening = first + 2 * len(call.path) - 1
    if tokens[opening].upper != "(":
        raise error_at(
            query.text, tokens[first].start, f"{call.path[-1]} is a function", hint="call it with ()"
        )
    closing = matching(query.text, tokens, opening)
    found: list[tuple[str, int, int]] = []
    at = opening + 1
    while at < closing:
        end = at
        while end < closing and tokens[end].upper != ",":
            end = matching(query.text, tokens, end) + 1 if tokens[end].upper in ("(", "[", "{") else end + 1
        name = ""
        if tokens[at].is_name and tokens[at + 1].upper in ("=>", ":="):
            name, at = tokens[at].value.casefold(), at + 2
        if end > at:
            found.append((name, tokens[at].start, tokens[end - 1].stop))
        at = end + 1
    return tokens[first].start, tokens[closing].stop, found
