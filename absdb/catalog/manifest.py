"""Manifests: what a checkpoint consists of. `control` names the one recovery starts from; backups copy one.

A manifest is an envelope (magic ABSDBMAN) around compressed JSON, one object whose members are its parts:

    instance     {…}                     identity of the instance and its timeline
    checkpoint   {lsn, time_us, wal_position, …}
    allocator    {…}                     where ids, row ids and sequences go on
    databases, eras, snapshots           […] or {…}: what exists (history.py)
    covers       {…} or […]              which images and runs yield which state
    commit_log   […]                     ChunkRefs of the commit log, oldest first
    files        {name: bytes, …}        every file in pages/ that the manifest needs
    settings     {…}                     what was chosen at creation

Parts that this absdb does not know are kept as they came, so that a newer one may add some within a format.
Files are immutable, named by checkpoint LSN and a counter that goes up with each one written, and stay until
`remove_manifest`. Called by the checkpoint, recovery, garbage collection and backups.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from absdb.catalog.envelope import HEADER_BYTES, damaged, pack_json, unpack_json
from absdb.errors import CorruptionError, InvalidInputError
from absdb.io.base import FileSystem, read_file, write_atomic
from absdb.paths import MANIFESTS_DIR, is_temporary, manifest_name, parse_manifest_name

MAGIC = b"ABSDBMAN"
FORMAT = 1
REQUIRED: Mapping[str, tuple[type, ...]] = {
    "instance": (dict,),
    "checkpoint": (dict,),
    "allocator": (dict,),
    "databases": (dict, list),
    "eras": (dict, list),
    "snapshots": (dict, list),
    "covers": (dict, list),
    "commit_log": (list,),
    "files": (dict,),
    "settings": (dict,),
}
_CHUNK = re.compile(r"log-[0-9A-F]{16}-[0-9a-z]{1,32}")
_CHECKPOINT_NUMBERS = ("lsn", "time_us", "wal_position")


def chunk_name(first_lsn: int, tag: str) -> str:
    """The name in pages/ of a chunk of the commit log; the tag is 1 to 32 of 0-9 and a-z."""
    return f"log-{first_lsn:016X}-{tag}"


def is_chunk_name(name: str) -> bool:
    """Whether a file in pages/ is a chunk of the commit log: garbage, if no kept manifest lists it."""
    return _CHUNK.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """A file of the commit log in pages/, as the part `commit_log` lists it; `crc` is that of its body.

    `lasts` are (era, LSN of its last commit in the file), by era: what the newest states need of it.
    """

    name: str
    size: int
    crc: int
    count: int
    first_lsn: int
    last_lsn: int
    first_us: int
    last_us: int
    lasts: tuple[tuple[int, int], ...]

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """CorruptionError if something is missing; what a newer absdb may have added is ignored."""
        try:
            lasts = tuple((int(era), int(lsn)) for era, lsn in data["lasts"])
            return cls(**{**{name: data[name] for name in cls.__slots__}, "lasts": lasts})
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptionError(f"not a chunk of the commit log: {data!r}") from error


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts of a manifest by name. InvalidInputError if a required one is missing or of another type."""

    parts: dict[str, Any]

    def __post_init__(self) -> None:
        problem = _problem(self.parts)
        if problem:
            what, expected, found = problem
            raise InvalidInputError(f"not a manifest: {what}: expected {expected}, found {found}")

    @property
    def lsn(self) -> int:
        """The checkpoint's LSN: all commits at or below it are in the manifest."""
        return self.parts["checkpoint"]["lsn"]

    @property
    def time_us(self) -> int:
        """When the checkpoint was taken."""
        return self.parts["checkpoint"]["time_us"]

    @property
    def wal_position(self) -> int:
        """Where in the log replay starts."""
        return self.parts["checkpoint"]["wal_position"]

    @property
    def files(self) -> dict[str, int]:
        """Name → bytes of every file in pages/ this checkpoint needs."""
        return self.parts["files"]

    def to_bytes(self) -> bytes:
        """The same parts in the same order give the same bytes under one version of zstd."""
        return pack_json(MAGIC, FORMAT, self.parts)

    @classmethod
    def from_bytes(cls, data: bytes, path: str) -> Manifest:
        """Raises CorruptionError for damage and missing parts, FormatVersionError for a newer format."""
        parts = unpack_json(data, MAGIC, FORMAT, path)
        problem = _problem(parts)
        if problem:
            raise damaged(path, HEADER_BYTES, *problem)
        return cls(parts)


def _problem(parts: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """What keeps this from being a manifest, as (what, expected, found)."""
    for name, kinds in REQUIRED.items():
        if name not in parts:
            return f"the part {name!r}", "to be there", "nothing"
        if not isinstance(parts[name], kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            return f"the part {name!r}", wanted, type(parts[name]).__name__
    for name in _CHECKPOINT_NUMBERS:
        value = parts["checkpoint"].get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            return f"{name!r} of the checkpoint", "a whole number", repr(value)
    for name, size in parts["files"].items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            return f"the size of the file {name!r}", "bytes", repr(size)
    return None


def manifest_path(name: str) -> str:
    """Where a manifest lies, from the instance's root."""
    return f"{MANIFESTS_DIR}/{name}"


def write_manifest(fs: FileSystem, manifest: Manifest) -> str:
    """Write a new manifest file and give its name; whole and durable on return.

    Its counter is above that of every manifest there, so a name is not used twice while the newest is kept.
    Removes what a crash left of an unfinished one. One caller at a time.
    """
    if not fs.exists(MANIFESTS_DIR):
        fs.make_directory(MANIFESTS_DIR)
    counter = 0
    for name in fs.list(MANIFESTS_DIR):
        parsed = parse_manifest_name(name)
        if parsed:
            counter = max(counter, parsed.counter)
        elif is_temporary(name):
            fs.unlink(manifest_path(name))
    name = manifest_name(manifest.lsn, counter + 1)
    write_atomic(fs, manifest_path(name), manifest.to_bytes())
    return name


def read_manifest(fs: FileSystem, name: str) -> Manifest:
    """A manifest by file name; StorageError (ENOENT) if it is not there, CorruptionError if it is damaged."""
    path = manifest_path(name)
    manifest = Manifest.from_bytes(read_file(fs, path), path)
    named = parse_manifest_name(name)
    if named and named.lsn != manifest.lsn:
        raise damaged(path, HEADER_BYTES, "checkpoint LSN", named.lsn, manifest.lsn)
    return manifest


def list_manifests(fs: FileSystem) -> list[str]:
    """Names of the manifests, in the order they were written."""
    found = ((parse_manifest_name(name), name) for name in fs.list(MANIFESTS_DIR))
    return [name for _, name in sorted((parsed.counter, name) for parsed, name in found if parsed)]


def remove_manifest(fs: FileSystem, name: str) -> None:
    """Remove a manifest, durably: only afterwards may files that it alone needed be deleted."""
    fs.unlink(manifest_path(name))
    fs.sync_directory(MANIFESTS_DIR)
