"""A page file: an Arrow IPC file whose batches are pages, and the descriptor that vouches for its bytes.

    offset            bytes
    0                 "ARROW1", padding, schema message      head    metadata absdb.format, absdb.kind
    PageRef.offset    record batch message                   page 0  aligned to 8 bytes
    ...               record batch message                   page 1  follows at once
    end of the last   end mark, footer, its length, "ARROW1" head

Buffers are plain, so that a mapped page is used in place, or compressed one by one (lz4 frame, zstd) as Arrow
IPC defines it. Any Arrow reader opens the file.

The file itself carries no checksums: they are in its `PageFile`, which manifests and log records hold. It
names the file, its exact size, the CRC-32C of every page's bytes and that of all bytes that belong to no page
(`head_crc`: those before the first page, then those after the last). A file is immutable; nothing in it is
used before these agree.

JSON of a PageFile. Integer keys are numbers, binary keys base64 text; `start` is where page 0 lies:

    {"name": ..., "size": n, "head": crc, "start": n, "lsn": n or null,
     "pages": [[length, rows, crc, deletes, first, last], ...]}

Source: CRC-32C (Castagnoli), RFC 3720 appendix B.4. Called by pages/store, and by backup for descriptors.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa
from crc32c import crc32c

from absdb.errors import AbsdbError, CorruptionError, FormatVersionError, InvalidInputError
from absdb.io.base import Bytes, FileSystem
from absdb.pages.key import KeySpec
from absdb.pages.section import Key, Page

FORMAT_VERSION = 1
METADATA = {b"absdb.format": str(FORMAT_VERSION).encode(), b"absdb.kind": b"page"}
COMPRESSIONS = (None, "lz4", "zstd")


@dataclass(frozen=True, slots=True)
class PageRef:
    """One page: the bytes [offset, offset + length) of its file, with their CRC-32C, and what they hold."""

    offset: int
    length: int
    rows: int
    crc: int
    deletes: int
    first: Key
    last: Key


@dataclass(frozen=True, slots=True)
class PageFile:
    """All that must be known of a page file to use it, or to notice that it is not what was written."""

    name: str
    size: int
    head_crc: int
    pages: tuple[PageRef, ...]
    lsn: int | None = None
    """The LSN of all rows, when pages have no `_lsn` column and it was known when they were written."""

    @property
    def rows(self) -> int:
        return sum(page.rows for page in self.pages)

    @property
    def gaps(self) -> Iterator[tuple[int, int]]:
        """(offset, length) of the bytes outside the pages, in the order in which `head_crc` covers them."""
        start = self.pages[0].offset if self.pages else self.size
        end = self.pages[-1].offset + self.pages[-1].length if self.pages else self.size
        yield 0, start
        yield end, self.size - end

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "size": self.size,
            "head": self.head_crc,
            "start": self.pages[0].offset if self.pages else self.size,
            "lsn": self.lsn,
            "pages": [
                [ref.length, ref.rows, ref.crc, ref.deletes, _key_to_json(ref.first), _key_to_json(ref.last)]
                for ref in self.pages
            ],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        pages = []
        offset = data["start"]
        for length, rows, crc, deletes, first, last in data["pages"]:
            pages.append(
                PageRef(offset, length, rows, crc, deletes, _key_from_json(first), _key_from_json(last))
            )
            offset += length
        return cls(data["name"], data["size"], data["head"], tuple(pages), data["lsn"])


class PageWriter:
    """Writes one page file. Each page goes to the file as a single write of Arrow's own buffers, uncopied."""

    def __init__(
        self, fs: FileSystem, path: str, schema: pa.Schema, spec: KeySpec, *, compression: str | None = None
    ) -> None:
        """Create the file; every page to come has this physical `schema`. StorageError if the name exists."""
        if compression not in COMPRESSIONS:
            raise InvalidInputError(
                f"page compression {compression!r} is not known", hint="use None, 'lz4' or 'zstd'"
            )
        self._fs = fs
        self._path = path
        self._spec = spec
        self._schema = schema.with_metadata(METADATA)
        self._offset = 0
        self._pages: list[PageRef] = []
        self._sink = _Sink()
        options = pa.ipc.IpcWriteOptions(compression=compression)
        self._ipc = pa.ipc.new_file(pa.PythonFile(self._sink, mode="w"), self._schema, options=options)
        self._file = fs.create(path)
        try:
            self._head_crc = self._flush(0)
        except BaseException:
            self.abort()
            raise

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._offset

    @property
    def pages(self) -> int:
        """Pages written so far."""
        return len(self._pages)

    def write(self, batch: pa.RecordBatch) -> PageRef:
        """Append a page: at least one row, sorted by key, with `_key` if the spec has it; may be a slice."""
        page = Page.of(batch, self._spec)
        offset = self._offset
        self._ipc.write_batch(batch)
        crc = self._flush(0)
        ref = PageRef(offset, self._offset - offset, page.rows, crc, page.deletes, page.first, page.last)
        self._pages.append(ref)
        return ref

    def finish(self, lsn: int | None = None) -> PageFile:
        """Write the footer, make the contents durable and close; the caller syncs the directory."""
        self._ipc.close()
        self._head_crc = self._flush(self._head_crc)
        self._file.sync()
        self._file.close()
        name = self._path.rpartition("/")[2]
        return PageFile(name, self._offset, self._head_crc, tuple(self._pages), lsn)

    def abort(self) -> None:
        """Close and remove the file. Never fails: a file that cannot be removed is garbage nobody names."""
        with suppress(AbsdbError):
            self._file.close()
        with suppress(AbsdbError):
            self._fs.unlink(self._path)

    def _flush(self, crc: int) -> int:
        """Write what Arrow produced since the last call; `crc` continued over it."""
        chunks = self._sink.take()
        self._offset += self._file.pwrite(self._offset, chunks)
        for chunk in chunks:
            crc = crc32c(chunk, crc)
        return crc


