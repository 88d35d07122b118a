"""Power loss in workloads by chance: each disk it may leave holds what was acknowledged, and can be worked on.

Workloads come from seeds; test_crash_states.py has the one that was written by hand. Of each recovered instance
heads, the commit log and some of the past are compared with the model, it is opened once more, and some more
actions are played on it.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Sequence

import pytest

from absdb.io.base import FileSystem
from absdb.testing.faults import CrashState, RecordingFileSystem, crash_states
from absdb.testing.model import Model
from absdb.testing.tuning import tuned
from absdb.testing.workload import Workload
from absdb.testing.workload_base import Outcome
from absdb.testing.workload_checks import check_heads, check_log

SEED = int(os.environ.get("ABSDB_SEED", "0")) or 2026


def recorded(chance: random.Random, settings: dict, steps: int) -> Workload:
    """A workload on a disk that remembers; each version of the model is marked when it is durable."""
    fs = RecordingFileSystem()
    play = Workload(fs, settings=settings, acknowledged=fs.mark)
    for _ in range(steps):
        play.step(chance)
    play.abandon()
    return play


def recovered(play: Workload, fs: FileSystem, models: Sequence[Model | Outcome]) -> tuple[Workload, Model]:
    """The instance opened, and which of the models it is."""
    problems = []
    for each in models:
        again = Workload(fs, settings=play.settings, tell=play.tell, after=play, model=play.model)
        model = again.model = (
            each if isinstance(each, Model) else each(again.engine, again.engine.log.last_lsn)
        )
        try:
            check_log(again.engine, model)
            check_heads(again.engine, model, random.Random(0))
        except AssertionError as error:
            problems.append(error)
            again.abandon()
        else:
            again.versions[:] = [model]
            return again, model
    raise AssertionError(f"none of {len(models)} models: {problems}")


def hold(play: Workload, state: CrashState, chance: random.Random) -> None:
    """The disk holds the last version that was acknowledged or the one under way, twice, and can be worked on."""
    last = state.marks[-1] if state.marks else 0
    again, model = recovered(play, state, play.versions[last : last + 2])
    again.check(chance, points=1)
    again.abandon()
    again, _ = recovered(play, state, [model])
    for _ in range(4):
        again.step(chance)
    again.reopen(chance)
    again.check(chance, points=1)
    again.abandon()


def hold_all(seed: int, *, steps: int, limit: int) -> None:
    """Hold the disks of one workload."""
    chance = random.Random(seed)
    with tuned(chance) as settings:
        play = recorded(chance, settings, steps)
        assert isinstance(play.fs, RecordingFileSystem)
        for number, state in enumerate(crash_states(play.fs.log, limit=limit, seed=seed)):
            try:
                hold(play, state, random.Random(seed + number))
            except Exception as error:
                error.add_note(f"seed {seed}, disk {number}, {state.story}")
                raise


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_a_random_workload_survives_power_loss(number):
    print(f"seed {SEED + number}; ABSDB_SEED={SEED + number} runs it first")
    hold_all(SEED + number, steps=50, limit=40)


@pytest.mark.deep
@pytest.mark.parametrize("number", range(40))
def test_a_random_workload_survives_power_loss_in_depth(number):
    print(f"seed {SEED + 1000 + number}")
    hold_all(SEED + 1000 + number, steps=80, limit=150)


@pytest.mark.slow
def test_the_proof_notices_a_lost_commit():
    """A disk that misses what was acknowledged is told from one that does not."""
    chance = random.Random(SEED)
    with tuned(chance) as settings:
        play = recorded(chance, settings, 30)
        assert isinstance(play.fs, RecordingFileSystem)
        last = len(play.versions) - 1
        early = next(
            state
            for state in crash_states(play.fs.log, limit=200, seed=SEED)
            if state.marks[-1:] < (last - 3,)
        )
        early.marks = tuple(itertools.chain(early.marks, [last]))
        with pytest.raises(AssertionError, match="none of"):
            hold(play, early, chance)
