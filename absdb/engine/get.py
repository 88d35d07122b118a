"""One row by its key, as a dict of logical Python values: tens of microseconds, no Arrow batch made.

Called by tables; many keys at once go through TableReader.lookup.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from absdb.catalog.schema import TableSchema
from absdb.engine.reader import TableReader, physical_row
from absdb.errors import InvalidInputError
from absdb.pages.lookup import row_values
from absdb.pages.section import Key
from absdb.pages.values import Converter


class GetPlan:
    """What a look-up needs of one schema: converters in and out, made once."""

    __slots__ = ("key", "names", "out")

    def __init__(self, schema: TableSchema) -> None:
        self.key = [(c.name, Converter.of(c.type, c.name).to_physical) for c in schema.key_columns]
        self.names = [c.name for c in schema.columns]
        self.out = [Converter.of(c.type, c.name).to_python for c in schema.columns]


def get(reader: TableReader, key: Any) -> dict[str, Any] | None:
    """The row with this key, None if there is none. A key of several columns is a tuple, or a dict."""
    schema = reader.schema
    plan = _plan(schema)
    hit = reader.find(_encoded(schema, plan, key))
    if hit is None or hit.deleted:
        return None
    if hit.page is not None:
        return dict(zip(plan.names, row_values(hit.page, hit.at, schema.projection), strict=True))
    row = hit.row if hit.schema is schema else physical_row(schema, hit)
    assert row is not None
    return {
        name: value if value is None else convert(value)
        for name, convert, value in zip(plan.names, plan.out, row, strict=False)
    }


def key_of(schema: TableSchema, key: Any) -> Key:
    """The encoded form of a key as a user writes it; InvalidInputError if it is no key of this table."""
    return _encoded(schema, _plan(schema), key)


def _plan(schema: TableSchema) -> GetPlan:
    plan: GetPlan | None = schema.__dict__.get("_get_plan")
    if plan is None:
        if schema.hidden_key is not None:
            raise InvalidInputError(
                f"table {schema.full_name!r} has no key, so its rows cannot be looked up",
                hint="create it with key=…",
                table=schema.full_name,
            )
        plan = schema.__dict__["_get_plan"] = GetPlan(schema)
    return plan


def _encoded(schema: TableSchema, plan: GetPlan, key: Any) -> Key:
    if isinstance(key, Mapping):
        parts: Any = [key.get(name) for name, _ in plan.key]
    else:
        parts = key if isinstance(key, tuple) else (key,)
    if len(parts) != len(plan.key):
        raise InvalidInputError(
            f"table {schema.full_name!r}: a key has {len(plan.key)} parts, {', '.join(schema.key_names)}; "
            f"found {len(parts)}",
            hint="pass a tuple" if len(plan.key) > 1 else "pass a single value",
            table=schema.full_name,
        )
    stored = [convert(value) for (_, convert), value in zip(plan.key, parts, strict=True)]
    if None in stored:
        raise InvalidInputError(
            f"table {schema.full_name!r}: {plan.key[stored.index(None)][0]!r} is NULL, and a key never is",
            hint=f"its key is {', '.join(schema.key_names)}",
            table=schema.full_name,
        )
    return schema.key_spec.encode_one(stored)
