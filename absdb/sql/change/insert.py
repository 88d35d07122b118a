"""INSERT: rows of VALUES, of a query, or of defaults.

    only literals and parameters that fit the columns as they are     straight to the engine
    other literals and parameters, many rows of them                  DuckDB casts each column (value_columns.py)
    everything else                                                   DuckDB computes and casts the rows

Rows of a query stream into the table with bounded memory unless something about each of them is asked for
(RETURNING, ON CONFLICT). Called by dispatch.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import Column, TableSchema, Unique
from absdb.engine import intake, row_changes
from absdb.errors import ConstraintError, SchemaMismatchError
from absdb.sql.change.assignments import cast_of
from absdb.sql.change.computed import columns_of, reads_once, streamed, wrapped
from absdb.sql.change.defaults import no_columns, with_cells
from absdb.sql.change.exact import exact_rows
from absdb.sql.change.insert_plan import InsertPlan
from absdb.sql.change.on_conflict import insert_or
from absdb.sql.change.returning import counted, returned
from absdb.sql.change.target import (
    database_of,
    given_twice,
    table_of,
    types_of,
    writable_columns,
    written_column,
)
from absdb.sql.change.value_columns import cast_in_columns
from absdb.sql.query import run
from absdb.sql.query.prepared import Prepared
from absdb.sql.query.result import Result
from absdb.sql.text.assembly import Assembled, Piece
from absdb.sql.text.parsed import Statement
from absdb.sql.text.source import error_at
from absdb.sql.text.tokens import quoted

if TYPE_CHECKING:
    from absdb.sql.session import Call
    from absdb.versioning.scope import TransactionScope

_SOURCE = "@source"


def execute(call: Call) -> Result:
    """Insert the rows; the number of them, or what RETURNING asks for."""
    plan = plan_of(call.session.backend.kept.get, call.statement)
    info = database_of(call, plan.target)
    if plan.plain:
        try:
            return call.write(info, lambda scope: _insert_as_given(call, plan, scope))
        except (_NotExact, SchemaMismatchError):
            pass  # what does not fit as it is may do so once DuckDB has cast it, or gives DuckDB's error
    return call.write(info, lambda scope: _insert(call, plan, scope))


def plan_of(kept: Any, statement: Statement) -> InsertPlan:
    """The statement in its parts, read once per text."""
    plan: InsertPlan = kept(InsertPlan, statement.text, lambda: InsertPlan.read(statement))
    return plan


class _NotExact(Exception):
    """Some value is not of its column's type."""


def _insert_as_given(call: Call, plan: InsertPlan, scope: TransactionScope) -> Result:
    named = table_of(call, plan.target, scope)
    assert plan.rows is not None
    columns = _columns(call, plan, named.schema)
    _check_width(call, plan, columns, len(plan.rows[0]))
    rows = exact_rows(columns, plan.rows, call.values)
    if rows is None:
        raise _NotExact
    return counted(intake.insert(scope.tx, named.schema, rows), "INSERT")


def _insert(call: Call, plan: InsertPlan, scope: TransactionScope) -> Result:
    schema, tx = table_of(call, plan.target, scope).schema, scope.tx
    if plan.query is not None and plan.conflict is None and plan.returning is None:
        with streamed(call, scope, _prepared(call, plan, schema, scope)) as rows:
            return counted(intake.insert(tx, schema, rows), "INSERT")
    if _is_upsert(call, plan, schema):
        prepared = _prepared(call, plan, schema, scope)
        if not reads_once(prepared):
            try:
                with streamed(call, scope, prepared) as rows:
                    return counted(intake.upsert(tx, schema, rows), "INSERT")
            except ConstraintError:
                pass  # of rows with one key the first counts, which is found out below, with all of them in memory
    given = given_rows(call, plan, schema, scope)
    if plan.conflict is not None:
        columns = (
            _columns(call, plan, schema)
            if not plan.by_name
            else [schema.by_name[n] for n in given.column_names]
        )
        written = insert_or(call, scope, plan.target, plan.conflict, given, columns)
    elif plan.returning is None:
        return counted(intake.insert(tx, schema, given), "INSERT")
    else:
        written = row_changes.insert(tx, schema, given)
    if plan.returning is None:
        return counted(written.num_rows, "INSERT")
    return returned(call, scope, plan.returning, plan.target, written, "INSERT")


