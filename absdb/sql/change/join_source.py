"""What a target is joined with: FROM of UPDATE, USING of DELETE and MERGE INTO.

A source with a name is read once, before the target. If the condition makes the whole key of the target equal to
columns of the source, and the source is small, the rows with those keys are all of the target that the statement
looks at; DuckDB still applies the whole condition to them.

Called by update.py, delete.py and merge_into.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.types as pt

from absdb.catalog.schema import TableSchema
from absdb.engine import row_changes
from absdb.engine.reader import TableReader
from absdb.errors import SchemaMismatchError
from absdb.sql.change.assignments import expression
from absdb.sql.change.computed import reads_once, wrapped
from absdb.sql.change.returning import read_returning
from absdb.sql.change.target import TargetRef
from absdb.sql.change.target_table import TargetTable, target_table
from absdb.sql.duck.scan import readable
from absdb.sql.query import run
from absdb.sql.query.names import NamedTable, alike
from absdb.sql.query.prepared import StandIn
from absdb.sql.text.assembly import Assembled, Piece, Span
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.parsed import Query
from absdb.sql.text.time_travel import matching
from absdb.sql.text.tokens import Token, quoted

if TYPE_CHECKING:
    from absdb.sql.session import Call
    from absdb.versioning.scope import TransactionScope

SOURCE = "@source"
_NO_ALIAS = ("AT", "TABLESAMPLE", "PIVOT", "UNPIVOT")
ROWS_MAX = 100_000
"""A source with more rows than this is not looked up row by row."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source as written: `path` and `label` of one table, `label` of a query with a name, neither of all else."""

    span: Span
    path: tuple[str, ...]
    label: str


@dataclass(slots=True)
class SourceRows:
    """A source that has been read: its rows, how to name it behind FROM, and what goes with the query."""

    rows: pa.Table
    pieces: list[Piece]
    given: dict[str, Any]


def read_source(cursor: TokenCursor, first: int, stop: int) -> Source:
    """The source between two tokens, with its name if there is only one."""
    tokens = cursor.tokens
    span = Span(tokens[first].start, tokens[stop - 1].stop)
    at, path = first, []
    if tokens[at].upper == "(":
        at = matching(cursor.text, tokens, at) + 1
    elif tokens[at].is_name:
        path = [tokens[at].value]
        at += 1
        while at + 1 < stop and tokens[at].upper == "." and tokens[at + 1].is_name:
            path.append(tokens[at + 1].value)
            at += 2
        if at < stop and tokens[at].upper == "(":
            at, path = matching(cursor.text, tokens, at) + 1, path[-1:]
    label, at = _alias(tokens, at, stop)
    if at < stop and label and tokens[at].upper == "(":
        at = matching(cursor.text, tokens, at) + 1
    if at != stop or (not path and not label):
        return Source(span, (), "")
    return Source(span, tuple(path), label or path[-1])


def read_rest(cursor: TokenCursor, joined_by: str) -> tuple[Source | None, Span | None, Span | None]:
    """`[FROM …] [WHERE …] [RETURNING …]` to the end of a statement: what it is joined with, if and what it gives back.

    `joined_by` is the word before the source: FROM, or USING.
    """
    source = condition = None
    if cursor.accept(joined_by):
        first = cursor.at
        expression(cursor, ("WHERE", "RETURNING"))
        source = read_source(cursor, first, cursor.at)
    if cursor.accept("WHERE"):
        condition = expression(cursor, ("RETURNING",))
    return source, condition, read_returning(cursor)


def _alias(tokens: Sequence[Token], at: int, stop: int) -> tuple[str, int]:
    """(the alias, "" if there is none; the token behind it)"""
    if at < stop and tokens[at].upper == "AS":
        at += 1
    if (
        at < stop
        and tokens[at].is_name
        and tokens[at].upper not in _NO_ALIAS
        and (at + 1 == stop or tokens[at + 1].upper == "(")
    ):
        return tokens[at].value, at + 1
    return "", at


def rows_of(
    call: Call, scope: TransactionScope, clause: Span | None, source: Source, limit: int | None = None
) -> SourceRows | None:
    """The rows of a source with a name; None if they are more than `limit`, or cannot be read twice."""
    before: list[Piece] = [clause, "\n"] if clause else []
    text = Assembled(call.text, [*before, "SELECT * FROM ", source.span, "\n"])
    prepared = call.prepare(text.text, scope=scope, edits=[text])
    if limit is not None:
        if reads_once(prepared):
            return None
        prepared = wrapped(prepared, "", f"LIMIT {limit + 1}")
    rows = run.table(call.session.backend, prepared, call.values)
    if limit is not None and rows.num_rows > limit:
        return None
    plain = source.path and source.path[-1] == source.label
    alias = "" if plain else f" AS {quoted(source.label)}"
    given = {SOURCE: StandIn(readable(rows), source.path or (source.label,))}
    return SourceRows(rows, [quoted(SOURCE), alias], given)


