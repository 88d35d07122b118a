"""What was committed is in the archive, in order and whole, whatever happens to the instance or to the archive."""

from __future__ import annotations

import time
from typing import Any

import pytest

from absdb.backup.codec.key import Key
from absdb.engine.statistics import wal_stats
from absdb.errors import StateError, StorageError
from tests.backup.archive.scene import SEGMENT, Scene


def stats(scene: Scene) -> dict[str, Any]:
    found: dict[str, Any] = wal_stats(scene.engine).to_pylist()[0]
    return found


def wait_for(condition: Any) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


def test_archive_alone_makes_the_instance_again(scene):
    scene.work(2)
    scene.fill(1000)
    scene.work(1)
    assert scene.archiver.ship() == scene.engine.published
    assert scene.rebuilt() == scene.rows("t")
    assert scene.archive().end() == (1, scene.engine.published)
    scene.fill(2000)
    scene.archiver.ship()
    assert scene.rebuilt() == scene.rows("t")


def test_closed_segments_are_sent_at_once_and_nothing_is_twice_there(scene):
    scene.work(3)
    wait_for(lambda: scene.archiver.status().archived_today >= 3)
    scene.archiver.ship()
    scene.work(1)
    scene.archiver.ship()
    contents = scene.archive().contents()
    assert contents.outdated == []
    assert [s.segment for s in contents.segments] == list(range(len(contents.segments)))
    assert [s.partial for s in contents.segments].count(True) == 1


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("encrypted", [False, True])
def test_every_compression_with_and_without_encryption(make, monkeypatch, compression, encrypted):
    key = Key(bytes(range(32)))
    if encrypted:
        monkeypatch.setenv("ABSDB_BACKUP_KEY", key.secret().hex())
    scene = make(wal_archive_compress=compression or "none")
    scene.work(2)
    scene.fill(1000)
    scene.archiver.ship()
    assert scene.rebuilt(key if encrypted else None) == scene.rows("t")
    assert {s.encrypted for s in scene.archive().segments()} == {encrypted}
    if encrypted:
        assert all(b"ABSDBWAL" not in path.read_bytes() for path in (scene.mount / "archive").glob("0*"))
        with pytest.raises(StateError, match="there is no key"):
            scene.archive().fetch_segment(scene.archive().segments()[0].name)


def test_trap_11_outage_keeps_the_log_and_catches_up_afterwards(scene):
    scene.archiver.ship()
    with scene.outage():
        scene.fill(1000)
        scene.work(4)
        scene.turn_over()
        with pytest.raises(StorageError):
            scene.archiver.ship()
        wait_for(lambda: stats(scene)["failed_count"])
        told = stats(scene)
        assert told["last_failed_time"] is not None
        assert told["last_archive_failure"]
        assert told["archive_waiting_bytes"] > 4 * SEGMENT
        assert told["archive_lag_seconds"] > 0
        assert len(scene.segments()) > 4
    scene.archiver.ship()
    assert scene.rebuilt() == scene.rows("t")
    told = stats(scene)
    assert told["last_archive_failure"] is None
    assert told["archive_waiting_bytes"] == 0
    assert told["archive_lag_seconds"] == 0
    assert told["first_gap_lsn"] is None
    scene.turn_over()
    assert len(scene.segments()) < 4


def test_new_archive_begins_where_the_instance_was_opened_however_late_it_is_reached(make, tmp_path):
    (tmp_path / "scene0").mkdir()
    (tmp_path / "scene0" / "mount").write_text("nothing is mounted here")
    scene = make()
    scene.work(2)
    scene.turn_over()
    (tmp_path / "scene0" / "mount").unlink()
    scene.archiver.ship()
    assert scene.archive().identity.begins_lsn < SEGMENT
    assert scene.rebuilt() == scene.rows("t")


def test_restart_goes_on_where_the_archive_ends(scene):
    scene.fill(1000)
    scene.work(3)
    scene.archiver.ship()
    scene.work(2)
    scene.fill(2000)
    scene.crash()
    scene.fill(3000)
    scene.work(2)
    scene.archiver.ship()
    assert scene.rebuilt() == scene.rows("t")
    scene.reopen()
    scene.work(1)
    scene.archiver.ship()
    assert scene.rebuilt() == scene.rows("t")


def test_trap_20_what_was_written_while_the_archive_was_out_of_reach_survives_a_restart(scene):
    scene.work(2)
    scene.archiver.ship()
    with scene.outage():
        scene.fill(1000)
        scene.work(3)
        scene.turn_over()
        scene.crash()
        scene.fill(2000)
        scene.turn_over()
        scene.reopen()
        scene.turn_over()
    scene.archiver.ship()
    assert scene.rebuilt() == scene.rows("t")
    assert stats(scene)["first_gap_lsn"] is None


def test_closing_sends_the_rest(make):
    scene = make()
    scene.at_close = True
    scene.reopen()
    scene.work(2)
    end = scene.engine.published
    scene.engine.close()
    assert scene.archive().end()[1] > end
    scene.open()
    rows = scene.rows("t")

    assert scene.rebuilt() == rows
