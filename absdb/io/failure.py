"""What the operating system said, turned into errors with a place and advice.

Every file system of this room raises through here, so that the same fault reads the same everywhere:

    cannot write wal/000000010000000000000000 in /data/shop: No space left on device (ENOSPC)
      hint: 1.2 MiB are free on that disk; make room and do it again; reopen an instance that stopped

Facts on the error: `path` (relative to the root), `root`, `errno`, `strerror`, `doing` (the verb).
A lock that somebody else holds is a LockedError with `pid`, `host`, `since` and `place`.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from absdb.errors import LockedError, StorageError

_ADVICE = {
    errno.EDQUOT: "the user's disk quota is used up; make room and do it again; reopen an instance that stopped",
    errno.EFBIG: "the size of files is limited; look at `ulimit -f` and at the file system's own limit",
    errno.EIO: "the device failed to read or write; look at the kernel's log, and do not trust that disk",
    errno.EROFS: "that file system is mounted read-only; remount it or use another place; an instance opens read-only",
    errno.ENFILE: "the whole system has run out of open files; close programs or raise fs.file-max",
    errno.ENOLCK: "that file system does not lock files; keep the instance on a local disk",
    errno.EOPNOTSUPP: "that file system lacks the operation; keep the instance on a local disk",
    errno.ENAMETOOLONG: "the directory of the instance lies too deep; move it to a shorter path",
    errno.ESTALE: "a network file system lost the file; keep the instance on a local disk",
}


def storage_error(doing: str, path: str, root: str, code: int, *, detail: str = "") -> StorageError:
    """A StorageError: "cannot `doing` `path` in `root`", the system's words for `code`, and a hint.

    `detail` replaces the system's words where absdb knows better.
    """
    words = detail or os.strerror(code)
    name = errno.errorcode.get(code, str(code))
    place = f"{path} in {root}" if path else root
    error = StorageError(
        f"cannot {doing} {place}: {words} ({name})",
        hint=_hint(code, path, root),
        path=path,
        root=root,
        errno=code,
        strerror=words,
        doing=doing,
    )
    error.errno, error.strerror = code, words
    return error


def from_os_error(doing: str, path: str, root: str, error: OSError) -> StorageError:
    """The same from what an os.* function raised."""
    return storage_error(doing, path, root, error.errno or errno.EIO)


def locked_error(place: str, owner: dict[str, Any], *, own: bool) -> LockedError:
    """A LockedError that names pid, host and since when; `own`: the holder is this process."""
    pid, host, since = (owner.get(key) for key in ("pid", "host", "since"))
    who = "this process" if own else f"process {pid}" if pid is not None else "another process"
    where = f" on {host}" if host else ""
    when = f" since {since}" if since else ""
    hint = (
        "use the open instance, or close it first"
        if own
        else "close it there, or open the instance read-only"
    )
    facts = {key: value for key, value in owner.items() if key not in ("message", "hint", "place")}
    return LockedError(
        f"{place} is locked by {who}{f' (pid {pid})' if own else ''}{where}{when}",
        hint=hint,
        **{"pid": None, "host": None, "since": None, **facts, "place": place},
    )


def readable_size(size: int) -> str:
    """`512 bytes`, `1.2 MiB`: for messages."""
    if size < 1024:
        return f"{size} bytes"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def _hint(code: int, path: str, root: str) -> str:
    """What to do about it; "" where the message says it all."""
    if code == errno.ENOSPC:
        return f"{_free(root)}make room and do it again; reopen an instance that stopped"
    if code in (errno.EACCES, errno.EPERM):
        return _permission_hint(os.path.join(root, path))
    if code == errno.EMFILE:
        return f"this process has reached its limit{_open_files()}; raise it with `ulimit -n`"
    return _ADVICE.get(code, "")


def _free(root: str) -> str:
    """How much room is left where the root lies, as the start of a sentence."""
    try:
        disk = os.statvfs(root)
    except (OSError, ValueError):
        return ""
    return f"{readable_size(disk.f_bavail * disk.f_frsize)} are free on that disk; "


def _open_files() -> str:
    """The limit of open files, where the system tells it."""
    try:
        import resource
    except ImportError:
        return ""
    return f" of {resource.getrlimit(resource.RLIMIT_NOFILE)[0]} open files"


def _permission_hint(full: str) -> str:
    """Who runs, and whose file or directory refused."""
    place = full
    while True:
        try:
            found = os.stat(place)
            break
        except OSError:
            parent = os.path.dirname(place)
            if parent == place:
                return "check who owns the directory of the instance, and who runs this process"
            place = parent
    return (
        f"this process runs as user {os.geteuid()}, and {place} belongs to user {found.st_uid} "
        f"with mode {found.st_mode & 0o7777:04o}"
    )
