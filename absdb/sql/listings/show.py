"""DESCRIBE and SHOW: what there is, and what a table looks like.

    DESCRIBE orders              column_name, column_type, null, key, default, extra, comment
    DESCRIBE SELECT …            the columns a query gives
    SHOW TABLES [FROM staging]   name          SHOW ALL TABLES    of every database, with columns
    SHOW DATABASES  SCHEMAS      names         SHOW BRANCHES  SNAPSHOTS  SETTINGS   the listings absdb_…
    SHOW timezone                a setting, of DuckDB or the instance

In a query they stand in parentheses: `FROM (DESCRIBE orders)`. Called by dispatch.py, and by rewrite.py for those
in queries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.catalog.history import DatabaseInfo
from absdb.engine.listing import field, listed
from absdb.errors import NotFoundError
from absdb.sql.duck.connection import backend_of
from absdb.sql.duck.types import duckdb_type
from absdb.sql.listings import listings
from absdb.sql.listings.catalog_rows import ColumnRow, column_rows, columns_of, table_rows, view_schema
from absdb.sql.query.names import DatabaseView, Moment, NamedTable, NamedView, Path
from absdb.sql.query.result import Result
from absdb.sql.query.select import execute as run_query
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.parsed import QUERY_STARTS, SHOWING
from absdb.sql.text.source import error_at, placed
from absdb.sql.text.time_travel import travel_refs

if TYPE_CHECKING:
    from absdb.sql.session import Call

_TEXT = pa.string()
DESCRIBED = pa.schema(
    [
        field("column_name", _TEXT),
        field("column_type", _TEXT),
        field("null", _TEXT),
        *(field(name, _TEXT, nullable=True) for name in ("key", "default", "extra", "comment")),
    ]
)
TABLE_INFO = pa.schema(
    [
        field("cid", pa.int64()),
        field("name", _TEXT),
        field("type", _TEXT),
        field("notnull", pa.bool_()),
        field("dflt_value", _TEXT, nullable=True),
        field("pk", pa.bool_()),
    ]
)
EXPANDED = pa.schema(
    [
        field("database", _TEXT),
        field("schema", _TEXT),
        field("name", _TEXT),
        field("column_names", pa.list_(_TEXT)),
        field("column_types", pa.list_(_TEXT)),
        field("temporary", pa.bool_()),
    ]
)
_NAMES = pa.schema([field("name", _TEXT)])
_LISTINGS = {"BRANCHES": "absdb_branches", "SNAPSHOTS": "absdb_snapshots", "SETTINGS": "absdb_settings"}


def execute(call: Call) -> Result:
    """The rows of DESCRIBE or SHOW."""
    cursor = TokenCursor(call.statement)
    verb = cursor.token.upper
    table = _at_point(call) or shown(call.moment(), cursor)
    if table is None and verb == "SHOW" and len(cursor.tokens) == 3:
        return Result(table=_setting(call, cursor.tokens[1].value, cursor.tokens[1].start), statement="SHOW")
    if table is None:
        return run_query(call)
    return Result(table=table, statement=verb)


def _at_point(call: Call) -> pa.Table | None:
    """The rows of `DESCRIBE t AT (…)`; None if the statement is none."""
    cursor = TokenCursor(call.statement, 1)
    cursor.accept("TABLE")
    refs = travel_refs(call.text, cursor.tokens) if cursor.token.upper not in QUERY_STARTS else []
    if not refs or refs[0].start != cursor.token.start:
        return None
    at = call.rewriter().point(call.text, refs[0].when)
    try:
        return described(call.moment(), refs[0].path, at)
    except NotFoundError as error:
        raise placed(error, call.text, refs[0].start) from error


def shown(moment: Moment, cursor: TokenCursor) -> pa.Table | None:
    """The rows of what comes next, up to where it ends; None if it is DuckDB's affair, such as a query's columns."""
    start = cursor.at
    verb = cursor.expect_one(SHOWING)
    if cursor.done or cursor.token.upper == ")":
        return listing(moment, "show_tables_expanded")
    special = None if verb != "SHOW" else _special(moment, cursor)
    if special is not None:
        if not cursor.done and cursor.token.upper != ")":
            cursor.refuse("the end of the statement")
        return special
    cursor.accept("TABLE")
    if cursor.token.upper in QUERY_STARTS or not cursor.token.is_name:
        cursor.at = start
        return None
    at = cursor.token.start
    path = cursor.path("a table")
    if not cursor.done and cursor.token.upper != ")":
        cursor.refuse("the end of the statement")
    try:
        return described(moment, path)
    except NotFoundError as error:
        if verb == "SHOW" and len(path) == 1:
            cursor.at = start
            return None
        raise placed(error, cursor.text, at) from error


def _special(moment: Moment, cursor: TokenCursor) -> pa.Table | None:
    """SHOW TABLES and its like; None if something else is shown."""
    if cursor.accept("ALL", "TABLES"):
        return listing(moment, "show_tables_expanded")
    following = cursor.tokens[cursor.at + 1].upper
    if following not in ("", ")", "FROM", "IN"):
        return None
    what = cursor.accept_one(("TABLES", "DATABASES", "SCHEMAS", "COLUMNS", *_LISTINGS))
    if what is None:
        return None
    start = cursor.token.start
    path = cursor.path() if cursor.accept_one(("FROM", "IN")) else ()
    try:
        if what == "COLUMNS":
            return described(moment, path)
        if what in _LISTINGS:
            found = listings.table(moment, (_LISTINGS[what],))
            assert found is not None
            return found
        return listing(moment, f"show_{what.lower()}", path)
    except NotFoundError as error:
        raise placed(error, cursor.text, start) from error


def listing(moment: Moment, what: str, path: Path = ()) -> pa.Table:
    """The rows of `show_tables`, `show_databases`, `show_schemas`, `show_tables_expanded`; `path` says of what."""
    if what == "show_databases":
        names = sorted(info.name for info in list(moment.engine.history.databases.values()))
        return listed(pa.schema([field("database_name", _TEXT)]), [(name,) for name in names])
    if what == "show_tables_expanded":
        return listed(EXPANDED, _expanded(moment))
    namespace: str | None = moment.namespace
    if path:
        info = moment.database(path[0])
        namespace = path[-1] if info is None or len(path) > 1 else None
        moment = moment if info is None else moment.of_database(info)
        if namespace is not None and namespace not in moment.current.catalog.namespaces:
            raise NotFoundError(f"there is no database or schema {path[-1]!r}")
    if what == "show_schemas":
        return listed(_NAMES, [(name,) for name in moment.current.catalog.namespaces])
    rows = table_rows(moment)
    return listed(_NAMES, [(row.name,) for row in rows if namespace in (None, row.namespace)])


def _expanded(moment: Moment) -> list[tuple[str, str, str, list[str], list[str], bool]]:
    found = []
    infos = list(moment.engine.history.databases.values())
    for info in sorted(infos, key=lambda info: info.name):
        one = moment.of_database(info)
        columns: dict[tuple[str, str], list[ColumnRow]] = {}
        for column in column_rows(one):
            columns.setdefault((column.namespace, column.table), []).append(column)
        for row in table_rows(one):
            own = columns.get((row.namespace, row.name), [])
            shape = ([c.name for c in own], [c.type for c in own])
            found.append((info.name, row.namespace, row.name, *shape, False))
    return found


def described(
    moment: Moment, path: Path, at: Callable[[DatabaseInfo], DatabaseView] | None = None
) -> pa.Table:
    """One row a column of a table or view, now or at a point; NotFoundError suggests the nearest name."""
    found = moment.find(path, at)
    if isinstance(found, NamedView):
        schema = view_schema(moment, found)
        backend = backend_of(moment.engine)
        rows = [(f.name, duckdb_type(backend, f.type), "YES", None, None, None, None) for f in schema]
        return listed(DESCRIBED, rows)
    if not isinstance(found, NamedTable):
        rows_of_listing = listings.table(moment, path, at)
        if rows_of_listing is None:
            raise moment.missing(path)
        backend = backend_of(moment.engine)
        fields = [(f.name, duckdb_type(backend, f.type)) for f in rows_of_listing.schema]
        return listed(DESCRIBED, [(*each, "YES", None, None, None, None) for each in fields])
    return listed(DESCRIBED, [_described(found, row) for row in columns_of(_at(moment, found), found.schema)])


def _at(moment: Moment, found: NamedTable) -> Moment:
    return moment.of_database(found.view.info, found.view)


def _described(found: NamedTable, row: ColumnRow) -> tuple[str | None, ...]:
    table = found.schema
    column = table.by_name[row.name]
    key = "PRI" if column.id in table.key else None
    if key is None and any(getattr(each, "columns", None) == (column.id,) for each in _unique(found)):
        key = "UNI"
    extra = None if row.generated is None else f"GENERATED ALWAYS AS ({row.generated})"
    if row.identity:
        extra = "GENERATED BY DEFAULT AS IDENTITY"
    null = "YES" if row.nullable else "NO"
    return (row.name, row.type, null, key, row.default, extra, row.comment or None)


def _unique(found: NamedTable) -> list[object]:
    from absdb.catalog.schema import Unique

    return [each for each in found.schema.constraints if isinstance(each, Unique)]


def table_info(moment: Moment, path: Path) -> pa.Table:
    """What `PRAGMA table_info('t')` gives in SQLite and DuckDB."""
    found = moment.find(path)
    if not isinstance(found, NamedTable):
        raise moment.missing(path)
    rows = columns_of(_at(moment, found), found.schema)
    return listed(
        TABLE_INFO,
        [
            (
                row.position - 1,
                row.name,
                row.type,
                not row.nullable,
                row.default,
                found.schema.by_name[row.name].id in found.schema.key,
            )
            for row in rows
        ],
    )


def _setting(call: Call, name: str, start: int) -> pa.Table:
    """The value of a setting: of the instance, or of DuckDB."""
    for row in call.session.engine.settings.rows():
        if row["name"] == name.casefold():
            return pa.table({name.casefold(): [row["value"]]})
    special = {
        "transaction_isolation": "snapshot",
        "search_path": call.session.namespace,
        "schema": call.session.namespace,
    }
    if name.casefold() in special:
        return pa.table({name.casefold(): [special[name.casefold()]]})
    with call.session.backend.registered({}) as connection:
        query = "SELECT value FROM duckdb_settings() WHERE lower(name) = lower($1)"
        found = connection.execute(query, [name]).fetchall()
    if not found:
        raise error_at(
            call.text,
            start,
            f"there is no table or setting {name!r}",
            hint="SHOW TABLES, SHOW DATABASES, SHOW BRANCHES, SHOW SNAPSHOTS, SHOW SETTINGS list what there is",
        )
    return pa.table({name: [found[0][0]]})
