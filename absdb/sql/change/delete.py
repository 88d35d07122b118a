"""DELETE and TRUNCATE: `[WITH …] DELETE FROM t [AS a] [USING …] [WHERE …] [RETURNING …]`, `TRUNCATE [TABLE] t`.

A query gives the keys of the rows that go. Called by dispatch.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from absdb.catalog.schema import TableSchema
from absdb.engine import intake, row_changes
from absdb.sql.change.computed import streamed
from absdb.sql.change.join_source import Source, joined_tables, read_rest
from absdb.sql.change.returning import counted, returned
from absdb.sql.change.target import TargetRef, begun, database_of, read_target, table_of
from absdb.sql.change.target_table import TargetTable
from absdb.sql.query.result import Result
from absdb.sql.text.assembly import Assembled, Piece, Span
from absdb.sql.text.parsed import Statement
from absdb.sql.text.tokens import quoted

if TYPE_CHECKING:
    from absdb.sql.session import Call
    from absdb.versioning.scope import TransactionScope


@dataclass(slots=True)
class DeletePlan:
    """A DELETE or TRUNCATE statement in its parts."""

    with_clause: Span | None
    target: TargetRef
    source: Source | None = None
    condition: Span | None = None
    returning: Span | None = None

    @property
    def removes_all(self) -> bool:
        """Whether all rows go, and none is asked back."""
        return not (self.source or self.condition or self.returning)

    @classmethod
    def read(cls, statement: Statement) -> DeletePlan:
        cursor, clause = begun(statement)
        if cursor.accept("TRUNCATE"):
            cursor.accept("TABLE")
            plan = cls(None, read_target(cursor, (), alias=False))
            cursor.end()
            return plan
        cursor.expect("DELETE", "FROM")
        target = read_target(cursor, ("USING", "WHERE", "RETURNING"))
        return cls(clause, target, *read_rest(cursor, "USING"))


def execute(call: Call) -> Result:
    """Remove the rows; the number of them, or what RETURNING asks for."""
    plan = call.session.backend.kept.get(DeletePlan, call.text, lambda: DeletePlan.read(call.statement))
    return call.write(database_of(call, plan.target), lambda scope: removed(call, plan, scope))


def removed(call: Call, plan: DeletePlan, scope: TransactionScope) -> Result:
    """Remove the rows in a transaction."""
    named = table_of(call, plan.target, scope)
    schema, tx = named.schema, scope.tx
    if plan.removes_all:
        return counted(intake.truncate(tx, schema), "DELETE")
    table, source = joined_tables(
        call, scope, named, plan.target, plan.with_clause, plan.source, plan.condition
    )
    if plan.returning is None:
        text = _text(
            call, plan, table, source, [f"{place} AS {quoted(name)}" for place, name in _keys(schema, table)]
        )
        prepared = call.prepare(text.text, scope=scope, given=table.given, edits=[text])
        with streamed(call, scope, prepared) as keys:
            if schema.hidden_key is None:
                return counted(intake.delete(tx, schema, keys), "DELETE")
            return counted(row_changes.delete(tx, schema, keys.read_all()), "DELETE")
    text = _text(call, plan, table, source, [f"{quoted(table.label)}.*"])
    rows = call.table(text.text, scope=scope, given=table.given, edits=[text])
    row_changes.delete(tx, schema, rows)
    gone = rows.select([column.name for column in schema.columns])
    return returned(call, scope, plan.returning, plan.target, gone, "DELETE")


def _keys(schema: TableSchema, table: TargetTable) -> list[tuple[str, str]]:
    return list(zip(table.key, row_changes.stored_key(schema), strict=True))


def _text(
    call: Call, plan: DeletePlan, table: TargetTable, source: list[Piece], columns: list[str]
) -> Assembled:
    return table.select(
        call.text,
        [", ".join(columns)],
        with_clause=plan.with_clause,
        source=source if plan.source else None,
        condition=plan.condition,
    )
