"""Reading an archive: what recovery fetches, with every name, header, size and instance checked before it is used.

Called by listing.py, fetch.py and recovery. Opens nothing; the store is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator

from absdb.backup.archive.contents import (
    ArchivedSegment,
    Contents,
    archived_page_files,
    copies_of,
    read_contents,
)
from absdb.backup.archive.identity import ArchiveIdentity, read_identity
from absdb.backup.codec.codec import decode, decoded, parse_stored
from absdb.backup.codec.key import Key
from absdb.backup.small_objects import read_small
from absdb.errors import CorruptionError, CorruptLogError, InvalidInputError, NotFoundError
from absdb.object_names import GapName, archived_page_file_name, parse_partial_segment_name
from absdb.objectstore.base import ObjectStore
from absdb.paths import (
    parse_page_file_name,
    parse_wal_segment_name,
    timeline_history_name,
)
from absdb.wal.format import LogIdentity, decode_segment_header, segment_fault

PAGE_FILE_BYTES_MAX = 1 << 50


class ArchiveReader:
    """One archive. `key` opens what is encrypted. NotFoundError if there is no archive in the store."""

    def __init__(self, store: ObjectStore, key: Key | None = None) -> None:
        self.store = store
        self.key = key
        self.identity: ArchiveIdentity = read_identity(store)

    # what is there

    def contents(self) -> Contents:
        """One new listing of everything but page files."""
        return read_contents(self.store, self.identity.segment_bytes)

    def segments(self, timeline: int | None = None) -> list[ArchivedSegment]:
        """Segments by timeline and number; of an open one the copy that reaches furthest."""
        return [s for s in self.contents().segments if timeline in (None, s.timeline)]

    def gaps(self) -> list[GapName]:
        """Log that is missing for ever, whether somebody has acknowledged it or not."""
        return [gap for gap in self.contents().gaps if not gap.accepted]

    def histories(self) -> list[int]:
        """The timelines of which the archive has the history file, ascending."""
        return sorted(self.contents().histories)

    def end(self, timeline: int | None = None) -> tuple[int, int]:
        """The newest timeline, or the one given, and the LSN up to which the archive has it.

        NotFoundError if it has nothing of it.
        """
        found = self.segments(timeline)
        if not found:
            what = "" if timeline is None else f" of timeline {timeline}"
            raise NotFoundError(f"there is no log{what} in the archive {self.store.url}")
        return found[-1].timeline, found[-1].end_lsn

    # fetching

    def fetch_segment(self, name: str) -> bytes:
        """A segment's bytes: all of a closed one, those below its LSN of a partial one. In memory.

        `name` is what a listing has, or what the segment is called in the instance: then the copy that reaches
        furthest. NotFoundError, CorruptLogError, StateError without the key.
        """
        found = self._found(name)
        length = found.end_lsn - found.start_lsn
        raw = decode(
            found.compression,
            found.name,
            read_small(self.store, found.stored_name, at_most=_stored_max(self.identity.segment_bytes)),
            encrypted=found.encrypted,
            key=self.key,
            limit=self.identity.segment_bytes,
        )
        where = f"{self.store.url}/{found.stored_name}"
        header = decode_segment_header(raw, path=where)
        log = LogIdentity(self.identity.instance_id, found.timeline, self.identity.segment_bytes)
        fault = segment_fault(header, log, found.segment)
        if not fault and len(raw) != length:
            fault = f"{len(raw)} bytes come out of it, expected {length}"
        if fault:
            raise CorruptLogError(f"{where}: {fault}", path=where, offset=0, lsn=found.start_lsn)
        return raw

    def fetch_page_file(self, name: str, *, size: int | None = None) -> Iterator[bytes]:
        """A page file by the name it has in the instance, in chunks; CorruptionError if it is not `size` bytes long."""
        if parse_page_file_name(name) is None:
            raise InvalidInputError(f"{name!r} is not the name of a page file")
        for found in archived_page_files(self.store, name):
            if found.name == name:
                break
        else:
            raise NotFoundError(f"there is no page file {name} in the archive {self.store.url}")
        total = 0
        for chunk in decoded(
            found.compression,
            archived_page_file_name(name),
            self.store.read(found.stored_name),
            encrypted=found.encrypted,
            key=self.key,
            limit=PAGE_FILE_BYTES_MAX if size is None else size,
        ):
            total += len(chunk)
            yield chunk
        if size is not None and total != size:
            raise CorruptionError(
                f"{self.store.url}/{found.stored_name}: {total} bytes come out of it, expected {size}"
            )

    def fetch_history(self, timeline: int) -> bytes:
        """The history file of a timeline; NotFoundError if the archive has none."""
        return read_small(self.store, timeline_history_name(timeline))

    def _found(self, name: str) -> ArchivedSegment:
        """The stored segment of a name, by a listing of that one."""
        bare = parse_stored(name).name
        partial, closed = parse_partial_segment_name(bare), parse_wal_segment_name(bare)
        if partial is None and closed is None:
            raise InvalidInputError(
                f"{name!r} is not the name of a segment",
                hint="a name has 24 hex digits, such as 000000010000000000000000; `absdb wal-list` shows them",
            )
        found = copies_of(self.store, bare, self.identity.segment_bytes)
        fitting = [each for each in found if name in (each.stored_name, each.name)] or (
            found if closed is not None else []
        )
        if not fitting:
            raise NotFoundError(f"there is no segment {name} in the archive {self.store.url}")
        return max(fitting, key=lambda each: (each.end_lsn, not each.partial))


def _stored_max(raw_bytes: int) -> int:
    """What a file of so many bytes may take at most as it is stored, if it does not compress."""
    return raw_bytes + raw_bytes // 16 + (64 << 10)
