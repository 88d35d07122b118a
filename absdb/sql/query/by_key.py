"""Rows by their keys without DuckDB: names, types, values and order of rows are what it would give.

    SELECT * FROM orders WHERE id = ?
    SELECT total FROM orders WHERE id IN (1, 2, 3)
    SELECT temp AS t FROM weather WHERE station = 'JFK' AND hour = TIMESTAMP '2026-01-01 10:00:00'

Every column of the key must be given, by values that compare with it as they are and columns of types that DuckDB
gives back unchanged. All else, and all that is wrong, is left to DuckDB. Called by select.py.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.types as pt

from absdb.catalog.schema import Column, TableSchema
from absdb.errors import NotFoundError, QueryError
from absdb.pages.section import Key
from absdb.pages.types import physical_type
from absdb.sql.duck.connection import Backend
from absdb.sql.duck.scan import as_stored, readable
from absdb.sql.query import run
from absdb.sql.query.names import Moment, NamedTable
from absdb.sql.query.prepared import Prepared
from absdb.sql.query.prune import KEYS_MAX, compares_exactly, physicals
from absdb.sql.query.reading import read_query
from absdb.sql.query.run import Ready
from absdb.sql.text.constants import constant_of
from absdb.sql.text.parsed import Query
from absdb.sql.text.plain import Node, Path, PlainSelect
from absdb.sql.text.syntax import Literals, cast_type_of
from absdb.sql.text.tokens import Kind

if TYPE_CHECKING:
    from absdb.sql.session import Call

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?")
_STARTS = ("SELECT", "FROM")
_ROWS = "rows"


def rows_by_key(call: Call, moment: Moment) -> Ready | None:
    """The rows, None if the query must go to DuckDB."""
    session = call.session
    if session.duckdb_settings or call.statement.tokens[0].upper not in _STARTS:
        return None
    query = read_query(session.backend, call.text)
    plain = query.syntax.plain
    if plain is None or query.travels or query.shows or query.pivots or not plain.terms:
        return None
    named = _table(moment, query)
    if named is None or named.schema.hidden_key is not None:
        return None
    reader = as_stored(named.view.reader(named.schema))
    meant = _Meant(plain, query.syntax.tables[0].alias, named)
    fields = meant.fields(_given_back(session.backend, reader.schema))
    keys = meant.keys(call.values)
    limit = meant.limit()
    if fields is None or keys is None or limit is None:
        return None
    rows = reader.part([column for column, _ in fields], keys=keys)
    made = pa.Table.from_arrays(rows.columns, schema=pa.schema([field for _, field in fields]))
    return Ready(made.slice(0, limit))


def _table(moment: Moment, query: Query) -> NamedTable | None:
    """The table that is meant, if it is one of a database, and named and not a file."""
    ref = query.syntax.tables[0]
    place = query.place(ref)
    if place is None or query.tokens[query.starts[place[0]]].kind is Kind.STRING:
        return None
    try:
        found = moment.find(ref.path)
    except NotFoundError:
        return None  # which is said with its place where the query is made ready for DuckDB
    return found if isinstance(found, NamedTable) else None


class _Meant:
    """What a query says about a table; None for what DuckDB has to see."""

    def __init__(self, plain: PlainSelect, alias: str, named: NamedTable) -> None:
        self._plain = plain
        self._schema = named.schema
        self._columns = {column.name.casefold(): column for column in named.schema.columns}
        called = [(alias.casefold(),)] if alias else named.qualifiers
        self._qualifiers = [path for path in called if path[0] not in self._columns]
        self._row = called[0][-1]

    def _column(self, path: Path) -> Column | None:
        """The column that a path names, unless it may name the whole row, or a part of a column."""
        *qualifier, name = [part.casefold() for part in path]
        if (tuple(qualifier) not in self._qualifiers) if qualifier else name == self._row:
            return None
        return self._columns.get(name)

    def fields(self, known: Mapping[str, pa.Field]) -> list[tuple[str, pa.Field]] | None:
        """The columns to read, and the fields of the result; `known` are those that DuckDB gives back unchanged."""
        found: list[tuple[str, pa.Field]] = []
        for path, alias in self._plain.items:
            columns = [self._column(path)] if path else self._schema.columns
            for column in columns:
                if column is None or column.name not in known:
                    return None
                field = known[column.name]
                found.append((column.name, field.with_name(alias) if alias else field))
        distinct = {field.name.casefold() for _, field in found}, {name for name, _ in found}
        return found if all(len(each) == len(found) for each in distinct) else None

    def keys(self, values: Mapping[str, Any]) -> list[Key] | None:
        """The keys that are asked for, sorted."""
        choices: dict[str, set[Any]] = {}
        for path, nodes in self._plain.terms:
            column = self._column(path)
            among = None if column is None or column.name in choices else _among(column, nodes, values)
            if column is None or among is None:
                return None
            choices[column.name] = among
        names = self._schema.key_names
        if choices.keys() != set(names) or not self._in_key_order():
            return None
        if math.prod(map(len, choices.values())) > KEYS_MAX:
            return None
        encode = self._schema.key_spec.encode_one
        return sorted(map(encode, product(*(choices[name] for name in names))))

    def _in_key_order(self) -> bool:
        """Whether ORDER BY asks for nothing but the order that rows have anyway."""
        order = self._plain.order
        if not order:
            return True
        columns = [self._column(path) for path in order]
        aliased = any(alias for _, alias in self._plain.items)
        return not aliased and columns == list(self._schema.key_columns)

    def limit(self) -> int | None:
        """How many rows are asked for at most."""
        if self._plain.limit is None:
            return KEYS_MAX
        known, count = constant_of(self._plain.limit)
        return count if known and type(count) is int and 0 <= count <= KEYS_MAX else None


def _given_back(backend: Backend, stored: TableSchema) -> Mapping[str, pa.Field]:
    """The columns whose values DuckDB gives back as it reads them, as they are in its results; found once a schema."""
    found: dict[str, pa.Field] | None = stored.__dict__.get("_given_back")
    if found is None:
        rows = readable(stored.arrow_schema.empty_table())
        try:
            fields = run.table(backend, Prepared(f'FROM "{_ROWS}"', [], {_ROWS: rows}, [], []), {}).schema
        except QueryError:
            fields = pa.schema([])  # what DuckDB cannot read is refused where it is asked to
        same = zip(stored.arrow_schema, fields, strict=False)
        found = {b.name: b for a, b in same if a.name == b.name and a.type == b.type}
        stored.__dict__["_given_back"] = found
    return found


def _among(column: Column, nodes: Sequence[Node], values: Mapping[str, Any]) -> set[Any] | None:
    """The physical values among which a column must be; None unless each compares with it as it is."""
    if isinstance(column.type, pa.BaseExtensionType) or len({_kind(node) for node in nodes}) > 1:
        return None
    physical = physicals(column)
    found = set()
    for value in _values(column, nodes, values):
        known, stored = physical(value)
        if not known:
            return None
        found.add(stored)
    return found


def _values(column: Column, nodes: Sequence[Node], values: Mapping[str, Any]) -> Sequence[Any]:
    """What the column may be; None stands for what does not compare with it as it is."""
    listed: Literals | None = nodes[0].get("listed")
    if listed is not None:
        return listed.values if compares_exactly(column.type, listed) else [None]
    kind = physical_type(column.type)
    return [_exact(kind, node, values) for node in nodes]


def _kind(node: Node) -> tuple[str, str]:
    return str(node.get("class")), cast_type_of(node)


def _exact(kind: pa.DataType, node: Node, values: Mapping[str, Any]) -> Any:
    """The value of a constant or parameter that DuckDB compares with a column of that kind as it is; else None."""
    if node.get("class") == "PARAMETER":
        value = values.get(node.get("identifier", ""))
        return value if type(value) is _python_type(kind) and value is not None else None
    cast = cast_type_of(node) if node.get("class") == "CAST" and not node.get("try_cast") else None
    known, value = constant_of(node if cast is None else node.get("child", {}))
    if not known:
        return None
    if cast is None and (pt.is_integer(kind) or pt.is_string(kind)):
        return value
    if not isinstance(value, str) or cast not in (None, "DATE", "TIMESTAMP"):
        return None
    day = _DAY.fullmatch(value)
    if pt.is_date32(kind) or cast == "DATE":
        return value if day else None
    return value if kind == pa.timestamp("us") and (day or _MOMENT.fullmatch(value)) else None


def _python_type(kind: pa.DataType) -> type | None:
    """The type of the parameters that are of a column's kind."""
    if pt.is_timestamp(kind):
        return dt.datetime if kind.unit == "us" else None
    return next((python for test, python in _PYTHON_TYPES if test(kind)), None)


_PYTHON_TYPES: tuple[tuple[Any, type], ...] = (
    (pt.is_integer, int),
    (pt.is_string, str),
    (pt.is_binary, bytes),
    (pt.is_date32, dt.date),
)
