"""RESTORE: a database, or some of its tables, becomes what it was at a point. A new commit, undone the same way.

    RESTORE DATABASE name TO LSN '…' | TIMESTAMP '…' | SNAPSHOT 'x' [TABLES (a, b)]
    RESTORE TABLE a, b TO …

Called by dispatch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.catalog.history import DatabaseInfo
from absdb.errors import NotFoundError
from absdb.sql.define.database_target import read_database, read_point, refuse_in_transaction
from absdb.sql.define.ddl_target import Target
from absdb.sql.query.names import DatabaseView, Moment, NamedTable, find_in
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at
from absdb.sql.text.suggestion import suggestion
from absdb.versioning.as_of import Point
from absdb.versioning.restore import restore
from absdb.versioning.scope import PastScope

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """Restore; what is undone stays in the history."""
    cursor = TokenCursor(call.statement)
    cursor.expect("RESTORE")
    what = cursor.expect_one(("DATABASE", "TABLE"))
    refuse_in_transaction(call, f"RESTORE {what}")
    targets: list[Target] = []
    if what == "DATABASE":
        info = read_database(call, cursor)
    else:
        targets = _targets(call, cursor)
        info = targets[0].info
    cursor.expect("TO")
    point = read_point(call, cursor, info)
    if what == "DATABASE" and cursor.accept("TABLES"):
        cursor.expect("(")
        targets = _targets(call, cursor, info)
        cursor.expect(")")
    cursor.end()
    names = [_name_then(call, target, point) for target in targets]
    restore(call.session.engine, point, tables=names or None)
    return Result(statement=f"RESTORE {what}")


def _targets(call: Call, cursor: TokenCursor, info: DatabaseInfo | None = None) -> list[Target]:
    """Tables between commas, all of one database: of `info` if it is given, which they then do not name."""
    found: list[Target] = []
    while not found or cursor.accept(","):
        at = cursor.token.start
        path = cursor.path("the name of a table")
        if info is not None and len(path) < 3:
            path = (info.name, *path) if len(path) == 2 else (info.name, "main", *path)
        found.append(Target(call, path, at))
        if found[-1].info.id != found[0].info.id or (info is not None and found[-1].info.id != info.id):
            raise error_at(
                call.text, at, "a restore is one of a single database", hint="use a statement for each"
            )
    return found


def _name_then(call: Call, target: Target, point: Point) -> str:
    """The full name of a table as it was at the point."""
    scope = PastScope(call.session.engine, point)
    view = DatabaseView(target.info, scope.catalog(), scope.reader, point.lsn, scope)
    moment = Moment(call.session.engine, view, point.lsn, call.session.namespace)
    spaces = [target.namespace] if target.namespace is not None else [moment.namespace, "main"]
    with target.placing():
        for space in spaces:
            found = find_in(view, space, target.name)
            if isinstance(found, NamedTable):
                return found.schema.full_name
        names = [table.full_name for table in view.catalog.tables.values()]
        raise NotFoundError(
            f"there was no table {target.label!r} in database {target.info.name!r} at {point.lsn}",
            hint=suggestion(target.name, names, "tables then"),
        )
