"""Disks that fail: every call of a workload in turn, once or from then on, with errors of reading and of a full disk.

Each step of the short workload of crashing.py is run on the disk as the steps before have left it, with its n-th
call failing. The error that comes out is one of absdb's that says what it is; what was acknowledged is there, in
the live engine and after opening the disk again without faults; a step that was refused can be run again.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from absdb.errors import AbsdbError, CorruptionError, EnginePoisonedError, StorageError
from absdb.io.memory import MemoryFileSystem, Node
from absdb.testing.crash_states import crash_states
from absdb.testing.faults import Fault, FaultyFileSystem
from absdb.testing.recording import RecordingFileSystem
from tests.proof.crashing import (
    SHORT,
    Stage,
    State,
    commit_afterwards,
    difference,
    errors_of,
    observed,
    predictable_names,
    start,
    with_afterwards,
)

SEED = int(os.environ.get("ABSDB_SEED", "20260"))
WRITING = {"create", "pwrite", "truncate", "rename", "make_directory", "map_shared", "lock"}
SYNCING = {"sync", "sync_directory"}
OF_THE_DISK = (StorageError, CorruptionError, EnginePoisonedError)


class CallCounter(FaultyFileSystem):
    """Notes what is called, in order."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.order: list[tuple[str, str]] = []

    def due(self, op: str, path: str) -> Fault | None:
        if op != "close":
            self.order.append((op, path))
        return super().due(op, path)


def copy_of(disk: MemoryFileSystem) -> MemoryFileSystem:
    """Another disk with the same contents, held by nobody."""
    fresh = MemoryFileSystem()
    fresh.nodes = {path: Node(node.data) for path, node in disk.nodes.items()}
    fresh.directories = set(disk.directories)
    return fresh


@dataclass
class Scene:
    """A step about to be run: the disk, the model, the calls that opening and the step make."""

    name: str
    do: Any
    disk: MemoryFileSystem
    model: dict[str, Any]
    kept: dict[str, Any]
    before: State
    after: State
    opening: int = 0
    calls: Sequence[tuple[str, str]] = ()

    def stage(self, fs: Any) -> Stage:
        """Opened on another disk."""
        stage = Stage(fs)
        stage.model, stage.kept = copy.deepcopy(self.model), copy.deepcopy(self.kept)
        return stage


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """One for each step, with the calls it makes."""
    found = []
    with predictable_names():
        stage = Stage(MemoryFileSystem())
        for name, do in SHORT:
            model, kept, before = copy.deepcopy(stage.model), copy.deepcopy(stage.kept), stage.state()
            disk = copy_of(stage.fs)
            do(stage)
            found.append(Scene(name, do, disk, model, kept, before, stage.state()))
    for scene in found:
        counter = CallCounter(copy_of(scene.disk))
        stage = scene.stage(counter)
        scene.opening = len(counter.order)
        scene.do(stage)
        scene.calls = tuple(counter.order)
        stage.engine.abandon()
    return found


def faults_of(calls: Sequence[tuple[str, str]], first: int = 0) -> list[Fault]:
    """What may go wrong from call `first` on: each call, once and for good, as a call of its kind does."""
    found = []
    for number in range(first, len(calls)):
        for forever in (False, True):
            found.append(Fault(call=number + 1, error=errno.EIO, forever=forever))
            if calls[number][0] in WRITING:
                found.append(Fault(call=number + 1, error=errno.ENOSPC, forever=forever, written=100))
    return found


def sampled(faults: Sequence[Any], count: int) -> Iterator[Any]:
    """So many of them, and not others when run again."""
    print(f"\n{min(count, len(faults))} of {len(faults)} faults, seed {SEED}")
    return iter(random.Random(SEED).sample(list(faults), min(count, len(faults))))


def opened_again(disk: MemoryFileSystem, wanted: Sequence[State], story: str) -> State:
    """The disk without faults holds one of these states, is in order, and takes commits."""
    disk.locks.clear()
    engine = start(disk)
    found = observed(engine)
    assert found in wanted, f"{story}: {[difference(found, each) for each in wanted]}"
    assert not errors_of(engine), story
    commit_afterwards(engine)
    engine.close()
    engine = start(disk)
    assert observed(engine) == with_afterwards(found), story
    engine.abandon()
    return found


