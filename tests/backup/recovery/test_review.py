"""Recoveries to the very end: of a backup that a timeline has left, of the log by time, of a damaged log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import absdb
import absdb.backup.source
from absdb.clock import format_time
from absdb.errors import CorruptionError, CorruptLogError
from tests.backup.instances import everything
from tests.backup.recovery.scene import Scene, ship


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def orders(shop):
    shop["main"].create_table("orders", {"id": "int64", "status": "text"}, key="id")
    return shop["main"]["orders"]


def test_end_of_a_backup_is_on_its_own_timeline_when_another_has_left_that_before(
    scene, tmp_path, monkeypatch
):
    with scene.connect() as shop:
        table = orders(shop)
        checkpoint = absdb.backup.source.checkpoint

        def and_go_on(engine):
            checkpoint(engine)
            for n in range(6):
                table.upsert([{"id": n, "status": "first life"}])
                scene.note(shop)

        monkeypatch.setattr(absdb.backup.source, "checkpoint", and_go_on)
        made = scene.backup(shop, "full")
        monkeypatch.undo()
        ship(shop)
    assert made.checkpoint_lsn < scene.moments[2].lsn < made.end_lsn
    absdb.restore(scene.backups, tmp_path / "second", target_lsn=scene.moments[2].lsn)
    with scene.connect(tmp_path / "second") as shop:
        for n in range(30):
            shop["main"]["orders"].upsert([{"id": n, "status": "second life"}])
        ship(shop)
    done = absdb.restore(scene.backups, tmp_path / "third", label="full", target="immediate")
    assert (done.recovered.lsn, done.recovered.timeline) == (made.end_lsn, 3)
    with absdb.connect(tmp_path / "third") as shop:
        assert everything(shop) == scene.moments[5].rows


def test_time_of_the_last_record_is_reached(scene, tmp_path):
    with scene.connect() as shop:
        table = orders(shop)
        scene.backup(shop, "full")
        table.upsert([{"id": 1, "status": "last"}])
        last = scene.note(shop)
        ship(shop)
        done = absdb.restore(scene.backups, tmp_path / "to", target_time=format_time(last.time_us))
    assert done.recovered.lsn == last.lsn
    with absdb.connect(tmp_path / "to") as shop:
        assert everything(shop) == last.rows


def test_log_that_ends_before_its_last_known_record_is_refused(scene, tmp_path):
    with scene.connect(wal_archive_compress="none") as shop:
        table = orders(shop)
        scene.backup(shop, "full")
        for n in range(40):
            table.upsert([{"id": n, "status": "late" * 10}])
        ship(shop)
    for partial in Path(scene.archive).glob("*.partial"):
        partial.unlink()
    end = int(absdb.restore(scene.backups, tmp_path / "whole").recovered.lsn)
    closed = max(Path(scene.archive).glob("00000001" + "?" * 16))
    data = closed.read_bytes()
    at = end - int(closed.name[8:], 16) * len(data)
    closed.write_bytes(data[: at - 9] + bytes(len(data) - at + 9))  # as if its last sectors had been lost
    with pytest.raises(CorruptLogError, match="what is between is damaged"):
        absdb.restore(scene.backups, tmp_path / "to")


def test_archive_whose_segments_are_said_to_be_of_another_size_is_refused(scene, tmp_path):
    with scene.connect() as shop:
        orders(shop)
        scene.backup(shop, "full")
        ship(shop)
    identity = Path(scene.archive, "archive.json")
    identity.write_text(json.dumps({**json.loads(identity.read_text()), "segment_bytes": 1 << 50}))
    with pytest.raises(CorruptionError, match="says that segments have"):
        absdb.restore(scene.backups, tmp_path / "to", target_name="nowhere")
    assert not (tmp_path / "to").exists()
