"""A power loss at any moment of bringing a branch back from a backup: the branch is there whole, or not at all."""

from __future__ import annotations

import pytest

from absdb.backup.branch import attach_branch
from absdb.backup.fold import fold_database
from absdb.clock import ManualClock
from absdb.engine.check import check
from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import compact_table, maintain
from absdb.engine.engine import Engine
from absdb.engine.recovery import open_engine
from absdb.io.memory import MemoryFileSystem
from absdb.testing.crash_states import crash_states
from absdb.testing.recording import RecordingFileSystem
from absdb.versioning.branch import create_branch, drop_database
from tests.versioning.conftest import SMALL, World

ROWS = {number: (number, f"row {number}") for number in range(150)}
STATES = 250


def expire(world: World) -> None:
    engine = world.engine
    checkpoint(engine)
    main = engine.history.database("main")
    for schema in engine.history.catalog_at(engine.head(main.id)[1]).tables.values():
        compact_table(engine, main.id, schema)
    engine.dying = dict.fromkeys(engine.history.eras, -1e9)
    maintain(engine)
    checkpoint(engine)


def backup_of(world: World, name: str) -> Engine:
    fs = MemoryFileSystem()
    fold_database(world.engine, world.info(name), fs)
    return open_engine(fs, read_only=True, arguments=SMALL)


@pytest.mark.parametrize("kind", ["expired", "forgotten", "foreign"])
def test_the_branch_is_there_whole_or_not_at_all(kind: str) -> None:
    fs = RecordingFileSystem()
    world = World(fs, ManualClock(tick_us=1_000_000), history_retention=0)
    world.create()
    world.put(ROWS)
    name = "main"
    if kind == "forgotten":
        name = "staging"
        create_branch(world.engine, name, world.point())
        world.put({3: (0, "staging")}, name)
    owner = world
    if kind == "foreign":
        owner = World()
        owner.create()
        owner.put(ROWS)
    backup = backup_of(owner, name)
    expected = owner.rows(name)
    world.remove(list(range(50, 150)))
    if kind == "forgotten":
        drop_database(world.engine, world.info(name))
    expire(world)
    first = len(fs.log)
    attach_branch(world.engine, backup, name, "back")
    fs.mark("attached")
    world.put({3: (0, "main")})
    whole = 0
    for state in crash_states(fs.log, limit=STATES, seed=1, first=first):
        again = World(state, ManualClock(tick_us=1_000_000), history_retention=0)
        names = {info.name for info in again.engine.history.databases.values()}
        if "back" in names and again.engine.history.catalog_at(again.point("back").lineage).tables:
            assert again.rows("back") == expected, state.story
            whole += 1
        else:
            assert "attached" not in state.marks, state.story
        assert len(again.rows("main")) == 50
        expire(again)
        assert [f for f in check(again.engine) if f.severity == "error"] == [], state.story
        again.engine.abandon()
    assert whole
