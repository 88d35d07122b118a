"""The defaults of columns as SQL expressions. Called by everything that describes tables."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.schema import DEFAULT_NAMESPACE, Column
from absdb.engine.ddl_checks import is_own_sequence
from absdb.pages.values import Converter
from absdb.sql.text.tokens import literal


def is_identity(column: Column, catalog: DatabaseCatalog) -> bool:
    """Whether the column counts by itself, from a sequence that is its own and has no name in SQL."""
    default = column.default
    if default is None or default.kind != "sequence":
        return False
    return is_own_sequence(catalog, default.value)


def default_text(column: Column, catalog: DatabaseCatalog) -> str | None:
    """A column's default as an SQL expression; None if it has none, or is an identity or generated."""
    default = column.default
    if default is None or is_identity(column, catalog):
        return None
    if default.kind == "value":
        return value_text(Converter.of(column.type, column.name).to_python(default.value))
    if default.kind != "sequence":
        return str(default.value)
    sequence = catalog.named["sequence"][default.value]
    space, name = sequence["namespace"], sequence["name"]
    return f"nextval({literal(name if space == DEFAULT_NAMESPACE else f'{space}.{name}')})"


def value_text(value: Any) -> str:
    """A Python value as an SQL literal."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return literal("".join(f"\\x{byte:02X}" for byte in value)) + "::BLOB"
    if isinstance(value, pa.MonthDayNano):
        return f"to_months({value.months}) + to_days({value.days}) + to_microseconds({value.nanoseconds // 1000})"
    if isinstance(value, list) and value and all(isinstance(each, tuple) for each in value):
        return f"MAP {{{', '.join(f'{value_text(key)}: {value_text(item)}' for key, item in value)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, dict):
        inner = ", ".join(f"{literal(str(key))}: {value_text(each)}" for key, each in value.items())
        return f"{{{inner}}}"
    return str(value) if isinstance(value, (int, float)) else literal(str(value))
