"""CREATE DATABASE, empty or as a branch.

    CREATE [OR REPLACE] DATABASE [IF NOT EXISTS] name
        [BRANCH FROM source [AS OF LSN '…' | TIMESTAMP '…' | SNAPSHOT 'x']]
        [RETAIN 7 DAYS] [PROTECTED] [COMMENT 'text'] [IF NOT EXISTS]

A branch costs one sync, whatever the size. OR REPLACE drops the database that is there once all that is asked for
has been found. Called by dispatch.py.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from absdb.clock import MICROSECOND
from absdb.errors import InvalidInputError
from absdb.paths import check_name
from absdb.sql.define.database_target import read_as_of, read_database, read_retention, refuse_in_transaction
from absdb.sql.define.ddl_target import already, read_header
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at, pointing_at
from absdb.versioning.as_of import Point
from absdb.versioning.branch import alter_database, create_branch, create_database, drop_database

if TYPE_CHECKING:
    from absdb.sql.session import Call


@dataclass
class _Described:
    source: Point | None = None
    source_at: int = 0
    retain: dt.timedelta | None = None
    protected: bool = False
    comment: str = ""
    if_absent: bool = False


def execute(call: Call) -> Result:
    """Make a database."""
    refuse_in_transaction(call, "CREATE DATABASE")
    cursor = TokenCursor(call.statement)
    replace, if_absent = read_header(cursor, "DATABASE")
    at = cursor.token.start
    name = cursor.name("the name of a database")
    described = _described(call, cursor)
    there = call.moment().database(name)
    result = Result(statement="CREATE DATABASE")
    if there is not None and (if_absent or described.if_absent):
        return result
    with pointing_at(call.text, at):
        check_name("database", name)
        if there is not None and not replace:
            raise already("database", name)
        if there is not None:
            _check_not_source(there.name, described)
            drop_database(call.session.engine, there)
        _make(call, name, described)
    return result


def _described(call: Call, cursor: TokenCursor) -> _Described:
    found = _Described()
    while not cursor.done:
        at = cursor.token.start
        if cursor.accept("BRANCH"):
            cursor.expect("FROM")
            found.source_at = cursor.token.start
            found.source = read_as_of(call, cursor, read_database(call, cursor))
        elif cursor.accept("RETAIN"):
            found.retain = read_retention(cursor)
        elif cursor.accept("PROTECTED"):
            found.protected = True
        elif cursor.accept("COMMENT"):
            found.comment = cursor.string()
        elif cursor.accept("IF", "NOT", "EXISTS"):
            found.if_absent = True
        elif cursor.accept("AS", "OF") or cursor.accept("FROM"):
            raise error_at(
                call.text,
                at,
                "it is not said from which database to branch",
                hint="write BRANCH FROM main AS OF …",
            )
        else:
            cursor.refuse("BRANCH FROM", "RETAIN", "PROTECTED", "COMMENT", "the end of the statement")
    return found


def _check_not_source(name: str, described: _Described) -> None:
    if described.source is not None and described.source.database.name == name:
        raise InvalidInputError(
            f"database {name!r} cannot be replaced by a branch of itself",
            hint=f"RESTORE DATABASE {name} TO … brings back an earlier state of it",
        )


def _make(call: Call, name: str, described: _Described) -> None:
    engine, retain = call.session.engine, described.retain
    if described.source is not None:
        create_branch(
            engine,
            name,
            described.source,
            protected=described.protected,
            retain=retain,
            comment=described.comment,
        )
        return
    made = create_database(engine, name)
    if described.protected or retain is not None or described.comment:
        alter_database(
            engine,
            made,
            protected=described.protected,
            retain_us=None if retain is None else retain // MICROSECOND,
            comment=described.comment,
        )
