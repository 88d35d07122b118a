"""The expressions of CHECK, DEFAULT and generated columns, evaluated by DuckDB over Arrow rows.

One private in-memory DuckDB database per evaluator, which reaches no file, no network, no extension and no
variable of the calling program. Rows go in and come out as Arrow, in order; a call costs about a millisecond, so
tables without such expressions never come here. DuckDB is loaded at the first call.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from absdb.errors import QueryError
from absdb.sql.duck.scan import readable

COLUMNS_KEPT = 1024
_ROWS = "rows_given"
_NUMBER = "_row_number_given"
_LOCKED = (
    "SET enable_external_access = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET python_enable_replacements = false",
    "SET TimeZone = 'UTC'",
    "SET threads = 1",
    "SET lock_configuration = true",
)


class SqlEvaluator:
    """Evaluates expressions; safe for many threads, one at a time."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._connection: Any = None
        self._columns: dict[str, tuple[str, ...]] = {}

    def evaluate(self, expressions: Sequence[str], rows: pa.Table) -> list[pa.Array]:
        """For each expression one value per row, in the order of the rows.

        QueryError names the expression and what DuckDB says about it; nothing else is evaluated then.
        """
        numbered = readable(rows).append_column(_NUMBER, pa.array(np.arange(rows.num_rows)))
        chosen = ", ".join(f"({text}\n) AS e{at}" for at, text in enumerate(expressions))
        for text in expressions:
            self.columns_of(text)
        query = f"SELECT {chosen} FROM {_ROWS} ORDER BY {_NUMBER}"
        with self._mutex:
            connection = self._open()
            connection.register(_ROWS, numbered)
            try:
                found = connection.sql(query).to_arrow_table()
            except Exception as error:
                raise self._error(expressions, error) from error
            finally:
                connection.unregister(_ROWS)
        return [_one_array(found.column(at)) for at in range(len(expressions))]

    def columns_of(self, expression: str) -> list[str]:
        """The names of the columns an expression reads, as they are written in it."""
        known = self._columns.get(expression)
        if known is None:
            with self._mutex:
                known = _columns_of(self._open(), expression)
                if len(self._columns) >= COLUMNS_KEPT:
                    self._columns.clear()
                self._columns[expression] = known
        return list(known)

    def close(self) -> None:
        """Let go of DuckDB; the next call opens it again."""
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> Any:
        if self._connection is None:
            import duckdb

            self._connection = duckdb.connect(":memory:")
            for statement in _LOCKED:
                self._connection.execute(statement).fetchall()
        return self._connection

    def _error(self, expressions: Sequence[str], error: Exception) -> QueryError:
        shown = ", ".join(expressions)
        return QueryError(f"the expression {shown} cannot be evaluated: {str(error).splitlines()[0]}")


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.array([], column.type) if column.num_chunks == 0 else pa.concat_arrays(column.chunks)


def _columns_of(connection: Any, expression: str) -> tuple[str, ...]:
    """Column names in DuckDB's own parse tree; QueryError if the text is not one expression.

    It is parsed bare, which shows a list of several, and in parentheses, which shows clauses after it.
    """
    node = _parse(connection, expression, f"SELECT {expression}")
    _parse(connection, expression, f"SELECT ({expression}\n)")
    names: dict[str, None] = {}
    _walk(node, names, expression)
    return tuple(names)


def _parse(connection: Any, expression: str, query: str) -> Any:
    """The single item of the SELECT list."""
    text = connection.execute("SELECT json_serialize_sql($1)", [query]).fetchall()[0][0]
    parsed = json.loads(text)
    if parsed.get("error"):
        raise QueryError(
            f"{expression!r} is not an SQL expression: {parsed.get('error_message', '')}",
            hint="write it as after SELECT, such as price * quantity",
        )
    statements = parsed["statements"]
    node = statements[0]["node"] if len(statements) == 1 else {}
    listed = node.get("select_list", [])
    alone = node.get("type") == "SELECT_NODE" and node.get("from_table", {}).get("type") == "EMPTY"
    if len(listed) != 1 or not alone:
        raise QueryError(f"{expression!r} is not one SQL expression", hint="give exactly one value per row")
    return listed[0]


def _walk(node: Any, names: dict[str, None], expression: str) -> None:
    if isinstance(node, list):
        for item in node:
            _walk(item, names, expression)
    elif isinstance(node, dict):
        kind = node.get("class")
        if kind == "COLUMN_REF":
            names[".".join(node["column_names"])] = None
        elif kind == "SUBQUERY":
            raise QueryError(
                f"{expression!r} has a sub-query", hint="only the columns of the row can be read"
            )
        for value in node.values():
            _walk(value, names, expression)
