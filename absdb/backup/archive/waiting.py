"""What waits for the archive: from which LSN on, how many bytes of log and page files, where to cut if it is too much.

Position: all log below it is in the archive, or in a gap that was recorded. Until the archive's listing has told, it is
a guess to count from. Page files are those that the log behind the position names. Safe for many threads.
"""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING, NamedTuple

from absdb.errors import StorageError
from absdb.paths import PAGES_DIR

if TYPE_CHECKING:
    from absdb.engine.engine import Engine


class NamedFile(NamedTuple):
    """A page file that a record names; `lsn` is where that record ends. `size` is None if the file is not there."""

    lsn: int
    name: str
    size: int | None


class Waiting:
    """The part of the log that is not in the archive."""

    def __init__(self, position: int) -> None:
        self._position = position
        self._looked_upto = position
        self._files: list[NamedFile] = []
        self._mutex = threading.Lock()

    @property
    def position(self) -> int:
        """Where what waits begins."""
        return self._position

    def begin(self, position: int) -> None:
        """The archive says that it has everything up to here."""
        with self._mutex:
            self._position = self._looked_upto = position
            self._files = []

    def advance(self, position: int) -> None:
        """Everything up to here is in the archive, or let go."""
        with self._mutex:
            self._position = max(self._position, position)
            self._looked_upto = max(self._looked_upto, position)
            self._files = [file for file in self._files if file.lsn > self._position]

    def look(self, engine: Engine, upto: int) -> None:
        """Learn what the log up to here names. Costs what was committed in bulk since the last look."""
        with self._mutex:
            if upto <= self._looked_upto:
                return
            found = engine.logged_files.between(engine, self._looked_upto, upto)
            self._files += [
                NamedFile(lsn, name, _size(engine, name)) for lsn, names in found for name in sorted(names)
            ]
            self._looked_upto = upto

    def files(self, upto: int) -> list[NamedFile]:
        """Page files that wait and are named by records that end at or below `upto`, or by the first one behind it.

        That one may have begun below, and who has a segment must find all files that records in it name.
        """
        with self._mutex:
            behind = [file.lsn for file in self._files if file.lsn > upto]
            end = min(behind, default=upto)
            return [file for file in self._files if file.lsn <= end]

    def bytes(self, upto: int) -> int:
        """Bytes of log and page files that wait."""
        with self._mutex:
            return _bytes(self._files, self._position, upto)

    def cut(self, upto: int, bound: int, segment_bytes: int) -> int:
        """The lowest place from which on no more than `bound` bytes wait: the start of a segment, or else `upto`."""
        with self._mutex:
            first = self._position // segment_bytes + 1
            for start in range(first * segment_bytes, upto, segment_bytes):
                if _bytes(self._files, start, upto) <= bound:
                    return start
            return upto


def _bytes(files: list[NamedFile], start: int, upto: int) -> int:
    return max(0, upto - start) + sum(file.size or 0 for file in files if file.lsn > start)


def _size(engine: Engine, name: str) -> int | None:
    try:
        return engine.fs.size(f"{PAGES_DIR}/{name}")
    except StorageError as error:
        if error.errno != errno.ENOENT:
            raise
        return None
