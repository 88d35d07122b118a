"""Whether a page file is what its descriptor says: its size, the bytes around the pages, and each page.

All reads are `pread`s: nothing is mapped before it has been checked. Each function raises a CorruptionError
that names path and offset, what was expected and what was found. Called by the page store on the first touch
of a page, and by those who verify whole files.
"""

from __future__ import annotations

import errno
from typing import Any

from crc32c import crc32c

from absdb.errors import CorruptionError, StorageError
from absdb.io.base import File, FileSystem
from absdb.pages.format import PageFile

CHECK_CHUNK_BYTES = 256 << 10


def open_to_check(fs: FileSystem, path: str) -> File:
    try:
        return fs.open(path)
    except StorageError as error:
        if error.errno != errno.ENOENT:
            raise
        raise CorruptionError(
            f"{path}: the page file is missing",
            path=path,
            offset=0,
            hint="restore the file from a backup; absdb check lists what needs it",
        ) from error


def check_size(handle: File, file: PageFile) -> None:
    found = handle.size()
    if found != file.size:
        raise CorruptionError(
            f"{handle.path}: {found} bytes, expected {file.size}",
            hint="restore the file from a backup",
            path=handle.path, offset=min(found, file.size), expected=file.size, found=found,
        )  # fmt: skip


def check_head(handle: File, file: PageFile) -> None:
    found = 0
    for offset, length in file.gaps:
        found = _crc(handle, offset, length, found)
    _compare(handle, 0, found, file.head_crc, "bytes around the pages")


def check_page(handle: File, file: PageFile, index: int) -> None:
    ref = file.pages[index]
    found = _crc(handle, ref.offset, ref.length, 0)
    _compare(handle, ref.offset, found, ref.crc, f"page {index} at byte {ref.offset}", page=index)


def _compare(handle: File, offset: int, found: int, expected: int, what: str, **facts: Any) -> None:
    if found != expected:
        raise CorruptionError(
            f"{handle.path}: {what}: checksum {found:#010x}, expected {expected:#010x}",
            hint="restore the file from a backup",
            path=handle.path, offset=offset, expected=expected, found=found, **facts,
        )  # fmt: skip


def _crc(handle: File, offset: int, length: int, crc: int) -> int:
    """CRC-32C continued over a stretch of the file, read in pieces that stay in the processor's cache."""
    end = offset + length
    while offset < end:
        piece = handle.pread(offset, min(CHECK_CHUNK_BYTES, end - offset))
        if not piece:
            break
        crc = crc32c(piece, crc)
        offset += len(piece)
    return crc
