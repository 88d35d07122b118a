"""Which module runs a statement, by its first words.

Called by session.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from absdb.sql.refused import OBJECT_REASONS, REASONS
from absdb.sql.text.parsed import Statement
from absdb.sql.text.source import error_at

if TYPE_CHECKING:
    from absdb.sql.query.result import Result

Handler = Callable[[Any], "Result"]

QUERIES = ("SELECT", "FROM", "VALUES", "TABLE", "PIVOT", "UNPIVOT", "PIVOT_WIDER", "PIVOT_LONGER", "(")
CHANGES = {
    "INSERT": "change.insert",
    "UPDATE": "change.update",
    "DELETE": "change.delete",
    "TRUNCATE": "change.delete",
    "COPY": "change.copy",
    "MERGE": "change.merge_into",
}
"""Statements about rows: first word → module."""
_TRANSACTIONS = ("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE")
_MODULES: dict[str, str] = {
    **dict.fromkeys((*QUERIES, "SUMMARIZE"), "query.select"),
    **dict.fromkeys(("DESCRIBE", "DESC", "SHOW"), "listings.show"),
    **dict.fromkeys(("SET", "RESET", "PRAGMA"), "session_settings"),
    **dict.fromkeys(_TRANSACTIONS, "transactions"),
    "USE": "use",
    "EXPLAIN": "query.explain",
    **CHANGES,
    "COMMENT": "define.comment",
    "CHECKPOINT": "checkpoint",
}
"""First word → module of this room whose `execute` runs the statement."""
_CREATED = ("TABLE", "VIEW", "SCHEMA", "SEQUENCE", "MACRO", "DATABASE", "SNAPSHOT", "CHECK")
_OBJECTS: dict[str, dict[str, str]] = {
    "CREATE": {
        **{kind: f"define.create_{kind.lower()}" for kind in _CREATED},
        "FUNCTION": "define.create_macro",
    },
    "ALTER": {kind: f"define.alter_{kind.lower()}" for kind in ("TABLE", "VIEW", "DATABASE")},
    "DROP": {
        **dict.fromkeys(("TABLE", "VIEW", "SCHEMA", "SEQUENCE", "MACRO", "FUNCTION"), "define.drop"),
        "DATABASE": "define.drop_database",
        "SNAPSHOT": "define.drop_snapshot",
        "CHECK": "define.drop_check",
    },
    "RESTORE": dict.fromkeys(("DATABASE", "TABLE"), "define.restore"),
    "UNDROP": {"TABLE": "define.undrop"},
    "FORCE": {"CHECKPOINT": "checkpoint"},
}
"""First word → what it is done to → module."""
_BETWEEN = {"OR", "REPLACE", "TEMP", "TEMPORARY", "LOCAL", "GLOBAL", "PERSISTENT", "RECURSIVE", "UNIQUE"}
_AFTER_WITH = {
    "SELECT",
    "FROM",
    "VALUES",
    "TABLE",
    "PIVOT",
    "UNPIVOT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "(",
}


def handler_of(statement: Statement) -> Handler:
    """What runs the statement; QueryError, with a suggestion, if nothing does."""
    verb = verb_of(statement)
    module = _object_module(statement, verb) if verb in _OBJECTS else _MODULES.get(verb)
    if verb == "MERGE" and statement.tokens[1].upper == "DATABASE":
        module = "define.merge_database"
    if module is None:
        first = statement.tokens[0]
        reason = REASONS.get(verb)
        raise error_at(
            statement.text,
            first.start,
            f"a statement cannot begin with {first.value!r}"
            if reason is None
            else f"there is no {verb} here",
            hint=_nearest(first.value, (*_MODULES, *_OBJECTS)) if reason is None else reason,
        )
    return _execute_of(module)


def _execute_of(module: str) -> Handler:
    handler: Handler = import_module(f"absdb.sql.{module}").execute
    return handler


def explainer_of_changes() -> Handler:
    """What tells of a statement that changes rows, without running it."""
    return _execute_of("change.explain")


def _object_module(statement: Statement, verb: str) -> str:
    """The module for `CREATE TABLE`, `DROP VIEW` and their like."""
    known = _OBJECTS[verb]
    token = next(token for token in statement.tokens[1:] if token.upper not in _BETWEEN)
    module = known.get(token.upper)
    if module is None:
        reason = OBJECT_REASONS.get(token.upper)
        raise error_at(
            statement.text,
            token.start,
            f"there is no {verb} {token.upper} here"
            if reason
            else f"{verb} {token.value}".strip() + " is no statement",
            hint=reason or _nearest(token.value, known) or f"{verb} is followed by {', '.join(known)}",
        )
    return module


def verb_of(statement: Statement) -> str:
    """The word that says what is done: the first one, or the first behind the WITH clause."""
    first = statement.tokens[0].upper
    if first != "WITH":
        return first
    return statement.tokens[after_with(statement)].upper


def after_with(statement: Statement) -> int:
    """The token behind a WITH clause; 0 if there is none."""
    tokens = statement.tokens
    if tokens[0].upper != "WITH":
        return 0
    depth = 0
    for number, token in enumerate(tokens):
        if depth == 0 and number > 2 and token.upper in _AFTER_WITH and tokens[number - 1].upper == ")":
            return number
        depth += (token.upper == "(") - (token.upper == ")")
    raise error_at(
        statement.text, tokens[-1].start, "a WITH clause is followed by the statement it belongs to"
    )


def _nearest(word: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word.upper(), known, n=1)
    return f"did you mean {near[0]}?" if near else ""