def joined_tables(
    call: Call,
    scope: TransactionScope,
    named: NamedTable,
    target: TargetRef,
    clause: Span | None,
    source: Source | None,
    condition: Span | None,
) -> tuple[TargetTable, list[Piece]]:
    """The target and the source of a query, the target with as few rows as the condition lets through."""
    if source is None:
        return target_table(call, scope, named, target), []
    read = _small_rows_of(call, scope, clause, source)
    if read is None or condition is None:
        return target_table(call, scope, named, target), [source.span]
    reader = scope.reader(named.schema)
    met = rows_joined(call, reader, target.label, source, read.rows, condition)
    table = target_table(call, scope, named, target, met)
    table.given.update(read.given)
    return table, read.pieces


def _small_rows_of(
    call: Call, scope: TransactionScope, clause: Span | None, source: Source
) -> SourceRows | None:
    """The rows of a source that has a name and is small; None for any other."""
    if not source.label:
        return None
    if source.path and clause is None:
        found = call.moment(scope).find(source.path)
        if isinstance(found, NamedTable) and _rows_at_most(found.view.reader(found.schema)) > ROWS_MAX:
            return None
    return rows_of(call, scope, clause, source, ROWS_MAX)


def _rows_at_most(reader: TableReader) -> int:
    return sum(page.rows for section in reader.sections for page in section.pages)


def rows_joined(
    call: Call,
    reader: TableReader,
    label: str,
    source: Source,
    rows: pa.Table,
    condition: Span | None,
    using: Sequence[str] = (),
) -> pa.Table | None:
    """The rows of the target whose keys the condition makes equal to some of the source's; None if not known."""
    schema = reader.schema
    if schema.hidden_key is not None or rows.num_rows > ROWS_MAX:
        return None
    pairs = {name: name for name in using}
    if condition is not None:
        pairs = dict(_equal_columns(call, schema, label, source, rows, condition))
    columns = []
    for column in schema.key_columns:
        name = alike({each: each for each in rows.schema.names}, pairs.get(column.name, ""))
        if name is None or not _comparable(column.type, rows.schema.field(name).type):
            return None
        columns.append(rows.column(name))
    keys = pa.Table.from_arrays(columns, names=list(schema.key_names)).drop_null()
    try:
        return row_changes.rows_with_keys(reader, keys, None)
    except SchemaMismatchError:
        return None  # some value is none of the key's type, so the rest is left to DuckDB


def _comparable(key: pa.DataType, given: pa.DataType) -> bool:
    """Whether equal values are equal keys."""
    texts = (pa.string(), pa.large_string(), pa.string_view())
    return (
        (pt.is_integer(key) and pt.is_integer(given))
        or (key in texts and given in texts)
        or (key == given and not pt.is_floating(key))
    )


def _equal_columns(
    call: Call, schema: TableSchema, label: str, source: Source, rows: pa.Table, condition: Span
) -> Iterator[tuple[str, str]]:
    """(key column, column of the source) of every term of the condition that makes the two equal."""
    pieces: list[Piece] = [f"SELECT 1 FROM {quoted(label)}, {quoted(source.label)} WHERE ", condition]
    text = Assembled(call.text, pieces).text
    backend = call.session.backend

    def read() -> Query:
        with backend.registered({}) as connection:
            return Query.read(connection, text)

    query = backend.kept.get(Query, text, read)
    keys = {column.name: column.name for column in schema.key_columns}
    theirs = {name: name for name in rows.schema.names}
    for term in query.syntax.tables[0].conjuncts if query.syntax.tables else ():
        if term.get("type") != "COMPARE_EQUAL":
            continue
        for left, right in ((term["left"], term["right"]), (term["right"], term["left"])):
            key = _named(left, label, keys, theirs)
            other = _named(right, source.label, theirs, dict.fromkeys(schema.by_name, ""))
            if key is not None and other is not None:
                yield key, other


def _named(
    node: Mapping[str, Any], label: str, known: Mapping[str, str], others: Mapping[str, str]
) -> str | None:
    """The column of the table `label` that a node names; None if it names anything else, or may do so."""
    if node.get("class") != "COLUMN_REF":
        return None
    *qualifier, name = node["column_names"]
    if qualifier and [part.casefold() for part in qualifier] != [label.casefold()]:
        return None
    if not qualifier and alike(others, name) is not None:
        return None
    return alike(known, name)
