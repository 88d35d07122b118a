"""The browser suite's fixtures: one server and one Chromium for the suite, and JupyterLab for each test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.browser import presence

# Without a browser nothing here is even imported; tests/conftest.py says so at the end of the run. Where the tests
# run for everybody they are collected all the same, and fail.
collect_ignore_glob = ["test_*.py"] if presence.what_is_missing() and not presence.REQUIRED else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this directory."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """A test that fails leaves a picture of the page."""
    report = yield
    if call.when == "call" and report.failed and "loaded" in item.funcargs:
        item.funcargs["loaded"].screenshot(f"failed-{item.name}")
    return report


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    """A JupyterLab server on a copy of the notebooks."""
    if why := presence.what_is_missing():
        pytest.fail(f"the browser suite has to run here, but {why}")
    from tests.browser.server import JupyterServer

    server = JupyterServer(tmp_path_factory.mktemp("jupyter"))
    yield server
    server.stop()


# Of the package, not of the session: while Playwright runs, this thread has an event loop, and other tests start
# loops of their own.
@pytest.fixture(scope="package")
def loaded(server):
    """JupyterLab, loaded in Chromium."""
    from tests.browser.chromium import lab_in_chromium

    kept = os.environ.get("ABSDB_SCREENSHOTS")
    with lab_in_chromium(server, Path(kept) if kept else None) as lab:
        yield lab


@pytest.fixture
def watched(loaded):
    """JupyterLab as the test before left it, in the light theme: for tests that share a notebook of their module.

    The test fails on page errors and foreign requests.
    """
    loaded.theme("light")
    yield loaded
    try:
        loaded.watch.check()
    finally:
        loaded.watch.forget()


@pytest.fixture
def lab(watched):
    """The same with nothing open."""
    yield watched
    watched.close_all()


@pytest.fixture
def bench(watched, notebook):
    """The workbench in the second cell of what the module's `notebook` is."""
    from tests.browser.workbench import Workbench

    return Workbench(notebook, 1)
