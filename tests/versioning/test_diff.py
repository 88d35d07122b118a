"""Summaries agree with a comparison of everything, whatever lies between the two states."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest

from absdb.engine import candidates, compaction, ddl, writes
from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import compact_table, maintain
from absdb.engine.definition import ColumnDefinition
from absdb.errors import NotFoundError
from absdb.versioning import table_diff
from absdb.versioning.as_of import Point
from absdb.versioning.branch import create_branch, create_database
from absdb.versioning.diff import Diff
from absdb.versioning.diff_rows import diff_rows
from absdb.versioning.restore import restore
from tests.versioning.conftest import SCHEMA, World


def summary(world: World, source: Point | str, target: Point | str) -> dict[str, int]:
    sides = [world.point(side) if isinstance(side, str) else side for side in (source, target)]
    table = Diff(world.engine, source=sides[0], target=sides[1]).summary()
    assert table.schema.names == ["table_name", "operation", "row_count"]
    return {row["operation"]: row["row_count"] for row in table.to_pylist()}


def expected(old: dict[Any, Any], new: dict[Any, Any]) -> dict[str, int]:
    counts = {
        "added": len(new.keys() - old.keys()),
        "modified": sum(old[key] != new[key] for key in old.keys() & new.keys()),
        "removed": len(old.keys() - new.keys()),
    }
    return {name: count for name, count in counts.items() if count}


def row_diff(world: World, source: Point, target: Point) -> list[tuple[Any, ...]]:
    rows = diff_rows(Diff(world.engine, source=source, target=target).table("t")).read_all().to_pylist()
    return [tuple(row.values()) for row in rows]


def expected_rows(old: dict[Any, Any], new: dict[Any, Any]) -> list[tuple[Any, ...]]:
    """(diff_type, id, from_v, to_v, from_s, to_s, changed) of the rows that differ, by id."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        one, two = old.get(key, (None, None)), new.get(key, (None, None))
        kind = "modified" if key in old and key in new else "added" if key in new else "removed"
        changed = [name for name, x, y in zip("vs", one, two, strict=True) if x != y]
        if kind != "modified" or changed:
            names = changed if kind == "modified" else None
            found.append((kind, key, one[0], two[0], one[1], two[1], names))
    return found


def test_a_branch_differs_by_what_it_changed(world: World) -> None:
    world.create()
    world.put({i: (i, "x") for i in range(500)})
    create_branch(world.engine, "staging", world.point())
    assert summary(world, "main", "staging") == {}
    world.put({3: (-3, "x"), 1000: (1, None)}, "staging")
    world.remove([4, 5], "staging")
    assert summary(world, "main", "staging") == {"added": 1, "modified": 1, "removed": 2}
    assert summary(world, "staging", "main") == {"added": 2, "modified": 1, "removed": 1}


def test_a_row_written_with_the_same_values_is_no_difference(world: World) -> None:
    world.create()
    world.put({1: (1, "a"), 2: (None, None)})
    before = world.point()
    world.put({1: (7, "a")})
    world.put({1: (1, "a"), 2: (None, None)})
    assert summary(world, before, "main") == {}


def test_both_sides_of_a_fork_count(world: World) -> None:
    world.create()
    world.put({i: (i, "x") for i in range(10)})
    create_branch(world.engine, "staging", world.point())
    world.put({1: (100, "x"), 2: (200, "x")})
    world.put({2: (200, "x"), 3: (300, "x")}, "staging")
    assert summary(world, "main", "staging") == {"modified": 2}


