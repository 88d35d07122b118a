"""The verbs that change rows, for a few rows given as dicts: plain tuples all the way, no Arrow.

The same results as engine/writes.py, at microseconds a row. Tables whose columns have no row form, or that need
SQL to fill or check a row, go the other way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absdb.catalog.schema import Check, Column, TableSchema
from absdb.engine.changeset import codec_of
from absdb.engine.prepare import check_names
from absdb.engine.rowcodec import Row
from absdb.engine.rows import key_of, key_positions
from absdb.engine.writes import refuse_duplicates_of, refuse_existing_keys, require_key
from absdb.errors import ConstraintError, InvalidInputError
from absdb.pages.section import DELETE, UPSERT, Key
from absdb.pages.values import Converter

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

SMALL_MAX = 100
"""More rows than this are worth an Arrow batch."""


def is_small(schema: TableSchema, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether this module takes these rows."""
    return len(rows) <= SMALL_MAX and plan_of(schema) is not None


class RowPlan:
    """What it takes to make a stored row of one schema from a dict."""

    __slots__ = ("columns", "converters", "names", "positions")

    def __init__(self, schema: TableSchema) -> None:
        self.columns: tuple[Column, ...] = schema.columns
        self.names = frozenset(schema.by_name)
        self.converters = [(c.name, Converter.of(c.type, c.name).to_physical, c) for c in schema.columns]
        self.positions = key_positions(schema)


def plan_of(schema: TableSchema) -> RowPlan | None:
    """The plan of a schema, made once; None if its rows need Arrow or SQL."""
    if "_row_plan" not in schema.__dict__:
        needs_sql = any(c.generated or (c.default and c.default.kind == "expression") for c in schema.columns)
        needs_sql = needs_sql or any(isinstance(c, Check) for c in schema.constraints)
        usable = codec_of(schema) is not None and not needs_sql
        schema.__dict__["_row_plan"] = RowPlan(schema) if usable else None
    plan: RowPlan | None = schema.__dict__["_row_plan"]
    return plan


def insert(tx: Transaction, schema: TableSchema, rows: Sequence[Mapping[str, Any]]) -> int:
    """Add rows that are not there; ConstraintError names keys that are."""
    made = [_stored(tx, schema, row, None) for row in rows]
    keys = [key_of(schema, row) for row in made]
    if schema.hidden_key is None:
        _check_new(tx, schema, keys)
    tx.write_rows(schema, [(key, row, UPSERT) for key, row in zip(keys, made, strict=True)])
    return len(made)


def _check_new(tx: Transaction, schema: TableSchema, keys: list[Key]) -> None:
    if len(keys) > 1 and len(set(keys)) < len(keys):
        refuse_duplicates_of(schema, keys)
    reader = tx.reader(schema)
    there = [key for key in keys if reader.exists(key)]
    if there:
        refuse_existing_keys(schema, there)
    if schema.id not in tx.writes:
        for key in keys:
            tx.remember(schema, key, None)


def upsert(tx: Transaction, schema: TableSchema, rows: Sequence[Mapping[str, Any]]) -> int:
    """Add rows or change those that are there; columns left out keep their value."""
    require_key(schema, "upsert")
    keys = [key_given(schema, row) for row in rows]
    if len(set(keys)) < len(keys):
        refuse_duplicates_of(schema, keys)
    made = [
        (key, _stored(tx, schema, row, _row_there(tx, schema, key)), UPSERT)
        for key, row in zip(keys, rows, strict=True)
    ]
    tx.write_rows(schema, made)
    return len(made)


def update(tx: Transaction, schema: TableSchema, rows: Sequence[Mapping[str, Any]]) -> int:
    """Change rows that are there, by key; others are left out."""
    require_key(schema, "update")
    keys = [key_given(schema, row) for row in rows]
    if len(set(keys)) < len(keys):
        refuse_duplicates_of(schema, keys)
    made = []
    for key, row in zip(keys, rows, strict=True):
        old = _row_there(tx, schema, key)
        if old is not None:
            made.append((key, _stored(tx, schema, row, old), UPSERT))
    tx.write_rows(schema, made)
    return len(made)


def delete(tx: Transaction, schema: TableSchema, rows: Sequence[Mapping[str, Any]]) -> int:
    """Remove rows by key; unknown keys are ignored."""
    require_key(schema, "delete")
    positions = set(key_positions(schema))
    made = []
    for key in dict.fromkeys(key_given(schema, row) for row in rows):
        old = _row_there(tx, schema, key)
        if old is not None:
            empty = tuple(value if at in positions else None for at, value in enumerate(old))
            made.append((key, empty, DELETE))
    tx.write_rows(schema, made)
    return len(made)


def _row_there(tx: Transaction, schema: TableSchema, key: Key) -> Row | None:
    row = tx.reader(schema).row(key)
    if schema.id not in tx.writes:
        tx.remember(schema, key, row)
    return row


def _stored(tx: Transaction, schema: TableSchema, given: Mapping[str, Any], old: Row | None) -> Row:
    plan = plan_of(schema)
    assert plan is not None
    if not plan.names.issuperset(given):
        check_names(schema, list(given))
    values: list[Any] = []
    for at, (name, convert, column) in enumerate(plan.converters):
        if name in given:
            value = convert(given[name])
        elif old is not None:
            value = old[at]
        else:
            value = _default(tx, column)
        if value is None and (not column.nullable or column.id in schema.key):
            raise ConstraintError(
                f"table {schema.full_name!r}: column {name!r} must not be NULL",
                hint="nothing was changed",
                table=schema.full_name,
                constraint="NOT NULL",
                keys=[],
            )
        values.append(value)
    if schema.hidden_key is not None:
        values.append(tx.next_row_ids(schema, 1))
    return tuple(values)


def _default(tx: Transaction, column: Column) -> Any:
    default = column.default
    if default is None:
        return None
    return default.value if default.kind == "value" else tx.next_values(default.value, 1)[0]


def key_given(schema: TableSchema, row: Mapping[str, Any]) -> Key:
    """The encoded key in a dict; InvalidInputError if a part is missing or NULL."""
    plan = plan_of(schema)
    assert plan is not None
    parts = []
    for at in plan.positions:
        name, convert, _ = plan.converters[at]
        value = convert(row[name]) if name in row else None
        if value is None:
            raise InvalidInputError(
                f"table {schema.full_name!r}: a row has no {name!r}",
                hint=f"its key is {', '.join(schema.key_names)}; every row needs it",
            )
        parts.append(value)
    return schema.key_spec.encode_one(parts)
