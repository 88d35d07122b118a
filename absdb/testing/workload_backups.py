"""A workload on a real directory that is archived and backed up on the way, and what must come of recovering it.

    archive, backup, backup_incremental, name_point, die    beside the actions of Workload
    marks                                                   after each step: LSN, time, and the model as it was

`die` ends without a word, as kill -9 does: what the archive had not got waits for the next start. Whoever recovers to
the LSN or the time of a mark must find its model (`expected`), whatever was backed up, purged and compacted since.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absdb.backup.archive.archiver import Archiver
from absdb.backup.archive.start import start_archiver
from absdb.backup.create import create_backup
from absdb.engine.engine import Engine
from absdb.engine.new_timeline import RECOVERED
from absdb.engine.restore_point import create_restore_point
from absdb.io.base import FileSystem
from absdb.io.local import LocalFileSystem
from absdb.testing.model import Model
from absdb.testing.workload import Workload
from absdb.testing.workload_base import TINY


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the log stood after a step, and what must be there then; `name` is a restore point made just now."""

    lsn: int
    time_us: int
    model: Model
    horizon: int
    name: str | None = None


class BackedUp(Workload):
    """An instance in `root/live`, its archive in `root/archive`, its backups in `root/backups`."""

    def __init__(self, root: Path, name: str = "live", **more: Any) -> None:
        self.root = root
        self.archiver: Archiver | None = None
        self.labels: list[str] = []
        self.backed_up: list[Mark] = []
        self.marks: list[Mark] = []
        settings = {
            **TINY,
            "wal_archive_enabled": True,
            "wal_archive_target": str(root / "archive"),
            "wal_archive_interval": "1 h",
        }
        super().__init__(LocalFileSystem(root / name), settings=settings, **more)

    @property
    def repository(self) -> str:
        """Where its backups go."""
        return str(self.root / "backups")

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
        label = f"b{len(self.labels)}"
        compress = chance.choice((None, "lz4", "zstd"))
        create_backup(self.engine, self.repository, label=label, incremental_from=base, compress=compress)
        self.labels.append(label)
        self.mark()
        self.backed_up.append(self.marks[-1])
        self.tell(f"back up {label} on {base} at {self.engine.published}")

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
        "name_point": 3,
        "die": 2,
    }

    def step(self, chance: random.Random) -> None:
        super().step(chance)
        self.mark()

    def mark(self, name: str | None = None) -> None:
        """Remember where the log stands and what is there."""
        time_us, _ = self.engine.last_seen
        self.marks.append(Mark(self.engine.published, time_us, self.model, self.horizon, name))


def expected(mark: Mark, recovered: Engine) -> Model:
    """The model that a recovered instance must show: that of the mark, and the events of its recoveries in the log."""
    model = mark.model
    spans = [(era, 0, recovered.published) for era in (0, *recovered.history.eras)]
    for entry in recovered.log.entries(spans, newest_first=False):
        if entry.kind == RECOVERED and entry.lsn not in model.log:
            model = model.logged(entry.lsn, entry.kind, entry.message or "", int(entry.database_id))
    return model
