"""`kill -9` at any moment: what was said to be archived is, and the archive gives just what the instance had there."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

import absdb
from absdb.ids import Lsn
from tests.backup.archive.kill_worker import SETTINGS
from tests.backup.archive.scene import Scene

ROOT = Path(__file__).resolve().parents[3]
ROUNDS = 5


def killed(scene: Scene, pause_s: float) -> int:
    """Run a worker and kill it; the LSN up to which it said that the archive has the log."""
    command = [
        sys.executable,
        "-m",
        "tests.backup.archive.kill_worker",
        str(scene.root / "instance"),
        scene.target,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        assert worker.stderr is not None
        first = worker.stdout.readline()
        time.sleep(pause_s)
        worker.kill()
        said = worker.stdout.read().splitlines()
        complaints = worker.stderr.read()
    assert first == "ready\n", complaints
    assert worker.returncode == -9, complaints
    assert "archiving the log" not in complaints
    return max((int(Lsn.parse(line)) for line in said[:-1]), default=0)


@pytest.mark.slow
def test_kill_at_any_moment(tmp_path):
    dice = random.Random(20261129)
    scene = Scene(tmp_path, **{name: SETTINGS[name] for name in ("wal_segment_size", "bulk_threshold")})
    scene.create("t", {"id": pa.int64(), "v": pa.string()})
    scene.archiver.ship()
    scene.engine.close()
    reached = 0
    for number in range(ROUNDS):
        said = killed(scene, dice.uniform(0.1, 2.0))
        archive = scene.archive()
        timeline, end = archive.end()
        assert timeline == 1
        assert end >= max(said, reached), f"round {number}"
        reached = end
        assert archive.gaps() == []
        with absdb.connect(tmp_path / "instance", read_only=True) as instance:
            expected = instance["main"].at(lsn=end)["t"].to_arrow().sort_by("id").to_pylist()
        found = sorted(scene.rebuilt(), key=lambda row: row["id"])
        assert found == expected, f"round {number}"
    assert reached > 4 * SETTINGS["wal_segment_size"]
