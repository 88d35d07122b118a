"""EXPLAIN of a statement that changes rows: the plans of its queries, what they read, and what would be done.

The statement is prepared as if it were run, and stops where it would ask for the rows that it changes. A small source
with a name is read, as the statement would, since which rows of the target are looked up depends on it; nothing is
changed. Rows of VALUES have no plan. Called by query/explain.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pyarrow as pa

from absdb.catalog.schema import ForeignKey, TableSchema, Unique
from absdb.reprs import counted
from absdb.sql.change import delete, insert, merge_into, update
from absdb.sql.change.copy import CopyPlan, rows_to_write
from absdb.sql.change.delete import DeletePlan
from absdb.sql.change.insert import plan_of
from absdb.sql.change.insert_plan import InsertPlan
from absdb.sql.change.merge_plan import MergePlan
from absdb.sql.change.target import TargetRef, database_of, table_of
from absdb.sql.change.target_table import TARGET
from absdb.sql.change.update import UpdatePlan
from absdb.sql.dispatch import verb_of
from absdb.sql.query.explain import explanation, layers_told, table_told, tables
from absdb.sql.query.run import Running, explained
from absdb.sql.session import Call

if TYPE_CHECKING:
    from absdb.sql.query.names import NamedTable
    from absdb.sql.query.prepared import Prepared, TableRead
    from absdb.sql.query.result import Result
    from absdb.sql.text.edits import Edited
    from absdb.versioning.scope import Scope, TransactionScope

T = TypeVar("T")


def execute(call: Call) -> Result:
    """explain_key, explain_value of the statement's plans, of what they read, and of what it would do."""
    dry = DryRun(call)
    done = _TOLD[verb_of(call.statement)](dry)
    return explanation([*dry.plans, ("change", "\n".join(done))])


class _WouldRead(Exception):
    """The statement has come to where it reads the rows that it changes."""


class DryRun(Call):
    """A statement that is prepared and not run: its queries and what they read are told of in `plans`."""

    def __init__(self, call: Call) -> None:
        super().__init__(call.session, call.statement, call.values, call.frames)
        self.plans: list[tuple[str, str]] = []
        self._queries: list[Prepared] = []
        self._reads: list[TableRead] = []
        self.looked_up: int | None = None
        """How many rows of the target a source has led to, if that is known."""

    def prepare(
        self,
        text: str,
        *,
        scope: Scope | None = None,
        given: Mapping[str, Any] | None = None,
        edits: Sequence[Edited] = (),
    ) -> Prepared:
        rewriter = self.rewriter(scope, given)
        prepared = rewriter.prepare(text, [self.statement.named, *edits])
        self._reads += rewriter.tables_read
        if given and TARGET in given:
            self.looked_up = given[TARGET].rows.num_rows
        return prepared

    def table(
        self,
        text: str,
        *,
        scope: Scope | None = None,
        given: Mapping[str, Any] | None = None,
        edits: Sequence[Edited] = (),
    ) -> pa.Table:
        self._stop(self.prepare(text, scope=scope, given=given, edits=edits))

    def running(self, prepared: Prepared) -> Running:
        self._stop(prepared)

    def _stop(self, prepared: Prepared) -> NoReturn:
        self._queries.append(prepared)
        raise _WouldRead

    def told(self, work: Callable[[], T]) -> T:
        """What `work` gives, which may ask for rows of queries and does not get them."""
        found = work()
        for prepared in self._queries:
            self.plans += explained(self.session.backend, prepared, self.values, analyze=False)
        self.plans += tables(self, self._reads)
        return found

    def within(self, target: TargetRef, work: Callable[[TransactionScope], T]) -> T:
        """The same in a transaction that is rolled back."""
        found: list[T] = []

        def undone(scope: TransactionScope) -> None:
            found.append(self.told(lambda: work(scope)))
            raise _WouldRead

        with suppress(_WouldRead):
            self.write(database_of(self, target), undone)
        return found[0]


# ---------------------------------------------------------------- the statements


def _insert(dry: DryRun) -> list[str]:
    plan = plan_of(dry.session.backend.kept.get, dry.statement)

    def told(scope: TransactionScope) -> list[str]:
        named = table_of(dry, plan.target, scope)
        if plan.columns is not None:
            insert.named_columns(dry, named.schema, plan.columns)
        if plan.query is not None:
            with suppress(_WouldRead):
                insert.given_rows(dry, plan, named.schema, scope)
        given = "the rows of the query" if plan.query is not None else counted(len(plan.rows or [0]), "row")
        return [
            *_target(f"inserts {given} into", named, scope),
            *_found(named.schema, plan),
            *_checks(named, scope, inserts=plan.conflict is None),
        ]

    return dry.within(plan.target, told)


def _found(schema: TableSchema, plan: InsertPlan) -> Iterator[str]:
    """What is looked up of rows to insert, and what becomes of those that are there."""
    if schema.hidden_key is None:
        yield f"  looks up each row by its key ({', '.join(schema.key_names)})"
    conflict = plan.conflict
    if conflict is not None:
        changed = ", ".join(each.name for each in conflict.assignments)
        does = "replaces" if conflict.replace else f"sets {changed} of" if changed else "leaves alone"
        yield f"  {does} rows that are there"


