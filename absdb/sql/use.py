"""USE: which database, and which schema of it, a session's names without a prefix mean.

    USE staging          the database of that name, else the schema of the current one
    USE main.sales       a schema of a database
    USE main AS OF SNAPSHOT 'before'      a state of the past, to be read; also AT (TIMESTAMP => …)

Called by dispatch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.catalog.history import DatabaseInfo
from absdb.catalog.schema import DEFAULT_NAMESPACE
from absdb.errors import NotFoundError
from absdb.sql.query.names import Moment, alike
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import placed
from absdb.sql.text.suggestion import suggestion
from absdb.sql.text.time_travel import When, matching
from absdb.versioning.scope import HeadScope, Scope

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """Make it the current one; a Result without rows."""
    cursor = TokenCursor(call.statement)
    cursor.expect("USE")
    start = cursor.token.start
    path = cursor.path("a database or a schema")
    when = _point(cursor)
    cursor.end()
    change(call, path, start, when)
    return Result(statement="USE")


def change(call: Call, path: tuple[str, ...], start: int, when: When | None = None) -> None:
    """Make what a name means the current database and schema; QueryError points at `start` of the statement."""
    moment = call.moment()
    try:
        info, namespace = _meant(moment, path)
    except NotFoundError as error:
        raise placed(error, call.text, start) from error
    if when is not None:
        scope: Scope = call.past(info, when)
    elif info.id == moment.current.info.id and len(path) == 1 and namespace != DEFAULT_NAMESPACE:
        scope = call.session.scope
    else:
        scope = HeadScope(call.session.engine, info)
    call.session.use(scope, namespace)


def _point(cursor: TokenCursor) -> When | None:
    if cursor.accept("AS", "OF"):
        return cursor.point()
    if not cursor.accept("AT"):
        return None
    close = matching(cursor.text, cursor.tokens, cursor.at)
    cursor.expect("(")
    unit = cursor.expect_one(("LSN", "TIMESTAMP", "SNAPSHOT", "VERSION"))
    cursor.expect("=>")
    when = When(unit, cursor.token.start, cursor.tokens[close - 1].stop)
    cursor.at = close + 1
    return when


def _meant(moment: Moment, path: tuple[str, ...]) -> tuple[DatabaseInfo, str]:
    """The database and the schema; NotFoundError suggests the nearest names."""
    if len(path) > 2:
        raise NotFoundError(f"{'.'.join(path)!r} has {len(path)} parts", hint="write USE database.schema")
    info = moment.database(path[0])
    if len(path) == 1:
        if info is not None:
            return info, DEFAULT_NAMESPACE
        spaces = moment.current.catalog.namespaces
        space = alike({each: each for each in spaces}, path[0])
        if space is not None:
            return moment.current.info, space
        names = [each.name for each in list(moment.engine.history.databases.values())]
        hint = suggestion(path[0], [*names, *spaces], "there are")
        raise NotFoundError(f"there is no database or schema {path[0]!r}", hint=hint)
    if info is None:
        names = [each.name for each in list(moment.engine.history.databases.values())]
        raise NotFoundError(
            f"there is no database {path[0]!r}", hint=suggestion(path[0], names, "databases here")
        )
    spaces = moment.view(info).catalog.namespaces
    space = alike({each: each for each in spaces}, path[1])
    if space is None:
        hint = suggestion(path[1], spaces, f"schemas of {info.name!r}")
        raise NotFoundError(f"database {info.name!r} has no schema {path[1]!r}", hint=hint)
    return info, space
