"""History past retention goes, unless something holds it; what is gone is an error, never a wrong answer."""

from __future__ import annotations

import pytest

from absdb.engine.check import check
from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import compact_table
from absdb.engine.expiry import expire
from absdb.engine.pins import all_pins
from absdb.errors import HistoryExpiredError
from absdb.versioning.branch import create_branch, drop_database
from absdb.versioning.restore import restore
from absdb.versioning.row_history import row_history
from absdb.versioning.snapshot import create_snapshot, drop_snapshot
from tests.versioning.conftest import World


def history_of(world: World, commits: int = 12) -> list[tuple[int, dict[int, tuple[object, ...]]]]:
    """Commits with a checkpoint after each and a compaction at the end; (LSN, rows) of each state."""
    world.create()
    states = []
    for step in range(commits):
        world.put(dict.fromkeys(range(step, step + 40), (step, "x")))
        world.remove([step * 2])
        states.append((int(world.point().lsn), world.rows()))
        checkpoint(world.engine)
    info = world.info("main")
    compact_table(
        world.engine, info.id, world.engine.history.catalog_at(world.engine.head(info.id)[1]).table("t")
    )
    checkpoint(world.engine)
    return states


def readable(world: World, states: list[tuple[int, dict[int, tuple[object, ...]]]]) -> list[bool]:
    found = []
    for lsn, rows in states:
        try:
            assert world.rows(world.point(lsn=lsn)) == rows
            found.append(True)
        except HistoryExpiredError:
            found.append(False)
    return found


def test_history_within_retention_stays(world: World) -> None:
    states = history_of(world)
    expire(world.engine)
    checkpoint(world.engine)
    assert all(readable(world, states))


def test_history_past_retention_goes_and_says_so() -> None:
    world = World(history_retention="1h")
    states = history_of(world)
    files = len(world.fs.list("pages"))
    world.clock.advance(hours=5)
    assert expire(world.engine) > 0
    checkpoint(world.engine)
    world.reopen()
    found = readable(world, states)
    assert found[-1]
    assert not any(found[:-1])
    with pytest.raises(HistoryExpiredError, match="no longer kept"):
        world.read(world.point(lsn=states[3][0]))
    world.put({1: (1, "later")})
    checkpoint(world.engine)
    assert len(world.fs.list("pages")) < files
    assert [f for f in check(world.engine) if f.severity == "error"] == []
    world.engine.close()


def test_the_history_of_a_row_at_a_past_point_does_not_know_what_came_later() -> None:
    world = World(history_retention="1h")
    history_of(world)
    world.clock.advance(hours=5)
    expire(world.engine)
    past = world.point()
    world.engine.pins.enter(past)
    world.put({20: (100, "later")})
    checkpoint(world.engine)
    lineage = world.engine.head(world.info("main").id)[1]
    schema = world.engine.history.catalog_at(lineage).table("t")
    compact_table(world.engine, world.info("main").id, schema)
    assert world.engine.covers.path(schema.id, past.lineage)[2], (
        "the past is not read by way of a later image"
    )
    key = schema.key_spec.encode_one([20])
    assert row_history(world.engine, schema, past.lineage, key)["v"].to_pylist() == [11]
    world.engine.close()


def test_snapshots_and_branches_hold_their_states() -> None:
    world = World(history_retention="1h")
    states = history_of(world)
    create_snapshot(world.engine, "keep", world.point(lsn=states[4][0]))
    create_branch(world.engine, "b", world.point(lsn=states[7][0]))
    world.clock.advance(hours=5)
    expire(world.engine)
    checkpoint(world.engine)
    world.reopen()
    assert world.rows(world.point(snapshot="keep")) == states[4][1]
    assert world.rows("b") == states[7][1]
    drop_snapshot(world.engine, "main", "keep")
    drop_database(world.engine, world.info("b"))
    expire(world.engine)
    checkpoint(world.engine)
    world.reopen()
    assert sum(readable(world, states)) == 1
    assert world.rows() == states[-1][1]
    world.engine.close()


