"""Work on parts in threads, results in order, memory bounded by how many are under way.

Compression, encryption and hashing of megabytes let go of the interpreter, so threads use all cores.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

from absdb.errors import InvalidInputError

T = TypeVar("T")
R = TypeVar("R")


def workers(count: int | None = None) -> int:
    """How many threads work on parts: what was asked for, or one a core and one that waits for disk or network.

    InvalidInputError for what is no such number.
    """
    if count is None:
        return min(16, len(os.sched_getaffinity(0)) + 1)
    if not isinstance(count, int) or count < 1:
        raise InvalidInputError(f"jobs is {count!r}", hint="pass a whole number from 1 on, or leave it out")
    return count


def pool(
    count: int | None = None, name: str = "absdb-backup", begin: Callable[[], None] | None = None
) -> ThreadPoolExecutor:
    """Threads for `in_order`, each of which calls `begin` first; a context that ends with all of them done."""
    return ThreadPoolExecutor(workers(count), thread_name_prefix=name, initializer=begin)


def in_order(executor: Executor, work: Callable[[T], R], items: Iterable[T], *, window: int) -> Iterator[R]:
    """`work(item)` of each item, in the order of the items, at most `window` of them begun and not yet taken.

    The first error is raised in its place; what has begun by then ends before that.
    """
    running: deque[Future[R]] = deque()
    try:
        for item in items:
            running.append(executor.submit(work, item))
            if len(running) >= window:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()
        for future in running:
            if not future.cancelled():
                future.exception()
