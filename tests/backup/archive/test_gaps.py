"""Log that cannot be archived is a gap: recorded first, loud, in the statistics, in the archive, and never silent."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from absdb.backup.archive import archiver as archiver_module
from absdb.backup.archive.listing import accept_gap, wal_list
from absdb.clock import SystemClock
from absdb.engine.archive_status import read_status
from absdb.engine.checkpoint import checkpoint
from absdb.engine.recovery import open_engine
from absdb.engine.statistics import wal_stats
from absdb.errors import NotFoundError, StorageError
from absdb.ids import Lsn
from absdb.objectstore.local import LocalStore
from absdb.paths import wal_segment_name
from tests.backup.archive.faulty_store import FaultyStore
from tests.backup.archive.scene import SEGMENT, Scene


def stats(scene: Scene) -> dict[str, Any]:
    found: dict[str, Any] = wal_stats(scene.engine).to_pylist()[0]
    return found


def missing(scene: Scene) -> list[tuple[str, str, str, bool]]:
    rows = wal_list(scene.archive()).to_pylist()
    return [
        (row["kind"], row["start_lsn"], row["end_lsn"], row["accepted"])
        for row in rows
        if row["kind"] in ("gap", "hole")
    ]


def wait_for(condition: Any) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


def test_trap_12_bound_on_what_waits_leaves_a_gap_that_everybody_sees(make, caplog):
    scene = make(wal_archive_wait_max=5 * SEGMENT)
    scene.archiver.ship()
    archived = scene.archiver.status().archived_lsn
    with scene.outage(), caplog.at_level(logging.WARNING, "absdb"):
        scene.work(3)
        wait_for(lambda: "% of wal_archive_wait_max" in caplog.text)
        scene.work(6)
        wait_for(lambda: scene.archiver.status().unsent_gaps)
        wait_for(lambda: stats(scene)["archive_waiting_bytes"] <= 5 * SEGMENT)
        assert "the archive has a gap" in caplog.text
        assert stats(scene)["first_gap_lsn"] == str(Lsn(archived))
        gap = read_status(scene.fs).unsent_gaps[0]
        assert gap.from_lsn == archived
        assert gap.to_lsn % SEGMENT == 0
        before = len(scene.segments())
        scene.turn_over()
        assert len(scene.segments()) < before
    scene.work(1)
    scene.archiver.ship()
    assert scene.archiver.status().archived_lsn == scene.engine.published
    scene.archiver.ship()
    assert scene.archiver.status().unsent_gaps == ()
    told = [(Lsn.parse(start), Lsn.parse(end)) for _, start, end, _ in missing(scene)]
    assert told[0][0] == archived
    assert told[0][1] >= gap.to_lsn, "on a slow disk more of it goes"
    end = told[-1][1]
    assert stats(scene)["first_gap_lsn"] == str(Lsn(archived))
    here = {s.segment for s in scene.archive().segments()}
    assert set(range(end // SEGMENT, scene.engine.published // SEGMENT + 1)) <= here
    scene.reopen()
    scene.archiver.ship()
    assert stats(scene)["first_gap_lsn"] == str(Lsn(archived)), "the archive tells it after a restart"


def test_page_files_that_wait_count_against_the_bound(make):
    scene = make(wal_archive_wait_max=SEGMENT)
    scene.archiver.ship()
    with scene.outage():
        scene.fill(0, 2000)
        wait_for(lambda: scene.archiver.status().unsent_gaps)
    scene.fill(5000, 10)
    scene.archiver.ship()
    (gap,) = [row for row in wal_list(scene.archive()).to_pylist() if row["kind"] == "gap"]
    assert "wal_archive_wait_max" in gap["reason"]


def test_gap_recorded_before_a_crash_is_sent_after_it(make):
    scene = make(wal_archive_wait_max=3 * SEGMENT)
    scene.archiver.ship()
    with scene.outage():
        scene.work(6)
        wait_for(lambda: scene.archiver.status().unsent_gaps)
        scene.turn_over()
        scene.crash()
        assert read_status(scene.fs).unsent_gaps
    scene.archiver.ship()
    (found,) = missing(scene)
    assert found[0] == "gap"
    assert scene.archiver.status().archived_lsn == scene.engine.published


def test_log_that_went_while_archiving_was_off_is_a_gap(scene, caplog):
    scene.work(1)
    scene.archiver.ship()
    archived = scene.archive().end()[1]
    scene.without_archive()
    scene.work(4)
    scene.turn_over()
    scene.with_archive()
    scene.work(1)
    with caplog.at_level(logging.ERROR, "absdb"):
        scene.archiver.ship()
    assert "removed from the instance before it was archived" in caplog.text
    (found,) = missing(scene)
    assert found[:2] == ("gap", str(Lsn(archived)))
    assert stats(scene)["first_gap_lsn"] == str(Lsn(archived))


def test_page_files_that_went_while_archiving_was_off_are_a_gap(scene):
    scene.archiver.ship()
    scene.without_archive()
    scene.fill(0)
    named, (file,) = scene.engine.published, scene.engine.logged_files.since(scene.engine, 0)
    scene.fill(0)
    scene.turn_over()  # the segment stays, since the log is still in it, and the page file goes
    assert file not in scene.fs.list("pages")
    scene.with_archive()
    scene.archiver.ship()
    (found,) = [row for row in wal_list(scene.archive()).to_pylist() if row["kind"] == "gap"]
    assert "page file" in found["reason"]
    assert Lsn.parse(found["start_lsn"]) < named <= Lsn.parse(found["end_lsn"])


def test_archiving_that_begins_late_begins_without_a_gap(make):
    scene = make(wal_archive_enabled=False)
    scene.work(3)
    scene.fill(0)
    scene.turn_over()
    scene.with_archive()
    scene.fill(3000)
    scene.archiver.ship()
    assert missing(scene) == []
    assert scene.archive().identity.begins_lsn > 2 * SEGMENT
    assert scene.archive().end()[1] == scene.engine.published


def test_trap_17_gap_can_be_acknowledged_and_stays_known(scene):
    scene.work(1)
    scene.archiver.ship()
    scene.without_archive()
    scene.work(4)
    scene.turn_over()
    scene.with_archive()
    scene.archiver.ship()
    ((kind, start, end, accepted),) = missing(scene)
    assert not accepted
    hole = accept_gap(
        scene.archive(), 1, Lsn.parse(start) + 10, clock=SystemClock(), comment="the disk was full"
    )
    assert (str(Lsn(hole.from_lsn)), str(Lsn(hole.to_lsn))) == (start, end)
    assert missing(scene) == [(kind, start, end, True)]
    accept_gap(scene.archive(), 1, Lsn.parse(start), clock=SystemClock())
    with pytest.raises(NotFoundError, match="no gap at LSN 0/0"):
        accept_gap(scene.archive(), 1, 0, clock=SystemClock())


def test_trap_17_segment_that_somebody_removed_is_a_hole(scene):
    scene.work(5)
    scene.archiver.ship()
    (victim,) = [s for s in scene.archive().segments() if s.segment == 2]
    (scene.mount / "archive" / victim.stored_name).unlink()
    expected = (str(Lsn(victim.start_lsn)), str(Lsn(victim.end_lsn)))
    assert missing(scene) == [("hole", *expected, False)]
    accept_gap(scene.archive(), 1, victim.start_lsn, clock=SystemClock())
    assert missing(scene) == [("hole", *expected, True)]


def test_trap_13_archive_that_was_emptied_is_noticed_and_filled_again(scene):
    scene.work(2)
    scene.archiver.ship()
    for path in (scene.mount / "archive").glob("0*"):
        path.unlink()
    scene.work(1)
    with pytest.raises(StorageError, match="is not there any more"):
        scene.archiver.ship()
    scene.archiver.ship()
    assert scene.rebuilt() == scene.rows("t")


def test_trap_13_lag_and_failures_are_seen_from_another_process(make):
    scene = make()
    scene.archiver.ship()
    with scene.outage():
        scene.work(1)
        wait_for(lambda: stats(scene)["failed_count"])
        scene.work(1)
        wait_for(lambda: read_status(scene.fs).failed_count)
        reader = open_engine(scene.fs, evaluator=scene.sql, read_only=True)
        told = wal_stats(reader).to_pylist()[0]
        assert told["failed_count"] > 0
        assert told["last_archive_failure"]
        assert told["archive_lag_seconds"] > 0
        assert told["archive_waiting_bytes"] > 0
        reader.close()


def test_log_that_was_let_go_while_it_was_being_sent_is_no_gap(make):
    scene = make(wal_archive_wait_max=SEGMENT)
    scene.archiver.ship()
    sending, go_on = threading.Event(), threading.Event()

    class Slow(FaultyStore):
        def put(self, name: str, *args: Any, **more: Any) -> Any:
            if name == f"{wal_segment_name(1, 0)}.zst":
                sending.set()
                assert go_on.wait(60)
            return self._store.put(name, *args, **more)

    scene.engine.close()
    scene.wrap = Slow
    scene.open()
    scene.work(3)
    assert sending.wait(60)
    wait_for(lambda: scene.archiver.status().unsent_gaps)
    assert scene.archiver.status().unsent_gaps[0].from_lsn < SEGMENT
    go_on.set()
    scene.archiver.ship()
    here = [s.segment for s in scene.archive().segments()]
    assert 0 in here
    assert all(Lsn.parse(start) >= SEGMENT for _, start, _, _ in missing(scene))
    first = stats(scene)["first_gap_lsn"]
    assert first is None or Lsn.parse(first) >= SEGMENT


def test_segment_that_goes_before_it_is_sent_is_a_gap_and_what_is_behind_it_is_sent(scene):
    scene.archiver.ship()
    archived = scene.archiver.status().archived_lsn
    with scene.outage():
        scene.work(4)
        checkpoint(scene.engine)
        gone = scene.segments()[:2]
        for name in gone:
            scene.fs.unlink(f"wal/{name}")
    for _ in range(3):
        with suppress(StorageError):
            scene.archiver.ship()
    assert scene.archiver.status().archived_lsn == scene.engine.published
    assert missing(scene) == [("gap", str(Lsn(archived)), str(Lsn(len(gone) * SEGMENT)), False)]


def test_closing_that_has_waited_long_enough_leaves_no_thread_that_goes_on_sending(make, monkeypatch):
    scene = make()
    scene.archiver.ship()
    monkeypatch.setattr(archiver_module, "CLOSE_S", 0.0)
    scene.archiver._ship_at_close = True
    with scene.outage():
        scene.work(8)
        put, sent = LocalStore.put, []

        def slow(self, name, *args, **more):
            sent.append(name)
            time.sleep(0.2)
            return put(self, name, *args, **more)

        monkeypatch.setattr(LocalStore, "put", slow)
    scene.engine.close()
    thread = scene.archiver._threads[0]
    thread.join(30)
    assert not thread.is_alive()
    assert len(sent) < 6
