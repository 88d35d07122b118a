"""CREATE CHECK: a query that must hold for the result of every merge into the database.

    CREATE [OR REPLACE] CHECK [IF NOT EXISTS] name AS query [COMMENT 'text']

It holds if the query gives the one value true, or no rows. DROP CHECK is drop_check.py's. Called by dispatch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.sql.define.database_target import read_label
from absdb.sql.define.ddl_target import read_header
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import pointing_at
from absdb.versioning.data_checks import add_check, checks_of

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """Store a check, in the transaction if one is open."""
    cursor = TokenCursor(call.statement)
    replace, if_absent = read_header(cursor, "CHECK")
    at = cursor.token.start
    name = read_label(cursor, "the name of a check")
    cursor.expect("AS")
    query_at = cursor.token.start
    query = cursor.until("COMMENT")
    if not query:
        cursor.refuse("a query")
    comment = cursor.string() if cursor.accept("COMMENT") else ""
    cursor.end()
    scope = call.session.scope
    if if_absent and name in checks_of(scope.catalog()):
        return Result(statement="CREATE CHECK")
    from absdb.sql.checks import check_query

    with pointing_at(call.text, query_at):
        check_query(scope, query)
    with pointing_at(call.text, at):
        scope.write(lambda tx: add_check(tx, name, query, comment=comment, replace=replace))
    return Result(statement="CREATE CHECK")
