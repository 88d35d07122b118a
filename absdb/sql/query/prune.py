"""The rows of a table that WHERE and ON clauses can leave over, found by key before DuckDB sees the table.

    id = 7 · id IN (1, ?)                       the rows with these keys, looked up
    carrier = 'UA' AND flight > 100             the range of keys that begins so (a key of several columns)
    time_hour >= TIMESTAMP '2013-07-01'         the range of keys
    id = frame.id                               the rows with the keys of a small frame (see joined.py)

Terms that are joined by AND and compare a key column with a constant or a parameter of the column's own kind count;
DuckDB still applies the whole clause, so that what is found here may be too much and must never be too little. Called
by rewrite.py for every table of a query, and by explain.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from absdb.catalog.schema import Column, TableSchema
from absdb.engine.reader import TableReader
from absdb.errors import AbsdbError
from absdb.pages.fold import KeyRange
from absdb.pages.key import KeyKind
from absdb.pages.memcomparable import row_encoder
from absdb.pages.section import Key
from absdb.pages.types import physical_type
from absdb.pages.values import Converter
from absdb.sql.duck.scan import as_stored
from absdb.sql.query.joined import Frames, frame_column, is_only_owner, only_column, values_of
from absdb.sql.query.names import NamedTable
from absdb.sql.text.constants import constant_of
from absdb.sql.text.syntax import Literals, TableRef, cast_type_of

KEYS_MAX = 100_000
_LAST_INTEGERS = (2**63 - 1, 2**64 - 1)
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
_OPERATORS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows by their keys, or by a range of keys."""

    keys: tuple[Key, ...] | None = None
    key_range: KeyRange = (None, None)
    implied: tuple[Literals, ...] = ()
    """Lists of literals that hold nothing but what is equal to the column in one of these rows."""


@dataclass(slots=True)
class _Bounds:
    """What is known of one key column, as physical values: among some values, or between two."""

    among: set[Any] | None = None
    low: tuple[Any, bool] | None = None  # (value, whether it is included)
    high: tuple[Any, bool] | None = None

    def meet(self, operator: str, value: Any) -> None:
        if operator == "=":
            self.meet_any({value})
        elif operator in (">", ">="):
            low = (value, operator == ">=")
            if self.low is None or (value, not low[1]) > (self.low[0], not self.low[1]):
                self.low = low
        else:
            high = (value, operator == "<=")
            if self.high is None or (value, high[1]) < self.high:
                self.high = high

    def meet_any(self, values: set[Any]) -> None:
        self.among = values if self.among is None else self.among & values


