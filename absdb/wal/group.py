"""Group commit: many threads, one of them at a time does the work for all that queue behind it.

    submit ─ nobody leads ──────────> leader: gather, take up to batch_limit in queue order, lead(batch),
           └ somebody leads: wait     hand leadership to the head of the queue, wake the batch
                 ├ woken: done
                 └ woken as the head of the queue: leader

One sync then serves a whole batch, and there is no writer thread to switch to when a thread is alone.
Gathering pays only while several threads commit: a leader that saw others last time waits for most of them,
but no longer than `wait_s`, and no longer than it takes for the next one to turn up (`_STEP_S`), so that a
thread that comes rarely does not slow down one that never pauses.

A batch is woken as a chain: each thread that wakes lets one more go. All at once they would only queue for
the interpreter, each falling asleep twice, which doubles the processor time of a commit.

Queue order is commit order. `exclusive` takes a place in the same queue, so that a checkpoint or a schema
change runs between two batches, with nobody else leading.

Called by the engine's commit; knows nothing of logs.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from math import ceil
from typing import Generic, TypeVar

from absdb.errors import AbsdbError, InvalidInputError, StateError
from absdb.wal.interrupt import HeldInterrupts

_SHARE = 0.9  # of the committers seen last time that a leader waits for
_LATE_S = 0.001  # a chain that takes longer for one step is held up by other work
_STEP_S = 0.0005  # a leader stops waiting when nobody joined the queue for so long
_POLL_S = 0.05  # how late a waiting main thread notices Ctrl-C


class _Place(IntEnum):
    """Where a request stands. Changes under the mutex only."""

    OUTSIDE = 0
    QUEUED = 1
    LEADING = 2  # it is the head of the queue, and its thread is or becomes the leader
    TAKEN = 3  # in the batch that is being worked on
    DONE = 4


# Looked up for each commit, and an enumeration's members are slow to look up.
_OUTSIDE, _QUEUED, _LEADING, _TAKEN, _DONE = _Place


class Request:
    """What a thread wants done, and what came of it. Subclass it, with slots, for more. Submitted once."""

    __slots__ = ("_chain", "_exclusive", "_gate", "_place", "error")

    def __init__(self) -> None:
        self.error: BaseException | None = None  # set by `lead`; raised in the thread that submitted
        self._place: _Place = _OUTSIDE
        self._exclusive = False
        self._gate: threading.Lock | None = None  # locked while its thread has to wait
        self._chain: _Chain | None = None  # who is to be woken after it; set before its gate opens

    @property
    def done(self) -> bool:
        """Whether `lead` has dealt with it, well or badly."""
        return self._place is _DONE


class _Chain:
    """The threads of a batch that are still to be woken, in order."""

    __slots__ = ("_rest", "_stepped_s")

    def __init__(self, requests: list[Request]) -> None:
        self._rest = iter(requests)
        self._stepped_s = time.perf_counter()
        for request in requests:
            request._chain = self

    def step(self) -> None:
        """Wake the next one; all of them if the last step was long ago."""
        now_s = time.perf_counter()
        late = now_s - self._stepped_s > _LATE_S
        self._stepped_s = now_s
        for request in self._rest:
            assert request._gate is not None
            request._gate.release()
            if not late:
                break


R = TypeVar("R", bound=Request)


class GroupCommit(Generic[R]):
    """Hands requests of many threads to `lead` in batches, in queue order, one batch at a time."""

    def __init__(
        self, lead: Callable[[list[R]], None], *, batch_limit: int = 64, wait_s: float = 0.004
    ) -> None:
        if batch_limit < 1 or wait_s < 0:
            raise InvalidInputError(f"a batch of {batch_limit} and a wait of {wait_s} s are not possible")
        self._lead = lead
        self._batch_limit = batch_limit
        self._steps = int(wait_s / _STEP_S) if wait_s else 0
        self._mutex = threading.Lock()
        self._queue: deque[Request] = deque()
        self._leader: int | None = None  # the leading thread; None: nobody leads, and the queue is empty
        self._seen = 1  # committers that were there at the last batch: in it, or queued behind it
        self._target = 0  # the leader waits for so many in the queue; 0: it does not wait
        self._full = threading.Lock()
        self._full.acquire()

    def submit(self, request: R) -> None:
        """Have it done by `lead`, in some batch; returns when it is done, or raises its `error`.

        If `lead` itself raises, so does this, for each request of the batch a new error caused by that one.
        KeyboardInterrupt while waiting leaves the queue, unless the request is being worked on by then:
        that is waited for, and `request.done` tells.
        """
        if threading.get_ident() == threading.main_thread().ident:
            with HeldInterrupts() as held:
                if self._enter(request) or self._wait(request, held):
                    self._run(request)
        elif self._enter(request) or self._wait(request, None):  # nothing interrupts other threads
            self._run(request)
        if request.error is not None:
            raise request.error

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """A section in which no batch is worked on; it begins when everything queued before it is done."""
        entry = Request()
        entry._exclusive = True
        try:
            with HeldInterrupts() as held:
                if not self._enter(entry):
                    self._wait(entry, held)
                with self._mutex:
                    self._queue.popleft()
                    entry._place = _TAKEN
            yield
        finally:
            if entry._place is _TAKEN:
                with HeldInterrupts():
                    self._hand_over([], entry)

    # -- the queue

    def _enter(self, request: Request) -> bool:
        """Join the queue; whether this thread leads now."""
        me = threading.get_ident()
        with self._mutex:
            if request._place is not _OUTSIDE:
                raise StateError("a request can be submitted only once")
            if self._leader is None:
                self._leader = me
                request._place = _LEADING
                self._queue.append(request)
                return True
            if self._leader == me:
                raise StateError("this thread is committing already: a commit cannot wait for itself")
            request._gate = threading.Lock()
            request._gate.acquire()
            request._place = _QUEUED
            self._queue.append(request)
            if 0 < self._target <= len(self._queue):
                self._target = 0
                self._full.release()
            return False

    def _wait(self, request: Request, held: HeldInterrupts | None) -> bool:
        """Wait until the request is done, or its thread is to lead: then True."""
        gate = request._gate
        assert gate is not None
        try:
            if held is not None:
                while not gate.acquire(timeout=_POLL_S):
                    held.deliver()
            else:
                gate.acquire()
        except BaseException:
            if not self._withdraw(request):
                gate.acquire()
                self._wake_next(request)
            raise
        self._wake_next(request)
        if request._place is _DONE:  # which is its last place, so that it needs no mutex
            return False
        with self._mutex:
            self._leader = threading.get_ident()
        return True

    def _withdraw(self, request: Request) -> bool:
        """Leave the queue, passing leadership on if it has just arrived; False if its gate is going to open."""
        with self._mutex:
            if request._place is _QUEUED:
                self._queue.remove(request)
                request._place = _OUTSIDE
                return True
            if request._place is not _LEADING:
                return False
            self._queue.popleft()
            request._place = _OUTSIDE
        self._hand_over([], request)
        return False

    def _wake_next(self, request: Request) -> None:
        if request._chain is not None:
            request._chain.step()

    # -- leading

    def _run(self, own: Request) -> None:
        """Lead one batch, which begins with this thread's own request."""
        self._gather()
        batch = self._take()
        try:
            self._lead(batch)
        except BaseException as error:
            for request in batch:
                if request.error is None:
                    request.error = _again(error)
            if not isinstance(error, Exception):
                own.error = error
        self._hand_over(batch, own)

    def _gather(self) -> None:
        """Wait for those that committed last time, while they keep coming."""
        if self._seen == 1:
            return
        target = min(self._batch_limit, ceil(self._seen * _SHARE))
        queue = self._queue
        if target <= len(queue) or not self._steps:
            return
        with self._mutex:
            if target <= len(queue):
                return
            self._target = target
        for _ in range(self._steps):
            before = len(queue)
            if self._full.acquire(timeout=_STEP_S):
                return
            if len(queue) == before:
                break
        with self._mutex:
            if not self._target:
                self._full.acquire()  # it was released in the last moment; lock it again for the next time
            self._target = 0

    def _take(self) -> list[R]:
        """The batch: from the head of the queue up to the limit, or to the next exclusive section."""
        batch: list[R] = []
        queue = self._queue
        with self._mutex:
            while queue and len(batch) < self._batch_limit and not queue[0]._exclusive:
                request = queue.popleft()
                request._place = _TAKEN
                batch.append(request)  # type: ignore[arg-type]  # only requests of R are not exclusive
        return batch

    def _hand_over(self, batch: list[R], own: Request) -> None:
        """Make the head of the queue the leader, if there is one, and wake it and the batch."""
        queue = self._queue
        with self._mutex:
            self._seen = len(batch) + len(queue)
            successor = queue[0] if queue else None
            if successor is None:
                self._leader = None
            else:
                self._leader = 0  # not this thread, nor any other yet
                successor._place = _LEADING
            for request in batch:
                request._place = _DONE
        waiting: list[Request] = [request for request in batch if request is not own]
        if successor is not None:
            waiting.insert(0, successor)
        if waiting:
            _Chain(waiting).step()


def _again(error: BaseException) -> BaseException:
    """A new error that says the same, to be raised in another thread; the old one is its cause.

    One error object raised in several threads would collect all their tracebacks.
    """
    fresh: BaseException
    if isinstance(error, AbsdbError):
        fresh = copy.copy(error)
    elif isinstance(error, Exception):
        fresh = AbsdbError(
            f"the commit of this batch failed: {type(error).__name__}: {error}",
            hint="this is a defect of absdb; its cause is shown above",
        )
    else:
        fresh = StateError(
            f"the thread that committed for this one was stopped by {type(error).__name__}: "
            f"the outcome is unknown",
            hint="look whether the commit is there before running it again",
        )
    fresh.__cause__ = error
    return fresh
