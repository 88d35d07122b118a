"""SQL text as tokens, lexed as DuckDB does.

    word        select  Orders  ë         value: the text; compares without case through `upper`
    name        "My table"                value: the name without its quotes
    string      'it''s'  E'\\n'  $$x$$      value: the text it stands for
    number      12  1_000  1.5e3  0xFF
    parameter   ?  $1  $name              value: "", "1", "name"
    symbol      (  )  ,  ;  .  ::  =>  <= …
    literals    1, 2, 3 …                 value: the text; a long list behind IN, of whole numbers or of strings

Comments (`-- …`, `/* … */`, which nest) and blanks separate tokens. Offsets count characters. What is inside the
tokens is DuckDB's affair; this is only as exact as it takes to find statements, names and clauses. Called by
script.py, cursor.py and time_travel.py.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

from absdb.sql.text.source import error_at


class Kind(StrEnum):
    """What a token is."""

    WORD = "word"
    NAME = "name"
    STRING = "string"
    NUMBER = "number"
    PARAMETER = "parameter"
    SYMBOL = "symbol"
    LITERALS = "literals"
    END = "end"


class Token:
    """One token; `text[start:stop]` of the statement is what was written. Nobody changes it."""

    __slots__ = ("kind", "start", "stop", "upper", "value")

    def __init__(self, kind: Kind, value: str, start: int, stop: int) -> None:
        self.kind = kind
        self.value = value
        self.start = start
        self.stop = stop
        self.upper = value.upper() if kind is Kind.WORD else value if kind is Kind.SYMBOL else ""
        """A word in capitals, a symbol as it is; "" for everything that no keyword can be."""

    @property
    def is_name(self) -> bool:
        """Whether it can name a thing: a quoted name, or any word."""
        return self.kind in (Kind.WORD, Kind.NAME)


_BLANK = re.compile(r"(?:\s+|--[^\n]*)+")
_WORD = re.compile(r"[^\W\d]\w*(?:\$\w*)*", re.UNICODE)
_NUMBER = re.compile(
    r"0[xX][0-9a-fA-F_]+|0[bB][01_]+|(?:\d[\d_]*(?:\.(?!\.)[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?"
)
_NAME = re.compile(r'"((?:[^"]|"")*)"')
_STRING = re.compile(r"'((?:[^']|'')*)'")
_ESCAPED = re.compile(r"[eE]'((?:[^'\\]|\\.|'')*)'", re.DOTALL)
_PREFIXED = re.compile(r"[xXbB]'((?:[^']|'')*)'")
_DOLLAR = re.compile(r"\$([^\W\d]\w*)?\$")
_PARAMETER = re.compile(r"\$(\d+|[^\W\d]\w*)|\?(\d*)")
_SYMBOL = re.compile(r"::|=>|:=|<=|>=|<>|!=|->>|->|\|\||==|\*\*|//|<<|>>|@>|<@|&&|!~~\*?|~~\*?|[^\w\s]")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_COMMON = re.compile(
    r"(?:\s++|--[^\n]*+)*+"
    r"(?:([^\W\d]\w*+)(?![$'])|(\d++(?:\.\d++)?)(?![\w.])|([(),;])|'([^']*+)'(?!')|\"([^\"]++)\"(?!\"))"
)
"""Blanks and one of the tokens that most of a statement consists of; what it does not match is read with care."""
_IN_LIST = re.compile(
    r"(?<!\w)[iI][nN]\s*+\((?:\s*+)"
    r"((?:-?\d++\s*+,\s*+){49,}+-?\d++|(?:'[^']*+'\s*+,\s*+){49,}+'[^']*+')(?=\s*+\))"
)
"""A list behind IN that is long enough to be one token; inside of other tokens it means nothing."""
_COMMON_KINDS = (Kind.END, Kind.WORD, Kind.NUMBER, Kind.SYMBOL, Kind.STRING, Kind.NAME)
_FIRST_QUOTED = 4


def tokenize(text: str) -> list[Token]:
    """All tokens of a text and an END; QueryError for a quote or comment that does not end."""
    if "\0" in text:
        # DuckDB takes it for the end of the text, or does not.
        raise error_at(
            text,
            text.index("\0"),
            "a statement cannot contain the character NUL",
            hint="pass it in a parameter",
        )
    tokens: list[Token] = []
    lists = {found.start(1): found.end(1) for found in _IN_LIST.finditer(text)}
    at, common = 0, _COMMON.match
    while True:
        while found := common(text, at):
            group, at = found.lastindex or 0, found.end()
            value = found.group(group)
            quotes = group >= _FIRST_QUOTED
            tokens.append(Token(_COMMON_KINDS[group], value, at - len(value) - 2 * quotes, at))
            if lists and found.group(3) == "(":
                at = _skip(text, at)
                if at in lists:
                    start, at = at, lists[at]
                    tokens.append(Token(Kind.LITERALS, text[start:at], start, at))
        at = _skip(text, at)
        if at >= len(text):
            tokens.append(Token(Kind.END, "", len(text), len(text)))
            return tokens
        token = _next(text, at)
        tokens.append(token)
        at = token.stop


def leading_words(text: str, count: int) -> list[str]:
    """The first words and symbols of a text, in capitals, at most `count`; what a statement is, before it is read."""
    found: list[str] = []
    at = _skip(text, 0)
    while at < len(text) and len(found) < count:
        token = _next(text, at)
        found.append(token.upper)
        at = _skip(text, token.stop)
    return found


def _skip(text: str, at: int) -> int:
    """Where the next token begins."""
    while True:
        blank = _BLANK.match(text, at)
        if blank:
            at = blank.end()
        if not text.startswith("/*", at):
            return at
        at = _comment_end(text, at)


def _comment_end(text: str, start: int) -> int:
    depth, at = 0, start
    while edge := _COMMENT_EDGE.search(text, at):
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
        if depth == 0:
            return at
    raise error_at(text, start, "a comment begins here and does not end", hint="end it with */")


def _next(text: str, at: int) -> Token:
    char = text[at]
    if char == "'":
        return _quoted(text, at, _STRING, "text")
    if char == '"':
        return _quoted(text, at, _NAME, "name")
    if char in "eExXbB" and text.startswith("'", at + 1):
        return _quoted(text, at, _ESCAPED if char in "eE" else _PREFIXED, "text")
    if char == "$" and (opening := _DOLLAR.match(text, at)):
        return _dollar_quoted(text, opening)
    for kind, pattern in ((Kind.WORD, _WORD), (Kind.NUMBER, _NUMBER), (Kind.PARAMETER, _PARAMETER)):
        if found := pattern.match(text, at):
            value = (found.group(1) or found.group(2) or "") if kind is Kind.PARAMETER else found.group()
            return Token(kind, value, at, found.end())
    symbol = _SYMBOL.match(text, at)
    assert symbol is not None, "every character that is no blank begins some token"
    return Token(Kind.SYMBOL, symbol.group(), at, symbol.end())


def _quoted(text: str, at: int, pattern: re.Pattern[str], what: str) -> Token:
    found = pattern.match(text, at)
    if found is None:
        raise error_at(text, at, f"a quoted {what} begins here and does not end")
    inner = found.group(1)
    if pattern is _NAME:
        if not inner:
            raise error_at(text, at, "a name cannot be empty")
        return Token(Kind.NAME, inner.replace('""', '"'), at, found.end())
    return Token(Kind.STRING, inner.replace("''", "'"), at, found.end())


def _dollar_quoted(text: str, opening: re.Match[str]) -> Token:
    end = text.find(opening.group(), opening.end())
    if end < 0:
        raise error_at(text, opening.start(), f"text that begins with {opening.group()} does not end with it")
    return Token(Kind.STRING, text[opening.end() : end], opening.start(), end + len(opening.group()))


def listed_values(token: Token) -> tuple[Any, ...]:
    """The values of a list of literals."""
    if token.value.startswith("'"):
        return tuple(_STRING.findall(token.value))
    return tuple(map(int, token.value.split(",")))


def statements_of(text: str, tokens: list[Token] | None = None) -> list[str]:
    """The statements of a script, without the semicolons; empty ones are left out. `tokens` are those of the text."""
    found, start = [], 0
    tokens = tokenize(text) if tokens is None else tokens
    for at, token in enumerate(tokens):
        if token.kind is Kind.END or token.upper == ";":
            if at and tokens[at - 1].stop > start:
                found.append(text[start : tokens[at - 1].stop])
            start = token.stop
    return [each.strip() for each in found]


def quoted(name: str) -> str:
    """A name as SQL text, always quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
