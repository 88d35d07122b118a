"""Branches with a time to live go when it is over, and only those."""

from __future__ import annotations

import datetime as dt

from absdb.engine.compaction import maintain
from absdb.versioning.branch import create_branch
from absdb.versioning.retention import drop_outlived
from tests.versioning.conftest import World


def names(world: World) -> set[str]:
    return {info.name for info in world.engine.history.databases.values()}


def test_outlived_branches_are_dropped_at_upkeep(world: World) -> None:
    world.engine.chores.append(drop_outlived)
    world.create()
    world.put({1: (1, "x")})
    create_branch(world.engine, "short", world.point(), retain=dt.timedelta(hours=1))
    create_branch(world.engine, "long", world.point(), retain=dt.timedelta(days=9))
    create_branch(world.engine, "kept", world.point(), retain=dt.timedelta(hours=1), protected=True)
    create_branch(world.engine, "forever", world.point())
    maintain(world.engine)
    assert names(world) == {"main", "short", "long", "kept", "forever"}
    world.clock.advance(hours=2)
    assert maintain(world.engine) >= 1
    assert names(world) == {"main", "long", "kept", "forever"}
    assert world.rows() == {1: (1, "x")}
