"""Who needs the log keeps its segments and the page files that it names, in this process and beside it."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from absdb.engine.garbage import retire
from absdb.engine.leases import Lease
from absdb.engine.logged_files import named_in_log
from tests.engine.stage import Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(bulk_threshold=1024, history_retention=0)
    stage.create("t", {"id": pa.int64(), "v": pa.string()})
    yield stage
    stage.close()


def fill(stage: Stage, first: int, count: int = 1000) -> None:
    at = stage.engine.published
    texts = [f"{at:050}{n:050}" for n in range(count)]
    stage.upsert("t", pa.table({"id": range(first, first + count), "v": texts}))


def named(stage: Stage, since: int) -> set[str]:
    found = named_in_log(stage.engine, since, stage.engine.published)
    return {file["name"] for _, files in found for file in files}


def work_until_the_log_moves_on(stage: Stage) -> None:
    for _ in range(12):
        fill(stage, 0)
        for number in range(300):
            stage.upsert("t", [{"id": number, "v": "x" * 200}])
        stage.checkpoint()
        stage.compact("t")
        stage.maintain()
    stage.checkpoint()


def segments(stage: Stage) -> list[str]:
    return [name for name in stage.fs.list("wal") if "." not in name]


def test_held_log_stays_with_what_it_names(stage):
    since = stage.engine.published
    stage.engine.logged_files.holds.hold("archive", since)
    fill(stage, 0)
    first, files = segments(stage)[0], named(stage, since)
    assert files
    work_until_the_log_moves_on(stage)
    assert first in segments(stage)
    assert files <= set(stage.fs.list("pages"))

    stage.engine.logged_files.holds.release("archive")
    retire(stage.engine)
    assert first not in segments(stage)
    assert not files & set(stage.fs.list("pages"))


def test_what_is_held_below_the_checkpoint_is_found_in_the_log_after_opening(stage):
    since = stage.engine.published
    stage.engine.logged_files.holds.hold("archive", since)
    fill(stage, 0)
    files = named(stage, since)
    work_until_the_log_moves_on(stage)
    stage.engine.abandon()
    stage.open()
    stage.engine.logged_files.holds.hold("archive", since)
    retire(stage.engine)
    assert files <= set(stage.fs.list("pages"))


def test_lease_of_a_backup_holds_the_log(stage):
    stage.checkpoint()
    lsn = stage.engine.control.checkpoint_lsn
    lease = Lease(stage.fs, stage.engine.clock, stage.engine.control.manifest, wal_lsn=lsn)
    fill(stage, 0)
    files = named(stage, lsn)
    work_until_the_log_moves_on(stage)
    assert named(stage, lsn) > files
    assert files <= set(stage.fs.list("pages"))
    lease.release()
    retire(stage.engine)
    assert not files & set(stage.fs.list("pages"))


def test_hold_below_the_first_segment_holds_what_there_is(stage):
    work_until_the_log_moves_on(stage)
    before = segments(stage)
    stage.engine.logged_files.holds.hold("archive", 0)
    work_until_the_log_moves_on(stage)
    assert segments(stage)[0] == before[0]


def test_files_between_two_places_are_the_same_from_memory_and_from_the_log(stage):
    start = stage.engine.published
    for first in range(0, 5000, 1000):
        fill(stage, first)
        for number in range(200):
            stage.upsert("t", [{"id": number, "v": "x" * 500}])
    end = stage.engine.published
    noted = stage.engine.logged_files.between(stage.engine, start, end)
    assert len(noted) == 5
    middle = noted[2][0]
    stage.engine.logged_files.holds.hold("test", 0)
    stage.checkpoint()
    stage.crash()
    again = stage.engine.logged_files
    assert again.between(stage.engine, start, end) == noted
    assert again.between(stage.engine, middle, end) == noted[3:]
    assert again.between(stage.engine, start, middle) == noted[:3]
    size = stage.engine.control.segment_bytes
    for boundary in range(size, end, size):
        found = again.between(stage.engine, boundary, end)
        assert found == noted[len(noted) - len(found) :]
        assert {lsn for lsn, _ in noted if lsn - 4096 > boundary} <= {lsn for lsn, _ in found}
