"""A disk in memory: the FileSystem protocol for `:memory:` instances, and the ground of the faulty ones.

Contents live in one bytearray per file (a `Node`), names in one dict; one mutex guards them all. Everything
is as durable as the process. Maps share the node's memory, as maps of a disk do; a file that changes its size
while it is mapped gets new memory, and the old map keeps what it had. `capacity` makes the disk a small one:
a write beyond it is cut short and fails with ENOSPC.

Made by instance.py for `:memory:`; `absdb.testing.recording` records what is done to one.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from absdb.errors import StateError
from absdb.io.base import Bytes
from absdb.io.failure import locked_error, storage_error
from absdb.paths import check_path


class Node:
    """The contents of a file, whatever names and handles it has."""

    __slots__ = ("data",)

    def __init__(self, data: bytes | bytearray = b"") -> None:
        self.data = bytearray(data)

    def resize(self, size: int) -> None:
        """Cut, or extend with zeros; maps of the old size keep their memory."""
        missing = size - len(self.data)
        try:
            if missing < 0:
                del self.data[size:]
            elif missing:
                self.data.extend(bytes(missing))
        except BufferError:
            self.data = bytearray(self.data[:size])
            self.data.extend(bytes(max(0, missing)))

    def write(self, offset: int, view: memoryview) -> None:
        """Put the bytes at `offset`, extending the file where needed."""
        end = offset + view.nbytes
        if end > len(self.data):
            self.resize(end)
        self.data[offset:end] = view


class MemoryFile:
    """An open file in memory. Safe for any number of threads."""

    __slots__ = ("_fs", "_open", "_write", "node", "path")

    def __init__(self, fs: MemoryFileSystem, node: Node, path: str, *, write: bool) -> None:
        self._fs = fs
        self._open = True
        self._write = write
        self.node = node
        self.path = path

    def pread(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end of the file."""
        with self._fs.mutex:
            self._check("read")
            if offset < 0 or length < 0:
                raise storage_error("read", self.path, self._fs.root, errno.EINVAL)
            with memoryview(self.node.data) as view:
                return bytes(view[offset : offset + length])

    def pwrite(self, offset: int, chunks: Sequence[Bytes]) -> int:
        """Write all chunks in a row from `offset` on; returns the bytes written, all or StorageError."""
        views = [view for view in (memoryview(chunk).cast("B") for chunk in chunks) if view.nbytes]
        start = offset
        with self._fs.mutex:
            self._check("write", write=True)
            if offset < 0:
                raise storage_error("write", self.path, self._fs.root, errno.EINVAL)
            for view in views:
                room = self._fs.room_for(self.node, offset, view.nbytes)
                if room:
                    self.node.write(offset, view[:room])
                if room < view.nbytes:
                    raise storage_error("write", self.path, self._fs.root, errno.ENOSPC)
                offset += room
        return offset - start

    def sync(self, *, data_only: bool = False) -> None:
        """Nothing to do: memory is as durable as it gets."""
        with self._fs.mutex:
            self._check("sync")

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes, or extend it with zeros."""
        with self._fs.mutex:
            self._check("truncate", write=True)
            if size < 0:
                raise storage_error("truncate", self.path, self._fs.root, errno.EINVAL)
            self.node.resize(size)

    def size(self) -> int:
        """Bytes in the file."""
        with self._fs.mutex:
            self._check("look at")
            return len(self.node.data)

    def close(self) -> None:
        """Close; closing twice is harmless."""
        self._open = False

    def _check(self, doing: str, *, write: bool = False) -> None:
        """Refuse on a closed handle, and a change on a handle that is for reading."""
        if not self._open:
            raise StateError(f"cannot {doing} {self.path} in {self._fs.root}: the file is closed")
        if write and not self._write:
            raise storage_error(doing, self.path, self._fs.root, errno.EBADF)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}{'' if self._open else ' (closed)'}>"


class MemoryLock:
    """A held lock on a file in memory."""

    __slots__ = ("_fs", "owner", "path")

    def __init__(self, fs: MemoryFileSystem, path: str, owner: dict[str, Any]) -> None:
        self._fs = fs
        self.path = path
        self.owner = owner

    def release(self) -> None:
        """Give the lock up; releasing twice is harmless."""
        with self._fs.mutex:
            if self._fs.locks.get(self.path) is self:
                del self._fs.locks[self.path]


class MemoryFileSystem:
    """A directory tree in memory; `capacity` bounds the bytes in all files together (None: unbounded)."""

    def __init__(self, *, root: str = ":memory:", capacity: int | None = None) -> None:
        self.root = root
        self.capacity = capacity
        self.mutex = threading.RLock()
        self.nodes: dict[str, Node] = {}
        self.directories: set[str] = {""}
        self.locks: dict[str, MemoryLock] = {}

    def create(self, path: str) -> MemoryFile:
        """A new empty file, open for reading and writing; StorageError (EEXIST) if the name is taken."""
        with self.mutex:
            self._check_parent("create", path)
            if path in self.nodes or path in self.directories:
                raise storage_error("create", path, self.root, errno.EEXIST)
            node = self.nodes[path] = Node()
            return self._file(node, path, write=True)

    def open(self, path: str, *, write: bool = False) -> MemoryFile:
        """An existing file; StorageError (ENOENT) if it is not there."""
        with self.mutex:
            return self._file(self._node("open", path), path, write=write)

    def map(self, path: str) -> pa.Buffer:
        """The whole file as one read-only buffer over the file's own memory."""
        with self.mutex:
            node = self._node("map", path)
            return pa.py_buffer(memoryview(node.data).toreadonly() if node.data else b"")

    def map_shared(self, path: str, length: int, *, write: bool) -> memoryview:
        """The first `length` bytes of a file; with `write` it is made and extended.

        Raises StorageError: ENOENT if there is no such file to read, ENODATA if it is shorter than `length`.
        """
        with self.mutex:
            if write and path not in self.nodes:
                self.create(path).close()
            node = self._node("map", path)
            if len(node.data) < length:
                if not write:
                    raise storage_error("map", path, self.root, errno.ENODATA)
                node.resize(length)
            view = memoryview(node.data)[:length]
            return view if write else view.toreadonly()

    def exists(self, path: str) -> bool:
        """Whether a file or directory has this name."""
        check_path(path, directory=True)
        with self.mutex:
            return path in self.nodes or path in self.directories

    def size(self, path: str) -> int:
        """Bytes in a file; StorageError (ENOENT) if it is not there."""
        with self.mutex:
            return len(self._node("look at", path).data)

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted; empty if the directory is not there."""
        check_path(path, directory=True)
        with self.mutex:
            if path in self.nodes:
                raise storage_error("list", path, self.root, errno.ENOTDIR)
            prefix = f"{path}/" if path else ""
            names = (name for known in (self.nodes, self.directories) for name in known)
            inside = (name[len(prefix) :] for name in names if name.startswith(prefix) and name != path)
            return sorted(name for name in inside if name and "/" not in name)

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents; an existing one is fine."""
        check_path(path, directory=True)
        with self.mutex:
            parts = path.split("/") if path else []
            for depth in range(1, len(parts) + 1):
                directory = "/".join(parts[:depth])
                if directory in self.nodes:
                    raise storage_error("make directory", path, self.root, errno.EEXIST)
                self.directories.add(directory)

    def rename(self, source: str, target: str) -> None:
        """Atomically, replacing the target. Files only."""
        with self.mutex:
            node = self._node("rename", source)
            self._check_parent("rename", target)
            if target in self.directories:
                raise storage_error("rename", source, self.root, errno.EISDIR)
            del self.nodes[source]
            self.nodes[target] = node

    def unlink(self, path: str) -> None:
        """Remove a file; StorageError (ENOENT) if it is not there. Handles and maps of it stay usable."""
        with self.mutex:
            self._node("remove", path)
            del self.nodes[path]

    def sync_directory(self, path: str) -> None:
        """Nothing to do, once the directory is known to be there."""
        check_path(path, directory=True)
        with self.mutex:
            if path not in self.directories:
                code = errno.ENOTDIR if path in self.nodes else errno.ENOENT
                raise storage_error("sync directory", path, self.root, code)

    def lock(self, path: str, owner: dict[str, Any]) -> MemoryLock:
        """Take the exclusive lock; LockedError with the holder's facts if it is held."""
        with self.mutex:
            holder = self.locks.get(path)
            if holder is not None:
                raise locked_error(self.root, holder.owner, own=True)
            if path not in self.nodes:
                self.create(path).close()
            owner = {"pid": os.getpid(), "host": socket.gethostname(), **owner}
            lock = self.locks[path] = MemoryLock(self, path, owner)
            return lock

    def lock_owner(self, path: str) -> dict[str, Any] | None:
        """Who holds the lock now, None if nobody does."""
        check_path(path)
        with self.mutex:
            holder = self.locks.get(path)
            return dict(holder.owner) if holder is not None else None

    def free_bytes(self) -> int:
        """What is left of the capacity; the largest index where it is unbounded."""
        with self.mutex:
            if self.capacity is None:
                return sys.maxsize
            return max(0, self.capacity - sum(len(node.data) for node in self.nodes.values()))

    def room_for(self, node: Node, offset: int, length: int) -> int:
        """How many of `length` bytes may be written to a file at `offset`."""
        if self.capacity is None:
            return length
        return max(0, min(length, len(node.data) + self.free_bytes() - offset))

    def _file(self, node: Node, path: str, *, write: bool) -> MemoryFile:
        """The handle of an open file; a subclass gives a handle of its own kind."""
        return MemoryFile(self, node, path, write=write)

    def _node(self, doing: str, path: str) -> Node:
        check_path(path)
        node = self.nodes.get(path)
        if node is None:
            self._check_parent(doing, path)
            code = errno.EISDIR if path in self.directories else errno.ENOENT
            raise storage_error(doing, path, self.root, code)
        return node

    def _check_parent(self, doing: str, path: str) -> None:
        check_path(path)
        parent = path.rpartition("/")[0]
        if parent not in self.directories:
            code = errno.ENOTDIR if parent in self.nodes else errno.ENOENT
            raise storage_error(doing, path, self.root, code)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.root!r}: {len(self.nodes)} files>"
