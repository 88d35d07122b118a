"""Reading one stored file back: ranges of it fetched, decrypted and decompressed by many threads, checked in order.

The SHA-256 of the stored object and the CRC-32C of what comes out of it are compared before anybody relies on the file:
`fetch_file` hands parts on as they come and raises at the end if they were not what was stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, NamedTuple

from crc32c import crc32c

from absdb.backup.codec.codec import PART_BYTES, Decoder
from absdb.backup.codec.encryption import HEADER_BYTES
from absdb.backup.codec.key import Key
from absdb.backup.codec.pipeline import in_order
from absdb.backup.manifest import Origin, StoredFile
from absdb.backup.storing import file_context
from absdb.errors import AbsdbError, CorruptionError
from absdb.objectstore.base import ObjectStore

PARTS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Fetching:
    """How files of a backup are read."""

    key: Key | None
    threads: Executor
    window: int


class _Group(NamedTuple):
    """Parts that are read with one request: numbers of the first and behind the last, and where they lie."""

    first: int
    stop: int
    offset: int
    length: int


def fetch_file(
    fetching: Fetching,
    store: ObjectStore,
    origin: Origin,
    file: StoredFile,
    take: Callable[[Any], None],
    count: Callable[[int], None],
) -> None:
    """Give `take` the file's bytes, part by part; `count` is told of raw bytes.

    CorruptionError if the object is not what the manifest says: what `take` got is worth nothing then.
    """
    name = object_name(origin, file)
    where = f"{store.url}/{name}"
    try:
        sha, crc, size = hashlib.sha256(), 0, 0
        for stored, raw in _parts(fetching, store, origin, file, name):
            for piece in stored:
                sha.update(piece)
            for piece in raw:
                crc = crc32c(piece, crc)
                size += len(piece)
                take(piece)
                count(len(piece))
    except CorruptionError as error:
        raise _damaged(where, error.message) from error
    if sha.hexdigest() != file.sha256:
        raise _damaged(where, f"its SHA-256 is {sha.hexdigest()}, expected {file.sha256}")
    if size != file.raw_bytes or crc != file.crc:
        raise _damaged(
            where, f"{size} bytes of CRC-32C {crc:#010x}, expected {file.raw_bytes}, {file.crc:#010x}"
        )


def fetch_bytes(fetching: Fetching, store: ObjectStore, origin: Origin, file: StoredFile) -> bytes:
    """A small file as a whole."""
    pieces = list[bytes]()
    fetch_file(fetching, store, origin, file, lambda piece: pieces.append(bytes(piece)), lambda _: None)
    return b"".join(pieces)


def object_name(origin: Origin, file: StoredFile) -> str:
    """The object that holds a file."""
    return f"{origin.label}/{file.place}{origin.suffix}"


def _parts(
    fetching: Fetching, store: ObjectStore, origin: Origin, file: StoredFile, name: str
) -> Iterator[tuple[list[Any], list[Any]]]:
    """(stored bytes, raw parts) of one group of parts after the other; the first stored bytes are the header."""
    whole = len(file.parts) <= PARTS_AT_ONCE
    at = HEADER_BYTES if origin.encrypted else 0
    data = _exactly(store.get(name), file.stored_bytes) if whole else b""
    header = data[:at] if whole else store.get(name, length=at) if at else b""
    context = file_context(origin.id, file.place)
    decoder = Decoder(origin.compression, context, key=fetching.key, header=header)
    last = len(file.parts) - 1

    def fetch(group: _Group) -> tuple[list[Any], list[Any]]:
        stored = memoryview(
            data[group.offset :] if whole else store.get(name, offset=group.offset, length=group.length)
        )
        raw, start = [], 0
        for number in range(group.first, group.stop):
            end = start + file.parts[number]
            limit = min(PART_BYTES, file.raw_bytes - number * PART_BYTES)
            raw.append(decoder.part(number, stored[start:end], last=number == last, limit=limit))
            start = end
        return [stored], raw

    yield [header], []
    groups = list(_groups(file, at))
    if whole:
        yield from map(fetch, groups)
        return
    if store.head(name).size != file.stored_bytes:
        raise CorruptionError(f"it has {store.head(name).size} bytes, expected {file.stored_bytes}")
    yield from in_order(fetching.threads, fetch, groups, window=fetching.window)


def _groups(file: StoredFile, offset: int) -> Iterator[_Group]:
    for first in range(0, len(file.parts), PARTS_AT_ONCE):
        sizes = file.parts[first : first + PARTS_AT_ONCE]
        yield _Group(first, first + len(sizes), offset, sum(sizes))
        offset += sum(sizes)


def _exactly(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise CorruptionError(f"it has {len(data)} bytes, expected {size}")
    return data


def _damaged(where: str, what: str) -> AbsdbError:
    return CorruptionError(
        f"{where} is not what was stored: {what}",
        hint="use another backup; `absdb backup --verify` says which are whole",
        path=where,
    )
