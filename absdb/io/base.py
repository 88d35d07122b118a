"""What absdb asks of a file system. Everything that touches a disk goes through these two protocols.

Paths are relative to the root the file system was opened on, with forward slashes: `wal/0000…`. A path that
leaves the root is refused. All failures of the system surface as StorageError with `path` and `errno`.

What durability rests on, for every implementation:

- `File.sync` returns only when the file's bytes (and, unless `data_only`, its size and times) are durable;
- a created, renamed or unlinked name is durable only after `FileSystem.sync_directory` of its directory;
- `rename` replaces the target atomically;
- `pwrite` may be torn by a crash at any 512-byte boundary, and unsynced writes may be lost in any order.

Called by wal/, pages/, engine/ and the checkpoint code; implemented by `local.LocalFileSystem`,
`memory.MemoryFileSystem` and the fault-injecting ones in absdb.testing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeAlias, runtime_checkable

import pyarrow as pa

from absdb.errors import StorageError

Bytes: TypeAlias = bytes | bytearray | memoryview | pa.Buffer


class File(Protocol):
    """An open file. Safe for reads from many threads; writes come from one at a time."""

    path: str

    def pread(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end of the file."""
        ...

    def pwrite(self, offset: int, chunks: Sequence[Bytes]) -> int:
        """Write all chunks one after the other from `offset` on; the bytes written: all of them, or StorageError."""
        ...

    def sync(self, *, data_only: bool = False) -> None:
        """Make the contents durable; `data_only` skips metadata that reading does not need (fdatasync)."""
        ...

    def truncate(self, size: int) -> None: ...

    def size(self) -> int: ...

    def close(self) -> None:
        """Close; closing twice is harmless."""
        ...


class Lock(Protocol):
    """An exclusive lock on an instance, held until released or until the process ends."""

    def release(self) -> None: ...


@runtime_checkable
class FileSystem(Protocol):
    """A directory tree, rooted at one instance or one backup."""

    root: str

    def create(self, path: str) -> File:
        """A new empty file, open for reading and writing; StorageError (EEXIST) if the name is taken."""
        ...

    def open(self, path: str, *, write: bool = False) -> File:
        """An existing file; StorageError (ENOENT) if it is not there."""
        ...

    def map(self, path: str) -> pa.Buffer:
        """The whole file as one read-only buffer, mapped where the system can. The caller has checked it."""
        ...

    def map_shared(self, path: str, length: int, *, write: bool) -> memoryview:
        """A small mapping that other processes see at once; with `write` the file is made when missing."""
        ...

    def exists(self, path: str) -> bool: ...

    def size(self, path: str) -> int: ...

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted; empty if the directory is not there."""
        ...

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents, durable once it returns; an existing one is fine."""
        ...

    def rename(self, source: str, target: str) -> None:
        """Atomically, replacing the target."""
        ...

    def unlink(self, path: str) -> None:
        """Remove a file; StorageError (ENOENT) if it is not there."""
        ...

    def sync_directory(self, path: str) -> None: ...

    def lock(self, path: str, owner: dict[str, Any]) -> Lock:
        """Take the exclusive lock, writing `owner` into the file; LockedError has the holder's facts."""
        ...

    def lock_owner(self, path: str) -> dict[str, Any] | None:
        """Who holds the lock now, None if nobody does."""
        ...

    def free_bytes(self) -> int: ...


def write_atomic(fs: FileSystem, path: str, data: bytes) -> None:
    """Put `data` at `path` so that a crash leaves the old file or the new one, whole; durable on return.

    Where there is no room for it the old file stays, and what was begun is removed.
    """
    temporary = path + ".tmp"
    if fs.exists(temporary):
        fs.unlink(temporary)
    file = fs.create(temporary)
    try:
        try:
            file.pwrite(0, [data])
            file.sync()
        finally:
            file.close()
    except StorageError:
        with suppress(StorageError):  # the first error is the one to report; nothing refers to the file
            fs.unlink(temporary)
        raise
    fs.rename(temporary, path)
    fs.sync_directory(path.rpartition("/")[0])


def read_file(fs: FileSystem, path: str) -> bytes:
    """A whole file's bytes."""
    file = fs.open(path)
    try:
        return file.pread(0, file.size())
    finally:
        file.close()
