"""Profiles of both sides of a diff, against what plain Python says of the columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pandas as pd
import pytest

import absdb

NAN = float("nan")


@pytest.fixture
def diff() -> Iterator[absdb.diff.Diff]:
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        types = {"id": "int64", "s": "string", "x": "float64", "d": "date", "l": "list[int64]", "b": "bool"}
        main.create_table("t", types | {"m": "struct[a: int64]", "old": "decimal(9, 2)"}, key="id")
        main["t"].insert(
            [
                {
                    "id": n,
                    "s": "abc"[n % 3],
                    "x": n / 2,
                    "d": dt.date(2024, 1, 1) + dt.timedelta(n),
                    "l": [n],
                    "b": n > 5,
                }
                for n in range(101)
            ]
        )
        main.create_table("none", {"id": "int64", "x": "float64"}, key="id")
        branch = main.branch("b")
        branch["t"].drop_column("old")
        branch["t"].rename_column("x", "amount")
        branch["t"].add_column("new", "int64", default=7)
        branch.sql("UPDATE t SET s = NULL WHERE id < 50")
        branch.sql("UPDATE t SET amount = 'nan' WHERE id = 100")
        branch["t"].delete([0, 1])
        yield branch.diff(main)


def test_a_row_for_each_column_of_both_sides(diff):
    frame = diff["t"].profile()
    assert list(frame["column"]) == ["id", "s", "amount", "d", "l", "b", "m", "new", "old"]
    assert list(frame.columns) == [
        "column", "type", "from_null_rate", "to_null_rate", "from_distinct", "to_distinct", "from_min", "to_min",
        "from_max", "to_max", "from_q25", "to_q25", "from_q50", "to_q50", "from_q75", "to_q75",
    ]  # fmt: skip
    rows = frame.set_index("column")
    assert rows.loc["s", ["from_null_rate", "to_null_rate"]].tolist() == [0, pytest.approx(48 / 99)]
    assert rows.loc["s", ["from_min", "to_max", "from_q50"]].tolist() == ["a", "c", None]
    assert rows.loc["id", ["from_min", "to_min", "from_max", "to_max"]].tolist() == [0, 2, 100, 100]
    assert rows.loc["d", ["from_min", "to_min"]].tolist() == [dt.date(2024, 1, 1), dt.date(2024, 1, 3)]
    assert rows.loc["amount", "from_q50"] == pytest.approx(25, abs=1)
    assert rows.loc["amount", "to_q75"] == pytest.approx(37.5, abs=1)
    assert rows.loc["amount", "from_max"] == 50
    assert rows.loc["id", "to_q25"] == pytest.approx(26, abs=2)
    assert abs((pd.to_datetime(rows.loc["d", "to_q50"]) - pd.Timestamp("2024-02-21")).days) <= 2
    assert rows.loc["id", "from_distinct"] == pytest.approx(101, rel=0.1)
    assert rows.loc["m", ["from_null_rate", "to_null_rate"]].tolist() == [1, 1]
    assert rows.loc["m", "from_min"] is None
    assert pd.isna(rows.loc["new", "from_null_rate"])
    assert rows.loc["new", ["to_distinct", "to_min"]].tolist() == [1, 7]
    assert pd.isna(rows.loc["old", "to_null_rate"])
    assert rows.loc["old", "from_null_rate"] == 1


def test_quantiles_are_those_asked_for(diff):
    frame = diff["t"].profile(quantiles=[0.999, 1 / 2]).set_index("column")
    assert [name for name in frame.columns if "_q" in name] == [
        "from_q99.9",
        "to_q99.9",
        "from_q50",
        "to_q50",
    ]
    assert "from_q50" not in diff["t"].profile(quantiles=[])
    for wrong in ([1.5], ["x"]):
        with pytest.raises(absdb.InvalidInputError, match="is no quantile"):
            diff["t"].profile(quantiles=wrong)


def test_totals_of_groups(diff):
    frame = diff["t"].group_totals("s", of=["amount", "id"])
    assert frame.columns.tolist() == [
        "s", "from_rows", "to_rows", "from_amount", "to_amount", "from_id", "to_id",
    ]  # fmt: skip
    rows = {row["s"]: row for row in frame.astype(object).to_dict("records")}
    assert [rows[name]["from_rows"] for name in "abc"] == [34, 34, 33]
    assert rows["a"]["from_amount"] == sum(n / 2 for n in range(0, 101, 3))
    assert rows["a"]["to_rows"] == len([n for n in range(50, 101) if n % 3 == 0])
    assert rows["c"]["to_id"] == sum(n for n in range(50, 101) if n % 3 == 2)
    empty = next(row for name, row in rows.items() if name not in ("a", "b", "c"))
    assert (empty["from_rows"], empty["to_rows"]) == (0, 48)
    assert diff["t"].group_totals(["b", "s"])["from_rows"].sum() == 101
    with pytest.raises(absdb.NotFoundError, match="'new' is not a column of both sides"):
        diff["t"].group_totals("new")
    with pytest.raises(absdb.InvalidInputError, match="no column is named"):
        diff["t"].group_totals([])


def test_a_table_without_rows_has_a_profile(diff):
    frame = diff["none"].profile()
    assert frame["from_null_rate"].isna().all()
    assert frame["to_distinct"].tolist() == [0, 0]
    assert frame["to_q50"].tolist() == [None, None]
