"""The verbs that change rows, for a few rows given as dicts: plain tuples all the way, no Arrow.

The same results as engine/writes.py, at microseconds a row, in a transaction or as a commit of its own
(engine/small_commit.py). Tables whose columns have no row form, or that need
SQL to fill or check a row, go the other way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absdb.catalog.schema import Check, Column, TableSchema
from absdb.engine.changeset import codec_of
from absdb.engine.prepare import check_names
from absdb.engine.refusals import (
    key_missing,
    key_null,
    refuse_duplicates_of,
    refuse_existing_keys,
    require_key,
    shown_keys,
)
from absdb.engine.rowcodec import Row
from absdb.engine.rows import key_of, key_positions
from absdb.errors import ConstraintError
from absdb.pages.section import DELETE, UPSERT, Key
from absdb.pages.values import Convert, Converter

if TYPE_CHECKING:
    from absdb.engine.small_commit import SmallCommit
    from absdb.engine.transaction import Transaction

    Writer = Transaction | SmallCommit

SMALL_MAX = 100
"""More rows than this are worth an Arrow batch."""


def is_small(schema: TableSchema, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether this module takes these rows."""
    return len(rows) <= SMALL_MAX and plan_of(schema) is not None


class RowPlan:
    """What it takes to make a stored row of one schema from a dict."""

    __slots__ = ("converters", "identities", "names", "not_null", "plain", "positions")

    def __init__(self, schema: TableSchema) -> None:
        self.identities = {
            c.name: c.default.value
            for c in schema.columns
            if c.default is not None and c.default.kind == "sequence"
        }
        self.names = frozenset(schema.by_name)
        self.converters = [(c.name, Converter.of(c.type, c.name).to_physical, c) for c in schema.columns]
        self.plain = [(name, convert) for name, convert, _ in self.converters]
        self.not_null = [at for at, c in enumerate(schema.columns) if not c.nullable or c.id in schema.key]
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


def insert(tx: Writer, schema: TableSchema, rows: Sequence[Mapping[str, Any]]) -> int:
    """Add rows that are not there; ConstraintError names keys that are."""
    if len(rows) == 1:
        return _insert_one(tx, schema, rows[0])
    stored = [_stored(tx, schema, row, None) for row in rows]
    keys = [key_of(schema, row) for row in stored]
    made = {key: (row, UPSERT) for key, row in zip(keys, stored, strict=True)}
    if len(made) < len(keys):
        refuse_duplicates_of(schema, keys)
    if schema.hidden_key is None:
        exists = tx.reader(schema).exists
        there = [key for key in made if exists(key)]
        if there:
            refuse_existing_keys(schema, there)
    tx.write_rows(schema, made, dict.fromkeys(made))
    return len(made)


def _insert_one(tx: Writer, schema: TableSchema, given: Mapping[str, Any]) -> int:
    row = _stored(tx, schema, given, None)
    key = key_of(schema, row)
    if schema.hidden_key is None and tx.reader(schema).exists(key):
        refuse_existing_keys(schema, [key])
    tx.write_rows(schema, {key: (row, UPSERT)}, {key: None})
    return 1


def upsert(tx: Writer, schema: TableSchema, rows: Sequence[Mapping[str, Any]]) -> int:
    """Add rows or change those that are there; columns left out keep their value."""
    require_key(schema, "upsert")
    keys = [key_given(schema, row) for row in rows]
    if len(set(keys)) < len(keys):
        refuse_duplicates_of(schema, keys)
    there = _rows_there(tx, schema, keys)
    made = {
        key: (_stored(tx, schema, row, old), UPSERT)
        for key, row, old in zip(keys, rows, there.values(), strict=True)
    }
    tx.write_rows(schema, made, there)
    return len(made)


def update(tx: Writer, schema: TableSchema, rows: Sequence[Mapping[str, Any]]) -> int:
    """Change rows that are there, by key; others are left out."""
    require_key(schema, "update")
    keys = [key_given(schema, row) for row in rows]
    if len(set(keys)) < len(keys):
        refuse_duplicates_of(schema, keys)
    made = {}
    there = _rows_there(tx, schema, keys)
    for (key, old), row in zip(there.items(), rows, strict=True):
        if old is not None:
            made[key] = (_stored(tx, schema, row, old), UPSERT)
    tx.write_rows(schema, made, there)
    return len(made)


def delete(tx: Writer, schema: TableSchema, rows: Sequence[Mapping[str, Any]]) -> int:
    """Remove rows by key; unknown keys are ignored."""
    require_key(schema, "delete")
    positions = set(key_positions(schema))
    made = {}
    there = _rows_there(tx, schema, [key_given(schema, row) for row in rows])
    for key, old in there.items():
        if old is not None:
            empty = tuple([value if at in positions else None for at, value in enumerate(old)])
            made[key] = (empty, DELETE)
    tx.write_rows(schema, made, there)
    return len(made)


def _rows_there(tx: Writer, schema: TableSchema, keys: Sequence[Key]) -> dict[Key, Row | None]:
    """For each key, in order, the row that is there."""
    find = tx.reader(schema).row
    return {key: find(key) for key in keys}


def _stored(tx: Writer, schema: TableSchema, given: Mapping[str, Any], old: Row | None) -> Row:
    plan = plan_of(schema)
    assert plan is not None
    if plan.names == given.keys():
        values = [convert(given[name]) for name, convert in plan.plain]
    else:
        if not plan.names.issuperset(given):
            check_names(schema, list(given))
        values = [
            convert(given[name])
            if name in given
            else old[at]
            if old is not None
            else _default(tx, convert, column)
            for at, (name, convert, column) in enumerate(plan.converters)
        ]
    if None in values:
        for at in plan.not_null:
            if values[at] is None:
                raise _is_null(schema, plan.plain[at][0], given)
    if plan.identities:
        _skip_values(tx, plan, given, values)
    if schema.hidden_key is not None:
        values.append(tx.next_row_ids(schema, 1))
    return tuple(values)


def _skip_values(tx: Writer, plan: RowPlan, given: Mapping[str, Any], values: list[Any]) -> None:
    """Values of an identity column that the user chose are not handed out again."""
    for value, (name, _) in zip(values, plan.plain, strict=True):
        if value is not None and name in given and name in plan.identities:
            tx.skip_values(plan.identities[name], value, value)


def _default(tx: Writer, convert: Convert, column: Column) -> Any:
    default = column.default
    if default is None:
        return None
    return default.value if default.kind == "value" else convert(tx.next_values(default.value, 1)[0])


def _is_null(schema: TableSchema, name: str, given: Mapping[str, Any]) -> ConstraintError:
    keys = [] if schema.hidden_key is not None else [tuple(given.get(part) for part in schema.key_names)]
    where = f" in the row with key {shown_keys(keys, 1)}" if keys else ""
    return ConstraintError(
        f"table {schema.full_name!r}: column {name!r} must not be NULL{where}",
        hint="nothing was changed",
        table=schema.full_name,
        constraint="NOT NULL",
        keys=keys,
    )


def key_given(schema: TableSchema, row: Mapping[str, Any]) -> Key:
    """The encoded key in a dict; InvalidInputError if a part is missing or NULL."""
    plan = plan_of(schema)
    assert plan is not None
    parts = []
    for at in plan.positions:
        name, convert, _ = plan.converters[at]
        if name not in row:
            raise key_missing(schema, [name])
        value = convert(row[name])
        if value is None:
            raise key_null(schema, name, 1)
        parts.append(value)
    return schema.key_spec.encode_one(parts)
