"""The published durable LSN, shown to other processes through a small shared mapping.

    offset  bytes  field
         0      8  magic b"ABSDBWM1"
         8      8  LSN
        16      8  the same LSN, inverted: a reader that sees the two disagree looks again

The writer stores after each sync, without a system call. The file says nothing after a crash; recovery never
reads it. A reader in a second process replays the log up to this LSN and no further, so that it never sees a
commit that is not durable.
"""

from __future__ import annotations

import struct

from absdb.errors import CorruptionError
from absdb.io.base import FileSystem
from absdb.paths import WATERMARK

MAGIC = b"ABSDBWM1"
BYTES = 4096
_PAIR = struct.Struct("<QQ")
_ALL = 2**64 - 1
TRIES_MAX = 1000


class Watermark:
    """One end of the mapping."""

    def __init__(self, fs: FileSystem, *, write: bool) -> None:
        self._view = fs.map_shared(WATERMARK, BYTES, write=write)
        if write:
            self.set(0)
            self._view[:8] = MAGIC

    def set(self, lsn: int) -> None:
        _PAIR.pack_into(self._view, 8, lsn, lsn ^ _ALL)

    def get(self) -> int:
        """The LSN; CorruptionError if the file never holds one."""
        for _ in range(TRIES_MAX):
            lsn, inverted = _PAIR.unpack_from(self._view, 8)
            if lsn ^ _ALL == inverted and bytes(self._view[:8]) == MAGIC:
                return int(lsn)
        raise CorruptionError(
            f"{WATERMARK} does not hold an LSN", hint="it is rewritten when a writer opens the instance"
        )

    def close(self) -> None:
        self._view.release()
