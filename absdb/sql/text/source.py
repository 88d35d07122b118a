"""Errors that point at the place in an SQL text: line, column, a caret under it.

    QueryError: there is no table 'oders' in database 'main'
      LINE 2: FROM oders
                   ^
      hint: did you mean 'orders'?

Every module that reads SQL text raises through here. Statements that define or change something keep the class of
an error (NotFoundError, AlreadyExistsError, …) and add the place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from absdb.errors import (
    AbsdbError,
    AlreadyExistsError,
    InvalidInputError,
    NotFoundError,
    QueryError,
    UnknownNameError,
)

SHOWN_MAX = 100
"""Characters of a line that are shown around the place."""


def error_at(
    text: str, at: int, message: str, *, hint: str = "", kind: type[QueryError] = QueryError, **facts: Any
) -> QueryError:
    """A QueryError, or one of its kinds, about the character `at` of a statement.

    Its facts are `statement`, `position`, `line` and `column`, and those given.
    """
    facts = {**_place(text, at), **facts}
    return kind(f"{message}\n{pointer(text, at)}", hint=hint, **facts)


@contextmanager
def pointing_at(text: str, at: int) -> Iterator[None]:
    """Let errors about names and definitions that come from inside point at a character of the statement.

    They keep their class, so that a program can tell what is missing from what is there already.
    """
    try:
        yield
    except (NotFoundError, AlreadyExistsError, InvalidInputError) as error:
        if "position" in error.facts:
            raise
        raise placed(error, text, at) from error


def placed(error: AbsdbError, text: str, at: int) -> AbsdbError:
    """The same error with the place in the statement; what is not found is an error of the query as well."""
    facts = {**error.facts, **_place(text, at)}
    kind = UnknownNameError if type(error) is NotFoundError else type(error)
    return kind(f"{error.message}\n{pointer(text, at)}", hint=error.hint, **facts)


def _place(text: str, at: int) -> dict[str, Any]:
    at = min(max(at, 0), len(text))
    column = at - text.rfind("\n", 0, at)
    return {"statement": text, "position": at, "line": text.count("\n", 0, at) + 1, "column": column}


def pointer(text: str, at: int) -> str:
    """The line around a place, and a caret under it."""
    at = min(max(at, 0), len(text))
    line = text.count("\n", 0, at) + 1
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    shown, column = text[start : len(text) if end < 0 else end], at - start
    prefix = f"LINE {line}: "
    if len(shown) > SHOWN_MAX:
        cut = max(0, min(column - SHOWN_MAX // 2, len(shown) - SHOWN_MAX))
        before, after = "…" if cut else "", "…" if cut + SHOWN_MAX < len(shown) else ""
        shown, column = before + shown[cut : cut + SHOWN_MAX] + after, column - cut + len(before)
    # Tabs stay what they are, so that the caret stands under its character whatever their width.
    indent = "".join("\t" if char == "\t" else " " for char in shown[:column])
    return f"  {prefix}{shown}\n  {' ' * len(prefix)}{indent}^"
