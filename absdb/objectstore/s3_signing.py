"""Signature Version 4: what proves to S3 that a request comes from who holds the secret key, and is unchanged.

    key of a day     HMAC chain over date, region, service; only the secret key goes in
    what is signed   verb, path and query as they are sent, headers, SHA-256 of the body; then the time and the scope

The path is encoded once and not normalised, unlike for other services. The hash is always that of the bytes sent, never
UNSIGNED-PAYLOAD: some providers insist on it, and so a body changed on the way is refused.
"""

from __future__ import annotations

import functools
import hashlib
import hmac

from absdb.clock import to_datetime
from absdb.objectstore.base import Data
from absdb.objectstore.credentials import Credentials, CredentialSource
from absdb.objectstore.request import Request, encoded

HASH_HEADER = "x-amz-content-sha256"
_ALGORITHM = "AWS4-HMAC-SHA256"
_NOT_SIGNED = frozenset({"authorization", "content-length", "user-agent", "connection", "expect"})


class S3Signer:
    """Signs requests to S3 with the credentials of the moment."""

    def __init__(self, source: CredentialSource, region: str, service: str = "s3") -> None:
        self._source = source
        self._region = region
        self._service = service

    def sign(self, request: Request, now_us: int) -> Request:
        """The request with date, hash of the body, session token and signature.

        A hash that the request has already is taken for that of its body. StateError without credentials.
        """
        return signed(request, self._source.current(now_us), now_us, self._region, self._service)

    def refresh(self) -> bool:
        """Get other credentials, as the server calls these expired."""
        return self._source.refresh()


def payload_hash(body: Data) -> str:
    """The SHA-256 of a body, in hex."""
    return hashlib.sha256(body).hexdigest()


def signed(
    request: Request, credentials: Credentials, now_us: int, region: str, service: str = "s3"
) -> Request:
    """The request as it is sent at `now_us` (µs since 1970 UTC)."""
    moment = f"{to_datetime(now_us):%Y%m%dT%H%M%SZ}"
    headers = dict(request.headers)
    headers.setdefault(HASH_HEADER, payload_hash(request.body) if len(request.body) else _EMPTY)
    headers["x-amz-date"] = moment
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    names, canonical = canonical_request(request, headers)
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    text = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = _signing_key(credentials.secret_key, moment[:8], region, service)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return request.with_headers(headers)


def canonical_request(request: Request, headers: dict[str, str]) -> tuple[str, str]:
    """(names of the signed headers, the text whose hash is signed)."""
    lower = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    lower["host"] = request.host
    names = sorted(name for name in lower if name not in _NOT_SIGNED)
    lines = "".join(f"{name}:{lower[name]}\n" for name in names)
    pairs = sorted((encoded(key), encoded(value)) for key, value in request.query)
    query = "&".join(f"{key}={value}" for key, value in pairs)
    joined = ";".join(names)
    return joined, f"{request.method}\n{request.path}\n{query}\n{lines}\n{joined}\n{lower[HASH_HEADER]}"


@functools.lru_cache(maxsize=16)
def _signing_key(secret_key: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


_EMPTY = payload_hash(b"")
