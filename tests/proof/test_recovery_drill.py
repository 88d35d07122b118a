"""Backups, archive and recovery against the model: whatever was done, any point that can be recovered is what it was.

The workload of the other proofs runs on a real directory, with an archive and a repository of backups beside it, dies
and goes on. What is restored is looked at with the same checks that look at a live engine. Merges, reverts and SQL are
played through the public interface, against what could be read at each commit.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import absdb
from absdb.backup.recovery.restore import restore
from absdb.backup.restore_files import restore_files
from absdb.clock import to_datetime
from absdb.engine.check import check
from absdb.engine.recovery import open_engine
from absdb.io.local import LocalFileSystem
from absdb.testing.model import Model
from absdb.testing.workload_backups import BackedUp, Mark, expected
from absdb.testing.workload_checks import check_instance
from tests.backup.instances import everything
from tests.proof.public_play import PublicPlay

DEEP = os.environ.get("ABSDB_DEEP", "") not in ("", "0")
SEED = int(os.environ.get("ABSDB_SEED", "0")) or 2026
SEEDS = range(SEED, SEED + (20 if DEEP else 2))
STEPS = 400 if DEEP else 120
POINTS = 20 if DEEP else 5


def played(root: Path, seed: int, steps: int = STEPS) -> BackedUp:
    chance = random.Random(seed)
    play = BackedUp(root)
    play.backup(chance)
    for _ in range(steps):
        play.step(chance)
    play.archive(chance)
    return play


def check_recovered(play: BackedUp, path: Path, mark: Mark, chance: random.Random) -> Model:
    """A directory holds what was there at a mark, now and as of earlier points; the model of it."""
    engine = open_engine(LocalFileSystem(path), arguments=play.settings, clock=play.clock)
    try:
        problems = [finding for finding in check(engine) if finding.severity == "error"]
        assert not problems, problems
        model = expected(mark, engine)
        check_instance(engine, model, chance, points=2, horizon=mark.horizon)
        return model
    finally:
        engine.abandon()


def targets(mark: Mark, following: Mark, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Ways to say where a mark is, the last one that changed anything before the one that follows."""
    yield {"target_lsn": mark.lsn}
    yield {"target_lsn": chance.randrange(mark.lsn, following.first_lsn)}
    yield {"target_lsn": following.first_lsn, "inclusive": False}
    if mark.time_us:
        yield {"target_time": to_datetime(mark.time_us)}
        yield {"target_time": to_datetime(following.first_us), "inclusive": False}
    if mark.name is not None:
        yield {"target_name": mark.name}


def chosen(play: BackedUp, chance: random.Random, count: int) -> list[tuple[Mark, Mark]]:
    """Some marks that can be recovered, each with the one that follows."""
    pairs = [(one, two) for one, two in pairwise(play.recoverable) if one.lsn < two.lsn]
    return chance.sample(pairs, min(count, len(pairs)))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_backup_restores_to_what_was_there_when_it_was_made(tmp_path, seed):
    play, chance = played(tmp_path, seed), random.Random(seed)
    play.abandon()
    for label in play.labels:
        restore_files(play.repository, tmp_path / label, label=label)
        check_recovered(play, tmp_path / label, play.backed_up[label], chance)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_point_can_be_recovered(tmp_path, seed):
    play, chance = played(tmp_path, seed), random.Random(seed)
    play.abandon()
    for number, (mark, following) in enumerate(chosen(play, chance, POINTS)):
        target = chance.choice(list(targets(mark, following, chance)))
        path = tmp_path / f"recovered-{number}"
        restore(play.repository, path, archive_url=play.archive_url, **target)
        check_recovered(play, path, mark, chance)


@pytest.mark.parametrize("seed", SEEDS)
def test_instance_that_was_recovered_goes_on_and_is_recovered_again(tmp_path, seed):
    first, chance = played(tmp_path, seed, STEPS // 2), random.Random(seed)
    first.abandon()
    (mark, _), *others = chosen(first, chance, POINTS)
    restore(first.repository, tmp_path / "second", archive_url=first.archive_url, target_lsn=mark.lsn)
    model = check_recovered(first, tmp_path / "second", mark, chance)

    second = BackedUp(tmp_path, "second", after=first, model=model)
    second.ACTIONS = {**BackedUp.ACTIONS, "purge": 0}  # the first future is to be reached as well
    for _ in range(STEPS // 2):
        second.step(chance)
    second.archive(chance)
    second.abandon()

    again = [(each, "latest") for each, _ in chosen(second, chance, 3)]
    again += [(each, "latest" if each.lsn < mark.lsn else 1) for each, _ in others]
    for number, (each, timeline) in enumerate(again):
        path = tmp_path / f"again-{number}"
        restore(
            first.repository,
            path,
            archive_url=first.archive_url,
            target_lsn=each.lsn,
            target_timeline=timeline,
        )
        check_recovered(second, path, each, chance)


@pytest.mark.parametrize("seed", SEEDS)
def test_merges_reverts_and_sql_are_recovered_as_they_were_read(tmp_path, seed):
    chance = random.Random(seed)
    with PublicPlay(tmp_path, chance) as play:
        for _ in range(STEPS // 2):
            play.step()
    for number, at in enumerate(chance.sample(range(len(play.seen)), min(POINTS, len(play.seen)))):
        lsn, contents = play.seen[at]
        restore(play.repository, tmp_path / f"{number}", archive_url=play.archive_url, target_lsn=lsn)
        with absdb.connect(tmp_path / f"{number}", create=False) as found:
            assert everything(found) == contents, lsn
            assert not len(found.check().query("severity == 'error'"))
