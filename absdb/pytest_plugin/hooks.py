"""What pytest calls: the options, the marker's source made a parameter, and what is told of a branch that is kept."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from absdb.pytest_plugin.branches import KEPT_TITLE, OWN_BRANCH
from absdb.pytest_plugin.choice import MARKER_HELP, choice_of
from absdb.pytest_plugin.fixtures import check_source


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds two options and three lines of the ini file."""
    group = parser.getgroup("absdb", "branches of absdb instances for tests")
    group.addoption(
        "--absdb-source",
        metavar="NAME",
        help="the source of absdb_instance: the name of a fixture, or the directory of an instance",
    )
    group.addoption(
        "--absdb-keep-failed",
        action="store_true",
        help="keep the branches of tests that fail, and tell how to open them",
    )
    parser.addini(
        "absdb_source", "the same as --absdb-source; a directory is relative to the root", default=""
    )
    parser.addini("absdb_database", "the database that absdb_branch is a branch of", default="main")
    parser.addini("absdb_at", "the snapshot, LSN or time that absdb_branch starts at", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line("markers", MARKER_HELP)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A marker's source is a parameter of the session's fixture, so that tests of one source share an instance."""
    if "absdb_instance" in metafunc.fixturenames:
        source = choice_of(metafunc.definition).source
        if source is not None:
            # Older than 8.4, pytest has no way to leave a parameter out of the test's name.
            name = getattr(pytest, "HIDDEN_PARAM", str(source))
            metafunc.parametrize("absdb_instance", [source], indirect=True, ids=[name])


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Holds that the data is what the test asked for, now that its fixtures are there."""
    given = getattr(item, "funcargs", {})
    if "absdb_instance" in given:
        check_source(item, given.get("_absdb_instances"), given["absdb_instance"], given.get("absdb_source"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Marks the branch of a test that failed as kept, if that was asked for, and says so in the report."""
    report = yield
    branch = item.stash.get(OWN_BRANCH, None)
    if branch and report.failed and report.when != "teardown" and item.config.getoption("absdb_keep_failed"):
        branch.kept = True
        report.sections.append((KEPT_TITLE, branch.how_to_open()))
    return report
