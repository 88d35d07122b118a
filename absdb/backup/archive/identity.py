"""`archive.json`: whose archive it is. Put by who comes first and never changed.

So another instance that is pointed at the same place is told apart before it has written anything.

    {"format": 1, "instance_id": 32 hex digits, "segment_bytes", "created_us", "begins_timeline", "begins_lsn"}

The archive has no log below `begins_lsn` and never had.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from absdb.backup.small_objects import read_small
from absdb.errors import AlreadyExistsError, CorruptionError, FormatVersionError, NotFoundError, StateError
from absdb.object_names import ARCHIVE_IDENTITY
from absdb.objectstore.base import ObjectStore

FORMAT = 1


@dataclass(frozen=True, slots=True)
class ArchiveIdentity:
    """Whose log it is, in which pieces, and where it begins."""

    instance_id: bytes
    segment_bytes: int
    created_us: int
    begins_timeline: int
    begins_lsn: int

    def to_bytes(self) -> bytes:
        """As it is stored."""
        said = {
            "format": FORMAT,
            "instance_id": self.instance_id.hex(),
            "segment_bytes": self.segment_bytes,
            "created_us": self.created_us,
            "begins_timeline": self.begins_timeline,
            "begins_lsn": self.begins_lsn,
        }
        return json.dumps(said, indent=1).encode()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> ArchiveIdentity:
        """CorruptionError for anything else, FormatVersionError for a format that is not known yet."""
        try:
            said = json.loads(data)
            found = int(said["format"])
            if found != FORMAT:
                raise FormatVersionError(
                    f"{where}: archive format {found}, this absdb knows {FORMAT}",
                    hint="use the absdb that wrote it, or a newer one",
                    path=where,
                    found=found,
                    known=FORMAT,
                )
            return cls(
                bytes.fromhex(said["instance_id"]),
                int(said["segment_bytes"]),
                int(said["created_us"]),
                int(said["begins_timeline"]),
                int(said["begins_lsn"]),
            )
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CorruptionError(f"{where} does not say whose archive it is: {error}", path=where) from error


def read_identity(store: ObjectStore) -> ArchiveIdentity:
    """Whose archive is in the store; NotFoundError if there is none."""
    where = f"{store.url}/{ARCHIVE_IDENTITY}"
    try:
        data = read_small(store, ARCHIVE_IDENTITY)
    except NotFoundError as error:
        raise NotFoundError(
            f"there is no archive of a log in {store.url}: it has no {ARCHIVE_IDENTITY}",
            hint="give the URL that wal_archive_target names",
        ) from error
    return ArchiveIdentity.from_bytes(data, where)


def claim(store: ObjectStore, wanted: ArchiveIdentity) -> ArchiveIdentity:
    """Make the archive, or join the one that is there. StateError if it is another instance's."""
    try:
        store.put(ARCHIVE_IDENTITY, wanted.to_bytes(), if_absent=True)
        return wanted
    except AlreadyExistsError:
        found = read_identity(store)
    if (found.instance_id, found.segment_bytes) != (wanted.instance_id, wanted.segment_bytes):
        raise StateError(
            f"{store.url} is the archive of instance {found.instance_id.hex()}, not of {wanted.instance_id.hex()}",
            hint="give every instance a wal_archive_target of its own",
            other_instance=found.instance_id.hex(),
        )
    return found
