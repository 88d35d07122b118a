"""Rows by content: distinct rows with how often each side has them, against two counters."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

import absdb

TYPES = {
    "what": "string",
    "n": "int64",
    "x": "float64",
    "l": "list[int64]",
    "u": "uuid",
    "d": "dictionary[string]",
}


@pytest.fixture
def main() -> Iterator[absdb.Database]:
    with absdb.connect(":memory:", page_rows=64, bulk_threshold="16 KiB") as shop:
        yield shop["main"]


def frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value if value == value else "NaN"


def bag(table: absdb.Table) -> Counter[Any]:
    return Counter(tuple(map(frozen, row.values())) for row in table.to_arrow().to_pylist())


def rows_of(found: Any) -> dict[Any, tuple[int, int]]:
    rows = [tuple(map(frozen, row.values())) for row in found.to_arrow().to_pylist()]
    assert all((row[-1] > row[-2]) == (row[0] == "added") for row in rows)
    assert len({row[1:-2] for row in rows}) == len(rows)
    return {row[1:-2]: row[-2:] for row in rows}


def by_hand(old: Counter[Any], new: Counter[Any]) -> dict[Any, tuple[int, int]]:
    return {row: (old[row], new[row]) for row in {*old, *new} if old[row] != new[row]}


def some_rows(dice: random.Random, count: int) -> list[dict[str, Any]]:
    return [
        {
            "what": dice.choice(["a", "b", None]),
            "n": dice.choice([1, None]),
            "x": dice.choice([0.5, float("nan")]),
            "l": dice.choice([[1, 2], [], None]),
            "d": dice.choice("pq"),
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_two_counters(main, seed):
    dice = random.Random(seed)
    main.create_table("events", TYPES).insert(some_rows(dice, 150))
    branch = main.branch("b")
    for each in (branch, main):
        each.sql("DELETE FROM events WHERE what = 'a' AND d = 'p' AND n IS NULL")
        each.sql("UPDATE events SET n = 7 WHERE what IS NULL AND x = 0.5")
        each["events"].insert(some_rows(dice, 60))
    diff = branch.diff(main)
    expected = by_hand(bag(main["events"]), bag(branch["events"]))
    found = diff.by_content("events")
    assert rows_of(found) == expected
    more = sum(max(new - old, 0) for old, new in expected.values())
    fewer = sum(max(old - new, 0) for old, new in expected.values())
    assert found.counts() == (more, 0, fewer)
    assert rows_of(main.sql("FROM absdb_diff('b', 'main', 'events', by_content => true)")) == expected
    assert rows_of(found.where(kinds="added")) == {k: v for k, v in expected.items() if v[1] > v[0]}
    assert rows_of(found.where("what = 'b'", limit=1000)) == {
        k: v for k, v in expected.items() if k[0] == "b"
    }
    assert len(rows_of(found.where(limit=2))) == 2


def test_rows_that_were_only_written_again_are_the_same_content(main):
    main.create_table("events", [{"what": "a"}, {"what": "a"}, {"what": "b"}])
    branch = main.branch("b")
    rows = branch["events"].to_arrow()
    branch["events"].replace(rows)
    assert branch.diff(main)["events"].counts() == (3, 0, 3)
    assert not branch.diff(main).by_content("events")
    branch["events"].insert({"what": "a"})
    assert branch.diff(main).by_content("events").to_arrow().to_pylist() == [
        {"diff_type": "added", "what": "a", "from_count": 2, "to_count": 3}
    ]


def test_tables_of_one_name_that_are_no_relatives(main):
    other = main.branch("other", lsn=main.lsn)
    main.create_table("events", [{"what": "a", "n": 1}, {"what": "a", "n": 2}])
    other.create_table("events", {"what": "string", "m": "int64"}).insert([{"what": "a"}, {"what": "c"}])
    found = other.diff(main).by_content("events")
    assert rows_of(found) == {("a",): (2, 1), ("c",): (0, 1)}
    with pytest.raises(absdb.NotFoundError, match="no table 'nothing'"):
        other.diff(main).by_content("nothing")


def test_columns_may_be_ignored_renamed_and_retyped(main):
    main.create_table("events", [{"what": "a", "n": 1, "z": "1"}, {"what": "a", "n": 2, "z": "2"}])
    branch = main.branch("b")
    branch["events"].rename_column("what", "kind")
    branch["events"].retype_column("z", "int64")
    branch["events"].add_column("more", "int64", default=5)
    assert not branch.diff(main).by_content("events")
    branch.sql("UPDATE events SET n = 3, z = 7 WHERE n = 1")
    diff = branch.diff(main)
    assert diff.by_content("events", ignore=["n", "z"]).counts() == (0, 0, 0)
    assert rows_of(diff.by_content("events", ignore="n")) == {("a", "1", 5): (1, 0), ("a", "7", 5): (0, 1)}
    with pytest.raises(absdb.NotFoundError, match="these are: kind, n, z, more"):
        diff.by_content("events", ignore="what")
    with pytest.raises(absdb.InvalidInputError, match="no column of events is left"):
        diff.by_content("events", ignore=["kind", "n", "z", "more"])


def test_a_table_with_a_key_has_content_too(main):
    main.create_table("t", [{"id": n, "x": n % 3} for n in range(9)], key="id")
    branch = main.branch("b")
    branch["t"].update({"id": 0, "x": 2})
    branch["t"].delete(1)
    diff = branch.diff(main)
    assert rows_of(diff.by_content("t")) == {(0, 0): (1, 0), (0, 2): (0, 1), (1, 1): (1, 0)}
    assert rows_of(diff.by_content("t", ignore="id")) == {(0,): (3, 2), (1,): (3, 2), (2,): (3, 4)}
    assert pa.table(diff.by_content("t")).num_rows == 3
    assert repr(diff.by_content("t")) == "<ContentDiff t, 1 added, 0 modified, 2 removed>"
