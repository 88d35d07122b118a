"""Columns whose values a SELECT tells apart together with those of others: GROUP BY a, b and SELECT DISTINCT a, b.

    GROUP BY a, f(x)                    a
    GROUP BY 1, 2 · GROUP BY alias      what stands in the SELECT list, where that is a column
    GROUP BY ALL · DISTINCT             the columns of the SELECT list, if there are several
    GROUP BY a                          none: it is alone

Those that the WHERE clause names are left out. A column is known by its name only. Called by syntax.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absdb.sql.text.constants import constant_of

Node = Mapping[str, Any]


def grouped_names(node: Node) -> frozenset[str]:
    """The names, casefolded; columns of other tables may have them too."""
    if node.get("type") != "SELECT_NODE":
        return frozenset()
    items: Sequence[Node] = node.get("select_list", ())
    keys: list[Node] = [_meant(key, items) for key in node.get("group_expressions", ())]
    if not keys and (node.get("aggregate_handling") == "FORCE_AGGREGATES" or _is_distinct(node)):
        keys = [item for item in items if item.get("class") == "COLUMN_REF"]
    if len(keys) < 2:
        return frozenset()
    names = frozenset(key["column_names"][-1].casefold() for key in keys if key.get("class") == "COLUMN_REF")
    return names.difference(_names(node.get("where_clause"))) if names else names


def _meant(key: Node, items: Sequence[Node]) -> Node:
    """What a key stands for that is the place or the alias of an item."""
    known, number = constant_of(key)
    if known and isinstance(number, int):
        return items[number - 1] if 0 < number <= len(items) else key
    if key.get("class") == "COLUMN_REF" and len(key["column_names"]) == 1:
        alias = key["column_names"][0].casefold()
        return next((item for item in items if item.get("alias", "").casefold() == alias), key)
    return key


def _is_distinct(node: Node) -> bool:
    return any(modifier.get("type") == "DISTINCT_MODIFIER" for modifier in node.get("modifiers", ()))


def _names(value: Any) -> Iterator[str]:
    """The names of all columns in an expression, casefolded."""
    if isinstance(value, dict):
        if value.get("class") == "COLUMN_REF":
            yield from (name.casefold() for name in value["column_names"])
        for each in value.values():
            yield from _names(each)
    elif isinstance(value, list):
        for each in value:
            yield from _names(each)
