"""The exclusive lock on an instance: an advisory `flock` on a file that says who holds it.

The file holds one JSON object: `pid`, `host`, `since` and whatever else the owner put in. Only the lock
itself counts. What a dead process left in the file is no lock, and the file is never removed, for a name that
comes and goes cannot be locked without races.

- The same process is refused too: held locks are remembered by device and inode, because some network file
  systems lock per process.
- A forked child drops its copies at once: it neither holds the lock nor keeps it alive after its parent.
- A probe (`read_owner`) takes a shared lock for microseconds; taking the lock therefore tries for a moment.

Called by `local.LocalFileSystem` only.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from typing import Any

from absdb.errors import LockedError
from absdb.io.failure import locked_error

_ATTEMPTS = 10
_PAUSE_SECONDS = 0.005
_OWNER_BYTES = 64 * 1024

# Of the kind that its holder may take again: the collector may come by at any moment in here, and finish off an engine
# that nobody uses any more, which gives up its lock.
_mutex = threading.RLock()
_held: dict[tuple[int, int], FileLock] = {}


class FileLock:
    """A held lock. `release` gives it up; the end of the process does too."""

    __slots__ = ("_fd", "_identity", "owner", "path")

    def __init__(self, path: str, fd: int, identity: tuple[int, int], owner: dict[str, Any]) -> None:
        self.path = path
        self.owner = owner
        self._fd = fd
        self._identity = identity

    def release(self) -> None:
        """Give the lock up and empty the file; releasing twice is harmless."""
        with _mutex:
            if self._fd < 0:
                return
            fd, self._fd = self._fd, -1
            _held.pop(self._identity, None)
            try:
                os.ftruncate(fd, 0)
                fcntl.flock(fd, fcntl.LOCK_UN)
            except OSError:
                pass  # closing gives the lock up in any case; the content is for people only
            finally:
                os.close(fd)

    def _forget(self) -> None:
        """In a forked child: close the inherited copy without unlocking what the parent holds."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def take(full: str, path: str, owner: dict[str, Any]) -> FileLock:
    """Lock the file at `full`, made when missing, and write `owner` into it.

    `pid` and `host` are filled in when the owner does not say them. Raises LockedError with the holder's
    facts, and OSError where the system refuses.
    """
    owner = {"pid": os.getpid(), "host": socket.gethostname(), **owner}
    fd = os.open(full, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        with _mutex:
            found = os.fstat(fd)
            identity = (found.st_dev, found.st_ino)
            holder = _held.get(identity)
            if holder is not None:
                raise _locked(full, holder.owner, own=True)
            if not _try_exclusive(fd):
                raise _locked(full, _read(fd), own=False)
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(owner, default=str).encode() + b"\n", 0)
            lock = FileLock(path, fd, identity, owner)
            _held[identity] = lock
            return lock
    except BaseException:
        os.close(fd)
        raise


def read_owner(full: str) -> dict[str, Any] | None:
    """The facts of the process that holds the lock now, None if nobody does; OSError where it refuses."""
    try:
        fd = os.open(full, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        with _mutex:
            found = os.fstat(fd)
            holder = _held.get((found.st_dev, found.st_ino))
            if holder is not None:
                return dict(holder.owner)
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _read(fd)
            fcntl.flock(fd, fcntl.LOCK_UN)
            return None
    finally:
        os.close(fd)


def _locked(full: str, owner: dict[str, Any], *, own: bool) -> LockedError:
    return locked_error(os.path.dirname(full), owner, own=own)


def _try_exclusive(fd: int) -> bool:
    """Take the exclusive lock; False if somebody holds it longer than a probe would."""
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if attempt + 1 < _ATTEMPTS:
                time.sleep(_PAUSE_SECONDS)
    return False


def _read(fd: int) -> dict[str, Any]:
    """The owner's facts from the file; {} while it is being written."""
    try:
        facts = json.loads(os.pread(fd, _OWNER_BYTES, 0))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _after_fork_in_child() -> None:
    """A child owns nothing: the parent still does."""
    global _mutex
    _mutex = threading.RLock()
    for lock in _held.values():
        lock._forget()
    _held.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
