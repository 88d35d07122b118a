"""How far the archive of the log is: what its keeper says in this process, and leaves in a file for others.

The file `archive-status` is JSON. Its gaps are what nobody else knows, so it is durable before the log that they tell
of is let go; the rest is for people: the archive itself says what is in it. Made by backup/archive/, shown by
statistics.py.
"""

from __future__ import annotations

import dataclasses
import errno
import json
from typing import TYPE_CHECKING, Any

from absdb.errors import CorruptionError, StorageError
from absdb.io.base import FileSystem, read_file, write_atomic
from absdb.paths import ARCHIVE_STATUS

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

ARCHIVE_HOLD = "archive"
"""The name under which the archive holds log (logged_files.py)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Gap:
    """Log of a timeline in [from_lsn, to_lsn) that is not in the archive and never will be."""

    timeline: int
    from_lsn: int
    to_lsn: int
    when_us: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class ArchiveStatus:
    """Times are µs since 1970 UTC. `archived_lsn` is None while nobody has looked into the archive.

    `waiting_bytes` are log and page files that are not in it yet; `unsent_gaps` are those that it does not tell of yet.
    """

    timeline: int = 0
    archived_lsn: int | None = None
    archived_us: int | None = None
    archived_today: int = 0
    day: int = 0
    waiting_bytes: int = 0
    failed_count: int = 0
    failed_us: int | None = None
    failed_segment: str | None = None
    failure: str | None = None
    first_gap_lsn: int | None = None
    unsent_gaps: tuple[Gap, ...] = ()


_FIELDS = tuple(field.name for field in dataclasses.fields(ArchiveStatus))


def status_of(engine: Engine) -> ArchiveStatus:
    """What the keeper in this process says, else what the last one left behind."""
    if engine.archive_status is not None:
        return engine.archive_status()
    return read_status(engine.fs)


def read_status(fs: FileSystem) -> ArchiveStatus:
    """What the file says; nothing is known where there is none. CorruptionError for a file that is none of ours."""
    try:
        data = read_file(fs, ARCHIVE_STATUS)
    except StorageError as error:
        if error.errno != errno.ENOENT:
            raise
        return ArchiveStatus()
    try:
        said: dict[str, Any] = json.loads(data)
        known = {name: said[name] for name in _FIELDS if name in said}
        return ArchiveStatus(**{**known, "unsent_gaps": tuple(Gap(**gap) for gap in said["unsent_gaps"])})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptionError(
            f"{fs.root}/{ARCHIVE_STATUS} is not readable: {error}",
            hint="it may name log that was let go before it was archived; see `absdb wal-list`, then remove it",
            path=ARCHIVE_STATUS,
        ) from error


def write_status(fs: FileSystem, status: ArchiveStatus) -> None:
    """Replace the file, durably."""
    write_atomic(fs, ARCHIVE_STATUS, json.dumps(dataclasses.asdict(status)).encode())
