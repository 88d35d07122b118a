"""Power loss at every moment: whatever the disk kept of what was not synced, nothing acknowledged is lost.

The workload of crashing.py is recorded once. Each disk that the model of `absdb.testing` allows is then opened:
it has to hold every acknowledged step, at most the one under way besides, be free of errors, and take commits
that last. The same for a power loss while such a disk is being recovered, and closely around checkpoints.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator

import pytest

from absdb.errors import AbsdbError
from absdb.testing.crash_states import CrashState, crash_states
from absdb.testing.recording import OperationLog, RecordingFile, RecordingFileSystem
from tests.proof.crashing import (
    SHORT,
    Recording,
    State,
    commit_afterwards,
    difference,
    errors_of,
    observed,
    predictable_names,
    record,
    start,
    with_afterwards,
)

SEED = int(os.environ.get("ABSDB_SEED", "20260"))


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record()


def hold_all(recording: Recording, states: Iterator[CrashState]) -> int:
    """Hold every one of the disks; how many there were."""
    count = 0
    for turn, state in enumerate(states):
        recording.hold(state, turn=turn)
        count += 1
    return count


def test_the_workload_goes_through_everything(recording):
    """What the proofs below rest on: there are segments, page files and manifests that come and go."""
    done = [operation for operation in recording.log.operations if operation.kind == "unlink"]
    assert {operation.path.partition("/")[0] for operation in done} >= {"wal", "pages", "manifests"}
    indexes = [name for name in recording.index_files if name in {op.path for op in done}]
    assert len(indexes) > 3, "index runs come and go"
    renamed = [operation.target for operation in recording.log.operations if operation.kind == "rename"]
    assert sum(target.startswith("wal/") for target in renamed) > 5
    assert recording.log.operations == record().log.operations, "a seed would not give the same disks again"


def test_no_power_loss_loses_what_was_acknowledged(recording):
    count = hold_all(recording, crash_states(recording.log, limit=240, seed=SEED))
    print(f"\n{count} disks, seed {SEED}")
    assert count == 240


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(SEED + 1, SEED + 3))
def test_no_power_loss_loses_what_was_acknowledged_in_depth(recording, seed):
    count = hold_all(recording, crash_states(recording.log, limit=3000, seed=seed))
    print(f"\n{count} disks, seed {seed}")


CHECKPOINTS = ("checkpoint", "compact", "compact again", "maintain", "collect garbage", "reopen", "close")


def steps_with(recording: Recording, *names: str) -> list[int]:
    return [step for step, name in enumerate(recording.steps) if name in names]


def hold_steps(recording: Recording, *names: str, limit: int, seed: int) -> int:
    """Hold disks of a power loss within the steps of these names, `limit` for each."""
    count = 0
    for step in steps_with(recording, *names):
        log, first = recording.part(step, step)
        count += hold_all(recording, crash_states(log, limit=limit, seed=seed + step, first=first))
    return count


def test_power_loss_during_upkeep(recording):
    count = hold_steps(recording, *CHECKPOINTS, limit=8, seed=SEED)
    print(f"\n{count} disks, seed {SEED}")


@pytest.mark.deep
def test_power_loss_during_upkeep_in_depth(recording):
    count = hold_steps(recording, *CHECKPOINTS, limit=400, seed=SEED)
    print(f"\n{count} disks, seed {SEED}")


def hold_recoveries(recording: Recording, disks: Iterator[CrashState], *, limit: int, seed: int) -> int:
    """Recover each disk, commit, close; lose power in the midst of that, `limit` times for each; how often."""
    count = 0
    for disk in disks:
        log, found, phases = recover(recording, disk)
        for state in crash_states(log, limit=limit, seed=seed + count):
            count += 1
            engine = start(state)
            again = observed(engine)
            wanted = phases[max(0, len(state.marks) - 1) : len(state.marks) + 1]
            if again not in wanted:
                parts = [difference(again, each) for each in wanted]
                raise AssertionError(f"{parts}\n{state.story}\n--- recovering\n{disk.story}")
            assert not errors_of(engine), f"{state.story}\n--- recovering\n{disk.story}"
            engine.close()
            engine = start(state)
            recording.compare(observed(engine), [again], state)
            engine.abandon()
        assert found in recording.allowed(disk.marks)
    return count


def recover(recording: Recording, disk: CrashState) -> tuple[OperationLog, State, list[State]]:
    """The log of a recovery, a commit and a clean end; what was found; what is there by each mark."""
    with predictable_names(1_000_000):
        fs = RecordingFileSystem(start=disk)
        engine = start(fs)
        found = observed(engine)
        recording.compare(found, recording.allowed(disk.marks), disk)
        fs.mark("recovered")
        commit_afterwards(engine)
        fs.mark("committed")
        engine.close()
        fs.mark("closed")
    after = with_afterwards(found)
    return fs.log, found, [found, after, after]


def torn_disks(recording: Recording, count: int, seed: int) -> Iterator[CrashState]:
    """Disks with something to repair: a log that has bytes behind its last whole record, or a file half made."""
    disks = crash_states(recording.log, limit=count * 8, seed=seed)
    keep = random.Random(seed)
    return itertools.islice((disk for disk in disks if "torn" in disk.story or keep.random() < 0.2), count)


def test_power_loss_during_recovery(recording):
    count = hold_recoveries(recording, torn_disks(recording, 24, SEED), limit=5, seed=SEED)
    print(f"\n{count} disks, seed {SEED}")
    assert count > 60


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(SEED + 1, SEED + 3))
def test_power_loss_during_recovery_in_depth(recording, seed):
    count = hold_recoveries(recording, torn_disks(recording, 150, seed), limit=20, seed=seed)
    print(f"\n{count} disks, seed {seed}")


@pytest.mark.parametrize("path", ["wal/", "pages/", "manifests/", "control"])
def test_the_proof_notices_files_that_are_not_synced(monkeypatch, path):
    real = RecordingFile.sync

    def sync(file: RecordingFile, *, data_only: bool = False) -> None:
        if not file.path.startswith(path):
            real(file, data_only=data_only)

    monkeypatch.setattr(RecordingFile, "sync", sync)
    broken = record(SHORT)
    monkeypatch.undo()
    assert not _holds(broken), f"{path} is never synced, and nothing is lost"


@pytest.mark.parametrize("directory", ["", "wal", "pages", "manifests"])
def test_the_proof_notices_directories_that_are_not_synced(monkeypatch, directory):
    real = RecordingFileSystem.sync_directory

    def sync_directory(fs: RecordingFileSystem, path: str) -> None:
        if path != directory:
            real(fs, path)

    monkeypatch.setattr(RecordingFileSystem, "sync_directory", sync_directory)
    broken = record(SHORT)
    monkeypatch.undo()
    assert not _holds(broken), f"the directory {directory!r} is never synced, and nothing is lost"


def _holds(recording: Recording) -> bool:
    """Whether some hundred disks hold what they must; the first that does not ends it."""
    try:
        hold_all(recording, crash_states(recording.log, limit=100, seed=SEED))
    except (AssertionError, AbsdbError):
        return False
    return True
