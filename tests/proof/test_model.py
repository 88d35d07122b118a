"""The engine played against a model of plain dictionaries: every answer at any point must be the model's.

What is played is in absdb/testing/workload.py: rows in every way, definitions, transactions side by side,
branches, snapshots, restores, upkeep. Here hypothesis chooses, which finds short ways to a failure; and long
workloads run from seeds. Both crash on the way, losing what a disk may lose, and go on.
"""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from absdb.testing.faults import CrashState, RecordingFileSystem, crash_now
from absdb.testing.tuning import tuned
from absdb.testing.workload import Workload

DEEP = os.environ.get("ABSDB_DEEP", "") not in ("", "0")
SEED = int(os.environ.get("ABSDB_SEED", "0")) or 2026
CHANCES = st.randoms(use_true_random=False)


def power_loss(play: Workload, seed: int) -> CrashState:
    """What a power loss now may leave of the disk."""
    assert isinstance(play.fs, RecordingFileSystem)
    return crash_now(play.fs.log, seed=seed)


class EngineAgainstModel(RuleBasedStateMachine):
    """The engine and the model do the same; after each step the heads are the same."""

    @initialize(seed=st.integers(0, 2**16))
    def start(self, seed: int) -> None:
        self.limits = tuned(random.Random(seed))
        self.play = Workload(RecordingFileSystem(), settings=self.limits.__enter__(), tell=note)

    def teardown(self) -> None:
        if hasattr(self, "play"):
            self.play.abandon()
        if hasattr(self, "limits"):
            self.limits.__exit__(None, None, None)

    @rule(chance=CHANCES)
    def commit(self, chance: random.Random) -> None:
        self.play.commit(chance)

    @rule(chance=CHANCES)
    def begin(self, chance: random.Random) -> None:
        self.play.begin(chance)

    @precondition(lambda self: self.play.sessions)
    @rule(chance=CHANCES)
    def work(self, chance: random.Random) -> None:
        self.play.work(chance)

    @precondition(lambda self: self.play.sessions)
    @rule(chance=CHANCES)
    def end(self, chance: random.Random) -> None:
        self.play.end(chance)

    @rule(chance=CHANCES)
    def branch(self, chance: random.Random) -> None:
        self.play.branch(chance)

    @precondition(lambda self: len(self.play.model.databases) > 1)
    @rule(chance=CHANCES)
    def drop(self, chance: random.Random) -> None:
        self.play.drop(chance)

    @rule(chance=CHANCES)
    def rename(self, chance: random.Random) -> None:
        self.play.rename(chance)

    @rule(chance=CHANCES)
    def snapshot(self, chance: random.Random) -> None:
        self.play.snapshot(chance)

    @precondition(lambda self: self.play.model.log)
    @rule(chance=CHANCES)
    def restore(self, chance: random.Random) -> None:
        self.play.restore(chance)

    @rule(chance=CHANCES)
    def checkpoint(self, chance: random.Random) -> None:
        self.play.checkpoint(chance)

    @rule(chance=CHANCES)
    def maintain(self, chance: random.Random) -> None:
        self.play.maintain(chance)

    @precondition(lambda self: any(each.head for each in self.play.model.databases.values()))
    @rule(chance=CHANCES)
    def compact(self, chance: random.Random) -> None:
        self.play.compact(chance)

    @rule(chance=CHANCES)
    def scan(self, chance: random.Random) -> None:
        self.play.scan(chance)

    @precondition(lambda self: self.play.model.log)
    @rule(chance=CHANCES)
    def diff(self, chance: random.Random) -> None:
        self.play.diff(chance)

    @rule(chance=CHANCES)
    def move_clock(self, chance: random.Random) -> None:
        self.play.move_clock(chance)

    @rule(chance=CHANCES)
    def reopen(self, chance: random.Random) -> None:
        self.play.reopen(chance)

    @rule(seed=st.integers(0, 2**16))
    def crash(self, seed: int) -> None:
        self.play.crash(lambda: RecordingFileSystem(power_loss(self.play, seed)))

    @rule(chance=CHANCES)
    def look_from_outside(self, chance: random.Random) -> None:
        self.play.look_from_outside(chance)

    @rule(chance=CHANCES)
    def look_back(self, chance: random.Random) -> None:
        self.play.check(chance, points=3)

    @invariant()
    def heads_are_the_models(self) -> None:
        if hasattr(self, "play"):
            self.play.check_heads(random.Random(0))


TestEngineAgainstModel = EngineAgainstModel.TestCase
TestEngineAgainstModel.settings = settings(
    max_examples=600 if DEEP else 15,
    stateful_step_count=60 if DEEP else 40,
    suppress_health_check=list(HealthCheck),
)


def play_from(seed: int, steps: int) -> None:
    """A long workload by chance from a seed, with crashes, and a look at everything at times."""
    chance, told = random.Random(seed), list[str]()
    with tuned(chance) as limits:
        play = Workload(RecordingFileSystem(), settings=limits, tell=told.append)
        try:
            for _ in range(steps):
                if chance.random() < 0.03:
                    lost = chance.randrange(2**32)
                    play.crash(lambda lost=lost: RecordingFileSystem(power_loss(play, lost)))
                    play.check(chance, points=1)
                else:
                    play.step(chance)
                if chance.random() < 0.1:
                    play.check(chance, points=2)
            play.check(chance, points=5)
        except Exception as error:
            error.add_note(f"seed {seed}, after\n" + "\n".join(told[-25:]))
            raise
        finally:
            play.abandon()


@pytest.mark.slow
@pytest.mark.parametrize("number", range(8))
def test_a_long_workload_goes_as_the_model_says(number):
    print(f"seed {SEED + number}; ABSDB_SEED={SEED + number} runs it first")
    play_from(SEED + number, 120)


@pytest.mark.deep
@pytest.mark.parametrize("number", range(60))
def test_a_very_long_workload_goes_as_the_model_says(number):
    print(f"seed {SEED + 1000 + number}")
    play_from(SEED + 1000 + number, 500)
