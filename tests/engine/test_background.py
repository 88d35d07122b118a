"""The upkeep thread: checkpoints by volume and time, tries again after failures, stops with the engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from absdb.engine import background
from absdb.engine.recovery import open_engine
from absdb.io.memory import MemoryFileSystem
from absdb.testing.faults import Fault, FaultyFileSystem
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


def with_upkeep(fs: Any, **settings: Any) -> World:
    world = World.__new__(World)
    world.fs, world.settings = fs, {**SMALL, **settings}
    world.engine = open_engine(fs, arguments=world.settings, upkeep=True)
    return world


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
