"""What Tab offers at a place in an SQL text, found from the tokens around it.

    FROM ▮          tables, databases, schemas           staging.▮     its tables          o.▮    columns of o
    SNAPSHOT ▮      snapshots                            USE ▮         databases
    elsewhere       columns of the tables that the statement names, functions, keywords

Keywords come as they are typed: in capitals, or not. Called by the shell and by the cells of notebooks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from absdb.errors import AbsdbError, QueryError
from absdb.sql.completion.names import Names, matching
from absdb.sql.text.keywords import BEFORE_DATABASE, BEFORE_TABLE, KEYWORDS
from absdb.sql.text.tokens import Kind, Token, literal, tokenize

OFFERED_MAX = 200
_PREFIX = re.compile(r'(?:"[^"]*|[^\W\d][\w$]*)?$')
_OPEN_TEXT = re.compile(r"SNAPSHOT\s*(?:=>)?\s*'([^']*)$", re.IGNORECASE)


class Offer(NamedTuple):
    """A text to put in the place of the last `replaces` characters, and what it is."""

    text: str
    replaces: int
    kind: str


def offers(before: str, after: str, names: Names) -> list[Offer]:
    """What may come at the place between the two texts, best first."""
    try:
        return _of_statement(before, after, names)[:OFFERED_MAX]
    except AbsdbError:
        # Something was dropped or closed while we looked. Typing goes on, and running it will say so.
        return []


def _of_statement(before: str, after: str, names: Names) -> list[Offer]:
    inside = _OPEN_TEXT.search(before)
    if inside:
        start = inside.group(1)
        known = matching(names.snapshots(), start)
        return [Offer(each.replace("'", "''"), len(start), "snapshot") for each in known]
    prefix = _PREFIX.search(before)
    typed = prefix.group() if prefix else ""
    tokens = _tokens(before[: len(before) - len(typed)])
    if tokens is None:
        return []  # in a text or a comment
    if tokens and tokens[-1].upper == ".":
        path = _path_before(tokens)
        return [
            Offer(each, len(typed), kind)
            for each, kind in _members(path, _statement(before, after), names)
            if matching([each], typed)
        ]
    previous = tokens[-1].upper if tokens else ""
    # Without the word being typed, which would else be the alias of a table before it.
    statement = _statement(before[: len(before) - len(typed)], after)
    groups = _groups(previous, tokens, statement, names, typed)
    found: list[Offer] = []
    seen: set[str] = set()
    for kind, group in groups:
        for each in matching(group, typed):
            text = each.lower() if kind == "keyword" and not typed[:1].isupper() else each
            if text not in seen:
                seen.add(text)
                found.append(Offer(text, len(typed), kind))
    return found


def _groups(
    previous: str, tokens: list[Token], statement: list[Token], names: Names, typed: str
) -> list[tuple[str, Iterable[str]]]:
    """Kinds of names that may come behind a word, best first."""
    words = [token.upper for token in tokens[-3:]]
    if previous == "SNAPSHOT" or (previous == "=>" and "SNAPSHOT" in words):
        bare = words[-2:-1] in (["DROP"], ["CREATE"])
        known = names.snapshots()
        return [("snapshot", known if bare else [literal(each) for each in known])]
    merged = previous == "INTO" and [token.upper for token in tokens[:2]] == ["MERGE", "DATABASE"]
    if previous in BEFORE_DATABASE or words[-2:] == ["BRANCH", "FROM"] or merged:
        return [("database", names.databases()), ("schema", names.schemas())]
    if previous in BEFORE_TABLE:
        more = [] if not typed else [("listing", names.listings), ("function", names.functions)]
        return [
            ("table", names.tables()),
            ("database", names.databases()),
            ("schema", names.schemas()),
            *more,
        ]
    if not tokens:
        return [("keyword", sorted(KEYWORDS))] if typed else []
    named = [each for path, _ in _tables_in(statement) for each in names.columns(path)]
    known = named or [
        each for table in names.tables()[:OFFERED_MAX] for each in names.columns((_bare(table),))
    ]
    aliases = [alias for _, alias in _tables_in(statement) if alias]
    more = [("function", names.functions), ("keyword", sorted(KEYWORDS))] if typed else []
    return [("column", list(dict.fromkeys(known))), ("alias", aliases), ("table", names.tables()), *more]


def _members(path: tuple[str, ...], statement: list[Token], names: Names) -> list[tuple[str, str]]:
    """What may come behind `path.`: columns of a table or alias, else tables and schemas."""
    for table, alias in _tables_in(statement):
        if len(path) == 1 and alias is not None and alias.casefold() == path[0].casefold():
            return [(each, "column") for each in names.columns(table)]
    columns = names.columns(path)
    found = [(each, "column") for each in columns]
    if len(path) == 1:
        known = {_bare(each).casefold() for each in names.databases()}
        if path[0].casefold() in known:
            found += [(each, "table") for each in names.tables(path[0])]
            found += [(each, "schema") for each in names.schemas(path[0])]
        elif not columns:
            found += [(each, "table") for each in names.tables(namespace=path[0])]
    elif len(path) == 2:
        found += [(each, "table") for each in names.tables(path[0], path[1])]
    return found


def _tables_in(tokens: list[Token]) -> list[tuple[tuple[str, ...], str | None]]:
    """(path, alias) of what stands where tables stand: behind FROM, JOIN and so on, and behind their commas."""
    found, expected, at = [], False, 0
    while at < len(tokens):
        token = tokens[at]
        if token.upper in BEFORE_TABLE:
            expected = True
            at += 1
        elif expected and token.is_name and token.upper not in KEYWORDS:
            path = [token.value]
            while at + 2 < len(tokens) and tokens[at + 1].upper == "." and tokens[at + 2].is_name:
                at += 2
                path.append(tokens[at].value)
            at += 1
            alias = None
            if at < len(tokens) and tokens[at].upper == "AS":
                at += 1
            if at < len(tokens) and tokens[at].is_name and tokens[at].upper not in KEYWORDS:
                alias = tokens[at].value
                at += 1
            found.append((tuple(path), alias))
            expected = at < len(tokens) and tokens[at].upper == ","
            at += expected
        else:
            expected = False
            at += 1
    return found


def _path_before(tokens: list[Token]) -> tuple[str, ...]:
    """The names before a dot at the end: a.b. gives (a, b)."""
    path: list[str] = []
    at = len(tokens) - 1
    while at > 0 and tokens[at].upper == "." and tokens[at - 1].is_name:
        path.insert(0, tokens[at - 1].value)
        at -= 2
    return tuple(path)


def _statement(before: str, after: str) -> list[Token]:
    """The tokens of the statement around the place, as far as they can be read."""
    ahead = _tokens(after)
    found = [*(_tokens(before) or []), *(_upto_semicolon(ahead) if ahead else [])]
    return found


def _tokens(text: str) -> list[Token] | None:
    """The tokens behind the last semicolon; None where a text, a name or a comment is open."""
    try:
        tokens = tokenize(text)[:-1]
    except QueryError:
        return None
    last_line = text.rpartition("\n")[2]
    shown = tokens[-1].stop if tokens else 0
    if "--" in last_line and "--" in text[shown:]:
        return None
    for at in range(len(tokens) - 1, -1, -1):
        if tokens[at].upper == ";":
            return tokens[at + 1 :]
    return tokens


def _upto_semicolon(tokens: list[Token]) -> list[Token]:
    return tokens[: next((at for at, token in enumerate(tokens) if token.upper == ";"), len(tokens))]


def _bare(name: str) -> str:
    token = tokenize(name)[0]
    return token.value if token.kind in (Kind.NAME, Kind.WORD) else name
