"""A workload on a real directory that is archived and backed up on the way, and what must come of recovering it.

    archive, backup, backup_incremental, purge, name_point, die    beside the actions of Workload
    marks                                                          after each step: LSN, time, the model as it was

`die` ends without a word, as kill -9 does: what the archive had not got waits for the next start. Whoever recovers to
the LSN or the time of a mark must find its model (`expected`), whatever was backed up, purged and compacted since.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absdb.backup.archive.archiver import Archiver
from absdb.backup.archive.start import start_archiver
from absdb.backup.create import create_backup
from absdb.backup.retention import purge
from absdb.engine.engine import Engine
from absdb.engine.log_end import log_of
from absdb.engine.new_timeline import RECOVERED
from absdb.engine.restore_point import create_restore_point
from absdb.io.base import FileSystem
from absdb.io.local import LocalFileSystem
from absdb.paths import WAL_DIR
from absdb.testing.model import Model
from absdb.testing.workload import Workload
from absdb.testing.workload_base import TINY
from absdb.wal.format import Record
from absdb.wal.reader import read_log


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the log stood after a step, and what must be there then; `name` is a restore point made just now.

    `first_lsn` and `first_us` are of the first record of the step: where the log leaves the mark before.
    """

    lsn: int
    time_us: int
    model: Model
    horizon: int
    first_lsn: int
    first_us: int
    name: str | None = None


class BackedUp(Workload):
    """An instance in `root/live`, its archive in `root/archive`, its backups in `root/backups`."""

    def __init__(self, root: Path, name: str = "live", *, after: BackedUp | None = None, **more: Any) -> None:
        self.root = root
        self.archiver: Archiver | None = None
        self.labels: list[str] = [] if after is None else list(after.labels)
        self.backed_up: dict[str, Mark] = {} if after is None else dict(after.backed_up)
        self.marks: list[Mark] = []
        settings = {
            **TINY,
            "wal_archive_enabled": True,
            "wal_archive_target": str(root / "archive"),
            "wal_archive_interval": "1 h",
        }
        super().__init__(LocalFileSystem(root / name), settings=settings, after=after, **more)
        self._begins = self.engine.published

    @property
    def repository(self) -> str:
        """Where its backups go."""
        return str(self.root / "backups")

    @property
    def archive_url(self) -> str:
        """Where its log goes."""
        return str(self.root / "archive")

    @property
    def recoverable(self) -> list[Mark]:
        """The marks that a recovery can reach: those from the oldest backup on that is there still."""
        return [mark for mark in self.marks if mark.lsn >= self.backed_up[self.labels[0]].lsn]

    def open(self, fs: FileSystem) -> None:
        super().open(fs)
        self.archiver = start_archiver(self.engine, ship_at_close=False)

    def die(self, chance: random.Random) -> None:
        """Let go of everything without writing, and open again."""
        self.crash(lambda: LocalFileSystem(self.fs.root))

    def archive(self, chance: random.Random) -> None:
        """Bring the archive up to date."""
        assert self.archiver is not None
        self.tell(f"archived up to {self.archiver.ship()}")

    def backup(self, chance: random.Random) -> None:
        """A full backup."""
        self._backup(chance, None)

    def backup_incremental(self, chance: random.Random) -> None:
        """What some earlier backup lacks."""
        self._backup(chance, chance.choice(self.labels) if self.labels else None)

    def _backup(self, chance: random.Random, base: str | None) -> None:
        label = f"b{len(self.backed_up)}"
        compress = chance.choice((None, "lz4", "zstd"))
        create_backup(self.engine, self.repository, label=label, incremental_from=base, compress=compress)
        self.labels.append(label)
        self.mark()
        self.backed_up[label] = self.marks[-1]
        self.tell(f"back up {label} on {base} at {self.engine.published}")

    def purge(self, chance: random.Random) -> None:
        """Remove old backups, whatever their age, but for the newest ones and what they build on."""
        age = dt.timedelta(0)
        found = purge(self.repository, older_than=age, keep=chance.randint(1, 3), clock=self.clock)
        gone = set(found.removed)
        self.labels = [label for label in self.labels if label not in gone]
        self.tell(f"purge {sorted(gone)}")

    def name_point(self, chance: random.Random) -> None:
        """A restore point."""
        name = f"point {len(self.marks)}"
        create_restore_point(self.engine, name)
        self.model = self.model.logged(self.engine.log.last_lsn, "restore point", name, 0)
        self.mark(name)

    ACTIONS: Mapping[str, int] = {
        **Workload.ACTIONS,
        "archive": 5,
        "backup": 1,
        "backup_incremental": 3,
        "purge": 1,
        "name_point": 3,
        "die": 2,
    }

    def step(self, chance: random.Random) -> None:
        super().step(chance)
        self.mark()

    def mark(self, name: str | None = None) -> None:
        """Remember where the log stands and what is there."""
        time_us, _ = self.engine.last_seen
        before = self.marks[-1].lsn if self.marks else self._begins
        first = next(self._records(before), None)
        first_lsn, first_us = (first.end_lsn, first.time_us) if first is not None else (before, time_us)
        mark = Mark(self.engine.published, time_us, self.model, self.horizon, first_lsn, first_us, name)
        self.marks.append(mark)

    def _records(self, from_lsn: int) -> Iterator[Record]:
        """The log after an LSN, which the archive holds back from removal."""
        if self.engine.published <= from_lsn:
            return iter(())
        log = log_of(self.engine.control)
        return read_log(self.fs, WAL_DIR, from_lsn=from_lsn, end_lsn=self.engine.published, **log)


def expected(mark: Mark, recovered: Engine) -> Model:
    """The model that a recovered instance must show: that of the mark, and the events of its recoveries in the log."""
    model = mark.model
    spans = [(era, 0, recovered.published) for era in (0, *recovered.history.eras)]
    for entry in recovered.log.entries(spans, newest_first=False):
        if entry.kind == RECOVERED and entry.lsn not in model.log:
            model = model.logged(entry.lsn, entry.kind, entry.message or "", int(entry.database_id))
    return model
