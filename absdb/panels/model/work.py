"""Long work beside the kernel: one thread at a time per workbench, newest request first where only that counts.

    Work.start(title, task, then)     task(job) runs in the thread; then(result) after it, in the same thread
    job.report(done, total)           says how far it is; raises Cancelled where somebody asked to stop
    job.on_cancel(stop)               what else stops it, such as Result.interrupt

A task with a `key` takes the place of one of the same key: of a waiting one, which never runs, and of a running
one, which is cancelled. So a slider that is dragged ends with the last point and not with all of them. The thread
lives while there is work.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from absdb.errors import AbsdbError, StateError

T = TypeVar("T")
WAITING_MAX = 32
_LOG = logging.getLogger("absdb.panels")


class Cancelled(Exception):
    """Raised inside a task whose job was cancelled."""


@dataclass(eq=False)
class Job:
    """Some work: its title, and how far it is."""

    title: str
    key: str | None = None
    done: int = 0
    total: int | None = None
    unit: str = "rows"
    cancelled: bool = False
    _stops: list[Callable[[], object]] = field(default_factory=list)
    _told: Callable[[], None] | None = None

    def report(self, done: int, total: int | None = None) -> None:
        """Say how far it is; Cancelled if it is to stop."""
        if self.cancelled:
            raise Cancelled
        self.done = done
        self.total = self.total if total is None else total
        if self._told is not None:
            self._told()

    def on_cancel(self, stop: Callable[[], object]) -> None:
        """Call `stop` when the job is cancelled; at once if it already is."""
        self._stops.append(stop)
        if self.cancelled:
            stop()

    def cancel(self) -> None:
        """Ask it to stop."""
        self.cancelled = True
        for stop in self._stops:
            stop()


@dataclass(eq=False)
class _Task:
    job: Job
    task: Callable[[Job], Any]
    then: Callable[[Any], None]
    failed: Callable[[BaseException], None]


class Work:
    """The work of one workbench. `changed(job)` is called as a job starts and moves on, with None when all is done."""

    def __init__(self, changed: Callable[[Job | None], None] | None = None) -> None:
        self._changed = changed
        self._lock = threading.Lock()
        self._waiting: deque[_Task] = deque()
        self._running: _Task | None = None
        self._idle = threading.Event()
        self._idle.set()

    def start(
        self,
        title: str,
        task: Callable[[Job], T],
        then: Callable[[T], None],
        failed: Callable[[BaseException], None],
        *,
        key: str | None = None,
    ) -> Job:
        """Run `task` in the thread, and `then` with what it returns, or `failed` with what it raised.

        A cancelled task ends without either. StateError if too much is waiting already.
        """
        job = Job(title, key)
        job._told = lambda: self._tell(job)
        with self._lock:
            if key is not None:
                self._supersede(key)
            if len(self._waiting) >= WAITING_MAX:
                raise StateError(f"{WAITING_MAX} tasks are waiting already", hint="cancel some, or wait")
            self._waiting.append(_Task(job, task, then, failed))
            begin = self._idle.is_set()
            self._idle.clear()
        if begin:
            threading.Thread(target=self._drain, name="absdb-panels", daemon=True).start()
        return job

    def cancel(self) -> None:
        """Stop what is running, and forget what waits."""
        with self._lock:
            running = self._running
            self._waiting.clear()
        if running is not None:
            running.job.cancel()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether all work was done within `seconds`."""
        return self._idle.wait(seconds)

    def _supersede(self, key: str) -> None:
        self._waiting = deque(task for task in self._waiting if task.job.key != key)
        if self._running is not None and self._running.job.key == key:
            self._running.job.cancel()

    def _drain(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._running = None
                    self._idle.set()
                    break
                self._running = task = self._waiting.popleft()
            self._tell(task.job)
            self._do(task)
        self._tell(None)

    def _do(self, task: _Task) -> None:
        try:
            result = task.task(task.job)
            if not task.job.cancelled:
                task.then(result)
        except Cancelled:
            pass
        except BaseException as error:  # whatever it is, the page shows it
            if task.job.cancelled and isinstance(error, AbsdbError):
                return  # an interrupted query says so; nobody asked for its answer
            if not isinstance(error, AbsdbError):
                _LOG.exception("%s failed", task.job.title)
            task.failed(error)

    def _tell(self, job: Job | None) -> None:
        if self._changed is not None:
            self._changed(job)