def _update(dry: DryRun) -> list[str]:
    plan = dry.session.backend.kept.get(UpdatePlan, dry.text, lambda: UpdatePlan.read(dry.statement))

    def told(scope: TransactionScope) -> list[str]:
        named = table_of(dry, plan.target, scope)
        with suppress(_WouldRead):
            update.changed(dry, plan, scope)
        names = ", ".join(each.name for each in plan.assignments)
        return [*_target(f"sets {names} of", named, scope), *_met(dry, named), *_checks(named, scope)]

    return dry.within(plan.target, told)


def _delete(dry: DryRun) -> list[str]:
    plan = dry.session.backend.kept.get(DeletePlan, dry.text, lambda: DeletePlan.read(dry.statement))

    def told(scope: TransactionScope) -> list[str]:
        named = table_of(dry, plan.target, scope)
        if plan.removes_all:
            return [
                *_target("removes all rows of", named, scope),
                "  reads all keys",
                *_checks(named, scope, removes=True),
            ]
        with suppress(_WouldRead):
            delete.removed(dry, plan, scope)
        return [
            *_target("removes rows of", named, scope),
            *_met(dry, named),
            *_checks(named, scope, removes=True),
        ]

    return dry.within(plan.target, told)


def _merge(dry: DryRun) -> list[str]:
    plan = dry.session.backend.kept.get(MergePlan, dry.text, lambda: MergePlan.read(dry.statement))

    def told(scope: TransactionScope) -> list[str]:
        named = table_of(dry, plan.target, scope)
        work = merge_into.Merge(dry, plan, scope)
        for action in plan.actions:
            with suppress(_WouldRead):
                work.affected(action)
        clauses = [f"  WHEN {action.side} THEN {action.verb}" for action in plan.actions]
        return [*_target("merges into", named, scope), *clauses, *_met(dry, named), *_checks(named, scope)]

    return dry.within(plan.target, told)


def _copy(dry: DryRun) -> list[str]:
    plan = dry.session.backend.kept.get(CopyPlan, dry.text, lambda: CopyPlan.read(dry.statement))
    file = dry.text[plan.file.start : plan.file.stop]
    target = plan.target
    if not plan.reads:
        return dry.told(lambda: _written_to(dry, plan, file))
    assert target is not None, "only tables are copied into"

    def told(scope: TransactionScope) -> list[str]:
        named = table_of(dry, target, scope)
        by = [] if named.schema.hidden_key is not None else ["  looks up each row by its key"]
        return [
            *_target(f"inserts the rows of {file} into", named, scope),
            *by,
            *_checks(named, scope, inserts=True),
        ]

    return dry.within(target, told)


def _written_to(dry: DryRun, plan: CopyPlan, file: str) -> list[str]:
    with suppress(_WouldRead):
        dry.running(rows_to_write(dry, plan))
    return [f"writes the rows of the query to {file}"]


_TOLD: dict[str, Callable[[DryRun], list[str]]] = {
    "INSERT": _insert,
    "UPDATE": _update,
    "DELETE": _delete,
    "TRUNCATE": _delete,
    "MERGE": _merge,
    "COPY": _copy,
}


# ---------------------------------------------------------------- what is said of the target


def _target(does: str, named: NamedTable, scope: Scope) -> list[str]:
    """What is done to a table, and the layers it has."""
    reader = scope.reader(named.schema)
    return [f"{does} {table_told(named, reader)}", *layers_told(reader)[0]]


def _met(dry: DryRun, named: NamedTable) -> Iterator[str]:
    """How the rows that change are found."""
    if named.schema.hidden_key is not None:
        yield "  numbers all its rows, since it has no key"
    elif dry.looked_up is not None:
        yield f"  looks up {counted(dry.looked_up, 'row')} by the key, for the source"
    yield (
        "  writes them by their key" if named.schema.hidden_key is None else "  writes them by their numbers"
    )


def _checks(
    named: NamedTable, scope: Scope, *, inserts: bool = False, removes: bool = False
) -> Iterator[str]:
    """The constraints that look at other rows."""
    schema, catalog = named.schema, scope.catalog()
    checks = []
    for each in () if removes else schema.constraints:
        if isinstance(each, Unique | ForeignKey):
            columns = ", ".join(schema.by_id[column].name for column in each.columns)
            where = "" if isinstance(each, Unique) else f" in {catalog.tables[each.table].full_name}"
            checks.append(f"{'UNIQUE' if isinstance(each, Unique) else 'FOREIGN KEY'} ({columns}){where}")
    if checks:
        yield f"  checks {', '.join(checks)}"
    referring = dict.fromkeys(child.full_name for child, _ in catalog.referencing.get(schema.id, ()))
    if referring and not inserts:
        yield f"  checks that no row of {', '.join(referring)} refers to what is gone"
