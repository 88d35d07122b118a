"""What Azure Blob answers: pages of listings, properties of a blob, and what its errors mean.

Listings and errors are XML; an answer to HEAD has the error's code in a header only. Used by azure.py.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree

from absdb.errors import StorageError
from absdb.objectstore.base import ObjectInfo
from absdb.objectstore.request import Action, Fault, Response, action_of
from absdb.objectstore.retry import http_date_us

_BROKEN_ON_THE_WAY = frozenset({"Md5Mismatch", "InvalidMd5"})


class Page(NamedTuple):
    """A page of a listing; `marker` asks for the next one, "" at the end. Names are those within the container."""

    blobs: list[ObjectInfo]
    directories: list[str]
    marker: str


def read_fault(answer: Response) -> Fault | None:
    """What an answer means that is no success; None for one that is."""
    action = action_of(answer.status)
    if action is None:
        return None
    root = _tree(answer.body) if answer.body.lstrip().startswith((b"<", b"\xef\xbb\xbf<")) else None
    code = answer.headers.get("x-ms-error-code") or (_text(root, "Code") if root is not None else "")
    if code in _BROKEN_ON_THE_WAY:
        action = Action.RESEND
    # What follows the first line are the request's id and the time again.
    message = _text(root, "Message").partition("\n")[0] if root is not None else ""
    return Fault(action, code, message)


def info_of(name: str, size: int, answer: Response) -> ObjectInfo:
    """What the headers of an answer say about a blob."""
    return ObjectInfo(
        name, size, _etag(answer.headers.get("etag", "")), _time(answer.headers.get("last-modified"))
    )


def read_page(answer: Response, url: str) -> Page:
    """A page of List Blobs; StorageError if it is none."""
    root = _tree(answer.body)
    if root is None or root.tag != "EnumerationResults":
        raise StorageError(f"what {url} answered is no listing of Azure Blob", hint="is the endpoint right?")
    blobs = []
    for blob in root.iterfind("Blobs/Blob"):
        properties = blob.find("Properties")
        if properties is None:
            raise StorageError(f"a listing of {url} has a blob without properties")
        blobs.append(
            ObjectInfo(
                _name(blob),
                int(_text(properties, "Content-Length") or 0),
                _etag(_text(properties, "Etag")),
                _time(_text(properties, "Last-Modified")),
            )
        )
    directories = [_name(entry) for entry in root.iterfind("Blobs/BlobPrefix")]
    return Page(blobs, directories, _text(root, "NextMarker"))


def read_block_ids(answer: Response) -> list[str]:
    """The ids of the blocks that a blob is made of, in their order, from Get Block List."""
    root = _tree(answer.body)
    return [] if root is None else [_text(block, "Name") for block in root.iterfind("CommittedBlocks/Block")]


def block_list(ids: list[str]) -> bytes:
    """What to send for Put Block List."""
    root = ElementTree.Element("BlockList")
    for identity in ids:
        ElementTree.SubElement(root, "Latest").text = identity
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _tree(body: bytes) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return None


def _text(parent: ElementTree.Element, tag: str) -> str:
    return parent.findtext(tag) or ""


def _name(entry: ElementTree.Element) -> str:
    """A name; what XML cannot hold is percent-encoded, and marked so."""
    found = entry.find("Name")
    text = "" if found is None else found.text or ""
    return unquote(text) if found is not None and found.get("Encoded") == "true" else text


def _etag(text: str) -> str:
    """Without the quotes that headers have and listings have not."""
    return text.strip('"')


def _time(text: str | None) -> int:
    return http_date_us(text) or 0
