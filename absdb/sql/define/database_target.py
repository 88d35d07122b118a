"""Databases and points of them, as the statements name them that are about a database as a whole.

Such statements are no part of a transaction: each is a record of the log of its own. Called by the modules of
CREATE, ALTER, DROP and RESTORE DATABASE, and of snapshots.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from absdb.catalog.history import DatabaseInfo
from absdb.errors import InvalidInputError, NotFoundError, StateError
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at, pointing_at
from absdb.sql.text.suggestion import suggestion
from absdb.sql.text.tokens import Kind
from absdb.versioning.as_of import Point, resolve
from absdb.versioning.retention import retention_of

if TYPE_CHECKING:
    from absdb.sql.session import Call


def refuse_in_transaction(call: Call, what: str) -> None:
    """StateError if a transaction is open."""
    if call.session.in_transaction:
        raise StateError(
            f"{what} is no part of a transaction, and one is open in this session",
            hint="COMMIT or ROLLBACK first",
        )


def named_database(call: Call, name: str, at: int) -> DatabaseInfo:
    """The database of a name that stands at `at`; NotFoundError suggests the nearest one."""
    with pointing_at(call.text, at):
        moment = call.moment()
        found = moment.database(name)
        if found is None:
            names = [info.name for info in moment.engine.history.databases.values()]
            raise NotFoundError(
                f"there is no database {name!r}", hint=suggestion(name, names, "databases"), database=name
            )
        return found


def read_database(call: Call, cursor: TokenCursor) -> DatabaseInfo:
    """The database whose name comes next."""
    at = cursor.token.start
    return named_database(call, cursor.name("the name of a database"), at)


def read_point(call: Call, cursor: TokenCursor, info: DatabaseInfo) -> Point:
    """`LSN …`, `TIMESTAMP …`, `SNAPSHOT …` as a point of a database; a snapshot's name needs no quotes."""
    following = cursor.tokens[cursor.at + 1 : cursor.at + 3]
    if cursor.ahead("SNAPSHOT") and following[0].is_name and following[1].upper not in ("(", "."):
        cursor.expect("SNAPSHOT")
        at = cursor.token.start
        with pointing_at(call.text, at):
            return resolve(call.session.engine, info, snapshot=cursor.name())
    return call.past(info, cursor.point()).point()


def read_as_of(call: Call, cursor: TokenCursor, info: DatabaseInfo) -> Point:
    """`[AS OF point]`: the newest state if nothing is said."""
    if cursor.accept("AS", "OF"):
        return read_point(call, cursor, info)
    return resolve(call.session.engine, info)


def read_label(cursor: TokenCursor, what: str) -> str:
    """A name that may also be written as a text: `before`, `"before"`, `'before'`."""
    return cursor.string() if cursor.token.kind is Kind.STRING else cursor.name(what)


def read_retention(cursor: TokenCursor) -> dt.timedelta:
    """`7 DAYS` or `'7 days'`. QueryError says what it looks like."""
    at, start = cursor.token.start, cursor.at
    if cursor.token.kind is Kind.STRING:
        text = cursor.string()
    else:
        cursor.accept("INTERVAL")
        start = cursor.at
        cursor.integer()
        cursor.name("a unit, such as DAYS")
        text = cursor.written(start, cursor.at)
    try:
        found = retention_of(text.lower())
    except InvalidInputError as error:
        raise error_at(
            cursor.text, at, error.message, hint="write it as RETAIN 7 DAYS or RETAIN 12 HOURS"
        ) from error
    assert found is not None, "a text is no None"
    if found <= dt.timedelta(0):
        raise error_at(cursor.text, at, f"a database cannot be retained for {text}")
    return found
