"""What all tests share: how hard hypothesis tries, which tests wait for `make test-deep`, and the browser suite.

ABSDB_DEEP=1 in the environment runs the tests marked `deep` too, and gives properties many more examples.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.browser import presence as browser
from tests.objectstore import presence as object_stores

DEEP = os.environ.get("ABSDB_DEEP", "") not in ("", "0")

BROWSER_SUITE = Path(__file__).parent / "browser"
SUITES = (
    ("the browser suite", BROWSER_SUITE, browser),
    ("servers of object stores", Path(__file__).parent / "objectstore", object_stores),
)

# It needs a process of its own: test_sqlalchemy_suite.py starts it.
collect_ignore = ["sqlalchemy_suite"]

# No deadlines: a shared machine is slow at times, and a benchmark measures, not a test. Where CI is set the
# examples are the same each time, so that a red run speaks of the change it ran on.
settings.register_profile(
    "default",
    deadline=None,
    max_examples=50,
    print_blob=True,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "deep", parent=settings.get_profile("default"), max_examples=2_000, derandomize=False
)
settings.load_profile("deep" if DEEP else "default")


@pytest.fixture
def imports_stay(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Runs of pytest within this process forget the tests that they imported, and nothing else.

    Otherwise they forget libraries that were first imported there. DuckDB aborts the process when it comes again.
    """
    ours = str(tmp_path_factory.getbasetemp())

    def restore(_: object) -> None:
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(ours):
                del sys.modules[name]

    monkeypatch.setattr("_pytest.pytester.SysModulesSnapshot.restore", restore)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests marked `deep` out of ordinary runs; the closing line counts them as deselected."""
    if not DEEP:
        deep = [item for item in items if item.get_closest_marker("deep")]
        config.hook.pytest_deselected(items=deep)
        items[:] = [item for item in items if not item.get_closest_marker("deep")]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give the whole browser suite to one worker: it has one server and one browser."""
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class OneBrowser(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            suite = BROWSER_SUITE.relative_to(config.rootpath).as_posix()
            return suite if nodeid.startswith(f"{suite}/") else super()._split_scope(nodeid)

    return OneBrowser(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say it when a run that asked for a suite left it out, or a part of it."""
    asked = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    for title, folder, suite in SUITES:
        wanted = any(path.is_relative_to(folder) or folder.is_relative_to(path) for path in asked)
        why = suite.what_is_missing()
        if wanted and why and not suite.REQUIRED:
            terminalreporter.section(f"left out: {title}", sep="!", yellow=True, bold=True)
            terminalreporter.write_line(f"because {why}")
