"""Files of rows, read and written as streams of Arrow batches: Parquet, CSV, Arrow IPC, JSON lines.

The format comes from the file's name, or is said. `.gz` and `.zst` behind a name of CSV or JSON lines mean that
it is compressed. What is written gets its name only once it is whole and durable: it goes to a temporary name
beside it first. Files are mapped, written and renamed through absdb.io, so that faults read as everywhere.
"""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from absdb.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from absdb.io.base import Bytes, File
from absdb.io.local import LocalFileSystem
from absdb.paths import TEMPORARY_SUFFIX

SUFFIXES = {
    "parquet": "parquet",
    "pq": "parquet",
    "csv": "csv",
    "tsv": "csv",
    "arrow": "arrow",
    "arrows": "arrow",
    "feather": "arrow",
    "ipc": "arrow",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
}
READABLE = ("parquet", "csv", "arrow", "jsonl")
WRITABLE = ("parquet", "csv", "arrow")
COMPRESSED = {"gz": "gzip", "zst": "zstd"}
BLOCK_BYTES = 16 * 1024 * 1024
BATCH_ROWS = 65536
Write = Callable[[Bytes], object]


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read: where, in which format, what types columns have, and what stands for NULL in text.

    An empty field of a CSV file is NULL, unless it is quoted. Nothing else is by itself: NA may be a name.
    """

    path: str
    format: str
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    nulls: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """The name without folder and suffixes: a table's name."""
        return os.path.basename(self.path).split(".")[0]


def format_of(path: str, given: str | None, known: tuple[str, ...]) -> str:
    """The format that is said, or that the name tells; InvalidInputError if neither does."""
    if given is not None:
        return given
    parts = os.path.basename(path).lower().split(".")
    suffix = parts[-2] if len(parts) > 2 and parts[-1] in COMPRESSED else parts[-1]
    found = SUFFIXES.get(suffix)
    if found not in known:
        raise InvalidInputError(
            f"the name {path!r} does not tell the format", hint=f"pass --format {'|'.join(known)}"
        )
    return found


@contextmanager
def reading(source: Source) -> Iterator[tuple[pa.RecordBatchReader, int | None]]:
    """The rows as a stream, and how many there are if the file says so.

    NotFoundError if there is no such file, InvalidInputError if it is not what its format says.
    """
    data = _mapped(source.path)
    try:
        yield _READERS[source.format](source, data)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInputError(f"{source.path}: {error}", hint=_advice(source)) from error


def _advice(source: Source) -> str:
    if source.format in ("csv", "jsonl"):
        return "types are guessed from the first rows; --type NAME=TYPE says what a column is"
    return "is it another format? --format says which one it is"


def _mapped(path: str) -> pa.Buffer:
    full = os.path.realpath(os.path.expanduser(path))
    if not os.path.exists(full):
        raise NotFoundError(f"there is no file {path}")
    if os.path.isdir(full):
        raise InvalidInputError(f"{path} is a directory", hint="name its files: absdb import dir/*.parquet")
    return LocalFileSystem(os.path.dirname(full)).map(os.path.basename(full))


def text_of(path: str) -> str:
    """The text of a file in UTF-8; NotFoundError if there is none, InvalidInputError if it is no text."""
    try:
        return _mapped(path).to_pybytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path} is no text in UTF-8: {error}") from error


def _parquet(source: Source, data: pa.Buffer) -> tuple[pa.RecordBatchReader, int | None]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(data))
    batches = file.iter_batches(batch_size=BATCH_ROWS)
    return pa.RecordBatchReader.from_batches(file.schema_arrow, batches), file.metadata.num_rows


