"""The upkeep thread: checkpoints by volume and time, lets go of history by time, tries again, stops with the engine."""

from __future__ import annotations

import datetime as dt
import gc
import time
from collections.abc import Callable
from typing import Any

import pytest

from absdb.clock import ManualClock
from absdb.engine import background, expiry
from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import compact_table
from absdb.engine.recovery import open_engine
from absdb.io.memory import MemoryFileSystem
from absdb.testing.faults import Fault, FaultyFileSystem
from absdb.versioning.branch import create_branch, drop_database
from absdb.versioning.retention import drop_outlived
from tests.versioning.conftest import SMALL, World

DEADLINE_S = 20.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "TICK_S", 0.01)


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def with_upkeep(fs: Any, clock: ManualClock | None = None, **settings: Any) -> World:
    world = World.__new__(World)
    world.fs, world.settings = fs, {**SMALL, **settings}
    world.engine = open_engine(fs, arguments=world.settings, clock=clock, upkeep=True)
    return world


def page_files(world: World) -> int:
    return sum(name.endswith(".arrow") for name in world.fs.list("pages"))


def test_a_checkpoint_comes_by_volume() -> None:
    world = with_upkeep(MemoryFileSystem(), checkpoint_wal_volume="1MB")
    world.create()
    assert world.engine.control.checkpoint_lsn == 0
    for step in range(12):
        world.put(dict.fromkeys(range(500), (step, "x" * 100)))
    until(lambda: world.engine.control.checkpoint_lsn > 0)
    world.engine.close()


def test_a_checkpoint_comes_by_time_and_only_when_something_was_written() -> None:
    world = with_upkeep(MemoryFileSystem(), checkpoint_interval="1s")
    world.create()
    until(lambda: world.engine.control.checkpoint_lsn > 0)
    first = world.engine.control.checkpoint_lsn
    time.sleep(1.3)
    assert world.engine.control.checkpoint_lsn == first
    world.engine.close()


def test_a_failure_is_shown_and_tried_again() -> None:
    # The instance's first manifest is renamed into place when it is made; the second rename is the checkpoint's.
    fs = FaultyFileSystem(MemoryFileSystem(), [Fault("rename", call=2, path="manifests/*")])
    world = with_upkeep(fs, checkpoint_interval="1s")
    upkeep = world.engine.background
    assert upkeep is not None
    world.create()
    until(lambda: upkeep.failures == 1)
    assert "manifests/" in upkeep.last_failure
    until(lambda: world.engine.control.checkpoint_lsn > 0 and upkeep.failures == 0)
    world.engine.close()


def test_it_stops_with_the_engine() -> None:
    world = with_upkeep(MemoryFileSystem())
    upkeep = world.engine.background
    assert upkeep is not None
    world.engine.close()
    assert not upkeep._thread.is_alive()


def test_history_goes_by_time_alone() -> None:
    clock = ManualClock(tick_us=1000)
    world = with_upkeep(MemoryFileSystem(), clock, checkpoint_interval="1s", history_retention="1h")
    world.create()
    for step in range(4):
        world.put(dict.fromkeys(range(100), (step, "x")))
        checkpoint(world.engine)
    last, rows, before = world.engine.log.last_lsn, world.rows(), page_files(world)
    info = world.info("main")
    compact_table(world.engine, info.id, world.engine.history.catalog_at(world.point().lineage).table("t"))
    checkpoint(world.engine)
    assert page_files(world) > before
    clock.advance(hours=5)
    until(lambda: page_files(world) == 1)
    assert world.rows() == rows
    assert world.engine.log.last_lsn == last, "something was committed"
    world.engine.close()


def test_files_go_when_the_last_reader_has_gone() -> None:
    world = with_upkeep(MemoryFileSystem(), checkpoint_interval="1s", history_retention="0s")
    world.create()
    world.put(dict.fromkeys(range(100), (1, "x")))
    checkpoint(world.engine)
    reader = open_engine(world.fs, arguments=world.settings, read_only=True)
    held = set(world.fs.list("pages"))
    world.put(dict.fromkeys(range(100), (2, "y")))
    info = world.info("main")
    compact_table(world.engine, info.id, world.engine.history.catalog_at(world.point().lineage).table("t"))
    checkpoint(world.engine)
    until(lambda: page_files(world) == 2)
    assert held <= {*world.fs.list("pages")} | {name for name in held if not name.endswith(".arrow")}
    reader.close()
    # What has read may stand in a cycle until the collector comes by, which is not what is tried here.
    until(lambda: gc.collect() >= 0 and page_files(world) == 1)
    world.engine.close()


def test_reader_that_goes_just_after_its_lease_was_read_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = with_upkeep(MemoryFileSystem(), checkpoint_interval="1s", history_retention="0s")
    world.create()
    world.put(dict.fromkeys(range(100), (1, "x")))
    checkpoint(world.engine)
    reader = open_engine(world.fs, arguments=world.settings, read_only=True)
    world.put(dict.fromkeys(range(100), (2, "y")))
    info = world.info("main")
    compact_table(world.engine, info.id, world.engine.history.catalog_at(world.point().lineage).table("t"))
    checkpoint(world.engine)
    real = background.retire

    def and_goes(engine: Any) -> Any:
        removed = real(engine)
        if not reader.closed:
            reader.close()
            gc.collect()
        return removed

    monkeypatch.setattr(background, "retire", and_goes)
    until(lambda: reader.closed)
    until(lambda: gc.collect() >= 0 and page_files(world) == 1)
    world.engine.close()


def test_nothing_is_done_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    for name in ("expire", "retire"):
        real = getattr(background, name)
        monkeypatch.setattr(
            background, name, lambda engine, name=name, real=real: done.append(name) or real(engine)
        )
    world = with_upkeep(MemoryFileSystem(), ManualClock(tick_us=0), checkpoint_interval="1d")
    upkeep = world.engine.background
    assert upkeep is not None
    world.create()
    checkpoint(world.engine)
    upkeep._by_time(world.engine)
    assert done == ["expire", "retire"]
    for _ in range(3):
        upkeep._by_time(world.engine)
    assert done == ["expire", "retire"]
    with world.engine.begin(world.info("main").id):
        upkeep._by_time(world.engine)
    assert done == ["expire", "retire", "expire"]
    world.engine.close()


def test_eras_that_nothing_runs_through_are_forgotten_though_nothing_else_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The upkeep looked for them once more, which was too early where it looks more often than they are kept."""
    world = with_upkeep(MemoryFileSystem(), ManualClock(), checkpoint_interval="1d")
    upkeep, history = world.engine.background, world.engine.history
    assert upkeep is not None
    world.create()
    create_branch(world.engine, "short", world.point())
    drop_database(world.engine, world.info("short"))
    checkpoint(world.engine)
    for _ in range(3):
        upkeep._by_time(world.engine)
        assert len(history.eras) == 2
    monkeypatch.setattr(expiry, "GRACE_S", 0.0)
    upkeep._by_time(world.engine)
    assert len(history.eras) == 1
    world.engine.close()


def test_what_was_to_live_for_a_while_goes_by_time_alone() -> None:
    clock = ManualClock(tick_us=1000)
    world = with_upkeep(MemoryFileSystem(), clock, checkpoint_interval="1s")
    world.engine.chores.append(drop_outlived)
    world.create()
    create_branch(world.engine, "short", world.point(), retain=dt.timedelta(hours=1))
    until(lambda: not world.engine.written_since_checkpoint)
    clock.advance(hours=2)
    until(lambda: len(world.engine.history.databases) == 1)
    world.engine.close()