@dataclass(slots=True)
class _Terms:
    """Comparisons of a table's columns with constants."""

    ref: TableRef
    named: Mapping[int, NamedTable]
    values: Mapping[str, Any]
    schema: TableSchema
    frames: Frames
    bounds: dict[str, _Bounds] = field(default_factory=dict)
    lists: list[Literals] = field(default_factory=list)
    """Long lists that the bounds hold exactly."""

    def read(self) -> None:
        for using in self.ref.using:
            self._using(*using)
        for term in self.ref.conjuncts:
            kind = term.get("type")
            if kind in _OPERATORS:
                self._compare(_OPERATORS[kind], term["left"], term["right"])
            elif kind == "COMPARE_IN":
                self._among(term["children"][0], term["children"][1:])
            elif kind == "COMPARE_BETWEEN":
                self._compare(">=", term["input"], term["lower"])
                self._compare("<=", term["input"], term["upper"])

    def _compare(self, operator: str, left: dict[str, Any], right: dict[str, Any]) -> None:
        column = self._column(left)
        if column is None:
            column, right, operator = self._column(right), left, _FLIPPED[operator]
        if column is None:
            return
        known, value = self._value(right, column)
        if known:
            self.bounds.setdefault(column.name, _Bounds()).meet(operator, value)
        elif operator == "=":
            self._joined(column, frame_column(right, self.ref, self.named, self.frames))

    def _using(self, name: str, mine: Sequence[TableRef], others: Sequence[TableRef]) -> None:
        """A column that has the same name on both sides of a join, and is one column of one table on each."""
        column = next((c for c in self.schema.key_columns if c.name.casefold() == name), None)
        if column is not None and is_only_owner(self.ref, name, mine, self.named, self.frames):
            self._joined(column, only_column(name, others, self.named, self.frames))

    def _joined(self, column: Column, other: pa.ChunkedArray | None) -> None:
        values = None if other is None else values_of(other, column.type)
        if values is not None:
            self._meet_all(column, values)

    def _meet_all(self, column: Column, values: Sequence[Any]) -> bool:
        """The column is among these; it says nothing if one of them is not of the column's kind. Whether it does."""
        physical = physicals(column)
        found = [physical(value) for value in values]
        met = all(known for known, _ in found)
        if met:
            self.bounds.setdefault(column.name, _Bounds()).meet_any({value for _, value in found})
        return met

    def _among(self, left: dict[str, Any], listed: Sequence[dict[str, Any]]) -> None:
        column = self._column(left)
        if column is None:
            return
        if listed[0].get("class") == "LITERALS":
            literals: Literals = listed[0]["listed"]
            if self._meet_all(column, literals.values) and compares_exactly(column.type, literals):
                self.lists.append(literals)
            return
        constants = [self._constant(node, column) for node in listed]
        if all(known for known, _ in constants):
            self._meet_all(column, [value for _, value in constants])

    def _column(self, node: Mapping[str, Any]) -> Column | None:
        """The key column a node names, None if it names anything else, or perhaps another table's column."""
        if node.get("class") != "COLUMN_REF":
            return None
        *qualifier, name = [part.casefold() for part in node["column_names"]]
        column = next((c for c in self.schema.key_columns if c.name.casefold() == name), None)
        if column is None or self.schema.hidden_key is not None:
            return None
        if qualifier:
            table = self.named[id(self.ref)]
            called = [(self.ref.alias.casefold(),)] if self.ref.alias else table.qualifiers
            return column if tuple(qualifier) in called else None
        if not self.ref.alone:
            return None
        only = is_only_owner(self.ref, name, self.ref.beside, self.named, self.frames)
        return column if only else None

    def _value(self, node: Mapping[str, Any], column: Column) -> tuple[bool, Any]:
        """(whether the node is a constant that compares with the column by plain order, its physical value)."""
        known, value = self._constant(node, column)
        return physicals(column)(value) if known else (False, None)

    def _constant(self, node: Mapping[str, Any], column: Column) -> tuple[bool, Any]:
        """(whether the node is a constant or a parameter, its value)."""
        if node.get("class") == "PARAMETER":
            return True, self.values.get(node.get("identifier", ""))
        if node.get("class") != "CAST":
            return constant_of(node)
        known, value = constant_of(node.get("child", {}))
        return known and isinstance(value, str) and _means_itself(
            cast_type_of(node), value, column.type
        ), value


def physicals(column: Column) -> Callable[[Any], tuple[bool, Any]]:
    """From a value of a column's own kind to (whether the column could hold it, the value as pages hold it)."""
    kind = physical_type(column.type)
    moment, fits = _is_moment(kind), _fitting(kind)
    convert = Converter.of(column.type, column.name).to_physical

    def physical(value: Any) -> tuple[bool, Any]:
        if moment and isinstance(value, str):
            value = _moment(value, kind)
        if not fits(value):
            return False, None
        try:
            return True, convert(value)
        except AbsdbError:
            return False, None  # out of the column's range: left to DuckDB, which has an opinion on it

    return physical


def _fitting(kind: pa.DataType) -> Callable[[Any], bool]:
    """Whether a Python value is of the kind that a column holds."""
    if pt.is_integer(kind):
        return lambda value: isinstance(value, int) and not isinstance(value, bool)
    if kind in (pa.string(), pa.large_string()):
        return lambda value: isinstance(value, str)
    if kind in (pa.binary(), pa.large_binary()):
        return lambda value: isinstance(value, bytes)
    if pt.is_date32(kind):
        return lambda value: isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    if pt.is_timestamp(kind):
        return lambda value: isinstance(value, dt.datetime) and (value.tzinfo is None) == (kind.tz is None)
    return lambda value: False


def compares_exactly(kind: pa.DataType, literals: Literals) -> bool:
    """Whether a column is equal to those of the literals that it holds, and to no other."""
    if isinstance(kind, pa.BaseExtensionType):
        return False
    whole = isinstance(literals.values[0], int)
    return bool(pt.is_integer(kind) if whole else pt.is_string(physical_type(kind)))


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pt.is_date32(kind) or pt.is_timestamp(kind))


