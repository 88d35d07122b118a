"""Checksums of the stretches of a file that is read once, front to back, in pieces of any size.

A page file's descriptor has a CRC-32C for each page and one for the bytes around them; a chunk of the commit log has
one for its body. `SpanCheck` compares them while a file goes by, so that what is damaged in an instance is found by its
backup, and is never stored as if it were whole. Used where files are stored and where a backup is verified.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from crc32c import crc32c

from absdb.catalog.envelope import HEADER_BYTES
from absdb.catalog.manifest import ChunkRef
from absdb.errors import CorruptionError
from absdb.pages.format import PageFile


@dataclass(slots=True)
class _Sum:
    what: str
    expected: int | None
    found: int = 0


@dataclass(slots=True)
class SpanCheck:
    """What a file must be: its size, and checksums of spans that follow one another from its start."""

    path: str
    size: int
    _sums: list[_Sum] = field(default_factory=list)
    _ends: list[tuple[int, int]] = field(default_factory=list)
    _span: int = 0
    _at: int = 0

    def feed(self, data: Any) -> None:
        """The next bytes of the file. CorruptionError at the end of a span that is not what was written."""
        view = memoryview(data)
        at = 0
        while at < len(view) and self._span < len(self._ends):
            end, number = self._ends[self._span]
            taken = min(end - self._at, len(view) - at)
            total = self._sums[number]
            total.found = crc32c(view[at : at + taken], total.found)
            at += taken
            self._at += taken
            if self._at == end:
                self._span += 1
                self._close(number)
        self._at += len(view) - at

    def finish(self) -> None:
        """The file has ended. CorruptionError unless it had its size."""
        if self._at != self.size:
            raise CorruptionError(
                f"{self.path}: {self._at} bytes, expected {self.size}", path=self.path, offset=self._at
            )

    def add(self, end: int, number: int) -> None:
        """The span from the end of the one before to `end` counts to the sum with this number."""
        if end > (self._ends[-1][0] if self._ends else 0):
            self._ends.append((end, number))

    def total(self, what: str, expected: int | None) -> int:
        """A new sum; its number."""
        self._sums.append(_Sum(what, expected))
        return len(self._sums) - 1

    def _close(self, number: int) -> None:
        """A span of this sum has ended; it is compared if that was its last one."""
        if self._span < len(self._ends) and self._ends[-1][1] == number:
            return  # it goes on with the last span
        total = self._sums[number]
        if total.expected is not None and total.found != total.expected:
            raise CorruptionError(
                f"{self.path}: {total.what}: checksum {total.found:#010x}, expected {total.expected:#010x}",
                path=self.path,
                offset=self._at,
                expected=total.expected,
                found=total.found,
            )


def page_file_check(path: str, file: PageFile) -> SpanCheck:
    """What a page file must be."""
    check = SpanCheck(path, file.size)
    head = check.total("bytes around the pages", file.head_crc)
    check.add(file.pages[0].offset if file.pages else file.size, head)
    for number, page in enumerate(file.pages):
        check.add(page.offset + page.length, check.total(f"page {number}", page.crc))
    check.add(file.size, head)
    return check


def chunk_check(path: str, chunk: ChunkRef) -> SpanCheck:
    """What a chunk of the commit log must be."""
    check = SpanCheck(path, chunk.size)
    check.add(min(HEADER_BYTES, chunk.size), check.total("its header", None))
    check.add(chunk.size, check.total("its body", chunk.crc))
    return check
