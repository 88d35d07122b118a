"""DROP TABLE, VIEW, SCHEMA, SEQUENCE, MACRO.

    DROP kind [IF EXISTS] name, … [CASCADE | RESTRICT]

What is dropped is still there at earlier points, and UNDROP TABLE brings a table back. CASCADE drops with a table
the foreign keys that refer to it, with a schema what is in it, with a sequence the defaults that take from it.
Views and macros that name what is dropped stay, and fail when they are used. Called by dispatch.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from absdb.catalog.schema import TableSchema
from absdb.engine import ddl
from absdb.engine.ddl_checks import sequences_of
from absdb.errors import InvalidInputError, NotFoundError
from absdb.sql.define.ddl_target import Target, entities
from absdb.sql.define.schema_target import SchemaTarget
from absdb.sql.query.names import same
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at, pointing_at
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call

Dropper = Callable[[TransactionScope, Target, bool, bool], None]


def execute(call: Call) -> Result:
    """Drop one thing or several of a kind: all of them or none."""
    cursor = TokenCursor(call.statement)
    cursor.expect("DROP")
    kind = cursor.expect_one((*_DROPPERS, "SCHEMA"))
    as_table = kind in ("MACRO", "FUNCTION") and cursor.accept("TABLE")
    if_exists = cursor.accept("IF", "EXISTS")
    targets = _targets(call, cursor, kind, if_exists)
    cascade = cursor.accept_one(("CASCADE", "RESTRICT")) == "CASCADE"
    cursor.end()
    strange = next((each for each in targets if each.info.id != targets[0].info.id), None)
    if strange is not None:
        raise error_at(
            call.text, strange.at, "a commit belongs to one database", hint="use a statement for each"
        )

    def work(scope: TransactionScope) -> None:
        for target in targets:
            with pointing_at(call.text, target.at):
                if isinstance(target, SchemaTarget):
                    _drop_schema(scope, target, if_exists, cascade)
                else:
                    _DROPPERS[kind](scope, target, if_exists, cascade)

    if targets:
        targets[0].write(work)
    return Result(statement=f"DROP {kind}{' TABLE' if as_table else ''}")


def _targets(call: Call, cursor: TokenCursor, kind: str, if_exists: bool) -> list[Target | SchemaTarget]:
    """What is named, without what is in databases that are not there if that is no error."""
    found: list[Target | SchemaTarget] = []
    more = True
    while more:
        at = cursor.token.start
        path = cursor.path(f"the name of a {kind.lower()}")
        more = cursor.accept(",")
        try:
            found.append(SchemaTarget(call, path, at) if kind == "SCHEMA" else Target(call, path, at))
        except NotFoundError:
            if not if_exists:
                raise
    return found


def _drop_table(scope: TransactionScope, target: Target, if_exists: bool, cascade: bool) -> None:
    if if_exists and target.relation(scope) is None:
        return
    _drop_one_table(scope, target.table(scope).schema, cascade)


def _drop_one_table(scope: TransactionScope, schema: TableSchema, cascade: bool) -> None:
    """Drop a table, with the foreign keys that refer to it if `cascade`."""
    if cascade:
        for child, reference in scope.catalog().referencing.get(schema.id, ()):
            if child.id != schema.id:
                ddl.drop_constraint(scope.tx, scope.catalog().tables[child.id], reference.name)
    ddl.drop_table(scope.tx, schema)


def _drop_view(scope: TransactionScope, target: Target, if_exists: bool, cascade: bool) -> None:
    if if_exists and target.relation(scope) is None:
        return
    scope.tx.change_schema({("view", target.view(scope).entity["id"]): None})


def _drop_macro(scope: TransactionScope, target: Target, if_exists: bool, cascade: bool) -> None:
    if if_exists and target.entity(scope, "macro") is None:
        return
    scope.tx.change_schema({("macro", target.require_entity(scope, "macro")["id"]): None})


def _drop_sequence(scope: TransactionScope, target: Target, if_exists: bool, cascade: bool) -> None:
    if if_exists and target.entity(scope, "sequence") is None:
        return
    found = target.require_entity(scope, "sequence")
    if cascade:
        _drop_defaults(scope, found["id"])
    ddl.drop_sequence(scope.tx, found["name"], found["namespace"])


def _drop_defaults(scope: TransactionScope, sequence: int) -> None:
    """Drop the defaults that take from a sequence."""
    for table in list(scope.catalog().tables.values()):
        if sequence not in sequences_of(table):
            continue
        for column in table.columns:
            if (
                column.default is not None
                and column.default.kind == "sequence"
                and column.default.value == sequence
            ):
                table = ddl.alter_column(scope.tx, table, column.name, default=None)


def _drop_schema(scope: TransactionScope, target: SchemaTarget, if_exists: bool, cascade: bool) -> None:
    if if_exists and target.found(scope) is None:
        return
    name = target.require(scope)
    if cascade and name == "main":
        raise InvalidInputError("the schema 'main' cannot be dropped", hint="it is always there")
    if cascade:
        for table in list(scope.catalog().tables.values()):
            if table.namespace == name:
                _drop_one_table(scope, table, cascade)
        for kind in ("view", "macro", "sequence"):
            for number, entity in entities(scope, kind).items():
                if same(entity["namespace"], name):
                    if kind == "sequence":
                        _drop_defaults(scope, number)
                    scope.tx.change_schema({(kind, number): None})
    ddl.drop_namespace(scope.tx, name)


_DROPPERS: dict[str, Dropper] = {
    "TABLE": _drop_table,
    "VIEW": _drop_view,
    "SEQUENCE": _drop_sequence,
    "MACRO": _drop_macro,
    "FUNCTION": _drop_macro,
}
