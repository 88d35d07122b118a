"""Instances that several connections of one process share: opened by the first, closed by the last.

    path, made absolute     the instance of that directory; one that is open for writing serves readers too, and one
                            that the program has open itself serves those who write, and outlives them
    :memory:                one for each connection
    :memory:name            one for all that say the same name, for as long as one of them is open

Called by connection.py, and by the cells of notebooks.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from absdb.errors import InvalidInputError

if TYPE_CHECKING:
    from absdb.instance import Instance

MEMORY = ":memory:"


class Shared:
    """One instance, and how many connections hold it. Safe for many threads."""

    def __init__(self, path: str, read_only: bool) -> None:
        self._path = path
        self._read_only = read_only
        self._mutex = threading.Lock()
        self._instance: Instance | None = None
        self._is_ours = True
        self._users = 0
        self._settings: dict[str, Any] = {}

    def enter(self, settings: dict[str, Any], *, create: bool) -> Instance:
        """The instance, opened if it is not; InvalidInputError if it is open with other settings."""
        with self._mutex:
            if self._instance is None or self._instance.closed:
                self._instance = self._opened(settings, create=create)
                self._users = 0
            elif settings and settings != self._settings:
                raise InvalidInputError(
                    f"{self._path} is open in this process with other settings",
                    hint="close its other connections first, or connect with the same ones",
                )
            elif self._read_only:
                self._instance.refresh()
            self._users += 1
            return self._instance

    def _opened(self, settings: dict[str, Any], *, create: bool) -> Instance:
        """The instance that the program has open already, else one of our own."""
        from absdb.instance import connect

        found = None if self._read_only or self._path.startswith(MEMORY) else _open_already(self._path)
        if found is not None and settings:
            raise InvalidInputError(
                f"the program has {self._path} open, with settings of its own",
                hint="leave the settings out, or close it first",
            )
        self._is_ours, self._settings = found is None, settings
        return found or connect(self._path, read_only=self._read_only, create=create, **settings)

    def leave(self, instance: Instance) -> None:
        """Close it with its last connection."""
        with self._mutex:
            if instance is not self._instance:
                return  # it was closed by other means, and opened again
            self._users -= 1
            if self._users == 0:
                self._instance = None
                if self._is_ours:
                    instance.close()

    @property
    def in_use(self) -> bool:
        """Whether a connection holds it."""
        return self._users > 0


def _open_already(path: str) -> Instance | None:
    """The instance that the program has open for writing in this directory."""
    from absdb.instance import open_instances

    there = (each for each in open_instances() if not each.read_only and os.path.realpath(each.path) == path)
    return next(there, None)


_known: dict[tuple[str, bool], Shared] = {}
_mutex = threading.Lock()


def shared(path: str | os.PathLike[str], *, read_only: bool) -> Shared:
    """Where the connections to this path meet."""
    text = os.fspath(path)
    if text == MEMORY:
        return Shared(MEMORY, False)
    if text.startswith(MEMORY):
        key, opened = text, MEMORY
    elif not text.strip() or "://" in text:
        key = opened = text  # no path, as opening it will say
    else:
        key = opened = os.path.realpath(os.path.expanduser(text))
    with _mutex:
        writing = _known.setdefault((key, False), Shared(opened, False))
        if not read_only or opened == MEMORY or writing.in_use:
            return writing
        return _known.setdefault((key, True), Shared(opened, True))
