"""Reads an object, or a range of it, to the last byte: goes on where it was when a connection breaks.

What comes after a break is asked for by Range and on the condition that it is still the same object (If-Match with its
etag), so that two objects are never mixed. The length is checked against what the server said and what was asked for.
Used by all stores that are reached by HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from absdb.errors import ConflictError, StorageError
from absdb.objectstore.refusal import unreachable
from absdb.objectstore.request import Request, Response
from absdb.objectstore.retry import Attempts
from absdb.objectstore.transport import Broken, Opened, Transport

Pin: TypeAlias = Callable[[Request, Opened], Request]
"""The request for the same object as the one that an answer came from, and no other."""

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_ENOUGH_PROGRESS = 64 << 10


def stream(
    transport: Transport,
    request: Request,
    *,
    offset: int = 0,
    length: int | None = None,
    pin: Pin | None = None,
) -> Iterator[bytes]:
    """The bytes of the object from `offset` on, `length` of them or all, in pieces as they come.

    StorageError if there are fewer, ConflictError if it is replaced meanwhile; NotFoundError when it is not there.
    The request is sent at the first step of the iteration; a `length` of 0 sends none.
    """
    if length == 0:
        return
    position, end = offset, None if length is None else offset + length
    attempts = Attempts(transport.policy, transport.closing)
    resumed_at = offset
    pinned = request
    while True:
        opened = _open(transport, pinned, position, end)
        if opened is None:
            return
        try:
            if pinned is request:
                pinned = (pin or _if_match)(request, opened)
            last = _last(request, opened, position, end)
            end = last
            for piece in opened.pieces():
                piece = piece[: last - position]
                position += len(piece)
                if piece:
                    yield piece
                if position == last:
                    return
            raise Broken(f"the answer ended {last - position} bytes early")
        except Broken as error:
            if position - resumed_at >= _ENOUGH_PROGRESS:
                attempts, resumed_at = Attempts(transport.policy, transport.closing), position
            attempts.count += 1
            if not attempts.wait():
                raise unreachable(request, error, attempts.count, attempts.seconds()) from error
        finally:
            opened.close()


def _open(transport: Transport, request: Request, position: int, end: int | None) -> Opened | None:
    """The answer whose body starts at `position`; None if the object ends just there and no length was asked for."""
    if position or end is not None:
        until = "" if end is None else end - 1
        request = request.with_headers({"Range": f"bytes={position}-{until}"})
    answer = transport.open(request, also=(412, 416))
    if isinstance(answer, Opened):
        return answer
    if answer.status == 412:
        raise ConflictError(
            f"{request.url} was replaced while it was read",
            hint="read it again from the start",
            url=request.url,
        )
    size = _size_of(answer)
    if end is None and size == position:
        return None
    raise too_short(request.url, position, end, size)


def _last(request: Request, opened: Opened, position: int, end: int | None) -> int:
    """Where the body of an answer ends within the object, or what is wanted of it."""
    if opened.status == 206:
        found = _CONTENT_RANGE.fullmatch(opened.headers.get("content-range", ""))
        if found is None or int(found[1]) != position:
            said = opened.headers.get("content-range", "nothing")
            raise StorageError(
                f"{request.url} was asked for bytes from {position}, and the server sent {said}"
            )
        last = int(found[2]) + 1
    elif position == 0:
        last = int(opened.headers.get("content-length", -1))
        if last < 0:
            raise StorageError(f"the server does not say how long {request.url} is")
    else:
        raise StorageError(
            f"{request.url} was asked for bytes from {position}, and the server sent all of it",
            hint="the store, or a proxy before it, does not know the header Range",
        )
    if end is not None and last < end:
        raise too_short(request.url, position, end, last)
    return last if end is None else end


def too_short(url: str, position: int, end: int | None, size: int | None) -> StorageError:
    """The error for an object that does not reach as far as was asked for."""
    wanted = f"bytes {position} to {end}" if end is not None else f"bytes from {position}"
    has = "fewer" if size is None else f"only {size}"
    return StorageError(f"{wanted} of {url} were asked for, and it has {has}", url=url, size=size)


def _size_of(answer: Response) -> int | None:
    """The size of the object that an answer 416 tells."""
    _, slash, size = answer.headers.get("content-range", "").rpartition("/")
    return int(size) if slash and size.isdigit() else None


def _if_match(request: Request, opened: Opened) -> Request:
    etag = opened.headers.get("etag")
    return request.with_headers({"If-Match": etag}) if etag else request
