"""The schedule: what is due follows from the repository, and what fails is seen and tried again."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import absdb
from absdb.backup import schedule
from absdb.backup.create import create_backup
from absdb.backup.listing import list_backups
from absdb.backup.schedule import Plan, plans
from absdb.backup.verify import verify
from absdb.clock import ManualClock, to_datetime
from absdb.errors import InvalidInputError
from absdb.settings import Settings
from tests.backup.instances import everything
from tests.backup.test_backup import restored_from
from tests.backup.test_manifest import BACKUP

HOUR = 3600 * 1_000_000


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(schedule, "TICK_S", 0.01)
    monkeypatch.setattr(schedule, "PAUSE_S", 0.05)


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "backups")


@pytest.fixture
def clock():
    return ManualClock("2026-01-01 00:00:00Z")


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread will bring about."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def kinds(url: str) -> list[str]:
    """Of all that are complete, oldest first; and `complete` their labels."""
    return [row["kind"] for row in list_backups(url).to_pylist() if row["state"] == "complete"]


def complete(url: str) -> list[str]:
    return [row["label"] for row in list_backups(url).to_pylist() if row["state"] == "complete"]


def made(label, kind, finished_us, base="", **more):
    return dataclasses.replace(
        BACKUP, label=label, kind=kind, finished_us=finished_us, base_label=base, base_url="", **more
    )


def test_plan_follows_from_what_there_is():
    both = Settings(backup_full_interval=24 * 3600.0, backup_incremental_interval=3600.0)
    full, first = made("f", "full", 0), made("i", "incremental", HOUR, "f")
    assert plans([], both, 5) == [Plan(5, None)]
    daily, at = Plan(24 * HOUR, None), BACKUP.checkpoint_lsn
    assert plans([full], both, 5) == [daily, Plan(HOUR, "f", at)]
    assert plans([full, first], both, 5) == [daily, Plan(2 * HOUR, "i", at)]
    aside = made("x", "incremental", 3 * HOUR, "of another chain")
    assert plans([full, first, aside], both, 5) == [daily, Plan(2 * HOUR, "i", at)]
    assert plans([full, first], Settings(backup_full_interval=3600.0), 5) == [Plan(HOUR, None)]
    assert plans([], Settings(backup_incremental_interval=3600.0), 5) == [Plan(5, None)]
    assert plans([full], Settings(), 5) == []


def test_backups_are_made_when_they_are_due(tmp_path, url, clock):
    with absdb.connect(
        tmp_path / "shop",
        clock=clock,
        backup_target=url,
        backup_full_interval="1 day",
        backup_incremental_interval="1 h",
    ) as shop:
        shop["main"].create_table("t", {"id": "int64"}, key="id")
        until(lambda: kinds(url) == ["full"])
        shop["main"]["t"].insert([{"id": 1}])
        clock.advance(hours=1, seconds=1)
        until(lambda: kinds(url) == ["full", "incremental"])
        clock.advance(hours=2)  # nothing was committed: nothing is to be backed up
        shop["main"]["t"].insert([{"id": 2}])
        until(lambda: kinds(url) == ["full", "incremental", "incremental"])
        newest = list_backups(url).column("label").to_pylist()[-1]
        assert restored_from(url, newest, tmp_path) == everything(shop)
        until(lambda: shop.stats()["last_backup"].iloc[0] == newest)
        clock.advance(days=1)
        until(lambda: kinds(url)[-1] == "full")
    assert verify(url).well


def test_old_backups_are_removed_after_a_new_one(tmp_path, url, clock):
    with absdb.connect(
        tmp_path / "shop",
        clock=clock,
        backup_target=url,
        backup_full_interval="1 day",
        backup_retention_days=2,
    ):
        seen = set[str]()
        for _ in range(4):
            until(lambda: complete(url) and complete(url)[-1] not in seen)
            seen.update(complete(url))
            clock.advance(days=1, minutes=1)
        until(lambda: complete(url)[-1] not in seen)
        until(lambda: len(complete(url)) == 2)


def test_backup_by_hand_counts(tmp_path, url, clock):
    with absdb.connect(tmp_path / "shop", clock=clock) as shop:
        create_backup(shop._engine, url, label="mine")
    with absdb.connect(
        tmp_path / "shop", clock=clock, backup_target=url, backup_full_interval="1 day"
    ) as shop:
        until(lambda: shop.stats()["last_backup"].iloc[0] == "mine")
        clock.advance(days=1, seconds=1)
        until(lambda: len(kinds(url)) == 2)


def test_failure_is_logged_shown_and_tried_again(tmp_path, url, clock, caplog):
    Path(url).write_text("in the way")
    with (
        caplog.at_level(logging.ERROR, "absdb"),
        absdb.connect(
            tmp_path / "shop", clock=clock, backup_target=url, backup_full_interval="1 day"
        ) as shop,
    ):
        until(lambda: shop.stats()["backup_failures"].iloc[0] >= 2)
        assert shop.stats()["last_backup_failure"].iloc[0]
        assert any("next try" in record.getMessage() for record in caplog.records)
        Path(url).unlink()
        until(lambda: shop.stats()["backup_failures"].iloc[0] == 0)
        assert kinds(url) == ["full"]


def test_closing_interrupts_a_backup_and_waits_for_none(tmp_path, url, clock, monkeypatch):
    began = []

    def slow(*args, **more):
        began.append(1)
        while True:
            more["progress"](None)
            time.sleep(0.005)

    monkeypatch.setattr(schedule, "create_backup", slow)
    shop = absdb.connect(tmp_path / "shop", clock=clock, backup_target=url, backup_full_interval="1 day")
    until(lambda: began)
    shop.close()
    with absdb.connect(tmp_path / "shop"):
        pass


def test_schedule_without_a_place_is_refused_and_leaves_the_instance_free(tmp_path):
    with pytest.raises(InvalidInputError, match="backup_target"):
        absdb.connect(tmp_path / "shop", backup_full_interval="1 day")
    with pytest.raises(InvalidInputError, match="gopher"):
        absdb.connect(tmp_path / "shop", backup_full_interval="1 day", backup_target="gopher://x/y")
    absdb.connect(tmp_path / "shop").close()
    shutil.rmtree(tmp_path / "shop")


def test_archived_log_goes_after_its_days_but_for_what_backups_need(tmp_path, url, clock):
    archive = tmp_path / "archive"
    shop = absdb.connect(
        tmp_path / "shop",
        clock=clock,
        wal_segment_size="4 KiB",
        wal_archive_enabled=True,
        wal_archive_target=str(archive),
        wal_retention_days=1,
        backup_target=url,
        backup_full_interval="1 d",
    )

    archive.mkdir()

    def segments() -> list[str]:
        return sorted(path.name for path in archive.iterdir() if path.name.startswith("00000001"))

    with shop:
        until(lambda: len(kinds(url)) == 1)
        table = shop["main"].create_table("t", {"id": "int64", "text": "text"}, key="id")
        for number in range(60):
            table.insert({"id": number, "text": "x" * 500})
        until(lambda: len(segments()) > 5)
        old = segments()
        # The archive tells age by the time of its store, and this is what a clock of the future sees of it.
        clock.set(to_datetime(time.time_ns() // 1000 + 2 * 24 * HOUR))
        until(lambda: len(kinds(url)) == 2)
        until(lambda: not set(old[1:3]) & set(segments()))
    absdb.restore(url, tmp_path / "back", archive_url=str(archive))
    with absdb.connect(tmp_path / "back") as back:
        assert back["main"]["t"].count() == 60