@pytest.mark.parametrize("seed", range(6))
def test_random_histories_agree_with_a_full_comparison(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    print(f"seed {seed}")
    if seed % 2:  # candidates in ranges and slices
        monkeypatch.setattr(table_diff, "SLICE_ROWS", 40)
        monkeypatch.setattr(compaction, "SLICE_ROWS", 40)
    chance = random.Random(seed)
    world = World()
    world.create()
    world.put({i: (i, "x") for i in range(300)})
    names = ["main"]
    states = []
    for step in range(40):
        name = chance.choice(names)
        rows = {
            chance.randrange(400): (chance.randrange(5), chance.choice("abc"))
            for _ in range(chance.choice([1, 9, 150]))
        }
        world.put(rows, name)
        world.remove([chance.randrange(400) for _ in range(3)], name)
        states.append((world.point(name), world.rows(name)))
        match chance.randrange(9):
            case 0 if len(names) < 4:
                names.append(f"b{step}")
                create_branch(world.engine, names[-1], chance.choice(states)[0])
            case 1:
                restore(world.engine, chance.choice([p for p, _ in states if p.database.name == name]))
            case 2:
                checkpoint(world.engine)
            case 3:
                info = world.info(name)
                schema = world.engine.history.catalog_at(world.engine.head(info.id)[1]).table("t")
                compact_table(world.engine, info.id, schema)
            case 4:
                maintain(world.engine)
            case 5:
                world.reopen()
    for _ in range(60):
        (source, old), (target, new) = chance.choice(states), chance.choice(states)
        assert world.rows(source) == old
        assert summary(world, source, target) == expected(old, new)
        assert row_diff(world, source, target) == expected_rows(old, new)
    world.engine.close()


def test_candidates_come_in_ranges_and_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(page_rows=64)
    world.create()
    world.put({i: (i, "x" * 100) for i in range(2000)})
    create_branch(world.engine, "staging", world.point())
    world.put({i: (-i, "x") for i in range(1, 1500)}, "staging")
    world.put({i: (-i, "y") for i in range(1000, 1900)})
    lengths = []
    for rows, size in ((10**6, 10**9), (300, 10**9), (10**6, 5000)):
        monkeypatch.setattr(table_diff, "SLICE_ROWS", rows)
        monkeypatch.setattr(candidates, "SLICE_BYTES", size)
        diff = Diff(world.engine, source=world.point("main"), target=world.point("staging")).table("t")
        lengths.append([len(part.keys) for part in diff.slices()])
        assert diff.counts() == (0, 1899, 0)
    assert lengths[0] == [1899]
    assert max(lengths[1]) <= 300
    assert max(lengths[2]) <= 5000 // 100


def test_schema_changes_show_and_do_not_make_rows_differ(world: World) -> None:
    world.create()
    world.put({i: (i, "x") for i in range(20)})
    before = world.point()
    with world.engine.begin(world.info("main").id) as tx:
        ddl.add_column(tx, tx.catalog.table("t"), ColumnDefinition(name="w", type=pa.int32(), default=5))
        ddl.rename_column(tx, tx.catalog.table("t"), "v", "value")
        ddl.drop_column(tx, tx.catalog.table("t"), "s")
    assert summary(world, before, "main") == {"schema": 3}
    changes = Diff(world.engine, source=before, target=world.point()).schema()
    assert {(c.item, c.change) for c in changes} == {("w", "added"), ("value", "renamed"), ("s", "removed")}
    with world.engine.begin(world.info("main").id) as tx:
        writes.update(tx, tx.catalog.table("t"), pa.table({"id": [1, 2], "w": pa.array([5, 6], pa.int32())}))
    # The new column reads as its initial default on the older side: only the 6 is a change.
    assert summary(world, before, "main") == {"schema": 3, "modified": 1}


def test_tables_made_dropped_and_renamed(world: World) -> None:
    world.create()
    world.put({1: (1, "x")})
    before = world.point()
    world.create(table="u")
    world.put({1: (1, "x"), 2: (2, "x")}, table="u")
    with world.engine.begin(world.info("main").id) as tx:
        ddl.rename_table(tx, tx.catalog.table("t"), "t2")
    assert summary(world, before, "main") == {"schema": 1, "table added": 2}
    assert summary(world, "main", before) == {"schema": 1, "table removed": 2}


def test_unrelated_databases_are_compared_by_name_and_key(world: World) -> None:
    world.create()
    world.put({1: (1, "x"), 2: (2, "x"), 3: (3, "x")})
    create_database(world.engine, "other")
    world.create("other")
    world.put({2: (2, "x"), 3: (33, "x"), 4: (4, "x")}, "other")
    assert summary(world, "main", "other") == {"added": 1, "modified": 1, "removed": 1}


def test_a_table_that_is_not_on_both_sides_has_no_row_diff(world: World) -> None:
    world.create()
    point = world.point()
    with pytest.raises(NotFoundError, match="nope"):
        Diff(world.engine, source=point, target=point).table("nope")
    assert SCHEMA.names[0] == "id"
