"""UPDATE: `[WITH …] UPDATE t [AS a] SET b = …, (c, d) = (…) [FROM …] [WHERE …] [RETURNING …]`.

    UPDATE t SET b = x FROM s WHERE t.id = s.id
    SELECT DISTINCT ON (t.id) t.id, CAST(x AS …) AS b FROM t, s WHERE t.id = s.id

What that query gives is applied by key. A row that matches several rows of FROM is changed once, by one of them.
A statement that sets columns of the key takes the rows away and puts them back under their new keys, so that rows
may swap keys. Called by dispatch.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.catalog.schema import Column, TableSchema
from absdb.engine import intake, row_changes
from absdb.sql.change.assignments import Assignment, assigned_columns, cast_of, read_assignments
from absdb.sql.change.computed import streamed
from absdb.sql.change.defaults import with_columns
from absdb.sql.change.join_source import Source, joined_tables, read_rest
from absdb.sql.change.returning import counted, returned
from absdb.sql.change.target import (
    TargetRef,
    begun,
    database_of,
    read_target,
    table_of,
    types_of,
    writable_columns,
)
from absdb.sql.change.target_table import TargetTable
from absdb.sql.query.result import Result
from absdb.sql.text.assembly import Assembled, Piece, Span
from absdb.sql.text.parsed import Statement
from absdb.sql.text.tokens import quoted

if TYPE_CHECKING:
    from absdb.sql.session import Call
    from absdb.versioning.scope import TransactionScope

OLD = "@old "


@dataclass(slots=True)
class UpdatePlan:
    """An UPDATE statement in its parts."""

    with_clause: Span | None
    target: TargetRef
    assignments: list[Assignment]
    source: Source | None = None
    condition: Span | None = None
    returning: Span | None = None

    @classmethod
    def read(cls, statement: Statement) -> UpdatePlan:
        cursor, clause = begun(statement)
        cursor.expect("UPDATE")
        target = read_target(cursor, ("SET",))
        cursor.expect("SET")
        assignments = read_assignments(cursor, ("FROM", "WHERE", "RETURNING"))
        return cls(clause, target, assignments, *read_rest(cursor, "FROM"))


def execute(call: Call) -> Result:
    """Change the rows; the number of them, or what RETURNING asks for."""
    plan = call.session.backend.kept.get(UpdatePlan, call.text, lambda: UpdatePlan.read(call.statement))
    return call.write(database_of(call, plan.target), lambda scope: changed(call, plan, scope))


def changed(call: Call, plan: UpdatePlan, scope: TransactionScope) -> Result:
    """Change the rows in a transaction."""
    named = table_of(call, plan.target, scope)
    schema, tx = named.schema, scope.tx
    columns = assigned_columns(call, schema, plan.assignments)
    rekeyed = schema.hidden_key is None and any(column.id in schema.key for column in columns)
    table, source = joined_tables(
        call, scope, named, plan.target, plan.with_clause, plan.source, plan.condition
    )
    values: dict[str, Piece | None] = {
        column.name: each.value for column, each in zip(columns, plan.assignments, strict=True)
    }
    text = _text(call, plan, schema, table, source, values, rekeyed)
    defaults = [column for column in columns if values[column.name] is None]
    if not (rekeyed or defaults or plan.returning):
        prepared = call.prepare(text.text, scope=scope, given=table.given, edits=[text])
        with streamed(call, scope, prepared) as rows:
            verb = intake.update if schema.hidden_key is None else row_changes.update_stream
            return counted(verb(tx, schema, rows), "UPDATE")
    rows = with_columns(
        tx, schema, call.table(text.text, scope=scope, given=table.given, edits=[text]), defaults
    )
    written = apply_update(scope, schema, rows)
    if plan.returning is None:
        return counted(written.num_rows, "UPDATE")
    return returned(call, scope, plan.returning, plan.target, written, "UPDATE")


def apply_update(scope: TransactionScope, schema: TableSchema, rows: pa.Table) -> pa.Table:
    """Write the rows of a query over `changed_columns`; they come back as they are now, with every column."""
    old = [name for name in rows.column_names if name.startswith(OLD)]
    if all(rows.column(name).equals(rows.column(name.removeprefix(OLD))) for name in old):
        return row_changes.update(scope.tx, schema, rows.drop_columns(old) if old else rows)
    keys = rows.select(old).rename_columns([name.removeprefix(OLD) for name in old])
    return row_changes.replace(scope.tx, schema, keys, rows.drop_columns(old))


def _text(
    call: Call,
    plan: UpdatePlan,
    schema: TableSchema,
    table: TargetTable,
    source: list[Piece],
    values: dict[str, Piece | None],
    rekeyed: bool,
) -> Assembled:
    return table.select(
        call.text,
        changed_columns(call, schema, table, values, rekeyed),
        with_clause=plan.with_clause,
        source=source if plan.source else None,
        condition=plan.condition,
    )


def changed_columns(
    call: Call, schema: TableSchema, table: TargetTable, values: dict[str, Piece | None], rekeyed: bool
) -> list[Piece]:
    """What `apply_update` takes, as a SELECT list: the key and what changes; all columns if that is part of the key."""
    types = types_of(call.session.backend, schema)
    names = row_changes.stored_key(schema)
    listed: list[list[Piece]] = [
        [f"{place} AS {quoted(OLD + name if rekeyed else name)}"]
        for place, name in zip(table.key, names, strict=True)
    ]
    for column in _written(schema, values, rekeyed):
        if column.name in values:
            made = cast_of(values[column.name], types[column.name])
        else:
            made = [f"{quoted(table.label)}.{quoted(column.name)}"]
        listed.append([*made, f" AS {quoted(column.name)}"])
    return [piece for number, each in enumerate(listed) for piece in ([", "] if number else []) + each]


def _written(schema: TableSchema, values: dict[str, Piece | None], rekeyed: bool) -> list[Column]:
    return [column for column in writable_columns(schema) if rekeyed or column.name in values]
