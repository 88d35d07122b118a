"""The DuckDB database that answers the queries of one instance, and connections to it.

One in-memory DuckDB database per open instance, and one more for statements of strangers, which reaches nothing
outside; it holds no table of ours. A session that has changed settings gets a database of its own. A query runs on
a cursor of its own, which sees what was registered on it and nothing else, because a cursor with an unfinished
result must not be used for another query. Extensions are never loaded, variables of the calling program are never
looked at by DuckDB itself, and the settings are ours: a user's SET goes through session_settings.py.

Called by session.py; closed with the engine.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from absdb.engine.engine import Engine
from absdb.io.scratch import scratch_directory
from absdb.sql.duck.duck_errors import query_error
from absdb.sql.duck.stopping import Stop, current
from absdb.sql.text.parsed import Kept
from absdb.sql.text.tokens import literal
from absdb.wal.interrupt import HeldInterrupts

IDLE_MAX = 8
_SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "errors_as_json": "true",
    "TimeZone": "'UTC'",
}
_BEFORE_2 = {"disabled_optimizers": "'join_filter_pushdown'"}
"""DuckDB 1.5 hands the keys of one side of a join to the other, and fails if that is an Arrow table with UUIDs."""
GUARDED = {name: value for name, value in _SETTINGS.items() if name != "errors_as_json"}
"""For a connection that is handed to others: errors in the words that they expect."""
_CLOSED = {"enable_external_access": "false", "lock_configuration": "true"}
"""What keeps strangers in; last, since nothing can be set after it."""


class Backend:
    """DuckDB for one engine. Safe for many threads."""

    def __init__(self, settings: Mapping[str, str] | None = None, *, strangers: bool = False) -> None:
        """`settings` are DuckDB's, by name as SQL literals; QueryError if it refuses one."""
        duckdb = _loaded_duckdb()
        self.kept = Kept()
        self._mutex = threading.Lock()
        self._base: Any = duckdb.connect(":memory:")
        old = _BEFORE_2 if duckdb.__version__.startswith("1.") else {}
        ours = {**_SETTINGS, **old, "temp_directory": literal(scratch_directory())}
        self._refusal: type[Exception] = duckdb.Error
        for name, value in {**ours, **(settings or {}), **(_CLOSED if strangers else {})}.items():
            statement = f"SET GLOBAL {name} = {value}"
            try:
                self._base.execute(statement).fetchall()
            except duckdb.Error as error:
                self._base.close()
                raise query_error(error, statement, []) from error
        self._idle: list[Any] = []
        self.closed = False
        self._extended: set[str] = set()
        self._in_use: dict[int, tuple[Any, Stop | None]] = {}

    def cursor(self) -> Any:
        """A connection for one query, or for a session; give it back with `release`, or close it.

        QueryError if the statement that this thread runs has been asked to stop.
        """
        stop = current()
        with self._mutex:
            if stop is not None:
                stop.check()
            found = self._idle.pop() if self._idle else self._base.cursor()
            self._in_use[id(found)] = (found, stop)
        return found

    def release(self, cursor: Any, names: Mapping[str, Any]) -> None:
        """Take a connection back, with what was registered on it."""
        try:
            for name in names:
                cursor.unregister(name)
        except BaseException:
            self.discard(cursor)
            raise
        with self._mutex:
            self._in_use.pop(id(cursor), None)
            if len(self._idle) < IDLE_MAX and not self.closed:
                self._idle.append(cursor)
                return
        cursor.close()

    def discard(self, cursor: Any) -> None:
        """End a connection whose result was not read to its end."""
        with self._mutex:
            self._in_use.pop(id(cursor), None)
        cursor.close()

    def extend(self, name: str, make: Callable[[Any], None]) -> None:
        """Have `make` add a function of that name to DuckDB, the first time that it is needed."""
        with self._mutex:
            if name not in self._extended:
                make(self._base)
                self._extended.add(name)

    def interrupt(self) -> None:
        """Make all queries that run now stop with an error; called from another thread."""
        with self._mutex:
            running = [cursor for cursor, _ in self._in_use.values()]
        for cursor in running:
            cursor.interrupt()

    def stop(self, stop: Stop) -> None:
        """Make the statement of one session stop with an error, and what of its results is still being read."""
        with self._mutex:  # so that none of its connections is somebody else's before it is interrupted
            stop.ask()
            for cursor, whose in self._in_use.values():
                if whose is stop:
                    cursor.interrupt()

    @contextmanager
    def registered(self, objects: Mapping[str, Any]) -> Iterator[Any]:
        """A connection on which these names are tables, for queries whose results are read whole."""
        cursor = self.cursor()
        try:
            for name, value in objects.items():
                cursor.register(name, value)
            yield cursor
        finally:
            self.release(cursor, objects)

    def close(self) -> None:
        """Let go of DuckDB. Queries that are still running end with an error."""
        with self._mutex:
            self.closed = True
            for cursor, _ in self._in_use.values():
                cursor.interrupt()  # whoever has it closes it
            for cursor in self._idle:
                cursor.close()
            self._idle.clear()
            # DuckDB refuses while a query is being interrupted; it goes when that one's thread lets go of it.
            with suppress(self._refusal):
                self._base.close()


def _loaded_duckdb() -> Any:
    """DuckDB's module, with what it loads at its first query: Ctrl-C in the middle would leave that half loaded."""
    with HeldInterrupts():
        import duckdb

        if duckdb.__version__.startswith("1."):
            import pandas  # noqa: F401  # DuckDB 1.5 does it whatever the query is
        return duckdb


_backends: dict[bool, weakref.WeakKeyDictionary[Engine, Backend]] = {
    strangers: weakref.WeakKeyDictionary() for strangers in (False, True)
}
_making = threading.Lock()


def backend_of(engine: Engine, *, strangers: bool = False) -> Backend:
    """The DuckDB database of an engine, made when first asked for; that for strangers reaches nothing outside."""
    engine.check_open()
    with _making:
        found = _backends[strangers].get(engine)
        if found is None:
            found = _backends[strangers][engine] = Backend(strangers=strangers)
            engine.closing.append(found.close)
        return found


def own_backend(engine: Engine, settings: Mapping[str, str], *, strangers: bool = False) -> Backend:
    """A DuckDB database for one session, with settings; it goes with the session, and with the engine at last."""
    engine.check_open()
    made = Backend(settings, strangers=strangers)
    kept = weakref.ref(made)

    def close() -> None:
        backend = kept()
        if backend is not None:
            backend.close()

    engine.closing.append(close)
    weakref.finalize(made, _forget, weakref.ref(engine), close).atexit = False
    return made


def _forget(engine: weakref.ref[Engine], close: Callable[[], None]) -> None:
    found = engine()
    if found is not None and close in found.closing:
        found.closing.remove(close)
