"""The branch of one test: made from the prepared state, dropped with all that was branched from it, or kept.

A branch costs one record of the log, so that a test has its own in well under a millisecond.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

import pytest

from absdb.errors import NotFoundError

if TYPE_CHECKING:
    from absdb.catalog.history import DatabaseInfo
    from absdb.database import Database
    from absdb.instance import Instance
    from absdb.pytest_plugin.choice import Choice

PREPARED = "prepared"
"""The snapshot of each database of a source that branches start from, unless a test asks for another point."""
KEPT_TITLE = "absdb branch kept"
NAME_MAX = 200


@dataclass
class OwnBranch:
    """The branch that a test works on. `kept` says that its test failed and nobody is to drop it."""

    instance: Instance
    database: Database
    name: str
    kept: bool = False

    def how_to_open(self) -> str:
        """For people: the name, and what to type. Valid once the test run has ended."""
        path = self.instance.path
        return (
            f"branch {self.name!r} of {path}\n"
            f"  absdb.connect({path!r})[{self.name!r}]\n"
            f"  absdb --instance {quote(path)} log -d {quote(self.name)}"
        )


OWN_BRANCH = pytest.StashKey[OwnBranch]()
"""Where a test's item has its branch, from when it is made on."""


def make_branch(instance: Instance, choice: Choice, *, item: pytest.Item) -> OwnBranch:
    """A branch of the chosen state, named after the test. NotFoundError for a database or point that is not there."""
    source = instance[str(choice.database)]
    start = _prepared(source) if choice.at is None else source.at(choice.at)
    name = _free_name(instance, item.name)
    return OwnBranch(instance, start.branch(name, comment=item.nodeid), name)


def _prepared(source: Database) -> Database:
    """The prepared state of a database; the database itself if it was made after that, as by a fixture."""
    try:
        return source.at(snapshot=PREPARED)
    except NotFoundError:
        return source


def drop_branch(branch: OwnBranch) -> None:
    """Drop a test's branch and what was branched from it, protected or not; what the test dropped itself is gone."""
    from absdb.versioning.branch import alter_database, drop_database

    if branch.instance.closed:
        return
    engine = branch.database._engine
    for info in _family(list(engine.history.databases.values()), branch):
        if info.protected:
            alter_database(engine, info, protected=False)
        drop_database(engine, info)


def _family(databases: list[DatabaseInfo], branch: OwnBranch) -> list[DatabaseInfo]:
    """The test's branch and all branches of it, by id: a test may have renamed them, or dropped some."""
    ids = {branch.database._scope.database}
    for info in databases:  # in the order they were made
        if info.source in ids:
            ids.add(info.id)
    return [info for info in databases if info.id in ids]


def _free_name(instance: Instance, test: str) -> str:
    """The test's name as a database may have it, with a number behind it if there is one of that name."""
    plain = "".join(
        "-" if letter in "/@" or unicodedata.category(letter)[0] in "CZ" else letter for letter in test
    )[:NAME_MAX].strip()
    name, number = plain, 1
    while name in instance:
        number += 1
        name = f"{plain}-{number}"
    return name
