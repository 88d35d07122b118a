"""A disk that fails at some call of a workload by chance: the engine goes on as if nothing had been asked, or stops.

When an action fails the engine is either as it was - the heads are the model's, and the workload goes on - or it
is poisoned, and what is found on opening again is the last acknowledged version or the one that was under way.
Nothing but absdb's own errors comes out. test_faults.py has the faults of a workload written by hand, one by one.
"""

from __future__ import annotations

import errno
import os
import random
from typing import Any

import pytest

from absdb.errors import CorruptionError, EnginePoisonedError, StorageError
from absdb.io.memory import MemoryFileSystem
from absdb.testing.faults import Fault, FaultyFileSystem
from absdb.testing.tuning import tuned
from absdb.testing.workload import Workload
from tests.proof.test_random_crashes import recovered

SEED = int(os.environ.get("ABSDB_SEED", "0")) or 2026
OF_THE_DISK = (StorageError, CorruptionError, EnginePoisonedError)
FAULTS: tuple[dict[str, Any], ...] = (
    {"error": errno.EIO},
    {"error": errno.EIO, "op": "sync"},
    {"error": errno.EIO, "op": "sync_directory"},
    {"error": errno.EIO, "op": "rename"},
    {"error": errno.EIO, "op": "pread"},
    {"error": errno.ENOSPC, "op": "pwrite", "written": 100},
    {"error": errno.ENOSPC, "op": "create"},
    {"error": errno.ENOSPC, "op": "pwrite", "path": "wal/*.tmp", "forever": True},
    {"error": errno.ENOSPC, "op": "create", "path": "pages/*", "forever": True},
)


def set_fault(fs: FaultyFileSystem, chance: random.Random) -> None:
    """Let one of the next calls fail, or none."""
    facts = dict(chance.choice(FAULTS))
    calls = 3 if "op" in facts else 25
    fs.plan = [Fault(call=chance.randint(1, calls), **facts)] if chance.random() < 0.7 else []
    fs._fitting = [0]


def settle(play: Workload, fs: FaultyFileSystem) -> Workload:
    """After an action that failed: the engine as it was, or opened again."""
    if not play.engine.closed and not play.engine.poisoned:
        play.check_heads(random.Random(0))
        return play
    if play.engine.poisoned and not play.engine.closed:
        with pytest.raises(EnginePoisonedError):
            play.engine.check_writable()
    play.abandon()
    under_way = [] if play.under_way is None else [play.under_way]
    return recovered(play, fs, [play.model, *under_way])[0]


def play_with_faults(seed: int, steps: int) -> int:
    """A workload in which now and then a call of the disk fails; returns how many did."""
    chance, told, fired = random.Random(seed), list[str](), 0
    with tuned(chance) as settings:
        fs = FaultyFileSystem(MemoryFileSystem())
        play = Workload(fs, settings=settings, tell=told.append)
        try:
            for _ in range(steps):
                set_fault(fs, chance)
                failure = None
                try:
                    play.step(chance)
                except OF_THE_DISK as error:
                    failure = error
                struck, fs.fired, fs.plan = fs.fired, [], []
                fired += len(struck)
                if failure is not None:
                    assert struck, f"without any fault: {failure!r}"
                    told.append(f"{struck[0]} gave {type(failure).__name__}: {failure}")
                    play = settle(play, fs)
            play.check(chance, points=3)
            play.engine.close()
        except Exception as error:
            error.add_note(f"seed {seed}, after\n" + "\n".join(told[-25:]))
            raise
        finally:
            play.abandon()
    return fired


@pytest.mark.slow
@pytest.mark.parametrize("number", range(6))
def test_a_random_workload_survives_failing_calls(number):
    fired = play_with_faults(SEED + number, 120)
    print(f"seed {SEED + number}: {fired} calls failed; ABSDB_SEED={SEED + number} runs it first")
    assert fired > 5


@pytest.mark.deep
@pytest.mark.parametrize("number", range(100))
def test_a_random_workload_survives_failing_calls_in_depth(number):
    print(f"seed {SEED + 1000 + number}: {play_with_faults(SEED + 1000 + number, 400)} calls failed")
