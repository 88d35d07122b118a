"""Constants in the tree of DuckDB's parser, which differ between DuckDB 1.5 and 2.x.

Called by syntax.py, grouping.py, and by what compares columns with constants in query/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def constant_of(node: Mapping[str, Any]) -> tuple[bool, Any]:
    """(whether the expression is a plain constant, its value: an int, a text, or None for NULL)."""
    if node.get("class") != "CONSTANT":
        return False, None
    if "literal" in node:
        literal = node["literal"]
        if literal["kind"] == "INTEGER":
            return True, int(literal["text"].replace("_", ""))
        return literal["kind"] == "STRING", literal.get("text", "")
    value = node["value"]
    kind = value["type"]["id"]
    if value.get("is_null"):
        return False, None
    if kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "VARCHAR"):
        return True, value["value"]
    return False, None
