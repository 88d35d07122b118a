"""What SQLAlchemy's inspector asks: tables, views, columns, constraints, comments, sequences, schemas.

The answers are those of the state that the connection's next statement would see, so they include what its transaction
has defined. A missing table is a NoSuchTableError. Called by dialect.py.
"""

from __future__ import annotations

from typing import Any, NoReturn

from sqlalchemy import exc
from sqlalchemy.engine import Connection, reflection

from absdb.sql.listings.catalog_rows import (
    ColumnRow,
    ConstraintRow,
    TableRow,
    columns_within,
    constraints_of,
    sequence_rows,
    table_rows,
    view_rows,
)
from absdb.sql.query.names import Moment, alike, same
from absdb.sql.text.time_travel import matching
from absdb.sql.text.tokens import tokenize
from absdb.sqlalchemy.types import reflected_type

_COUNTING = {"start": "start", "increment": "increment", "minimum": "minvalue", "maximum": "maxvalue"}
"""What the catalog says of a sequence, in SQLAlchemy's words."""


def moment_of(connection: Connection) -> Moment:
    """All that the connection's next statement would see."""
    session = connection.connection.dbapi_connection.session  # type: ignore[union-attr]  # it is ours
    return Moment.of(session.scope, session.namespace)


class Reflection:
    """The part of the dialect that answers an inspector."""

    def _relation(self, moment: Moment, name: str, schema: str | None) -> TableRow | None:
        space = moment.namespace if schema is None else schema
        found = {row.name: row for row in table_rows(moment) if same(row.namespace, space)}
        return alike(found, name)

    def _found(self, connection: Connection, name: str, schema: str | None) -> tuple[Moment, TableRow]:
        moment = moment_of(connection)
        row = self._relation(moment, name, schema)
        if row is None:
            _missing(name, schema)
        return moment, row

    def _constraints(
        self, connection: Connection, name: str, schema: str | None, kind: str
    ) -> list[ConstraintRow]:
        """Those of one kind, by name."""
        moment, table = self._found(connection, name, schema)
        if table.schema is None:
            return []
        found = [row for row in constraints_of(moment, table.schema) if row.kind == kind]
        return sorted(found, key=lambda row: row.name)

    # -- what there is

    @reflection.cache
    def has_table(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> bool:
        return self._relation(moment_of(connection), table_name, schema) is not None

    @reflection.cache
    def get_schema_names(self, connection: Connection, **kw: Any) -> list[str]:
        return list(moment_of(connection).current.catalog.namespaces)

    @reflection.cache
    def has_schema(self, connection: Connection, schema_name: str, **kw: Any) -> bool:
        spaces = moment_of(connection).current.catalog.namespaces
        return alike(dict.fromkeys(spaces, True), schema_name) is not None

    @reflection.cache
    def get_table_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        return self._names(connection, schema, views=False)

    @reflection.cache
    def get_view_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        return self._names(connection, schema, views=True)

    def _names(self, connection: Connection, schema: str | None, *, views: bool) -> list[str]:
        moment = moment_of(connection)
        space = moment.namespace if schema is None else schema
        return [row.name for row in table_rows(moment) if row.is_view == views and same(row.namespace, space)]

    def get_temp_table_names(self, connection: Connection, **kw: Any) -> list[str]:
        return []

    def get_temp_view_names(self, connection: Connection, **kw: Any) -> list[str]:
        return []

    @reflection.cache
    def get_sequence_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        moment = moment_of(connection)
        space = moment.namespace if schema is None else schema
        return [row["name"] for row in sequence_rows(moment) if same(row.get("namespace", "main"), space)]

    def has_sequence(
        self, connection: Connection, sequence_name: str, schema: str | None = None, **kw: Any
    ) -> bool:
        names = self.get_sequence_names(connection, schema, **kw)
        return alike(dict.fromkeys(names, True), sequence_name) is not None

    @reflection.cache
    def get_view_definition(
        self, connection: Connection, view_name: str, schema: str | None = None, **kw: Any
    ) -> str:
        moment, found = self._found(connection, view_name, schema)
        for view in view_rows(moment):
            if (view["namespace"], view["name"]) == (found.namespace, found.name):
                return str(view["query"])
        _missing(view_name, schema)

    # -- what a table consists of

    @reflection.cache
    def get_columns(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[dict[str, Any]]:
        moment, table = self._found(connection, table_name, schema)
        return [_column(moment, table, row) for row in columns_within(moment, table)]

    @reflection.cache
    def get_pk_constraint(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> dict[str, Any]:
        for row in self._constraints(connection, table_name, schema, "PRIMARY KEY"):
            return {"name": row.name, "constrained_columns": list(row.columns)}
        return {"name": None, "constrained_columns": []}

    @reflection.cache
    def get_foreign_keys(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[dict[str, Any]]:
        namespace = moment_of(connection).namespace
        return [
            {
                "name": row.name,
                "constrained_columns": list(row.columns),
                "referred_schema": None
                if schema is None and row.referenced_namespace == namespace
                else row.referenced_namespace,
                "referred_table": row.referenced_table,
                "referred_columns": list(row.referenced_columns or ()),
                "options": {},
            }
            for row in self._constraints(connection, table_name, schema, "FOREIGN KEY")
        ]

    @reflection.cache
    def get_unique_constraints(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[dict[str, Any]]:
        rows = self._constraints(connection, table_name, schema, "UNIQUE")
        return [{"name": row.name, "column_names": list(row.columns)} for row in rows]

    @reflection.cache
    def get_check_constraints(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[dict[str, Any]]:
        rows = self._constraints(connection, table_name, schema, "CHECK")
        return [{"name": row.name, "sqltext": row.expression} for row in rows if row.definition != "NOT NULL"]

    @reflection.cache
    def get_indexes(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[dict[str, Any]]:
        self._found(connection, table_name, schema)
        return []

    @reflection.cache
    def get_table_comment(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> dict[str, Any]:
        return {"text": self._found(connection, table_name, schema)[1].comment or None}


def _column(moment: Moment, table: TableRow, row: ColumnRow) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": row.name,
        "type": reflected_type(row.type),
        "nullable": row.nullable,
        "default": None if row.default is None else _uncast(row.default, row.type),
        "autoincrement": row.identity,
        "comment": row.comment or None,
    }
    if row.identity and table.schema is not None:
        default = table.schema.by_name[row.name].default
        assert default is not None, "an identity is a default"
        sequence = moment.current.catalog.entities[("sequence", default.value)]
        found["identity"] = {
            "always": False,
            **{word: sequence[name] for name, word in _COUNTING.items() if name in sequence},
        }
    if row.generated is not None:
        found["computed"] = {"sqltext": _uncast(row.generated, row.type), "persisted": True}
    return found


def _uncast(text: str, kind: str) -> str:
    """An expression without the cast to the type of its column, which assigning it implies."""
    if not (text.startswith("CAST(") and text.endswith(f" AS {kind})")):
        return text
    tokens = tokenize(text)
    if tokens[matching(text, tokens, 1)].stop < len(text):
        return text
    return text.removeprefix("CAST(").removesuffix(f" AS {kind})")


def _missing(name: str, schema: str | None) -> NoReturn:
    raise exc.NoSuchTableError(name if schema is None else f"{schema}.{name}")
