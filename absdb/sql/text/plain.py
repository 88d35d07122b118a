"""Queries for rows of one table by the values of columns, and nothing else: which columns, and by which values.

    SELECT * FROM t WHERE id = ?
    SELECT a, t.b AS c FROM t WHERE x = 'k' AND y IN (1, 2) ORDER BY x, y LIMIT 10

Recognized in the tree of DuckDB's parser by what is there: whatever is not known to mean nothing makes it another
kind of query. Called by syntax.py; by_key.py answers those that name the key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Node = Mapping[str, Any]
Path = tuple[str, ...]

_PLACES = frozenset(("class", "type", "query_location", "query_location_length"))
_RISING = ("ORDER_DEFAULT", "ASCENDING")


@dataclass(frozen=True, slots=True)
class PlainSelect:
    """`items` are the columns with their aliases, "" if there is none; the path of `*` is empty."""

    items: tuple[tuple[Path, str], ...]
    terms: tuple[tuple[Path, tuple[Node, ...]], ...]
    """Columns, each with the expressions that it may equal one of."""
    order: tuple[Path, ...]
    """The columns of ORDER BY, all rising."""
    limit: Node | None


class _Other(Exception):
    """It is another kind of query."""


def plain_select(node: Node) -> PlainSelect | None:
    """The query whose tree this is, None if it is more than that."""
    try:
        _check(node.get("type") == "SELECT_NODE")
        _only(node, "select_list", "from_table", "where_clause", "modifiers", "cte_map", "aggregate_handling")
        _check(not node["cte_map"]["map"] and node["aggregate_handling"] == "STANDARD_HANDLING")
        _table(node["from_table"])
        order, limit = _modifiers(node["modifiers"])
        items = tuple(map(_item, node["select_list"]))
        return PlainSelect(items, tuple(_terms(node["where_clause"])), order, limit)
    except (_Other, KeyError):
        return None


def _check(plain: bool) -> None:
    if not plain:
        raise _Other


def _only(node: Node, *known: str) -> None:
    """Nothing is there but what is known: all else is empty."""
    _check(not any(value for name, value in node.items() if name not in known and name not in _PLACES))


def _table(source: Node) -> None:
    _check(source["type"] == "BASE_TABLE")
    _only(source, "table_name", "schema_name", "catalog_name", "qualified_name", "alias")


def _item(node: Node) -> tuple[Path, str]:
    if node["class"] == "STAR":
        _only(node)
        return (), ""
    return _column(node), str(node["alias"])


def _column(node: Node) -> Path:
    _check(node["class"] == "COLUMN_REF")
    _only(node, "column_names", "alias")
    return tuple(node["column_names"])


def _terms(clause: Node | None) -> Iterator[tuple[Path, tuple[Node, ...]]]:
    if clause is None:
        return
    kind = clause["type"]
    if kind == "CONJUNCTION_AND":
        _only(clause, "children")
        for child in clause["children"]:
            yield from _terms(child)
    elif kind == "COMPARE_EQUAL":
        _only(clause, "left", "right")
        turned = clause["left"]["class"] != "COLUMN_REF"
        column, value = (clause["right"], clause["left"]) if turned else (clause["left"], clause["right"])
        yield _column(column), (value,)
    else:
        _check(kind == "COMPARE_IN")
        _only(clause, "children")
        column, *values = clause["children"]
        yield _column(column), tuple(values)


def _modifiers(modifiers: Sequence[Node]) -> tuple[tuple[Path, ...], Node | None]:
    order: tuple[Path, ...] = ()
    limit = None
    for each in modifiers:
        if each["type"] == "ORDER_MODIFIER":
            _only(each, "orders")
            order = tuple(map(_rising, each["orders"]))
        else:
            _check(each["type"] == "LIMIT_MODIFIER" and each.get("limit_type", "ROW_COUNT") == "ROW_COUNT")
            _only(each, "limit", "limit_type")
            limit = each["limit"]
    return order, limit


def _rising(order: Node) -> Path:
    _check(order["type"] in _RISING and order["null_order"] == "ORDER_DEFAULT")
    return _column(order["expression"])
