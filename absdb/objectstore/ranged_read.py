"""Reads an object, or a range of it, to the last byte: goes on where it was when a connection breaks.

What comes after a break, and every further range, is asked for on the condition that it is still the same object
(If-Match with its etag), so that two objects are never mixed. Lengths are checked against what the server said and what
was asked for. Large objects are read by ranges side by side (read_ahead.py). Used by all stores reached by HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from absdb.errors import ConflictError, StorageError
from absdb.objectstore.concurrency import Concurrency
from absdb.objectstore.read_ahead import read_ahead
from absdb.objectstore.refusal import unreachable
from absdb.objectstore.request import Request, Response
from absdb.objectstore.retry import Attempts
from absdb.objectstore.transport import Broken, Opened, Transport

Pin: TypeAlias = Callable[[Request, Opened], Request]
"""The request for the same object as the one that an answer came from, and no other."""

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_ENOUGH_PROGRESS = 64 << 10
_FIRST_RANGE = 8 << 20


def read_object(
    transport: Transport,
    request: Request,
    concurrency: Concurrency,
    *,
    offset: int = 0,
    length: int | None = None,
    pin: Pin | None = None,
    ask_size: Callable[[], int] | None = None,
) -> Iterator[bytes]:
    """The bytes of an object from `offset` on, `length` of them or all, in chunks of at most 1 MiB.

    StorageError if there are fewer, ConflictError if it is replaced meanwhile, NotFoundError when it is not there. The
    request, a GET, is sent at the first step of the iteration. `pin` is for stores where If-Match is not the way,
    `ask_size` for those that refuse a range beyond the end without telling where that is.
    """
    source = ObjectSource(transport, request, pin or _if_match)
    end = None if length is None else offset + length
    first_end = offset + _FIRST_RANGE if end is None else min(end, offset + _FIRST_RANGE)
    for piece in source.pieces(offset, max(first_end, offset + 1), exact=False):
        if length != 0:  # of nothing, one byte is asked for to see that the object is there
            yield piece
    if source.size is None and ask_size is not None:
        source.size = ask_size()
    if source.size is None:
        raise StorageError(f"the server does not say how long {request.url} is")
    end = max(offset, source.size) if end is None else end
    if offset > source.size or end > source.size:
        raise too_short(request.url, offset, end, source.size)
    if end > first_end:
        yield from read_ahead(source.fetch, first_end, end, concurrency)


class ObjectSource:
    """One object on a server. `size` is known after the first answer. Safe for many threads after that."""

    def __init__(self, transport: Transport, request: Request, pin: Pin) -> None:
        self._transport = transport
        self._request = request
        self._pin = pin
        self._pinned: Request | None = None
        self.size: int | None = None

    def fetch(self, start: int, length: int) -> bytes:
        """A range that has to be there."""
        return b"".join(self.pieces(start, start + length, exact=True))

    def pieces(self, position: int, end: int, *, exact: bool) -> Iterator[bytes]:
        """The bytes of a range as they come; unless `exact`, fewer where the object ends before."""
        attempts = Attempts(self._transport.policy, self._transport.closing)
        resumed_at = position
        while True:
            opened = self._open(position, end)
            if opened is None:
                if exact:
                    raise too_short(self._request.url, position, end, self.size)
                return
            try:
                last = self._last(opened, position, end)
                if exact and last < end:
                    raise too_short(self._request.url, position, end, self.size)
                for piece in opened.pieces():
                    piece = piece[: last - position]
                    position += len(piece)
                    if piece:
                        yield piece
                    if position == last:
                        return
                if position == last:
                    return
                raise Broken(f"the answer ended {last - position} bytes early")
            except Broken as error:
                if position - resumed_at >= _ENOUGH_PROGRESS:
                    attempts, resumed_at = Attempts(self._transport.policy, self._transport.closing), position
                attempts.count += 1
                if not attempts.wait():
                    raise unreachable(self._request, error, attempts.count, attempts.seconds()) from error
            finally:
                opened.close()

    def _open(self, position: int, end: int) -> Opened | None:
        """The answer whose body starts at `position`; None if the object ends at or before it."""
        request = self._pinned or self._request
        answer = self._transport.open(
            request.with_headers({"Range": f"bytes={position}-{end - 1}"}), also=(412, 416)
        )
        if isinstance(answer, Opened):
            if self._pinned is None:
                self._pinned = self._pin(self._request, answer)
            return answer
        if answer.status == 412:
            raise ConflictError(
                f"{request.url} was replaced while it was read",
                hint="read it again from the start",
                url=request.url,
            )
        self.size = _size_of(answer) if self.size is None else self.size
        return None

    def _last(self, opened: Opened, position: int, end: int) -> int:
        """Where the body of an answer ends within the object, or what is wanted of it."""
        if opened.status == 206:
            said = opened.headers.get("content-range", "")
            found = _CONTENT_RANGE.fullmatch(said)
            if found is None or int(found[1]) != position:
                raise StorageError(
                    f"{self._request.url} was asked for bytes from {position}, and the server sent {said or 'no range'}"
                )
            if found[3] != "*":
                self.size = int(found[3])
            return min(end, int(found[2]) + 1)
        length = opened.headers.get("content-length", "")
        if position == 0 and length.isdigit():
            self.size = int(length)
            return min(end, self.size)
        raise StorageError(
            f"{self._request.url} was asked for bytes from {position}, and the server sent all of it",
            hint="the store, or a proxy before it, does not know the header Range",
        )


def too_short(url: str, position: int, end: int, size: int | None) -> StorageError:
    """The error for an object that does not reach as far as was asked for."""
    has = "fewer" if size is None else f"only {size}"
    return StorageError(
        f"bytes {position} to {end} of {url} were asked for, and it has {has}", url=url, size=size
    )


def _size_of(answer: Response) -> int | None:
    """The size of the object that an answer 416 tells."""
    _, slash, size = answer.headers.get("content-range", "").rpartition("/")
    return int(size) if slash and size.isdigit() else None


def _if_match(request: Request, opened: Opened) -> Request:
    etag = opened.headers.get("etag")
    return request.with_headers({"If-Match": etag}) if etag else request
