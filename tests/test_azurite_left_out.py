"""Without Azurite the tests that need it are left out, and a run says so; where tests run for everybody they fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SERVER_TESTS = "tests/objectstore/test_azure_interop.py"
pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path):
    """Runs pytest where no Azurite is to be found."""

    def run(*arguments: str, ci: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=ROOT,
            env={**os.environ, "ABSDB_AZURITE": str(tmp_path / "missing"), "CI": ci},
            capture_output=True,
            text=True,
        )

    return run


def test_run_says_that_it_left_them_out(run):
    done = run("-k", "small", SERVER_TESTS, "tests/objectstore/test_azure_signing.py")
    assert done.returncode == 0, done.stdout
    assert "! left out: servers of object stores !" in done.stdout
    assert "Azurite was not found (`make azurite` installs it, with npm)" in done.stdout
    assert "1 skipped" in done.stdout


def test_missing_server_fails_where_the_tests_run_for_everybody(run):
    done = run("-x", SERVER_TESTS, ci="true")
    assert done.returncode == 1, done.stdout
    assert "have to run here, but Azure Blob is not tried: Azurite was not found" in done.stdout
