"""Options of row diffs: which rows are shown and what counts as a difference, against a comparison by hand."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

import absdb
from absdb.versioning import table_diff


@pytest.fixture
def main() -> Iterator[absdb.Database]:
    with absdb.connect(":memory:", page_rows=64, bulk_threshold="16 KiB") as shop:
        yield shop["main"]


@pytest.fixture
def diff(main) -> absdb.diff.Diff:
    """Rows 1 to 8 of one table: some modified, one added, one removed."""
    rows = [{"id": n, "s": f"s{n}", "x": n / 4, "n": n} for n in range(1, 8)]
    main.create_table("t", rows, key="id")
    branch = main.branch("b")
    branch["t"].update(
        [{"id": 1, "s": "new"}, {"id": 2, "x": 0.5 + 1e-9}, {"id": 3, "s": "y", "x": 9.0, "n": 0}]
    )
    branch["t"].update({"id": 4, "x": None})
    branch["t"].delete(5)
    branch["t"].insert({"id": 8, "s": "added", "x": 2.0, "n": 8})
    return branch.diff(main)


def ids(rows: Any) -> list[int]:
    return rows.to_arrow()["id"].to_pylist()


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, [1, 2, 3, 4, 5, 8]),
        ({"kinds": "added"}, [8]),
        ({"kinds": ["modified", "removed"]}, [1, 2, 3, 4, 5]),
        ({"kinds": []}, []),
        ({"columns": "s"}, [1, 3]),
        ({"columns": ["s", "x"]}, [1, 2, 3, 4]),
        ({"columns": ["n"], "kinds": "removed"}, []),
        ({"ignore": ["x"]}, [1, 3, 5, 8]),
        ({"ignore": ["x", "s"]}, [3, 5, 8]),
        ({"tolerance": 1e-6}, [1, 3, 4, 5, 8]),
        ({"tolerance": 1e-10}, [1, 2, 3, 4, 5, 8]),
        ({"relative_tolerance": 1e-8}, [1, 3, 4, 5, 8]),
        ({"tolerance": 100, "columns": "x"}, [4]),
        ({"predicate": "to_x > 1"}, [3, 8]),
        ({"predicate": "TO_X > from_x AND diff_type = 'modified'"}, [2, 3]),
        ({"predicate": "list_contains(changed, 'n') OR id = 5"}, [3, 5]),
        ({"predicate": "NULL::BOOLEAN"}, []),
        ({"predicate": "to_x > 1", "limit": 1}, [3]),
        ({"limit": 0}, []),
        ({"limit": 2, "kinds": ["added", "removed"]}, [5, 8]),
    ],
    ids=str,
)
def test_rows_that_are_wanted(diff, options, found):
    chosen = diff["t"].where(**options)
    assert ids(chosen) == found
    assert len(chosen) == len(found)
    assert bool(chosen) == bool(found)
    rows = chosen.to_arrow().to_pylist()
    assert chosen.cells() == sum(len(row["changed"] or ()) for row in rows)
    assert list(chosen.counts()) == [
        sum(row["diff_type"] == kind for row in rows) for kind in ("added", "modified", "removed")
    ]


def test_a_tolerance_decides_what_is_called_changed(diff):
    rows = diff["t"].where(tolerance=10, kinds="modified").to_arrow().to_pylist()
    assert [(row["id"], row["changed"]) for row in rows] == [(1, ["s"]), (3, ["s", "n"]), (4, ["x"])]
    assert rows[1]["to_x"] == 9.0


def test_ignored_columns_are_not_shown(diff):
    names = diff["t"].where(ignore=["x"]).to_arrow().schema.names
    assert names == ["diff_type", "id", "from_s", "to_s", "from_n", "to_n", "changed"]


def test_of_an_option_given_again_the_last_word_counts(diff):
    chosen = diff["t"].where(kinds="added", ignore="x")
    assert ids(chosen.where(kinds="modified")) == [1, 3]
    assert ids(diff["t"]) == [1, 2, 3, 4, 5, 8]
    assert repr(chosen) == "<TableDiff t, 1 added, 0 modified, 0 removed>"


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"kinds": "changed"}, absdb.InvalidInputError, "no kind of difference"),
        ({"columns": "y"}, absdb.NotFoundError, "'y' is not a column that is compared in t"),
        ({"ignore": ["id"]}, absdb.NotFoundError, "these are: s, x, n"),
        ({"tolerance": -1}, absdb.InvalidInputError, "no tolerance"),
        ({"tolerance": math.nan}, absdb.InvalidInputError, "no tolerance"),
        ({"relative_tolerance": "1"}, absdb.InvalidInputError, "no tolerance"),
        ({"limit": -1}, absdb.InvalidInputError, "no number of rows"),
        ({"predicate": 1}, absdb.InvalidInputError, "no condition"),
        ({"predicate": "to_y > 1"}, absdb.InvalidInputError, "'to_y', which is not a column of the diff"),
        ({"predicate": "to_x +"}, absdb.QueryError, "not an SQL expression"),
        ({"predicate": "to_x + 1"}, absdb.QueryError, "is no condition"),
    ],
    ids=str,
)
def test_what_cannot_be_wanted_is_refused(diff, options, error, said):
    with pytest.raises(error) as caught:
        diff["t"].where(**options).to_arrow()
    assert said in str(caught.value)


SPECIAL = [
    0.0,
    -0.0,
    1.0,
    1.0 + 1e-9,
    -1.0,
    1e300,
    1.0000001e300,
    5e-324,
    math.inf,
    -math.inf,
    math.nan,
    None,
]


@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
@pytest.mark.parametrize("limits", [(0.0, 1e-6), (1e-6, 0.0), (2.5, 0.0), (1e-12, 0.1)], ids=str)
def test_floats_are_near_as_in_plain_python(main, monkeypatch, kind, limits):
    monkeypatch.setattr(table_diff, "SLICE_ROWS", 100)
    dice = random.Random(str(limits) + kind)
    values = [v for v in SPECIAL if kind != "float16" or v is None or abs(v) < 2 or v != v]
    pairs = [(a, b) for a in values for b in values]
    pairs += [(a, a + dice.choice([1e-7, 0.05, 1, 3])) for a in (dice.uniform(-9, 9) for _ in range(300))]
    array = [pa.array([pair[side] for pair in pairs], pa.float64()).cast(kind, safe=False) for side in (0, 1)]
    key = list(range(len(pairs)))
    main.create_table("t", pa.table({"id": key, "x": array[0]}), key="id")
    branch = main.branch("b")
    branch["t"].upsert(pa.table({"id": key, "x": array[1]}))
    exact, relative = limits

    def near(a: float | None, b: float | None) -> bool:
        if a is None or b is None:
            return a is b
        return math.isclose(a, b, rel_tol=relative, abs_tol=exact) or (a != a and b != b)

    expected = [
        n for n, a, b in zip(key, *(side.to_pylist() for side in array), strict=True) if not near(a, b)
    ]
    chosen = branch.diff(main)["t"].where(tolerance=exact, relative_tolerance=relative)
    assert ids(chosen) == expected
    assert chosen.counts() == (0, len(expected), 0)
    assert chosen.cells() == len(expected)


def test_a_tolerance_holds_between_a_float_and_what_it_was_retyped_to(main):
    main.create_table("t", {"id": "int64", "x": "int64"}, key="id").insert(
        [{"id": n, "x": n} for n in range(4)]
    )
    branch = main.branch("b")
    branch["t"].retype_column("x", "float64")
    branch["t"].update([{"id": 1, "x": 1.001}, {"id": 2, "x": 2.5}])
    assert ids(branch.diff(main)["t"]) == [1, 2]
    assert ids(branch.diff(main)["t"].where(tolerance=0.01)) == [2]


def test_options_are_applied_in_slices(main, monkeypatch):
    monkeypatch.setattr(table_diff, "SLICE_ROWS", 50)
    main.create_table("t", [{"id": n, "x": n, "y": 0} for n in range(1_000)], key="id")
    branch = main.branch("b")
    branch["t"].upsert([{"id": n, "x": -n, "y": n % 2} for n in range(1_000)])
    chosen = branch.diff(main)["t"].where("id % 10 = 7", columns="y")
    assert ids(chosen) == list(range(7, 1_000, 10))
    assert ids(chosen.where(limit=12)) == list(range(7, 120, 10))
    assert max(batch.num_rows for batch in chosen.to_batches()) <= 50


def test_a_new_column_alone_is_no_change(main):
    main.create_table("t", [{"id": n, "x": n} for n in range(5)], key="id")
    branch = main.branch("b")
    branch["t"].add_column("y", "int64", default=3)
    branch["t"].add_column("z", "string")
    assert not branch.diff(main)["t"]
    branch["t"].update({"id": 2, "y": 4})
    assert branch.diff(main)["t"].where(columns="y").to_arrow()["from_y"].to_pylist() == [3]
    summary = branch.diff(main).summary()
    assert summary[["operation", "row_count"]].values.tolist() == [["schema", 2], ["modified", 1]]
    assert summary["cell_count"].fillna(-1).tolist() == [-1, 1]


def test_renamed_columns_and_tables_are_the_same_thing(main):
    main.create_table("t", [{"id": n, "x": n, "y": n} for n in range(5)], key="id")
    branch = main.branch("b")
    branch["t"].rename_column("x", "amount")
    branch["t"].rename_column("id", "number")
    branch.rename_table("t", "things")
    branch["things"].update({"number": 3, "amount": 30})
    (row,) = branch.diff(main)["things"].where(columns="amount").to_arrow().to_pylist()
    assert (row["number"], row["from_amount"], row["to_amount"], row["changed"]) == (3, 3, 30, ["amount"])
    (row,) = main.diff(branch)["t"].where("to_x < from_x", columns="x").to_arrow().to_pylist()
    assert (row["id"], row["from_x"], row["to_x"]) == (3, 30, 3)
    assert list(branch.diff(main).summary()["operation"]) == ["schema", "modified"]


def test_cells_in_the_summary_agree_with_the_rows(main):
    main.create_table("t", [{"id": n, "a": n, "b": n, "c": n} for n in range(200)], key="id")
    main.create_table("u", [{"id": 1}], key="id")
    branch = main.branch("b")
    branch["t"].update([{"id": n, "a": 0, "b": n if n % 3 else -1} for n in range(150)])
    branch["u"].insert({"id": 2})
    diff = branch.diff(main)
    rows = diff["t"].to_arrow()
    cells = sum(map(len, rows["changed"].to_pylist()))
    summary = diff.summary()
    assert list(summary.columns) == ["table_name", "operation", "row_count", "cell_count"]
    assert summary.fillna(-1).values.tolist() == [["t", "modified", 150, cells], ["u", "added", 1, -1]]
    assert diff["t"].cells() == cells == 149 + 50
