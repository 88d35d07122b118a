"""`kill -9` at any moment: whatever was acknowledged is there, and nothing that was not asked for.

A process commits from several threads (kill_worker.py) and is killed; this one opens what is left and compares
it with the journals, then the next process goes on in the same directory. Of each thread at most the one
operation that it had begun and not seen acknowledged may be there, and then the whole of it.
"""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import absdb
from tests.proof.kill_worker import SETTINGS, TABLES, THREADS, Belief, own_rows

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("kill_worker.py")
START_S_MAX = 60.0
SNAPSHOTS_READ = 3


def kill_at_some_moment(directory: Path, journals: Path, seed: int, run: int, dice: random.Random) -> str:
    """Run a worker and kill it; says when. Some are killed while they open, most while they commit."""
    journals.mkdir()
    command = [sys.executable, str(WORKER), str(directory), str(journals), str(seed), str(run)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stderr is not None
        try:
            if dice.random() < 0.2:
                moment = f"{(pause := dice.uniform(0.3, 1.2)):.3f} s after its start"
            else:
                ready, _, _ = select.select([worker.stdout], [], [], START_S_MAX)
                said = worker.stdout.readline() if ready else b""
                if said != b"ready\n":
                    worker.kill()
                    raise AssertionError(f"worker {run} did not start: {worker.stderr.read().decode()}")
                moment = f"{(pause := dice.uniform(0, 1.2)):.3f} s after it was ready"
            time.sleep(pause)
        finally:
            worker.kill()
        worker.wait()
        complaints = worker.stderr.read().decode()
    assert worker.returncode == -9, f"worker {run} ended by itself: {errors(journals)} {complaints}"
    return moment


def errors(journals: Path) -> list[Any]:
    return [line for path in journals.iterdir() for line in lines_of(path) if line[0] == "error"]


def lines_of(path: Path) -> list[Any]:
    """A journal's lines; one that the kill has cut short says nothing: what it announces had not begun."""
    whole, _, _ = path.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def candidates(before: Belief, journal: Path) -> list[Belief]:
    """What a thread may find: all it was told is done, with and without what it had begun."""
    known, begun = before.copy(), None
    for line in lines_of(journal) if journal.exists() else []:
        if line[0] == "begin":
            begun = line[2]
        elif line[0] == "done":
            assert begun is not None
            known.apply(begun)
            begun = None
    if begun is None:
        return [known]
    also = known.copy()
    also.apply(begun)
    return [known, also]


def compare(shop: absdb.Instance, who: int, possible: list[Belief], dice: random.Random) -> Belief:
    """The belief that is true of what is there; an error that says what is missing from each otherwise."""
    names = {name for name in shop if name == "main" or name.startswith(f"b{who}-")}
    present = {name: own_rows(shop[name], who) for name in names}
    snapshots = {
        (row["database"], row["name"])
        for row in shop.snapshots().to_dict("records")
        if row["name"].startswith(f"s{who}-") and row["database"] in names
    }
    faults = []
    for belief in possible:
        fault = difference(belief, present, snapshots)
        if fault is None:
            taken = sorted(belief.snapshots)
            for database, name in dice.sample(taken, min(len(taken), SNAPSHOTS_READ)):
                rows = belief.snapshots[database, name]
                found = own_rows(shop[database].at(snapshot=name), who)
                assert found == rows, f"thread {who}: snapshot {name} of {database} has changed"
            return belief
        faults.append(fault)
    raise AssertionError(f"thread {who}: {'; or else: '.join(faults)}")


def difference(belief: Belief, present: dict[str, Any], snapshots: set[tuple[str, str]]) -> str | None:
    """What is there that should not be, or the other way round; None if all is as believed."""
    if belief.databases.keys() != present.keys():
        return f"databases {sorted(present)}, expected {sorted(belief.databases)}"
    for name, tables in belief.databases.items():
        for table in TABLES:
            wrong = dict(set(tables[table].items()) ^ set(present[name][table].items()))
            if wrong:
                return f"{len(wrong)} rows of {table} in {name} differ, such as {sorted(wrong)[:5]}"
    named = set(belief.snapshots)
    return None if named == snapshots else f"snapshots {sorted(snapshots)}, expected {sorted(named)}"


def rounds(tmp_path: Path, number: int, seed: int) -> None:
    print(f"seed {seed}")
    dice = random.Random(seed)
    directory = tmp_path / "shop"
    beliefs = [Belief() for _ in range(THREADS)]
    acknowledged = 0
    for run in range(number):
        journals = tmp_path / f"journals-{run}"
        moment = kill_at_some_moment(directory, journals, seed, run, dice)
        assert not errors(journals), errors(journals)
        done = sum(line[0] == "done" for path in journals.iterdir() for line in lines_of(path))
        print(f"round {run}: killed {moment}, {done} acknowledged")
        acknowledged += done
        shop = absdb.connect(directory, **SETTINGS)
        try:
            if "t" in shop["main"] and "u" in shop["main"]:
                for who in range(THREADS):
                    beliefs[who] = compare(shop, who, candidates(beliefs[who], journals / str(who)), dice)
            assert shop.check().query("severity == 'error'").empty, shop.check().to_dict("records")
        finally:
            if dice.random() < 0.5:
                shop.close()
            else:
                shop._engine.abandon()
    assert acknowledged > number


def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path):
    rounds(tmp_path, 5, int(os.environ.get("ABSDB_SEED") or random.SystemRandom().randrange(1 << 32)))


@pytest.mark.deep
def test_nothing_acknowledged_is_lost_by_many_kills(tmp_path):
    rounds(tmp_path, 200, int(os.environ.get("ABSDB_SEED") or random.SystemRandom().randrange(1 << 32)))