def strike(scene: Scene, fault: Fault) -> None:
    """Run the step with the fault, and hold what comes of it."""
    op, path = scene.calls[fault.call - 1]
    story = f"step {scene.name!r}, {op} {path}, {fault}"
    disk = copy_of(scene.disk)
    faulty = FaultyFileSystem(disk, [fault])
    stage = scene.stage(faulty)
    engine = stage.engine
    try:
        scene.do(stage)
    except OF_THE_DISK as error:
        refused: AbsdbError | None = error
    else:
        refused = None
    assert faulty.fired, story
    if refused is None:
        # Nobody was told of anything amiss, so nothing may be.
        stage.engine.abandon()
        opened_again(disk, [scene.after], story)
        return
    if engine.closed or stage.engine is not engine:
        stage.engine.abandon()
        opened_again(disk, [scene.before], story)
        return
    if op == "sync" and path.startswith("wal/") and not path.endswith(".tmp"):
        assert engine.poisoned, f"{story}: a sync failed, and the engine goes on"
    if not fault.forever:
        found = observed(engine)
        assert found == scene.before, f"{story}: {difference(found, scene.before)}"
    if engine.poisoned:
        faulty.plan.clear()
        for _ in range(2):
            with pytest.raises(EnginePoisonedError):
                commit_afterwards(engine)
        engine.abandon()
        opened_again(disk, [scene.before, scene.after], story)
        return
    if fault.forever:
        faulty.plan.clear()  # the disk is well again, or has room again
    scene.do(stage)
    found = scene.after if stage.engine.closed else observed(stage.engine)
    assert found == scene.after, f"{story}, run again: {difference(found, scene.after)}"
    if not stage.engine.closed:
        assert not stage.engine.bulk.in_flight(), f"{story}: page files stay protected"
        assert stage.engine.bulk.protected_from() is None, f"{story}: page files stay protected"
    stage.engine.abandon()
    opened_again(disk, [scene.after], story)


def all_strikes(scenes: Sequence[Scene]) -> list[tuple[Scene, Fault]]:
    return [(scene, fault) for scene in scenes for fault in faults_of(scene.calls, scene.opening)]


def test_a_call_that_fails_loses_nothing(scenes):
    for scene, fault in sampled(all_strikes(scenes), 160):
        strike(scene, fault)


@pytest.mark.deep
def test_each_call_that_fails_loses_nothing(scenes):
    for scene, fault in sampled(all_strikes(scenes), 1 << 30):
        strike(scene, fault)


def strike_opening(scene: Scene, fault: Fault) -> None:
    """Open a disk with a fault: it opens whole, or says why not and is as it was."""
    op, path = scene.calls[fault.call - 1]
    story = f"opening before {scene.name!r}, {op} {path}, {fault}"
    disk = copy_of(scene.disk)
    faulty = FaultyFileSystem(disk, [fault])
    try:
        engine = start(faulty)
    except OF_THE_DISK:
        assert not disk.locks, f"{story}: the lock is held still"
        if not fault.forever:
            engine = start(faulty)
            assert observed(engine) == scene.before, story
            engine.abandon()
    else:
        if not fault.forever:
            found = observed(engine)
            assert found == scene.before, f"{story}: {difference(found, scene.before)}"
        engine.abandon()
    assert faulty.fired, story
    opened_again(disk, [scene.before], story)


def all_openings(scenes: Sequence[Scene]) -> list[tuple[Scene, Fault]]:
    return [(scene, fault) for scene in scenes for fault in faults_of(scene.calls[: scene.opening])]


def test_a_call_that_fails_while_opening_is_never_taken_for_the_end_of_the_log(scenes):
    for scene, fault in sampled(all_openings(scenes), 100):
        strike_opening(scene, fault)


@pytest.mark.deep
def test_each_call_that_fails_while_opening_is_never_taken_for_the_end_of_the_log(scenes):
    for scene, fault in sampled(all_openings(scenes), 1 << 30):
        strike_opening(scene, fault)


def test_a_new_instance_that_cannot_be_made_is_made_at_the_next_try():
    counter = CallCounter(MemoryFileSystem())
    start(counter).abandon()
    for fault in sampled(faults_of(counter.order), 1 << 30):
        story = f"{counter.order[fault.call - 1]}, {fault}"
        disk = MemoryFileSystem()
        with contextlib.suppress(*OF_THE_DISK):
            start(FaultyFileSystem(disk, [fault])).abandon()
        engine = start(disk)
        assert observed(engine) == {"main": {}}, story
        commit_afterwards(engine)
        engine.abandon()


# ---------------------------------------------------------------- what the system kept from the disk


def lose_power_after(scene: Scene, fault: Fault) -> int:
    """Power goes after a fault: at once, and after the same disk has been opened and written to; how often."""
    op, path = scene.calls[fault.call - 1]
    story = f"step {scene.name!r}, {op} {path}, {fault}"
    disk = RecordingFileSystem(start=scene.disk)
    stage = scene.stage(FaultyFileSystem(disk, [fault]))
    try:
        scene.do(stage)
        wanted = [scene.after]
    except OF_THE_DISK:
        wanted = [scene.before, scene.after]
    stage.engine.abandon()
    count = 0
    for state in crash_states(disk.log, limit=3, seed=SEED, first=len(disk.log)):
        opened_again(state, wanted, f"{story}\n{state.story}")
        count += 1
    disk.locks.clear()
    engine = start(disk)
    found = observed(engine)
    assert found in wanted, story
    commit_afterwards(engine)
    for state in crash_states(disk.log, limit=3, seed=SEED, first=len(disk.log)):
        again = start(state)
        assert observed(again) == with_afterwards(found), f"{story}\n{state.story}"
        again.abandon()
        count += 1
    engine.abandon()
    return count


