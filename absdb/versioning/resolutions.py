"""What was decided about conflicts: frames that are handed back, asked by schema item and by table, column and key.

Several frames may be handed back together. A row without a resolution stays in conflict; what was decided about things
that are not in conflict is left aside, so that a frame may be handed back again. Called by merge_rows.py and
merge_states.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from absdb.catalog.schema import Column, TableSchema
from absdb.engine.fitting import MisfitError, fit
from absdb.engine.intake import array_of
from absdb.engine.prepare import conform, keys_of
from absdb.errors import InvalidInputError
from absdb.pages.key import Keys, equal, length, search, sort_order, take
from absdb.pages.types import physical_type
from absdb.versioning.conflicts import OPEN, SIDES, VALUE, Ints
from absdb.versioning.three_way import SchemaConflict


@dataclass(frozen=True, slots=True)
class _Decided:
    """What was decided about one column of one table, or about its rows as a whole."""

    keys: list[Any]
    codes: Ints
    values: list[Any]


@dataclass(frozen=True, slots=True)
class _Sorted:
    """The same in the order of encoded keys."""

    keys: Keys
    codes: Ints
    order: Ints


class Resolutions:
    """What was decided, as it is asked for: by schema item, and by table, column and key."""

    def __init__(self, frames: Any = None) -> None:
        self._rows: dict[tuple[str, str | None], _Decided] = {}
        self._sorted: dict[tuple[str, str | None, tuple[pa.DataType, ...]], _Sorted] = {}
        self._schema: dict[tuple[str, str], str] = {}
        for frame in () if frames is None else frames if isinstance(frames, list | tuple) else (frames,):
            self._read(frame)

    def __bool__(self) -> bool:
        return bool(self._rows or self._schema)

    def _read(self, frame: Any) -> None:
        columns = _columns_of(frame)
        texts = {name: _texts(columns[name], name) for name in ("table_name", "kind", "column_name")}
        codes = _codes(columns["resolution"])
        about = pa.Table.from_pydict({**texts, "at": np.arange(len(codes))}).filter(pa.array(codes != OPEN))
        groups = about.group_by(["table_name", "kind", "column_name"], use_threads=False).aggregate(
            [("at", "list")]
        )
        for group in groups.to_pylist():
            table, column, at = group["table_name"] or "", group["column_name"], group["at_list"]
            if group["kind"] == "schema":
                self._schema[table, column or ""] = SIDES[codes[at[-1]] - 1]
                continue
            if column is None and (codes[at] == VALUE).any():
                raise InvalidInputError(
                    f"a row of table {table!r} as a whole cannot be resolved by a value",
                    hint="write ours, theirs or base, and change the row afterwards",
                )
            known = self._rows.setdefault((table, column), _Decided([], np.empty(0, np.int8), []))
            self._rows[table, column] = _Decided(
                [*known.keys, *(columns["key"][i] for i in at)],
                np.concatenate([known.codes, codes[at]]),
                [*known.values, *(columns["resolved_value"][i] for i in at)],
            )

    def schema(self, conflict: SchemaConflict) -> str | None:
        """The side that was chosen for an item of a definition."""
        side = self._schema.get((conflict.table_name, conflict.item))
        if side == "value":
            raise InvalidInputError(
                f"{conflict.item} of table {conflict.table_name!r} cannot be resolved by a value",
                hint="write ours or theirs, or change the definition on one side first",
            )
        return side

    def of(
        self, table: str, schema: TableSchema, column: Column | None, keys: Keys
    ) -> tuple[Ints, pa.Array | None]:
        """(for each key OPEN, OURS, THEIRS, BASE or VALUE; the values for VALUE, aligned to the keys)."""
        found = np.zeros(length(keys), np.int8)
        name = None if column is None else column.name
        given = self._rows.get((table, name))
        if given is None or not length(keys):
            return found, None
        known = self._in_order(table, schema, name, given)
        places = np.minimum(search(known.keys, keys, "left"), length(known.keys) - 1)
        hit = equal(take(known.keys, places), keys)
        found[hit] = known.codes[places[hit]]
        own = np.flatnonzero(found == VALUE)
        if column is None or not len(own):
            return found, None
        fitted = _fitted(schema, column, [given.values[i] for i in known.order[places[own]].tolist()])
        where = np.zeros(len(found), np.int64)
        where[own] = np.arange(len(own))
        return found, fitted.take(pa.array(where, mask=found != VALUE))

    def _in_order(self, table: str, schema: TableSchema, column: str | None, given: _Decided) -> _Sorted:
        kinds = tuple(one.type for one in schema.key_columns)
        if (table, column, kinds) not in self._sorted:
            keys = _keys_of(schema, given.keys)
            order = sort_order(keys)
            made = _Sorted(take(keys, order), given.codes[order], order)
            _refuse_two_minds(table, made, given)
            self._sorted[table, column, kinds] = made
        return self._sorted[table, column, kinds]


_NEEDED = ("table_name", "kind", "key", "column_name", "resolution", "resolved_value")


def _columns_of(frame: Any) -> dict[str, list[Any]]:
    if hasattr(frame, "to_pydict"):
        frame = frame.to_pydict()
    elif hasattr(frame, "__arrow_c_stream__") and not hasattr(frame, "iloc"):
        frame = pa.RecordBatchReader.from_stream(frame).read_all().to_pydict()
    if not isinstance(frame, Mapping) and not hasattr(frame, "iloc"):
        raise InvalidInputError(
            f"resolutions come as a frame, not as {type(frame).__name__}", hint=_HAND_BACK
        )
    names = list(frame)
    for name in _NEEDED[:5]:
        if name not in names:
            raise InvalidInputError(f"a frame of resolutions lacks the column {name!r}", hint=_HAND_BACK)
    found = {name: frame[name] for name in _NEEDED if name in names}
    for name, values in found.items():
        if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
            raise InvalidInputError(
                f"{name} of a frame of resolutions is {type(values).__name__}, not a column", hint=_HAND_BACK
            )
    count = len(found["kind"])
    found.setdefault("resolved_value", [None] * count)
    if any(len(values) != count for values in found.values()):
        raise InvalidInputError("the columns of a frame of resolutions differ in length", hint=_HAND_BACK)
    return {name: list(values) for name, values in found.items()}


_HAND_BACK = "hand back the frame of conflicts with its resolution column filled in"


def _texts(values: list[Any], what: str) -> pa.Array:
    """Texts, NULL for whatever a frame may have where nothing is."""
    try:
        return pa.array(values, pa.string(), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as problem:
        raise InvalidInputError(f"{what} of a frame of resolutions holds no text: {problem}") from problem


def _codes(resolutions: list[Any]) -> Ints:
    """OPEN, OURS, THEIRS, BASE or VALUE."""
    sides = pc.fill_null(_texts(resolutions, "resolution"), "")
    codes = pc.index_in(sides, pa.array(["", *SIDES]))
    if codes.null_count:
        wrong = sides.filter(codes.is_null())[0].as_py()
        raise InvalidInputError(
            f"the resolution of a conflict is {wrong!r}",
            hint=f"write one of {', '.join(SIDES)}, or leave it empty",
        )
    found: Ints = codes.to_numpy().astype(np.int8)
    return found


def _refuse_two_minds(table: str, known: _Sorted, given: _Decided) -> None:
    """InvalidInputError if two things were decided about one cell."""
    rows = np.arange(1, length(known.keys))
    again = rows[equal(take(known.keys, rows), take(known.keys, rows - 1))]
    for row in again.tolist():
        first, second = known.order[row - 1], known.order[row]
        same = known.codes[row] == known.codes[row - 1]
        if same and (known.codes[row] != VALUE or repr(given.values[first]) == repr(given.values[second])):
            continue
        raise InvalidInputError(
            f"there are two resolutions for key {given.keys[first]!r} of table {table!r}", hint="keep one"
        )


def _keys_of(schema: TableSchema, given: Sequence[Any]) -> Keys:
    """Keys as the frame shows them, encoded."""
    columns = schema.stored[-1:] if schema.hidden_key is not None else schema.key_columns
    count = len(columns)
    parts = [tuple(key) if isinstance(key, list | tuple | np.ndarray) else (key,) for key in given]
    wrong = next((part for part in parts if len(part) != count), None)
    if wrong is not None:
        raise InvalidInputError(
            f"{wrong!r} is no key of table {schema.full_name!r}, which has {count} column{'s' * (count != 1)}",
            hint=_HAND_BACK,
        )
    arrays = [_given(column, [part[i] for part in parts]) for i, column in enumerate(columns)]
    if schema.hidden_key is not None:
        return schema.key_spec.encode([_row_ids(schema, arrays[0])])
    names = [column.name for column in columns]
    return keys_of(schema, conform(schema, pa.Table.from_arrays(arrays, names)))


def _row_ids(schema: TableSchema, given: pa.Array) -> pa.Array:
    try:
        return fit(given, pa.int64())
    except MisfitError as problem:
        raise InvalidInputError(f"keys of table {schema.full_name!r} are row ids: {problem}") from problem


def _given(column: Column, values: list[Any]) -> pa.Array:
    """Values of a column; a text where it holds something else, as from JSON, is read as its type writes it."""
    kind = physical_type(column.type)
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not is_text and any(isinstance(value, str) for value in values):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return array_of(column, values)


def _fitted(schema: TableSchema, column: Column, values: list[Any]) -> pa.Array:
    return conform(schema, pa.table({column.name: _given(column, values)})).columns[column.page_name]
