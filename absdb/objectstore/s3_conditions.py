"""Whether a provider of S3 keeps the promises of If-None-Match and If-Match, which some pass over in silence.

Amazon keeps them. Others are tried once for each open store, with an object of a name that nobody else has: what is
written there on a condition that does not hold must be refused. Each use is tried apart, since some know only one.
Used by s3.py and s3_upload.py.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping

from absdb.errors import StorageError
from absdb.io.object_files import UPLOADS
from absdb.objectstore.request import Response
from absdb.objectstore.s3_client import S3Client
from absdb.objectstore.s3_xml import element, parse_answer

IF_ABSENT = {"If-None-Match": "*"}
REFUSED = 412
_UNKNOWN = (400, 412, 501)


class Conditions:
    """What is known about one bucket. Safe for many threads."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._mutex = threading.Lock()
        self._known: dict[str, bool] = {}

    def need_put(self) -> None:
        """StorageError unless a put on a name that is taken is refused under If-None-Match."""
        self._need("If-None-Match on put", lambda key: self._put_again(key, IF_ABSENT))

    def need_match(self) -> None:
        """StorageError unless a put over another object is refused under If-Match."""
        self._need("If-Match on put", lambda key: self._put_again(key, {"If-Match": f'"{uuid.uuid4().hex}"'}))

    def need_complete(self) -> None:
        """StorageError unless completing parts on a name that is taken is refused under If-None-Match."""
        self._need("If-None-Match on completing parts", self._complete_again)

    def _need(self, what: str, attempt: Callable[[str], Response]) -> None:
        if self._client.settings.is_amazon:
            return
        with self._mutex:
            if what not in self._known:
                self._known[what] = self._probe(attempt)
            if self._known[what]:
                return
        raise StorageError(
            f"{self._client.settings.base_url} does not support conditional writes ({what})",
            hint="nothing can be kept from being overwritten there; use a provider that can",
            url=self._client.settings.base_url,
        )

    def _probe(self, attempt: Callable[[str], Response]) -> bool:
        key = self._client.settings.key(f"{UPLOADS}/probe-{uuid.uuid4().hex}")
        self._client.send(self._client.request("PUT", key, body=b"probe"))
        try:
            return attempt(key).status == REFUSED
        finally:
            self._client.send(self._client.request("DELETE", key))

    def _put_again(self, key: str, condition: Mapping[str, str]) -> Response:
        request = self._client.request("PUT", key, headers=condition, body=b"probe")
        return self._client.send(request, also=_UNKNOWN)

    def _complete_again(self, key: str) -> Response:
        send, request = self._client.send, self._client.request
        begun = send(request("POST", key, query={"uploads": ""}))
        upload_id = parse_answer(begun.body, "InitiateMultipartUploadResult", key).value("UploadId")
        query = {"uploadId": upload_id}
        try:
            part = send(request("PUT", key, query={"partNumber": "1", **query}, body=b"probe"))
            body = completion([part.headers.get("etag", "")])
            return send(request("POST", key, query=query, headers=IF_ABSENT, body=body), also=_UNKNOWN)
        finally:
            send(request("DELETE", key, query=query), also=(404,))


def completion(etags: list[str]) -> bytes:
    """The body that puts parts together, in order."""
    parts = (
        f"<Part>{element('PartNumber', str(number))}{element('ETag', etag)}</Part>"
        for number, etag in enumerate(etags, 1)
    )
    return f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>".encode()
