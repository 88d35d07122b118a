"""Without a browser the browser suite is left out, and a run says so; where the tests run for everybody it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path):
    """Runs pytest where no Chromium is to be found."""

    def run(*arguments: str, ci: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=ROOT,
            env={**os.environ, "PATH": str(tmp_path), "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path), "CI": ci},
            capture_output=True,
            text=True,
        )

    return run


def test_run_says_that_it_left_the_suite_out(run):
    done = run("-n", "1", "tests/browser", "tests/test_ids.py")
    assert done.returncode == 0, done.stdout
    assert "! left out: the browser suite !" in done.stdout
    assert "no Chromium was found" in done.stdout
    assert "browser/test_" not in done.stdout


def test_run_that_did_not_ask_for_the_suite_is_silent(run):
    done = run("tests/test_ids.py")
    assert done.returncode == 0, done.stdout
    assert "left out" not in done.stdout


def test_missing_browser_fails_where_the_tests_run_for_everybody(run):
    done = run("-x", "tests/browser", ci="true")
    assert done.returncode == 1, done.stdout
    assert "the browser suite has to run here, but no Chromium was found" in done.stdout
