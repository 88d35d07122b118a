"""One bucket and the way to it: requests by key, with what every body carries. Used by the modules of the S3 store."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping

from crc32c import crc32c

from absdb.clock import Clock
from absdb.objectstore.base import Data
from absdb.objectstore.concurrency import Concurrency
from absdb.objectstore.credentials import CredentialSource
from absdb.objectstore.request import Request, Response
from absdb.objectstore.s3_faults import read_fault
from absdb.objectstore.s3_settings import S3Settings
from absdb.objectstore.s3_signing import HASH_HEADER, S3Signer, payload_hash
from absdb.objectstore.transport import Transport

MARK_HEADER = "x-amz-meta-absdb-mark"
"""Something random that each write leaves on its object, so that it knows its own again."""

_CONNECTIONS_BESIDES = 28


class S3Client:
    """Sends requests to one bucket. Safe for many threads."""

    def __init__(self, settings: S3Settings, credentials: CredentialSource, clock: Clock) -> None:
        self.settings = settings
        self.concurrency = Concurrency(settings.concurrency)
        self.transport = Transport(
            settings.base_url,
            clock,
            S3Signer(credentials, settings.region),
            read_fault,
            policy=settings.policy,
            connections=settings.concurrency + _CONNECTIONS_BESIDES,
            on_slow_down=self.concurrency.halve,
        )

    def request(
        self,
        method: str,
        key: str = "",
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Data = b"",
    ) -> Request:
        """The request for an object, or for the bucket where the key is ""."""
        url = self.settings.url(key) if key else f"{self.settings.base_url}/"
        return Request(
            method=method, url=url, query=tuple((query or {}).items()), headers=headers or {}, body=body
        )

    def send(self, request: Request, *, also: Collection[int] = ()) -> Response:
        """The answer; see Transport.send. The body is hashed once for all attempts."""
        if len(request.body):
            request = request.with_headers({HASH_HEADER: payload_hash(request.body)})
        return self.transport.send(request, also=also)

    def checksum(self, body: Data) -> dict[str, str]:
        """The header with the CRC-32C of a body, for providers that take one."""
        if not self.settings.checksums:
            return {}
        return {"x-amz-checksum-crc32c": base64.b64encode(crc32c(body).to_bytes(4, "big")).decode()}

    def mark_of(self, key: str) -> tuple[bool, str]:
        """(is there an object, the mark on it)."""
        answer = self.send(self.request("HEAD", key), also=(404,))
        return answer.status != 404, answer.headers.get(MARK_HEADER, "")
