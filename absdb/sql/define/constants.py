"""Expressions that have one value, whenever they are evaluated: literals, casts and arithmetic of literals.

Called for defaults: a constant one is kept as a value, which needs no DuckDB at an insert and is what rows read
as that are older than their column.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.sql.duck.duck_errors import query_error
from absdb.sql.duck.export import Export
from absdb.sql.duck.types import duckdb_type
from absdb.sql.text.edits import Edit, Edited
from absdb.sql.text.source import error_at

if TYPE_CHECKING:
    from absdb.sql.define.column_clauses import Expression
    from absdb.sql.session import Call

_CLASSES = {"CONSTANT", "CAST", "TYPE", "FUNCTION", "OPERATOR"}
_UNITS = ("years", "months", "weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds")
_FUNCTIONS = {"+", "-", "*", "/", "//", "%", "||", "trunc", "list_value", "struct_pack", "row", "map"}
_FUNCTIONS |= {f"to_{unit}" for unit in _UNITS}


def constant_value(call: Call, expression: Expression, kind: pa.DataType) -> tuple[bool, Any]:
    """(whether an expression is constant, its value as one of the Arrow type `kind`).

    QueryError points at a constant that is no such value.
    """
    backend = call.session.backend
    with backend.registered({}) as connection:
        answer = connection.execute("SELECT json_serialize_sql($1)", [f"SELECT ({expression.text}\n)"])
        tree = json.loads(answer.fetchall()[0][0])
        if tree.get("error") or not all(_is_constant(node) for node in _nodes(tree["statements"][0]["node"])):
            return False, None
        stop = expression.at + len(expression.text)
        # The expression keeps its place, so that errors point at it.
        before, after = "SELECT CAST((", f"\n) AS {duckdb_type(backend, kind)})"
        edited = Edited(call.text, [Edit(0, expression.at, before), Edit(stop, len(call.text), after)])
        try:
            found = exported(connection.sql(edited.text))
        except Exception as error:
            message = query_error(error, edited.text, [edited]).message.split("\n")[0]
            raise error_at(call.text, expression.at, message) from error
        return True, found.column(0)[0].as_py()


def exported(relation: Any) -> pa.Table:
    """All rows of a relation, with UUIDs and JSON as what they are."""
    rows = relation.to_arrow_table()
    return Export(rows.schema, [str(kind) for kind in relation.types]).table(rows)


def _is_constant(node: dict[str, Any]) -> bool:
    kind = node["class"]
    return kind in _CLASSES and (kind != "FUNCTION" or node.get("function_name") in _FUNCTIONS)


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """All expressions of a parse tree."""
    if isinstance(value, list):
        for item in value:
            yield from _nodes(item)
    elif isinstance(value, dict):
        if "class" in value:
            yield value
        for each in value.values():
            yield from _nodes(each)