def all_of_the_log(scenes: Sequence[Scene]) -> list[tuple[Scene, Fault]]:
    """Writes and syncs, each failing once: afterwards the system may have in memory what the disk never got."""
    return [
        (scene, Fault(call=number + 1, error=errno.EIO, written=written))
        for scene in scenes
        for number, (op, _) in enumerate(scene.calls)
        if number >= scene.opening and op in SYNCING | {"pwrite"}
        for written in ((0, 600) if op == "pwrite" else (0,))
    ]


def test_power_loss_after_a_call_that_failed(scenes):
    faults = all_of_the_log(scenes)
    logged = [each for each in faults if each[0].calls[each[1].call - 1][1].startswith("wal/")]
    count = sum(lose_power_after(scene, fault) for scene, fault in sampled(logged, 30))
    count += sum(lose_power_after(scene, fault) for scene, fault in sampled(faults, 15))
    print(f"{count} disks")


@pytest.mark.deep
def test_power_loss_after_each_call_that_failed(scenes):
    faults = all_of_the_log(scenes)
    print(f"{sum(lose_power_after(scene, fault) for scene, fault in sampled(faults, 1 << 30))} disks")


# ---------------------------------------------------------------- full disks


@pytest.mark.parametrize(
    ("op", "written"),
    [("create", 0), ("pwrite", 0), ("pwrite", 600), ("sync", 0)],
    ids=lambda each: str(each),
)
def test_a_disk_without_room_for_a_new_segment_refuses_until_there_is_room(scenes, op, written):
    """Nothing of the commit was written, so the engine goes on as soon as it can make its segment."""
    crossing = [
        scene
        for scene in scenes
        if scene.name not in ("reopen", "close")
        and any(_makes_segment(call) for call in scene.calls[scene.opening :])
    ]
    assert len(crossing) > 2
    for scene in crossing:
        disk = copy_of(scene.disk)
        faulty = FaultyFileSystem(disk)
        stage = scene.stage(faulty)
        fault = Fault(op, path="wal/*.tmp", error=errno.ENOSPC, forever=True, written=written)
        stage.engine.wal._segments.fs = FaultyFileSystem(disk, [fault])
        for _ in range(2):
            with pytest.raises(StorageError) as caught:
                scene.do(stage)
            assert caught.value.errno == errno.ENOSPC
            assert not stage.engine.poisoned
            assert observed(stage.engine) == scene.before
        stage.engine.wal._segments.fs = faulty
        scene.do(stage)
        assert observed(stage.engine) == scene.after
        stage.engine.abandon()
        opened_again(disk, [scene.after], scene.name)


def _makes_segment(call: tuple[str, str]) -> bool:
    op, path = call
    return op == "create" and path.startswith("wal/") and path.endswith(".tmp")


def fill_up(step: int) -> int:
    """Run the workload on a disk that is always nearly full, and grows by `step` bytes when it has been; how often."""
    disk = MemoryFileSystem(capacity=0)
    refusals = 0

    def grow(error: StorageError) -> None:
        nonlocal refusals
        assert error.errno == errno.ENOSPC
        refusals += 1
        assert disk.capacity is not None
        disk.capacity += step

    def opened() -> Stage:
        while True:
            try:
                return Stage(disk)
            except StorageError as error:
                grow(error)

    stage = opened()
    for name, do in SHORT:
        before = stage.state()
        while True:
            try:
                do(stage)
                break
            except StorageError as error:
                grow(error)
                if stage.engine.closed:
                    model, kept, stage = stage.model, stage.kept, opened()
                    stage.model, stage.kept = model, kept
                assert not stage.engine.poisoned, name
                found = observed(stage.engine)
                assert found == before, f"{name}: {difference(found, before)}"
        if not stage.engine.closed:
            found = observed(stage.engine)
            assert found == stage.state(), f"{name}: {difference(found, stage.state())}"
    disk.capacity = None
    opened_again(disk, [stage.state()], f"filled up by {step}")
    return refusals


@pytest.mark.parametrize("step", [1500])
def test_a_disk_that_is_full_again_and_again_loses_nothing(step):
    print(f"\nfull {fill_up(step)} times")


@pytest.mark.deep
@pytest.mark.parametrize("step", [101, 257, 511, 777, 4096])
def test_a_disk_that_is_full_at_every_turn_loses_nothing(step):
    print(f"\nfull {fill_up(step)} times")