def _csv(source: Source, data: pa.Buffer) -> tuple[pa.RecordBatchReader, int | None]:
    import pyarrow.csv as pc

    delimiter = "\t" if ".tsv" in source.path.lower() else ","
    if not data.size:
        raise InvalidInputError(f"{source.path} is empty", hint="its first line must name the columns")
    reader = pc.open_csv(
        _input(source, data),
        read_options=pc.ReadOptions(block_size=BLOCK_BYTES),
        parse_options=pc.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pc.ConvertOptions(
            column_types=dict(source.types),
            null_values=["", *source.nulls],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    for column in reader.schema:
        if pa.types.is_binary(column.type) and column.name not in source.types:
            raise InvalidInputError(
                f"{source.path}: column {column.name!r} holds bytes that are not UTF-8 text",
                hint=f"convert the file (iconv -f latin1 -t utf-8), or pass --type {column.name}=binary",
            )
    return _plain(reader), None


def _jsonl(source: Source, data: pa.Buffer) -> tuple[pa.RecordBatchReader, int | None]:
    import pyarrow.json as pj

    explicit = pa.schema(list(source.types.items())) if source.types else None
    reader = pj.open_json(
        _input(source, data),
        read_options=pj.ReadOptions(block_size=BLOCK_BYTES),
        parse_options=pj.ParseOptions(explicit_schema=explicit),
    )
    return _plain(reader), None


def _arrow(source: Source, data: pa.Buffer) -> tuple[pa.RecordBatchReader, int | None]:
    if data.size >= 6 and data[:6].to_pybytes() == b"ARROW1":
        file = pa.ipc.open_file(pa.BufferReader(data))
        batches = (file.get_batch(number) for number in range(file.num_record_batches))
        return pa.RecordBatchReader.from_batches(file.schema, batches), None
    return pa.ipc.open_stream(pa.BufferReader(data)), None


_READERS = {"parquet": _parquet, "csv": _csv, "jsonl": _jsonl, "arrow": _arrow}


def _input(source: Source, data: pa.Buffer) -> Any:
    kind = COMPRESSED.get(source.path.lower().rpartition(".")[2])
    stream = pa.BufferReader(data)
    return stream if kind is None else pa.CompressedInputStream(stream, kind)


def _plain(reader: Any) -> pa.RecordBatchReader:
    """Readers of text are no streams that everybody takes; what they read is."""
    return pa.RecordBatchReader.from_batches(reader.schema, iter(reader))


# -- writing


def write(
    path: str, format: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch], *, force: bool
) -> tuple[int, int]:
    """Write the batches to a file that is whole and durable when it gets its name; rows and bytes.

    AlreadyExistsError if there is such a file and not `force`.
    """
    with replacing(path, force=force) as put:
        sink = Sink(put)
        rows = _write(sink, format, schema, batches)
    return rows, sink.tell()


@contextmanager
def replacing(path: str, *, force: bool) -> Iterator[Write]:
    """What takes the bytes of a file; it gets its name, whole and durable, at the end of the block.

    AlreadyExistsError if there is such a file and not `force`. A block that fails leaves nothing behind.
    """
    full = os.path.abspath(os.path.expanduser(path))
    fs, name = LocalFileSystem(os.path.dirname(full)), os.path.basename(full)
    if os.path.isdir(full):
        raise InvalidInputError(f"{path} is a directory", hint="name a file in it")
    if not os.path.isdir(os.path.dirname(full)):
        raise NotFoundError(f"there is no directory {os.path.dirname(full)}", hint="make it first")
    if fs.exists(name) and not force:
        raise AlreadyExistsError(f"{path} is there already", hint="force (--force) replaces it")
    temporary = f".{name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
    file = fs.create(temporary)
    try:
        yield _Appending(file)
        file.sync()
        file.close()
        fs.rename(temporary, name)
    except BaseException:
        file.close()
        if fs.exists(temporary):
            fs.unlink(temporary)
        raise
    fs.sync_directory("")


def _write(sink: Sink, format: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> int:
    rows = 0
    try:
        with _writer(sink, format, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise InvalidInputError(
            f"these columns cannot be written as {format}: {error}", hint="Parquet and Arrow take every type"
        ) from error
    return rows


def _writer(sink: Sink, format: str, schema: pa.Schema) -> Any:
    target = pa.PythonFile(sink, mode="w")
    if format == "parquet":
        import pyarrow.parquet as pq

        return pq.ParquetWriter(target, schema, compression="zstd")
    if format == "csv":
        import pyarrow.csv as pc

        return pc.CSVWriter(target, schema)
    return pa.ipc.new_file(target, schema)


class _Appending:
    """Writes pieces one behind the other."""

    def __init__(self, file: File, end: int = 0) -> None:
        self._file = file
        self._end = end

    def __call__(self, data: Bytes) -> None:
        self._file.pwrite(self._end, [data])
        self._end += len(data)


class Sink(io.RawIOBase):
    """What Arrow's writers write to: hands each piece on to `write`."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._end = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._end

    def write(self, data: Any) -> int:
        piece = memoryview(data).cast("B")
        self._write(piece)
        self._end += len(piece)
        return len(piece)
