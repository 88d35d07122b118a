"""Hub: what the pages of a workbench share: the instance, the work beside the kernel, and news of what changed.

It opens what it is given: an Instance, or a path. An instance that this process has open already is used as it is;
one that another process holds is opened read-only, and `banner` says so.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Protocol

from absdb.errors import AbsdbError, InvalidInputError, LockedError
from absdb.instance import Instance, connect
from absdb.panels.model.follow import Follower
from absdb.panels.model.work import Job, Work

PROGRESS_AFTER_SECONDS = 0.3
"""Work that ends sooner is not announced."""


class Listener(Protocol):
    """A page, as far as the hub knows it."""

    def moved(self) -> None:
        """The instance has changed."""

    def selected(self, database: str) -> None:
        """Another page turned to this database."""

    def working(self, job: Job | None) -> None:
        """Something is being worked on, or nothing any more."""

    def failed(self, error: BaseException) -> None:
        """Something went wrong that no page asked for."""


class Hub:
    """What pages share. `close()` ends it, and closes the instance if the hub opened it."""

    def __init__(self, instance_or_path: Instance | str | os.PathLike[str]) -> None:
        self.instance, self._own, self.banner = _opened(instance_or_path)
        self.work = Work(self._worked)
        self._listeners: list[Listener] = []
        self._follower = Follower(self.instance, self._moved)
        self._announcing: threading.Timer | None = None

    @property
    def name(self) -> str:
        """What the instance is called: the last part of its path, which reads the same wherever it lies."""
        return os.path.basename(self.instance.path)

    def attach(self, listener: Listener) -> None:
        """Tell a page what happens from now on."""
        self._listeners.append(listener)

    def select(self, database: str, *, by: Listener | None = None) -> None:
        """Turn the other pages to a database."""
        for listener in self._listeners:
            if listener is not by:
                listener.selected(database)

    def changed(self) -> None:
        """Say that the instance changed, rather than have it noticed a moment later."""
        for listener in self._listeners:
            listener.moved()

    def close(self) -> None:
        """Follow no longer, stop what is running, and close the instance if it was opened here."""
        self._follower.close()
        self.work.cancel()
        self.work.wait(5)
        if self._own:
            self.instance.close()

    def _moved(self, error: AbsdbError | None) -> None:
        for listener in self._listeners:
            if error is None:
                listener.moved()
            else:
                listener.failed(error)

    def _worked(self, job: Job | None) -> None:
        if self._announcing is not None:
            self._announcing.cancel()
            self._announcing = None
        if job is None or job.done:
            self._announce(job)
        else:
            self._announcing = threading.Timer(PROGRESS_AFTER_SECONDS, self._announce, (job,))
            self._announcing.daemon = True
            self._announcing.start()

    def _announce(self, job: Job | None) -> None:
        for listener in self._listeners:
            listener.working(job)


def _opened(given: Instance | str | os.PathLike[str]) -> tuple[Instance, bool, str]:
    """(instance, whether it was opened here, what to tell about that)."""
    if isinstance(given, Instance):
        return given, False, "This instance was opened read-only." if given.read_only else ""
    if not isinstance(given, (str, os.PathLike)):
        raise InvalidInputError(
            f"a workbench shows an instance, not {type(given).__name__}",
            hint='pass what absdb.connect() returned, or a path such as "shop"',
        )
    try:
        return connect(given, create=False), True, ""
    except LockedError as error:
        told = f"Read-only: {error.message}. Changes made there show here within a second."
        return connect(given, create=False, read_only=True), True, told


def guarded(failed: Callable[[BaseException], Any], do: Callable[[], Any]) -> Callable[[], None]:
    """`do`, with what absdb raises shown rather than raised into the event loop of the kernel."""

    def call() -> None:
        try:
            do()
        except AbsdbError as error:
            failed(error)

    return call
