"""PIVOT without the values to pivot on: DuckDB finds them in the rows, and its parser gives no tree for that.

    PIVOT t ON year USING sum(v)     is read as     PIVOT t ON pivoted IN (1) USING sum(v)

which refers to the same tables; DuckDB then gets the text as it was. Called by parsed.py when a query is none to
DuckDB's parser.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from absdb.sql.text.edits import Edit
from absdb.sql.text.time_travel import matching
from absdb.sql.text.tokens import Kind, Token

_ENDS = ("USING", "GROUP", "ORDER", "LIMIT", "OFFSET", ")", ";", "UNION", "EXCEPT", "INTERSECT")
_OPENING = ("(", "[", "{")


def pivot_edits(text: str, tokens: Sequence[Token]) -> list[Edit]:
    """The edits that give every such PIVOT a value; none if there is no such PIVOT."""
    found: list[Edit] = []
    for at, token in enumerate(tokens):
        if token.upper in ("PIVOT", "PIVOT_WIDER"):
            on = _on(text, tokens, at + 1)
            for first, last in _items(text, tokens, on + 1) if on else ():
                span = tokens[first : last + 1]
                if not any(each.upper == "IN" for each in span):
                    found.append(Edit(span[0].start, span[-1].stop, "pivoted IN (1)"))
    return found


def _on(text: str, tokens: Sequence[Token], at: int) -> int:
    """The ON behind the table that is pivoted; 0 in `FROM t PIVOT (… FOR … IN …)`."""
    if tokens[at].upper == "(":
        close = matching(text, tokens, at)
        if any(each.upper == "FOR" for each in tokens[at:close]):
            return 0
    while tokens[at].kind is not Kind.END and tokens[at].upper not in _ENDS:
        if tokens[at].upper == "ON":
            return at
        at = matching(text, tokens, at) + 1 if tokens[at].upper in _OPENING else at + 1
    return 0


def _items(text: str, tokens: Sequence[Token], at: int) -> Iterator[tuple[int, int]]:
    """(first token, last token) of each expression between commas."""
    first = at
    while True:
        ended = tokens[at].kind is Kind.END or tokens[at].upper in _ENDS
        if ended or tokens[at].upper == ",":
            if at > first:
                yield first, at - 1
            if ended:
                return
            first = at + 1
        at = matching(text, tokens, at) + 1 if tokens[at].upper in _OPENING else at + 1
