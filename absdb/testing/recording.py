"""A disk in memory that remembers everything done to it, in order.

    fs = RecordingFileSystem()
    ...                                  # run a workload on it
    fs.mark(("acknowledged", 7))         # what the outside world has been told by now
    for state in crash_states(fs.log):   # the disks a power loss may have left
        ...

The log holds what changes a disk (`Operation`), with the bytes, and which file a write went to whatever its
name was: files have numbers. Reads are not logged. Writes through a shared mapping show up as unsynced writes
just before the next logged operation. `crash_states.py` says what a power loss makes of such a log.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from absdb.errors import StorageError
from absdb.io.base import Bytes
from absdb.io.memory import MemoryFile, MemoryFileSystem, Node


@dataclass(frozen=True, slots=True)
class Operation:
    """One change of a disk, or a mark. `number` is the file's, whatever it is called (-1: no file).

    Kinds: create, write, truncate, sync, sync_failed, rename, unlink, sync_directory, make_directory, mark.
    """

    kind: str
    path: str = ""
    number: int = -1
    offset: int = 0
    data: bytes = b""
    size: int = 0
    target: str = ""
    data_only: bool = False
    mapped: bool = False
    mark: Any = None

    def __str__(self) -> str:
        match self.kind:
            case "write":
                return f"write {self.path} [{self.offset}, {self.offset + len(self.data)})"
            case "truncate":
                return f"truncate {self.path} to {self.size}"
            case "rename":
                return f"rename {self.path} to {self.target}"
            case "mark":
                return f"mark {self.mark!r}"
            case "sync":
                return f"sync {self.path}{' (data only)' if self.data_only else ''}"
            case _:
                return f"{self.kind.replace('_', ' ')} {self.path or '/'}"


@dataclass(slots=True)
class OperationLog:
    """What the disk held at first (durable), and what was done since."""

    files: dict[str, bytes] = field(default_factory=dict)
    directories: frozenset[str] = frozenset({""})
    operations: list[Operation] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.operations)

    def marks(self) -> tuple[Any, ...]:
        """Every mark, in order."""
        return tuple(operation.mark for operation in self.operations if operation.kind == "mark")

    def __str__(self) -> str:
        return "\n".join(f"{place:5} {operation}" for place, operation in enumerate(self.operations, 1))


class RecordingFile(MemoryFile):
    """An open file whose changes are logged."""

    __slots__ = ("_recorder", "number")

    def __init__(self, fs: RecordingFileSystem, node: Node, path: str, *, write: bool) -> None:
        super().__init__(fs, node, path, write=write)
        self._recorder = fs
        self.number = fs.number_of(node)

    def pwrite(self, offset: int, chunks: Sequence[Bytes]) -> int:
        """Write all chunks in a row from `offset` on; what a full disk still took is logged too."""
        data = b"".join(bytes(memoryview(chunk)) for chunk in chunks)
        with self._recorder.mutex:
            room = self._recorder.room_for(self.node, offset, len(data))
            try:
                written = super().pwrite(offset, [data])
            except StorageError as error:
                if error.errno == errno.ENOSPC and room:
                    self._log("write", offset=offset, data=data[:room])
                raise
            if written:
                self._log("write", offset=offset, data=data)
            return written

    def sync(self, *, data_only: bool = False) -> None:
        """From here on the bytes are durable."""
        with self._recorder.mutex:
            super().sync(data_only=data_only)
            self._log("sync", data_only=data_only)

    def sync_failed(self) -> None:
        """The sync of this file failed: what it would have made durable no later sync will."""
        with self._recorder.mutex:
            self._log("sync_failed")

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes, or extend it with zeros."""
        with self._recorder.mutex:
            super().truncate(size)
            self._log("truncate", size=size)

    def _log(self, kind: str, **facts: Any) -> None:
        self._recorder.record(Operation(kind, self.path, self.number, **facts))


class RecordingFileSystem(MemoryFileSystem):
    """A disk in memory with a log. `start` gives its first contents, durable: a disk after a crash, say."""

    def __init__(self, start: MemoryFileSystem | None = None, *, capacity: int | None = None) -> None:
        super().__init__(root=":recorded:", capacity=capacity)
        if start is not None:
            with start.mutex:
                self.nodes = {path: Node(node.data) for path, node in start.nodes.items()}
                self.directories = set(start.directories)
        self._numbers: dict[Node, int] = {}
        self._mapped: dict[Node, tuple[str, bytes]] = {}
        for path in sorted(self.nodes):
            self.number_of(self.nodes[path])
        files = {path: bytes(self.nodes[path].data) for path in sorted(self.nodes)}
        self.log = OperationLog(files, frozenset(self.directories))

    def mark(self, mark: Any) -> None:
        """Note that the outside world has been told something, such as that a commit is durable."""
        with self.mutex:
            self.record(Operation("mark", mark=mark))

    def record(self, operation: Operation) -> None:
        """Append to the log; changes made through mappings come first."""
        for node, (path, known) in self._mapped.items():
            now = bytes(node.data[: len(known)])
            if now != known:
                self._mapped[node] = (path, now)
                number = self._numbers[node]
                self.log.operations.append(Operation("write", path, number, 0, now, mapped=True))
        self.log.operations.append(operation)

    def number_of(self, node: Node) -> int:
        """The number of a file in the log: first those it began with, by path, then new ones."""
        return self._numbers.setdefault(node, len(self._numbers))

    def create(self, path: str) -> MemoryFile:
        """A new empty file; its name is durable once its directory is synced."""
        with self.mutex:
            file = super().create(path)
            self.record(Operation("create", path, self.number_of(file.node)))
            return file

    def map_shared(self, path: str, length: int, *, write: bool) -> memoryview:
        """A shared mapping; what is written through it is never synced."""
        with self.mutex:
            before = len(self.nodes[path].data) if path in self.nodes else 0
            view = super().map_shared(path, length, write=write)
            node = self.nodes[path]
            if len(node.data) > before:
                self.record(Operation("truncate", path, self.number_of(node), size=len(node.data)))
            if write:
                self._mapped[node] = (path, bytes(node.data[:length]))
            return view

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents, durable once it returns."""
        with self.mutex:
            known = path in self.directories
            super().make_directory(path)
            if not known:
                self.record(Operation("make_directory", path))

    def rename(self, source: str, target: str) -> None:
        """Replace the target; durable once both directories are synced."""
        with self.mutex:
            super().rename(source, target)
            self.record(Operation("rename", source, self.number_of(self.nodes[target]), target=target))

    def unlink(self, path: str) -> None:
        """Remove a name; it may come back until its directory is synced."""
        with self.mutex:
            node = self.nodes.get(path)
            super().unlink(path)
            assert node is not None
            self.record(Operation("unlink", path, self.number_of(node)))

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""
        with self.mutex:
            super().sync_directory(path)
            self.record(Operation("sync_directory", path))

    def _file(self, node: Node, path: str, *, write: bool) -> MemoryFile:
        return RecordingFile(self, node, path, write=write)
