"""A session: where SQL statements are run one after another, with a current database and perhaps a transaction.

A statement's first words say which module runs it (`dispatch.py`). A statement outside a transaction is a commit of
its own, tried again if others wrote the same rows; inside one it happens as a whole or not at all, and one that
fails leaves the transaction open, as it was before. Called by Database.sql, the shell, the drivers and the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pyarrow as pa

from absdb.catalog.history import DatabaseInfo
from absdb.catalog.schema import DEFAULT_NAMESPACE
from absdb.engine.engine import Engine
from absdb.engine.transaction import Transaction
from absdb.errors import InvalidInputError, QueryError, StateError
from absdb.ids import Lsn
from absdb.sql.confined import refuse_leaving, refuse_other
from absdb.sql.dispatch import handler_of
from absdb.sql.duck.connection import Backend, backend_of, own_backend
from absdb.sql.duck.duck_errors import placed_back
from absdb.sql.duck.stopping import Stop
from absdb.sql.query import run
from absdb.sql.query.names import Moment, alike
from absdb.sql.query.prepared import Frames, Prepared
from absdb.sql.query.result import Result
from absdb.sql.query.rewrite import Rewriter
from absdb.sql.query.sequence_values import Drawn
from absdb.sql.session_reprs import ShownSession
from absdb.sql.text.edits import Edited
from absdb.sql.text.parameters import Values, bind
from absdb.sql.text.parsed import Statement
from absdb.sql.text.time_travel import When
from absdb.sql.text.tokens import Token, statements_of, tokenize
from absdb.versioning.scope import HeadScope, PastScope, Scope, TransactionScope

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

T = TypeVar("T")


class Session(ShownSession):
    """Runs SQL on one instance. For one thread; many may be open side by side."""

    def __init__(self, scope: Scope, *, strangers: bool = False, confined: bool = False) -> None:
        """`strangers`: whoever sends the statements must not reach files, variables of the program or settings;
        `confined`: statements change rows and definitions of this database, and nothing else."""
        self._scope = scope
        self.strangers = strangers
        self.confined = confined
        self.namespace = DEFAULT_NAMESPACE
        self.transaction: TransactionScope | None = scope if isinstance(scope, TransactionScope) else None
        self.transaction_is_ours = False
        """Whether BEGIN opened it, so that COMMIT and ROLLBACK may end it."""
        self.transaction_reads_only = False
        self._begun_on_past = False
        self.variables: dict[str, pa.Table] = {}
        """What SET VARIABLE has set: tables of one value each, by their names."""
        self.duckdb_settings: dict[str, str] = {}
        self._own_backend: Backend | None = None
        self.drawn: Drawn = {}
        """The last values that nextval() gave to this session."""
        self.closed = False
        self.stop = Stop()
        """Asked by `interrupt`."""

    # -- running statements

    def sql(self, text: str, parameters: Values = None, *, frames: Frames | None = None) -> Result:
        """Run all statements of a text; the Result of the last one.

        `parameters` are bound to `?`, `$1` (a sequence) or `$name` (a dict), never pasted into the text, and
        belong to a text of one statement. `frames` finds tables that are no tables of the database, by name.
        QueryError, with the place in the text; the statements before the one that failed stay done.
        """
        self.check_open()
        frames = None if self.strangers else frames
        if not isinstance(text, str):
            raise InvalidInputError(f"a statement must be text, not {type(text).__name__}")
        script = self.backend.kept.get(_Script, text, lambda: _Script(text))
        statements = script.statements
        if not statements:
            raise InvalidInputError("there is no statement in the text", hint="such as SELECT 1")
        if len(statements) > 1 and parameters:
            raise InvalidInputError(
                "parameters go with a single statement", hint=f"the text has {len(statements)}"
            )
        with self.stop.heeded():
            for statement in statements[:-1]:
                self._run(statement, None, frames).close()
            return self._run(statements[-1], parameters, frames, script.tokens)

    def _run(
        self, text: str, parameters: Values, frames: Frames | None, tokens: list[Token] | None = None
    ) -> Result:
        self.stop.check()
        statement = self.backend.kept.get(Statement, text, lambda: Statement.read(text, tokens))
        refuse_leaving(self, statement)
        call = Call(self, statement, bind(statement.parameters, parameters), frames)
        try:
            return handler_of(statement)(call)
        except QueryError as error:
            raise placed_back(error, statement.text, [statement.named]) from error

    def interrupt(self) -> None:
        """Make the statement that runs in another thread stop with a QueryError, as if it had not been run.

        So does a result whose rows are still being read. A transaction stays open, as it was before the statement. If
        nothing runs, nothing happens; a commit that has begun is brought to its end.
        """
        if not (self.closed or self.engine.closed):
            self.backend.stop(self.stop)

    # -- where it stands

    @property
    def engine(self) -> Engine:
        return self._scope.engine

    @property
    def backend(self) -> Backend:
        """The DuckDB database that runs the statements: the instance's, or one of its own with other settings."""
        if self._own_backend is not None:
            return self._own_backend
        return backend_of(self.engine, strangers=self.strangers)

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

    def set_duckdb(self, settings: Mapping[str, str]) -> None:
        """Run statements under these settings of DuckDB, by name as SQL literals; QueryError if it refuses one."""
        self._own_backend = own_backend(self.engine, settings, strangers=self.strangers) if settings else None
        self.duckdb_settings = dict(settings)

    def check_open(self) -> None:
        if self.closed:
            raise StateError("the session is closed", hint="open another one with session()")
        self.engine.check_open()

    # -- transactions

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.transaction is not None or self._begun_on_past

    @property
    def has_written(self) -> bool:
        """Whether the open transaction has changed anything."""
        if self.transaction is None:
            return False
        tx = self.transaction.tx
        return bool(tx.schema_changes) or any(not writes.empty for writes in tx.writes.values())

    def begin(self, *, serializable: bool = False, read_only: bool = False) -> None:
        """Open a transaction on the newest state of the current database; StateError if one is open.

        It sees that state and its own writes. `serializable`: its commit is refused with a ReadConflictError
        if what it read has changed meanwhile. On a state of the past, and in an instance that is open for
        reading only, it can be read only.
        """
        self.check_open()
        if self.in_transaction:
            raise StateError(
                "a transaction is open in this session", hint="COMMIT or ROLLBACK it, or use SAVEPOINT in it"
            )
        if not self._scope.writable:
            self._begun_on_past = self.transaction_reads_only = True
            return
        self._scope.info()
        tx = self.engine.begin(self._scope.database)
        if serializable and not read_only:
            tx.record_reads()
        self.transaction = TransactionScope(tx)
        self.transaction_is_ours = True
        self.transaction_reads_only = read_only

    def commit(self, *, message: str | None = None, author: str | None = None) -> Lsn | None:
        """End the transaction and make it durable; the commit's LSN, None if nothing was changed.

        ConflictError and ConstraintError end it as well, and leave the database as it was. StateError if no
        transaction is open.
        """
        ended = self._ended("COMMIT")
        if ended is None:
            return None
        tx = ended.tx
        tx.message = tx.message if message is None else message
        tx.author = tx.author if author is None else author
        return tx.commit()

    def rollback(self) -> None:
        """End the transaction and forget what it wrote. StateError if no transaction is open."""
        ended = self._ended("ROLLBACK")
        if ended is not None:
            ended.tx.rollback()

    def _ended(self, verb: str) -> TransactionScope | None:
        """The transaction, which is no longer the session's; None for one on a state of the past.

        It rolls itself back when nobody holds it, so the caller must until it is through.
        """
        self.check_open()
        if not self.in_transaction:
            raise StateError(f"there is no transaction to {verb}", hint="BEGIN opens one")
        if self.transaction is not None and not self.transaction_is_ours:
            raise StateError(
                f"the program opened this transaction, so {verb} is not for SQL to say",
                hint="leave its `with` block, or call commit() or rollback() on it",
            )
        ended, self.transaction = self.transaction, None
        self.transaction_is_ours = self.transaction_reads_only = self._begun_on_past = False
        return ended

    def savepoints(self, verb: str) -> Transaction:
        """The open transaction, to make and use savepoints in; StateError if there is none."""
        if self.transaction is None:
            hint = "nothing can be written, nor undone, here" if self._begun_on_past else "BEGIN opens one"
            raise StateError(f"{verb} needs a transaction that writes", hint=hint)
        return self.transaction.tx

    def savepoint_name(self, name: str) -> str:
        """A savepoint's name as it was made, if it was given in another case."""
        names = [] if self.transaction is None else self.transaction.tx.savepoint_names
        return alike({each: each for each in reversed(names)}, name) or name

    # -- for tools that speak DuckDB

    def duckdb(self, tables: Sequence[str] | None = None) -> DuckDBPyConnection:
        """A DuckDB connection of its own with the tables and views of the current state; close it.

        Each is a view there, under its own name, of the rows as they are now; later changes do not show. What is made
        there stays in its memory. Files and extensions are out of reach. `tables` names those to show, if not all.
        """
        from absdb.sql.query.guarded import guarded_connection

        self.check_open()
        return guarded_connection(self.backend, Moment.of(self.scope, self.namespace), tables)

    # -- its end

    def close(self) -> None:
        """Roll back what was begun and not committed. Closing twice is harmless."""
        if not self.closed:
            self.closed = True
            if self.transaction is not None and self.transaction_is_ours:
                self.transaction.tx.rollback()
            self.transaction = None
            self._begun_on_past = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def run_alone(scope: Scope, text: str, parameters: Values = None, *, frames: Frames | None = None) -> Result:
    """Run a text in a session of its own, which ends with it.

    StateError if the text begins a transaction and does not end it: it is rolled back.
    """
    with Session(scope) as session:
        result = session.sql(text, parameters, frames=frames)
        if session.in_transaction and session.transaction is not scope:
            result.close()
            raise StateError(
                "the text begins a transaction and does not end it, so it was rolled back",
                hint="add COMMIT, or use session() or transaction() for one that lasts over several calls",
            )
        return result


