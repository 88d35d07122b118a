"""Points that cannot be read any more, or never could, get no name; odd orders of restores and branches."""

from __future__ import annotations

import pytest

from absdb.engine import ddl
from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import compact_table, maintain
from absdb.engine.expiry import expire
from absdb.errors import HistoryExpiredError, StateError
from absdb.versioning.as_of import Point
from absdb.versioning.branch import create_branch, create_database, drop_database
from absdb.versioning.restore import restore
from absdb.versioning.snapshot import create_snapshot
from tests.versioning.conftest import World


def compact(world: World, name: str = "main") -> None:
    info = world.info(name)
    schema = world.engine.history.catalog_at(world.point(name).lineage).table("t")
    compact_table(world.engine, info.id, schema)


def expired_point(world: World) -> Point:
    """A point whose history has just gone."""
    world.create()
    world.put({1: (1, "old")})
    then = world.point()
    checkpoint(world.engine)
    world.put({1: (2, "new")})
    compact(world)
    world.put({2: (2, "new")})
    checkpoint(world.engine)
    world.clock.advance(hours=5)
    assert expire(world.engine) > 0
    with pytest.raises(HistoryExpiredError):
        world.rows(then)
    return then


def test_an_expired_point_gets_no_branch_no_snapshot_and_is_not_restored() -> None:
    world = World(history_retention="1h")
    then = expired_point(world)
    with pytest.raises(HistoryExpiredError):
        create_branch(world.engine, "dev", then)
    with pytest.raises(HistoryExpiredError):
        create_snapshot(world.engine, "then", then)
    with pytest.raises(HistoryExpiredError):
        restore(world.engine, then)
    with pytest.raises(HistoryExpiredError):
        restore(world.engine, then, tables=["t"])
    assert world.rows() == {1: (2, "new"), 2: (2, "new")}
    world.reopen()
    assert world.rows() == {1: (2, "new"), 2: (2, "new")}
    world.engine.close()


def test_a_dropped_database_gets_no_snapshot(world: World) -> None:
    world.create()
    create_branch(world.engine, "dev", world.point())
    point = world.point("dev")
    drop_database(world.engine, world.info("dev"))
    with pytest.raises(StateError):
        create_snapshot(world.engine, "s", point)
    assert not world.engine.history.snapshots


def test_a_database_has_no_state_before_it_was_made(world: World) -> None:
    world.create()
    before = world.point()
    create_database(world.engine, "other")
    with pytest.raises(HistoryExpiredError):
        world.point("other", lsn=before.lsn)
    assert world.point("other").lineage == ()


def test_points_around_restores_read_what_was_there(world: World) -> None:
    world.create()
    lsns = []
    for step in range(6):
        world.put({1: (step, "x"), 10 + step: (step, "y")})
        lsns.append(world.point().lsn)
    states = {lsn: world.rows(world.point(lsn=lsn)) for lsn in lsns}
    restored = restore(world.engine, world.point(lsn=lsns[2]))
    states[restored] = states[lsns[2]]
    create_branch(world.engine, "late", world.point(lsn=lsns[4]))
    create_branch(world.engine, "at", world.point(lsn=restored))
    world.put({99: (9, "z")})
    states[world.point().lsn] = world.rows()
    world.put({98: (8, "z")}, "late")
    partly = restore(world.engine, world.point(lsn=lsns[5]), tables=["t"])
    states[partly] = states[lsns[5]]
    for _ in range(2):
        for lsn, rows in states.items():
            assert world.rows(world.point(lsn=lsn)) == rows
        assert world.rows("late") == {**states[lsns[4]], 98: (8, "z")}
        assert world.rows("at") == states[lsns[2]]
        assert world.rows(world.point("late", lsn=lsns[1])) == states[lsns[1]]
        compact(world)
        compact(world, "late")
        maintain(world.engine)
        world.reopen()


def test_a_branch_inside_a_merged_run_sees_its_point_only(world: World) -> None:
    world.create()
    points = []
    for step in range(12):
        world.put({step: (step, "x"), 0: (step, "y")})
        points.append((world.point(), world.rows()))
        checkpoint(world.engine)
    create_branch(world.engine, "a", points[5][0])
    world.put({100: (1, "a")}, "a")
    create_branch(world.engine, "b", world.point("a", lsn=points[3][0].lsn))
    maintain(world.engine)
    checkpoint(world.engine)
    world.reopen()
    assert world.rows("a") == {**points[5][1], 100: (1, "a")}
    assert world.rows("b") == points[3][1]
    for point, rows in points:
        assert world.rows(point) == rows


def test_a_dropped_column_is_there_in_states_before_a_compaction(world: World) -> None:
    world.create()
    world.put({n: (n, str(n)) for n in range(100)})
    then, rows = world.point(), world.rows()
    checkpoint(world.engine)
    compact(world)
    world.put({1: (100, "one")})
    between, changed = world.point(), world.rows()
    with world.engine.begin(world.info("main").id) as tx:
        ddl.drop_column(tx, tx.catalog.table("t"), "s")
    compact(world)
    checkpoint(world.engine)
    world.reopen()
    assert world.rows(then) == rows
    assert world.rows(between) == changed


def test_a_table_dropped_and_brought_back_has_its_rows(world: World) -> None:
    world.create()
    world.put({1: (1, "x"), 2: (2, "y")})
    then = world.point()
    with world.engine.begin(world.info("main").id) as tx:
        ddl.drop_table(tx, tx.catalog.table("t"))
    for _ in range(6):
        world.create(table="other" + str(_))
        checkpoint(world.engine)
    maintain(world.engine)
    restore(world.engine, then, tables=["t"])
    world.put({3: (3, "z")})
    compact(world)
    checkpoint(world.engine)
    world.reopen()
    assert world.rows() == {1: (1, "x"), 2: (2, "y"), 3: (3, "z")}
