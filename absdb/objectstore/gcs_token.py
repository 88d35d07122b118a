"""Access tokens for Google Cloud Storage: how they are asked for, and the signer that puts them on requests.

    ServiceAccount    a key file; a JWT signed with RS256 is exchanged for a token at the file's own `token_uri`
    AuthorizedUser    what `gcloud auth application-default login` leaves: a refresh token
    MetadataServer    a machine in Google's cloud asks the server that knows it

A token is kept until shortly before it ends, so that none ends while a request is tried again, and asked for once,
however many threads need it. Secrets are in no repr. Credentials are found by gcs_credentials.py.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from absdb.errors import StateError
from absdb.objectstore.gcs_answers import read_token_fault
from absdb.objectstore.request import Request
from absdb.objectstore.transport import Transport

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
TOKEN_URI = "https://oauth2.googleapis.com/token"
_FORM = {"content-type": "application/x-www-form-urlencoded"}
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFETIME_S = 3600
_REFUSED = (400, 401, 403, 404)
_METADATA_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"


class Grant(Protocol):
    """A right to tokens, which are asked for at `url`."""

    @property
    def url(self) -> str: ...

    def request(self, now_us: int) -> Request:
        """What to ask for a token with, at the server's time `now_us`."""
        ...


class ServiceAccount:
    """The key of a service account, as Google's console hands it out. `origin` is the file it came from."""

    def __init__(self, facts: Mapping[str, Any], origin: str) -> None:
        self.origin = origin
        self._email = required(facts, "client_email", origin)
        self.url = str(facts.get("token_uri") or TOKEN_URI)
        self._key_id = str(facts.get("private_key_id", ""))
        try:
            key = load_pem_private_key(required(facts, "private_key", origin).encode(), password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise StateError(f"the private_key in {origin} is no RSA key", hint="fetch the key file anew")
        self._key = key

    def __repr__(self) -> str:
        return f"<service account {self._email}>"

    def request(self, now_us: int) -> Request:
        """A signed statement of who we are, good for an hour."""
        now_s = now_us // 1_000_000
        header = {"alg": "RS256", "typ": "JWT", **({"kid": self._key_id} if self._key_id else {})}
        claims = {
            "iss": self._email,
            "scope": SCOPE,
            "aud": self.url,
            "iat": now_s,
            "exp": now_s + _LIFETIME_S,
        }
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        signature = self._key.sign(signed, padding.PKCS1v15(), SHA256())
        assertion = b".".join((signed, _base64url(signature))).decode()
        body = urlencode({"grant_type": _JWT_GRANT, "assertion": assertion})
        return Request(method="POST", url=self.url, headers=_FORM, body=body.encode())


class AuthorizedUser:
    """A person's standing permission, as gcloud keeps it."""

    def __init__(self, facts: Mapping[str, Any], origin: str) -> None:
        self.origin = origin
        self.url = str(facts.get("token_uri") or TOKEN_URI)
        self._form = {
            "grant_type": "refresh_token",
            **{
                name: required(facts, name, origin)
                for name in ("client_id", "client_secret", "refresh_token")
            },
        }

    def __repr__(self) -> str:
        return f"<a user's credentials from {self.origin}>"

    def request(self, now_us: int) -> Request:
        """The refresh token, in exchange for an access token."""
        return Request(method="POST", url=self.url, headers=_FORM, body=urlencode(self._form).encode())


class MetadataServer:
    """The server that tells a machine in Google's cloud who it is."""

    def __init__(self, host: str) -> None:
        self.origin = f"the metadata server {host}"
        self.url = f"http://{host}{_METADATA_PATH}"

    def __repr__(self) -> str:
        return f"<{self.origin}>"

    def request(self, now_us: int) -> Request:
        """A question that only a program on the machine can ask, for the header is never sent by a browser."""
        return Request(method="GET", url=self.url, headers={"metadata-flavor": "Google"})


class _Token(NamedTuple):
    text: str
    ends_us: int


class Bearer:
    """Puts an access token on requests, and gets a new one when it is about to end. Safe for many threads."""

    def __init__(self, grant: Grant, transport: Transport, *, early_s: float) -> None:
        """`transport` is the one to the token endpoint; a token is renewed `early_s` before it ends."""
        self._grant = grant
        self._transport = transport
        self._early_us = int(early_s * 1e6)
        self._mutex = threading.Lock()
        self._token: _Token | None = None

    def __repr__(self) -> str:
        return f"<tokens for {self._grant!r}>"

    def sign(self, request: Request, now_us: int) -> Request:
        """The request with a token."""
        return request.with_headers({"authorization": f"Bearer {self._current(now_us)}"})

    def refresh(self) -> bool:
        """Forget the token; the next request gets another one."""
        with self._mutex:
            self._token = None
        return True

    def _current(self, now_us: int) -> str:
        with self._mutex:
            if self._token is None or now_us >= self._token.ends_us - self._early_us:
                self._token = self._fetch(now_us)
            return self._token.text

    def _fetch(self, now_us: int) -> _Token:
        answer = self._transport.send(self._grant.request(now_us), also=_REFUSED)
        if fault := read_token_fault(answer):
            raise StateError(
                f"{self._grant.url} gives no token for {self._grant!r}: {answer.status} {fault.code} {fault.message}",
                hint="the credentials are wrong or withdrawn, or the clock of this machine is",
                url=self._grant.url,
                status=answer.status,
                code=fault.code,
            )
        try:
            facts = json.loads(answer.body)
            return _Token(str(facts["access_token"]), now_us + int(facts["expires_in"]) * 1_000_000)
        except (ValueError, KeyError, TypeError):
            # The answer may hold a token: nothing of it is shown, not even as the cause.
            raise StateError(
                f"what was asked for a token for {self._grant!r} answered with something else",
                hint="is token_uri in the key file right, and is there a proxy between?",
            ) from None


def required(facts: Mapping[str, Any], name: str, origin: str) -> str:
    """A text that a credentials file must have; StateError if it has not."""
    value = facts.get(name)
    if not isinstance(value, str) or not value:
        raise StateError(f"{origin} has no {name}", hint="fetch the credentials file anew")
    return value


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
