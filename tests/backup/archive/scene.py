"""An instance whose log goes into an archive, both in directories, and ways to lose and regain either of them.

`rebuilt` proves an archive: it takes the instance as it was when it was made, puts the log and the page files of the
archive beside it, and opens it, so that recovery replays all of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from absdb.backup.archive.archiver import Archiver
from absdb.backup.archive.reader import ArchiveReader
from absdb.backup.codec.codec import Codec
from absdb.backup.codec.key import Key, find_key
from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import compact_table, maintain
from absdb.engine.recovery import open_engine
from absdb.io.local import LocalFileSystem
from absdb.objectstore.base import ObjectStore
from absdb.objectstore.locate import open_store
from tests.engine.stage import Stage

SEGMENT = 16 * 1024


class Scene(Stage):
    """`archiver.ship()` sends in the calling thread; its own thread sends closed segments only."""

    def __init__(self, root: Path, target: str = "", **settings: Any) -> None:
        self.root = root
        self.mount = root / "mount"
        self.target = target or str(self.mount / "archive")
        self.base = root / "base"
        self.at_close = False
        self._opened: list[ObjectStore] = []
        self.archiver: Archiver
        self.wrap: Callable[[ObjectStore], ObjectStore] = lambda store: store
        """What stands between the archiver and its store."""
        self._settings = {
            "wal_segment_size": SEGMENT,
            "bulk_threshold": 4096,
            "history_retention": 0,
            "wal_archive_enabled": True,
            "wal_archive_target": self.target,
            "wal_archive_interval": 86_400,
            **settings,
        }
        super().__init__(**self._settings)

    def open(self) -> None:
        fresh = not (self.root / "instance").exists()
        self.fs = LocalFileSystem(str(self.root / "instance"))  # type: ignore[assignment]
        self.engine = open_engine(self.fs, arguments=self.settings, evaluator=self.sql, upkeep=False)
        if fresh:
            shutil.copytree(self.root / "instance", self.base)
        settings = self.engine.settings
        if settings.wal_archive_enabled:
            self.archiver = Archiver(
                self.engine,
                lambda: self.wrap(open_store(self.target)),
                Codec(settings.wal_archive_compress, find_key()),
                ship_at_close=self.at_close,
            )
            self.engine.archive_status = self.archiver.status
            self.engine.closing.append(self.archiver.close)

    def without_archive(self) -> None:
        """Open the instance again with archiving switched off."""
        self.engine.close()
        self.settings["wal_archive_enabled"] = False
        self.open()

    def with_archive(self) -> None:
        """... and on again."""
        self.engine.close()
        self.settings["wal_archive_enabled"] = True
        self.open()

    def store(self) -> ObjectStore:
        """The archive's store, closed with the scene."""
        self._opened.append(open_store(self.target))
        return self._opened[-1]

    def close(self) -> None:
        super().close()
        for store in self._opened:
            store.close()

    # what is written

    def fill(self, first: int, count: int = 300) -> None:
        """A commit whose rows lie in page files."""
        at = self.engine.published
        texts = [f"{at:020}{n:020}" for n in range(count)]
        self.upsert("t", pa.table({"id": range(first, first + count), "v": texts}))

    def work(self, segments: int = 3) -> None:
        """Small commits over some segments."""
        end = self.engine.published + segments * SEGMENT
        number = 0
        while self.engine.published < end:
            number += 1
            self.upsert("t", [{"id": number % 50, "v": f"{self.engine.published:08}" + "x" * 500}])

    def turn_over(self) -> None:
        """Checkpoints and compactions that leave nothing of the log and of earlier page files behind."""
        for _ in range(2):
            checkpoint(self.engine)
            compact_table(self.engine, self.engine.history.database("main").id, self.schema("t"))
            maintain(self.engine)
        checkpoint(self.engine)

    def segments(self) -> list[str]:
        return sorted(name for name in self.fs.list("wal") if "." not in name)

    # the archive

    def archive(self, key: Key | None = None) -> ArchiveReader:
        return ArchiveReader(self.store(), key)

    def objects(self) -> list[str]:
        return [info.name for info in self.store().list()]

    @contextmanager
    def outage(self) -> Iterator[None]:
        """The disk that the archive is on is not there."""
        away = self.root / "away"
        if self.mount.exists():
            self.mount.rename(away)
        self.mount.write_text("nothing is mounted here")
        try:
            yield
        finally:
            self.mount.unlink()
            if away.exists():
                away.rename(self.mount)

    def rebuilt(self, key: Key | None = None) -> list[dict[str, Any]]:
        """The rows of table t in an instance that is made of the archive alone."""
        path = self.root / "rebuilt"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.base, path)
        (path / "watermark").unlink(missing_ok=True)
        for old in (path / "wal").iterdir():
            old.unlink()
        archive = self.archive(key)
        for segment in archive.segments():
            raw = archive.fetch_segment(segment.name)
            name = f"{segment.timeline:08X}{segment.segment:016X}"
            (path / "wal" / name).write_bytes(raw.ljust(archive.identity.segment_bytes, b"\0"))
        for name in {
            Path(name).name.partition(".arrow")[0] for name in self.objects() if name.startswith("pages/")
        }:
            (path / "pages" / f"{name}.arrow").write_bytes(b"".join(archive.fetch_page_file(f"{name}.arrow")))
        stage = object.__new__(Stage)
        stage.engine = open_engine(LocalFileSystem(str(path)), evaluator=self.sql, upkeep=False, create=False)
        try:
            return stage.rows("t")
        finally:
            stage.engine.close()