def _means_itself(cast_to: str, text: str, kind: pa.DataType) -> bool:
    """Whether a text that is cast to a type compares with a column just as the text itself would."""
    if pt.is_date32(kind):
        return cast_to in ("DATE", "TIMESTAMP")
    if not pt.is_timestamp(kind):
        return False
    if kind.tz is not None:
        return cast_to in ("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")
    # A date has no time, whatever the text has.
    return cast_to == "TIMESTAMP" or (cast_to == "DATE" and len(text) == len("2026-04-04"))


def _moment(text: str, kind: pa.DataType) -> Any:
    """A date or time in the plain ISO form; None for other forms, which DuckDB may know."""
    try:
        return dt.date.fromisoformat(text) if pt.is_date32(kind) else dt.datetime.fromisoformat(text)
    except ValueError:
        return None


def selection(
    schema: TableSchema,
    ref: TableRef,
    named: Mapping[int, NamedTable],
    values: Mapping[str, Any],
    frames: Frames,
) -> Selection | None:
    """The keys a query can use of a table; None if that may be all of them. `frames` are tables in memory."""
    if not ref.prunable or not (ref.conjuncts or ref.using) or schema.hidden_key is not None:
        return None
    terms = _Terms(ref, named, values, schema, frames)
    terms.read()
    bounds = [terms.bounds.get(column.name) for column in schema.key_columns]
    if bounds[0] is None:
        return None
    choices = [each.among for each in bounds if each is not None and each.among is not None]
    if len(choices) == len(bounds):
        count = 1
        for choice in choices:
            count *= len(choice)
        if count <= KEYS_MAX:
            keys = {schema.key_spec.encode_one(values) for values in product(*choices)}
            return Selection(tuple(sorted(keys)), implied=tuple(terms.lists))
    return Selection(key_range=_range(schema, bounds))


def _range(schema: TableSchema, bounds: Sequence[_Bounds | None]) -> KeyRange:
    """The range of keys from what is known of the first columns: single values, then one interval."""
    single: list[Any] = []
    for bound in bounds:
        if bound is None or bound.among is None or len(bound.among) != 1:
            break
        single.append(next(iter(bound.among)))
    last = bounds[len(single)] if len(single) < len(bounds) else None
    low, high = (None, None) if last is None else _interval(last)
    types = schema.key_spec.types
    if schema.key_spec.kind is not KeyKind.ENCODED:
        encode = schema.key_spec.encode_one
        lo = None if low is None else encode([low[0]]) if low[1] else _after(encode([low[0]]))
        hi = None if high is None else _after(encode([high[0]])) if high[1] else encode([high[0]])
        return lo, hi
    prefix = b"".join(row_encoder([kind])([value]) for kind, value in zip(types, single, strict=False))

    def beginning(value: Any) -> bytes:
        return prefix + row_encoder([types[len(single)]])([value])

    start = prefix if low is None else beginning(low[0]) if low[1] else _behind(beginning(low[0]))
    end = _behind(prefix) if high is None else _behind(beginning(high[0])) if high[1] else beginning(high[0])
    return start or None, end


def _interval(bound: _Bounds) -> tuple[tuple[Any, bool] | None, tuple[Any, bool] | None]:
    if bound.among:
        return (min(bound.among), True), (max(bound.among), True)
    return bound.low, bound.high


def _after(key: Key) -> Key | None:
    """The first key above this one; None if there can be none, which as a lower bound lets everything through."""
    if isinstance(key, int):
        return None if key in _LAST_INTEGERS else key + 1
    return key + b"\x00"


def _behind(prefix: bytes) -> bytes | None:
    """The first key above all that begin so; None if there is none."""
    cut = prefix.rstrip(b"\xff")
    return cut[:-1] + bytes([cut[-1] + 1]) if cut else None


def selected(reader: TableReader, found: Selection, columns: Sequence[str] | None) -> pa.Table:
    """A part of the table that has every row the query can use."""
    stored = as_stored(reader)
    if found.keys is not None:
        return stored.part(columns, keys=found.keys)
    return stored.part(columns, key_range=found.key_range)
