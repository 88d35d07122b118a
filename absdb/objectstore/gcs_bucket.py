"""Requests to one bucket of Google Cloud Storage: where objects are, small objects, ranges, pages of listings.

Below gcs.py, which is the store, and gcs_upload.py, which uploads large objects. It speaks the JSON API.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
import uuid
from collections.abc import Iterator
from typing import Any

from crc32c import crc32c

from absdb.errors import AbsdbError, AlreadyExistsError, ConflictError, StorageError
from absdb.objectstore.base import Data, ObjectInfo
from absdb.objectstore.concurrency import Concurrency
from absdb.objectstore.gcs_answers import checksum, facts_of, info_of, read_fault
from absdb.objectstore.location import StoreLocation
from absdb.objectstore.ranged_read import read_object
from absdb.objectstore.refusal import refusal
from absdb.objectstore.request import Request, Response, encoded
from absdb.objectstore.transport import Opened, Transport

_TYPE = "application/octet-stream"
_MARK = "absdb-mark"
"""Something random that each write leaves on its object, so that it knows its own again."""
_FACTS = "name,size,generation,updated,crc32c"


class Bucket:
    """A bucket, or what is below a prefix of it. `endpoint` is the URL above all APIs."""

    def __init__(
        self, location: StoreLocation, endpoint: str, transport: Transport, concurrency: Concurrency
    ) -> None:
        self.transport = transport
        self._concurrency = concurrency
        self.url = location.url
        self._is_there = False
        self.root = f"{location.prefix}/" if location.prefix else ""
        self.endpoint = endpoint
        self._objects = f"/storage/v1/b/{encoded(location.bucket)}/o"

    def request(self, method: str, name: str, *query: tuple[str, str]) -> Request:
        """A request about one object."""
        url = f"{self.endpoint}{self._objects}/{encoded(self.root + name)}"
        return Request(method=method, url=url, query=query)

    def upload_request(self, kind: str, *, if_absent: bool, if_match: str | None = None) -> Request:
        """A request that makes an object; `kind` is multipart or resumable."""
        expected = "0" if if_absent else if_match
        condition = () if expected is None else (("ifGenerationMatch", expected),)
        url = f"{self.endpoint}/upload{self._objects}"
        return Request(method="POST", url=url, query=(("uploadType", kind), *condition))

    def put(self, name: str, data: Data, *, if_absent: bool, if_match: str | None = None) -> ObjectInfo:
        """Write an object in one request, with a checksum that Google compares before the object is there."""
        if if_match is not None and not if_match.isdigit():
            raise self._not_expected(name)  # an etag of another kind of store
        crc = checksum(crc32c(data))
        boundary = secrets.token_hex(16)
        mark = uuid.uuid4().hex
        about = json.dumps(
            {"name": self.root + name, "contentType": _TYPE, "crc32c": crc, "metadata": {_MARK: mark}}
        )
        head = (
            f"--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n{about}\r\n"
            f"--{boundary}\r\ncontent-type: {_TYPE}\r\n\r\n"
        )
        request = dataclasses.replace(
            self.upload_request("multipart", if_absent=if_absent, if_match=if_match),
            headers={"content-type": f"multipart/related; boundary={boundary}"},
            body=b"".join((head.encode(), data, f"\r\n--{boundary}--\r\n".encode())),
        )
        answer = self.transport.send(request, also=(412,))
        if answer.status < 300:
            return info_of(name, facts_of(answer, self.url))
        if answer.attempts > 1:
            found = self.transport.send(self.request("GET", name), also=(404,))
            facts = facts_of(found, self.url) if found.status < 300 else {}
            if facts.get("metadata", {}).get(_MARK) == mark:
                return info_of(name, facts)
        raise self.lost(request, name, answer, if_absent=if_absent)

    def head(self, name: str) -> ObjectInfo:
        """Size, generation and time of an object."""
        request = self.request("GET", name, ("fields", _FACTS))
        return info_of(name, facts_of(self.transport.send(request), self.url))

    def read(self, name: str, offset: int, length: int | None) -> Iterator[bytes]:
        """An object or a range of it, piece by piece."""
        request = self.request("GET", name, ("alt", "media"))
        return read_object(
            self.transport,
            request,
            self._concurrency,
            offset=offset,
            length=length,
            pin=_of_one_generation,
            ask_size=lambda: self.head(name).size,
        )

    def was_there(self, request: Request) -> bool:
        """Send a request about an object that may be missing; NotFoundError if the bucket is."""
        if self.transport.send(request, also=(404,)).status < 300:
            return True
        self.check()
        return False

    def check(self) -> None:
        """NotFoundError if there is no such bucket, which an answer about an object does not tell."""
        if not self._is_there:
            next(self.pages("", ("maxResults", "1")))
            self._is_there = True

    def pages(self, prefix: str, *more: tuple[str, str]) -> Iterator[dict[str, Any]]:
        """The pages of a listing; names in it begin with `root`."""
        token: tuple[tuple[str, str], ...] = ()
        url = f"{self.endpoint}{self._objects}"
        fields = ("fields", f"items({_FACTS}),prefixes,nextPageToken")
        while True:
            query = (("prefix", self.root + prefix), fields, *more, *token)
            page = facts_of(self.transport.send(Request(method="GET", url=url, query=query)), self.url)
            yield page
            if not page.get("nextPageToken"):
                return
            if ("pageToken", page["nextPageToken"]) in token:
                raise StorageError(f"{self.url} does not go on with its listing, though there is more")
            token = (("pageToken", str(page["nextPageToken"])),)

    def lost(self, request: Request, name: str, answer: Response, *, if_absent: bool) -> AbsdbError:
        """The error for a condition that did not hold, or for what else was refused."""
        fault = read_fault(answer)
        assert fault is not None, "a refusal was expected"
        if answer.status != 412:
            return refusal(request, request, answer, fault)
        if if_absent:
            return AlreadyExistsError(f"{self.url}/{name} is there already", name=name)
        return self._not_expected(name)

    def _not_expected(self, name: str) -> ConflictError:
        return ConflictError(
            f"{self.url}/{name} is not the object that was expected", hint="read it again", name=name
        )


def _of_one_generation(request: Request, opened: Opened) -> Request:
    """The request for the contents that an answer came from; 412 if there are others now."""
    generation = opened.headers.get("x-goog-generation")
    return request.with_query(("ifGenerationMatch", generation)) if generation else request
