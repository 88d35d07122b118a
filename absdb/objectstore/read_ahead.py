"""Reads a large object by ranges, several at a time, and gives them in order. It knows nothing of providers.

One connection to a provider is slow, many are not. Memory is bounded: at most `ahead` ranges are held. Used by the
stores that are reached by HTTP.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from absdb.objectstore.concurrency import Concurrency

CHUNK = 1 << 20


def read_ahead(
    fetch: Callable[[int, int], bytes],
    offset: int,
    end: int,
    concurrency: Concurrency,
    *,
    range_size: int = 8 << 20,
    ahead: int = 4,
) -> Iterator[bytes]:
    """The bytes from `offset` to `end` in chunks of at most 1 MiB, by `fetch(offset, length)` from several threads.

    What fetch raises for a range is raised when its turn comes; nothing more is fetched then.
    """
    threads = ThreadPoolExecutor(min(ahead, concurrency.limit), thread_name_prefix="absdb-download")
    fetching: deque[Future[bytes]] = deque()

    def one(start: int) -> bytes:
        with concurrency.slot():
            return fetch(start, min(range_size, end - start))

    try:
        next_start = offset
        while fetching or next_start < end:
            while next_start < end and len(fetching) < ahead:
                fetching.append(threads.submit(one, next_start))
                next_start += range_size
            yield from chunks(fetching.popleft().result())
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


def chunks(data: bytes) -> Iterator[bytes]:
    """Bytes in chunks of at most 1 MiB."""
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]
