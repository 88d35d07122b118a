"""A statement's text, read once: tokens, parameters by name, points in time, what it refers to.

    text as written ── parameters named ──▶ text ── points replaced ──▶ probe ──▶ DuckDB's parser

What was read is kept by text, since programs run the same statements again and again. Called by rewrite.py and
session.py.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from absdb.sql.text.edits import Edit, Edited, outermost
from absdb.sql.text.parameters import parameter_edits
from absdb.sql.text.pivots import pivot_edits
from absdb.sql.text.syntax import UNKNOWN, Literals, NotASelect, Syntax, TableRef, parse
from absdb.sql.text.time_travel import TravelRef, matching, travel_edits, travel_refs
from absdb.sql.text.tokens import Kind, Token, listed_values, literal, tokenize

T = TypeVar("T")
SHOWING = ("DESCRIBE", "DESC", "SHOW")
QUERY_STARTS = ("SELECT", "FROM", "WITH", "VALUES", "PIVOT", "UNPIVOT", "INSERT", "UPDATE", "DELETE", "(")
TEXTS_KEPT = 512
TEXT_KEPT_MAX = 65_536


@dataclass(slots=True)
class Statement:
    """One statement with its parameters named; `text` and `tokens` are of that text."""

    written: str
    named: Edited
    text: str
    tokens: list[Token]
    parameters: list[str]

    @classmethod
    def read(cls, written: str, tokens: list[Token] | None = None) -> Statement:
        """`tokens` are those of the text, if they are known."""
        tokens = tokenize(written) if tokens is None else tokens
        edits, names = parameter_edits(written, tokens)
        named = Edited(written, edits)
        return cls(written, named, named.text, tokenize(named.text) if edits else tokens, names)

    def part(self, text: str) -> Statement:
        """A part of the statement as one of its own, with the same parameters."""
        return Statement(text, Edited(text, []), text, tokenize(text), self.parameters)

    def keywords(self, count: int = 3) -> tuple[str, ...]:
        """The first words, in capitals; "" for what is no word."""
        return tuple(token.upper for token in self.tokens[:count])


@dataclass(slots=True)
class Query:
    """A SELECT, or something like it, and everything it refers to. Offsets are those of `text`."""

    text: str
    tokens: list[Token]
    travels: list[TravelRef]
    shows: list[ShowRef]
    pivots: bool
    """Whether it has a PIVOT whose values are found in the rows."""
    probe: Edited
    syntax: Syntax
    starts: dict[int, int] = field(default_factory=dict)
    """Number of the token that begins at an offset."""

    @classmethod
    def read(cls, connection: Any, text: str) -> Query:
        """NotASelect if DuckDB's parser does not take it for a query."""
        tokens = tokenize(text)
        travels = travel_refs(text, tokens)
        shows = show_refs(text, tokens)
        lists = long_lists(text, tokens)
        left_out = [Edit(each.start, each.stop, literal(name)) for name, each in lists.items()]
        edits = [*travel_edits(travels), *(show.edit for show in shows), *left_out]
        probe = Edited(text, outermost(edits))
        pivots: list[Edit] = []
        try:
            syntax = parse(connection, probe.text, lists)
        except NotASelect:
            pivots = pivot_edits(text, tokens)
            if not pivots:
                raise
            probe = Edited(text, outermost([*edits, *pivots]))
            syntax = parse(connection, probe.text, lists)
        starts = {token.start: number for number, token in enumerate(tokens)}
        return cls(text, tokens, travels, shows, bool(pivots), probe, syntax, starts)

    def token_of(self, path: Sequence[str], at: int, after: int = 0) -> int | None:
        """The token with which a name begins that the parser found at `at` of the probe."""
        if at != UNKNOWN:
            return self.starts.get(self.probe.original_offset(at))
        return next((n for n in range(after, len(self.tokens)) if self._is_path(n, path)), None)

    def _is_path(self, number: int, path: Sequence[str]) -> bool:
        spelt = self.tokens[number : number + 2 * len(path) - 1]
        return len(spelt) == 2 * len(path) - 1 and all(
            token.value == path[n // 2] and token.kind in (Kind.WORD, Kind.NAME)
            if n % 2 == 0
            else token.upper == "."
            for n, token in enumerate(spelt)
        )

    def place(self, ref: TableRef, after: int = 0) -> tuple[int, int] | None:
        """What of the text names a table: (start, stop)."""
        first = self.token_of(ref.path, ref.at, after)
        if first is None:
            return None
        last = first + 2 * len(ref.path) - 2
        return self.tokens[first].start, self.tokens[min(last, len(self.tokens) - 1)].stop


@dataclass(frozen=True, slots=True)
class ShowRef:
    """`DESCRIBE t` or `SHOW TABLES` in parentheses in a query: the token it begins with, and what stands for it."""

    at: int
    edit: Edit
    placeholder: str


def show_refs(text: str, tokens: Sequence[Token]) -> list[ShowRef]:
    """Those that show something of ours, not the columns of a query."""
    found: list[ShowRef] = []
    for at, token in enumerate(tokens):
        if token.upper in SHOWING and at > 1 and tokens[at - 1].upper == "(":
            close = matching(text, tokens, at - 1)
            following = tokens[at + 1]
            alone = following.upper == ")" and tokens[at - 2].upper in ("FROM", "JOIN", "AS")
            if alone or (following.is_name and following.upper not in QUERY_STARTS):
                name = f"absdb shown {len(found)}"
                edit = Edit(token.start, tokens[close].start, f'FROM "{name}"')
                found.append(ShowRef(at, edit, name))
    return found


def long_lists(text: str, tokens: Sequence[Token]) -> dict[str, Literals]:
    """The long lists of literals, each by a string that stands for it in the probe and nowhere in the text."""
    name = "absdb list"
    if name in text:
        return {}
    lists = [token for token in tokens if token.kind is Kind.LITERALS]
    return {
        f"{name} {number}": Literals(token.start, token.stop, listed_values(token))
        for number, token in enumerate(lists)
    }


class Kept:
    """The most recently read texts. Safe for many threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[type[Any], str], Any] = OrderedDict()
        self._mutex = threading.Lock()

    def get(self, kind: type[T], text: str, read: Callable[[], T]) -> T:
        """What `read` made of a text, now or before; it is shared, so nobody changes it."""
        key = (kind, text)
        with self._mutex:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        made = read()
        if len(text) <= TEXT_KEPT_MAX:
            with self._mutex:
                self._kept[key] = made
                while len(self._kept) > TEXTS_KEPT:
                    self._kept.popitem(last=False)
        return made
