"""The DuckDB database that answers the queries of one instance, and connections to it.

One in-memory DuckDB database per open instance; it holds no table of ours. A query runs on a cursor of its own,
which sees what was registered on it and nothing else, because a cursor with an unfinished result must not be used
for another query. Extensions are never loaded, variables of the calling program are never looked at by DuckDB
itself, and the settings are ours: a user's SET goes through settings.py.

Called by session.py; closed with the engine.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from absdb.engine.engine import Engine
from absdb.io.scratch import scratch_directory
from absdb.sql.parsed import Kept
from absdb.sql.tokens import literal

IDLE_MAX = 8
_SETTINGS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "errors_as_json": "true",
    "TimeZone": "'UTC'",
}


class Backend:
    """DuckDB for one engine. Safe for many threads."""

    def __init__(self) -> None:
        import duckdb

        self.kept = Kept()
        self._mutex = threading.Lock()
        self._base: Any = duckdb.connect(":memory:")
        for name, value in {**_SETTINGS, "temp_directory": literal(scratch_directory())}.items():
            self._base.execute(f"SET GLOBAL {name} = {value}").fetchall()
        self._idle: list[Any] = []

    def cursor(self) -> Any:
        """A connection for one query, or for a session; give it back with `release`, or close it."""
        with self._mutex:
            return self._idle.pop() if self._idle else self._base.cursor()

    def release(self, cursor: Any, names: Mapping[str, Any]) -> None:
        """Take a connection back, with what was registered on it."""
        for name in names:
            cursor.unregister(name)
        with self._mutex:
            if len(self._idle) < IDLE_MAX:
                self._idle.append(cursor)
                return
        cursor.close()

    def discard(self, cursor: Any) -> None:
        """End a connection whose result was not read to its end."""
        cursor.close()

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
        """Let go of DuckDB."""
        with self._mutex:
            for cursor in self._idle:
                cursor.close()
            self._idle.clear()
            self._base.close()


_backends: weakref.WeakKeyDictionary[Engine, Backend] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def backend_of(engine: Engine) -> Backend:
    """The DuckDB database of an engine, made when first asked for."""
    engine.check_open()
    with _making:
        found = _backends.get(engine)
        if found is None:
            found = _backends[engine] = Backend()
            engine.closing.append(found.close)
        return found
