"""What DuckDB says about a query, as an error of ours that points at the text the user wrote.

DuckDB is asked for errors as JSON: kind, message, place in the text it was given. The place is taken back through
the edits that made that text. Called wherever DuckDB runs something of the user's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from absdb.errors import AbsdbError, QueryError, UnknownNameError
from absdb.sql.duck.stopping import INTERRUPT, interrupted
from absdb.sql.text.edits import Edited, char_offset
from absdb.sql.text.source import error_at
from absdb.sql.text.suggestion import suggestion

_PLACE = ("statement", "position", "line", "column")
_SUGGESTED = re.compile(r"^(Did you mean .*|Candidate bindings: .*|Candidate functions:.*)$", re.MULTILINE)

_NO_COLUMN = re.compile(r'^(?:referenced column "(.+)" not found|.* does not have a column named "(.+)"$)')
_RAISED = re.compile(r"exception occurred while executing the UDF: \w+: (.*?)(?: hint: .*)?(?: At: .*)?$")
"""An error that a function of ours raised; DuckDB 1.5 adds where in Python."""


_CLASSES: dict[str, type[QueryError]] = {
    "COLUMN_NOT_FOUND": UnknownNameError,
    "MISSING_ENTRY": UnknownNameError,
}


def query_error(
    error: BaseException,
    text: str,
    edits: Sequence[Edited],
    *,
    shift: int = 0,
    columns: Callable[[], Iterable[str]] | None = None,
) -> AbsdbError:
    """The error to raise for one of DuckDB's about `text`, which the last of `edits` made of the one before it.

    DuckDB was given `shift` characters of ASCII before the text, and of the tables only the columns that it names;
    `columns` gives those that there are, one of which was probably meant where one is not there.
    """
    if isinstance(error, AbsdbError):
        return error
    said = _parsed(str(error))
    message = said.get("exception_message") or str(error)
    suggested = _SUGGESTED.search(message)
    hint = ""
    if suggested:
        hint = suggested.group().strip()
        message = message.replace(suggested.group(), "").strip()
    kind = said.get("exception_type", "")
    if kind == INTERRUPT:
        return interrupted()
    shown = _first_lower(" ".join(message.split()))
    raised = _RAISED.search(shown)
    shown = raised.group(1) if raised else shown
    column = _NO_COLUMN.match(shown)
    if column and columns is not None and (known := set(columns())):
        said["error_subtype"] = "COLUMN_NOT_FOUND"
        shown = shown.replace("values list", "table", 1)
        hint = suggestion(column.group(1) or column.group(2), known, "columns")
    position = said.get("position")
    if position is None or kind == "Out of Memory":
        return QueryError(shown, hint=hint, statement=edits[0].original if edits else text, duckdb_kind=kind)
    at = char_offset(text, max(0, int(position) - shift))
    for edited in reversed(edits):
        at = edited.original_offset(at)
    original = edits[0].original if edits else text
    return error_at(
        original,
        at,
        shown,
        hint=hint or _spelling(original, at),
        kind=_CLASSES.get(said.get("error_subtype", ""), QueryError),
        duckdb_kind=kind,
    )


def placed_back(error: QueryError, text: str, edits: Sequence[Edited]) -> QueryError:
    """An error about a place in `text` as one about what the first of `edits` was made from; others as they are."""
    position = error.facts.get("position")
    if error.facts.get("statement") != text or position is None or edits[0].original == text:
        return error
    at = position
    for edited in reversed(edits):
        at = edited.original_offset(at)
    facts = {name: value for name, value in error.facts.items() if name not in _PLACE}
    message = error.message.split("\n  LINE ")[0]
    return error_at(edits[0].original, at, message, hint=error.hint, kind=type(error), **facts)


def _parsed(text: str) -> dict[str, Any]:
    start = text.find("{")
    try:
        found = json.loads(text[start:]) if start >= 0 else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def _first_lower(message: str) -> str:
    """A message as part of a sentence; one that begins with an abbreviation stays."""
    return message[:1].lower() + message[1:] if message[1:2].islower() else message


def _spelling(text: str, at: int) -> str:
    """Advice for what people write who know other systems."""
    if text[at : at + 1] == "@" or text[max(0, at - 1) : at] == "@":
        return "a table of a branch is written branch.table"
    return ""
