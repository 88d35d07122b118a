"""A session: where SQL statements are run one after another, with a current database and perhaps a transaction.

A statement's first words say which module runs it (`dispatch.py`). A statement outside a transaction is a commit of
its own, tried again if others wrote the same rows; inside one it happens as a whole or not at all. Called by
Database.sql, the shell, the drivers and the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import pyarrow as pa

from absdb.catalog.history import DatabaseInfo
from absdb.catalog.schema import DEFAULT_NAMESPACE
from absdb.engine.engine import Engine
from absdb.errors import InvalidInputError, StateError
from absdb.sql import run
from absdb.sql.connection import Backend, backend_of
from absdb.sql.dispatch import handler_of
from absdb.sql.edits import Edited
from absdb.sql.names import Moment
from absdb.sql.parameters import Values, bind
from absdb.sql.parsed import Statement
from absdb.sql.result import Result
from absdb.sql.rewrite import Frames, Prepared, Rewriter
from absdb.sql.tokens import statements_of
from absdb.versioning.scope import HeadScope, Scope, TransactionScope

T = TypeVar("T")


class Session:
    """Runs SQL on one instance. For one thread; many may be open side by side."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.namespace = DEFAULT_NAMESPACE
        self.transaction: TransactionScope | None = scope if isinstance(scope, TransactionScope) else None
        self.transaction_is_ours = False
        """Whether BEGIN opened it, so that COMMIT and ROLLBACK may end it."""
        self.closed = False
        self._running: Result | None = None

    # -- running statements

    def sql(self, text: str, parameters: Values = None, *, frames: Frames | None = None) -> Result:
        """Run all statements of a text; the Result of the last one.

        `parameters` are bound to `?`, `$1` (a sequence) or `$name` (a dict), never pasted into the text, and
        belong to a text of one statement. `frames` finds tables that are no tables of the database, by name.
        QueryError, with the place in the text; the statements before the one that failed stay done.
        """
        self.check_open()
        if not isinstance(text, str):
            raise InvalidInputError(f"a statement must be text, not {type(text).__name__}")
        statements = self.backend.kept.get(_Script, text, lambda: _Script(text)).statements
        if not statements:
            raise InvalidInputError("there is no statement in the text", hint="such as SELECT 1")
        if len(statements) > 1 and parameters:
            raise InvalidInputError(
                "parameters go with a single statement", hint=f"the text has {len(statements)}"
            )
        for statement in statements[:-1]:
            self._run(statement, None, frames).close()
        return self._run(statements[-1], parameters, frames)

    def _run(self, text: str, parameters: Values, frames: Frames | None) -> Result:
        statement = self.backend.kept.get(Statement, text, lambda: Statement.read(text))
        call = Call(self, statement, bind(statement.parameters, parameters), frames)
        return handler_of(statement)(call)

    # -- where it stands

    @property
    def engine(self) -> Engine:
        return self._scope.engine

    @property
    def backend(self) -> Backend:
        """The DuckDB database of the instance."""
        return backend_of(self.engine)

    @property
    def scope(self) -> Scope:
        """What statements read and write now: the transaction if one is open, else the current database."""
        return self._scope if self.transaction is None else self.transaction

    @property
    def database(self) -> str:
        """The name of the current database."""
        return self._scope.info().name

    def use(self, scope: Scope, namespace: str = DEFAULT_NAMESPACE) -> None:
        """Make another database, and a schema of it, the current one."""
        if self.transaction is not None and scope.database != self._scope.database:
            raise StateError("a transaction is open in this session", hint="COMMIT or ROLLBACK before USE")
        if self.transaction is None:
            self._scope = scope
        self.namespace = namespace

    def check_open(self) -> None:
        if self.closed:
            raise StateError("the session is closed", hint="open another one with session()")
        self.engine.check_open()

    # -- its end

    def close(self) -> None:
        """Roll back what was begun and not committed. Closing twice is harmless."""
        if not self.closed:
            self.closed = True
            if self.transaction is not None and self.transaction_is_ours:
                self.transaction.tx.rollback()
            self.transaction = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Script:
    def __init__(self, text: str) -> None:
        self.statements = statements_of(text)


class Call:
    """One statement being run in a session: what its handler works with."""

    def __init__(
        self, session: Session, statement: Statement, values: Mapping[str, Any], frames: Frames | None
    ) -> None:
        self.session = session
        self.statement = statement
        self.values = values
        self.frames = frames

    @property
    def text(self) -> str:
        """The statement, with its parameters named."""
        return self.statement.text

    def moment(self, scope: Scope | None = None) -> Moment:
        """What the statement sees."""
        return Moment.of(scope or self.session.scope, self.session.namespace)

    def rewriter(self, scope: Scope | None = None, given: Mapping[str, Any] | None = None) -> Rewriter:
        """For the queries in the statement."""
        return Rewriter(self.moment(scope), self.session.backend, self.values, self.frames, given or {})

    def prepare(
        self,
        text: str,
        *,
        scope: Scope | None = None,
        given: Mapping[str, Any] | None = None,
        edits: Sequence[Edited] = (),
    ) -> Prepared:
        """A query ready to run; `edits` made its text from the statement's."""
        return self.rewriter(scope, given).prepare(text, [self.statement.named, *edits])

    def table(
        self,
        text: str,
        *,
        scope: Scope | None = None,
        given: Mapping[str, Any] | None = None,
        edits: Sequence[Edited] = (),
    ) -> pa.Table:
        """All rows of a query."""
        prepared = self.prepare(text, scope=scope, given=given, edits=edits)
        return run.table(self.session.backend, prepared, self.values)

    def write(self, info: DatabaseInfo, work: Callable[[TransactionScope], T], message: str = "") -> T:
        """Run `work` on a database: in the open transaction, or as a commit of its own.

        What it reads must come through the scope it gets, since it may be run again after a conflict.
        """
        session = self.session
        open_now = session.transaction
        if open_now is not None:
            if info.id != open_now.database:
                raise StateError(
                    f"the open transaction is one of database {open_now.info().name!r}, not of {info.name!r}",
                    hint="a commit belongs to one database: COMMIT first, then USE the other one",
                )
            return open_now.write(lambda tx: work(open_now))
        scope = session.scope
        if not scope.writable and scope.database == info.id:
            scope.begin()  # refuses, and says why
        return HeadScope(session.engine, info).write(lambda tx: work(TransactionScope(tx)), message=message)
