"""What a query refers to, according to DuckDB's own parser.

`json_serialize_sql` gives the parse tree of a SELECT in all its forms. From it come the tables, table functions,
functions and columns, with their places in the text, so that names can be replaced there while DuckDB sees
everything else exactly as it was written. The tree differs a little between DuckDB 1.5 and 2.x; what differs is
read in `_children`, `_cte_body`, `cast_type_of` and constants.py.

Names of common table expressions are no tables. Called by rewrite.py; trees are kept by text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from absdb.sql.text.constants import constant_of
from absdb.sql.text.edits import char_offset
from absdb.sql.text.grouping import grouped_names
from absdb.sql.text.plain import PlainSelect, plain_select

UNKNOWN = -1
"""The place of something that the parser gives no place for."""
_NOWHERE = 2**63
_PLAIN_JOINS = {"REGULAR", "CROSS", "NATURAL", "DEPENDENT"}
_NEEDED_ON_THE_LEFT = {"INNER", "SEMI", "RIGHT"}
_NEEDED_ON_THE_RIGHT = {"INNER", "SEMI", "LEFT", "ANTI"}
_HIDES_THE_RIGHT = {"SEMI", "ANTI"}


@dataclass(slots=True)
class TableRef:
    """A table named after FROM. `all_columns`: it must be given whole, since columns are meant by their place."""

    path: tuple[str, ...]
    alias: str
    at: int
    all_columns: bool = False
    prunable: bool = False
    """Whether leaving out rows that the WHERE clause refuses changes nothing."""
    conjuncts: list[dict[str, Any]] = field(default_factory=list)
    """Terms of the WHERE and ON clauses above it, each of which must be true."""
    using: list[tuple[str, list[TableRef], list[TableRef]]] = field(default_factory=list)
    """Columns, casefolded, whose values must be there on the other side too: (name, own side, other side)."""
    hidden: bool = False
    """Whether clauses above cannot name its columns: it only says which rows of another table count."""
    beside: list[TableRef] = field(default_factory=list)
    """All tables of the same FROM."""
    alone: bool = True
    """Whether everything in the same FROM is a table."""
    in_expression: bool = False
    """Whether it is in a query that is part of an expression, whose text may name a column."""


@dataclass(slots=True)
class Call:
    """A function called by name; `at` is where its name begins."""

    path: tuple[str, ...]
    at: int
    arguments: list[dict[str, Any]]
    alias: str = ""
    names_column: bool = False
    """Whether a column of a SELECT is called like it, since it is all there is of it."""


@dataclass(slots=True)
class Syntax:
    """The references of one query."""

    tables: list[TableRef] = field(default_factory=list)
    table_calls: list[Call] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    columns: list[tuple[tuple[str, ...], int]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    """Every part of a column's name, casefolded: no other column is needed unless `star`."""
    star: bool = False
    grouped: frozenset[str] = frozenset()
    """Columns, casefolded, that a SELECT in it groups by together with others, and does not filter by."""
    plain: PlainSelect | None = None
    """What the query is if it asks for rows of one table by the values of columns."""


