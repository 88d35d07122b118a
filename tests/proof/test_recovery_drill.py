"""Backups, archive and recovery against the model: whatever was done, any point that can be recovered is what it was.

The workload of the other proofs runs on a real directory, with an archive and a repository of backups beside it, dies
and goes on. What is restored is looked at with the same checks that look at a live engine.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from absdb.backup.restore_files import restore_files
from absdb.engine.check import check
from absdb.engine.recovery import open_engine
from absdb.io.local import LocalFileSystem
from absdb.testing.workload_backups import BackedUp, Mark, expected
from absdb.testing.workload_checks import check_instance

DEEP = os.environ.get("ABSDB_DEEP", "") not in ("", "0")
SEED = int(os.environ.get("ABSDB_SEED", "0")) or 2026
SEEDS = range(SEED, SEED + (20 if DEEP else 2))
STEPS = 400 if DEEP else 150


def played(root: Path, seed: int, steps: int = STEPS) -> BackedUp:
    chance = random.Random(seed)
    told: list[str] = []
    play = BackedUp(root, tell=told.append)
    play.backup(chance)
    for _ in range(steps):
        play.step(chance)
    return play


def check_recovered(play: BackedUp, path: Path, mark: Mark, chance: random.Random) -> None:
    """A directory holds what was there at a mark, now and as of earlier points."""
    engine = open_engine(LocalFileSystem(path), arguments=play.settings, clock=play.clock)
    try:
        problems = [finding for finding in check(engine) if finding.severity == "error"]
        assert not problems, problems
        check_instance(engine, expected(mark, engine), chance, points=2, horizon=mark.horizon)
    finally:
        engine.abandon()


@pytest.mark.parametrize("seed", SEEDS)
def test_every_backup_restores_to_what_was_there_when_it_was_made(tmp_path, seed):
    play, chance = played(tmp_path, seed), random.Random(seed)
    play.abandon()
    for label, mark in zip(play.labels, play.backed_up, strict=True):
        restore_files(play.repository, tmp_path / label, label=label)
        check_recovered(play, tmp_path / label, mark, chance)
