"""The plugin for pytest: instances and branches of one's own for tests.

    absdb_instance    an instance with prepared data, shared by the tests of a session
    absdb_branch      a branch of it for one test, dropped afterwards
    absdb_source      overridden by whoever prepares the data

pytest finds it by itself where absdb is installed. Elsewhere `-p absdb.pytest_plugin` loads it, or
`pytest_plugins = ["absdb.pytest_plugin"]` in a conftest.py; doing both is harmless. It is described in
absdb/testing/TUTORIALS.md. pytest imports it in every run of the environment, so that only pytest and the
standard library are imported before a test asks for a fixture.
"""

from __future__ import annotations

pytest_plugins = ("absdb.pytest_plugin.hooks", "absdb.pytest_plugin.fixtures")
