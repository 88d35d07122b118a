"""A FileSystem around another one: every call goes through one method, `around`, for a subclass to act on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pyarrow as pa

from absdb.io.base import Bytes, File, FileSystem, Lock

T = TypeVar("T")


class WrappedFile:
    """An open file of a WrappedFileSystem."""

    def __init__(self, fs: WrappedFileSystem, inner: File) -> None:
        self._fs = fs
        self.inner = inner
        self.path = inner.path

    def pread(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end of the file."""
        return self._fs.around("pread", self.path, lambda: self.inner.pread(offset, length))

    def pwrite(self, offset: int, chunks: Sequence[Bytes]) -> int:
        """Write all chunks in a row from `offset` on; returns the bytes written."""
        return self._fs.around("pwrite", self.path, lambda: self.inner.pwrite(offset, chunks))

    def sync(self, *, data_only: bool = False) -> None:
        """Make the contents durable."""
        self._fs.around("sync", self.path, lambda: self.inner.sync(data_only=data_only))

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes, or extend it with zeros."""
        self._fs.around("truncate", self.path, lambda: self.inner.truncate(size))

    def size(self) -> int:
        """Bytes in the file."""
        return self._fs.around("size", self.path, self.inner.size)

    def close(self) -> None:
        """Close; closing twice is harmless."""
        self._fs.around("close", self.path, self.inner.close)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r} of {self._fs!r}>"


class WrappedFileSystem:
    """All calls forwarded to `inner`, through `around`."""

    def __init__(self, inner: FileSystem) -> None:
        self.inner = inner
        self.root = inner.root

    def around(self, op: str, path: str, call: Callable[[], T]) -> T:
        """Do the call; `op` is the name of the method and `path` what it is about (a rename's source)."""
        return call()

    def create(self, path: str) -> File:
        """A new empty file, open for reading and writing."""
        return self._file(self.around("create", path, lambda: self.inner.create(path)))

    def open(self, path: str, *, write: bool = False) -> File:
        """An existing file."""
        return self._file(self.around("open", path, lambda: self.inner.open(path, write=write)))

    def map(self, path: str) -> pa.Buffer:
        """The whole file as one read-only buffer."""
        return self.around("map", path, lambda: self.inner.map(path))

    def map_shared(self, path: str, length: int, *, write: bool) -> memoryview:
        """A small shared mapping."""
        return self.around("map_shared", path, lambda: self.inner.map_shared(path, length, write=write))

    def exists(self, path: str) -> bool:
        """Whether a file or directory has this name."""
        return self.around("exists", path, lambda: self.inner.exists(path))

    def size(self, path: str) -> int:
        """Bytes in a file."""
        return self.around("size", path, lambda: self.inner.size(path))

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        return self.around("list", path, lambda: self.inner.list(path))

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents."""
        self.around("make_directory", path, lambda: self.inner.make_directory(path))

    def rename(self, source: str, target: str) -> None:
        """Atomically, replacing the target."""
        self.around("rename", source, lambda: self.inner.rename(source, target))

    def unlink(self, path: str) -> None:
        """Remove a file."""
        self.around("unlink", path, lambda: self.inner.unlink(path))

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""
        self.around("sync_directory", path, lambda: self.inner.sync_directory(path))

    def lock(self, path: str, owner: dict[str, Any]) -> Lock:
        """Take the exclusive lock."""
        return self.around("lock", path, lambda: self.inner.lock(path, owner))

    def lock_owner(self, path: str) -> dict[str, Any] | None:
        """Who holds the lock now."""
        return self.around("lock_owner", path, lambda: self.inner.lock_owner(path))

    def free_bytes(self) -> int:
        """Bytes that may still be written."""
        return self.around("free_bytes", "", self.inner.free_bytes)

    def _file(self, inner: File) -> File:
        return WrappedFile(self, inner)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.inner!r}>"
