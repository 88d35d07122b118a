"""Conflicts of a merge as data: a frame to look at, to edit and to hand back.

    table_name      the table on our side; "" for what belongs to none
    kind            cell, row, delete/modify, add/add, schema
    key             the row's key: a value, or a tuple if it has several columns; None for schema
    column_name     the column, or for schema the item; None where the row as a whole is in dispute
    base_value, our_value, their_value
                    Python values; for a row as a whole a dict of its columns, None where there is no such row
    resolution      to be filled in: ours, theirs, base, or value
    resolved_value  with `value`: what the cell shall hold

Several frames may be handed back together; a row without a resolution stays in conflict. Called by merge_rows.py,
merge_states.py and whatever shows conflicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import Column, TableSchema
from absdb.engine.intake import array_of
from absdb.engine.prepare import conform, keys_of
from absdb.errors import ConstraintError, InvalidInputError
from absdb.pages.key import Keys, equal, length, search, sort_order, take
from absdb.pages.types import physical_type, to_logical
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


class Resolutions:
    """What was decided, as it is asked for: by schema item, and by table, column and key."""

    def __init__(self, frames: Any = None) -> None:
        self._rows: dict[tuple[str, str | None], tuple[list[Any], list[int], list[Any]]] = {}
        self._schema: dict[tuple[str, str], str] = {}
        for frame in () if frames is None else frames if isinstance(frames, list | tuple) else (frames,):
            self._read(frame)

    def __bool__(self) -> bool:
        return bool(self._rows or self._schema)

    def _read(self, frame: Any) -> None:
        columns = _columns_of(frame)
        for table, kind, key, column, side, value in zip(*(columns[n] for n in _NEEDED), strict=True):
            if _is_missing(side):
                continue
            if side not in SIDES:
                raise InvalidInputError(
                    f"the resolution of a conflict in table {table!r} is {side!r}",
                    hint=f"write one of {', '.join(SIDES)}, or leave it empty",
                )
            column = None if _is_missing(column) else column
            if kind == "schema":
                self._schema[table, str(column)] = side
            else:
                keys, sides, values = self._rows.setdefault((table, column), ([], [], []))
                keys.append(key)
                sides.append(SIDES.index(side) + 1)
                values.append(value)

    def schema(self, conflict: SchemaConflict) -> str | None:
        """The side that was chosen for an item of a definition."""
        side = self._schema.get((conflict.table_name, conflict.item))
        if side == "value":
            raise InvalidInputError(
                f"{conflict.item} of table {conflict.table_name!r} cannot be resolved by a value",
                hint="write ours or theirs, or change the definition on one side first",
            )
        return side

    def of(self, schema: TableSchema, column: Column | None, keys: Keys) -> tuple[Ints, pa.Array | None]:
        """(for each key OPEN, OURS, THEIRS, BASE or VALUE; the values for VALUE, aligned to the keys)."""
        found = np.zeros(length(keys), np.int8)
        entry = self._rows.get((schema.full_name, None if column is None else column.name))
        if entry is None or not length(keys):
            return found, None
        given, sides, values = entry
        mine = _keys_of(schema, given)
        order = sort_order(mine)
        mine = take(mine, order)
        places = np.minimum(search(mine, keys, "left"), length(mine) - 1)
        hit = equal(take(mine, places), keys)
        chosen = order[places]
        found[hit] = np.array(sides, np.int8)[chosen[hit]]
        if column is None or not (found == VALUE).any():
            return found, None
        which = [
            values[i] if code == VALUE else None
            for i, code in zip(chosen.tolist(), found.tolist(), strict=True)
        ]
        return found, _fitted(schema, column, which)


_NEEDED = ("table_name", "kind", "key", "column_name", "resolution", "resolved_value")


def _columns_of(frame: Any) -> Mapping[str, list[Any]]:
    if isinstance(frame, pa.Table):
        frame = frame.to_pydict()
    names = list(frame)
    missing = [name for name in _NEEDED[:5] if name not in names]
    if missing:
        raise InvalidInputError(
            f"a frame of resolutions lacks the column {missing[0]!r}",
            hint="hand back the frame of conflicts with its resolution column filled in",
        )
    found = {name: list(frame[name]) for name in _NEEDED if name in names}
    return {**found, "resolved_value": found.get("resolved_value", [None] * len(found["kind"]))}


def _is_missing(value: Any) -> bool:
    return (
        value is None or value == "" or (isinstance(value, float) and value != value) or str(value) == "<NA>"
    )


def _keys_of(schema: TableSchema, given: Sequence[Any]) -> Keys:
    """Keys as the frame shows them, encoded."""
    if schema.hidden_key is not None:
        return schema.key_spec.encode([pa.array([int(key) for key in given], pa.int64())])
    rows = [
        key if isinstance(key, tuple) else tuple(key) if isinstance(key, list) else (key,) for key in given
    ]
    arrays = {
        column.name: _given(column, [row[i] for row in rows]) for i, column in enumerate(schema.key_columns)
    }
    return keys_of(schema, conform(schema, pa.table(arrays)))


def _given(column: Column, values: list[Any]) -> pa.Array:
    """Values of a column; a text where it holds something else, as from JSON, is read as its type writes it."""
    kind = physical_type(column.type)
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not is_text and any(isinstance(value, str) for value in values):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return array_of(column, values)


def _fitted(schema: TableSchema, column: Column, values: list[Any]) -> pa.Array:
    return conform(schema, pa.table({column.name: _given(column, values)})).columns[column.page_name]


def shown_keys_of(schema: TableSchema, keys: Keys) -> list[Any]:
    """Keys as users write them: a value, or a tuple where there are several columns; row ids if the key is hidden."""
    columns = schema.stored[-1:] if schema.hidden_key is not None else schema.key_columns
    parts = zip(columns, schema.key_spec.decode(keys), strict=True)
    shown = [to_logical(part, column.type).to_pylist() for column, part in parts]
    return shown[0] if len(shown) == 1 else list(zip(*shown, strict=True))
