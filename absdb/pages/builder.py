"""Building a page file out of batches: rows in key order go in, pages of even size come out.

    append(batch) ... end_section() append(batch) ... finish() -> PageFile

A `Paginator` cuts and joins batches into pages of `rows_per_page` rows (fewer when the rows are wide); a
`FileBuilder` checks their order and hands them to a `PageWriter`. A file may hold several sections, one after
the other; a page never holds rows of two.

Made by `PageStore.create`; the Paginator is also used for pages in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from absdb.errors import InvalidInputError
from absdb.pages.format import PageFile, PageWriter
from absdb.pages.key import Keys, KeySpec, is_increasing

ROWS_PER_PAGE = 65_536
PAGE_BYTES_MAX = 64 << 20


class FileBuilder:
    """A page file in the making: rows in key order go in, pages of even size come out."""

    def __init__(
        self, writer: PageWriter, spec: KeySpec, *, rows_per_page: int, sync_names: Callable[[], None]
    ) -> None:
        """`sync_names` makes the name of the file durable once its contents are."""
        self.strict = True
        """Whether a key may come only once; set it before the first batch of a section."""
        self._sync_names = sync_names
        self._writer = writer
        self._spec = spec
        self._pages = Paginator(rows_per_page)
        self._section_start = 0
        self._last: Any = None
        self._finished = False

    def append(self, batch: pa.RecordBatch) -> None:
        """Add rows that sort after all earlier ones of this section."""
        for page in self._pages.push(batch):
            self._write(page)

    def end_section(self) -> int:
        """Close the section, so that the next batch may have any key; returns its number of pages."""
        for page in self._pages.rest():
            self._write(page)
        self._last = None
        count = self._writer.pages - self._section_start
        self._section_start = self._writer.pages
        return count

    def finish(self, lsn: int | None = None) -> PageFile:
        """Write the rest, make file and name durable, and describe it."""
        self.end_section()
        file = self._writer.finish(lsn)
        self._sync_names()
        self._finished = True
        return file

    def _write(self, batch: pa.RecordBatch) -> None:
        keys = self._spec.keys_of(batch)
        self._check_order(keys)
        self._last = self._writer.write(batch).last

    def _check_order(self, keys: Keys) -> None:
        first = keys[0] if not isinstance(keys, pa.Array) else keys[0].as_py()
        follows = self._last is None or first > self._last or (first == self._last and not self.strict)
        if not follows or not is_increasing(keys, self.strict):
            raise InvalidInputError(
                "rows for a page file are not sorted by key"
                + (", or a key comes twice" if self.strict else "")
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or not self._finished:
            self._writer.abort()


class Paginator:
    """Cuts and joins batches of one schema into pages. Whole pages pass through uncopied, joining copies."""

    def __init__(self, rows_per_page: int = ROWS_PER_PAGE, bytes_max: int = PAGE_BYTES_MAX) -> None:
        """A page has `rows_per_page` rows, fewer if they would take over `bytes_max`, one at the least."""
        self._rows_per_page = rows_per_page
        self._bytes_max = bytes_max
        self._pending: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0

    def push(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Take a batch in and give out the pages that are full; to be consumed before the next call."""
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, self._rows_per_page - self._rows)
            start += part.num_rows
            for piece in self._bounded(part):
                if self._pending and self._bytes + piece.nbytes > self._bytes_max:
                    yield from self.rest()
                self._pending.append(piece)
                self._rows += piece.num_rows
                self._bytes += piece.nbytes
            if self._rows >= self._rows_per_page:
                yield from self.rest()

    def rest(self) -> Iterator[pa.RecordBatch]:
        """What has been taken in and not given out, as one page or none."""
        pending, self._pending = self._pending, []
        self._rows = self._bytes = 0
        if pending:
            yield pending[0] if len(pending) == 1 else pa.concat_batches(pending)

    def _bounded(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        if batch.num_rows <= 1 or batch.nbytes <= self._bytes_max:
            yield batch
            return
        half = batch.num_rows // 2
        yield from self._bounded(batch.slice(0, half))
        yield from self._bounded(batch.slice(half))


def paginate(
    batches: Iterable[pa.RecordBatch], rows_per_page: int = ROWS_PER_PAGE
) -> Iterator[pa.RecordBatch]:
    """The rows of batches of one schema as pages."""
    pages = Paginator(rows_per_page)
    for batch in batches:
        yield from pages.push(batch)
    yield from pages.rest()
