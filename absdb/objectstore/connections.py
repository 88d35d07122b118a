"""The connections to one host: HTTP/1.1, kept open, as many as may be used at once, through the proxy that is set.

httpx is used below its client, which would log every URL, and with it the signature of a signed one. Bodies go out in
pieces, because a socket takes little of a large one at a time and the rest would be copied for each. Used by
transport.py.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from absdb.objectstore.base import Data
from absdb.objectstore.request import Request
from absdb.objectstore.retry import RetryPolicy

_PIECE = 256 << 10
_KEPT_S = 20.0
_USER_AGENT = "absdb"
_LINK_LOCAL = "169.254."
"""Where clouds hand out credentials, which no proxy shall see."""


class Connections:
    """A pool of at most `limit` connections. Safe for many threads."""

    def __init__(self, url: str, policy: RetryPolicy, limit: int) -> None:
        proxy = _proxy_for(url)
        self._pool = httpx.HTTPTransport(
            # To read the certificates of all authorities takes long, and without TLS they are not needed.
            verify=url.startswith("https:") or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            limits=httpx.Limits(
                max_connections=limit, max_keepalive_connections=limit, keepalive_expiry=_KEPT_S
            ),
            proxy=httpx.Proxy(proxy) if proxy else None,
        )
        self._timeout = httpx.Timeout(policy.idle_s, connect=policy.connect_s).as_dict()

    def open(self, request: Request) -> httpx.Response:
        """Send a signed request, and read the head of the answer; the caller reads the rest and closes it.

        Raises httpx.TransportError for whatever goes wrong with the connection.
        """
        headers = {"Host": request.host, "User-Agent": _USER_AGENT, **request.headers}
        if len(request.body) or request.method in ("PUT", "POST"):
            headers["Content-Length"] = str(memoryview(request.body).nbytes)
        message = httpx.Request(
            request.method,
            request.target,
            headers=headers,
            stream=_Body(request.body),
            extensions={"timeout": self._timeout},
        )
        return self._pool.handle_request(message)

    def close(self) -> None:
        """Close them all."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    """The bytes of a request, piece by piece."""

    def __init__(self, data: Data) -> None:
        self._data = memoryview(data).cast("B")

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, self._data.nbytes, _PIECE):
            yield self._data[start : start + _PIECE]


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for this URL."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc) or (parts.hostname or "").startswith(_LINK_LOCAL):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"
