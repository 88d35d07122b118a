"""A turnstile before the commit queue: who has lost to others again and again holds them off until he is through.

First committer wins, so a change that takes long (a retype rewrites every row) would lose for ever to writers
that never pause. While one thread holds a database, commits of others to it wait here, each at most
`HOLD_S_MAX`; then they go on, so that nothing a holder waits for can stop them for good. Reads never wait,
nor do other databases. One thread at a time holds. Called by autocommitted verbs (versioning/scope.py) to hold and
by the engine's commit to pass.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from absdb.ids import DatabaseId

HOLD_S_MAX = 30.0


class Turnstile:
    """Lets commits pass, unless another thread holds their database."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: tuple[int, DatabaseId] | None = None  # thread, database

    def wait_to_pass(self, database: DatabaseId) -> None:
        """Return at once, or when nobody else holds the database any more, or after `HOLD_S_MAX`."""
        if self._holder is None:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._may_pass(database), HOLD_S_MAX)

    @contextmanager
    def hold(self, database: DatabaseId) -> Iterator[None]:
        """Hold others off the database; without effect if somebody else holds one for longer than `HOLD_S_MAX`."""
        own = (threading.get_ident(), database)
        try:
            with self._changed:
                if self._changed.wait_for(lambda: self._holder is None, HOLD_S_MAX):
                    self._holder = own
            yield
        finally:
            with self._changed:
                if self._holder is own:  # also if Ctrl-C came just after it was
                    self._holder = None
                    self._changed.notify_all()

    def _may_pass(self, database: DatabaseId) -> bool:
        holder = self._holder
        return holder is None or holder[0] == threading.get_ident() or holder[1] != database
