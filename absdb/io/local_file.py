"""One open file of the local disk, and how the local disk is synced.

- Writes loop until every byte is taken: signals, short writes and the system's limit on pieces per call are
  dealt with here.
- A file stays open from its writes to their sync: some systems report a write that failed later only to
  those who had the file open. A sync that failed is never tried again.
- On macOS `fsync` stops at the drive's cache, so F_FULLFSYNC is used where the file system has it.

Made by `local.LocalFileSystem` only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import warnings
from collections.abc import Sequence

from absdb.errors import AbsdbError, StateError
from absdb.io.base import Bytes
from absdb.io.failure import from_os_error

_PIECES = os.sysconf("SC_IOV_MAX") if "SC_IOV_MAX" in os.sysconf_names else 16
_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)
_NO_FULL_SYNC = (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY)


class LocalFile:
    """An open file. Any number of threads may read, one at a time writes; none while it is being closed."""

    __slots__ = ("_fd", "_root", "path")

    def __init__(self, fd: int, path: str, root: str) -> None:
        self._fd = fd
        self._root = root
        self.path = path

    def pread(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end of the file."""
        try:
            data = os.pread(self._fd, length, offset)
            if len(data) == length or not data:
                return data
            pieces = [data]
            got = len(data)
            while got < length:
                data = os.pread(self._fd, length - got, offset + got)
                if not data:
                    break
                pieces.append(data)
                got += len(data)
            return b"".join(pieces)
        except OSError as error:
            raise self._failure("read", error) from error

    def pwrite(self, offset: int, chunks: Sequence[Bytes]) -> int:
        """Write all chunks one after the other from `offset` on; returns the bytes written.

        All of them, or StorageError; an unknown part of them may then be in the file.
        """
        if len(chunks) == 1 and type(chunks[0]) is bytes:
            try:
                if os.pwrite(self._fd, chunks[0], offset) == len(chunks[0]):
                    return len(chunks[0])
            except InterruptedError:
                pass
            except OSError as error:
                raise self._failure("write", error) from error
        views = [view for view in (memoryview(chunk).cast("B") for chunk in chunks) if view.nbytes]
        start, first = offset, 0
        try:
            while first < len(views):
                try:
                    taken = _write_some(self._fd, views[first : first + _PIECES], offset)
                except InterruptedError:
                    continue
                if taken <= 0:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                offset += taken
                while first < len(views) and taken >= views[first].nbytes:
                    taken -= views[first].nbytes
                    first += 1
                if taken:
                    views[first] = views[first][taken:]
        except OSError as error:
            raise self._failure("write", error) from error
        return offset - start

    def sync(self, *, data_only: bool = False) -> None:
        """Make the contents durable; after an error nothing is known, and trying again proves nothing."""
        if self._fd < 0:
            raise self._closed("sync")
        try:
            if data_only and _FULL_SYNC is None:
                os.fdatasync(self._fd)
            else:
                full_sync(self._fd)
        except OSError as error:
            raise self._failure("sync", error) from error

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes, or extend it with zeros."""
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise self._failure("truncate", error) from error

    def size(self) -> int:
        """Bytes in the file."""
        try:
            return os.fstat(self._fd).st_size
        except OSError as error:
            raise self._failure("look at", error) from error

    def close(self) -> None:
        """Close; closing twice is harmless."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                os.close(fd)
            except OSError as error:
                raise from_os_error("close", self.path, self._root, error) from error

    def _failure(self, doing: str, error: OSError) -> AbsdbError:
        """What to raise for what the system said."""
        if self._fd < 0 and error.errno == errno.EBADF:
            return self._closed(doing)
        return from_os_error(doing, self.path, self._root, error)

    def _closed(self, doing: str) -> StateError:
        return StateError(f"cannot {doing} {self.path} in {self._root}: the file is closed")

    def __repr__(self) -> str:
        return f"<LocalFile {self.path!r}{' (closed)' if self._fd < 0 else ''}>"

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)
            warnings.warn(f"{self!r} was never closed", ResourceWarning, stacklevel=2, source=self)


def full_sync(fd: int) -> None:
    """fsync, through the drive's own cache where the system needs to be told; raises OSError."""
    if _FULL_SYNC is not None:
        try:
            fcntl.fcntl(fd, _FULL_SYNC)
            return
        except OSError as error:
            if error.errno not in _NO_FULL_SYNC:
                raise
    os.fsync(fd)


def sync_directory(full: str) -> None:
    """Sync a directory; raises OSError.

    A file system without such a thing answers EINVAL, and keeps names durable by itself.
    """
    fd = os.open(full, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        full_sync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)


def _write_some(fd: int, views: Sequence[memoryview], offset: int) -> int:
    """One call to the system; returns the bytes it took."""
    if len(views) == 1 or not hasattr(os, "pwritev"):
        return os.pwrite(fd, views[0], offset)
    return os.pwritev(fd, views, offset)