class NotASelect(Exception):
    """DuckDB's parser serializes SELECT statements only; the message is its own."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


@dataclass(frozen=True, slots=True)
class Literals:
    """A long list behind IN: its place in the text, and its values. In a tree it is all that the column may be."""

    start: int
    stop: int
    values: tuple[Any, ...]


def parse(connection: Any, text: str, lists: Mapping[str, Literals]) -> Syntax:
    """The references of a query; NotASelect if it is none, or if DuckDB cannot read it.

    `lists` are those that are left out of the text, by the string that stands there.
    """
    answer = connection.execute("SELECT json_serialize_sql($1)", [text]).fetchall()[0][0]
    tree = json.loads(answer)
    if tree.get("error"):
        position = tree.get("position")
        at = UNKNOWN if position is None else char_offset(text, int(position))
        raise NotASelect(str(tree.get("error_message", "")), at)
    if lists:
        _put_back(tree, lists)
    reader = _Reader(text)
    for statement in tree["statements"]:
        reader.node(statement["node"], frozenset())
    if len(tree["statements"]) == 1:
        reader.found.plain = plain_select(tree["statements"][0]["node"])
    return reader.found


def _put_back(value: Any, lists: Mapping[str, Literals]) -> None:
    """Put the lists where their strings are in a tree."""
    if isinstance(value, list):
        for item in value:
            _put_back(item, lists)
    elif isinstance(value, dict):
        known, text = constant_of(value)
        if known and text in lists:
            value.clear()
            value.update({"class": "LITERALS", "listed": lists[text]})
        for each in value.values():
            _put_back(each, lists)


class _Reader:
    """Walks a tree; `ctes` are the names in scope that are no tables."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found = Syntax()
        self.listed: set[int] = set()
        """Items of SELECT lists without an alias."""
        self.in_expression = False

    def place(self, node: Mapping[str, Any]) -> int:
        offset = node.get("query_location", _NOWHERE)
        return UNKNOWN if offset >= _NOWHERE else char_offset(self.text, offset)

    def node(self, node: dict[str, Any], ctes: frozenset[str]) -> None:
        """A query: SELECT, a set operation, a recursive expression."""
        for entry in node.get("cte_map", {}).get("map", ()):
            body = _cte_body(entry["value"])
            own = {entry["key"].casefold()}
            self.node(body, ctes | own if body.get("type") == "RECURSIVE_CTE_NODE" else ctes)
            ctes = ctes | own
        self.listed.update(id(item) for item in node.get("select_list", ()) if not item.get("alias"))
        self.found.grouped |= grouped_names(node)
        source = node.get("from_table")
        if source is not None:
            self.source(source, node, ctes)
        for name, value in node.items():
            if name not in ("cte_map", "from_table"):
                self.anything(value, ctes)

    def source(self, source: dict[str, Any], node: dict[str, Any], ctes: frozenset[str]) -> None:
        """A FROM clause: its tables learn of one another and of the WHERE clause."""
        refs: list[TableRef] = []
        plain = self.part(source, ctes, refs, True)
        conjuncts = list(_conjuncts(node.get("where_clause")))
        for ref in refs:
            ref.beside, ref.alone = refs, plain
            if not ref.hidden:
                ref.conjuncts += conjuncts
            ref.prunable = ref.prunable and not node.get("sample")

    def part(self, part: dict[str, Any], ctes: frozenset[str], refs: list[TableRef], rows: bool) -> bool:
        """One part of a FROM clause; whether nothing but tables is in it."""
        kind = part.get("type")
        if kind == "BASE_TABLE":
            return self.table(part, ctes, refs, rows)
        if kind == "JOIN":
            rows = rows and part.get("ref_type", "REGULAR") in _PLAIN_JOINS
            self.found.star |= part.get("ref_type") == "NATURAL"
            self.found.names.update(name.casefold() for name in part.get("using_columns", ()))
            self.anything(part.get("condition"), ctes)
            first = len(refs)
            plain = self.part(part["left"], ctes, refs, rows)
            second = len(refs)
            plain = self.part(part["right"], ctes, refs, rows) and plain
            _join(part, refs[first:second], refs[second:], plain)
            return plain
        if kind == "TABLE_FUNCTION":
            function = part["function"]
            at = self.place(part)
            call = Call(_path(function, "function_name"), at, _children(function), part.get("alias", ""))
            self.found.table_calls.append(call)
            self.anything(_children(function), ctes)
            return False
        if kind == "PIVOT" or kind == "SHOW_REF":
            self.found.star = True
        for name, value in part.items():
            if name == "source" and isinstance(value, dict):
                self.part(value, ctes, [], False)
            else:
                self.anything(value, ctes)
        return kind == "EMPTY"

    def table(self, part: dict[str, Any], ctes: frozenset[str], refs: list[TableRef], rows: bool) -> bool:
        path = _path(part, "table_name")
        if len(path) == 1 and path[0].casefold() in ctes:
            return False
        by_place = bool(part.get("column_name_alias"))
        ref = TableRef(path, part.get("alias", ""), self.place(part), all_columns=by_place)
        ref.prunable = rows and not by_place and not part.get("sample")
        ref.in_expression = self.in_expression
        refs.append(ref)
        self.found.tables.append(ref)
        return not by_place

    def anything(self, value: Any, ctes: frozenset[str]) -> None:
        """Expressions, and queries inside them."""
        if isinstance(value, list):
            for item in value:
                self.anything(item, ctes)
        elif isinstance(value, dict):
            kind = value.get("class")
            if kind == "CONSTANT":
                return
            if kind == "COLUMN_REF":
                path = tuple(value["column_names"])
                self.found.columns.append((path, self.place(value)))
                self.found.names.update(name.casefold() for name in path)
                return
            if kind == "FUNCTION":
                call = Call(_path(value, "function_name"), self.place(value), _children(value))
                call.names_column = id(value) in self.listed
                self.found.calls.append(call)
            elif kind in ("STAR", "POSITIONAL_REFERENCE"):
                self.found.star = True
            if kind == "SUBQUERY":
                self.subquery(value, ctes)
            elif _is_query(value):
                self.node(value, ctes)
            elif value.get("type") in ("BASE_TABLE", "JOIN", "TABLE_FUNCTION"):
                self.part(value, ctes, [], False)
            else:
                for each in value.values():
                    self.anything(each, ctes)

    def subquery(self, value: dict[str, Any], ctes: frozenset[str]) -> None:
        """A query that is part of an expression."""
        outer, self.in_expression = self.in_expression, True
        if value.get("subquery_type") == "EXISTS":
            self.node(_without_star(value["subquery"]["node"]), ctes)
        else:
            for each in value.values():
                self.anything(each, ctes)
        self.in_expression = outer


