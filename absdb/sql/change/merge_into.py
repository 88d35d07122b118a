"""MERGE INTO: a source's rows brought into a table, by what each of them and each row of the table meets.

    WHEN MATCHED                  FROM target JOIN source
    WHEN NOT MATCHED              FROM source ANTI JOIN target
    WHEN NOT MATCHED BY SOURCE    FROM target ANTI JOIN source

Each clause is one query over the state before the statement, without the rows that clauses before it took; then all
is applied: what goes, what changes, what comes. A source with a name is read once. Called by dispatch.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.catalog.schema import Column, TableSchema
from absdb.engine import row_changes
from absdb.errors import ConstraintError, InvalidInputError
from absdb.sql.change.assignments import assigned_columns, cast_of
from absdb.sql.change.computed import columns_of
from absdb.sql.change.defaults import no_columns, with_columns
from absdb.sql.change.insert import named_columns
from absdb.sql.change.join_source import rows_joined, rows_of
from absdb.sql.change.merge_plan import BY_SOURCE, BY_TARGET, MATCHED, Action, MergePlan
from absdb.sql.change.returning import counted, returned_by_action
from absdb.sql.change.target import database_of, table_of, types_of, writable_columns, written_column
from absdb.sql.change.target_table import TargetTable, target_table
from absdb.sql.change.update import OLD, apply_update, changed_columns
from absdb.sql.query.result import Result
from absdb.sql.text.assembly import Assembled, Piece
from absdb.sql.text.source import error_at
from absdb.sql.text.tokens import quoted

if TYPE_CHECKING:
    from absdb.sql.query.names import NamedTable
    from absdb.sql.session import Call
    from absdb.versioning.scope import TransactionScope


def execute(call: Call) -> Result:
    """Do what the clauses say; the number of rows changed, or what RETURNING asks for."""
    plan = call.session.backend.kept.get(MergePlan, call.text, lambda: MergePlan.read(call.statement))
    return call.write(database_of(call, plan.target), lambda scope: _merge(call, plan, scope))


def _merge(call: Call, plan: MergePlan, scope: TransactionScope) -> Result:
    work = Merge(call, plan, scope)
    found = [(action, work.affected(action)) for action in plan.actions]
    changed = work.apply([(action, rows) for action, rows in found if rows is not None and rows.num_rows])
    total = sum(rows.num_rows for _, rows in changed)
    if plan.returning is None:
        return counted(total, "MERGE INTO")
    empty = [("INSERT", work.schema.arrow_schema.empty_table())]
    return returned_by_action(call, scope, plan.returning, plan.target, changed or empty, "MERGE INTO")


@dataclass
class Merge:
    """One statement at work."""

    call: Call
    plan: MergePlan
    scope: TransactionScope
    schema: TableSchema = field(init=False)
    table: TargetTable = field(init=False)
    source: list[Piece] = field(init=False)
    names: list[str] = field(init=False)
    """The source's columns; known only if it could be read before."""

    def __post_init__(self) -> None:
        call, plan = self.call, self.plan
        named = table_of(call, plan.target, self.scope)
        self.schema = named.schema
        if plan.source.label:
            read = rows_of(call, self.scope, plan.with_clause, plan.source)
            assert read is not None, "there is no limit"
            self.names, self.source, given = read.rows.column_names, read.pieces, read.given
            met = self._target_rows(named, read.rows)
        else:
            clause: list[Piece] = [plan.with_clause, "\n"] if plan.with_clause else []
            text = Assembled(call.text, [*clause, "SELECT * FROM ", plan.source.span])
            self.names = columns_of(call, call.prepare(text.text, scope=self.scope, edits=[text]))
            self.source, given, met = ["(", plan.source.span, "\n)"], {}, None
        self.table = target_table(call, self.scope, named, plan.target, met)
        self.given = {**self.table.given, **given}

    def _target_rows(self, named: NamedTable, rows: pa.Table) -> pa.Table | None:
        """The rows of the table that rows of the source can meet; None if that may be all, or if others matter too."""
        call, plan = self.call, self.plan
        if any(action.side == BY_SOURCE for action in plan.actions):
            return None
        reader = self.scope.reader(named.schema)
        return rows_joined(call, reader, plan.target.label, plan.source, rows, plan.on, plan.using_names)

    def affected(self, action: Action) -> pa.Table | None:
        """What one clause changes; None if it changes nothing."""
        if action.verb == "DO":
            return None
        if action.verb == "ERROR":
            self._raise_if_any(action)
            return None
        if action.verb == "DELETE":
            return self._query(action, [f"{quoted(self.table.label)}.*"])
        if action.verb == "UPDATE":
            values = self._updated(action)
            rekeyed = self.schema.hidden_key is None and any(
                self.schema.by_name[name].id in self.schema.key for name in values
            )
            rows = self._query(action, changed_columns(self.call, self.schema, self.table, values, rekeyed))
            return self._with_defaults(rows, values)
        values = self._inserted(action)
        types = types_of(self.call.session.backend, self.schema)
        pieces: list[Piece] = ['true AS "@"']
        for name, value in values.items():
            pieces += [", ", *cast_of(value, types[name]), f" AS {quoted(name)}"]
        rows = self._query(action, pieces)
        rows = rows.select(list(values)) if values else no_columns(rows.num_rows)
        return self._with_defaults(rows, values)

    def _with_defaults(self, rows: pa.Table, values: dict[str, Piece | None]) -> pa.Table:
        defaults = [self.schema.by_name[name] for name, value in values.items() if value is None]
        return with_columns(self.scope.tx, self.schema, rows, defaults)

    def _updated(self, action: Action) -> dict[str, Piece | None]:
        if action.way:
            return self._from_source(action, None)
        columns = assigned_columns(self.call, self.schema, action.assignments)
        return {c.name: each.value for c, each in zip(columns, action.assignments, strict=True)}

    def _inserted(self, action: Action) -> dict[str, Piece | None]:
        if action.way == "DEFAULT":
            return {}
        if action.cells is None:
            return self._from_source(action, action.columns)
        if action.columns is None:
            columns = writable_columns(self.schema)
        else:
            columns = named_columns(self.call, self.schema, action.columns)
        self._check_width(action, columns, len(action.cells))
        cells = [None if cell.kind == "default" else cell.span for cell in action.cells]
        return {c.name: cell for c, cell in zip(columns, cells, strict=True)}

    def _from_source(self, action: Action, names: list[tuple[str, int]] | None) -> dict[str, Piece | None]:
        """All columns of the source, for the columns of the table at the same places or with the same names."""
        call, schema = self.call, self.schema
        if action.side == BY_SOURCE:
            raise error_at(call.text, action.at, "there is no row of the source here", hint="write SET a = …")
        if action.way == "NAME":
            columns = [written_column(call, schema, name, action.at) for name in self.names]
        else:
            columns = writable_columns(schema) if names is None else named_columns(call, schema, names)
            self._check_width(action, columns, len(self.names))
        qualified = f"{quoted(self.plan.source.label)}." if self.plan.source.label else ""
        return {c.name: qualified + quoted(name) for c, name in zip(columns, self.names, strict=True)}

    def _check_width(self, action: Action, columns: list[Column], width: int) -> None:
        if len(columns) != width:
            names = ", ".join(column.name for column in columns)
            message = f"{len(columns)} columns are given {width} values"
            raise error_at(self.call.text, action.at, message, hint=f"the columns are {names}")

    def _query(self, action: Action, columns: list[Piece]) -> pa.Table:
        """Columns of the rows that a clause is about."""
        plan = self.plan
        pieces: list[Piece] = [plan.with_clause, "\n"] if plan.with_clause else []
        pieces += ["SELECT ", *columns, "\nFROM ", *self._joined(action.side)]
        before = [a for a in plan.actions[: plan.actions.index(action)] if a.side == action.side]
        word = "\nWHERE "
        for each in before:
            assert each.condition is not None, "nothing follows a clause without a condition"
            pieces += [word, "NOT coalesce((", each.condition, "\n), false)"]
            word = "\nAND "
        if action.condition is not None:
            pieces += [word, "(", action.condition, "\n)"]
        text = Assembled(self.call.text, pieces)
        return self.call.table(text.text, scope=self.scope, given=self.given, edits=[text])

    def _joined(self, side: str) -> list[Piece]:
        plan = self.plan
        condition: list[Piece] = [" ON ", plan.on] if plan.on is not None else [" USING ", plan.using or ""]
        if side == MATCHED:
            return [*self.table.pieces, " JOIN ", *self.source, *condition]
        if side == BY_TARGET:
            return [*self.source, " ANTI JOIN ", *self.table.pieces, *condition]
        return [*self.table.pieces, " ANTI JOIN ", *self.source, *condition]

    def _raise_if_any(self, action: Action) -> None:
        message: list[Piece] = ["CAST((", action.message, "\n) AS VARCHAR)"] if action.message else ["NULL"]
        found = self._query(action, message)
        if found.num_rows:
            said = found.column(0)[0].as_py()
            more = f": {said}" if said is not None else ""
            raise ConstraintError(
                f"MERGE INTO {self.schema.full_name!r} has rows WHEN {action.side} THEN ERROR{more}",
                hint="nothing was changed",
                table=self.schema.full_name,
            )

    def apply(self, found: list[tuple[Action, pa.Table]]) -> list[tuple[str, pa.Table]]:
        """Do it; what was done, and the rows: as they were if they are gone, else as they are now."""
        self._refuse_twice([(action, rows) for action, rows in found if action.side == MATCHED])
        done: list[tuple[str, pa.Table]] = []
        visible = [column.name for column in self.schema.columns]
        for action, rows in found:
            if action.verb == "DELETE":
                row_changes.delete(self.scope.tx, self.schema, rows)
                done.append(("DELETE", rows.select(visible)))
        for action, rows in found:
            if action.verb == "UPDATE":
                done.append(("UPDATE", apply_update(self.scope, self.schema, rows)))
        for action, rows in found:
            if action.verb == "INSERT":
                done.append(("INSERT", row_changes.insert(self.scope.tx, self.schema, rows)))
        return done

    def _refuse_twice(self, found: list[tuple[Action, pa.Table]]) -> None:
        """Refuse that several rows of the source change one row."""
        names = row_changes.stored_key(self.schema)
        keys = []
        for action, rows in found:
            if action.verb in ("UPDATE", "DELETE"):
                old = [OLD + name if OLD + name in rows.column_names else name for name in names]
                keys.append(rows.select(old).rename_columns(names))
        if not keys:
            return
        key = row_changes.given_twice(self.schema, pa.concat_tables(keys, promote_options="permissive"))
        if key is not None:
            shown = f" with key {', '.join(map(str, key))}" if key else ""
            raise InvalidInputError(
                f"MERGE INTO {self.schema.full_name!r} would change the row{shown} more than once",
                hint="several rows of the source match it: leave one of them, or join by more columns",
                table=self.schema.full_name,
            )
