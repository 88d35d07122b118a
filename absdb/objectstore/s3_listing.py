"""Lists what is in a bucket: objects, directories, uploads that were never finished. Page by page, 1000 at a time.

Names come percent-encoded, since XML cannot hold all characters. Pages that do not go on are an error instead of an
endless loop, and so are objects out of order, on which whoever goes on "after" a name relies. SeaweedFS is known to
have an order of its own, as it keeps directories, which also outlive what was in them. Used by s3.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import unquote_plus

from absdb.clock import parse_time
from absdb.errors import InvalidInputError, StorageError
from absdb.objectstore.base import ObjectInfo, PendingUpload
from absdb.objectstore.names import is_object_name
from absdb.objectstore.s3_client import S3Client
from absdb.objectstore.s3_xml import Node, parse_answer

_AT_ONCE = "1000"
_SEAWEED = "SeaweedFS"
"""It lists a directory `a` before a file `a-b`, though its objects are a/…."""


def list_objects(client: S3Client, prefix: str, after: str) -> Iterator[ObjectInfo]:
    """The objects of the store by prefix and after a name, in order; those of foreign names are left out.

    From a server that has an order of its own all of them are fetched first, and sorted.
    """
    query = {"prefix": client.settings.key(prefix)}
    first = _page(client, {**query, "start-after": client.settings.key(after)} if after else query)
    if client.settings.ordered and not first.server.startswith(_SEAWEED):
        pages = _further_pages(client, first)
        yield from _in_order(client, (found for page in pages for found in _objects(client, page, after)))
    else:
        pages = _further_pages(client, _page(client, query) if after else first)
        yield from sorted(found for page in pages for found in _objects(client, page, after))


def _objects(client: S3Client, page: _Page, after: str) -> Iterator[ObjectInfo]:
    for entry in page.root.all("Contents"):
        name = client.settings.name(page.name(entry.value("Key")))
        if name > after and is_object_name(name):
            yield _info(name, entry)


def _in_order(client: S3Client, objects: Iterator[ObjectInfo]) -> Iterator[ObjectInfo]:
    last = ""
    for found in objects:
        if found.name <= last:
            raise StorageError(
                f"{client.settings.base_url} lists {found.name!r} after {last!r}, which is not in order",
                hint="open the store with the option ordered=false; listing will take more memory",
                url=client.settings.base_url,
            )
        last = found.name
        yield found


def list_directories(client: S3Client, prefix: str) -> list[str]:
    """The names before the next slash below a prefix; SeaweedFS is asked about each, as it names empty ones, too."""
    whole = client.settings.key(prefix)
    first = _page(client, {"prefix": whole, "delimiter": "/"})
    found = {
        page.name(entry.value("Prefix"))[len(whole) :].rstrip("/")
        for page in _further_pages(client, first)
        for entry in page.root.all("CommonPrefixes")
    }
    if first.server.startswith(_SEAWEED):
        return sorted(name for name in found - {""} if _holds_objects(client, f"{whole}{name}/"))
    return sorted(found - {""})


def list_uploads(client: S3Client) -> list[PendingUpload]:
    """Uploads in parts that were begun and neither finished nor aborted, oldest first."""
    settings = client.settings
    found = []
    query = {"uploads": "", "prefix": settings.key(""), "encoding-type": "url", "max-uploads": _AT_ONCE}
    seen: set[tuple[str, str]] = set()
    while True:
        answer = client.send(client.request("GET", query=query))
        page = _Page(parse_answer(answer.body, "ListMultipartUploadsResult", settings.base_url), "", query)
        for entry in page.root.all("Upload"):
            name = settings.name(page.name(entry.value("Key")))
            found.append(PendingUpload(name, entry.value("UploadId"), _time(entry.value("Initiated"))))
        if page.root.value("IsTruncated") != "true":
            return sorted(found, key=lambda upload: upload.started_us)
        markers = page.name(page.root.value("NextKeyMarker")), page.root.value("NextUploadIdMarker")
        _must_be_new(client, markers, seen)
        query |= {"key-marker": markers[0], "upload-id-marker": markers[1]}


def _holds_objects(client: S3Client, prefix: str) -> bool:
    page = _page(client, {"prefix": prefix, "max-keys": "1"})
    return next(page.root.all("Contents"), None) is not None


class _Page(NamedTuple):
    """One answer of a listing, who gave it, and what was asked."""

    root: Node
    server: str
    query: Mapping[str, str]

    def name(self, text: str) -> str:
        """A key, which may be encoded."""
        return unquote_plus(text, errors="replace") if self.root.value("EncodingType") == "url" else text


def _page(client: S3Client, query: Mapping[str, str]) -> _Page:
    query = {"list-type": "2", "encoding-type": "url", "max-keys": _AT_ONCE, **query}
    answer = client.send(client.request("GET", query=query))
    root = parse_answer(answer.body, "ListBucketResult", client.settings.base_url)
    return _Page(root, answer.headers.get("server", ""), query)


def _further_pages(client: S3Client, page: _Page) -> Iterator[_Page]:
    """A page, and all that follow it."""
    seen: set[tuple[str, str]] = set()
    while True:
        yield page
        if page.root.value("IsTruncated") != "true":
            return
        token = page.root.value("NextContinuationToken")
        _must_be_new(client, (token, ""), seen)
        page = _page(client, {**page.query, "continuation-token": token})


def _must_be_new(client: S3Client, marker: tuple[str, str], seen: set[tuple[str, str]]) -> None:
    if marker == ("", "") or marker in seen:
        raise StorageError(
            f"{client.settings.base_url} does not go on with its listing, though there is more"
        )
    seen.add(marker)


def _info(name: str, entry: Node) -> ObjectInfo:
    size = entry.value("Size")
    if not size.isdigit():
        raise StorageError(f"a listing gives {size!r} as the size of {name}")
    return ObjectInfo(name, int(size), entry.value("ETag").strip('"'), _time(entry.value("LastModified")))


def _time(text: str) -> int:
    try:
        return parse_time(text)
    except InvalidInputError as error:
        raise StorageError(f"a listing gives {text!r} as a time") from error
