"""The fixtures: an instance for the session, and a branch of it for each test.

The engine is imported when a test first asks for one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from absdb.pytest_plugin.branches import OWN_BRANCH, drop_branch, make_branch
from absdb.pytest_plugin.choice import choice_of, default_source, refuse

if TYPE_CHECKING:
    from absdb.database import Database
    from absdb.instance import Instance
    from absdb.pytest_plugin.instances import Instances, Source


@pytest.fixture(scope="session")
def absdb_source(pytestconfig: pytest.Config) -> Source:
    """Where `absdb_instance` has its data from. Override it with a function that fills an instance, or a directory.

    @pytest.fixture(scope="session")
    def absdb_source():
        def fill(shop):
            shop["main"].create_table("orders", [{"id": 1, "total": 10.0}], key="id")
        return fill

    As it is, it gives what the option `--absdb-source` or `absdb_source` in the ini file name.
    """
    return default_source(pytestconfig)


@pytest.fixture(scope="session")
def absdb_settings() -> dict[str, Any]:
    """What `absdb.connect` is given for the instances of tests: settings, a clock, an author. Override it freely.

    As it is, commits are not synced: what a test commits need not outlive a power loss.
    """
    return {"wal_sync_mode": "nosync"}


@pytest.fixture(scope="session")
def _absdb_instances(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, absdb_settings: dict[str, Any]
) -> Iterator[Instances]:
    from absdb.pytest_plugin.instances import Instances

    base = tmp_path_factory.getbasetemp()
    # A worker of pytest-xdist has a directory of its own within that of the whole run.
    run = base.parent if hasattr(pytestconfig, "workerinput") else base
    instances = Instances(
        area=run / "absdb-prepared",
        own=tmp_path_factory.mktemp("absdb"),
        root=pytestconfig.rootpath,
        settings=absdb_settings,
    )
    yield instances
    instances.close()


@pytest.fixture(scope="session")
def absdb_instance(
    request: pytest.FixtureRequest, absdb_source: Source, _absdb_instances: Instances
) -> Instance:
    """An instance with the data of the source, open for the whole session. Each worker of pytest-xdist has its own.

    The source is what a marker of the test says, else `absdb_source`. It is prepared once in a run, and never written
    to. Tests share the instance, so that they had better write on `absdb_branch`.
    """
    asked: Source = getattr(request, "param", absdb_source)
    named = isinstance(asked, str) and asked.isidentifier()
    return _absdb_instances.open(asked, _value_of(request, str(asked)) if named else asked)


@pytest.fixture
def absdb_branch(
    request: pytest.FixtureRequest,
    absdb_source: Source,
    absdb_instance: Instance,
    _absdb_instances: Instances,
) -> Iterator[Database]:
    """A branch for this test alone, dropped after it with all branches of it.

    It starts as the prepared data, or at the point and of the database that a marker or the ini file say. With
    `--absdb-keep-failed` it stays if the test fails, and the report says how to open it.
    """
    from absdb.pytest_plugin.instances import refusing

    item = request.node
    check_source(item, _absdb_instances, absdb_instance, absdb_source)
    with refusing():
        branch = make_branch(absdb_instance, choice_of(item), item=item)
    item.stash[OWN_BRANCH] = branch
    yield branch.database
    if not branch.kept:
        drop_branch(branch)


def check_source(item: pytest.Item, instances: Instances | None, instance: Instance, source: Source) -> None:
    """Fail a test whose instance has data from another source than the one it asks for.

    That happens where fixtures of a session cannot know better: `absdb_source` overridden a second time, or an
    instance asked for while the test runs, when markers are no longer looked at.
    """
    asked = None if instances is None else instances.asked_for(instance)
    if asked is None:
        return  # the user's own instance
    marked = choice_of(item).source
    wanted = source if marked is None else marked
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    wanted = parameters.get("absdb_instance", wanted)
    if asked.source is not wanted and asked.source != wanted:
        refuse(
            f"this test asks for the source {_called(wanted)}, but its instance is of {_called(asked.source)}",
            hint="a session has one absdb_source; name others with a marker, as in "
            'pytestmark = pytest.mark.absdb(source="other_data"), on tests that take absdb_branch or absdb_instance '
            "as an argument",
        )


def _value_of(request: pytest.FixtureRequest, name: str) -> Source:
    """What the fixture of that name gives; the name itself if there is no such fixture."""
    try:
        value: Source = request.getfixturevalue(name)
    except pytest.FixtureLookupError as error:
        if error.argname != name:
            raise
        return name
    return value


def _called(source: Source) -> str:
    """A source as people know it: a text as it is written, a function by its name."""
    return getattr(source, "__qualname__", None) or repr(source)
