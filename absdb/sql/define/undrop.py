"""UNDROP TABLE name: brings back the table of that name that was dropped last, with its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.engine import ddl
from absdb.engine.ddl_tables import catalogs_back
from absdb.sql.define.ddl_target import Target, already
from absdb.sql.query.names import alike
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """Bring a table back, for as long as history is kept."""
    cursor = TokenCursor(call.statement)
    cursor.expect("UNDROP", "TABLE")
    at = cursor.token.start
    target = Target(call, cursor.path("the name of a table"), at)
    cursor.end()

    def work(scope: TransactionScope) -> None:
        space = target.home(scope)
        if target.relation(scope, space) is not None:
            raise already("table or view", target.label)
        ddl.undrop_table(scope.tx, _name_then(scope, space, target.name), space)

    target.write(work)
    return Result(statement="UNDROP TABLE")


def _name_then(scope: TransactionScope, space: str, name: str) -> str:
    """The name as the newest table had it that SQL takes for the one that is meant."""
    for catalog in catalogs_back(scope.tx):
        found = alike({plain: plain for home, plain in catalog.tables_by_name if home == space}, name)
        if found is not None:
            return found
    return name
