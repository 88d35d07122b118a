"""Requests to one container of Azure Blob Storage: where blobs are, what a refused condition means, small blobs.

Below azure.py, which is the store, and azure_blocks.py, which uploads large blobs.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Iterator, Mapping

from absdb.errors import AbsdbError, AlreadyExistsError, ConflictError, StorageError
from absdb.objectstore.azure_answers import Page, block_list, info_of, read_fault, read_page
from absdb.objectstore.base import Data, ObjectInfo
from absdb.objectstore.concurrency import Concurrency
from absdb.objectstore.location import StoreLocation
from absdb.objectstore.ranged_read import read_object
from absdb.objectstore.refusal import refusal
from absdb.objectstore.request import Request, Response, encoded
from absdb.objectstore.transport import Transport

CONDITION_STATUS = (409, 412)
"""Answers to a condition that did not hold, or that a retry finds made true by the attempt before."""
_CONDITION_CODES = ("BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet")
"""The same statuses are given for leases, for blobs that must not change, and for much else."""
MARK_HEADER = "x-ms-meta-absdb_mark"
"""Something random that each write leaves on its blob, so that it knows its own again."""


class AzureContainer:
    """A container, or what is below a prefix of it. `endpoint` is the URL above the container."""

    def __init__(
        self, location: StoreLocation, endpoint: str, transport: Transport, concurrency: Concurrency
    ) -> None:
        self.transport = transport
        self.concurrency = concurrency
        self.url = location.url
        self.root = f"{location.prefix}/" if location.prefix else ""
        self._container = f"{endpoint}/{encoded(location.bucket)}"

    def request(
        self,
        method: str,
        name: str,
        *query: tuple[str, str],
        headers: Mapping[str, str] | None = None,
        body: Data = b"",
    ) -> Request:
        """A request about one blob; a body is sent with its MD5."""
        url = f"{self._container}/{encoded(self.root + name, keep='/')}"
        sums = {"content-md5": _md5(body)} if method == "PUT" else {}
        return Request(method=method, url=url, query=query, headers={**sums, **(headers or {})}, body=body)

    def put(self, name: str, data: Data, *, if_absent: bool, if_match: str | None = None) -> ObjectInfo:
        """Write a blob in one request."""
        mark = uuid.uuid4().hex
        headers = {
            "x-ms-blob-type": "BlockBlob",
            "content-type": "application/octet-stream",
            MARK_HEADER: mark,
        }
        if if_match is not None:
            headers["if-match"] = f'"{if_match}"'
        request = self.request("PUT", name, headers=headers, body=data)
        if if_absent:
            request = absent(request)
        answer = self.transport.send(request, also=CONDITION_STATUS)
        if answer.status >= 300 and answer.attempts > 1:
            found = self.transport.send(self.request("HEAD", name), also=(404,))
            answer = found if found.headers.get(MARK_HEADER) == mark else answer
        if answer.status < 300:
            return info_of(name, memoryview(data).nbytes, answer)
        raise self.lost(request, name, answer, if_absent=if_absent)

    def head(self, name: str) -> ObjectInfo:
        """Size, etag and time of a blob."""
        answer = self.transport.send(self.request("HEAD", name))
        return info_of(name, int(answer.headers["content-length"]), answer)

    def read(self, name: str, offset: int, length: int | None) -> Iterator[bytes]:
        """A blob or a range of it, piece by piece."""
        return read_object(
            self.transport,
            self.request("GET", name),
            self.concurrency,
            offset=offset,
            length=length,
            ask_size=lambda: self.head(name).size,
        )

    def was_there(self, request: Request) -> bool:
        """Send a request about a blob that may be missing; NotFoundError if the container is."""
        answer = self.transport.send(request, also=(404,))
        fault = read_fault(answer)
        if fault is not None and fault.code != "BlobNotFound":
            raise refusal(request, request, answer, fault)
        return fault is None

    def pages(self, prefix: str, *more: tuple[str, str]) -> Iterator[Page]:
        """The pages of a listing; names in it begin with `root`."""
        marker: tuple[tuple[str, str], ...] = ()
        while True:
            query = (
                ("restype", "container"),
                ("comp", "list"),
                ("prefix", self.root + prefix),
                *more,
                *marker,
            )
            answer = self.transport.send(Request(method="GET", url=self._container, query=query))
            page = read_page(answer, self.url)
            yield page
            if not page.marker:
                return
            if ("marker", page.marker) in marker:
                raise StorageError(f"{self.url} does not go on with its listing, though there is more")
            marker = (("marker", page.marker),)

    def lost(self, request: Request, name: str, answer: Response, *, if_absent: bool) -> AbsdbError:
        """The error for a condition that did not hold, or for what else was refused."""
        fault = read_fault(answer)
        assert fault is not None, "a refusal was expected"
        if fault.code not in _CONDITION_CODES:
            return refusal(request, request, answer, fault)
        if if_absent:
            return AlreadyExistsError(f"{self.url}/{name} is there already", name=name)
        return ConflictError(
            f"{self.url}/{name} is not the object that was expected", hint="read it again", name=name
        )

    def discard_blocks(self, name: str) -> None:
        """Make an empty blob of no block, which drops those that wait for one, and remove it."""
        request = self.request("PUT", name, ("comp", "blocklist"), body=block_list([]))
        answer = self.transport.send(absent(request), also=CONDITION_STATUS)
        if answer.status < 300:
            headers = {"if-match": answer.headers["etag"]}
            self.transport.send(self.request("DELETE", name, headers=headers), also=(404, 412))


def absent(request: Request) -> Request:
    """The request on the condition that there is no such blob."""
    return request.with_headers({"if-none-match": "*"})


def _md5(data: Data) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
