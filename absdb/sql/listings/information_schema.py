"""information_schema over our catalog.

    schemata  tables  columns  views  sequences  table_constraints  key_column_usage  referential_constraints
    check_constraints  constraint_column_usage

The columns are those of the SQL standard as far as they say something here, in DuckDB's spelling. All are about
the current database, or the one they are qualified with (`staging.information_schema.columns`), at the point the
statement sees. Called by listings.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from absdb.sql.listings.catalog_rows import (
    ColumnRow,
    ConstraintRow,
    column_rows,
    constraint_rows,
    sequence_rows,
    table_rows,
    view_rows,
)
from absdb.sql.query.names import Moment

Rows = list[dict[str, Any]]
_TEXT, _INT = pa.string(), pa.int64()


def _listing(columns: dict[str, pa.DataType], rows: Rows) -> pa.Table:
    """Rows with these columns; what a row does not say is NULL."""
    arrays = [pa.array([row.get(name) for row in rows], kind) for name, kind in columns.items()]
    return pa.Table.from_arrays(arrays, schema=pa.schema(list(columns.items())))


def _yes(value: bool) -> str:
    return "YES" if value else "NO"


def _texts(*names: str) -> dict[str, pa.DataType]:
    return dict.fromkeys(names, _TEXT)


def _schemata(moment: Moment) -> pa.Table:
    rows: Rows = [
        {"catalog_name": moment.current.info.name, "schema_name": name, "schema_owner": "absdb"}
        for name in moment.current.catalog.namespaces
    ]
    return _listing(_texts("catalog_name", "schema_name", "schema_owner", "sql_path"), rows)


def _tables(moment: Moment) -> pa.Table:
    rows: Rows = [
        {
            "table_catalog": moment.current.info.name,
            "table_schema": row.namespace,
            "table_name": row.name,
            "table_type": "VIEW" if row.is_view else "BASE TABLE",
            "is_insertable_into": _yes(not row.is_view),
            "is_typed": "NO",
            "TABLE_COMMENT": row.comment or None,
        }
        for row in table_rows(moment)
    ]
    names = ("table_catalog", "table_schema", "table_name", "table_type", "is_insertable_into", "is_typed")
    return _listing(_texts(*names, "commit_action", "TABLE_COMMENT"), rows)


def _column(moment: Moment, row: ColumnRow) -> dict[str, Any]:
    return {
        "table_catalog": moment.current.info.name,
        "table_schema": row.namespace,
        "table_name": row.table,
        "column_name": row.name,
        "ordinal_position": row.position,
        "column_default": row.default,
        "is_nullable": _yes(row.nullable),
        "data_type": row.type,
        "numeric_precision": row.precision,
        "numeric_precision_radix": row.radix,
        "numeric_scale": row.scale,
        "datetime_precision": row.fraction_digits,
        "is_identity": _yes(row.identity),
        "identity_generation": "BY DEFAULT" if row.identity else None,
        "is_generated": "ALWAYS" if row.generated is not None else "NEVER",
        "generation_expression": row.generated,
        "is_updatable": _yes(row.generated is None and not row.of_view),
        "COLUMN_COMMENT": row.comment or None,
    }


def _columns(moment: Moment) -> pa.Table:
    columns = {
        **_texts("table_catalog", "table_schema", "table_name", "column_name"),
        "ordinal_position": _INT,
        **_texts("column_default", "is_nullable", "data_type"),
        **dict.fromkeys(
            ("numeric_precision", "numeric_precision_radix", "numeric_scale", "datetime_precision"), _INT
        ),
        **_texts("is_identity", "identity_generation", "is_generated", "generation_expression"),
        **_texts("is_updatable", "COLUMN_COMMENT"),
    }
    return _listing(columns, [_column(moment, row) for row in column_rows(moment)])


def _views(moment: Moment) -> pa.Table:
    rows: Rows = [
        {
            "table_catalog": moment.current.info.name,
            "table_schema": row["namespace"],
            "table_name": row["name"],
            "view_definition": row["query"],
            "check_option": "NONE",
            "is_updatable": "NO",
            "is_insertable_into": "NO",
        }
        for row in view_rows(moment)
    ]
    names = ("table_catalog", "table_schema", "table_name", "view_definition", "check_option")
    return _listing(_texts(*names, "is_updatable", "is_insertable_into"), rows)


def _sequences(moment: Moment) -> pa.Table:
    rows: Rows = [
        {
            "sequence_catalog": moment.current.info.name,
            "sequence_schema": row.get("namespace", "main"),
            "sequence_name": row["name"],
            "data_type": "BIGINT",
            "start_value": str(row["start"]),
            "increment": str(row["increment"]),
            "cycle_option": "NO",
        }
        for row in sequence_rows(moment)
    ]
    names = ("sequence_catalog", "sequence_schema", "sequence_name", "data_type", "start_value")
    return _listing(_texts(*names, "increment", "cycle_option"), rows)


_CONSTRAINT = ("constraint_catalog", "constraint_schema", "constraint_name")
_TABLE = ("table_catalog", "table_schema", "table_name")


def _constraint(moment: Moment, row: ConstraintRow) -> dict[str, Any]:
    catalog = moment.current.info.name
    return {
        "constraint_catalog": catalog,
        "constraint_schema": row.namespace,
        "constraint_name": row.name,
        "table_catalog": catalog,
        "table_schema": row.namespace,
        "table_name": row.table,
        "constraint_type": row.kind,
        "constraint_text": row.definition,
        "is_deferrable": "NO",
        "initially_deferred": "NO",
        "enforced": "YES",
    }


def _table_constraints(moment: Moment) -> pa.Table:
    names = (*_CONSTRAINT, *_TABLE, "constraint_type", "is_deferrable", "initially_deferred", "enforced")
    return _listing(_texts(*names), [_constraint(moment, row) for row in constraint_rows(moment)])


def _key_column_usage(moment: Moment) -> pa.Table:
    rows: Rows = []
    for row in constraint_rows(moment):
        if row.kind == "CHECK":
            continue
        for at, name in enumerate(row.columns):
            place = at + 1 if row.kind == "FOREIGN KEY" else None
            found = {"column_name": name, "ordinal_position": at + 1, "position_in_unique_constraint": place}
            rows.append({**_constraint(moment, row), **found})
    columns = {**_texts(*_CONSTRAINT, *_TABLE, "column_name"), "ordinal_position": _INT}
    return _listing({**columns, "position_in_unique_constraint": _INT}, rows)


def _referential_constraints(moment: Moment) -> pa.Table:
    rows: Rows = [
        {
            **_constraint(moment, row),
            "unique_constraint_catalog": moment.current.info.name,
            "unique_constraint_schema": row.referenced_namespace,
            "unique_constraint_name": row.referenced_constraint,
            "match_option": "NONE",
            "update_rule": "NO ACTION",
            "delete_rule": "NO ACTION",
        }
        for row in constraint_rows(moment)
        if row.kind == "FOREIGN KEY"
    ]
    unique = ("unique_constraint_catalog", "unique_constraint_schema", "unique_constraint_name")
    return _listing(_texts(*_CONSTRAINT, *unique, "match_option", "update_rule", "delete_rule"), rows)


def _check_constraints(moment: Moment) -> pa.Table:
    rows: Rows = [
        {**_constraint(moment, row), "check_clause": row.expression}
        for row in constraint_rows(moment)
        if row.kind == "CHECK"
    ]
    return _listing(_texts(*_CONSTRAINT, "check_clause"), rows)


def _constraint_column_usage(moment: Moment) -> pa.Table:
    rows: Rows = [
        {**_constraint(moment, row), "column_name": name}
        for row in constraint_rows(moment)
        for name in row.columns
    ]
    return _listing(_texts(*_TABLE, "column_name", *_CONSTRAINT, "constraint_type", "constraint_text"), rows)


_STANDARD: dict[str, Callable[[Moment], pa.Table]] = {
    "schemata": _schemata,
    "tables": _tables,
    "columns": _columns,
    "views": _views,
    "sequences": _sequences,
    "table_constraints": _table_constraints,
    "key_column_usage": _key_column_usage,
    "referential_constraints": _referential_constraints,
    "check_constraints": _check_constraints,
    "constraint_column_usage": _constraint_column_usage,
}
TABLES = {f"information_schema.{name}": made for name, made in _STANDARD.items()}
"""Qualified name → what makes the listing."""
