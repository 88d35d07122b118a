"""An HTTP proxy that stands before a real server and does to requests what networks and providers do.

    with FaultProxy("127.0.0.1:8333") as proxy:
        proxy.add(reset_before, method="GET")                 # the first GET meets a reset
        proxy.add(status(503, retry_after="1"), times=3)      # the next three requests, whatever they are
        ...
        proxy.seen                                            # what came: method, target, headers, size, answer

A fault is a function of an `Exchange`, which it may forward or not, and answer in any way; each is used `times` times
by the requests that it fits, in the order in which faults were added. What no fault fits is forwarded as it is. The
header Host stays that of the proxy, as it was signed. Listens on 127.0.0.1; few of the faults know S3.
"""

from __future__ import annotations

import contextlib
import dataclasses
import email.utils
import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

Headers = dict[str, str]
Answer = tuple[int, Headers, bytes]


class Gone(Exception):
    """The connection to the client is to be closed now."""


@dataclasses.dataclass
class Exchange:
    """One request, and what may be done about it. Header names are in lower case."""

    client: socket.socket
    upstream: str
    method: str
    target: str
    headers: Headers
    body: bytes
    answered: int = 0

    def forward(self) -> Answer:
        """What the real server answers."""
        host, _, port = self.upstream.partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        try:
            connection.putrequest(self.method, self.target, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name != "connection":
                    connection.putheader(name, value)
            connection.endheaders(self.body or None)
            answer = connection.getresponse()
            body = answer.read()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            headers.pop("transfer-encoding", None)
            return answer.status, headers, body
        finally:
            connection.close()

    def send_head(self, status: int, headers: Mapping[str, str], length: int) -> None:
        """The start of an answer that promises so many bytes."""
        self.answered = status
        if self.method != "HEAD":
            headers = {**headers, "content-length": str(length)}
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """A whole answer."""
        self.send_head(status, headers, len(body))
        if self.method != "HEAD":
            self.client.sendall(body)

    def reset(self) -> None:
        """Break the connection in the hard way (RST)."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone

    def hang_up(self) -> None:
        """Close the connection in the polite way."""
        raise Gone


Fault = Callable[[Exchange], None]


@dataclasses.dataclass
class _Planned:
    fault: Fault
    times: int
    fits: Callable[[Exchange], bool]


class FaultProxy:
    """A running proxy; `address` is host and port."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._planned: list[_Planned] = []
        self._mutex = threading.Lock()
        self._clients: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.seen: list[Exchange] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def add(self, fault: Fault, *, times: int = 1, method: str = "", target: str = "") -> None:
        """Do this to the next requests of a method whose target contains a text."""

        def fits(exchange: Exchange) -> bool:
            return method in ("", exchange.method) and target in exchange.target

        with self._mutex:
            self._planned.append(_Planned(fault, times, fits))

    def requests(self, method: str = "", target: str = "") -> list[Exchange]:
        """Those that came, in order."""
        return [one for one in self.seen if method in ("", one.method) and target in one.target]

    @property
    def is_spent(self) -> bool:
        """Whether all that was planned has happened."""
        return not [planned for planned in self._planned if 0 < planned.times < 1_000]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._mutex:
            for client in self._clients:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _start(self, what: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=what, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._mutex:
                self._clients.add(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        reader = client.makefile("rb")
        try:
            while (exchange := self._read(client, reader)) is not None:
                with self._mutex:
                    self.seen.append(exchange)
                    planned = next((one for one in self._planned if one.times and one.fits(exchange)), None)
                    if planned is not None:
                        planned.times -= 1
                (planned.fault if planned else forwarded)(exchange)
        except (Gone, OSError):
            pass
        finally:
            with self._mutex:
                self._clients.discard(client)
            reader.close()
            client.close()

    def _read(self, client: socket.socket, reader: object) -> Exchange | None:
        line = reader.readline().decode("latin-1")  # type: ignore[attr-defined]
        if not line:
            return None
        method, target, _ = line.split(" ", 2)
        headers = {}
        while line := reader.readline().decode("latin-1").rstrip("\r\n"):  # type: ignore[attr-defined]
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", 0)))  # type: ignore[attr-defined]
        return Exchange(client, self._upstream, method, target, headers, body)


# --- faults -----------------------------------------------------------------------------------------


def forwarded(exchange: Exchange) -> None:
    """No fault."""
    exchange.answer(*exchange.forward())


def reset_before(exchange: Exchange) -> None:
    """The connection breaks, and the server never sees the request."""
    exchange.reset()


def lost_answer(exchange: Exchange) -> None:
    """The server does what was asked, and its answer never arrives."""
    exchange.answered = exchange.forward()[0]
    exchange.reset()


def status(code: int, *, retry_after: str | None = None, error: str = "", forward: bool = False) -> Fault:
    """An answer with this status, and perhaps an error of S3 in its body; the request may have been done."""

    def fault(exchange: Exchange) -> None:
        if forward:
            exchange.forward()
        headers = {"content-type": "application/xml", "x-amz-request-id": "PROXY123"}
        if retry_after is not None:
            headers["retry-after"] = retry_after
        body = f"<Error><Code>{error}</Code><Message>as planned</Message></Error>".encode() if error else b""
        exchange.answer(code, headers, body)

    return fault


def error_in_success(error: str, *, forward: bool = False) -> Fault:
    """Status 200 after which white space and then an error come, as when completing takes long."""

    def fault(exchange: Exchange) -> None:
        if forward:
            exchange.forward()
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n   \n<Error><Code>{error}</Code>'
            "<Message>We encountered an internal error. Please try again.</Message></Error>"
        )
        exchange.answer(200, {"content-type": "application/xml"}, body.encode())

    return fault


def truncated(keep: int, *, hard: bool = False) -> Fault:
    """The real answer, of whose body only the start arrives; then the connection is closed, or reset."""

    def fault(exchange: Exchange) -> None:
        code, headers, body = exchange.forward()
        exchange.send_head(code, headers, len(body))
        exchange.client.sendall(body[:keep])
        if hard:
            time.sleep(0.05)  # a reset overtakes what the client has not read yet
            exchange.reset()
        exchange.hang_up()

    return fault


def dripping(piece: int, pause_s: float) -> Fault:
    """The real answer, a few bytes at a time."""

    def fault(exchange: Exchange) -> None:
        code, headers, body = exchange.forward()
        exchange.send_head(code, headers, len(body))
        for start in range(0, len(body), piece):
            exchange.client.sendall(body[start : start + piece])
            time.sleep(pause_s)

    return fault


def without(*headers: str, sign: Callable[[Exchange], Headers]) -> Fault:
    """A provider that does not know these headers, and passes them over; `sign` signs what is left for the real one."""

    def fault(exchange: Exchange) -> None:
        exchange.headers = {name: value for name, value in exchange.headers.items() if name not in headers}
        exchange.headers = sign(exchange)
        exchange.answer(*exchange.forward())

    return fault


def before(action: Callable[[], object], fault: Fault) -> Fault:
    """Something happens just before a fault."""

    def both(exchange: Exchange) -> None:
        action()
        fault(exchange)

    return both


def clock_ahead(seconds: float, *, tolerance_s: float = 900) -> Fault:
    """A server whose clock is elsewhere: it refuses what is signed by another, and says what time it has."""

    def fault(exchange: Exchange) -> None:
        now = time.time() + seconds
        signed_at = time.strptime(exchange.headers["x-amz-date"] + " UTC", "%Y%m%dT%H%M%SZ %Z")
        if abs(_epoch(signed_at) - now) < tolerance_s:
            exchange.answer(200, {"date": email.utils.formatdate(now, usegmt=True)}, b"")
            return
        body = b"<Error><Code>RequestTimeTooSkewed</Code><Message>too far</Message></Error>"
        exchange.answer(403, {"date": email.utils.formatdate(now, usegmt=True)}, body)

    return fault


def _epoch(moment: time.struct_time) -> float:
    import calendar

    return float(calendar.timegm(moment))


def at_most_parts(limit: int) -> Fault:
    """A provider that takes only so many parts for one object."""

    def fault(exchange: Exchange) -> None:
        number = dict(pair.partition("=")[::2] for pair in exchange.target.partition("?")[2].split("&")).get(
            "partNumber", "0"
        )
        if int(number) > limit:
            status(400, error="InvalidArgument")(exchange)
        else:
            forwarded(exchange)

    return fault
