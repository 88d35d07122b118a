"""Stopping a session's statement from another thread.

    Stop.heeded()    around what a session runs: connections that are taken meanwhile belong to it
    Stop.ask()       from any thread: what runs on those ends, and the statement takes no other one

Outside a statement there is nothing to stop but results that are still being read, whose connections belong to the
session until they have been. Called by session.py; connection.py knows whose its connections are.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from absdb.errors import QueryError

INTERRUPT = "INTERRUPT"
"""What DuckDB calls the kind of error."""
_RAISED = "InterruptException"
"""The class of DuckDB's errors when it was stopped at something small, such as reading a text."""
_here = threading.local()


class Stop:
    """Whether the statement that a session runs is to end. Asked by any thread, heeded by the session's."""

    def __init__(self) -> None:
        self._depth = 0
        self._asked = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Let what is done inside be stopped, with a QueryError; what was asked before is forgotten."""
        outer = current()
        if self._depth == 0:
            self._asked = False
        self._depth += 1
        _here.stop = self
        try:
            yield
        except Exception as error:
            if type(error).__name__ == _RAISED:
                raise interrupted() from error
            raise
        finally:
            self._depth -= 1
            _here.stop = outer

    def ask(self) -> None:
        """End what runs now, if anything does."""
        self._asked = self._depth > 0

    def check(self) -> None:
        """QueryError if it was asked for."""
        if self._asked:
            raise interrupted()


def current() -> Stop | None:
    """That of the session whose statement this thread runs."""
    found: Stop | None = getattr(_here, "stop", None)
    return found


def interrupted() -> QueryError:
    """What a statement that was stopped ends with."""
    return QueryError("the statement was interrupted", duckdb_kind=INTERRUPT)
