"""CREATE VIEW: a query under a name.

    CREATE [OR REPLACE] [RECURSIVE] VIEW [IF NOT EXISTS] name [(column, …)] AS query

The text is kept, and run whenever the view is read: its names mean what they mean in the view's own database and
schema, at the point at which the view is read. It is tried out when it is made. Called by dispatch.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from absdb.errors import AlreadyExistsError
from absdb.paths import check_name
from absdb.sql.define.ddl_target import Creation, read_creation
from absdb.sql.query.names import NamedTable
from absdb.sql.query.result import Result
from absdb.sql.query.rewrite import Rewriter
from absdb.sql.query.run import Running
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.edits import Edit, Edited
from absdb.sql.text.source import error_at
from absdb.sql.text.tokens import Kind, quoted
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call


@dataclass(frozen=True, slots=True)
class _Described:
    columns: list[str]
    columns_at: int
    query: Edited


def execute(call: Call) -> Result:
    """Make a view."""
    cursor = TokenCursor(call.statement)
    recursive = "RECURSIVE" in [token.upper for token in cursor.tokens[:4]]
    words = ("RECURSIVE", "VIEW") if recursive else ("VIEW",)
    creation = read_creation(call, cursor, *words)
    described = _described(call, cursor, creation, recursive)
    creation.target.write(lambda scope: _create(call, scope, creation, described))
    return Result(statement="CREATE VIEW")


def _described(call: Call, cursor: TokenCursor, creation: Creation, recursive: bool) -> _Described:
    at = cursor.token.start
    columns = cursor.names() if cursor.token.upper == "(" else []
    if recursive and not columns:
        cursor.refuse("( and the names of the columns")
    cursor.expect("AS")
    if cursor.done:
        cursor.refuse("a query")
    parameter = next((token for token in cursor.tokens[cursor.at :] if token.kind is Kind.PARAMETER), None)
    if parameter is not None:
        raise error_at(
            call.text,
            parameter.start,
            "a view has no parameters",
            hint="write the value out, or CREATE MACRO name(value) AS TABLE …",
        )
    before = after = ""
    if recursive:
        name = quoted(creation.target.name)
        before = f"WITH RECURSIVE {name}({', '.join(map(quoted, columns))}) AS ("
        after = f"\n) FROM {name}"
    query = Edited(
        call.text,
        [
            Edit(0, cursor.token.start, before),
            Edit(cursor.tokens[-2].stop, len(call.text), after),
        ],
    )
    return _Described([] if recursive else columns, at, query)


def _create(call: Call, scope: TransactionScope, creation: Creation, described: _Described) -> None:
    target = creation.target
    space = target.home(scope)
    there = target.relation(scope, space)
    if isinstance(there, NamedTable):
        raise AlreadyExistsError(
            f"{target.label!r} is the name of a table", hint="drop the table, or take another name"
        )
    if creation.skips(there):
        return
    number = int(there.entity["id"]) if there is not None else scope.engine.allocator.new_id()
    name = there.entity["name"] if there is not None else check_name("view", target.name)
    entity: dict[str, Any] = {
        "id": number,
        "namespace": space,
        "name": name,
        "query": described.query.text,
        "columns": described.columns,
        "comment": "",
    }
    scope.tx.change_schema({("view", number): entity})
    _try_out(call, scope, creation, described, entity)


def _try_out(
    call: Call, scope: TransactionScope, creation: Creation, described: _Described, entity: dict[str, Any]
) -> None:
    """Let DuckDB look at the query, with the view in place, so that one that reads itself is found out."""
    moment = creation.target.moment(scope)
    moment.namespace = entity["namespace"]
    rewriter = Rewriter(moment, call.session.backend, {}, types_only=True)
    prepared = rewriter.prepare(described.query.text, [call.statement.named, described.query])
    running = Running(call.session.backend, prepared, {})
    try:
        found = list(running.relation.columns)
    finally:
        running.close()
    if len(described.columns) > len(found):
        raise error_at(
            call.text,
            described.columns_at,
            f"the view names {len(described.columns)} columns, and its query has {len(found)}",
        )
    names = [*described.columns, *found[len(described.columns) :]]
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if twice is not None:
        raise error_at(
            call.text,
            described.columns_at,
            f"the view has the column {twice!r} twice",
            hint="give it another name",
        )
