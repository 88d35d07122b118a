"""Without a server of S3 its tests are left out, and a run says so; where the tests run for everybody it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INTEROP = "tests/objectstore/test_s3_interop.py"
pytestmark = pytest.mark.slow


@pytest.fixture
def run():
    """Runs pytest where no SeaweedFS is to be found."""

    def run(*arguments: str, ci: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=ROOT,
            env={**os.environ, "ABSDB_WEED": "/nonexistent", "CI": ci},
            capture_output=True,
            text=True,
        )

    return run


def test_run_says_that_it_left_the_server_out(run):
    done = run(INTEROP)
    assert done.returncode == 0, done.stdout
    assert "! left out: servers of object stores !" in done.stdout
    assert "SeaweedFS was not found" in done.stdout
    assert "skipped" in done.stdout


def test_missing_server_fails_where_the_tests_run_for_everybody(run):
    done = run("-x", INTEROP, ci="true")
    assert done.returncode == 1, done.stdout
    assert "have to run here, but S3 is not tried: SeaweedFS was not found" in done.stdout
