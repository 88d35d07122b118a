"""Requests to one store: attempts that are each signed anew, and errors that say what happened.

    broken connections, timeouts, short bodies, 408 429 500 502 503 504   tried again until the deadline (retry.py)
    the server's clock is elsewhere                                       its time is taken over, one more attempt
    credentials have expired                                              new ones are asked for, one more attempt
    everything else                                                       given to the store that asked, or raised

TLS is 1.2 or newer and certificates are verified, against those of SSL_CERT_FILE where it is set; proxies are those of
the environment (HTTPS_PROXY, NO_PROXY). Redirects are not followed and nothing is logged. httpx is imported with the
first request. Used by every store that is reached by HTTP; ranged_read.py reads large objects through it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from absdb.clock import Clock
from absdb.errors import StateError, StorageError
from absdb.objectstore.refusal import refusal, unreachable
from absdb.objectstore.request import Action, Fault, ReadFault, Request, Response, Signer
from absdb.objectstore.retry import Attempts, Pace, RetryPolicy, http_date_us, retry_after_s

if TYPE_CHECKING:
    import httpx

    from absdb.objectstore.connections import Connections

_BODY_MAX = 64 << 20
_SKEW_US = 60_000_000
_AT_ONCE = RetryPolicy(deadline_s=-1.0)


class Broken(Exception):
    """A connection that broke, stalled or ended early; the attempt may be repeated."""


class Opened:
    """An answer of which only the head was read. The reader goes through `pieces` and closes it."""

    def __init__(self, answer: httpx.Response, policy: RetryPolicy, attempts: int) -> None:
        self._answer = answer
        self._pace = Pace(policy)
        self.attempts = attempts
        self.status = answer.status_code
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in answer.headers.items()}

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes, in pieces of at most 64 KiB; Broken when it ends early, stalls or only drips."""
        import httpx

        arriving = self._answer.iter_raw()
        while True:
            began = time.monotonic()
            try:
                piece = next(arriving, None)
            except httpx.TransportError as error:
                raise Broken(_words(error)) from error
            if piece is None:
                return
            if self._pace.is_too_slow(time.monotonic() - began, len(piece)):
                raise Broken("the answer came too slowly")
            yield piece

    def read(self) -> Response:
        """All of a small body."""
        body = bytearray()
        for piece in self.pieces():
            body += piece
            if len(body) > _BODY_MAX:
                raise StorageError(f"an answer to a request has more than {_BODY_MAX >> 20} MiB")
        return Response(self.status, self.headers, bytes(body), self.attempts)

    def close(self) -> None:
        """Let go of the connection, which is used again if all was read."""
        self._answer.close()


