"""What the archiver does beside its work: nothing that anybody waits for, and nothing that outlives the instance."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import absdb
from absdb.engine.statistics import wal_stats
from absdb.errors import StateError, StorageError
from tests.backup.archive.faulty_store import FaultyStore


def wait_for(condition: Any) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


@pytest.fixture
def threads() -> Callable[[], list[str]]:
    """Names of the archivers' threads that have been started since; instances that others hold have theirs."""
    others = set(threading.enumerate())

    def started() -> list[str]:
        new = set(threading.enumerate()) - others
        return sorted(thread.name for thread in new if thread.name.startswith("absdb-archive"))

    return started


def test_commits_go_on_while_the_store_does_not_answer(scene):
    answer = threading.Event()

    class Silent(FaultyStore):
        def _watched(self, name: str, call: Any) -> Any:
            def watched(*args: Any, **more: Any) -> Any:
                assert answer.wait(60)
                return call(*args, **more)

            return watched

    scene.engine.close()
    scene.wrap = Silent
    scene.open()
    scene.work(2)
    scene.fill(0)
    scene.turn_over()
    assert scene.archiver.status().archived_lsn is None or scene.archiver.status().waiting_bytes > 0
    answer.set()
    scene.archiver.ship()
    assert scene.rebuilt() == scene.rows("t")


def test_open_segment_goes_after_the_interval(make):
    scene = make(wal_archive_interval=1)
    wait_for(lambda: scene.archiver.status().archived_lsn == scene.engine.published)
    scene.upsert("t", [{"id": 1, "v": "x"}])
    lsn = scene.engine.published
    wait_for(lambda: (scene.archiver.status().archived_lsn or 0) >= lsn)
    (copy,) = scene.archive().segments()
    assert copy.partial
    assert copy.end_lsn == lsn
    before = scene.objects()
    time.sleep(1.5)
    assert scene.objects() == before, "nothing is sent while nothing grows"


def test_trap_23_archived_lsn_never_passes_what_is_there(make):
    scene = make(wal_archive_interval=1)
    stop = threading.Event()
    seen = []

    def look() -> None:
        while not stop.is_set():
            said = scene.archiver.status().archived_lsn
            if said is not None and scene.mount.exists():
                seen.append(
                    (said, scene.archive().end()[1] if said > scene.engine.control.segment_bytes else said)
                )

    watcher = threading.Thread(target=look)
    watcher.start()
    for _ in range(5):
        scene.work(2)
        scene.fill(0)
    scene.archiver.ship()
    stop.set()
    watcher.join()
    assert all(said <= there for said, there in seen)
    assert max(said for said, _ in seen) > 4 * scene.engine.control.segment_bytes


def test_trap_23_failing_part_way_leaves_the_position_where_the_archive_is(scene, monkeypatch):
    monkeypatch.setattr("absdb.backup.archive.archiver.TICK_S", 3600.0)
    faulty = []

    def wrap(store: Any) -> FaultyStore:
        faulty.append(FaultyStore(store))
        return faulty[-1]

    scene.engine.close()
    scene.wrap = wrap
    scene.open()
    scene.archiver.ship()
    scene.work(4)
    faulty[0].fail_at, faulty[0].for_good = len(faulty[0].calls) + 3, True
    with pytest.raises(StorageError):
        scene.archiver.ship()
    assert scene.archiver.status().archived_lsn <= scene.archive().end()[1] < scene.engine.published
    assert scene.engine.logged_files.holds.held()["archive"] <= scene.archive().end()[1]
    faulty[0].fail_at = None


def test_nosync_mode_sends_only_what_was_synced(make):
    scene = make(wal_sync_mode="nosync")
    scene.work(2)
    assert scene.engine.wal.durable_lsn < scene.engine.published
    synced = []
    opened = scene.archiver._own._files.open

    def watched(segment: int, *, write: bool = False) -> Any:
        if write:
            synced.append(segment)
        return opened(segment, write=write)

    own = scene.archiver._own
    object.__setattr__(own, "_files", _Watching(own._files, watched))
    scene.archiver.ship()
    assert set(range(2)) <= set(synced)
    assert scene.rebuilt() == scene.rows("t")


class _Watching:
    """Segment files, with another `open`."""

    def __init__(self, files: Any, opened: Any) -> None:
        self._files, self.open = files, opened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)


def test_threads_end_with_the_instance(threads, make):
    scene = make()
    assert {"absdb-archive", "absdb-archive-watch"} <= set(threads())
    scene.engine.close()
    wait_for(lambda: not threads())
    with pytest.raises(StateError, match="the instance is closed"):
        scene.archiver.ship()


def test_instance_that_nobody_holds_is_let_go(tmp_path, threads):
    shop = absdb.connect(
        tmp_path / "shop", wal_archive_enabled=True, wal_archive_target=str(tmp_path / "archive")
    )
    shop["main"].create_table("t", [{"id": 1}], key="id")
    engine = weakref.ref(shop._engine)
    del shop

    def is_gone() -> bool:
        gc.collect()
        return engine() is None

    wait_for(is_gone)
    wait_for(lambda: not threads())
    absdb.connect(tmp_path / "shop").close()


def test_closing_during_an_outage_takes_no_longer_than_it_may(make):
    scene = make()
    scene.at_close = True
    scene.reopen()
    scene.archiver.ship()
    with scene.outage():
        scene.work(2)
        scene.engine.close()
    scene.at_close = False
    scene.open()
    scene.archiver.ship()
    assert scene.rebuilt() == scene.rows("t")
    assert wal_stats(scene.engine).to_pylist()[0]["first_gap_lsn"] is None


def test_statistics_in_sql_and_in_frames_are_the_same(tmp_path):
    target = str(tmp_path / "archive")
    with absdb.connect(tmp_path / "shop", wal_archive_enabled=True, wal_archive_target=target) as shop:
        shop["main"].create_table("t", [{"id": 1}], key="id")
        wait_for(lambda: shop.wal_stats()["last_archived_lsn"][0] is not None)
        frame = shop.wal_stats()
        told = shop["main"].sql("SELECT * FROM absdb_wal_stats").to_arrow()
        assert told.column_names == list(frame.columns)
        for name in ("failed_count", "first_gap_lsn", "segments_archived_today", "wal_segment_size_bytes"):
            assert told[name].to_pylist()[0] == frame[name][0] or frame[name][0] is None
