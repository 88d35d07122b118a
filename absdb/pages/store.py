"""The directory of page files: written once, checked on first touch, mapped once, shared by all readers.

Writing: a file is synced, and its name with it, before its descriptor is handed out, so that whoever logs or
publishes the descriptor can rely on it. A file whose writing failed is removed; one that a crash left behind
is named by nobody, and its name is never used again.

Reading a page for the first time: the file's size must be the descriptor's, then the bytes outside the pages
and those of this page are read with `pread` and their CRC-32C compared, and only then is anything used. The
order matters: a mapping of a file that was cut short kills the process when the missing part is touched. The
file is mapped whole, once; pages are views of that mapping (or decoded from it, if compressed). Deleting a
file takes its name away, mappings in use live on.

Sections in JSON, as manifests keep them (a file is described once, however many sections use it):

    {"files": [PageFile, ...], "sections": [[[file, first page, pages] or [..., lsn], ...], ...]}

`lsn` stands there when the pages were bound to an LSN after they had been written.
"""

from __future__ import annotations

import secrets
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from absdb.errors import CorruptionError, StateError
from absdb.io.base import FileSystem
from absdb.pages.builder import ROWS_PER_PAGE, FileBuilder
from absdb.pages.checksum import check_head, check_page, check_size, open_to_check
from absdb.pages.decoded import DecodedCache, owned_bytes
from absdb.pages.format import PageFile, PageReader, PageWriter
from absdb.pages.key import KeySpec
from absdb.pages.section import Page, Section
from absdb.paths import page_file_name, parse_page_file_name

CACHE_BYTES = 256 << 20


