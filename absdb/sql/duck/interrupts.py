"""Ctrl-C while DuckDB computes: the main thread waits for another one, since in DuckDB 2 it would not notice.

Only the main thread gets signals, and only between two steps of Python. So it lets another thread call DuckDB; at
Ctrl-C it stops the query and goes on with KeyboardInterrupt. Other threads call DuckDB themselves. Called by run.py
and result.py around every call that may take long; costs 0.01 ms, since the other thread is kept for the next call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Outcome = SimpleQueue[tuple[bool, Any]]


class _Helper:
    """A thread that makes calls for the main one."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], _Outcome] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="absdb query", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it can make calls: not in a process that was forked since."""
        return self._thread.is_alive()

    def begin(self, call: Callable[[], Any]) -> _Outcome:
        """Where (whether the call succeeded, what it returned or raised) comes when it is through."""
        outcome: _Outcome = SimpleQueue()
        self._calls.put((call, outcome))
        return outcome

    def end(self) -> None:
        """Let the thread end after its call."""
        self._calls.put(None)

    def _run(self) -> None:
        while (given := self._calls.get()) is not None:
            call, outcome = given
            try:
                outcome.put((True, call()))
            except BaseException as error:  # raised again where it is waited for
                outcome.put((False, error))
            del given, call, outcome  # what they hold must not wait for the next call


_idle: list[_Helper] = []
"""At most one, but for calls that a signal handler makes while the main thread waits."""


def interruptible(cursor: Any, call: Callable[[], T]) -> T:
    """What `call` returns or raises; KeyboardInterrupt stops the query that runs on the cursor."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    helper = _idle.pop() if _idle else _Helper()
    if not helper.alive:
        helper = _Helper()
    try:
        succeeded, value = _awaited(cursor, helper.begin(call))
    except BaseException:
        helper.end()  # a second Ctrl-C may have left it in the middle of the call
        raise
    _idle.append(helper)
    if not succeeded:
        raise value
    found: T = value
    return found


def _awaited(cursor: Any, outcome: _Outcome) -> tuple[bool, Any]:
    try:
        return outcome.get()
    except KeyboardInterrupt:
        cursor.interrupt()
        outcome.get()
        raise
