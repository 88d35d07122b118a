"""Tables, views, columns, constraints and sequences of a database as a statement sees it, in SQL's words.

One row an object, by schema and name, tables' columns in order. Called by information_schema.py,
duckdb_catalog.py and describe.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.types as pt

from absdb.catalog.schema import Check, ForeignKey, TableSchema
from absdb.engine.expressions import columns_read
from absdb.engine.listing import constraints
from absdb.errors import AbsdbError
from absdb.sql.duck.connection import backend_of
from absdb.sql.duck.types import duckdb_type
from absdb.sql.listings.default_text import default_text, is_identity
from absdb.sql.query.names import Moment, NamedView, views_of
from absdb.sql.text.tokens import quoted


class TableRow(NamedTuple):
    """A table, or a view."""

    namespace: str
    name: str
    is_view: bool
    comment: str
    schema: TableSchema | None


class ColumnRow(NamedTuple):
    """A column; `position` counts from 1, `default` is an SQL expression."""

    namespace: str
    table: str
    of_view: bool
    position: int
    name: str
    type: str
    kind: pa.DataType
    nullable: bool
    default: str | None
    generated: str | None
    identity: bool
    comment: str

    @property
    def precision(self) -> int | None:
        """Digits or bits of a number."""
        if pt.is_decimal(self.kind):
            return int(self.kind.precision)
        if pt.is_integer(self.kind):
            return int(self.kind.bit_width)
        return {pa.float16(): 11, pa.float32(): 24, pa.float64(): 53}.get(self.kind)

    @property
    def radix(self) -> int | None:
        return None if self.precision is None else 10 if pt.is_decimal(self.kind) else 2

    @property
    def scale(self) -> int | None:
        if pt.is_decimal(self.kind):
            return int(self.kind.scale)
        return 0 if pt.is_integer(self.kind) else None

    @property
    def fraction_digits(self) -> int | None:
        """Digits of a fraction of a second."""
        if pt.is_timestamp(self.kind) or pt.is_time(self.kind):
            return {"s": 0, "ms": 3, "us": 6, "ns": 9}[self.kind.unit]
        return None


class ConstraintRow(NamedTuple):
    """A constraint; NOT NULL is one of its column."""

    namespace: str
    table: str
    name: str
    kind: str
    columns: list[str]
    definition: str
    expression: str | None = None
    referenced_namespace: str | None = None
    referenced_table: str | None = None
    referenced_columns: list[str] | None = None
    referenced_constraint: str | None = None


def _tables(moment: Moment) -> list[TableSchema]:
    return sorted(moment.current.catalog.tables.values(), key=lambda table: (table.namespace, table.name))


def view_rows(moment: Moment) -> list[Mapping[str, Any]]:
    """The views as the catalog keeps them."""
    return sorted(views_of(moment.current.catalog), key=lambda view: (view["namespace"], view["name"]))


def sequence_rows(moment: Moment) -> list[Mapping[str, Any]]:
    """The sequences as the catalog keeps them, without those of identity columns."""
    found = [v for (kind, _), v in moment.current.catalog.entities.items() if kind == "sequence"]
    catalog = moment.current.catalog
    columns = [column for table in _tables(moment) for column in table.columns]
    own = {c.default.value for c in columns if c.default is not None and is_identity(c, catalog)}
    return sorted((each for each in found if each["id"] not in own), key=lambda each: str(each["name"]))


def table_rows(moment: Moment) -> list[TableRow]:
    """Tables and views."""
    found = [TableRow(t.namespace, t.name, False, t.comment, t) for t in _tables(moment)]
    found += [TableRow(v["namespace"], v["name"], True, v["comment"], None) for v in view_rows(moment)]
    return sorted(found, key=lambda row: (row.namespace, row.name))


def column_rows(moment: Moment) -> list[ColumnRow]:
    """The columns of all tables, and of all views that can be read."""
    return [column for row in table_rows(moment) for column in columns_within(moment, row)]


def columns_within(moment: Moment, row: TableRow) -> list[ColumnRow]:
    """The columns of one table or view; none of a view that cannot be read."""
    return _of_view(moment, row) if row.schema is None else columns_of(moment, row.schema)


def columns_of(moment: Moment, table: TableSchema) -> list[ColumnRow]:
    """The columns of one table."""
    backend, catalog = backend_of(moment.engine), moment.current.catalog
    return [
        ColumnRow(
            table.namespace,
            table.name,
            False,
            at,
            column.name,
            duckdb_type(backend, column.type),
            column.type,
            column.nullable and column.id not in table.key,
            default_text(column, catalog),
            column.generated,
            is_identity(column, catalog),
            column.comment,
        )
        for at, column in enumerate(table.columns, start=1)
    ]


def _of_view(moment: Moment, row: TableRow) -> list[ColumnRow]:
    try:
        schema = view_schema(
            moment, NamedView(moment.current, {"namespace": row.namespace, "name": row.name})
        )
    except AbsdbError:
        # What it reads was dropped or changed; the view is still listed, and using it says what is wrong.
        return []
    backend = backend_of(moment.engine)
    return [
        ColumnRow(
            row.namespace,
            row.name,
            True,
            at,
            f.name,
            duckdb_type(backend, f.type),
            f.type,
            True,
            None,
            None,
            False,
            "",
        )
        for at, f in enumerate(schema, start=1)
    ]


def view_schema(moment: Moment, view: NamedView) -> pa.Schema:
    """Names and types of a view's columns; QueryError if it cannot be read any more."""
    from absdb.sql.query.rewrite import Rewriter
    from absdb.sql.query.run import Running

    path = ".".join(map(quoted, (view.view.info.name, view.entity["namespace"], view.entity["name"])))
    rewriter = Rewriter(moment, backend_of(moment.engine), {}, types_only=True)
    return Running(rewriter.backend, rewriter.prepare(f"SELECT * FROM {path}"), {}).table().schema


