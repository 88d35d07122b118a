"""A checked container for small files: the manifest, `control` and the chunks of the commit log are each one.

    offset  bytes  field       meaning
         0      8  magic       which kind of file this is
         8      4  version     format version of that kind, from 1 on
        12      8  length      bytes of the body; the file ends where the body ends
        20      4  body crc    CRC-32C of the body
        24      4  header crc  CRC-32C of the 24 bytes before
        28      …  body

Little-endian. The header has a checksum of its own so that a length or a version is believed only if it was
written, and a file from a newer absdb is told from a damaged one. A file that was cut or has grown is
damaged. JSON bodies are zstd frames (level 3) that state their content size; above 1 GiB none is unpacked.

Chunks hold an Arrow IPC file; they are never changed, so they are written by `write_new` and mapped by
`map_checked`. `control` and manifests are put in place atomically instead.
Source: CRC-32C (Castagnoli), RFC 3720 appendix B.4.
"""

from __future__ import annotations

import errno
import json
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import pyarrow as pa
import zstandard
from crc32c import crc32c

from absdb.errors import CorruptionError, FormatVersionError, StorageError
from absdb.io.base import FileSystem, read_file

HEADER = struct.Struct("<8sIQII")
HEADER_BYTES = HEADER.size
CONTENT_BYTES_MAX = 1 << 30
ZSTD_LEVEL = 3
T = TypeVar("T")
_CHECKED_BYTES = HEADER_BYTES - 4
_BODY_CRC_AT = 20
_HINT = "restore the file from a backup; `absdb check` lists everything that is damaged"


class _Codecs(threading.local):
    """zstd contexts may not be shared by threads that run at once, so each thread has its own."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codecs()


def pack(magic: bytes, version: int, body: bytes) -> bytes:
    """The file that holds `body`."""
    checked = HEADER.pack(magic, version, len(body), crc32c(body), 0)[:_CHECKED_BYTES]
    return b"".join((checked, crc32c(checked).to_bytes(4, "little"), body))


def unpack(data: bytes, magic: bytes, version: int, path: str) -> bytes:
    """The body of a file's bytes, once every checksum has been compared.

    `version` is the newest format the caller reads. Raises CorruptionError with `path`, `offset`, `expected`
    and `found`; FormatVersionError if the file is whole but was written by a newer absdb.
    """
    if len(data) < HEADER_BYTES:
        raise damaged(path, len(data), "the file ends in its header", HEADER_BYTES, len(data))
    found_magic, found_version, length, body_crc, header_crc = HEADER.unpack_from(data)
    if found_magic != magic:
        raise damaged(path, 0, "not a file of this kind: its magic", magic, found_magic)
    if (crc := crc32c(data[:_CHECKED_BYTES])) != header_crc:
        raise damaged(path, _CHECKED_BYTES, "checksum of the header", f"{header_crc:#010x}", f"{crc:#010x}")
    if found_version > version:
        raise FormatVersionError(
            f"{path} was written by a newer absdb: format {found_version}, this one knows {version}",
            hint="upgrade absdb",
            path=path,
            offset=8,
            found=found_version,
            known=version,
        )
    if found_version < 1:
        raise damaged(path, 8, "format version", "1 or more", found_version)
    if len(data) - HEADER_BYTES != length:
        raise damaged(path, 12, "bytes in the body", length, len(data) - HEADER_BYTES)
    body = data[HEADER_BYTES:]
    if (crc := crc32c(body)) != body_crc:
        raise damaged(path, _BODY_CRC_AT, "checksum of the body", f"{body_crc:#010x}", f"{crc:#010x}")
    return body


def body_crc(data: bytes) -> int:
    """The body's checksum as the header of a file that `unpack` accepted states it."""
    return int.from_bytes(data[_BODY_CRC_AT : _BODY_CRC_AT + 4], "little")


def pack_json(magic: bytes, version: int, content: dict[str, Any]) -> bytes:
    """A file holding compressed JSON. ValueError for NaN and infinities, which JSON cannot write."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return pack(magic, version, _codecs.compressor.compress(text.encode()))


def unpack_json(data: bytes, magic: bytes, version: int, path: str) -> dict[str, Any]:
    """What `pack_json` packed. Raises as `unpack` does, also for a body that is no JSON object."""
    body = unpack(data, magic, version, path)
    try:
        size = zstandard.frame_content_size(body)
        if not 0 <= size <= CONTENT_BYTES_MAX:
            raise damaged(path, HEADER_BYTES, "bytes once decompressed", f"0..{CONTENT_BYTES_MAX}", size)
        content = json.loads(_codecs.decompressor.decompress(body, allow_extra_data=False))
    except (zstandard.ZstdError, ValueError, RecursionError) as error:
        raise damaged(path, HEADER_BYTES, "the body", "JSON in one zstd frame", str(error)) from error
    if not isinstance(content, dict):
        raise damaged(path, HEADER_BYTES, "the body", "a JSON object", type(content).__name__)
    return content


def ipc_body(table: pa.Table, batch_rows: int) -> bytes:
    """An Arrow IPC file with zstd buffers, in batches of exactly `batch_rows` rows but for the last."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=batch_rows)
    return sink.getvalue().to_pybytes()


def read_ipc(body: pa.Buffer, path: str, fields: list[int] | None, read: Callable[[Any], T]) -> T:
    """What `read` gets from a reader of an IPC body (of some `fields` only, or all).

    Each call has a reader of its own, since two threads may not share one. Raises CorruptionError for what
    Arrow does not understand.
    """
    try:
        return read(pa.ipc.open_file(body, options=pa.ipc.IpcReadOptions(included_fields=fields)))
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, HEADER_BYTES, "the body", "an Arrow IPC file", str(error)) from error


def write_new(fs: FileSystem, path: str, data: bytes) -> None:
    """Make a file that nothing refers to yet; durable on return. If it fails, what was written is removed."""
    directory = path.rpartition("/")[0]
    if not fs.exists(directory):
        fs.make_directory(directory)
    file = fs.create(path)
    try:
        file.pwrite(0, [data])
        file.sync()
    except StorageError:
        with suppress(StorageError):  # the first error is the one to report; no list names the file
            fs.unlink(path)
        raise
    finally:
        file.close()
    fs.sync_directory(directory)


def map_checked(fs: FileSystem, path: str, magic: bytes, version: int, listed: tuple[int, int]) -> pa.Buffer:
    """The body of a file listed with its size and its body's checksum: read and compared, then mapped."""
    (size, crc), found = listed, _size_of(fs, path)
    if found != size:
        raise damaged(path, min(size, found), "bytes in the file", size, found)
    data = read_file(fs, path)
    unpack(data, magic, version, path)
    if body_crc(data) != crc:
        found_crc = f"{body_crc(data):#010x}"
        raise damaged(path, _BODY_CRC_AT, "checksum of the body", f"{crc:#010x} as listed", found_crc)
    return fs.map(path).slice(HEADER_BYTES, size - HEADER_BYTES)


def _size_of(fs: FileSystem, path: str) -> int:
    try:
        return fs.size(path)
    except StorageError as error:
        if error.errno != errno.ENOENT:
            raise
        raise CorruptionError(f"{path}: the file is missing", hint=_HINT, path=path, offset=0) from error


def damaged(path: str, offset: int, what: str, expected: object, found: object) -> CorruptionError:
    """The error for bytes at `offset` of a file that are not what was written."""
    return CorruptionError(
        f"{path} at byte {offset}: {what}: expected {expected!s}, found {found!s}",
        hint=_HINT,
        path=path,
        offset=offset,
        expected=expected,
        found=found,
    )
