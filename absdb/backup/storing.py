"""Storing one file: read in parts, checked, compressed and encrypted by many threads, hashed in order, written.

A file of one part is one request; a larger one is an upload. Memory is bounded by the parts that are under way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from crc32c import crc32c

from absdb.backup.codec.codec import PART_BYTES, Codec, Encoder
from absdb.backup.codec.pipeline import in_order
from absdb.backup.manifest import StoredFile
from absdb.backup.source import OpenSource, SourceFile
from absdb.backup.write_behind import WriteBehind
from absdb.io.base import FileSystem
from absdb.object_names import backup_place
from absdb.objectstore.base import ObjectStore

Count = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Storing:
    """How and where files of one backup are stored."""

    store: ObjectStore
    label: str
    backup_id: str
    run: int
    codec: Codec
    threads: Executor
    window: int

    def place(self, file: SourceFile) -> str:
        """The name of its object below the label, without the suffix."""
        return backup_place(file.kind, file.path.rpartition("/")[2], self.run)


def store_file(storing: Storing, fs: FileSystem, file: SourceFile, count: Count) -> StoredFile:
    """Store one file; `count` is told of raw bytes. CorruptionError if it is not what the instance says it is."""
    source = OpenSource(fs, file)
    try:
        return _store(storing, source, file, count)
    finally:
        source.close()


def _store(storing: Storing, source: OpenSource, file: SourceFile, count: Count) -> StoredFile:
    place = storing.place(file)
    name = f"{storing.label}/{place}{storing.codec.suffix}"
    encoder = Encoder(storing.codec, file_context(storing.backup_id, place))
    reading = _Reading(source, file)
    sha, sizes = hashlib.sha256(encoder.header), list[int]()
    if file.size <= PART_BYTES:
        number, raw, last = next(iter(reading))
        frame = encoder.part(number, raw, last=last)
        sha.update(frame)
        sizes.append(len(frame))
        reading.finish()
        count(file.size)  # which may raise; what is stored is always told of
        storing.store.put(name, b"".join((encoder.header, frame)))
    else:

        def encode(part: tuple[int, bytes, bool]) -> tuple[Any, int]:
            number, raw, last = part
            return encoder.part(number, raw, last=last), len(raw)

        with (
            storing.store.upload(name, size_hint=file.size) as upload,
            WriteBehind(upload.write) as behind,
        ):
            if encoder.header:
                behind.put(encoder.header)
            for frame, length in in_order(storing.threads, encode, reading, window=storing.window):
                behind.put(frame)
                sha.update(frame)
                sizes.append(len(frame))
                count(length)
            reading.finish()
    return StoredFile(
        path=file.path,
        kind=file.kind,
        raw_bytes=file.size,
        crc=reading.crc,
        stored_bytes=sum(sizes) + len(encoder.header),
        sha256=sha.hexdigest(),
        parts=tuple(sizes),
        origin=0,
        place=place,
        skipped=file.skipped,
    )


def file_context(backup_id: str, place: str) -> str:
    """What a stored file is encrypted for: this place of this backup and no other."""
    return f"{backup_id}/{place}"


class _Reading:
    """The parts of a file, in order, checked as they go by."""

    def __init__(self, source: OpenSource, file: SourceFile) -> None:
        self._source = source
        self._size = file.size
        self._check = file.check()
        self.crc = 0

    def __iter__(self) -> Iterator[tuple[int, bytes, bool]]:
        starts = range(0, max(self._size, 1), PART_BYTES)
        for number, start in enumerate(starts):
            raw = self._source.read(start, min(PART_BYTES, self._size - start))
            self.crc = crc32c(raw, self.crc)
            if self._check is not None:
                self._check.feed(raw)
            yield number, raw, start == starts[-1]

    def finish(self) -> None:
        if self._check is not None:
            self._check.finish()
