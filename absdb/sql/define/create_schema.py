"""CREATE SCHEMA [IF NOT EXISTS] [database.]name: a namespace for tables, views, sequences and macros."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.engine import ddl
from absdb.errors import InvalidInputError
from absdb.sql.define.ddl_target import already, read_header
from absdb.sql.define.schema_target import SchemaTarget
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """Make a schema."""
    cursor = TokenCursor(call.statement)
    replace, if_absent = read_header(cursor, "SCHEMA")
    at = cursor.token.start
    if replace:
        raise error_at(call.text, at, "a schema is not replaced", hint="DROP SCHEMA … CASCADE first")
    target = SchemaTarget(call, cursor.path("the name of a schema"), at)
    cursor.end()

    def work(scope: TransactionScope) -> None:
        if target.found(scope) is not None:
            if not if_absent:
                raise already("schema", target.name)
            return
        if "." in target.name:
            raise InvalidInputError(
                f"{target.name!r} cannot name a schema: it contains '.'",
                hint="a point separates schema and table",
            )
        ddl.create_namespace(scope.tx, target.name)

    target.write(work)
    return Result(statement="CREATE SCHEMA")
