"""Page files that records of the log name, by LSN: whoever needs the log from some LSN on needs these with it.

A bulk commit's rows lie in page files, and its record names them. Compaction may fold such a file away while a backup
under way, or the archive, still needs the record. So garbage collection keeps what is named from the lowest LSN on that
anybody holds (`LogHolds`, leases with a `wal_lsn`). Commits and replay note files here as they are applied; what is
older than the first of them is read from the log when somebody asks.

Called by apply.py, garbage.py, and by backup/ for what it copies.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from absdb.engine.changeset import page_sections
from absdb.engine.log_end import log_of
from absdb.ids import LSN_MAX
from absdb.paths import WAL_DIR
from absdb.wal.format import Record, RecordKind
from absdb.wal.reader import read_log
from absdb.wal.resync import first_record

if TYPE_CHECKING:
    from absdb.engine.engine import Engine


class LogHolds:
    """From which LSN on things in this process need the log to stay, by name of who needs it."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    def hold(self, name: str, lsn: int) -> None:
        """Keep the log from `lsn` on, instead of what this name held before."""
        self._held[name] = lsn

    def release(self, name: str) -> None:
        """Hold nothing under this name any more."""
        self._held.pop(name, None)

    def floor(self) -> int | None:
        """The lowest LSN that anybody holds, None if nobody does."""
        return min(list(self._held.values()), default=None)

    def held(self) -> dict[str, int]:
        """Name → LSN of each."""
        return dict(self._held)


class LoggedFiles:
    """What the log names, and `holds`: from where on who needs it."""

    def __init__(self) -> None:
        self.holds = LogHolds()
        self._known_from = 0
        self._noted: list[tuple[int, frozenset[str]]] = []
        self._mutex = threading.Lock()

    def begin(self, lsn: int) -> None:
        """Replay begins here: what earlier records name is not known."""
        with self._mutex:
            self._known_from, self._noted = lsn, []

    def note(self, lsn: int, names: frozenset[str]) -> None:
        """The record that ends at `lsn` names these."""
        with self._mutex:
            self._noted.append((lsn, names))

    def forget_below(self, lsn: int) -> None:
        """Nobody needs the log below `lsn` any more."""
        with self._mutex:
            self._known_from = max(self._known_from, lsn)
            self._noted = [item for item in self._noted if item[0] > lsn]

    def since(self, engine: Engine, lsn: int) -> set[str]:
        """Names in the records behind `lsn`. Costs reading the log where that is older than what was noted."""
        return {name for _, names in self.between(engine, lsn, LSN_MAX) for name in names}

    def between(self, engine: Engine, from_lsn: int, upto: int) -> list[tuple[int, frozenset[str]]]:
        """(LSN where it ends, names) of the records that end in (from_lsn, upto] and name any, in order.

        `from_lsn` may lie within a record, which then counts only if it was noted. Costs as for `since`.
        """
        with self._mutex:
            known_from, noted = self._known_from, list(self._noted)
        found = [item for item in noted if from_lsn < item[0] <= upto]
        if from_lsn >= min(known_from, upto):
            return found
        upto = min(known_from, upto)
        first = first_record(engine.fs, WAL_DIR, from_lsn=from_lsn, upto=upto, **log_of(engine.control))
        if first is None:
            return found
        older = named_in_log(engine, first, upto)
        return [(lsn, frozenset(file["name"] for file in files)) for lsn, files in older] + found


def named_in_log(engine: Engine, from_lsn: int, upto: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """(LSN of the commit, descriptions of the page files it names) in (from_lsn, upto], where there are any.

    A description is that of `pages.format.PageFile` as JSON: name, size, checksums. Reads that part of the log.
    """
    for record in read_log(engine.fs, WAL_DIR, from_lsn=from_lsn, end_lsn=upto, **log_of(engine.control)):
        files = files_named_by(record)
        if files:
            yield record.end_lsn, files


def files_named_by(record: Record) -> list[dict[str, Any]]:
    """Descriptions of the page files that one record of the log names."""
    if record.kind is not RecordKind.COMMIT:
        return []
    return [
        file
        for data in page_sections(bytes(record.body))
        for section in json.loads(data)["pages"]
        for file in section["files"]
    ]
