"""Uploads a stream of bytes in parts, several at a time, in bounded memory. It knows nothing of providers.

The caller's thread fills a part; when it is full it is handed to a thread that sends it. When as many are on their way
as may be, writing waits. So one part more than may be on their way is in memory, and fewer may be when parts are large.
The first error stops everything and is raised by the next call. Used by the stores that upload in parts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from absdb.errors import InvalidInputError
from absdb.objectstore.base import Data
from absdb.objectstore.concurrency import Concurrency
from absdb.objectstore.part_sizes import PartSizes

Tag = TypeVar("Tag")

_MEMORY = 256 << 20


class PartUploader(Generic[Tag]):
    """Sends parts by `send_part(number, data) -> tag`, called from several threads; numbers count from 1.

    One thread writes. `finish` or `abort` has to be called.
    """

    def __init__(
        self,
        send_part: Callable[[int, Data], Tag],
        sizes: PartSizes,
        concurrency: Concurrency,
        *,
        memory: int = _MEMORY,
    ) -> None:
        self._send_part = send_part
        self._sizes = sizes
        self._concurrency = concurrency
        self._in_flight_max = max(1, min(concurrency.limit, memory // sizes.base))
        self._memory = memory
        self._part = bytearray()
        self._handed_over = 0
        self._threads: ThreadPoolExecutor | None = None
        self._in_flight: dict[Future[Tag], int] = {}
        self._tags: dict[int, Tag] = {}
        self._stopped = threading.Event()

    @property
    def has_sent(self) -> bool:
        """Whether there was more than fits into one part; before, everything is still in `rest`."""
        return self._handed_over > 0

    @property
    def rest(self) -> bytearray:
        """What was written and not handed over."""
        return self._part

    def write(self, data: Data) -> None:
        """Append. Waits while enough parts are on their way; raises what went wrong with one of them."""
        view = memoryview(data).cast("B")
        at = 0
        while at < view.nbytes:
            size = self._sizes.size(self._handed_over + 1)
            if not self._part and view.nbytes - at > size and isinstance(data, bytes):
                self._hand_over(view[at : at + size])  # nobody changes bytes, so they need no copy
                at += size
                continue
            # A full part waits for one more byte, so that an object of just one part is known to be that.
            if len(self._part) == size:
                self._hand_over(self._take())
                continue
            taken = min(size - len(self._part), view.nbytes - at)
            self._part += view[at : at + taken]
            at += taken

    def finish(self) -> list[Tag]:
        """Send what is left, wait for all parts, and give their tags in order."""
        if self._part or not self._handed_over:
            self._hand_over(self._take())
        try:
            while self._in_flight:
                self._collect(room=1)
        finally:
            self.abort()
        return [self._tags[number] for number in range(1, self._handed_over + 1)]

    def abort(self) -> None:
        """Send nothing more, and wait for what is on its way. Harmless when all is done."""
        self._stopped.set()
        self._part = bytearray()
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
            self._threads = None
        self._in_flight.clear()

    def _take(self) -> bytearray:
        part, self._part = self._part, bytearray()
        return part

    def _hand_over(self, part: Data) -> None:
        if self._handed_over == self._sizes.max_parts:
            total = self._sizes.total()
            raise InvalidInputError(
                f"an object in at most {self._sizes.max_parts} parts ends at {total} bytes, and more was written",
                hint="say how large it will be (size_hint), or write several objects",
                size=total,
            )
        self._collect(room=self._room())
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._in_flight_max, thread_name_prefix="absdb-upload")
        self._handed_over += 1
        self._in_flight[self._threads.submit(self._send, self._handed_over, part)] = self._handed_over

    def _room(self) -> int:
        """How many parts may be on their way, given the size that parts have grown to."""
        size = self._sizes.size(self._handed_over + 1)
        return max(1, min(self._in_flight_max, self._memory // size))

    def _collect(self, *, room: int) -> None:
        """Take note of parts that have arrived, and wait until fewer than `room` are on their way."""
        while True:
            for future in [future for future in self._in_flight if future.done()]:
                number = self._in_flight.pop(future)
                try:
                    self._tags[number] = future.result()
                except BaseException:
                    self._stopped.set()
                    raise
            if len(self._in_flight) < room:
                return
            wait(self._in_flight, return_when=FIRST_COMPLETED)

    def _send(self, number: int, part: Data) -> Tag:
        with self._concurrency.slot():
            if self._stopped.is_set():
                raise InterruptedError("the upload was stopped")
            return self._send_part(number, part)