def _join(part: Mapping[str, Any], left: list[TableRef], right: list[TableRef], plain: bool) -> None:
    """Tell the tables of a join what its rows must fulfil, if those that do not are of no use."""
    kind = part.get("join_type", "")
    if part.get("ref_type", "REGULAR") == "REGULAR":
        conjuncts = list(_conjuncts(part.get("condition")))
        names = [name.casefold() for name in part.get("using_columns", ())] if plain else []
        sides = ((left, right, _NEEDED_ON_THE_LEFT), (right, left, _NEEDED_ON_THE_RIGHT))
        for mine, others, kinds in sides:
            for ref in mine if kind in kinds else ():
                if not ref.hidden:
                    ref.conjuncts += conjuncts
                    ref.using += [(name, mine, others) for name in names]
    for ref in right if kind in _HIDES_THE_RIGHT else ():
        ref.hidden = True


def _without_star(node: dict[str, Any]) -> dict[str, Any]:
    """The query of an EXISTS, without a plain `SELECT *`: it asks for rows, whatever their columns."""
    items = node.get("select_list", ())
    plain = len(items) == 1 and items[0].get("class") == "STAR" and not node.get("modifiers")
    if not plain or node.get("aggregate_handling") != "STANDARD_HANDLING":
        return node
    options = ("exclude_list", "qualified_exclude_list", "replace_list", "rename_list", "columns", "expr")
    return node if any(items[0].get(option) for option in options) else {**node, "select_list": []}


def _is_query(value: Mapping[str, Any]) -> bool:
    return "cte_map" in value and str(value.get("type", "")).endswith("_NODE")


def _cte_body(value: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = value["query_node"] if "query_node" in value else value["query"]["node"]
    return body


def _path(node: Mapping[str, Any], last: str) -> tuple[str, ...]:
    """A qualified name: catalog, schema, name, as far as they are given."""
    parts = (node.get("catalog_name") or node.get("catalog"), node.get("schema_name") or node.get("schema"))
    return (*(part for part in parts if part), node[last])


def _children(function: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The arguments of a function."""
    if "arguments" in function:
        return [each.get("expression", each) for each in function["arguments"]]
    return list(function.get("children", ()))


def _conjuncts(where: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    if not where:
        return
    if where.get("type") == "CONJUNCTION_AND":
        for child in where["children"]:
            yield from _conjuncts(child)
    else:
        yield where


def cast_type_of(node: Mapping[str, Any]) -> str:
    """The type that a cast names, in capitals; "" for one with parameters or fields."""
    named = node.get("cast_type", {}).get("id") or node.get("type_expr", {}).get("type_name", "")
    return str(named).upper()
