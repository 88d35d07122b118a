"""The table that a statement changes: its place in the text, what it means, its columns and their types.

Called by insert.py, update.py, delete.py, merge_into.py, truncate.py and copy.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from absdb.catalog.history import DatabaseInfo
from absdb.catalog.schema import Column, TableSchema
from absdb.errors import NotFoundError
from absdb.sql.dispatch import after_with
from absdb.sql.duck.connection import Backend
from absdb.sql.duck.types import duckdb_type
from absdb.sql.listings import listings
from absdb.sql.query.names import NamedTable, NamedView, alike
from absdb.sql.text.assembly import Span
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.parsed import Statement
from absdb.sql.text.source import error_at, placed
from absdb.sql.text.suggestion import suggestion

if TYPE_CHECKING:
    from absdb.sql.session import Call
    from absdb.versioning.scope import Scope


@dataclass(frozen=True, slots=True)
class TargetRef:
    """A table as it is named: `start` and `stop` are the place of the name, `alias` what columns are qualified with."""

    path: tuple[str, ...]
    start: int
    stop: int
    alias: str
    """"" if there is none."""

    @property
    def label(self) -> str:
        """The name by which the statement's expressions know the table."""
        return self.alias or self.path[-1]


def begun(statement: Statement) -> tuple[TokenCursor, Span | None]:
    """A cursor at the statement's own first word, and the WITH clause before it."""
    start, tokens = after_with(statement), statement.tokens
    clause = Span(tokens[0].start, tokens[start - 1].stop) if start else None
    return TokenCursor(statement, start), clause


def read_target(cursor: TokenCursor, following: Sequence[str], *, alias: bool = True) -> TargetRef:
    """`name [[AS] alias]`; `following` are the keywords that are no alias."""
    first = cursor.at
    path = cursor.path("the name of a table")
    start, stop = cursor.tokens[first].start, cursor.tokens[cursor.at - 1].stop
    named = ""
    if alias and (
        cursor.accept("AS")
        or (cursor.token.is_name and not cursor.done and cursor.token.upper not in following)
    ):
        named = cursor.name("an alias")
    return TargetRef(path, start, stop, named)


def database_of(call: Call, ref: TargetRef) -> DatabaseInfo:
    """The database that the table belongs to."""
    try:
        return call.moment().split(ref.path)[0]
    except NotFoundError as error:
        raise placed(error, call.text, ref.start) from error


def table_of(call: Call, ref: TargetRef, scope: Scope) -> NamedTable:
    """The table; QueryError if there is none, or if it is something that cannot be written."""
    moment = call.moment(scope)
    try:
        found = moment.find(ref.path)
        if found is None and listings.table(moment, ref.path) is None:
            raise moment.missing(ref.path)
    except NotFoundError as error:
        raise placed(error, call.text, ref.start) from error
    name = ".".join(ref.path)
    if isinstance(found, NamedView):
        raise error_at(
            call.text,
            ref.start,
            f"{name!r} is a view and cannot be written",
            hint="change the tables that it reads",
        )
    if found is None:
        raise error_at(call.text, ref.start, f"{name!r} is computed by absdb and cannot be written")
    return found


def column_of(call: Call, schema: TableSchema, name: str, at: int) -> Column:
    """A column by its name, in any case; QueryError suggests the nearest one."""
    found = alike(schema.by_name, name)
    if found is None:
        hint = suggestion(name, schema.by_name, "its columns")
        raise error_at(call.text, at, f"table {schema.full_name!r} has no column {name!r}", hint=hint)
    return found


def written_column(call: Call, schema: TableSchema, name: str, at: int) -> Column:
    """A column that a statement gives a value; QueryError for generated ones."""
    column = column_of(call, schema, name, at)
    if column.generated is not None:
        raise error_at(
            call.text,
            at,
            f"column {column.name!r} is generated and cannot be written",
            hint=f"it is {column.generated}",
        )
    return column


def given_twice(call: Call, at: int, name: str) -> NoReturn:
    """Refuse a column that a statement gives two values."""
    raise error_at(call.text, at, f"column {name!r} is given twice")


def writable_columns(schema: TableSchema) -> list[Column]:
    """The columns a row is given, in order: all but generated ones."""
    return [column for column in schema.columns if column.generated is None]


def types_of(backend: Backend, schema: TableSchema) -> dict[str, str]:
    """DuckDB's names for the types of the columns, by column name; asked for once per schema."""
    found: dict[str, str] | None = schema.__dict__.get("_duckdb_types")
    if found is None:
        found = {column.name: duckdb_type(backend, column.type) for column in schema.columns}
        schema.__dict__["_duckdb_types"] = found
    return found
