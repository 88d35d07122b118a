"""Where tables are read and written: the newest state of a database, a past state, a transaction.

    HeadScope         each read sees the last commit, each write is a commit of its own, tried again on conflict
    PastScope         one state, which never changes and is kept readable for as long as the scope lives
    TransactionScope  the transaction's snapshot and its own writes

A State is what was visible at one LSN, with a reader per table made on first use; a HeadScope keeps the
last one it made, so that reads between two commits share them. Called by the tables and databases that
users hold, and by SQL sessions.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.history import DatabaseInfo
from absdb.catalog.lineage import Lineage
from absdb.catalog.schema import TableSchema
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.engine.statement_check import Statement
from absdb.engine.transaction import Transaction
from absdb.errors import HistoryExpiredError, InvalidInputError, StateError, WriteConflictError
from absdb.ids import DatabaseId, Lsn, TableId
from absdb.versioning.as_of import Point, resolve

T = TypeVar("T")
Work = Callable[[Transaction], T]

TRIES_MAX = 100
"""How often a write of one verb is tried when others write the same rows."""
POLITE_TRIES = 5
"""How often it is tried beside other writers of the database; after that they wait (engine/turnstile.py)."""
PATIENT_TRIES = 3
PAUSE_S_MAX = 0.02


class State:
    """What one database was at one LSN."""

    __slots__ = ("_engine", "_readers", "catalog", "lineage", "lsn")

    def __init__(self, engine: Engine, lsn: int, lineage: Lineage) -> None:
        self._engine = engine
        self._readers: dict[TableId, TableReader] = {}
        self.lsn = lsn
        self.lineage = lineage
        self.catalog: DatabaseCatalog = engine.history.catalog_at(lineage)

    def reader(self, schema: TableSchema) -> TableReader:
        """A table of this state."""
        found = self._readers.get(schema.id)
        if found is None:
            layers = self._engine.covers.resolve(self._engine.history, schema, self.lineage)
            found = TableReader(schema, layers)
            found.lsn = self.lsn
            self._readers[schema.id] = found
        return found


class Scope(Protocol):
    """What a table or database object needs to know about where it stands."""

    engine: Engine
    database: DatabaseId
    name: str
    """What the database was called when this was made."""
    writable: bool

    def info(self) -> DatabaseInfo: ...
    def point(self) -> Point: ...
    def catalog(self) -> DatabaseCatalog: ...
    def current(self) -> DatabaseInfo: ...
    def reader(self, schema: TableSchema) -> TableReader: ...
    def begin(self, *, message: str = "", author: str | None = None) -> Transaction: ...
    def write(self, work: Work[T], *, message: str = "", author: str | None = None) -> T: ...
    def describe(self) -> str: ...


def point_of(
    scope: Scope,
    *,
    lsn: int | str | None = None,
    time: str | dt.datetime | None = None,
    snapshot: str | None = None,
) -> Point:
    """The point that is named, or where the scope itself stands if none is."""
    if lsn is None and time is None and snapshot is None:
        return scope.point()
    return resolve(scope.engine, scope.info(), lsn=lsn, time=time, snapshot=snapshot)


def point_to_restore(
    scope: Scope,
    *,
    lsn: int | str | None = None,
    time: str | dt.datetime | None = None,
    snapshot: str | None = None,
) -> Point:
    """The point that is named, which must be one; a state of the past may also mean itself."""
    if scope.writable and lsn is None and time is None and snapshot is None:
        raise InvalidInputError("restore() does not say to which point", hint="pass lsn=, time= or snapshot=")
    return point_of(scope, lsn=lsn, time=time, snapshot=snapshot)


def last_name(scope: Scope) -> str:
    """What the database is called, or was when it was dropped: for what is told of rows that were read before."""
    info = scope.engine.history.databases.get(scope.database)
    return scope.name if info is None else info.name


def database_info(engine: Engine, database: DatabaseId, name: str) -> DatabaseInfo:
    """The database as it is listed now; StateError if it was dropped."""
    engine.check_open()
    info = engine.history.databases.get(database)
    if info is None:
        raise StateError(
            f"database {name!r} was dropped", hint="its snapshots and its own commits are gone with it"
        )
    return info


class HeadScope:
    """The newest state of a database."""

    writable = True

    def __init__(self, engine: Engine, info: DatabaseInfo) -> None:
        self.engine = engine
        self.database = info.id
        self.name = info.name
        self._state: State | None = None

    def info(self) -> DatabaseInfo:
        """The database as it is listed now; StateError if it was dropped."""
        return database_info(self.engine, self.database, self.name)

    current = info

    def state(self) -> State:
        """What the last commit left. The published LSN moves with everything that changes a state."""
        engine = self.engine
        state = self._state
        if state is None or state.lsn != engine.published or engine.closed:
            self.info()
            state = self._state = State(engine, *engine.head(self.database))
        return state

    def point(self) -> Point:
        """The newest state, as verbs that take a point want it."""
        state = self.state()
        return Point(self.info(), Lsn(state.lsn), state.lineage)

    def catalog(self) -> DatabaseCatalog:
        return self.state().catalog

    def reader(self, schema: TableSchema) -> TableReader:
        """A table of the newest state; StateError if the database was dropped, be it while we looked."""
        try:
            return self.state().reader(schema)
        except HistoryExpiredError:
            self.info()
            raise

    def begin(self, *, message: str = "", author: str | None = None) -> Transaction:
        """A transaction on the newest state; StateError if nothing can be written."""
        self.info()
        self.engine.check_writable()
        return self.engine.begin(self.database, author=author, message=message)

    def write(self, work: Work[T], *, message: str = "", author: str | None = None) -> T:
        """Run `work` in a transaction of its own and commit it; tried again if others wrote the same rows.

        After POLITE_TRIES other writers of the database wait while it tries. WriteConflictError after TRIES_MAX
        tries, and at once if `work` used up a stream it cannot read again.
        """
        engine = self.engine
        self.info()
        for attempt in range(1, POLITE_TRIES + 1):
            tx = engine.begin(self.database, author=author, message=message)
            try:
                return _committed(tx, work)
            except WriteConflictError:
                if not tx.repeatable:
                    raise
            if attempt >= PATIENT_TRIES:
                time.sleep(random.uniform(0, min(PAUSE_S_MAX, 0.0002 * attempt * attempt)))
        with engine.turnstile.hold(self.database):
            for _ in range(POLITE_TRIES + 1, TRIES_MAX):
                with suppress(WriteConflictError):  # of commits that had passed before
                    return _committed(engine.begin(self.database, author=author, message=message), work)
            return _committed(engine.begin(self.database, author=author, message=message), work)

    def describe(self) -> str:
        return f"{self.info().name} @ {Lsn(self.engine.published)}"


def _committed(tx: Transaction, work: Work[T]) -> T:
    try:
        result = work(tx)
        tx.commit()
        return result
    finally:
        tx.rollback()


class PastScope:
    """One state of a database, for good."""

    writable = False

    def __init__(self, engine: Engine, point: Point) -> None:
        self.engine = engine
        self.database = point.database.id
        self.name = point.database.name
        self._point = dataclasses.replace(point)  # a holder of its own: two scopes may share a point
        self._state = State(engine, point.lsn, point.lineage)
        engine.pins.enter(self._point, "reader")
        weakref.finalize(self, engine.pins.leave, self._point)

    def info(self) -> DatabaseInfo:
        """The database as it is listed now, or as it was if it has been dropped since."""
        self.engine.check_open()
        return self.engine.history.databases.get(self.database, self._point.database)

    def current(self) -> DatabaseInfo:
        """Not this: what happens to a database as a whole is not done through its past."""
        raise self._refusal()

    def point(self) -> Point:
        return self._point

    def catalog(self) -> DatabaseCatalog:
        self.engine.check_open()
        return self._state.catalog

    def reader(self, schema: TableSchema) -> TableReader:
        self.engine.check_open()
        return self._state.reader(schema)

    def begin(self, *, message: str = "", author: str | None = None) -> Transaction:
        raise self._refusal()

    def write(self, work: Work[T], *, message: str = "", author: str | None = None) -> T:
        raise self._refusal()

    def _refusal(self) -> StateError:
        return StateError(
            f"this is database {self.info().name!r} as of {self._point.lsn}, which does not change",
            hint="branch(…) makes a database of it that you can write to; restore(…) brings it back",
        )

    def describe(self) -> str:
        return f"{self.info().name} as of {self._point.lsn}"


class TransactionScope:
    """A transaction that is open: its snapshot, and what it has written."""

    writable = True

    def __init__(self, tx: Transaction, *, owner: bool = True) -> None:
        """Without `owner` somebody else ends the transaction."""
        self.tx = tx
        self.engine = tx.engine
        self.database = tx.database
        self.name = ""  # nothing is read of a transaction whose database was dropped
        if owner:
            # A transaction that nobody can commit any more would keep history from expiring for ever.
            weakref.finalize(self, tx.rollback).atexit = False

    def info(self) -> DatabaseInfo:
        return database_info(self.engine, self.database, "")

    current = info

    def point(self) -> Point:
        """The state the transaction began with."""
        return Point(self.info(), Lsn(self.tx.snapshot_lsn), self.tx.lineage)

    def catalog(self) -> DatabaseCatalog:
        self.engine.check_open()
        self.tx.check_open()
        return self.tx.catalog

    def reader(self, schema: TableSchema) -> TableReader:
        return self.tx.reader(schema)

    def begin(self, *, message: str = "", author: str | None = None) -> Transaction:
        raise StateError(
            "a transaction is open already", hint="use savepoint() for a part that may be undone"
        )

    def write(
        self, work: Work[T], *, message: str = "", author: str | None = None, references: bool = False
    ) -> T:
        """Run `work` in the transaction; if it fails or breaks UNIQUE, the transaction stays as it was before.

        With `references` the same goes for FOREIGN KEY. Without, that is checked when it commits, so that of two
        calls the one that refers may come first.
        """
        if message or author:
            raise InvalidInputError(
                "message and author belong to the transaction as a whole", hint="pass them to transaction(…)"
            )
        tx = self.tx
        with tx.atomic():
            statement = Statement(tx)
            result = work(tx)
            statement.check(references=references)
        return result

    def describe(self) -> str:
        return f"{self.info().name} in a transaction begun at {Lsn(self.tx.snapshot_lsn)}"


def find_table(catalog: DatabaseCatalog, table: TableId, name: str) -> TableSchema:
    """The table with this id, whatever it is called now, else the one of that name; NotFoundError if neither is."""
    found = catalog.tables.get(table)
    return catalog.table(name) if found is None else found
