"""SQL texts of several statements: cut at the semicolons, with the place of each, and whether they only read.

Errors of a statement are told with the line of the whole text. Called by sql.py and the shell.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from absdb.errors import AbsdbError, InvalidInputError, QueryError
from absdb.sql.dispatch import verb_of
from absdb.sql.text.parsed import Statement
from absdb.sql.text.source import placed
from absdb.sql.text.tokens import Kind, tokenize

_READING = {
    "SELECT", "FROM", "VALUES", "TABLE", "PIVOT", "UNPIVOT", "PIVOT_WIDER", "PIVOT_LONGER", "(",
    "DESCRIBE", "DESC", "SHOW", "SUMMARIZE", "EXPLAIN", "USE",
}  # fmt: skip
_WRITING_FUNCTIONS = {"NEXTVAL", "ABSDB_CHECKPOINT", "ABSDB_CONFLICTS"}


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement of a script, and where in it the statement begins."""

    text: str
    start: int


def pieces(script: str) -> list[Piece]:
    """The statements without their semicolons; QueryError for a quote or comment that does not end."""
    found: list[Piece] = []
    start: int | None = None
    stop = 0
    for token in tokenize(script):
        if token.kind is Kind.END or token.upper == ";":
            if start is not None:
                found.append(Piece(script[start:stop], start))
            start = None
        else:
            start, stop = token.start if start is None else start, token.stop
    return found


def is_whole(text: str) -> bool:
    """Whether a text ends with a semicolon outside quotes and comments, so that it can be run."""
    try:
        tokens = tokenize(text)
    except QueryError as error:
        # A quote that is still open may be closed on the next line; anything else will not get better.
        return "does not end" not in error.message
    return len(tokens) > 1 and tokens[-2].upper == ";"


def in_script(error: AbsdbError, piece: Piece, script: str) -> AbsdbError:
    """The error with the line of the script that its statement is in."""
    position = error.facts.get("position")
    if position is None or error.facts.get("statement") != piece.text or piece.text == script:
        return error
    message = error.message.split("\n  LINE ")[0]
    bare = type(error)(message, hint=error.hint, **error.facts)
    return placed(bare, script, piece.start + position)


def only_reads(script: Sequence[Piece]) -> bool:
    """Whether none of the statements can change anything, so that an instance open for reading is enough."""
    for piece in script:
        statement = Statement.read(piece.text)
        words = [token.upper for token in statement.tokens]
        verb = verb_of(statement)
        copies_out = verb == "COPY" and words[1:2] == ["("]
        if not (verb in _READING or copies_out) or _WRITING_FUNCTIONS & set(words):
            return False
    return True


def parameters(given: Sequence[str]) -> dict[str, Any]:
    """`name=value` texts as names and values: what is JSON is that, everything else text.

    A number as the name is the place of a `?` or `$1`. InvalidInputError for a text without `=`.
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip().removeprefix("$")
        if not equals or not name:
            raise InvalidInputError(f"a parameter is written NAME=VALUE, not {text!r}")
        found[f"p{int(name)}" if name.isdecimal() else name] = _value(value)
    return found


def _value(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError:
        return text


def parameters_of(script: Sequence[Piece], given: dict[str, Any]) -> list[dict[str, Any] | None]:
    """What each statement gets of the values; InvalidInputError for a value that none of them wants."""
    wanted = [Statement.read(piece.text).parameters for piece in script]
    extra = [name for name in given if not any(name in names for names in wanted)]
    if extra:
        raise InvalidInputError(
            f"no statement has the parameter {', '.join('$' + name for name in extra)}",
            hint="write it as $name, or as ? and give it by its number: -p 1=…",
        )
    return [{name: given[name] for name in names if name in given} or None for names in wanted]
