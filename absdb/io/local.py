"""The local disk: the FileSystem protocol over os.*, rooted at one directory.

Paths are checked before use, and a new name is never a symbolic link to somewhere else; directories may be
links, as when the log lies on a disk of its own. Maps hold no file descriptor, so that thousands of page
files may be mapped. Names are durable after `sync_directory`, contents after a file's `sync`.

Made by instance.py (and tests), handed as a `FileSystem` to everyone else.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from absdb.errors import StorageError
from absdb.io import lock as file_lock
from absdb.io.base import File, Lock
from absdb.io.failure import from_os_error, storage_error
from absdb.io.local_file import LocalFile, sync_directory
from absdb.paths import check_path

_READ = os.O_RDONLY | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_CLOEXEC


class LocalFileSystem:
    """A directory of the local disk. The directory need not exist yet: `make_directory("")` makes it."""

    __slots__ = ("root",)

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.path.abspath(os.fspath(root))

    def create(self, path: str) -> File:
        """A new empty file, open for reading and writing; StorageError (EEXIST) if the name is taken."""
        return self._open("create", path, _WRITE | os.O_CREAT | os.O_EXCL)

    def open(self, path: str, *, write: bool = False) -> File:
        """An existing file; StorageError (ENOENT) if it is not there."""
        return self._open("open", path, _WRITE if write else _READ)

    def map(self, path: str) -> pa.Buffer:
        """The whole file as one read-only buffer; an empty file is an empty buffer. It outlives an unlink."""
        full = self._full(path)
        with self._reporting("map", path):
            if os.stat(full).st_size == 0:
                return pa.py_buffer(b"")
            with pa.memory_map(full, "r") as mapped:
                return mapped.read_buffer()

    def map_shared(self, path: str, length: int, *, write: bool) -> memoryview:
        """The first `length` bytes, shared with other processes; with `write` the file is made and extended.

        Raises StorageError: ENOENT if there is no such file to read, ENODATA if it is shorter than `length`.
        """
        full = self._full(path)
        flags = _WRITE | os.O_CREAT | os.O_NOFOLLOW if write else _READ
        with self._reporting("map", path):
            fd = os.open(full, flags, 0o666)
            try:
                size = os.fstat(fd).st_size
                if size < length:
                    if not write:
                        raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
                    # Bytes rather than a hole: a store into a hole on a full disk kills the process (SIGBUS).
                    if os.pwrite(fd, bytes(length - size), size) != length - size:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                access = mmap.ACCESS_WRITE if write else mmap.ACCESS_READ
                return memoryview(mmap.mmap(fd, length, access=access))
            finally:
                os.close(fd)

    def exists(self, path: str) -> bool:
        """Whether a file or directory has this name; StorageError where the system will not tell."""
        full = self._full(path, directory=True)
        with self._reporting("look for", path):
            try:
                os.stat(full)
            except (FileNotFoundError, NotADirectoryError):
                return False
            return True

    def size(self, path: str) -> int:
        """Bytes in a file; StorageError (ENOENT) if it is not there."""
        full = self._full(path)
        with self._reporting("look at", path):
            return os.stat(full).st_size

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted; empty if the directory is not there."""
        full = self._full(path, directory=True)
        with self._reporting("list", path):
            try:
                return sorted(os.listdir(full))
            except FileNotFoundError:
                return []

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents, durable once it returns; an existing one is fine."""
        full = self._full(path, directory=True)
        with self._reporting("make directory", path):
            missing = []
            while not os.path.isdir(full):
                missing.append(full)
                full = os.path.dirname(full)
            if path and not missing:
                sync_directory(os.path.dirname(full))
            for directory in reversed(missing):
                try:
                    os.mkdir(directory)
                except FileExistsError:
                    if not os.path.isdir(directory):
                        raise
                sync_directory(os.path.dirname(directory))

    def rename(self, source: str, target: str) -> None:
        """Atomically, replacing the target; durable after `sync_directory`."""
        full_source, full_target = self._full(source), self._full(target)
        with self._reporting("rename", source):
            os.rename(full_source, full_target)

    def unlink(self, path: str) -> None:
        """Remove a file; StorageError (ENOENT) if it is not there."""
        full = self._full(path)
        with self._reporting("remove", path):
            os.unlink(full)

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""
        full = self._full(path, directory=True)
        with self._reporting("sync directory", path):
            sync_directory(full)

    def lock(self, path: str, owner: dict[str, Any]) -> Lock:
        """Take the exclusive lock; `owner` may say `since` as text, and pid and host are filled in.

        Raises LockedError with the holder's facts, also when the holder is this process.
        """
        full = self._full(path)
        with self._reporting("lock", path):
            return file_lock.take(full, path, owner)

    def lock_owner(self, path: str) -> dict[str, Any] | None:
        """Who holds the lock now, None if nobody does; {} if its holder is still writing down who it is."""
        full = self._full(path)
        with self._reporting("look at", path):
            return file_lock.read_owner(full)

    def free_bytes(self) -> int:
        """Bytes this process may still write to the disk of the root."""
        with self._reporting("look at", ""):
            disk = os.statvfs(self.root)
            return disk.f_bavail * disk.f_frsize

    def _full(self, path: str, *, directory: bool = False) -> str:
        check_path(path, directory=directory)
        return f"{self.root}/{path}" if path else self.root

    def _open(self, doing: str, path: str, flags: int) -> LocalFile:
        full = self._full(path)
        with self._reporting(doing, path):
            fd = os.open(full, flags, 0o666)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise storage_error(
                        doing, path, self.root, errno.EISDIR, detail="it is not a regular file"
                    )
            except BaseException:
                os.close(fd)
                raise
            return LocalFile(fd, path, self.root)

    @contextmanager
    def _reporting(self, doing: str, path: str) -> Iterator[None]:
        """Turn the system's errors into ours."""
        try:
            yield
        except StorageError:
            raise
        except OSError as error:
            raise from_os_error(doing, path, self.root, error) from error

    def __repr__(self) -> str:
        return f"LocalFileSystem({self.root!r})"
