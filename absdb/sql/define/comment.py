"""COMMENT ON: a text that listings show beside a thing.

    COMMENT ON TABLE | VIEW | SEQUENCE | MACRO | SCHEMA | DATABASE name IS 'text' | NULL
    COMMENT ON COLUMN table.column IS 'text' | NULL

Comments have their history like everything else that is defined, except those of databases. Called by dispatch.py.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from absdb.engine import ddl
from absdb.engine.ddl_checks import put
from absdb.sql.change.target import column_of
from absdb.sql.define.database_target import read_database, refuse_in_transaction
from absdb.sql.define.ddl_target import Target
from absdb.sql.define.schema_target import SchemaTarget
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at
from absdb.versioning.branch import alter_database
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call

_KINDS = ("TABLE", "COLUMN", "VIEW", "SEQUENCE", "MACRO", "FUNCTION", "SCHEMA", "DATABASE")


def execute(call: Call) -> Result:
    """Put a comment in the place of the one there is."""
    cursor = TokenCursor(call.statement)
    cursor.expect("COMMENT", "ON")
    kind = cursor.expect_one(_KINDS)
    if kind == "DATABASE":
        refuse_in_transaction(call, "COMMENT ON DATABASE")
        info = read_database(call, cursor)
        alter_database(call.session.engine, info, comment=_comment(cursor))
        return Result(statement="COMMENT")
    at = cursor.token.start
    path = cursor.path(f"the name of a {kind.lower()}")
    column_at = cursor.tokens[cursor.at - 1].start
    comment = _comment(cursor)
    if kind == "SCHEMA":
        _on_schema(SchemaTarget(call, path, at), comment)
    elif kind == "COLUMN":
        if len(path) == 1:
            raise error_at(call.text, at, "it is not said of which table", hint=f"write table.{path[0]}")
        _on_column(call, Target(call, path[:-1], at), path[-1], column_at, comment)
    else:
        target = Target(call, path, at)
        target.write(lambda scope: _on_entity(scope, target, kind, comment))
    return Result(statement="COMMENT")


def _comment(cursor: TokenCursor) -> str:
    cursor.expect("IS")
    comment = "" if cursor.accept("NULL") else cursor.string("a text in quotes, or NULL")
    cursor.end()
    return comment


def _on_entity(scope: TransactionScope, target: Target, kind: str, comment: str) -> None:
    if kind == "TABLE":
        put(scope.tx, dataclasses.replace(target.table(scope).schema, comment=comment))
        return
    entity_kind = "macro" if kind == "FUNCTION" else kind.lower()
    entity = target.view(scope).entity if kind == "VIEW" else target.require_entity(scope, entity_kind)
    scope.tx.change_schema({(entity_kind, entity["id"]): {**entity, "comment": comment}})


def _on_column(call: Call, target: Target, name: str, at: int, comment: str) -> None:
    def work(scope: TransactionScope) -> None:
        schema = target.table(scope).schema
        ddl.alter_column(scope.tx, schema, column_of(call, schema, name, at).name, comment=comment)

    target.write(work)


def _on_schema(target: SchemaTarget, comment: str) -> None:
    def work(scope: TransactionScope) -> None:
        name = target.require(scope)
        if name == "main":
            raise error_at(
                target.call.text, target.at, "the schema 'main' has no comment", hint="it is always there"
            )
        scope.tx.change_schema({("namespace", name): {"name": name, "comment": comment}})

    target.write(work)