def test_an_open_transaction_holds_what_it_reads() -> None:
    world = World(history_retention="1h")
    states = history_of(world)
    tx = world.engine.begin(world.info("main").id)
    schema = tx.catalog.table("t")
    world.put(dict.fromkeys(range(60), (99, "new")))
    checkpoint(world.engine)
    world.clock.advance(hours=5)
    world.put({500: (1, "x")})
    expire(world.engine)
    checkpoint(world.engine)
    assert {r["id"]: (r["v"], r["s"]) for r in tx.reader(schema).to_table().to_pylist()} == states[-1][1]
    tx.rollback()
    world.engine.close()


def test_a_dropped_branch_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("absdb.engine.expiry.GRACE_S", 0.0)
    world = World(history_retention="1h")
    history_of(world, 3)
    checkpoint(world.engine)
    world.reopen()
    eras = set(world.engine.history.eras)
    create_branch(world.engine, "b", world.point())
    world.put(dict.fromkeys(range(200), (7, "b")), "b")
    checkpoint(world.engine)
    drop_database(world.engine, world.info("b"))
    world.clock.advance(hours=5)
    expire(world.engine)
    assert set(world.engine.history.eras) == eras
    assert all(era in eras for era, _ in world.engine.covers.eras)
    world.engine.close()


def rows_of_era(world: World, era: int) -> int:
    return sum(run.rows for (e, _), c in world.engine.covers.eras.items() if e == era for run in c.view[0])


def undone(world: World) -> tuple[int, dict[int, tuple[object, ...]], int]:
    """A restore, much written after it, and a restore that undoes that: (an LSN undone, its rows, its era)."""
    world.create()
    world.put(dict.fromkeys(range(50), (0, "first")))
    start = world.point()
    world.put({1: (1, "x")})
    restore(world.engine, start)
    world.put(dict.fromkeys(range(1000), (2, "undone")))
    lsn, rows, era = int(world.point().lsn), world.rows(), world.info("main").eras[-1]
    checkpoint(world.engine)
    restore(world.engine, start)
    world.put({2: (3, "after")})
    checkpoint(world.engine)
    return lsn, rows, era


def test_what_a_restore_has_undone_goes_past_retention() -> None:
    world = World(history_retention="1h")
    lsn, rows, era = undone(world)
    expire(world.engine)
    checkpoint(world.engine)
    assert world.rows(world.point(lsn=lsn)) == rows
    assert rows_of_era(world, era) == 1000
    assert {pin.kind for pin in all_pins(world.engine)} == {"head", "branch"}
    world.clock.advance(hours=5)
    world.put({3: (4, "later")})
    now = world.rows()
    world.clock.advance(hours=5)
    assert expire(world.engine) > 0
    checkpoint(world.engine)
    world.reopen()
    assert rows_of_era(world, era) == 0
    with pytest.raises(HistoryExpiredError, match="no longer kept"):
        world.read(world.point(lsn=lsn))
    assert world.rows() == now
    assert len(list(all_pins(world.engine))) == 2, "the head, and what its last era started from"
    assert [f for f in check(world.engine) if f.severity == "error"] == []
    world.engine.close()


def test_what_was_undone_stays_for_a_branch_or_a_snapshot_of_it() -> None:
    world = World(history_retention="1h")
    lsn, rows, _ = undone(world)
    create_branch(world.engine, "b", world.point(lsn=lsn))
    create_snapshot(world.engine, "s", world.point(lsn=lsn))
    world.clock.advance(hours=5)
    world.put({3: (4, "later")})
    world.clock.advance(hours=5)
    expire(world.engine)
    checkpoint(world.engine)
    world.reopen()
    assert world.rows("b") == rows
    assert world.rows(world.point(snapshot="s")) == rows
    drop_database(world.engine, world.info("b"))
    expire(world.engine)
    checkpoint(world.engine)
    assert world.rows(world.point(snapshot="s")) == rows
    drop_snapshot(world.engine, "main", "s")
    assert expire(world.engine) > 0
    with pytest.raises(HistoryExpiredError):
        world.read(world.point(lsn=lsn))
    world.engine.close()
