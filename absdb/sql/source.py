"""Errors that point at the place in an SQL text: line, column, a caret under it.

    QueryError: there is no table 'oders' in database 'main'
      LINE 2: FROM oders
                   ^
      hint: did you mean 'orders'?

Every module that reads SQL text raises through here.
"""

from __future__ import annotations

from typing import Any

from absdb.errors import QueryError

SHOWN_MAX = 100
"""Characters of a line that are shown around the place."""


def error_at(text: str, at: int, message: str, *, hint: str = "", **facts: Any) -> QueryError:
    """A QueryError about the character `at` of a statement; facts `statement`, `position`, `line`, `column`."""
    at = min(max(at, 0), len(text))
    line = text.count("\n", 0, at) + 1
    start = text.rfind("\n", 0, at) + 1
    facts = {"statement": text, "position": at, "line": line, "column": at - start + 1, **facts}
    return QueryError(f"{message}\n{pointer(text, at)}", hint=hint, **facts)


def pointer(text: str, at: int) -> str:
    """The line around a place, and a caret under it."""
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
