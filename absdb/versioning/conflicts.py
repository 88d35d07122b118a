"""Conflicts of a merge as data: a frame to look at, to edit and to hand back.

    table_name      the table on our side; "" for what belongs to none
    kind            cell, row, delete/modify, add/add, schema
    key             the row's key: a value, or a tuple if it has several columns; None for schema
    column_name     the column, or for schema the item; None where the row as a whole is in dispute
    base_value, our_value, their_value
                    Python values; for a row as a whole a dict of its columns, None where there is no such row
    resolution      to be filled in: ours, theirs, base, or value
    resolved_value  with `value`: what the cell shall hold

What comes back is read by resolutions.py. Called by merge_rows.py, merge_states.py and whatever shows conflicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from absdb.catalog.schema import TableSchema
from absdb.errors import ConstraintError
from absdb.pages.key import Keys
from absdb.pages.types import to_logical
from absdb.versioning.three_way import SchemaConflict

COLUMNS = (
    "table_name",
    "kind",
    "key",
    "column_name",
    "base_value",
    "our_value",
    "their_value",
    "resolution",
    "resolved_value",
)
SIDES = ("ours", "theirs", "base", "value")
OPEN, OURS, THEIRS, BASE, VALUE = range(5)
Ints = np.ndarray[Any, np.dtype[Any]]


@dataclass(slots=True)
class Conflicts:
    """Conflicts as columns of Python values, in the order of COLUMNS."""

    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def __len__(self) -> int:
        return len(self.columns["kind"])

    def add(
        self,
        *,
        table: str,
        kind: str,
        keys: Sequence[Any],
        column: str | None,
        base: Sequence[Any],
        ours: Sequence[Any],
        theirs: Sequence[Any],
    ) -> None:
        """Conflicts of one kind in one column."""
        count = len(keys)
        parts = [[table] * count, [kind] * count, keys, [column] * count, base, ours, theirs]
        for name, part in zip(COLUMNS, (*parts, [None] * count, [None] * count), strict=True):
            self.columns[name].extend(part)

    def add_schema(self, found: Iterable[SchemaConflict]) -> None:
        """Items of definitions."""
        for one in found:
            self.add(
                table=one.table_name,
                kind="schema",
                keys=[None],
                column=one.item,
                base=[one.base],
                ours=[one.ours],
                theirs=[one.theirs],
            )

    def frame(self) -> Any:
        """A pandas frame with a row a conflict and object columns, so that values stay what they are."""
        import pandas as pd

        frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in self.columns.items()})
        return frame.sort_values(["table_name", "kind"], kind="stable", ignore_index=True)


@dataclass(frozen=True, slots=True)
class Violations:
    """Rows that would break constraints, as the errors that say so."""

    errors: tuple[ConstraintError, ...]

    def frame(self) -> Any:
        """A pandas frame: table_name, constraint_name, key, message; a row for each row that breaks something."""
        import pandas as pd

        rows: dict[tuple[Any, ...], str] = {}  # a row may be met by what was written and by what is new
        for error in self.errors:
            for key in error.facts.get("keys") or [None]:
                shown = key[0] if isinstance(key, tuple) and len(key) == 1 else key
                rows.setdefault(
                    (error.facts.get("table"), error.facts.get("constraint"), shown), error.message
                )
        listed = [(*place, message) for place, message in rows.items()]
        columns = ["table_name", "constraint_name", "key", "message"]
        return pd.DataFrame(listed, columns=columns, dtype=object)


def shown_keys_of(schema: TableSchema, keys: Keys) -> list[Any]:
    """Keys as users write them: a value, or a tuple where there are several columns; row ids if the key is hidden."""
    columns = schema.stored[-1:] if schema.hidden_key is not None else schema.key_columns
    parts = zip(columns, schema.key_spec.decode(keys), strict=True)
    shown = [to_logical(part, column.type).to_pylist() for column, part in parts]
    return shown[0] if len(shown) == 1 else list(zip(*shown, strict=True))
