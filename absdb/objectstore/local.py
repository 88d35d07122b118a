"""A store in a directory: each object is a file of its name.

A put is one file written, synced and named, and a synced directory; `if_absent` is a hard link, which only one can win,
and StorageError on a file system without them. Objects `a` and `a/b` cannot both be there, since one is a file and the
other needs a directory. The etag is the file's size, time of change and inode: it changes with the object, also if the
bytes are the same. Directories are made as they are needed and stay when they are empty, which no listing shows.

Opened by locate.py on a path or a file URL; takes no options. What touches the disk is in io/object_files.py.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Self
from urllib.parse import quote, unquote

from absdb.clock import Clock
from absdb.errors import AlreadyExistsError, ConflictError, NotFoundError, StateError, StorageError
from absdb.io.local_file import LocalFile
from absdb.io.object_files import FileFacts, ObjectFiles
from absdb.objectstore.base import Data, ObjectInfo, PendingUpload
from absdb.objectstore.location import StoreLocation
from absdb.objectstore.names import check_directory, check_object_name, check_small, is_object_name

_CHUNK = 1 << 20
_SMALL = 64 << 10
_TAG_NAME_MAX = 150


class LocalStore:
    """The objects below a directory, which is made with the first of them. Safe for many threads and processes."""

    def __init__(self, root: str, clock: Clock) -> None:
        self._files = ObjectFiles(root)
        self._clock = clock

    @classmethod
    def open(cls, location: StoreLocation, clock: Clock) -> LocalStore:
        """The store at a location; nothing is touched yet."""
        location.only(())
        return cls(location.prefix, clock)

    @property
    def url(self) -> str:
        """The absolute path of the directory."""
        return self._files.root

    def put(
        self, name: str, data: Data, *, if_absent: bool = False, if_match: str | None = None
    ) -> ObjectInfo:
        """Write a small object at once; see ObjectStore.put."""
        check_small(name, data)
        upload = LocalUpload(self._files, check_object_name(name), self._tag(name), if_absent, if_match)
        with upload:
            upload.write(data)
            return upload.finish()

    def upload(self, name: str, *, size_hint: int | None = None, if_absent: bool = False) -> LocalUpload:
        """Begin an object that is written piece by piece."""
        return LocalUpload(self._files, check_object_name(name), self._tag(name), if_absent, None)

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """All of an object, or `length` bytes from `offset`."""
        file, facts = self._open(name)
        try:
            end = self._end(name, facts, offset, length)
            return _read(file, offset, end - offset)
        finally:
            file.close()

    def read(self, name: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The same in chunks of 1 MiB; an object that is replaced meanwhile is read to its end."""
        file, facts = self._open(name)
        try:
            end = self._end(name, facts, offset, length)
            for start in range(offset, end, _CHUNK):
                yield _read(file, start, min(_CHUNK, end - start))
        finally:
            file.close()

    def head(self, name: str) -> ObjectInfo:
        """What there is to know about an object."""
        facts = self._files.facts(check_object_name(name))
        if facts is None:
            raise self._not_there(name)
        return _info(name, facts)

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        return self._files.facts(check_object_name(name)) is not None

    def list_directories(self, prefix: str = "") -> list[str]:
        """The names before the next slash below a prefix; costs a look into each."""
        return self._files.directories(check_directory(prefix))

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is fine."""
        self._files.remove(check_object_name(name))

    def pending_uploads(self) -> list[PendingUpload]:
        """Files that somebody began to write; the end of a very long name may be missing."""
        found = [_pending(tag, facts) for tag, facts in self._files.uploads()]
        return sorted(found, key=lambda upload: upload.started_us)

    def abort_pending(self, upload: PendingUpload) -> None:
        """Remove such a file; whoever still writes it will fail to finish."""
        self._files.discard(upload.key)

    def close(self) -> None:
        """Nothing is held open."""

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[ObjectInfo]:
        """Objects in the order of their names as bytes; one directory at a time is in memory."""
        for name, facts in self._files.walk(prefix, after):
            if is_object_name(name):
                yield _info(name, facts)

    def _tag(self, name: str) -> str:
        """A name for the file while it is written: when it was begun, something random, what it will be."""
        return f"{self._clock.now_us():016x}-{os.urandom(6).hex()}-{quote(name, safe='')[:_TAG_NAME_MAX]}"

    def _open(self, name: str) -> tuple[LocalFile, FileFacts]:
        try:
            return self._files.open(check_object_name(name))
        except StorageError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise self._not_there(name) from error
            raise

    def _end(self, name: str, facts: FileFacts, offset: int, length: int | None) -> int:
        """Where a read ends; StorageError if the object does not reach as far."""
        end = max(offset, facts.size) if length is None else offset + length
        if offset > facts.size or end > facts.size:
            raise StorageError(
                f"bytes {offset} to {end} of {name} in {self.url} were asked for, and it has only {facts.size}",
                url=f"{self.url}/{name}",
                size=facts.size,
            )
        return end

    def _not_there(self, name: str) -> NotFoundError:
        return NotFoundError(f"there is no object {name} in {self.url}", url=f"{self.url}/{name}")

    def __repr__(self) -> str:
        return f"<LocalStore {self.url}>"


class LocalUpload:
    """An object in the making: a file without its name. Small writes are gathered."""

    def __init__(
        self, files: ObjectFiles, name: str, tag: str, if_absent: bool, if_match: str | None
    ) -> None:
        self._files = files
        self._name = name
        self._tag = tag
        self._if_absent = if_absent
        self._if_match = if_match
        self._file: LocalFile | None = files.begin(tag)
        self._small = bytearray()
        self._size = 0

    def write(self, data: Data) -> None:
        """Append; large pieces go to the disk at once."""
        file = self._open_file()
        if memoryview(data).nbytes < _SMALL and len(self._small) < _CHUNK:
            self._small += data
            return
        self._size += file.pwrite(self._size, [self._small, data] if self._small else [data])
        self._small = bytearray()

    def finish(self) -> ObjectInfo:
        """Sync the file and give it its name."""
        file = self._open_file()
        if self._small:
            file.pwrite(self._size, [self._small])
        facts = self._files.seal(self._tag, file)
        file.close()
        self._file = None
        try:
            expected = None if self._if_match is None else _facts_of(self._if_match)
            if not self._files.publish(self._tag, self._name, if_absent=self._if_absent, if_is=expected):
                raise self._lost()
        except BaseException:
            self._files.discard(self._tag)
            raise
        return _info(self._name, facts)

    def abort(self) -> None:
        """Remove the file, if it has not got its name."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
            self._files.discard(self._tag)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()
        elif self._file is not None:
            self.finish()

    def _open_file(self) -> LocalFile:
        if self._file is None:
            raise StateError(f"the upload of {self._name} is over", hint="begin another one")
        return self._file

    def _lost(self) -> AlreadyExistsError | ConflictError:
        where = f"{self._name} in {self._files.root}"
        if self._if_absent:
            return AlreadyExistsError(f"there is an object {where} already")
        return ConflictError(f"the object {where} is not the one that was expected", hint="read it again")


def _read(file: LocalFile, offset: int, length: int) -> bytes:
    data = file.pread(offset, length)
    if len(data) != length:
        raise StorageError(f"{file.path} became shorter while it was read", path=file.path)
    return data


def _info(name: str, facts: FileFacts) -> ObjectInfo:
    etag = f"{facts.size:x}-{facts.modified_ns:x}-{facts.inode:x}"
    return ObjectInfo(name, facts.size, etag, facts.modified_ns // 1000)


def _facts_of(etag: str) -> FileFacts:
    """What an etag says; an etag of another kind of store is that of no file."""
    try:
        size, modified_ns, inode = (int(part, 16) for part in etag.split("-"))
    except ValueError:
        return FileFacts(-1, -1, -1)
    return FileFacts(size, modified_ns, inode)


def _pending(tag: str, facts: FileFacts) -> PendingUpload:
    """What the name of an unfinished file says; of a foreign one only when it was changed is known."""
    started, _, rest = tag.partition("-")
    name = unquote(rest.partition("-")[2], errors="replace")
    try:
        return PendingUpload(name, tag, int(started, 16))
    except ValueError:
        return PendingUpload(name or tag, tag, facts.modified_ns // 1000)