def _is_upsert(call: Call, plan: InsertPlan, schema: TableSchema) -> bool:
    """Whether the statement is OR REPLACE of a query's rows by the key, with nothing asked back."""
    if plan.query is None or plan.conflict is None or plan.returning is not None:
        return False
    if schema.hidden_key is not None or any(isinstance(each, Unique) for each in schema.constraints):
        return False
    named = {column.id for column in _columns(call, plan, schema)}
    return plan.conflict.replace and not plan.by_name and named.issuperset(schema.key)


def given_rows(call: Call, plan: InsertPlan, schema: TableSchema, scope: TransactionScope) -> pa.Table:
    """The rows to insert, with the columns that the statement gives; columns left to their defaults may be missing."""
    if plan.query is not None:
        with streamed(call, scope, _prepared(call, plan, schema, scope)) as rows:
            return rows.read_all()
    if plan.rows is None:
        return no_columns(1)
    columns = _columns(call, plan, schema)
    _check_width(call, plan, columns, len(plan.rows[0]))
    found = cast_in_columns(call, schema, columns, plan.rows) if plan.constant else None
    if found is None:
        found = _cast_one_by_one(call, plan, schema, scope, columns)
    defaults = {
        column.name: np.array([row[at].kind == "default" for row in plan.rows])
        for at, column in enumerate(columns)
    }
    return with_cells(scope.tx, schema, found, defaults)


def _cast_one_by_one(
    call: Call, plan: InsertPlan, schema: TableSchema, scope: TransactionScope, columns: Sequence[Column]
) -> pa.Table:
    text = _values_text(call, plan, schema, columns)
    if plan.constant:
        bare = Prepared(text.text, [call.statement.named, text], {}, [], [])
        return run.table(call.session.backend, bare, call.values)
    return call.table(text.text, scope=scope, edits=[text])


def _columns(call: Call, plan: InsertPlan, schema: TableSchema) -> list[Column]:
    """The columns that the values belong to."""
    if plan.columns is None:
        return writable_columns(schema)
    return named_columns(call, schema, plan.columns)


def named_columns(call: Call, schema: TableSchema, names: Sequence[tuple[str, int]]) -> list[Column]:
    """Columns in a list, each once."""
    found: list[Column] = []
    for name, at in names:
        column = written_column(call, schema, name, at)
        if column in found:
            given_twice(call, at, column.name)
        found.append(column)
    return found


def _check_width(call: Call, plan: InsertPlan, columns: Sequence[Column], width: int) -> None:
    if width != len(columns):
        at = plan.rows[0][0].span.start if plan.rows is not None else plan.query.start if plan.query else 0
        names = ", ".join(column.name for column in columns)
        raise error_at(
            call.text, at, f"{len(columns)} columns are given {width} values", hint=f"the columns are {names}"
        )


def _values_text(call: Call, plan: InsertPlan, schema: TableSchema, columns: Sequence[Column]) -> Assembled:
    """VALUES as a query whose columns have the types of the table's."""
    types = types_of(call.session.backend, schema)
    assert plan.rows is not None
    names = ", ".join(quoted(column.name) for column in columns)
    pieces: list[Piece] = [plan.with_clause, "\n"] if plan.with_clause else []
    pieces.append("SELECT * FROM (VALUES ")
    for number, row in enumerate(plan.rows):
        pieces.append(", (" if number else "(")
        for at, (cell, column) in enumerate(zip(row, columns, strict=True)):
            pieces.append(", " if at else "")
            value = None if cell.kind == "default" else cell.span
            pieces += cast_of(value, types[column.name])
        pieces.append(")")
    pieces.append(f') AS "{_SOURCE}"({names})')
    return Assembled(call.text, pieces)


def _prepared(call: Call, plan: InsertPlan, schema: TableSchema, scope: TransactionScope) -> Prepared:
    """The query, with its columns under the names and with the types of the table's."""
    assert plan.query is not None
    clause: list[Piece] = [plan.with_clause, "\n"] if plan.with_clause else []
    text = Assembled(call.text, [*clause, plan.query])
    prepared = call.prepare(text.text, scope=scope, edits=[text])
    names = columns_of(call, prepared)
    if plan.by_name:
        columns = named_columns(call, schema, [(name, plan.query.start) for name in names])
    else:
        columns = _columns(call, plan, schema)
    _check_width(call, plan, columns, len(names))
    types = types_of(call.session.backend, schema)
    places = [f'"c{at}"' for at in range(len(names))]
    chosen = ", ".join(
        f"CAST({place} AS {types[column.name]}) AS {quoted(column.name)}"
        for place, column in zip(places, columns, strict=True)
    )
    return wrapped(prepared, f"SELECT {chosen} FROM (", f'\n) AS "{_SOURCE}"({", ".join(places)})')