class _Script:
    """A text cut into statements; `tokens` are there if it is one statement and nothing else."""

    def __init__(self, text: str) -> None:
        tokens = tokenize(text)
        self.statements = statements_of(text, tokens)
        self.tokens = tokens if self.statements == [text] else None


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
        """What the statement sees; `scope` may be of a database that it writes to and that is not the current one."""
        current = self.session.scope
        moment = Moment.of(scope or current, self.session.namespace)
        other = scope is not None and scope.database != current.database
        return moment.seen_from(current) if other else moment

    def rewriter(self, scope: Scope | None = None, given: Mapping[str, Any] | None = None) -> Rewriter:
        """For the queries in the statement."""
        session = self.session
        return Rewriter(
            self.moment(scope),
            session.backend,
            self.values,
            self.frames,
            given or {},
            strangers=session.strangers,
            variables=session.variables,
            drawn=session.drawn,
        )

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

    def running(self, prepared: Prepared) -> run.Running:
        """A query whose rows are read as they come."""
        return run.Running(self.session.backend, prepared, self.values)

    def of(self, statement: Statement) -> Call:
        """The same for another statement, which has the same parameters."""
        return Call(self.session, statement, self.values, self.frames)

    def past(self, info: DatabaseInfo, when: When) -> PastScope:
        """A database at a point that is written in the statement. QueryError points at one that is not there."""
        view = self.rewriter().point(self.text, when)(info)
        assert isinstance(view.held, PastScope)
        return view.held

    def write(self, info: DatabaseInfo, work: Callable[[TransactionScope], T], message: str = "") -> T:
        """Run `work` on a database: in the open transaction, or as a commit of its own.

        What it reads must come through the scope it gets, since it may be run again after a conflict.
        """
        session = self.session
        open_now = session.transaction
        refuse_other(session, info)
        if session.transaction_reads_only:
            raise StateError("the transaction is READ ONLY", hint="COMMIT it, then BEGIN one that may write")
        if open_now is not None:
            return open_now.write(lambda tx: work(open_now), references=True)
        scope = session.scope
        if not scope.writable and scope.database == info.id:
            scope.begin()  # refuses, and says why
        held: list[TransactionScope] = []  # a transaction whose scope nobody holds is rolled back

        def within(tx: Transaction) -> T:
            held[:] = [TransactionScope(tx)]
            return work(held[0])

        return HeadScope(session.engine, info).write(within, message=message)
