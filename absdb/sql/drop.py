"""DROP TABLE, VIEW, SCHEMA, SEQUENCE, MACRO.

    DROP kind [IF EXISTS] name, … [CASCADE | RESTRICT]

What is dropped is still there at earlier points, and UNDROP TABLE brings a table back. CASCADE drops with a table
the foreign keys that refer to it, with a schema what is in it, with a sequence the defaults that take from it.
Views and macros that name what is dropped stay, and fail when they are used. Called by dispatch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.catalog.schema import TableSchema
from absdb.engine import ddl
from absdb.sql.cursor import TokenCursor
from absdb.sql.ddl_target import Target
from absdb.sql.result import Result
from absdb.sql.source import error_at
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """Drop one thing or several of a kind: all of them or none, if they are of one database."""
    cursor = TokenCursor(call.statement)
    cursor.expect("DROP")
    kind = cursor.expect_one(("TABLE",))
    if_exists = cursor.accept("IF", "EXISTS")
    targets = [_target(call, cursor, kind)]
    while cursor.accept(","):
        targets.append(_target(call, cursor, kind))
    cascade = cursor.accept_one(("CASCADE", "RESTRICT")) == "CASCADE"
    cursor.end()
    strange = next((each for each in targets if each.info.id != targets[0].info.id), None)
    if strange is not None:
        raise error_at(
            call.text, strange.at, "a commit belongs to one database", hint="use a statement for each"
        )

    def work(scope: TransactionScope) -> None:
        for target in targets:
            with target.placing():
                _drop_table(scope, target, if_exists, cascade)

    targets[0].write(work)
    return Result(statement=f"DROP {kind}")


def _target(call: Call, cursor: TokenCursor, kind: str) -> Target:
    at = cursor.token.start
    return Target(call, cursor.path(f"the name of a {kind.lower()}"), at)


def _drop_table(scope: TransactionScope, target: Target, if_exists: bool, cascade: bool) -> None:
    if if_exists and target.relation(scope) is None:
        return
    drop_one_table(scope, target.table(scope).schema, cascade)


def drop_one_table(scope: TransactionScope, schema: TableSchema, cascade: bool) -> None:
    """Drop a table, with the foreign keys that refer to it if `cascade`."""
    if cascade:
        for child, reference in scope.catalog().referencing.get(schema.id, ()):
            if child.id != schema.id:
                ddl.drop_constraint(scope.tx, scope.catalog().tables[child.id], reference.name)
    ddl.drop_table(scope.tx, schema)
