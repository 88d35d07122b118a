"""What goes over the wire to a store and comes back, before and after all details of HTTP.

A `Request` is the same on every attempt; a `Signer` makes of it, each time anew, what is sent: with the date, the
credentials of the moment and a signature. What a store's errors mean is said by a function from a `Response` to a
`Fault`, one for each kind of store. Used by transport.py and all stores that are reached through it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, TypeAlias
from urllib.parse import quote, urlsplit

from absdb.objectstore.base import Data

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ID_HEADERS = ("x-amz-request-id", "x-ms-request-id", "x-guploader-uploadid")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `url` is scheme, host and the path, which is encoded already; `query` is not.

    The representation leaves out query, headers and body, where secrets may be.
    """

    method: str
    url: str
    query: tuple[tuple[str, str], ...] = dataclasses.field(default=(), repr=False)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    body: Data = dataclasses.field(default=b"", repr=False)

    def with_headers(self, headers: Mapping[str, str]) -> Request:
        """The same with more headers; those of the same name are replaced."""
        return dataclasses.replace(self, headers={**self.headers, **headers})

    def with_query(self, *pairs: tuple[str, str]) -> Request:
        """The same with more in the query."""
        return dataclasses.replace(self, query=(*self.query, *pairs))

    @property
    def host(self) -> str:
        """The value of the header Host: with the port only where it is not the scheme's own."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        port = parts.port
        return host if port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{port}"

    @property
    def path(self) -> str:
        """The encoded path, at least a slash."""
        return urlsplit(self.url).path or "/"

    @property
    def target(self) -> str:
        """The whole URL as it is sent, with the query encoded in the order of its pairs."""
        query = "&".join(f"{encoded(key)}={encoded(value)}" for key, value in self.query)
        return f"{self.url}?{query}" if query else self.url


class Response(NamedTuple):
    """An answer, read to its end. Names of headers are in lower case; `attempts` counts what was sent to get it."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    attempts: int = 1

    @property
    def request_id(self) -> str:
        """What the provider's support asks for; "" if the server gave none."""
        return next((self.headers[name] for name in _ID_HEADERS if name in self.headers), "")


class Action(enum.Enum):
    """What to do about an answer that is not what was asked for."""

    FAIL = "fail"
    RETRY = "retry"
    SLOW_DOWN = "retry, and with fewer requests at a time"
    RESEND = "retry once"
    CORRECT_CLOCK = "take the server's time, and retry once"
    REFRESH = "get new credentials, and retry once"


class Fault(NamedTuple):
    """What went wrong, in the server's words. `code` is the provider's name for it, "" if it gave none."""

    action: Action
    code: str = ""
    message: str = ""


ReadFault: TypeAlias = Callable[[Response], Fault | None]
"""None for an answer that is a success, whatever its status says otherwise."""


class Signer(Protocol):
    """Puts credentials on requests. Safe for many threads."""

    def sign(self, request: Request, now_us: int) -> Request:
        """The request as it is to be sent at `now_us`, which is the time of the server as far as it is known."""
        ...

    def refresh(self) -> bool:
        """Get new credentials because the server calls the old ones expired; False if there are no others."""
        ...


class Unsigned:
    """The signer of requests that need no credentials."""

    def sign(self, request: Request, now_us: int) -> Request:
        """The request as it is."""
        return request

    def refresh(self) -> bool:
        """There is nothing to refresh."""
        return False


def action_of(status: int) -> Action | None:
    """What a status means where the body does not say more; None for a success."""
    if status < 300:
        return None
    if status in (429, 503):
        return Action.SLOW_DOWN
    if status in (408, 500, 502, 504):
        return Action.RETRY
    return Action.REFRESH if status == 401 else Action.FAIL


def encoded(text: str, *, keep: str = "") -> str:
    """Percent-encoded UTF-8 of all but letters, digits and `-_.~`; `keep` names further characters to leave alone."""
    return quote(text, safe=f"-_.~{keep}")