class _Sink:
    """The file Arrow believes it writes to. It only collects: Arrow's buffers stay alive by reference."""

    closed = False

    def __init__(self) -> None:
        self._chunks: list[Bytes] = []
        self._offset = 0

    def write(self, data: Bytes) -> int:
        size = data.size if isinstance(data, pa.Buffer) else len(data)
        if size:
            self._chunks.append(data)
        self._offset += size
        return size

    def take(self) -> list[Bytes]:
        chunks, self._chunks = self._chunks, []
        return chunks

    def tell(self) -> int:
        return self._offset

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


class PageReader:
    """Decodes pages out of the bytes of a file whose head has been checked. For one thread at a time."""

    def __init__(self, contents: pa.Buffer, file: PageFile, path: str) -> None:
        """FormatVersionError if a newer absdb wrote the file, CorruptionError if it is no page file."""
        self._file = file
        self._path = path
        try:
            self._ipc = pa.ipc.open_file(contents)
        except (pa.ArrowException, OSError) as error:
            raise CorruptionError(f"{path}: not a page file: {error}", path=path, offset=0) from error
        check_format(self._ipc.schema, path)
        if self._ipc.num_record_batches != len(file.pages):
            raise CorruptionError(
                f"{path}: {self._ipc.num_record_batches} pages, expected {len(file.pages)}",
                path=path,
                offset=0,
            )
        self.schema: pa.Schema = self._ipc.schema.remove_metadata()

    def read(self, index: int) -> pa.RecordBatch:
        """Page `index`, whose checksum has been checked: its columns lie in `contents` unless compressed."""
        ref = self._file.pages[index]
        try:
            batch = self._ipc.get_batch(index)
            batch.validate()
        except (pa.ArrowException, OSError) as error:
            raise self._corrupt(index, f"cannot be decoded: {error}") from error
        if batch.num_rows != ref.rows:
            raise self._corrupt(index, f"{batch.num_rows} rows, expected {ref.rows}")
        return batch.replace_schema_metadata(None)

    def _corrupt(self, index: int, what: str) -> CorruptionError:
        offset = self._file.pages[index].offset
        return CorruptionError(
            f"{self._path}: page {index} at byte {offset}: {what}", path=self._path, offset=offset, page=index
        )


def check_format(schema: pa.Schema, path: str) -> None:
    """Refuse a file that is not a page file, or one of a format version this absdb does not know."""
    metadata = schema.metadata or {}
    found = metadata.get(b"absdb.format", b"")
    if metadata.get(b"absdb.kind") != b"page" or not found.isdigit():
        raise CorruptionError(f"{path}: an Arrow file, but not a page file", path=path, offset=0)
    if int(found) > FORMAT_VERSION:
        raise FormatVersionError(
            f"{path}: page format {int(found)}, this absdb knows up to {FORMAT_VERSION}",
            hint="open it with the absdb that wrote it, or a later one",
            path=path,
            found=int(found),
            known=FORMAT_VERSION,
        )


def _key_to_json(key: Key) -> int | str:
    return key if isinstance(key, int) else base64.b64encode(key).decode()


def _key_from_json(value: int | str) -> Key:
    return value if isinstance(value, int) else base64.b64decode(value)
