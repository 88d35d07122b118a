"""How far the log goes, in a small file that all processes map: what readers may see, and what must be there.

    offset  bytes  field
         0      8  magic b"ABSDBWM1"
         8     16  instance id
        24      8  timeline
        32      8  since when the writer holds the lock, µs since 1970 UTC (signed)
        40      8  published LSN: readers in other processes replay the log up to here and no further
        48      8  durable LSN: the log was synced up to here
        56      4  CRC-32C of all before it

The writer stores all of it after each sync, without a system call. Who sees a wrong checksum has looked in the
middle of a store, or after a crash, and takes the file for absent if looking again does not help.

Readers follow the published LSN only if it is that of the lock's holder, who is known by the time in the lock file:
another one has not begun to append yet. Recovery takes the durable LSN for a lower bound: a log that ends below it
has lost commits that were acknowledged, be it a segment or the end of one, and is refused. This is sound, since the
file never says more than is so:

- The LSN is stored after the sync has returned, and is the LSN of the sync. In nosync mode it stays behind the
  published one, at what was synced.
- The file is never synced. A power loss leaves any of its former contents, which are lower bounds too, a mixture,
  which the checksum tells, or nothing.
- The bytes of one instance or timeline say nothing about another one's log: both ids are under the checksum.
- Recovery keeps every record below the bound and wipes only what is behind it, so an older file stays true.

A copy of the directory made while it was written may have this file from later than its log, and so may one in which
the log was put back from a backup. Such a log does lack commits; the error says so, and that the file may be removed,
which drops the bound. A backup leaves it out.
"""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple

from crc32c import crc32c

from absdb.errors import StorageError
from absdb.io.base import FileSystem
from absdb.paths import WATERMARK

MAGIC = b"ABSDBWM1"
BYTES = 4096
_IDENTITY = struct.Struct("<8s16sQq")
_LSNS = struct.Struct("<QQ")
_CRC = struct.Struct("<I")
_ALL = struct.Struct("<8s16sQqQQI")
TRIES_MAX = 100


class Mark(NamedTuple):
    """What the file says."""

    instance_id: bytes
    timeline: int
    since_us: int
    published: int
    durable: int


class Watermark:
    """The writer's end of the mapping. What an earlier writer left stays until the first `set`."""

    def __init__(self, fs: FileSystem, *, instance_id: bytes, timeline: int, since_us: int) -> None:
        self._view = fs.map_shared(WATERMARK, BYTES, write=True)
        self._identity = _IDENTITY.pack(MAGIC, instance_id, timeline, since_us)

    def set(self, published: int, durable: int) -> None:
        data = self._identity + _LSNS.pack(published, durable)
        self._view[: _ALL.size] = data + _CRC.pack(crc32c(data))

    def close(self) -> None:
        self._view.release()


def read_watermark(fs: FileSystem) -> Mark | None:
    """What the file says now; None if it is not there or nothing whole."""
    for _ in range(TRIES_MAX):
        # Read, not mapped: a page that the disk cannot read is an error then and does not kill the process.
        data = _bytes_of(fs)
        if len(data) < _ALL.size:
            return None
        magic, *fields, crc = _ALL.unpack(data)
        if magic != MAGIC:
            return None
        if crc == crc32c(data[: -_CRC.size]):
            return Mark(*fields)
    return None


def _bytes_of(fs: FileSystem) -> bytes:
    try:
        file = fs.open(WATERMARK)
    except StorageError as error:
        if error.errno != errno.ENOENT:
            raise
        return b""
    try:
        return file.pread(0, _ALL.size)
    finally:
        file.close()
