"""Connection and connect: PEP 249 over a session.

    autocommit=False    a transaction begins with the first statement and ends with commit() or rollback()
    autocommit=True     every statement is a commit of its own, unless the program says BEGIN

Statements about whole databases (CREATE DATABASE, RESTORE DATABASE, CREATE SNAPSHOT, USE, …) belong to no transaction:
they begin none, and end one that has written nothing. Programs make cursors; `connect` is what they begin with.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from absdb.dbapi import errors
from absdb.dbapi.cursor import Cursor
from absdb.dbapi.errors import (
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    translated,
)
from absdb.dbapi.sharing import shared
from absdb.ids import Lsn
from absdb.sql.session import Session
from absdb.sql.text.tokens import leading_words

if TYPE_CHECKING:
    from absdb.database import Database
    from absdb.instance import Instance

ISOLATION_LEVELS = ("SNAPSHOT", "SERIALIZABLE")
_BY_ITSELF = frozenset(
    ("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "RELEASE", "SET", "RESET", "PRAGMA")
)
"""Statements that begin no transaction."""
_ABOUT_DATABASES = frozenset(("USE", "RESTORE", "CHECKPOINT", "VACUUM", "ATTACH", "DETACH"))
_VERBS = frozenset(("CREATE", "DROP", "ALTER", "MERGE", "COMMENT"))
_WHOLE = frozenset(("DATABASE", "SNAPSHOT", "BRANCH"))


def connect(
    target: str | os.PathLike[str] | Instance | Database = ":memory:",
    *,
    database: str | None = None,
    schema: str | None = None,
    read_only: bool = False,
    autocommit: bool = False,
    isolation_level: str = "SNAPSHOT",
    at_lsn: int | str | None = None,
    at_time: str | dt.datetime | None = None,
    at_snapshot: str | None = None,
    create: bool = True,
    **settings: Any,
) -> Connection:
    """Connect to a database: by the path of its instance, or to an Instance or Database that is open already.

    Connections of one process to one path share the instance; it is closed with the last of them. ":memory:" is a new
    one each time, ":memory:name" one that all connections of that name share. `database` is `main` if not given.
    With `at_lsn`, `at_time` or `at_snapshot` the connection reads that state and writes nothing. `create` and
    `settings` are those of `absdb.connect`, for an instance that this call opens.
    """
    from absdb.instance import Instance

    with translated():
        if isinstance(target, str | os.PathLike):
            share = shared(target, read_only=read_only)
            instance = share.enter(settings, create=create)
            try:
                found = instance[database or "main"]
                return Connection(
                    _at(found, at_lsn, at_time, at_snapshot),
                    schema=schema,
                    read_only=read_only,
                    autocommit=autocommit,
                    isolation_level=isolation_level,
                    leave=lambda: share.leave(instance),
                )
            except BaseException:
                share.leave(instance)
                raise
        if settings or not create:
            raise InterfaceError(
                "settings belong to an instance that connect() opens, not to one that is open"
            )
        if isinstance(target, Instance):
            target = target[database or "main"]
        elif not hasattr(target, "session"):
            raise InterfaceError(
                f"{target!r} is nothing to connect to", hint="pass the path of an instance, or a Database"
            )
        elif database is not None and database != target.name:
            raise InterfaceError(
                f"this is database {target.name!r}, not {database!r}", hint="pass the Instance"
            )
        return Connection(
            _at(target, at_lsn, at_time, at_snapshot),
            schema=schema,
            read_only=read_only,
            autocommit=autocommit,
            isolation_level=isolation_level,
        )


def _at(
    database: Database, lsn: int | str | None, time: str | dt.datetime | None, snapshot: str | None
) -> Database:
    if lsn is None and time is None and snapshot is None:
        return database
    return database.at(lsn=lsn, time=time, snapshot=snapshot)


class Connection:
    """A session with transactions as PEP 249 has them. For one thread at a time; close it.

    In a `with` statement it commits at the end, rolls back after an exception, and closes in both cases.
    """

    Warning = errors.Warning
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    def __init__(
        self,
        database: Database,
        *,
        schema: str | None = None,
        read_only: bool = False,
        autocommit: bool = False,
        isolation_level: str = "SNAPSHOT",
        leave: Callable[[], None] | None = None,
    ) -> None:
        self._leave: Callable[[], None] | None = None  # so that one that could not be made closes nothing
        self._session: Session = database.session()
        self._read_only = read_only or database.read_only
        self._autocommit = bool(autocommit)
        self._level = _level(isolation_level)
        self._begun_here = False
        if schema is not None:
            from absdb.sql.text.tokens import quoted

            self._session.sql(f"USE {quoted(database.name)}.{quoted(schema)}").close()
        self._leave = leave

    # -- what it is

    @property
    def session(self) -> Session:
        """The session that runs the statements; InterfaceError once the connection is closed."""
        if self._session.closed:
            raise InterfaceError("the connection is closed", hint="connect() again")
        return self._session

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._session.closed

    @property
    def database(self) -> str:
        """The name of the current database, which USE changes."""
        with translated():
            return self.session.database

    @property
    def schema(self) -> str:
        """The current schema."""
        return self.session.namespace

    @property
    def read_only(self) -> bool:
        """Whether it writes nothing: it was opened so, or shows a state of the past."""
        return self._read_only

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.session.in_transaction

    @property
    def autocommit(self) -> bool:
        """Whether every statement is a commit of its own. It cannot be changed while a transaction has written."""
        return self._autocommit

    @autocommit.setter
    def autocommit(self, on: bool) -> None:
        if bool(on) != self._autocommit:
            self._end_reading("autocommit cannot be changed while a transaction is open")
            self._autocommit = bool(on)

    @property
    def isolation_level(self) -> str:
        """SNAPSHOT or SERIALIZABLE: what transactions begin with that no BEGIN of the program's begins."""
        return self._level

    @isolation_level.setter
    def isolation_level(self, level: str) -> None:
        found = _level(level)
        self._end_reading("the isolation level cannot be changed while a transaction is open")
        self._level = found

    # -- PEP 249

    def cursor(self) -> Cursor:
        """A cursor to run statements with. Cursors of one connection share its transaction."""
        self.session.check_open()
        return Cursor(self)

    def execute(self, operation: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> Cursor:
        """Run a statement on a new cursor, and return that."""
        return self.cursor().execute(operation, parameters)

    def executemany(self, operation: str, rows: Iterable[Sequence[Any] | Mapping[str, Any]]) -> Cursor:
        """Run a statement for many rows of parameters on a new cursor, and return that."""
        return self.cursor().executemany(operation, rows)

    def commit(self, *, message: str | None = None, author: str | None = None) -> Lsn | None:
        """Make the transaction durable; the commit's LSN, None if nothing was changed or no transaction is open.

        OperationalError (also an absdb.ConflictError) if others were first; the transaction has ended then, too.
        """
        session = self.session
        self._begun_here = False
        if not session.in_transaction:
            return None
        with translated():
            return session.commit(message=message, author=author)

    def rollback(self) -> None:
        """Forget what the transaction wrote; nothing to do if none is open."""
        session = self.session
        self._begun_here = False
        if session.in_transaction:
            with translated():
                session.rollback()

    def cancel(self) -> None:
        """Make the statement that runs in another thread stop with an OperationalError, as if it had not been run.

        The only method for other threads than the one that uses the connection, which stays usable: its transaction is
        as before the statement. So do rows stop that are still being fetched. Harmless if nothing runs.
        """
        with translated():
            self._session.interrupt()

    interrupt = cancel
    """What sqlite3 and duckdb call it."""

    def close(self) -> None:
        """Roll back and let go of the instance, if connect() opened it. Closing twice is harmless."""
        self._session.close()
        leave, self._leave = self._leave, None
        if leave is not None:
            with translated():
                leave()

    def __enter__(self) -> Self:
        self.session.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.closed:
            return
        try:
            if kind is None:
                self.commit()
        finally:
            self.close()

    def __del__(self) -> None:
        if sys.is_finalizing():
            return  # nothing can be imported any more, and the system lets go of the directory
        if getattr(self, "_leave", None) is not None:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=1)
            self.close()

    def __repr__(self) -> str:
        if self.closed:
            return "<absdb.dbapi.Connection, closed>"
        return f"<absdb.dbapi.Connection to {self.session.database}>"

    # -- what its cursors ask

    def prepare_for(self, operation: str) -> bool:
        """Begin a transaction if the statement is to run in one and none is open.

        Returns whether it is to be ended as soon as the statement has run.
        """
        session = self.session
        words = leading_words(operation, 5)
        first = words[0] if words else ""
        if first in _BY_ITSELF and not (first == "ROLLBACK" and "TO" in words):
            return False
        kind = next((word for word in words[1:] if word not in ("OR", "REPLACE", "ON")), "")
        if first in _ABOUT_DATABASES or (first in _VERBS and kind in _WHOLE):
            if self._read_only and first != "USE":
                raise _refused(first)
            if self._begun_here:
                self._end_reading(f"{first} of a whole database is no part of a transaction")
            return False
        if session.in_transaction or (self._autocommit and not self._read_only):
            return False
        session.begin(serializable=self._level == "SERIALIZABLE", read_only=self._read_only)
        self._begun_here = True
        return self._autocommit

    def _end_reading(self, refusal: str) -> None:
        """End a transaction that has written nothing; ProgrammingError if it has."""
        session = self.session
        if not session.in_transaction:
            return
        if session.has_written:
            raise ProgrammingError(refusal, hint="commit() or rollback() first")
        session.rollback()
        self._begun_here = False


def _refused(verb: str) -> OperationalError:
    return OperationalError(
        f"the connection is read-only, and {verb} writes", hint="connect without read_only"
    )


def _level(name: str) -> str:
    found = str(name).upper()
    if found in ("REPEATABLE READ", "READ COMMITTED", "READ UNCOMMITTED"):
        return "SNAPSHOT"  # which keeps every promise that these make
    if found not in ISOLATION_LEVELS:
        raise NotSupportedError(
            f"there is no isolation level {name!r}", hint=f"one of {', '.join(ISOLATION_LEVELS)}"
        )
    return found
