"""DuckDB's own catalog functions over our catalog, with its columns as far as they say something here.

    duckdb_databases()  duckdb_schemas()  duckdb_tables()  duckdb_columns()  duckdb_views()
    duckdb_constraints()  duckdb_sequences()

Programs made for DuckDB ask them what there is. They are about the current database, at the point the statement
sees; `duckdb_databases()` is about all. Called by listings.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from absdb.catalog.history import DatabaseInfo
from absdb.engine.listing import field, listed
from absdb.sql.listings.catalog_rows import column_rows, constraint_rows, sequence_rows, table_rows, view_rows
from absdb.sql.query.names import Moment

_TEXT, _INT, _BOOL, _TEXTS = pa.string(), pa.int64(), pa.bool_(), pa.list_(pa.string())


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([field(name, kind, nullable=True) for name, kind in columns.items()])


_DATABASES = _schema(
    database_name=_TEXT, database_oid=_INT, comment=_TEXT, internal=_BOOL, type=_TEXT, readonly=_BOOL
)
_SCHEMAS = _schema(database_name=_TEXT, schema_name=_TEXT, comment=_TEXT, internal=_BOOL)
_TABLES = _schema(
    database_name=_TEXT,
    schema_name=_TEXT,
    table_name=_TEXT,
    table_oid=_INT,
    comment=_TEXT,
    internal=_BOOL,
    temporary=_BOOL,
    has_primary_key=_BOOL,
    estimated_size=_INT,
    column_count=_INT,
    index_count=_INT,
    check_constraint_count=_INT,
)
_COLUMNS = _schema(
    database_name=_TEXT,
    schema_name=_TEXT,
    table_name=_TEXT,
    column_name=_TEXT,
    column_index=_INT,
    comment=_TEXT,
    internal=_BOOL,
    column_default=_TEXT,
    is_nullable=_BOOL,
    data_type=_TEXT,
    numeric_precision=_INT,
    numeric_precision_radix=_INT,
    numeric_scale=_INT,
    is_generated=_BOOL,
    generation_expression=_TEXT,
)
_VIEWS = _schema(
    database_name=_TEXT,
    schema_name=_TEXT,
    view_name=_TEXT,
    comment=_TEXT,
    internal=_BOOL,
    temporary=_BOOL,
    column_count=_INT,
    sql=_TEXT,
)
_CONSTRAINTS = _schema(
    database_name=_TEXT,
    schema_name=_TEXT,
    table_name=_TEXT,
    constraint_type=_TEXT,
    constraint_text=_TEXT,
    expression=_TEXT,
    constraint_column_names=_TEXTS,
    constraint_name=_TEXT,
    referenced_table=_TEXT,
    referenced_column_names=_TEXTS,
)
_SEQUENCES = _schema(
    database_name=_TEXT,
    schema_name=_TEXT,
    sequence_name=_TEXT,
    temporary=_BOOL,
    start_value=_INT,
    increment_by=_INT,
    cycle=_BOOL,
)


def _databases(moment: Moment) -> pa.Table:
    infos = list(moment.engine.history.databases.values())
    rows = [
        (i.name, int(i.id), i.comment or None, False, "absdb", i.protected) for i in sorted(infos, key=_made)
    ]
    return listed(_DATABASES, rows)


def _made(info: DatabaseInfo) -> tuple[int, int]:
    return info.created_us, int(info.id)


def _schemas(moment: Moment) -> pa.Table:
    name = moment.current.info.name
    return listed(_SCHEMAS, [(name, each, None, False) for each in moment.current.catalog.namespaces])


def _tables(moment: Moment) -> pa.Table:
    database = moment.current.info.name
    rows: list[tuple[Any, ...]] = []
    for row in table_rows(moment):
        table = row.schema
        if table is not None:
            checks = sum(each.kind == "CHECK" for each in constraint_rows(moment) if each.table == row.name)
            size = moment.current.reader(table).count()
            shape = (bool(table.key_names), size, len(table.columns), 0, checks)
            rows.append(
                (database, row.namespace, row.name, int(table.id), row.comment or None, False, False, *shape)
            )
    return listed(_TABLES, rows)


def _columns(moment: Moment) -> pa.Table:
    database = moment.current.info.name
    return listed(
        _COLUMNS,
        [
            (
                database,
                row.namespace,
                row.table,
                row.name,
                row.position,
                row.comment or None,
                False,
                row.default,
                row.nullable,
                row.type,
                row.precision,
                row.radix,
                row.scale,
                row.generated is not None,
                row.generated,
            )
            for row in column_rows(moment)
        ],
    )


def _views(moment: Moment) -> pa.Table:
    database = moment.current.info.name
    columns = [(row.namespace, row.table) for row in column_rows(moment)]
    rows = [
        (
            database,
            view["namespace"],
            view["name"],
            view["comment"] or None,
            False,
            False,
            columns.count((view["namespace"], view["name"])),
            view["query"],
        )
        for view in view_rows(moment)
    ]
    return listed(_VIEWS, rows)


def _constraints(moment: Moment) -> pa.Table:
    database = moment.current.info.name
    return listed(
        _CONSTRAINTS,
        [
            (
                database,
                row.namespace,
                row.table,
                "NOT NULL" if row.definition == "NOT NULL" else row.kind,
                row.definition,
                row.expression,
                row.columns,
                row.name,
                row.referenced_table,
                row.referenced_columns,
            )
            for row in constraint_rows(moment)
        ],
    )


def _sequences(moment: Moment) -> pa.Table:
    database = moment.current.info.name
    rows = [
        (database, row.get("namespace", "main"), row["name"], False, row["start"], row["increment"], False)
        for row in sequence_rows(moment)
    ]
    return listed(_SEQUENCES, rows)


FUNCTIONS: dict[str, Callable[[Moment], pa.Table]] = {
    "duckdb_databases": _databases,
    "duckdb_schemas": _schemas,
    "duckdb_tables": _tables,
    "duckdb_columns": _columns,
    "duckdb_views": _views,
    "duckdb_constraints": _constraints,
    "duckdb_sequences": _sequences,
}
"""Name → what makes the listing."""
