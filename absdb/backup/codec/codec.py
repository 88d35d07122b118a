"""How a file is stored: cut into parts of 4 MiB, each compressed, then encrypted, for itself.

    stored file = [encryption header] part 0, part 1, ... part n       an empty file has one empty part

What was done to it shows in its name: `.zst` or `.lz4`, then `.enc`. Parts are made and read by many threads at once;
who knows the lengths of the stored parts (a backup's manifest has them) reads any of them alone, and who does not reads
the file as a stream. Without encryption it is what `zstd -d` and `lz4 -d` read.

Called by whoever writes to, or reads from, backups and archives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from absdb.backup.codec import encryption
from absdb.backup.codec.compression import SUFFIXES, compress, decompress, decompressed
from absdb.backup.codec.encryption import HEADER_BYTES, LENGTH_BYTES, Sealing, length_of
from absdb.backup.codec.key import Key
from absdb.errors import CorruptionError

PART_BYTES = 4 * 1024 * 1024
ENCRYPTED_SUFFIX = ".enc"
# A frame of a part that does not compress is a little longer than the part.
STORED_PART_BYTES_MAX = PART_BYTES + 64 * 1024


@dataclass(frozen=True, slots=True)
class Codec:
    """What is done to files: `compression` is None, lz4 or zstd; they are encrypted if there is a key."""

    compression: str | None = None
    key: Key | None = None

    @property
    def suffix(self) -> str:
        """What the name of a file stored so ends with."""
        return SUFFIXES[self.compression] + (ENCRYPTED_SUFFIX if self.key is not None else "")


@dataclass(frozen=True, slots=True)
class Stored:
    """What a suffix says about a stored file."""

    name: str
    compression: str | None
    encrypted: bool


def parse_stored(name: str) -> Stored:
    """The name without the suffix, and what the suffix says."""
    bare = name.removesuffix(ENCRYPTED_SUFFIX)
    for kind, suffix in SUFFIXES.items():
        if suffix and bare.endswith(suffix):
            return Stored(bare.removesuffix(suffix), kind, bare != name)
    return Stored(bare, None, bare != name)


class Encoder:
    """Makes the parts of one new file. `context` is its name in the backup or archive, without the suffix."""

    def __init__(self, codec: Codec, context: str) -> None:
        self._codec = codec
        self._sealing = encryption.begin(codec.key, context) if codec.key is not None else None
        self.header = self._sealing.header if self._sealing is not None else b""

    def part(self, number: int, raw: Any, *, last: bool) -> Any:
        """Part `number` as it is stored, bytes-like. Safe for many threads."""
        frame = compress(self._codec.compression, raw)
        return self._sealing.seal(number, frame, last=last) if self._sealing is not None else frame


class Decoder:
    """Reads parts of one stored file. `header` is its first bytes, HEADER_BYTES at least if it is encrypted."""

    def __init__(
        self, compression: str | None, context: str, *, key: Key | None = None, header: bytes = b""
    ) -> None:
        """StateError for an encrypted file without its key, CorruptionError for a header that is none."""
        self._compression = compression
        self._sealing: Sealing | None = encryption.resume(key, context, header) if header else None

    def part(self, number: int, stored: Any, *, last: bool, limit: int = PART_BYTES) -> Any:
        """The part, bytes-like; CorruptionError if it is not what was stored. Safe for many threads."""
        frame = stored if self._sealing is None else self._sealing.open(number, stored, last=last)
        return decompress(self._compression, frame, limit)


def encode(codec: Codec, context: str, raw: Any) -> bytes:
    """A whole small file as it is stored; in memory, in this thread."""
    encoder = Encoder(codec, context)
    view = memoryview(raw)
    starts = range(0, max(len(view), 1), PART_BYTES)
    parts = [
        encoder.part(number, view[start : start + PART_BYTES], last=start == starts[-1])
        for number, start in enumerate(starts)
    ]
    return b"".join([encoder.header, *parts])


def decoded(
    compression: str | None,
    context: str,
    stored: Iterable[Any],
    *,
    encrypted: bool,
    key: Key | None = None,
    limit: int,
) -> Iterator[bytes]:
    """What a stored file holds, from its bytes in chunks of any size; at most `limit` bytes in all.

    CorruptionError if it is not what was stored, cut short, or longer; StateError without the key.
    """
    try:
        if encrypted:
            stored = _opened(context, stored, key)
        yield from decompressed(compression, stored, limit)
    except CorruptionError as error:
        if not error.message.startswith(context):
            error.args = (f"{context}: {error.message}",)
            error.message = error.args[0]
        raise


def decode(
    compression: str | None,
    context: str,
    stored: Any,
    *,
    encrypted: bool,
    key: Key | None = None,
    limit: int,
) -> bytes:
    """`decoded` of a file that is in memory."""
    return b"".join(decoded(compression, context, [stored], encrypted=encrypted, key=key, limit=limit))


def _opened(context: str, stored: Iterable[Any], key: Key | None) -> Iterator[bytes]:
    """The parts of an encrypted file, one after the other, decrypted."""
    source = _Taker(stored)
    sealing = encryption.resume(key, context, source.take(HEADER_BYTES))
    number, last = 0, False
    while not last:
        head = source.take(LENGTH_BYTES)
        if len(head) < LENGTH_BYTES:
            raise CorruptionError(f"it ends behind part {number - 1}, which is not its last one")
        length, last = length_of(head)
        if length > STORED_PART_BYTES_MAX:
            raise CorruptionError(f"part {number} claims {length} bytes, at most {STORED_PART_BYTES_MAX} fit")
        yield sealing.open(number, head + source.take(length), last=last)
        number += 1
    if source.take(1):
        raise CorruptionError("there is more behind its last part")


class _Taker:
    """Takes exact numbers of bytes from chunks."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks = iter(chunks)
        self._buffer = bytearray()

    def take(self, count: int) -> bytes:
        """The next `count` bytes; fewer only at the end."""
        while len(self._buffer) < count:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._buffer += chunk
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken
