"""SQLAlchemy's pytest plugin, and the instance that its suite is to run on.

The plugin changes how pytest collects classes and turns warnings into errors, so the suite runs in a process of its
own, which tests/test_sqlalchemy_suite.py starts. By hand: `python -m pytest tests/sqlalchemy_suite`.
"""

from __future__ import annotations

import importlib
import tempfile

import pytest
from sqlalchemy.dialects import registry
from sqlalchemy.testing.plugin import pytestplugin
from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: F403  # its hooks

registry.register("absdb", "absdb.sqlalchemy", "AbsdbDialect")


def pytest_configure(config: pytest.Config) -> None:
    """As the plugin does, then say how a database is made ready; SQLAlchemy's helpers can be imported only now."""
    pytestplugin.pytest_configure(config)
    if not config.option.dburi:
        directory = tempfile.TemporaryDirectory(prefix="absdb-sqlalchemy-")
        config.add_cleanup(directory.cleanup)
        config.option.dburi = [f"absdb:///{directory.name}/instance"]
    importlib.import_module("tests.sqlalchemy_suite.provision")


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """As the plugin does, then mark the tests that are known to fail."""
    pytestplugin.pytest_collection_modifyitems(session, config, items)
    from tests.sqlalchemy_suite.requirements import FAILS

    for item in items:
        for name, reason in FAILS.items():
            if name in item.nodeid:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
