"""The token endpoint of the stand-in for Google: gives tokens for what is signed with its key, and knows them again."""

from __future__ import annotations

import base64
import json
import secrets
import time
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
GOOGLE = "https://oauth2.googleapis.com/token"
"""Google's own client signs for this endpoint, whichever it asks."""
METADATA_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"


def new_key() -> rsa.RSAPrivateKey:
    """An RSA key of a service account."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class StubTokens:
    """The tokens that were given; `issued` counts them, new ones end after `lifetime_s`."""

    def __init__(self, url: str) -> None:
        self.uri = f"{url}/token"
        self.key = new_key()
        self.issued = 0
        self.lifetime_s = 3600
        self._good: set[str] = set()

    def service_account(self, key: rsa.RSAPrivateKey | None = None) -> dict[str, str]:
        """The contents of a key file: of the key known here, or of another one."""
        pem = (key or self.key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": "absdb@project.example",
            "token_uri": self.uri,
        }

    def authorized_user(self) -> dict[str, str]:
        """What gcloud would leave behind for a person."""
        facts = {"client_id": "client", "client_secret": "hidden", "refresh_token": "refresh"}
        return {"type": "authorized_user", "token_uri": self.uri, **facts}

    def expire(self) -> None:
        """Refuse all tokens given so far."""
        self._good.clear()

    def refused(self, request: Request) -> bool:
        """Whether a request comes without a good token."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        return kind != "Bearer" or token not in self._good

    async def give(self, request: Request) -> Response:
        """Answer a request of a service account, a person or (by GET) a machine."""
        if request.method == "GET":
            good = request.headers.get("metadata-flavor") == "Google"
        else:
            body = (await request.body()).decode()
            good = self._is_entitled({name: values[0] for name, values in parse_qs(body).items()})
        if not good:
            return JSONResponse(
                {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400
            )
        token = f"secret-token-{secrets.token_hex(16)}"
        self._good.add(token)
        self.issued += 1
        return JSONResponse({"access_token": token, "expires_in": self.lifetime_s, "token_type": "Bearer"})

    def _is_entitled(self, form: dict[str, str]) -> bool:
        if form.get("grant_type") == "refresh_token":
            expected = self.authorized_user()
            return all(form.get(name) == expected[name] for name in ("client_secret", "refresh_token"))
        return form.get("grant_type") == GRANT and self._is_signed(form.get("assertion", ""))

    def _is_signed(self, assertion: str) -> bool:
        """Whether a JWT has our signature, is for this endpoint, and holds now, for an hour at most."""
        header, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in assertion.split("."))
        signed = assertion.rpartition(".")[0].encode()
        try:
            self.key.public_key().verify(signature, signed, padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        said, now = json.loads(claims), time.time()
        holds = said["iat"] - 60 <= now < said["exp"] <= said["iat"] + 3600
        known = json.loads(header)["alg"] == "RS256" and said["iss"] == "absdb@project.example"
        return holds and known and said["aud"] in (self.uri, GOOGLE) and "devstorage" in said["scope"]
