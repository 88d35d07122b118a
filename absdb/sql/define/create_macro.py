"""CREATE MACRO: an expression, or a query, with parameters.

    CREATE [OR REPLACE] MACRO | FUNCTION [IF NOT EXISTS] name (a, b := 1) AS expression
    CREATE … name (a, b := 1) AS TABLE query
    CREATE … name (a) AS expression, (a, b) AS expression, …

The text is kept, and made a macro of DuckDB's for each query that calls it: see macros.py. Its names mean what they
mean in the macro's own database and schema, at the point at which it is called. Called by dispatch.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from absdb.errors import AbsdbError, InvalidInputError, QueryError
from absdb.paths import check_name
from absdb.sql.define.ddl_target import Creation, entity_in, read_creation
from absdb.sql.duck.duck_errors import query_error
from absdb.sql.query.functions import is_ours
from absdb.sql.query.macros import name_of
from absdb.sql.query.names import NamedEntity
from absdb.sql.query.result import Result
from absdb.sql.query.rewrite import Rewriter
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at
from absdb.sql.text.time_travel import matching
from absdb.sql.text.tokens import Kind
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call


@dataclass(frozen=True, slots=True)
class _Overload:
    parameters: str
    body: str
    table: bool
    at: int


def execute(call: Call) -> Result:
    """Make a macro."""
    cursor = TokenCursor(call.statement)
    what = next(token.upper for token in cursor.tokens if token.upper in ("MACRO", "FUNCTION"))
    creation = read_creation(call, cursor, what)
    if is_ours(creation.target.name):
        raise error_at(
            call.text, creation.target.at, f"{creation.target.name!r} is a function of absdb's own"
        )
    overloads = [_overload(cursor)]
    while cursor.accept(","):
        overloads.append(_overload(cursor))
    cursor.end()
    if len({each.table for each in overloads}) > 1:
        raise error_at(call.text, overloads[0].at, "a macro gives a value or a table, not one or the other")
    creation.target.write(lambda scope: _create(call, scope, creation, overloads))
    return Result(statement="CREATE MACRO")


def _overload(cursor: TokenCursor) -> _Overload:
    parameters = cursor.brackets()
    cursor.expect("AS")
    table = cursor.accept("TABLE")
    at, start = cursor.token.start, cursor.at
    if cursor.done:
        cursor.refuse("a query" if table else "an expression")
    while not cursor.done and not (cursor.token.upper == "," and _begins_overload(cursor)):
        opens = cursor.token.upper in ("(", "[", "{")
        cursor.at = matching(cursor.text, cursor.tokens, cursor.at) + 1 if opens else cursor.at + 1
    body = cursor.tokens[start : cursor.at]
    parameter = next((token for token in body if token.kind is Kind.PARAMETER), None)
    if parameter is not None:
        raise error_at(
            cursor.text, parameter.start, "a macro's parameters have names", hint="write (a) AS a + 1, not $1"
        )
    return _Overload(parameters, cursor.written(start, cursor.at), table, at)


def _begins_overload(cursor: TokenCursor) -> bool:
    """Whether `, (…) AS` comes next, which is no part of an expression; a query is put in parentheses before it."""
    if cursor.tokens[cursor.at + 1].upper != "(":
        return False
    close = matching(cursor.text, cursor.tokens, cursor.at + 1)
    before = cursor.tokens[cursor.at - 1].upper
    return cursor.tokens[close + 1].upper == "AS" and (before == ")" or not _in_query(cursor))


def _in_query(cursor: TokenCursor) -> bool:
    """Whether the body that is being read is a query without parentheses."""
    at = cursor.at
    while at and cursor.tokens[at].upper != "AS":
        at -= 1
    return cursor.tokens[at + 1].upper == "TABLE"


def _create(call: Call, scope: TransactionScope, creation: Creation, overloads: list[_Overload]) -> None:
    target = creation.target
    space = target.home(scope)
    there = entity_in(scope, "macro", space, target.name)
    if creation.skips(there):
        return
    number = int(there["id"]) if there is not None else scope.engine.allocator.new_id()
    name = there["name"] if there is not None else check_name("macro", target.name)
    kept = [{"table": each.table, "parameters": each.parameters, "body": each.body} for each in overloads]
    entity: dict[str, Any] = {"id": number, "namespace": space, "name": name, **kept[0], "comment": ""}
    if kept[1:]:
        entity["overloads"] = kept[1:]
    scope.tx.change_schema({("macro", number): entity})
    _try_out(call, scope, creation, entity, overloads[0].at)


def _try_out(
    call: Call, scope: TransactionScope, creation: Creation, entity: dict[str, Any], at: int
) -> None:
    """Let DuckDB make the macro, with the entity in place, so that one that calls itself is found out."""
    backend = call.session.backend
    moment = creation.target.moment(scope)
    rewriter = Rewriter(moment, backend, {}, types_only=True)
    try:
        name_of(rewriter, NamedEntity(moment.current, entity))
    except InvalidInputError:
        raise
    except AbsdbError as error:
        message = error.message.split("\n")[0].removeprefix(f"in macro {entity['name']!r}: ")
        raise error_at(call.text, at, message, hint=error.hint) from error
    connection = backend.cursor()
    try:
        for name, value in rewriter.objects.items():
            connection.register(name, value)
        for statement in rewriter.setup:
            connection.execute(statement).fetchall()
    except QueryError:
        raise
    except Exception as error:
        said = query_error(error, "", [])
        raise error_at(call.text, at, said.message.split("\n")[0], hint=said.hint) from error
    finally:
        backend.discard(connection)
