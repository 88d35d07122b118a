"""Columns of values as SQL literals, a batch at a time: DuckDB writes what it reads back as the same.

    integers, booleans, decimals    7, true, 1.50
    floats                          0.1e0, which is no decimal; 'nan'::DOUBLE
    everything else                 its text in quotes, for a place that has a type: '2026-01-01', '[1, NULL]', '\\xAA'

Called by patch_rows.py and definitions.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from absdb.engine.engine import Engine
from absdb.engine.prepare import physical_scalar
from absdb.pages.types import physical_type, to_logical
from absdb.sql.compare.computed import computed
from absdb.sql.duck.connection import backend_of
from absdb.sql.duck.scan import readable
from absdb.sql.duck.types import duckdb_type
from absdb.sql.text.tokens import quoted

_PLAIN = (
    "BOOLEAN",
    "HUGEINT",
    "UHUGEINT",
    *(f"{u}{n}INT" for u in ("", "U") for n in ("TINY", "SMALL", "BIG")),
)
_NUMBERS = frozenset((*_PLAIN, "INTEGER", "UINTEGER"))


def literal_of(column: str, kind: str) -> str:
    """An SQL expression for the literals of a column of a type, both in DuckDB's words."""
    text = f"{column}::VARCHAR"
    if kind in _NUMBERS or kind.startswith("DECIMAL"):
        return f"coalesce({text}, 'NULL')"
    in_quotes = f"'''' || replace({text}, '''', '''''') || ''''"
    if kind in ("FLOAT", "DOUBLE"):
        number = f"{text} || CASE WHEN contains({text}, 'e') THEN '' ELSE 'e0' END"
        cast = "" if kind == "DOUBLE" else " || '::FLOAT'"
        special = f"{in_quotes} || '::{kind}'"
        return f"coalesce(CASE WHEN isfinite({column}) THEN {number}{cast} ELSE {special} END, 'NULL')"
    whole = f"'(' || replace({in_quotes}, chr(0), ''' || chr(0) || ''') || ')'"
    return f"coalesce(CASE WHEN contains({text}, chr(0)) THEN {whole} ELSE {in_quotes} END, 'NULL')"


def literals(
    engine: Engine, rows: Any, kinds: Mapping[str, str], where: str = "true", also: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """The columns in `kinds`, which says their types in DuckDB's words, as literals, and those in `also` as they are,
    of the rows for which a condition holds. `rows` is anything that DuckDB reads."""
    chosen = [f"{literal_of(quoted(name), kind)} AS {quoted(name)}" for name, kind in kinds.items()]
    text = f"SELECT {', '.join([*chosen, *map(quoted, also)])} FROM rows_given WHERE {where}"
    yield from computed(engine, text, {"rows_given": rows}).to_batches()


def value_literal(engine: Engine, value: Any, kind: pa.DataType) -> str:
    """One physical value of a column as a literal."""
    if value is None:
        return "NULL"
    scalar = physical_scalar(value, physical_type(kind))
    rows = pa.table({"x": to_logical(pa.repeat(scalar, 1), kind)})
    (batch,) = literals(engine, readable(rows), {"x": duckdb_type(backend_of(engine), kind)})
    return str(batch.column(0)[0])
