"""A store in a bucket of Amazon S3, or of anybody who speaks its language.

Every request is signed with the SHA-256 of what it carries; small objects carry their CRC-32C as well. Conditional
writes are only done where the provider is known, or was tried, to keep them (s3_conditions.py). Each write leaves a
mark of its own on the object (x-amz-meta-absdb-mark): when an answer was lost and the next attempt is told that
somebody was first, the mark says whether that was the lost one. Etags are those of S3 without their quotes.

Opened by locate.py on s3://bucket/prefix; options are in s3_settings.py. Uploads are in s3_upload.py, lists in
s3_listing.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from absdb.clock import Clock
from absdb.errors import AlreadyExistsError, ConflictError, NotFoundError
from absdb.objectstore.base import Data, ObjectInfo, PendingUpload
from absdb.objectstore.credentials import CredentialSource
from absdb.objectstore.location import StoreLocation
from absdb.objectstore.names import check_directory, check_object_name, check_small
from absdb.objectstore.ranged_read import read_object
from absdb.objectstore.refusal import NO_BUCKET_HINT
from absdb.objectstore.request import Request, Response
from absdb.objectstore.retry import http_date_us
from absdb.objectstore.s3_client import MARK_HEADER, S3Client
from absdb.objectstore.s3_conditions import IF_ABSENT, REFUSED, Conditions
from absdb.objectstore.s3_listing import list_directories, list_objects, list_uploads
from absdb.objectstore.s3_settings import S3Settings, read_settings
from absdb.objectstore.s3_upload import S3Upload

_NO_BUCKET = b"NoSuchBucket"


class S3Store:
    """The objects of a bucket below a prefix. Safe for many threads."""

    def __init__(self, settings: S3Settings, credentials: CredentialSource, clock: Clock) -> None:
        self._settings = settings
        self._client = S3Client(settings, credentials, clock)
        self._conditions = Conditions(self._client)
        self._bucket_is_there = False

    @classmethod
    def open(cls, location: StoreLocation, clock: Clock) -> S3Store:
        """The store at a location; nothing is sent yet."""
        settings, credentials = read_settings(location, clock)
        return cls(settings, credentials, clock)

    @property
    def url(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self._settings.bucket}/{self._settings.prefix}".rstrip("/")

    def put(
        self, name: str, data: Data, *, if_absent: bool = False, if_match: str | None = None
    ) -> ObjectInfo:
        """Write a small object at once; see ObjectStore.put."""
        check_small(check_object_name(name), data)
        mark = uuid.uuid4().hex
        headers = {
            MARK_HEADER: mark,
            "Content-Type": "application/octet-stream",
            **self._client.checksum(data),
        }
        if if_absent:
            self._conditions.need_put()
            headers |= IF_ABSENT
        elif if_match is not None:
            self._conditions.need_match()
            headers["If-Match"] = f'"{if_match}"'
        request = self._client.request("PUT", self._settings.key(name), headers=headers, body=data)
        answer = self._client.send(request, also=(REFUSED,) if if_match is None else (404, REFUSED))
        if answer.status >= 300:
            answer = self._settle(name, answer, mark, if_absent=if_absent)
        return _info(name, answer, memoryview(data).nbytes, self._client.transport.now_us())

    def upload(self, name: str, *, size_hint: int | None = None, if_absent: bool = False) -> S3Upload:
        """Begin a large object; nothing is sent before there is more than fits into a part."""
        check_object_name(name)
        if if_absent:
            self._conditions.need_complete()
        return S3Upload(
            self._client,
            name,
            lambda data: self.put(name, data, if_absent=if_absent),
            size_hint=size_hint,
            if_absent=if_absent,
        )

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """All of an object, or `length` bytes from `offset`."""
        return b"".join(self.read(name, offset=offset, length=length))

    def read(self, name: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The same in chunks of at most 1 MiB; ConflictError if the object is replaced meanwhile."""
        request = self._object("GET", name)
        return read_object(
            self._client.transport, request, self._client.concurrency, offset=offset, length=length
        )

    def head(self, name: str) -> ObjectInfo:
        """What there is to know about an object."""
        answer = self._client.send(self._object("HEAD", name))
        size = int(answer.headers.get("content-length", "0"))
        return _info(name, answer, size, self._client.transport.now_us())

    def exists(self, name: str) -> bool:
        """Whether there is such an object; NotFoundError if there is not even a bucket."""
        if self._client.send(self._object("HEAD", name), also=(404,)).status != 404:
            return True
        if not self._bucket_is_there:
            if self._client.send(self._client.request("HEAD"), also=(404,)).status == 404:
                raise self._no_bucket()
            self._bucket_is_there = True
        return False

    def list_directories(self, prefix: str = "") -> list[str]:
        """The names before the next slash below a prefix; one request for 1000 of them."""
        check_directory(prefix)
        return list_directories(self._client, prefix)

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is fine."""
        answer = self._client.send(self._object("DELETE", name), also=(404,))
        if answer.status == 404 and _NO_BUCKET in answer.body:
            raise self._no_bucket()

    def pending_uploads(self) -> list[PendingUpload]:
        """Uploads in parts that were begun and neither finished nor aborted."""
        return list_uploads(self._client)

    def abort_pending(self, upload: PendingUpload) -> None:
        """Remove the parts of such an upload; whoever still sends them will fail to finish."""
        request = self._object("DELETE", upload.name).with_query(("uploadId", upload.key))
        self._client.send(request, also=(404,))

    def close(self) -> None:
        """Close the connections."""
        self._client.transport.close()

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[ObjectInfo]:
        """Objects in the order of their names as bytes; one request for 1000 of them."""
        return list_objects(self._client, prefix, after)

    def _object(self, method: str, name: str) -> Request:
        return self._client.request(method, self._settings.key(check_object_name(name)))

    def _settle(self, name: str, answer: Response, mark: str, *, if_absent: bool) -> Response:
        """Tell our own earlier attempt, whose answer was lost, from somebody who was first."""
        request = self._object("HEAD", name)
        if answer.attempts > 1:
            found = self._client.send(request, also=(404,))
            if found.headers.get(MARK_HEADER) == mark:
                return found
        if if_absent:
            raise AlreadyExistsError(f"there is an object {request.url} already", url=request.url)
        if answer.status == 404 and _NO_BUCKET in answer.body:
            raise self._no_bucket()
        raise ConflictError(
            f"the object {request.url} is not the one that was expected",
            hint="read it again",
            url=request.url,
        )

    def _no_bucket(self) -> NotFoundError:
        return NotFoundError(
            f"there is no bucket {self._settings.base_url}", hint=NO_BUCKET_HINT, url=self._settings.base_url
        )

    def __repr__(self) -> str:
        return f"<S3Store {self.url}>"


def _info(name: str, answer: Response, size: int, now_us: int) -> ObjectInfo:
    headers = answer.headers
    modified_us = http_date_us(headers.get("last-modified") or headers.get("date"))
    return ObjectInfo(name, size, headers.get("etag", "").strip('"'), modified_us or now_us)
