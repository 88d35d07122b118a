"""A DuckDB connection of its own that shows one state of a database: for tools that speak DuckDB, such as ibis.

    orders              a view of the table's rows, mapped and not copied
    sales.orders        a table of another schema
    paid                a view of the database, as DuckDB's own

It is another DuckDB in memory: what a tool makes there is its own affair and touches no database of ours. Files and
extensions are out of reach for good, since DuckDB never switches external access on again. Called by Session.duckdb.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absdb.catalog.schema import DEFAULT_NAMESPACE
from absdb.errors import AbsdbError
from absdb.sql.duck.connection import GUARDED
from absdb.sql.duck.scan import scan
from absdb.sql.listings.catalog_rows import table_rows
from absdb.sql.query.names import Moment, alike
from absdb.sql.query.rewrite import Rewriter
from absdb.sql.text.tokens import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from absdb.sql.duck.connection import Backend


def guarded_connection(backend: Backend, moment: Moment, tables: Sequence[str] | None = None) -> Any:
    """The connection; whoever asked for it closes it. `tables` are those to show, all if not given.

    NotFoundError for a table that is not there. Costs the opening of every table's pages, which are read when a query
    reads them.
    """
    import duckdb

    connection = duckdb.connect(":memory:")
    try:
        for name, value in GUARDED.items():
            connection.execute(f"SET GLOBAL {name} = {value}")
        for namespace in moment.current.catalog.namespaces:
            if namespace != DEFAULT_NAMESPACE:
                connection.execute(f"CREATE SCHEMA {quoted(namespace)}")
        _show(connection, backend, moment, tables)
        connection.execute("SET enable_external_access = false")
    except BaseException:
        connection.close()
        raise
    return connection


def _show(connection: Any, backend: Backend, moment: Moment, wanted: Sequence[str] | None) -> None:
    rows = {
        row.name if row.namespace == DEFAULT_NAMESPACE else f"{row.namespace}.{row.name}": row
        for row in table_rows(moment)
    }
    for name in [] if wanted is None else wanted:
        if alike(rows, name) is None:
            raise moment.missing(tuple(name.split(".")))
    chosen = rows.values() if wanted is None else [alike(rows, name) for name in wanted]
    rewriter = Rewriter(moment, backend, {})
    registered: set[str] = set()
    for row in chosen:
        assert row is not None, "it was found above"
        path = f"{quoted(row.namespace)}.{quoted(row.name)}"
        if row.schema is not None:
            found = scan(moment.current.reader(row.schema), None)
            label = rewriter.register(f"absdb {row.namespace}.{row.name}", found)
            text = f"SELECT * FROM {label}"
        else:
            text = _view(rewriter, moment, path, required=wanted is not None)
            if not text:
                continue
        for name in [name for name in rewriter.objects if name not in registered]:
            connection.register(name, rewriter.objects[name])
            registered.add(name)
        for statement in rewriter.setup:
            connection.execute(statement)
        rewriter.setup.clear()
        connection.execute(f"CREATE VIEW {path} AS {text}")


def _view(rewriter: Rewriter, moment: Moment, path: str, *, required: bool) -> str:
    """A view's query in DuckDB's words; "" for one that cannot be read any more, unless it was asked for."""
    try:
        return rewriter.prepare(f"SELECT * FROM {quoted(moment.current.info.name)}.{path}").text
    except AbsdbError:
        if required:
            raise
        return ""  # what it reads was dropped; the listings show it, and using it says what is wrong