class PageStore:
    """All page files of one instance. Safe for many threads."""

    def __init__(self, fs: FileSystem, directory: str = "pages", *, cache_bytes: int = CACHE_BYTES) -> None:
        """`cache_bytes` bounds what pages decode into memory of their own; mapped pages do not count."""
        self.fs = fs
        self.directory = directory
        self.cache = DecodedCache(cache_bytes)
        self._lock = threading.Lock()
        self._open: dict[str, _OpenFile] = {}
        self._uses: weakref.WeakValueDictionary[str, _Use] = weakref.WeakValueDictionary()
        self._next_number = 0
        self._closed = False

    # ------------------------------------------------------------ writing

    def new_name(self) -> str:
        """A file name nobody has used: numbers go on from the highest one listed, a random tag makes sure."""
        with self._lock:
            number = self._peek()
            self._next_number += 1
        return page_file_name(number, secrets.token_hex(4))

    def next_number(self) -> int:
        """The number the next file will have: files made from now on have this one or a greater one."""
        with self._lock:
            return self._peek()

    def _peek(self) -> int:
        if not self._next_number:
            parsed = (parse_page_file_name(name) for name in self.fs.list(self.directory))
            self._next_number = 1 + max((name.number for name in parsed if name), default=0)
        return self._next_number

    def create(
        self,
        schema: pa.Schema,
        spec: KeySpec,
        *,
        compression: str | None = None,
        rows_per_page: int = ROWS_PER_PAGE,
    ) -> FileBuilder:
        """A new file to append batches to; use it as a context, so that a failure leaves no file behind."""
        self._check_open()
        if not self.fs.exists(self.directory):
            self.fs.make_directory(self.directory)
        path = f"{self.directory}/{self.new_name()}"
        writer = PageWriter(self.fs, path, schema, spec, compression=compression)
        return FileBuilder(writer, spec, rows_per_page=rows_per_page, sync_names=self.sync)

    def write(
        self,
        batches: Iterable[pa.RecordBatch],
        schema: pa.Schema,
        spec: KeySpec,
        *,
        compression: str | None = None,
        rows_per_page: int = ROWS_PER_PAGE,
        strict: bool = True,
        lsn: int | None = None,
    ) -> PageFile:
        """One durable file of the batches' rows, which come sorted by key; `strict`: no key twice.

        `lsn` is that of all rows, when it is known and they have no `_lsn`. InvalidInputError if the rows are
        not sorted; then, and after any other failure, no file is left.
        """
        with self.create(schema, spec, compression=compression, rows_per_page=rows_per_page) as builder:
            builder.strict = strict
            for batch in batches:
                builder.append(batch)
            return builder.finish(lsn)

    # ------------------------------------------------------------ reading

    def page(self, file: PageFile, index: int) -> pa.RecordBatch:
        """One page's batch; mapped, or decoded anew on each call if compressed (`Page` keeps it for a while).

        CorruptionError, naming path, offset and page, if the file is missing or not what was written.
        """
        opened = self._open.get(file.name)
        if opened is None:
            with self._lock:
                self._check_open()
                opened = self._open.setdefault(file.name, _OpenFile(self.fs, self.path(file.name), file))
        return opened.page(index)

    def section(
        self,
        file: PageFile,
        spec: KeySpec,
        start: int = 0,
        stop: int | None = None,
        *,
        lsn: int | None = None,
    ) -> Section:
        """Pages [start, stop) of a file as a section; nothing is read yet. `lsn` as in `Section.with_lsn`."""
        lsn = file.lsn if lsn is None else lsn
        with self._lock:
            use = self._uses.get(file.name)
            if use is None:
                use = self._uses[file.name] = _Use()
        return Section(
            Page(
                spec,
                ref.rows,
                ref.first,
                ref.last,
                lsn=lsn,
                deletes=ref.deletes,
                origin=(file, index),
                load=partial(self._load, use, file, index),
                cache=self.cache,
            )
            for index, ref in enumerate(file.pages[start:stop], start)
        )

    def _load(self, _: _Use, file: PageFile, index: int) -> pa.RecordBatch:
        return self.page(file, index)

    def in_use(self) -> set[str]:
        """Names of the files of all pages there are in this process, read or not: none of them may go."""
        with self._lock:
            return set(self._uses.keys())

    def verify(self, file: PageFile) -> Iterator[CorruptionError]:
        """Read every byte again and yield what is wrong; relies on no mapping and no earlier result."""
        path = self.path(file.name)
        try:
            handle = open_to_check(self.fs, path)
        except CorruptionError as error:
            yield error
            return
        checks = [partial(check_size, handle, file), partial(check_head, handle, file)]
        checks += [partial(check_page, handle, file, index) for index in range(len(file.pages))]
        try:
            for check in checks:
                try:
                    check()
                except CorruptionError as error:
                    yield error
        finally:
            handle.close()

    # ------------------------------------------------------------ files

    def path(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def names(self) -> list[str]:
        """Names of all page files in the directory, whether anybody needs them or not."""
        return [name for name in self.fs.list(self.directory) if parse_page_file_name(name) is not None]

    def forget(self, names: Iterable[str]) -> None:
        """Drop the store's share in mappings; pages in use keep theirs."""
        with self._lock:
            for name in names:
                self._open.pop(name, None)

    def delete(self, name: str) -> None:
        """Forget and unlink. Not synced: a file that reappears after a crash is garbage once more."""
        self.forget([name])
        self.fs.unlink(self.path(name))

    def sync(self) -> None:
        """Make created and deleted names durable."""
        self.fs.sync_directory(self.directory)

    def close(self) -> None:
        """Forget everything; batches handed out stay valid."""
        with self._lock:
            self._closed = True
            self._open.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise StateError("the page store is closed")


class _Use:
    """Shared by all pages of a file: it lives for as long as one of them does."""

    __slots__ = ("__weakref__",)


class _OpenFile:
    """One file's mapping, made when the first page has been checked, and which pages have been."""

    def __init__(self, fs: FileSystem, path: str, file: PageFile) -> None:
        self._fs = fs
        self._path = path
        self._file = file
        self._lock = threading.Lock()
        self._head_checked = False
        self._reader: PageReader | None = None
        self._checked = bytearray(len(file.pages))
        self._mapped: list[Any] = [None] * len(file.pages)

    def page(self, index: int) -> pa.RecordBatch:
        batch = self._mapped[index]
        if batch is not None:
            return batch
        if not self._checked[index]:
            self._check(index)
        with self._lock:
            assert self._reader is not None
            batch = self._reader.read(index)
            if not owned_bytes(batch):
                self._mapped[index] = batch
            return batch

    def _check(self, index: int) -> None:
        """Without the lock but for what is done once, so that several threads check pages."""
        handle = open_to_check(self._fs, self._path)
        try:
            check_size(handle, self._file)
            with self._lock:
                if not self._head_checked:
                    check_head(handle, self._file)
                    self._head_checked = True
            check_page(handle, self._file, index)
        finally:
            handle.close()
        with self._lock:
            if self._reader is None:
                self._reader = PageReader(self._fs.map(self._path), self._file, self._path)
        self._checked[index] = 1


def sections_to_json(sections: Sequence[Section]) -> dict[str, Any]:
    """Describe stored sections; StateError if one has a page that is only in memory."""
    files: dict[str, tuple[int, PageFile]] = {}
    described = []
    for section in sections:
        extents: list[list[Any]] = []
        for page in section.pages:
            if page.origin is None:
                raise StateError("a section in memory cannot be described; write it to a page file first")
            file, index = page.origin
            number = files.setdefault(file.name, (len(files), file))[0]
            bound = [] if page.lsn == file.lsn else [page.lsn]
            last = extents[-1] if extents else None
            if last and last[0] == number and last[1] + last[2] == index and last[3:] == bound:
                last[2] += 1
            else:
                extents.append([number, index, 1, *bound])
        described.append(extents)
    return {"files": [file.to_json() for _, file in files.values()], "sections": described}


def sections_from_json(store: PageStore, spec: KeySpec, data: dict[str, Any]) -> list[Section]:
    """The sections that `sections_to_json` described; nothing is read yet."""
    files = [PageFile.from_json(each) for each in data["files"]]
    return [
        Section(
            page
            for number, start, count, *bound in extents
            for page in store.section(
                files[number], spec, start, start + count, lsn=bound[0] if bound else None
            ).pages
        )
        for extents in data["sections"]
    ]
