"""Reads and writes the XML that S3 speaks, without trusting who sent it.

Entities and document types are refused, since they can be made to read files or to grow without end; depth and size are
bounded. Namespaces are left out of names. Used by the modules of the S3 store.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat
from xml.sax.saxutils import escape

from absdb.errors import StorageError

_BYTES_MAX = 32 << 20
_DEPTH_MAX = 32


class Node:
    """One element: its name, its text and what is in it."""

    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        self.children: list[Node] = []

    def value(self, path: str) -> str:
        """The text of the first element on a path such as `Owner/ID`; "" if there is none."""
        node: Node | None = self
        for name in path.split("/"):
            node = next((child for child in node.children if child.name == name), None) if node else None
        return node.text if node else ""

    def all(self, name: str) -> Iterator[Node]:
        """The elements of a name that are directly in this one."""
        return (child for child in self.children if child.name == name)


class MalformedXml(Exception):
    """What came is no XML, or more than is accepted."""


def parse(data: bytes) -> Node:
    """The root element; MalformedXml if there is none, whole and harmless."""
    if len(data) > _BYTES_MAX:
        raise MalformedXml(f"{len(data)} bytes of XML, at most {_BYTES_MAX} are read")
    builder = _Builder()
    try:
        builder.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise MalformedXml(str(error)) from error
    return builder.root.children[0]


def parse_answer(data: bytes, root: str, url: str) -> Node:
    """The same for an answer that should be a certain document; StorageError if it is not."""
    try:
        node = parse(data.strip())
    except MalformedXml as error:
        raise StorageError(
            f"{url} answered with what is no {root}: {error}", hint="is the endpoint one of S3?", url=url
        ) from error
    if node.name != root:
        raise StorageError(f"{url} answered with a {node.name} instead of a {root}", url=url)
    return node


def element(name: str, content: str) -> str:
    """An element with text in it."""
    return f"<{name}>{escape(content)}</{name}>"


class _Builder:
    def __init__(self) -> None:
        self.root = Node("")
        self._open = [self.root]
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) > _DEPTH_MAX:
            raise MalformedXml(f"elements are nested deeper than {_DEPTH_MAX}")
        node = Node(name.rpartition(" ")[2])
        self._open[-1].children.append(node)
        self._open.append(node)

    def _end(self, name: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        self._open[-1].text += text

    def _refuse(self, *_: object) -> None:
        raise MalformedXml("it declares a document type or entities")
