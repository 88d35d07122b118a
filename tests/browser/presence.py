"""Says whether there is a browser to test in. Where the tests run for everybody, there has to be one."""

from __future__ import annotations

import importlib.util
import os
import shutil
from functools import cache
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
REQUIRED = os.environ.get("CI", "").lower() in ("1", "true")


@cache
def chromium() -> str | None:
    """The path of a Chromium: the system's, or the one that `playwright install chromium` fetched."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    if importlib.util.find_spec("playwright") is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        fetched = playwright.chromium.executable_path
    return fetched if Path(fetched).exists() else None


@cache
def what_is_missing() -> str | None:
    """Why the suite cannot run here, as a sentence for people; None if it can."""
    for package in ("playwright", "jupyterlab", "ipywidgets", "anywidget"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed (`make test` installs it into .venv)"
    if chromium() is None:
        return "no Chromium was found (.ci/run installs it; on Debian: apt-get install chromium)"
    return None
