"""What SQL calls the types and defaults of columns: DuckDB is asked, so that it is what a CAST takes.

Called by everything that describes tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.schema import Column
from absdb.pages.values import Converter
from absdb.sql.connection import Backend
from absdb.sql.scan import readable_type
from absdb.sql.tokens import literal


def type_names(backend: Backend, kinds: Iterable[pa.DataType]) -> dict[pa.DataType, str]:
    """DuckDB's name of each type, such as `DECIMAL(18,2)` or `INTEGER[]`."""
    wanted = list(dict.fromkeys(kinds))
    if not wanted:
        return {}
    fields = [pa.field(str(at), readable_type(kind)) for at, kind in enumerate(wanted)]
    with backend.registered({"columns asked for": pa.schema(fields).empty_table()}) as connection:
        rows = connection.execute('DESCRIBE FROM "columns asked for"').fetchall()
    return {kind: row[1] for kind, row in zip(wanted, rows, strict=True)}


def default_text(column: Column, catalog: DatabaseCatalog) -> str | None:
    """A column's default as an SQL expression; None if it has none, or is an identity or generated."""
    default = column.default
    if default is None:
        return None
    if default.kind == "value":
        return value_text(Converter.of(column.type, column.name).to_python(default.value))
    if default.kind != "sequence":
        return str(default.value)
    sequence = catalog.entities.get(("sequence", default.value), {})
    return f"nextval({literal(sequence['name'])})" if sequence.get("name") else None


def value_text(value: Any) -> str:
    """A Python value as an SQL literal."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return literal("".join(f"\\x{byte:02X}" for byte in value)) + "::BLOB"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, dict):
        inner = ", ".join(f"{literal(str(key))}: {value_text(each)}" for key, each in value.items())
        return f"{{{inner}}}"
    return str(value) if isinstance(value, (int, float)) else literal(str(value))
