"""`wal-fetch`: one segment of an archive into a file, checked, and there only when it is whole."""

from __future__ import annotations

import os

from absdb.backup.archive.reader import ArchiveReader
from absdb.io.base import write_atomic
from absdb.io.local import LocalFileSystem


def fetch_to_file(archive: ArchiveReader, name: str, path: str) -> int:
    """Write the segment to `path`, durably, in place of what is there; the bytes written. See ArchiveReader."""
    raw = archive.fetch_segment(name)
    directory, base = os.path.split(os.path.abspath(path))
    write_atomic(LocalFileSystem(directory), base, raw)
    return len(raw)
