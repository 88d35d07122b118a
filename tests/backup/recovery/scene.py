"""An instance that is archived and backed up while it is written, and what it showed at each commit."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

import absdb
from absdb.backup.create import create_backup
from absdb.backup.restore_files import restore_files
from tests.backup.instances import Rows, everything

SETTINGS: dict[str, Any] = {"wal_segment_size": "4 KiB", "bulk_threshold": "4 KiB", "author": "tests"}


@dataclass
class Moment:
    """What there was after a commit, by the LSN that the instance had reached and the time of it."""

    lsn: int
    time_us: int
    rows: Rows


@dataclass
class Scene:
    """A place with `live` (the instance), `archive` and `backups`."""

    place: Path
    moments: list[Moment] = field(default_factory=list)

    @property
    def archive(self) -> str:
        return str(self.place / "archive")

    @property
    def backups(self) -> str:
        return str(self.place / "backups")

    def connect(self, path: Path | None = None, **more: Any) -> absdb.Instance:
        return absdb.connect(
            path or self.place / "live",
            wal_archive_enabled=True,
            wal_archive_target=self.archive,
            **{**SETTINGS, **more},
        )

    def note(self, instance: absdb.Instance) -> Moment:
        time_us, _ = instance._engine.last_seen
        self.moments.append(Moment(int(instance.lsn), time_us, everything(instance)))
        return self.moments[-1]

    def backup(self, instance: absdb.Instance, label: str) -> Any:
        return create_backup(instance._engine, self.backups, label=label)

    def files(self, name: str, label: str = "full", **conf: Any) -> Path:
        """A directory with the files of a backup, and a recovery.conf of these values."""
        path = self.place / name
        if path.exists():
            shutil.rmtree(path)
        restore_files(self.backups, path, label=label)
        conf = {"archive_url": self.archive, "recovery_target_action": "promote", **conf}
        lines = [f"{key} = '{value}'" for key, value in conf.items()]
        (path / "recovery.conf").write_text("\n".join(lines) + "\n")
        return path


def ship(instance: absdb.Instance) -> None:
    """Bring the archive up to date."""
    instance._engine.archive_status.__self__.ship()


def tell(place: Path) -> Scene:
    """Commits of every kind around a backup, all of them archived; the instance is closed at the end."""
    scene = Scene(place)
    with scene.connect() as shop:
        main = shop["main"]
        main.create_table("orders", {"id": "int64", "status": "text"}, key="id")
        main["orders"].insert([{"id": n, "status": f"new {n}"} for n in range(50)])
        scene.backup(shop, "full")
        scene.note(shop)
        for n in range(4):
            main["orders"].upsert([{"id": n, "status": f"paid {n}"}])
            scene.note(shop)
        staging = main.branch("staging")
        scene.note(shop)
        staging["orders"].delete([1, 2, 3])
        scene.note(shop)
        main.sql("ALTER TABLE orders ADD COLUMN total DOUBLE DEFAULT 1.5")
        scene.note(shop)
        many = [{"id": n, "status": f"loaded {n} {'x' * 40}", "total": n / 2} for n in range(1000, 1400)]
        main["orders"].insert(pa.Table.from_pylist(many))
        scene.note(shop)
        main.snapshot("before the delete")
        scene.note(shop)
        shop.create_restore_point("careful")
        scene.note(shop)
        main["orders"].delete(list(range(0, 40)))
        scene.note(shop)
        main.merge(staging)
        scene.note(shop)
        shop.checkpoint()
        main.restore(lsn=scene.moments[2].lsn)
        scene.note(shop)
        scene.backup(shop, "later")
        main["orders"].upsert([{"id": 7, "status": "after"}])
        scene.note(shop)
        ship(shop)
        main.create_table("big", {"id": "int64", "text": "text"}, key="id")
        scene.note(shop)
        for n in range(20):
            main["big"].insert([{"id": n, "text": f"{n}" * 400}])
            scene.note(shop)
        ship(shop)
    return scene
