"""Errors for keys that are there twice or already, and for verbs that need a key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from absdb.catalog.schema import TableSchema
from absdb.engine.rows import logical_key
from absdb.errors import ConstraintError, InvalidInputError
from absdb.pages.key import Key, Keys, at, runs_of_equal

SHOWN = 5


def refuse_duplicates(schema: TableSchema, keys: Keys) -> None:
    """ConstraintError if sorted keys hold one twice."""
    again = np.flatnonzero(~runs_of_equal(keys))
    if len(again):
        _refuse(
            schema, [at(keys, int(i)) for i in again[:SHOWN]], len(again), "more than once in the rows given"
        )


def refuse_existing(schema: TableSchema, keys: Keys, alive: np.ndarray[Any, Any]) -> None:
    """ConstraintError if some of the keys are there already."""
    there = np.flatnonzero(alive)
    if len(there):
        _refuse(schema, [at(keys, int(i)) for i in there[:SHOWN]], len(there), "already in the table")


def refuse_duplicates_of(schema: TableSchema, keys: Sequence[Key]) -> None:
    """ConstraintError for a list of keys that holds some twice."""
    counts = Counter(keys)
    again = [key for key, count in counts.items() if count > 1]
    _refuse(schema, again[:SHOWN], len(again), "more than once in the rows given")


def refuse_existing_keys(schema: TableSchema, keys: Sequence[Key]) -> None:
    """ConstraintError for keys that are there already."""
    _refuse(schema, keys[:SHOWN], len(keys), "already in the table")


def require_key(schema: TableSchema, verb: str) -> None:
    """InvalidInputError for a verb that needs a key on a table that has none."""
    if schema.hidden_key is not None:
        raise InvalidInputError(
            f"table {schema.full_name!r} has no key, so {verb}() cannot tell its rows apart",
            hint="create the table with key=…, or use insert() and replace()",
        )


def key_missing(schema: TableSchema, names: Sequence[str]) -> InvalidInputError:
    """The error for rows without some columns of the key."""
    return InvalidInputError(
        f"table {schema.full_name!r}: the rows have no {', '.join(repr(name) for name in names)}",
        hint=f"its key is {', '.join(schema.key_names)}; every row needs it",
        table=schema.full_name,
    )


def key_null(schema: TableSchema, name: str, rows: int) -> ConstraintError:
    """The error for rows whose key is NULL."""
    where = "a row" if rows == 1 else f"{rows} rows"
    return ConstraintError(
        f"table {schema.full_name!r}: key column {name!r} is NULL in {where}",
        hint=f"nothing was changed; every row needs its key, {', '.join(schema.key_names)}",
        table=schema.full_name,
        constraint="PRIMARY KEY",
        keys=[],
    )


def shown_keys(keys: Sequence[tuple[Any, ...]], count: int) -> str:
    """Some keys as a message shows them: `3, 5 and 7 more`."""
    text = ", ".join(str(key[0] if len(key) == 1 else key) for key in keys)
    return text + (f" and {count - len(keys)} more" if count > len(keys) else "")


def _refuse(schema: TableSchema, keys: Sequence[Key], count: int, what: str) -> None:
    shown = [logical_key(schema, key) for key in keys]
    raise ConstraintError(
        f"table {schema.full_name!r}: key {shown_keys(shown, count)} is {what}",
        hint="nothing was changed; upsert() changes rows that are there",
        table=schema.full_name,
        constraint="PRIMARY KEY",
        keys=shown,
    )
