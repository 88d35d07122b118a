"""The disk as a power loss sees it: what is durable, and what is still in doubt.

`Disk` follows an operation log. At any point it knows

- for each file, its durable contents and the writes and truncations in doubt, in order;
- for each name, the file it durably stands for, and the creations, renames and unlinks in doubt.

`Disk.contents(kept, ...)` is the disk that a power loss leaves, if of all that is in doubt just the
operations in `kept` (by their position in the log) reached it. What can happen and what cannot:

- contents reach the disk in sectors of 512 bytes. A sector holds what it held after some prefix of the
  operations that touched it: a later write to it brings an earlier one along. Sectors do not wait for each
  other, so that of two writes, or of two halves of one, either may be missing;
- a file has the size it had after some prefix of its operations. What lies below it and was not written
  reads as zeros. What was cut off does not come back once a later size is there;
- `sync` makes all of this durable. With `data_only` it does so below the size that is durable already: a
  growing file needs a full sync. After a `sync` that failed, the contents in doubt stay so for ever;
- names reach the disk in any order and subset until their directory is synced; a rename is one step. A rename
  between directories is durable when both are synced; until then both names may stand.

Used by `crash_states.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from absdb.testing.recording import Operation, OperationLog

SECTOR = 512
_EVERYTHING = 2**63 - 1

Sectors = np.ndarray


@dataclass(slots=True)
class Change:
    """A write or truncation in doubt. Contents below `limit` are durable; if `stuck`, no sync will help."""

    position: int
    operation: Operation
    resizes: bool
    limit: int = 0
    stuck: bool = False

    @property
    def end(self) -> int:
        return self.operation.offset + len(self.operation.data)

    @property
    def is_write(self) -> bool:
        return self.operation.kind == "write"


@dataclass(slots=True)
class Naming:
    """A creation, rename or unlink in doubt: which name is to stand for which file (None: for nothing)."""

    position: int
    operation: Operation
    links: dict[str, int | None]


@dataclass(slots=True)
class FileOnDisk:
    """One file: durable contents, and changes in doubt, of which `sized` count in the durable size."""

    base: bytearray
    size: int
    changes: list[Change] = field(default_factory=list)
    sized: int = 0
    durable_size: int = 0
    _settled: bytes | None = None

    def add(self, position: int, operation: Operation) -> None:
        """A new write or truncation, in doubt."""
        last = self.changes[-1] if self.changes else None
        if operation.mapped and last is not None and last.operation.mapped and not last.limit:
            self.changes.pop()
            self.sized = min(self.sized, len(self.changes))
        change = Change(position, operation, True)
        if change.is_write:
            change.resizes = change.end > self.size
            self.size = max(self.size, change.end)
        else:
            self.size = operation.size
        self.changes.append(change)

    def sync(self, *, data_only: bool) -> None:
        """Settle what a successful sync makes durable."""
        limit = _EVERYTHING
        if data_only:
            cuts = [c.operation.size for c in self.changes[self.sized :] if not c.is_write]
            limit = min([self.durable_size, *cuts])
        else:
            self.sized, self.durable_size = len(self.changes), self.size
        for change in self.changes:
            if not change.stuck:
                change.limit = max(change.limit, limit)
        while self.changes and self._is_settled(self.changes[0]):
            change = self.changes.pop(0)
            self.sized = max(0, self.sized - 1)
            self._settled = None
            _apply(self.base, change.operation)

    def fail(self) -> None:
        """A sync failed: the contents in doubt stay in doubt."""
        for change in self.changes:
            change.stuck = True

    def contents(self, kept: Collection[int], torn: Mapping[int, Sectors], *, grown: bool) -> bytes:
        """What the file holds if only the changes in `kept`, and the sectors in `torn`, reached the disk.

        `torn` maps positions to one flag per sector the write touches; `grown` gives the file its last size.
        """
        if not self.changes:
            if self._settled is None:
                self._settled = bytes(self.base)
            return self._settled
        sized = len(self.changes) if grown else self.sized
        for index, change in enumerate(self.changes):
            if change.resizes and (change.position in kept or change.position in torn):
                sized = max(sized, index + 1)
        reached = self._reached(sized, kept, torn)
        data = bytearray(self.base)
        size = len(data)
        for index, change in enumerate(self.changes):
            if change.is_write:
                if index < sized:
                    size = max(size, change.end)
                _apply_sectors(data, change.operation, reached > index)
            elif index < sized:
                size = change.operation.size
                _apply(data, change.operation)
        if size < len(data):
            del data[size:]
        data.extend(bytes(size - len(data)))
        return bytes(data)

    def _is_settled(self, change: Change) -> bool:
        """Whether the oldest change is durable as a whole."""
        if change.is_write:
            return change.limit >= change.end and (self.sized > 0 or not change.resizes)
        return self.sized > 0

    def _reached(self, sized: int, kept: Collection[int], torn: Mapping[int, Sectors]) -> Sectors:
        """For each sector, how many of the changes it has seen."""
        length = max([len(self.base), *(change.end for change in self.changes)])
        starts = np.arange(-(-length // SECTOR), dtype=np.int64) * SECTOR
        reached = np.zeros_like(starts)
        lowest = np.zeros_like(starts)
        highest = np.full_like(starts, len(self.changes))
        for index, change in enumerate(self.changes):
            if not change.is_write:
                cut = change.operation.size
                if index < sized:
                    lowest[starts >= cut] = index + 1
                else:
                    beyond = starts + SECTOR > cut
                    highest[beyond] = np.minimum(highest[beyond], index)
                continue
            first, stop = sectors_of(change.operation)
            if change.position in kept:
                reached[first:stop] = index + 1
            elif change.position in torn:
                part = reached[first:stop]
                part[torn[change.position]] = index + 1
            durable = min(change.end, change.limit)
            if durable > change.operation.offset:
                lowest[first : -(-durable // SECTOR)] = index + 1
        return np.maximum(np.minimum(reached, highest), lowest)


class Disk:
    """What a log has made durable so far, and what is in doubt."""

    def __init__(self, log: OperationLog) -> None:
        self.files: dict[int, FileOnDisk] = {}
        self.names: dict[str, int] = {}
        self.namings: list[Naming] = []
        self.directories = set(log.directories)
        for number, (path, data) in enumerate(log.files.items()):
            self.files[number] = FileOnDisk(bytearray(data), len(data), durable_size=len(data))
            self.names[path] = number

    def apply(self, position: int, operation: Operation) -> None:
        """Follow the log by one operation."""
        match operation.kind:
            case "create":
                self.files[operation.number] = FileOnDisk(bytearray(), 0)
                self._name(position, operation, {operation.path: operation.number})
            case "rename":
                self._name(position, operation, {operation.target: operation.number, operation.path: None})
            case "unlink":
                self._name(position, operation, {operation.path: None})
            case "sync_directory":
                self._sync_directory(operation.path)
            case "make_directory":
                parts = operation.path.split("/")
                self.directories.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
            case "write" | "truncate":
                self.files[operation.number].add(position, operation)
            case "sync":
                self.files[operation.number].sync(data_only=operation.data_only)
            case "sync_failed":
                self.files[operation.number].fail()

    def doubtful(self) -> list[tuple[int, Operation]]:
        """Everything in doubt that can show, in order: namings, and changes of files that have a name."""
        reachable = set(self.names.values()) | {naming.operation.number for naming in self.namings}
        found = [(naming.position, naming.operation) for naming in self.namings]
        for number in reachable:
            found += [(c.position, c.operation) for c in self.files[number].changes if self._may_miss(c)]
        return sorted(found, key=lambda entry: entry[0])

    def contents(
        self, kept: Collection[int], torn: Mapping[int, Sectors], *, grown: bool = False
    ) -> dict[str, bytes]:
        """The files of the disk that a power loss leaves, by path."""
        names: dict[str, int | None] = dict(self.names)
        for naming in self.namings:
            if naming.position in kept:
                names.update(naming.links)
        return {
            path: self.files[number].contents(kept, torn, grown=grown)
            for path, number in sorted(names.items())
            if number is not None
        }

    @staticmethod
    def _may_miss(change: Change) -> bool:
        return not change.is_write or change.limit < change.end or change.resizes

    def _name(self, position: int, operation: Operation, links: dict[str, int | None]) -> None:
        self.namings.append(Naming(position, operation, links))

    def _sync_directory(self, directory: str) -> None:
        """Settle the names in a directory; a rename out of it is settled at its target too."""
        for index, naming in enumerate(self.namings):
            here = [path for path in naming.links if path.rpartition("/")[0] == directory]
            if naming.operation.kind == "rename" and naming.operation.path in here:
                here = list(naming.links)
            for path in here:
                for earlier in self.namings[:index]:
                    earlier.links.pop(path, None)
                number = naming.links.pop(path)
                if number is None:
                    self.names.pop(path, None)
                else:
                    self.names[path] = number
        self.namings = [naming for naming in self.namings if naming.links]


def sectors_of(operation: Operation) -> tuple[int, int]:
    """First sector a write touches, and the one after the last."""
    return operation.offset // SECTOR, -(-(operation.offset + len(operation.data)) // SECTOR)


def _apply(data: bytearray, operation: Operation) -> None:
    """Do a write or truncation as a whole."""
    if operation.kind == "write":
        _put(data, operation.offset, operation.data)
    else:
        del data[operation.size :]
        data.extend(bytes(operation.size - len(data)))


def _apply_sectors(data: bytearray, operation: Operation, seen: Sectors) -> None:
    """Do the part of a write that lies in the sectors flagged in `seen` (one flag per sector of the file)."""
    first, stop = sectors_of(operation)
    flags = seen[first:stop]
    if flags.all():
        _put(data, operation.offset, operation.data)
        return
    for sector in np.flatnonzero(flags) + first:
        start = max(operation.offset, int(sector) * SECTOR)
        piece = operation.data[start - operation.offset : (int(sector) + 1) * SECTOR - operation.offset]
        _put(data, start, piece)


def _put(data: bytearray, offset: int, piece: bytes) -> None:
    """Write into a bytearray that grows where needed."""
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(piece)] = piece
