"""Ctrl-C while DuckDB computes: the main thread waits for another one, since in DuckDB 2 it would not notice.

Only the main thread gets signals, and only between two steps of Python. So it lets another thread call DuckDB; at
Ctrl-C it stops the query and goes on with KeyboardInterrupt. Other threads call DuckDB themselves. Called by run.py
and result.py around every call that may take long; costs 0.1 ms.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def interruptible(cursor: Any, call: Callable[[], T]) -> T:
    """What `call` returns or raises; KeyboardInterrupt stops the query that runs on the cursor."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    outcome: list[tuple[bool, Any]] = []
    finished = threading.Event()  # an interrupted Thread.join takes the thread for ended

    def run() -> None:
        try:
            outcome.append((True, call()))
        except BaseException as error:  # raised again where it is waited for
            outcome.append((False, error))
        finally:
            finished.set()

    threading.Thread(target=run, name="absdb query", daemon=True).start()
    try:
        finished.wait()
    except KeyboardInterrupt:
        cursor.interrupt()
        finished.wait()
        raise
    succeeded, value = outcome[0]
    if not succeeded:
        raise value
    found: T = value
    return found
