"""What people do with an instance, by chance, through the public interface: and what could be read after each commit.

Merges, reverts, SQL, bulk loads and definitions, on an instance that is archived and backed up on the way.
"""

from __future__ import annotations

import random
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

import absdb
from absdb.errors import AbsdbError
from tests.backup.instances import Rows, everything

KEYS = 200


class PublicPlay:
    """An instance in `root/live`, archived to `root/archive`, with backups in `root/backups`.

    `seen` has (LSN, everything in it) after each step that could be recovered to: from the first backup on.
    """

    def __init__(self, root: Path, chance: random.Random) -> None:
        self.root = root
        self.chance = chance
        self.seen: list[tuple[int, Rows]] = []
        self.labels: list[str] = []
        self.repository = str(root / "backups")
        self.archive_url = str(root / "archive")

    def __enter__(self) -> Self:
        self._open()
        main = self.instance["main"]
        main.create_table("orders", {"id": "int64", "status": "text"}, key="id")
        main.create_table("notes", {"text": "text"})
        self.begins = int(self.instance.lsn)
        self.backup()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.instance.close()

    def _open(self) -> None:
        self.instance = absdb.connect(
            self.root / "live",
            wal_segment_size="16 KiB",
            page_rows=64,
            run_limit=2,
            bulk_threshold="8 KiB",
            wal_archive_enabled=True,
            wal_archive_target=self.archive_url,
        )

    def step(self) -> None:
        """Something by chance; what is refused has changed nothing."""
        actions = [self.rows] * 6 + [self.bulk, self.delete, self.define, self.branch, self.merge, self.merge]
        actions += [self.revert, self.restore, self.sql, self.checkpoint, self.backup, self.reopen]
        action = self.chance.choice(actions)
        may_be_refused = (self.merge, self.revert, self.define, self.branch, self.sql)
        with suppress(AbsdbError) if action in may_be_refused else nullcontext():
            action()
        self.seen.append((int(self.instance.lsn), everything(self.instance)))

    def database(self) -> absdb.Database:
        return self.instance[self.chance.choice(sorted(self.instance))]

    def _keys(self, count: int) -> list[int]:
        return sorted(self.chance.sample(range(KEYS), count))

    def rows(self) -> None:
        found = [{"id": key, "status": f"s{self.chance.randint(0, 9)}"} for key in self._keys(5)]
        self.database()["orders"].upsert(found)

    def bulk(self) -> None:
        word = f"bulk {self.chance.random():.6f} "
        rows = pa.table({"id": range(150), "status": [f"{word}{number}" for number in range(150)]})
        database = self.database()
        database["orders"].upsert(rows)
        database["notes"].insert([{"text": word}])

    def delete(self) -> None:
        self.database()["orders"].delete(self._keys(20))

    def define(self) -> None:
        name = f"c{self.chance.randint(0, 3)}"
        change = self.chance.choice([f"ADD COLUMN {name} INTEGER DEFAULT 7", f"DROP COLUMN {name}"])
        self.database().sql(f"ALTER TABLE orders {change}")

    def branch(self) -> None:
        name = self.chance.choice(["dev", "test"])
        if name in self.instance and self.chance.random() < 0.5:
            self.instance.drop_database(name)
        else:
            self.instance["main"].branch(name)

    def merge(self) -> None:
        into, source = self.database(), self.database()
        into.merge(source, on_conflict=self.chance.choice(["ours", "theirs"]))

    def revert(self) -> None:
        database = self.database()
        if there := self._points(database):
            database.revert(lsn=self.chance.choice(there))

    def restore(self) -> None:
        database = self.database()
        if there := self._points(database):
            database.restore(lsn=self.chance.choice(there))

    def _points(self, database: absdb.Database) -> list[str]:
        """The newest commits of a database, of those after its tables were made."""
        lsns = [str(lsn) for lsn in database.log(limit=8)["lsn"].tolist()]
        return [lsn for lsn in lsns if int(absdb.Lsn.parse(lsn)) > self.begins]

    def sql(self) -> None:
        self.database().sql(
            "UPDATE orders SET status = status || '!' WHERE id % 7 = ?", [self.chance.randint(0, 6)]
        )

    def checkpoint(self) -> None:
        self.instance.checkpoint()
        self.instance.maintain()

    def backup(self) -> None:
        base = self.chance.choice([None, *self.labels]) if self.labels else None
        label = f"b{len(self.labels)}"
        self.instance.backup(self.repository, label=label, incremental_from=base)
        self.labels.append(label)

    def reopen(self) -> None:
        self.instance.close()
        self._open()
