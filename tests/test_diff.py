"""Diffs as users hold them: the rows that differ, checked against a comparison of both sides row by row."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import absdb
from absdb.testing.orders import changed, orders

ROWS = [{"id": n, "s": f"s{n}", "n": n * 10} for n in range(1, 6)]


@pytest.fixture
def main() -> Iterator[absdb.Database]:
    with absdb.connect(":memory:", page_rows=64, bulk_threshold="16 KiB") as shop:
        yield shop["main"]


def by_hand(source: absdb.Table, target: absdb.Table, key: list[str]) -> list[dict[str, Any]]:
    """The diff of two tables with the same columns, the slow way."""

    def rows(table: absdb.Table) -> dict[tuple[Any, ...], dict[str, Any]]:
        return {tuple(row[name] for name in key): row for row in table.to_arrow().to_pylist()}

    before, after = rows(source), rows(target)
    names = [name for name in target.schema.names if name not in key]
    found = []
    for each in sorted({*before, *after}):
        old, new = before.get(each), after.get(each)
        if old == new:
            continue
        kind = "added" if old is None else "removed" if new is None else "modified"
        row = {"diff_type": kind, **dict(zip(key, each, strict=True))}
        for name in names:
            row[f"from_{name}"] = None if old is None else old[name]
            row[f"to_{name}"] = None if new is None else new[name]
        row["changed"] = [n for n in names if old[n] != new[n]] if kind == "modified" else None
        found.append(row)
    return found


def test_rows_that_differ(main):
    main.create_table("t", ROWS, key="id")
    staging = main.branch("staging")
    staging["t"].update([{"id": 1, "s": "x"}, {"id": 2, "s": "y", "n": 0}, {"id": 3, "n": 30}])
    staging["t"].delete(4)
    staging["t"].insert({"id": 9, "s": None, "n": 90})
    main["t"].update({"id": 5, "n": 51})
    diff = staging.diff(main)["t"]
    assert diff.to_arrow().to_pylist() == by_hand(main["t"], staging["t"], ["id"])
    assert diff.to_arrow().to_pylist()[:2] == [
        {"diff_type": "modified", "id": 1, "from_s": "s1", "to_s": "x", "from_n": 10, "to_n": 10, "changed": ["s"]},
        {"diff_type": "modified", "id": 2, "from_s": "s2", "to_s": "y", "from_n": 20, "to_n": 0, "changed": ["s", "n"]},
    ]  # fmt: skip
    assert diff.counts() == (1, 3, 1)
    assert diff.counts().modified == 3
    assert len(diff) == 5
    frame = diff.to_pandas()
    assert list(frame.columns) == ["diff_type", "id", "from_s", "to_s", "from_n", "to_n", "changed"]
    assert list(frame["diff_type"]) == ["modified", "modified", "removed", "modified", "added"]
    assert str(frame["from_n"].dtype) == "Int64"
    assert list(diff.head(2)["id"]) == [1, 2]
    assert pa.table(diff).equals(diff.to_arrow())
    assert repr(diff) == "<TableDiff t, 1 added, 3 modified, 1 removed>"
    assert "1 added" in diff._repr_html_()
    assert not main.diff(main)["t"]
    assert len(main.diff(main)["t"].to_pandas()) == 0
    assert list(main.diff(staging)["t"].to_pandas()["diff_type"]).count("removed") == 1


def test_large_diffs_of_many_shapes(main):
    rows = orders(3_000)
    main.create_table("orders", rows, key="id")
    main.snapshot("start")
    for seed in range(4):
        branch = main.branch(f"b{seed}")
        dice = random.Random(seed)
        branch["orders"].upsert(changed(rows, 100 + 400 * seed, seed=seed))
        branch["orders"].delete(dice.sample(range(1, 3_001), 50))
        branch["orders"].insert(orders(70, first_id=3_001 + seed * 1_000))
        main["orders"].upsert(changed(rows, 150, seed=seed + 10))
        for source, target in ((main, branch), (branch, main), (main.at(snapshot="start"), branch)):
            expected = by_hand(source["orders"], target["orders"], ["id"])
            diff = target.diff(source)["orders"]
            assert diff.to_arrow().to_pylist() == expected
            assert len(diff) == len(expected)


@pytest.mark.parametrize("key", [["a"], ["a", "b"], ["b", "a"]], ids="-".join)
def test_keys_of_text_and_of_several_columns(main, key):
    rows = [{"a": f"ä{n % 7 if len(key) > 1 else n}", "b": n, "v": n} for n in range(200)]
    main.create_table("t", rows, key=key)
    branch = main.branch("b")
    branch["t"].upsert([{**row, "v": -1} for row in rows[::9]])
    branch["t"].delete([{name: row[name] for name in key} for row in rows[1::13]])
    branch["t"].insert({"a": "new", "b": 1_000, "v": None})
    found = branch.diff(main)["t"].to_arrow().to_pylist()
    order = lambda row: tuple(row[name] for name in key)  # noqa: E731  # as long as a key function should be
    assert sorted(found, key=order) == by_hand(main["t"], branch["t"], key)
    assert sorted(found, key=order) == sorted(found, key=order)


def test_columns_that_one_side_has_not(main):
    main.create_table("t", ROWS, key="id")
    branch = main.branch("b")
    branch["t"].add_column("channel", "string", default="web")
    branch["t"].drop_column("s")
    branch["t"].rename_column("n", "number")
    branch["t"].update({"id": 1, "channel": "shop"})
    main["t"].update({"id": 2, "s": "changed where it was dropped"})
    diff = branch.diff(main)
    assert sorted(diff.schema()["change"]) == ["added", "removed", "renamed"]
    (row,) = diff["t"].to_arrow().to_pylist()
    assert row == {
        "diff_type": "modified",
        "id": 1,
        "from_number": 10,
        "to_number": 10,
        "from_channel": "web",
        "to_channel": "shop",
        "changed": ["channel"],
    }
    (row,) = main.diff(branch)["t"].to_arrow().to_pylist()
    assert (row["from_n"], row["from_channel"], row["to_channel"]) == (10, "shop", "web")


def test_a_widened_column_is_compared_in_the_wider_type(main):
    main.create_table("t", {"id": "int64", "n": "int32"}, key="id").insert(
        [{"id": n, "n": n} for n in range(5)]
    )
    branch = main.branch("b")
    branch["t"].retype_column("n", "int64")
    branch["t"].update({"id": 3, "n": 2**40})
    for diff in (branch.diff(main)["t"], main.diff(branch)["t"]):
        assert diff.to_arrow().schema.field("from_n").type == pa.int64()
        assert diff.to_arrow()["id"].to_pylist() == [3]


def test_a_retyped_column_is_the_same_column(main):
    main.create_table("t", {"id": "int64", "zip": "string", "n": "int64"}, key="id").insert(
        [{"id": n, "zip": str(1000 + n), "n": n} for n in range(6)] + [{"id": 9, "zip": None, "n": None}]
    )
    branch = main.branch("b")
    branch["t"].retype_column("zip", "int32")
    branch["t"].retype_column("n", "int16")
    assert branch.diff(main)["t"].counts() == (0, 0, 0)
    branch["t"].update({"id": 2, "zip": 7})
    branch["t"].update({"id": 3, "zip": None})
    main["t"].update({"id": 4, "zip": "no number"})
    main["t"].update({"id": 5, "n": 2**40})
    main["t"].insert({"id": 7, "zip": "x"})
    found = branch.diff(main)["t"].to_arrow()
    assert [str(found.schema.field(f"{side}_{name}").type) for name in ("zip", "n") for side in ("from", "to")] == [
        "string", "int32", "int64", "int64"
    ]  # fmt: skip
    assert found.select(
        ["diff_type", "id", "from_zip", "to_zip", "from_n", "to_n", "changed"]
    ).to_pylist() == [
        dict(zip(("diff_type", "id", "from_zip", "to_zip", "from_n", "to_n", "changed"), row, strict=True))
        for row in [
            ("modified", 2, "1002", 7, 2, 2, ["zip"]),
            ("modified", 3, "1003", None, 3, 3, ["zip"]),
            ("modified", 4, "no number", 1004, 4, 4, ["zip"]),
            ("modified", 5, "1005", 1005, 2**40, 5, ["n"]),
            ("removed", 7, "x", None, None, None, None),
        ]
    ]
    back = main.diff(branch)["t"]
    assert back.counts() == (1, 4, 0)
    assert back.to_arrow()["to_zip"].to_pylist() == ["1002", "1003", "no number", "1005", "x"]


def test_a_column_retyped_more_than_once_or_dropped_after(main):
    main.create_table("t", {"id": "int64", "n": "float64"}, key="id").insert(
        [{"id": n, "n": n + 0.0} for n in range(5)]
    )
    twice, other, gone = (main.branch(name) for name in ("twice", "other", "gone"))
    twice["t"].retype_column("n", "int64")
    twice["t"].retype_column("n", "string")
    twice["t"].rename_column("n", "text")
    other["t"].retype_column("n", "int64")
    gone["t"].retype_column("n", "string", using="'n' || n::INTEGER")
    assert twice.diff(main)["t"].counts() == other.diff(twice)["t"].counts() == (0, 0, 0)
    assert twice.diff(other)["t"].to_arrow().schema.names[2:4] == ["from_text", "to_text"]
    assert gone.diff(main)["t"].counts() == main.diff(gone)["t"].counts() == (0, 5, 0)
    gone["t"].drop_column("n")
    for diff in (gone.diff(twice), twice.diff(gone)):
        assert diff["t"].counts() == (0, 0, 0)
        assert diff["t"].to_arrow().schema.names == ["diff_type", "id", "changed"]


@pytest.mark.parametrize(
    ("old", "new", "values"),
    [
        ("string", "float64", ["1.5", "x", "", "1e400", "-.5", None] * 300),
        ("float64", "int64", [1.0, 1.5, 2.0**70, float("nan"), float("inf"), None] * 300),
        ("int64", "float64", [2**53, 2**53 + 1, -1, None]),
        ("string", "date", ["2024-02-29", "2023-02-29", "x", None]),
        ("uint64", "int64", [2**63, 2**63 - 1, 0, None]),
    ],
)
def test_values_that_do_not_cast_are_changes(main, old, new, values):
    fits = {"1.5", "-.5", 1.0, 2.0, 2**53, -1, "2024-02-29", 2**63 - 1, 0}
    main.create_table("t", {"id": "int64", "n": old}, key="id")
    main["t"].insert({"id": list(range(len(values))), "n": [v if v in fits else None for v in values]})
    branch = main.branch("b")
    branch["t"].retype_column("n", new)
    assert branch.diff(main)["t"].counts() == (0, 0, 0)
    main["t"].upsert({"id": list(range(len(values))), "n": values})
    found = branch.diff(main)["t"].to_arrow()
    assert found["id"].to_pylist() == [n for n, v in enumerate(values) if v is not None and v not in fits]


def test_types_come_out_as_declared(main):
    types = {
        "id": "int64",
        "u": "uuid",
        "d": "dictionary[string]",
        "at": "timestamp[us, UTC]",
        "l": "list[int64]",
    }
    main.create_table("t", types, key="id").insert({"id": 1, "d": "x", "l": [1]})
    branch = main.branch("b")
    branch["t"].update({"id": 1, "d": "y", "l": [1, 2]})
    found = branch.diff(main)["t"].to_arrow()
    assert [str(found.schema.field(f"to_{name}").type) for name in ("u", "d", "at", "l")] == [
        str(main["t"].schema.field(name).type) for name in ("u", "d", "at", "l")
    ]
    assert found["changed"].to_pylist() == [["d", "l"]]
    assert found["to_l"].to_pylist() == [[1, 2]]


def test_tables_that_are_on_one_side_only_or_others_of_the_name(main):
    main.create_table("t", ROWS, key="id")
    branch = main.branch("b")
    branch.create_table("new", ROWS, key="id")
    diff = branch.diff(main)
    assert list(diff) == diff._ipython_key_completions_() == ["t"]
    with pytest.raises(absdb.NotFoundError, match="no table 'new' on both sides"):
        diff["new"]
    main.create_table("new", ROWS[1:], key="id")
    found = branch.diff(main)["new"].to_arrow().to_pylist()
    assert [(row["diff_type"], row["id"]) for row in found] == [("added", 1)]


def test_a_table_without_a_key_or_without_other_columns(main):
    main.create_table("events", [{"what": "a"}, {"what": "b"}])
    main.create_table("ids", [{"id": 1}, {"id": 2}], key="id")
    branch = main.branch("b")
    branch["events"].insert({"what": "c"})
    branch["ids"].delete(1)
    branch["ids"].insert({"id": 3})
    diff = branch.diff(main)
    assert diff["events"].to_arrow().to_pylist() == [
        {"diff_type": "added", "from_what": None, "to_what": "c", "changed": None}
    ]
    assert diff["ids"].to_arrow().to_pylist() == [
        {"diff_type": "removed", "id": 1, "changed": None},
        {"diff_type": "added", "id": 3, "changed": None},
    ]


def test_a_diff_outlives_what_happens_after_it(main):
    main.create_table("t", ROWS, key="id")
    branch = main.branch("b")
    branch["t"].delete([1, 2])
    diff = branch.diff(main)
    branch["t"].truncate()
    main.drop_table("t")
    branch.drop()
    assert list(diff.summary()["row_count"]) == [2]
    assert list(diff["t"].to_pandas()["id"]) == [1, 2]


def test_only_databases_of_one_instance_are_compared(main):
    main.create_table("t", ROWS, key="id")
    with absdb.connect(":memory:") as elsewhere:
        for wrong in (elsewhere["main"], "main", main["t"], None):
            with pytest.raises(absdb.InvalidInputError, match="is not a database of this instance"):
                main.diff(wrong)


def test_applying_a_diff_makes_the_sides_equal(main):
    rows = orders(2_000)
    main.create_table("orders", rows, key="id")
    branch = main.branch("b")
    branch["orders"].upsert(changed(rows, 500, seed=1))
    branch["orders"].delete(list(range(100, 200)))
    branch["orders"].insert(orders(30, first_id=5_000))
    frame = branch.diff(main)["orders"].to_pandas()
    with main.transaction() as tx:
        tx["orders"].delete(frame[frame["diff_type"] == "removed"][["id"]])
        kept = frame[frame["diff_type"] != "removed"]
        columns = {f"to_{name}": name for name in rows.column_names if name != "id"}
        tx["orders"].upsert(kept[["id", *columns]].rename(columns=columns))
    assert main["orders"].to_arrow().equals(branch["orders"].to_arrow())
    assert len(branch.diff(main)["orders"]) == 0
    assert isinstance(frame, pd.DataFrame)


def test_constraints_and_defaults_are_told_as_sql_writes_them(main):
    main.sql("CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER)")
    before = main.branch("before")
    main.sql(
        "ALTER TABLE t ADD CONSTRAINT small CHECK (b < 10); ALTER TABLE t ADD CONSTRAINT other UNIQUE (b)"
    )
    main.sql("ALTER TABLE t ADD CONSTRAINT parent FOREIGN KEY (b) REFERENCES t (a)")
    main.sql("ALTER TABLE t ADD COLUMN c TIMESTAMP DEFAULT now()")
    assert main.diff(before).schema()[["item", "to_value"]].values.tolist() == [
        ["c", "timestamp[us] DEFAULT CAST(now() AS TIMESTAMP)"],
        ["other", "UNIQUE (b)"],
        ["parent", "FOREIGN KEY (b) REFERENCES t (a)"],
        ["small", "CHECK (b < 10)"],
    ]