def constraint_rows(moment: Moment) -> list[ConstraintRow]:
    """Keys, UNIQUE, FOREIGN KEY, CHECK and NOT NULL of all tables."""
    return [row for table in _tables(moment) for row in constraints_of(moment, table)]


def constraints_of(moment: Moment, table: TableSchema) -> Iterator[ConstraintRow]:
    """Those of one table: the key, then the others in order, then NOT NULL of its columns."""
    catalog = moment.current.catalog
    declared = {constraint.name: constraint for constraint in table.constraints}
    for name, kind, columns, definition in zip(
        *(column.to_pylist() for column in constraints(table, catalog).columns), strict=True
    ):
        one = declared.get(name)
        row = ConstraintRow(table.namespace, table.name, name, kind, columns, definition)
        if isinstance(one, Check):
            read = columns_read(moment.engine.evaluator, table, [one.expression])
            row = row._replace(expression=one.expression, columns=[column.name for column in read])
        elif isinstance(one, ForeignKey):
            row = _referring(row, one, table if one.table == table.id else catalog.tables[one.table])
        yield row
    for column in table.columns:
        if not column.nullable and column.id not in table.key:
            text = f"{column.name} IS NOT NULL"
            yield ConstraintRow(
                table.namespace,
                table.name,
                f"{table.name}_{column.name}_not_null",
                "CHECK",
                [column.name],
                "NOT NULL",
                text,
            )


def _referring(row: ConstraintRow, reference: ForeignKey, target: TableSchema) -> ConstraintRow:
    """A foreign key with what it points at, and which constraint makes that unique."""
    if set(reference.references) == set(target.key):
        unique: str | None = f"{target.name}_key"
    else:
        ids = set(reference.references)
        unique = next(
            (
                c.name
                for c in target.constraints
                if set(getattr(c, "columns", ())) == ids and type(c) is not ForeignKey
            ),
            None,
        )
    return row._replace(
        referenced_namespace=target.namespace,
        referenced_table=target.name,
        referenced_columns=[target.by_id[column].name for column in reference.references],
        referenced_constraint=unique,
    )
