"""A shop that is backed up and archived, in which somebody has deleted too much: what the Backups page is about."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd

import absdb

DELETED = 70


class BackupScene:
    """Base backup, a change, an incremental backup, a restore point, the deletion, a change, a snapshot.

    A minute lies between any two of them, from 14:00 on.
    """

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root = root
        self.repository = str(root / "backups")
        self.clock = absdb.ManualClock("2026-04-04 14:00Z")
        self.settings = {
            "wal_segment_size": "64 KiB",
            "wal_archive_enabled": True,
            "wal_archive_target": str(root / "archive"),
            "wal_archive_interval": 1,
            "backup_target": self.repository,
            **settings,
        }
        self.shop = self.opened("shop")
        main = self.shop["main"]
        frame = pd.DataFrame({"id": range(100), "status": ["open", "paid"] * 50})
        main.create_table("orders", frame, key="id", message="load")
        self.shop.backup(self.repository, label="base")
        self.commit("paid", lambda orders: orders.update({"id": 0, "status": "paid"}))
        self.clock.advance(minutes=1)
        self.shop.backup(self.repository, label="incr", incremental_from="base")
        self.clock.advance(minutes=1)
        self.shop.create_restore_point("before the clean up")
        self.commit("clean up", lambda orders: orders.delete(list(range(DELETED))))
        self.commit("late", lambda orders: orders.update({"id": 90, "status": "late"}))
        self.clock.advance(minutes=1)
        main.snapshot("evening")

    def opened(self, name: str, **more: Any) -> absdb.Instance:
        """An instance in a directory of the scene."""
        return absdb.connect(self.root / name, clock=self.clock, author="ann", **self.settings, **more)

    def commit(self, message: str, change: Any) -> None:
        """Something that somebody does a minute later."""
        self.clock.advance(minutes=1)
        with self.shop["main"].transaction(message=message) as tx:
            change(tx["orders"])

    def lsn(self, message: str) -> str:
        """The LSN of a commit."""
        log = self.shop.log()
        return str(log.loc[log["message"] == message, "lsn"].iloc[0])

    def archive(self) -> None:
        """Wait until the log is in the archive."""
        for _ in range(400):
            if self.shop.wal_stats()["last_archived_lsn"].iloc[0] == str(self.shop.lsn):
                return
            time.sleep(0.01)
        raise AssertionError("the log was not archived")

    def close(self) -> None:
        self.shop.close()
