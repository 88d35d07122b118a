"""A directory of files that are each written once and appear whole: what a store of objects on a disk rests on.

    .absdb-uploads/<tag>     a file being written; nobody else sees it
    .absdb-uploads/lock      held for the moment in which a name gets another file, or loses it
    everything else          finished files, in directories that are made as they are needed and stay

A finished file gets its name by a rename, or by a hard link where nobody else may have had that name, which the system
decides once and for all, also between machines. Names are followed directory by directory without following links, so
that nothing outside of the root is touched, whatever is put into the tree meanwhile. A file's time of change has random
digits below a millisecond: with its size and inode it tells two files of one name apart. All failures of the system are
StorageErrors. Used by objectstore/local.py.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from absdb.errors import StorageError
from absdb.io.failure import from_os_error
from absdb.io.local_file import LocalFile, full_sync, sync_directory
from absdb.paths import check_path

UPLOADS = ".absdb-uploads"

_LOCK = "lock"
_DIRECTORY = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW
_RANDOM_BITS = 19
_RACES_MAX = 100
_HINTS = {
    errno.EEXIST: "a file is where a directory is needed; name another directory",
    errno.ENOTDIR: "a file is where a directory is needed; name another directory",
}
"""What to do, where it is not about the directory of an instance."""


class FileFacts(NamedTuple):
    """What tells one file from another of the same name. `modified_ns` is ns since 1970 UTC."""

    size: int
    modified_ns: int
    inode: int


class ObjectFiles:
    """The files below a root. Safe for many threads and processes."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self._durable: set[str] = set()

    def begin(self, tag: str) -> LocalFile:
        """A new file to write, which has no name yet; the root and its parents are made."""
        with self._reporting("create", f"{UPLOADS}/{tag}"), self._directory(UPLOADS, make=True) as fd:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            return LocalFile(os.open(tag, flags, 0o666, dir_fd=fd), f"{UPLOADS}/{tag}", self.root)

    def seal(self, tag: str, file: LocalFile) -> FileFacts:
        """Make what was written durable, and say what it is; nothing may be written after that."""
        with self._reporting("sync", f"{UPLOADS}/{tag}"), self._directory(UPLOADS) as fd:
            written = os.stat(tag, dir_fd=fd, follow_symlinks=False)
            modified_ns = (written.st_mtime_ns >> _RANDOM_BITS << _RANDOM_BITS) + random.getrandbits(
                _RANDOM_BITS
            )
            os.utime(tag, ns=(modified_ns, modified_ns), dir_fd=fd, follow_symlinks=False)
            found = _facts(os.stat(tag, dir_fd=fd, follow_symlinks=False))
        file.sync()
        return found

    def publish(
        self, tag: str, path: str, *, if_absent: bool = False, if_is: FileFacts | None = None
    ) -> bool:
        """Give a sealed file its name, replacing another of that name; durable on return.

        False, and nothing is done, if there is one under `if_absent`, or if it is not `if_is`.
        """
        check_path(path)
        with self._reporting("publish", path):
            for _ in range(_RACES_MAX):
                try:
                    return self._publish(tag, path, if_absent=if_absent, if_is=if_is)
                except FileNotFoundError:
                    if not self._has_upload(tag):
                        raise  # otherwise somebody removed the directory just now
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    def open(self, path: str) -> tuple[LocalFile, FileFacts]:
        """A finished file to read, and what it is; StorageError (ENOENT) if it is not there."""
        check_path(path)
        with self._reporting("open", path), self._parent(path) as (directory, name):
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory)
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                os.close(fd)
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return LocalFile(fd, path, self.root), _facts(found)

    def facts(self, path: str) -> FileFacts | None:
        """What a finished file is; None if there is none of that name."""
        check_path(path)
        with self._reporting("look at", path):
            try:
                with self._parent(path) as (directory, name):
                    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                return None
            return _facts(found) if stat.S_ISREG(found.st_mode) else None

    def remove(self, path: str) -> None:
        """Remove a finished file, durably; one that is not there is fine. Its directory stays."""
        if self.facts(path) is None:
            return
        with self._reporting("remove", path), self._exclusive(), suppress(FileNotFoundError):
            self._unlink(path)

    def walk(self, prefix: str = "", after: str = "") -> Iterator[tuple[str, FileFacts]]:
        """(path, facts) of the finished files whose paths begin with `prefix` and are greater than `after`.

        In the order of paths as bytes; links and other things that are no files are passed over.
        """
        with self._reporting("list", ""):
            try:
                fd = os.open(self.root, _DIRECTORY & ~os.O_NOFOLLOW)
            except FileNotFoundError:
                return
            yield from self._walk(fd, "", prefix, after)

    def directories(self, path: str) -> list[str]:
        """Names of the directories in a directory that hold a finished file at any depth, sorted."""
        check_path(path, directory=True)
        with self._reporting("list", path):
            try:
                with self._directory(path) as fd:
                    names = [name for name, is_directory in _entries(fd) if is_directory and name != UPLOADS]
                    return sorted(name for name in names if self._holds_files(fd, name))
            except (FileNotFoundError, NotADirectoryError):
                return []

    def uploads(self) -> list[tuple[str, FileFacts]]:
        """(tag, facts) of the files that were begun and have not been discarded or published, by tag."""
        found = []
        with self._reporting("list", UPLOADS):
            try:
                with self._directory(UPLOADS) as fd:
                    for entry, is_directory in _entries(fd):
                        facts = None if is_directory or entry == _LOCK else _facts_at(fd, entry)
                        if facts is not None:
                            found.append((entry, facts))
            except FileNotFoundError:
                pass
        return found

    def discard(self, tag: str) -> None:
        """Remove a file that has no name yet, or that has got one besides; one that is not there is fine."""
        check_path(tag)
        with self._reporting("remove", f"{UPLOADS}/{tag}"):
            try:
                with self._directory(UPLOADS) as fd:
                    os.unlink(tag, dir_fd=fd)
            except FileNotFoundError:
                return

    # --- within -----------------------------------------------------------------------------------

    def _publish(self, tag: str, path: str, *, if_absent: bool, if_is: FileFacts | None) -> bool:
        parent, _, name = path.rpartition("/")
        with self._directory(UPLOADS) as uploads, self._directory(parent, make=True) as target:
            if if_absent:
                try:
                    os.link(tag, name, src_dir_fd=uploads, dst_dir_fd=target, follow_symlinks=False)
                except FileExistsError:
                    return False
                full_sync(target)
                with suppress(FileNotFoundError):  # the janitor may have taken it for abandoned
                    os.unlink(tag, dir_fd=uploads)
                return True
            with self._exclusive():
                if if_is is not None and _facts_at(target, name) != if_is:
                    return False
                os.rename(tag, name, src_dir_fd=uploads, dst_dir_fd=target)
            full_sync(target)
        return True

    def _unlink(self, path: str) -> None:
        with self._parent(path) as (directory, name):
            os.unlink(name, dir_fd=directory)
            full_sync(directory)

    def _has_upload(self, tag: str) -> bool:
        try:
            with self._directory(UPLOADS) as fd:
                return _facts_at(fd, tag) is not None
        except FileNotFoundError:
            return False

    def _holds_files(self, fd: int, name: str) -> bool:
        inner = _open_below(fd, name)
        if inner is None:
            return False
        files = self._walk(inner, "", "", "")
        try:
            return next(files, None) is not None
        finally:
            files.close()

    def _walk(
        self, fd: int, above: str, prefix: str, after: str
    ) -> Generator[tuple[str, FileFacts], None, None]:
        """Walk one directory, and close it."""
        try:
            for name, is_directory in _entries(fd):
                path = above + name
                if is_directory:
                    below = f"{path}/"
                    reaches = below.startswith(prefix) or prefix.startswith(below)
                    is_over = after > below and not after.startswith(below)
                    inner = _open_below(fd, name) if reaches and not is_over and name != UPLOADS else None
                    if inner is not None:
                        yield from self._walk(inner, below, prefix, after)
                elif path.startswith(prefix) and path > after and (facts := _facts_at(fd, name)):
                    yield path, facts
        finally:
            os.close(fd)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Be the only one who gives a name another file."""
        with self._directory(UPLOADS, make=True) as uploads:
            fd = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666, dir_fd=uploads)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        parent, _, name = path.rpartition("/")
        with self._directory(parent) as fd:
            yield fd, name

    @contextmanager
    def _directory(self, path: str, *, make: bool = False) -> Iterator[int]:
        """A directory, reached without following links below the root; with `make` it is there durably."""
        if make:
            _make_root(self.root)
        fd = os.open(self.root, _DIRECTORY & ~os.O_NOFOLLOW)
        try:
            at = ""
            for name in path.split("/") if path else ():
                at = f"{at}/{name}"
                if make and at not in self._durable:
                    self._make_directory(fd, name, at)
                try:
                    inner = os.open(name, _DIRECTORY, dir_fd=fd)
                except FileNotFoundError:
                    if not make:
                        raise
                    self._make_directory(fd, name, at)  # somebody has removed what was made before
                    inner = os.open(name, _DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)

    def _make_directory(self, fd: int, name: str, at: str) -> None:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=fd)
        full_sync(fd)  # also if somebody else made it, who may not have come to that yet
        self._durable.add(at)

    @contextmanager
    def _reporting(self, doing: str, path: str) -> Iterator[None]:
        try:
            yield
        except StorageError:
            raise
        except OSError as error:
            found = from_os_error(doing, path, self.root, error)
            found.hint = _HINTS.get(error.errno or 0, found.hint)
            raise found from error

    def __repr__(self) -> str:
        return f"ObjectFiles({self.root!r})"


def _make_root(root: str) -> None:
    """Make the root and its parents, durably."""
    missing = []
    while not os.path.isdir(root):
        missing.append(root)
        root = os.path.dirname(root)
    for directory in reversed(missing):
        try:
            os.mkdir(directory)
        except FileExistsError:
            if not os.path.isdir(directory):
                raise
        sync_directory(os.path.dirname(directory))


def _entries(fd: int) -> list[tuple[str, bool]]:
    """(name, is it a directory) of what is in a directory, in the order in which paths sort as bytes."""
    with os.scandir(fd) as entries:
        found = [
            (entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if _is_text(entry.name)
        ]
    return sorted(found, key=lambda entry: f"{entry[0]}/" if entry[1] else entry[0])


def _is_text(name: str) -> bool:
    """Whether a name is UTF-8, which the names of objects are."""
    return name.isascii() or not any("\ud800" <= character <= "\udfff" for character in name)


def _open_below(fd: int, name: str) -> int | None:
    """A directory in a directory; None if it is not there any more, or has become something else."""
    try:
        return os.open(name, _DIRECTORY, dir_fd=fd)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _facts_at(fd: int, name: str) -> FileFacts | None:
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return _facts(found) if stat.S_ISREG(found.st_mode) else None


def _facts(found: os.stat_result) -> FileFacts:
    return FileFacts(found.st_size, found.st_mtime_ns, found.st_ino)
