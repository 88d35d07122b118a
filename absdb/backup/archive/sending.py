"""Putting one file into the archive, through the codec, in parts, whole and only if it is not there.

What is there already is read back and compared byte by byte: the same is fine, since an earlier attempt may have got
further than it knew; anything else is a ConflictError, and nothing was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from absdb.backup.codec.codec import PART_BYTES, Codec, Encoder, Stored, decoded, parse_stored
from absdb.backup.codec.pipeline import in_order
from absdb.errors import AlreadyExistsError, ConflictError, CorruptionError
from absdb.objectstore.base import ObjectStore

ONE_PUT_BYTES_MAX = 32 * 1024 * 1024
Read = Callable[[int, int], bytes]


class Sender:
    """Puts files into one store with one codec; `executor` encodes their parts, and is the caller's to end."""

    def __init__(self, store: ObjectStore, codec: Codec, executor: ThreadPoolExecutor) -> None:
        self.store = store
        self.codec = codec
        self.executor = executor

    def encode(self, name: str, raw: bytes) -> bytes:
        """A file as it is stored, for `put`."""
        return b"".join(self._parts(name, len(raw), _slices(raw)))

    def put(self, name: str, raw: bytes, encoded: bytes | None = None) -> None:
        """Put a file that is in memory; `encoded` is what `encode` made of it before. Durable on return.

        ConflictError if something else is there, stored in the same way: the caller has looked for other ways.
        """
        self._put(name, len(raw), _slices(raw), encoded)

    def send(self, name: str, size: int, read: Read) -> None:
        """Put a file of `size` bytes, of which `read(offset, length)` gives any part. Durable on return.

        ConflictError if something else is there under the name, however it is stored.
        """
        for info in self.store.list(name):
            if parse_stored(info.name).name == name:
                self._compare(info.name, size, read)
                return
        self._put(name, size, read, None)

    def _put(self, name: str, size: int, read: Read, encoded: bytes | None) -> None:
        stored_name = name + self.codec.suffix
        parts = [encoded] if encoded is not None else self._parts(name, size, read)
        try:
            if size <= ONE_PUT_BYTES_MAX:
                self.store.put(stored_name, encoded or b"".join(parts), if_absent=True)
            else:
                with self.store.upload(stored_name, size_hint=size, if_absent=True) as upload:
                    for part in parts:
                        upload.write(part)
        except AlreadyExistsError:
            self._compare(stored_name, size, read)

    def send_plain(self, name: str, data: bytes) -> None:
        """Put a small object as it is; the same rule for what is there already."""
        try:
            self.store.put(name, data, if_absent=True)
        except AlreadyExistsError:
            if self.store.get(name) != data:
                raise self._conflict(name) from None

    def compare(self, stored_name: str, raw: bytes) -> None:
        """ConflictError unless the object holds these bytes and nothing else."""
        self._compare(stored_name, len(raw), _slices(raw))

    def _compare(self, stored_name: str, size: int, read: Read) -> None:
        at = 0
        try:
            for chunk in self._stored(parse_stored(stored_name), stored_name, size):
                if chunk != read(at, len(chunk)):
                    raise self._conflict(stored_name)
                at += len(chunk)
        except CorruptionError as error:  # it is damaged, or longer
            raise self._conflict(stored_name) from error
        if at != size:
            raise self._conflict(stored_name)

    def _stored(self, stored: Stored, stored_name: str, size: int) -> Iterator[bytes]:
        return decoded(
            stored.compression,
            stored.name,
            self.store.read(stored_name),
            encrypted=stored.encrypted,
            key=self.codec.key,
            limit=size,
        )

    def _parts(self, name: str, size: int, read: Read) -> Iterator[Any]:
        """The file as it is stored, in pieces."""
        encoder = Encoder(self.codec, name)
        starts = range(0, max(size, 1), PART_BYTES)

        def part(start: int) -> Any:
            raw = read(start, min(PART_BYTES, size - start))
            return encoder.part(start // PART_BYTES, raw, last=start == starts[-1])

        yield encoder.header
        yield from in_order(self.executor, part, starts, window=4)

    def _conflict(self, name: str) -> ConflictError:
        return ConflictError(
            f"{self.store.url}/{name} is there already and holds something else",
            hint="a copy of this instance may archive into the same place; give each a wal_archive_target of its own",
            object=name,
        )


def _slices(raw: bytes) -> Read:
    return lambda offset, length: raw[offset : offset + length]