class Transport:
    """Sends the requests of one store. Safe for many threads.

    `read_fault` tells what an answer means; `on_slow_down` is called when the server wants fewer requests at a time.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        signer: Signer,
        read_fault: ReadFault,
        *,
        policy: RetryPolicy | None = None,
        connections: int = 32,
        on_slow_down: Callable[[], None] | None = None,
    ) -> None:
        self.policy = policy or RetryPolicy()
        self._url = url
        self._clock = clock
        self._signer = signer
        self._read_fault = read_fault
        self._limit = connections
        self._on_slow_down = on_slow_down
        self._offset_us = 0
        self._mutex = threading.Lock()
        self._connections: Connections | None = None
        self.closing = threading.Event()

    def now_us(self) -> int:
        """The server's time as far as it is known, in µs since 1970 UTC."""
        return self._clock.now_us() + self._offset_us

    def send(
        self,
        request: Request,
        *,
        also: Collection[int] = (),
        signer: Signer | None = None,
        again: bool = True,
    ) -> Response:
        """The whole answer: a success, or one whose status is in `also` and that is not to be tried again.

        What else comes is raised: NotFoundError for 404, StateError for 401 and 403, ConflictError for 412,
        StorageError for the rest and for a server that cannot be reached. `signer` replaces the store's own.

        Without `again` nothing is sent a second time after a failure that might pass: for a caller that has to look
        first how far it came.
        """
        answer = self._run(request, also, signer or self._signer, whole=True, again=again)
        assert isinstance(answer, Response)
        return answer

    def open(
        self, request: Request, *, also: Collection[int] = (), signer: Signer | None = None
    ) -> Opened | Response:
        """The same for a body that is too large to hold: Opened for a success, which the caller has to close.

        A Response is one whose status is in `also`.
        """
        return self._run(request, also, signer or self._signer, whole=False, again=True)

    def close(self) -> None:
        """Close the connections; requests that wait for another attempt give up. Closing twice is harmless."""
        self.closing.set()
        with self._mutex:
            connections, self._connections = self._connections, None
        if connections is not None:
            connections.close()

    def _run(
        self, request: Request, also: Collection[int], signer: Signer, *, whole: bool, again: bool
    ) -> Response | Opened:
        attempts = Attempts(self.policy if again else _AT_ONCE, self.closing)
        mended: set[Action] = set()
        while True:
            attempts.count += 1
            at_us = self.now_us()
            sent = signer.sign(request, at_us)
            try:
                answer = self._once(sent, attempts.count, whole=whole)
            except Broken as error:
                if _is_hopeless(error) or not attempts.wait():
                    raise unreachable(request, error, attempts.count, attempts.seconds()) from error
                continue
            if isinstance(answer, Opened):
                return answer
            fault = self._read_fault(answer)
            if fault is None:
                return answer
            if self._is_worth_another(fault, answer, attempts, mended, at_us, signer):
                continue
            if answer.status in also and fault.action not in (Action.RETRY, Action.SLOW_DOWN):
                return answer
            raise refusal(request, sent, answer, fault)

    def _once(self, sent: Request, count: int, *, whole: bool) -> Response | Opened:
        """One attempt; the answer is read to its end if it has to be, or is no success."""
        import httpx

        try:
            opened = Opened(self._pool().open(sent), self.policy, count)
        except httpx.TransportError as error:
            raise Broken(_words(error)) from error
        if not whole and opened.status < 300:
            return opened
        try:
            return opened.read()
        finally:
            opened.close()

    def _is_worth_another(
        self,
        fault: Fault,
        answer: Response,
        attempts: Attempts,
        mended: set[Action],
        at_us: int,
        signer: Signer,
    ) -> bool:
        """Whether the request is to be sent again, now that this was waited for or mended."""
        action = fault.action
        if action in (Action.RETRY, Action.SLOW_DOWN):
            if action is Action.SLOW_DOWN and self._on_slow_down is not None:
                self._on_slow_down()
            return attempts.wait(retry_after_s(answer.headers.get("retry-after"), at_us))
        if (action is Action.CORRECT_CLOCK or answer.status == 403) and Action.CORRECT_CLOCK not in mended:
            mended.add(Action.CORRECT_CLOCK)
            if self._take_time_of(answer, at_us):
                return True
        if action in (Action.REFRESH, Action.RESEND) and action not in mended:
            mended.add(action)
            return action is Action.RESEND or signer.refresh()
        return False

    def _take_time_of(self, answer: Response, at_us: int) -> bool:
        """Go by the server's clock from now on; False if ours agrees with it."""
        server_us = http_date_us(answer.headers.get("date"))
        if server_us is None or abs(server_us - at_us) < _SKEW_US:
            return False
        self._offset_us = server_us - self._clock.now_us()
        return True

    def _pool(self) -> Connections:
        with self._mutex:
            if self.closing.is_set():
                raise StateError(f"the store {self._url} is closed", hint="open it again")
            if self._connections is None:
                from absdb.objectstore.connections import Connections

                self._connections = Connections(self._url, self.policy, self._limit)
            return self._connections

    def __repr__(self) -> str:
        return f"<Transport to {self._url}>"


def _is_hopeless(error: BaseException) -> bool:
    """Whether no retry can mend it: a certificate that cannot be verified, a request that is none of HTTP."""
    import ssl

    import httpx

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(
            cause, (ssl.SSLCertVerificationError, httpx.UnsupportedProtocol, httpx.LocalProtocolError)
        ):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
