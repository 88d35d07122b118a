"""A disk for the log's tests: what is not synced may be lost, sector by sector, and the n-th call may fail.

`SectorDisk` is a disk in memory that remembers what is durable:

- bytes: what each file held at its last sync, and the sectors written since then; after a crash each of these
  is old or new, as the given choice says, and so is a size that has changed. After a sync that failed they
  are in memory only, and no later sync brings them to the disk: so systems behave that mark pages clean
  then;
- names: what the directory held at its last sync, and the creations, renames and unlinks since then; after a
  crash a leading part of these, as chosen, has taken place.

`crash_at` stops the process before a call that changes something, counted from 0: that and all later ones
raise Crash. `fail` makes calls raise StorageError. Called by nothing but the tests in this directory.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

from absdb.errors import StorageError
from absdb.io.base import Bytes
from absdb.io.failure import storage_error
from absdb.io.memory import MemoryFile, MemoryFileSystem, Node

SECTOR = 512

Choice = Callable[[], bool]


class Crash(BaseException):
    """The power went off. No Exception, so that nothing handles it."""


class SectorFile(MemoryFile):
    """A file that tells its disk what is written and synced."""

    __slots__ = ()
    _fs: SectorDisk

    def pread(self, offset: int, length: int) -> bytes:
        self._fs.looking("pread", self.path)
        return super().pread(offset, length)

    def pwrite(self, offset: int, chunks: Sequence[Bytes]) -> int:
        self._fs.calling("pwrite", self.path)
        written = super().pwrite(offset, chunks)
        touched = range(offset // SECTOR, -(-(offset + written) // SECTOR))
        self._fs.dirty.setdefault(id(self.node), set()).update(touched)
        return written

    def sync(self, *, data_only: bool = False) -> None:
        dirty = self._fs.dirty.get(id(self.node), set())
        try:
            self._fs.calling("sync", self.path)
        except StorageError:
            self._fs.dirty.pop(id(self.node), None)
            raise
        super().sync(data_only=data_only)
        self._fs.durable[id(self.node)] = self._fs.merged(self.node, dirty, lambda: True)
        self._fs.dirty.pop(id(self.node), None)


class SectorDisk(MemoryFileSystem):
    """See the module. `calls` lists what has been done, as (verb, path)."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []
        self.crash_at: int | None = None
        self.fail: Callable[[str, str], bool] = lambda verb, path: False
        self.durable: dict[int, bytes] = {}  # contents by the id of a node
        self.dirty: dict[int, set[int]] = {}  # sectors written since the last sync, by the id of a node
        self.names: dict[str, Node] = {}  # as of the last sync of the directory
        self.pending: list[dict[str, Node]] = []  # names after each change since then
        self._keep: list[Node] = []  # so that an id is never used twice
        self.make_directory("wal")

    # -- what happens to calls

    def looking(self, verb: str, path: str) -> None:
        if self.fail(verb, path):
            raise storage_error(verb, path, self.root, errno.EIO)

    def calling(self, verb: str, path: str) -> None:
        if self.crash_at is not None and len(self.calls) >= self.crash_at:
            raise Crash
        self.calls.append((verb, path))
        self.looking(verb, path)

    def _file(self, node: Node, path: str, *, write: bool) -> MemoryFile:
        return SectorFile(self, node, path, write=write)

    def create(self, path: str) -> MemoryFile:
        self.calling("create", path)
        file = super().create(path)
        self._keep.append(file.node)
        self._renamed()
        return file

    def rename(self, source: str, target: str) -> None:
        self.calling("rename", source)
        super().rename(source, target)
        self._renamed()

    def unlink(self, path: str) -> None:
        self.calling("unlink", path)
        super().unlink(path)
        self._renamed()

    def sync_directory(self, path: str) -> None:
        self.calling("sync_directory", path)
        super().sync_directory(path)
        self.names = dict(self.nodes)
        self.pending.clear()

    def _renamed(self) -> None:
        self.pending.append(dict(self.nodes))

    # -- crashes

    def process_killed(self) -> SectorDisk:
        """The same disk under a new process: everything written is there, synced or not."""
        disk = SectorDisk()
        disk.nodes = dict(self.nodes)
        disk.durable, disk.dirty, disk._keep = self.durable, self.dirty, self._keep
        disk.names, disk.pending = self.names, self.pending
        return disk

    def power_lost(self, new: Choice, *, names_kept: int = 0) -> SectorDisk:
        """A disk as the crash may have left it.

        `new` is asked for each sector that was written since its sync; `names_kept` of the changes of names
        since the last sync of the directory have taken place.
        """
        disk = SectorDisk()
        history = [self.names, *self.pending]
        for path, node in history[min(names_kept, len(self.pending))].items():
            disk.put(path, self.merged(node, self.dirty.get(id(node), set()), new))
        return disk

    def merged(self, node: Node, dirty: set[int], new: Choice) -> bytes:
        """The durable contents of a file with some of its dirty sectors brought to the disk."""
        data = bytearray(self.durable.get(id(node), b""))
        if len(node.data) != len(data) and new():
            data = bytearray(data[: len(node.data)].ljust(len(node.data), b"\0"))
        for sector in sorted(dirty):
            first, end = sector * SECTOR, min((sector + 1) * SECTOR, len(data))
            if first < end and new():
                data[first:end] = node.data[first:end]
        return bytes(data)

    def put(self, path: str, data: bytes | bytearray) -> None:
        """Place a durable file."""
        node = self.nodes[path] = Node(data)
        self._keep.append(node)
        self.durable[id(node)] = bytes(data)
        self.names = dict(self.nodes)

    def files(self) -> dict[str, bytes]:
        """What stands in every file now."""
        return {path: bytes(node.data) for path, node in self.nodes.items()}
