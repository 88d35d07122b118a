"""Compression of parts: each a zstd or lz4 frame of its own, so that `zstd -d` and `lz4 -d` read a stored file.

Level 1 of zstd: pages are large and a backup should be as quick as the disk. Compressors belong to one thread each,
since zstd's cannot be shared.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

from absdb.errors import CorruptionError

ZSTD_LEVEL = 1
AS_SET = "as set"
"""In place of a compression: the one that a setting says."""
SUFFIXES = {None: "", "lz4": ".lz4", "zstd": ".zst"}
PIECE_BYTES = {"zstd": 2048, "lz4": 64 * 1024}
"""So much of a stream is decompressed at once: a byte of zstd can stand for 32 KiB, one of lz4 for 255 bytes."""
_local = threading.local()


def compress(kind: str | None, raw: Any) -> Any:
    """The frame of one part; the part itself without compression. Bytes-like."""
    if kind is None:
        return raw
    if kind == "zstd":
        if not hasattr(_local, "compressor"):
            import zstandard

            _local.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=False)
        return _local.compressor.compress(raw)
    import lz4.frame

    return lz4.frame.compress(raw, store_size=True)


def decompress(kind: str | None, frame: Any, limit: int) -> Any:
    """The part of one frame, at most `limit` bytes. CorruptionError if it is none, or is longer."""
    if kind is None:
        if len(frame) > limit:
            raise CorruptionError(f"a part has {len(frame)} bytes, at most {limit} were expected")
        return frame
    if kind == "zstd" and (raw := _declared(frame, limit)) is not None:
        return raw
    return b"".join(decompressed(kind, [frame], limit))


def _declared(frame: Any, limit: int) -> bytes | None:
    """The part of a zstd frame that says how long it is, which takes no more memory than that; else None."""
    import zstandard

    try:
        size = zstandard.get_frame_parameters(frame).content_size
        if size in (0, zstandard.CONTENTSIZE_UNKNOWN):
            return None
        if size <= limit:
            return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptionError(f"not a frame of zstd: {error}") from error
    raise CorruptionError(f"a part has {size} bytes, at most {limit} were expected")


def decompressed(kind: str | None, stored: Iterable[Any], limit: int) -> Iterator[bytes]:
    """What stored bytes, in chunks of any size, hold: one frame after another, at most `limit` bytes in all.

    CorruptionError where they are no frames, end within one, or hold more.
    """
    total = 0
    for chunk in _frames(kind, stored) if kind else stored:
        total += len(chunk)
        if total > limit:
            raise CorruptionError(f"more than the {limit} bytes that were expected come out of it")
        if chunk:
            yield chunk


def _frames(kind: str, stored: Iterable[Any]) -> Iterator[bytes]:
    reader, begun = _reader(kind), False
    for piece in _pieces(stored, PIECE_BYTES[kind]):
        rest = piece
        while rest:
            if reader.eof:
                reader, begun = _reader(kind), False
            begun = True
            try:
                yield reader.decompress(rest)
            except Exception as error:  # zstandard and lz4 have errors of their own, RuntimeError among them
                raise CorruptionError(f"not a frame of {kind}: {error}") from error
            rest = (reader.unused_data or b"") if reader.eof else b""
    if begun and not reader.eof:
        raise CorruptionError(f"the last frame of {kind} is cut short")


def _pieces(stored: Iterable[Any], size: int) -> Iterator[bytes]:
    for chunk in stored:
        view = memoryview(chunk)
        for start in range(0, len(view), size):
            yield bytes(view[start : start + size])


def _reader(kind: str) -> Any:
    if kind == "zstd":
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj()
    import lz4.frame

    return lz4.frame.LZ4FrameDecompressor()
