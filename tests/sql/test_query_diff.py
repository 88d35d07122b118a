"""Two queries compared: by key against a comparison by hand, by content, and the same through SQL."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import absdb

GROUPS = "SELECT status, n, count(*) AS count, sum(total) AS total FROM orders GROUP BY ALL"


@pytest.fixture(scope="module")
def shop() -> Iterator[absdb.Instance]:
    """A branch that differs; nothing in this module writes to `orders`."""
    with absdb.connect(":memory:") as shop:
        main, dice = shop["main"], random.Random(7)
        rows = [
            {"id": n, "status": dice.choice("abc"), "total": n / 4, "n": n % 5 or None} for n in range(200)
        ]
        main.create_table("orders", rows, key="id")
        main.snapshot("start")
        staging = main.branch("staging")
        staging.sql("UPDATE orders SET total = total + 1, n = NULL WHERE id % 7 = 0")
        staging.sql("DELETE FROM orders WHERE id % 31 = 1")
        staging.sql("INSERT INTO orders VALUES (500, 'new', 1, 1)")
        yield shop


@pytest.fixture
def main(shop: absdb.Instance) -> absdb.Database:
    return shop["main"]


@pytest.fixture
def staging(shop: absdb.Instance) -> absdb.Database:
    return shop["staging"]


def by_hand(old: Any, new: Any, key: list[str], names: list[str]) -> list[dict[str, Any]]:
    """The rows that differ, in any order."""
    sides = [
        {tuple(row[name] for name in key): row for row in found.to_arrow().to_pylist()}
        for found in (old, new)
    ]
    rows = []
    for each in {**sides[0], **sides[1]}:
        before, after = (side.get(each) for side in sides)
        kind = "added" if before is None else "removed" if after is None else "modified"
        changed = [name for name in names if before and after and before[name] != after[name]]
        if kind == "modified" and not changed:
            continue
        row = {"diff_type": kind, **dict(zip(key, each, strict=True))}
        for name in names:
            row[f"from_{name}"] = before and before[name]
            row[f"to_{name}"] = after and after[name]
        rows.append({**row, "changed": changed if kind == "modified" else None})
    return rows


def unordered(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(map(repr, rows))


@pytest.mark.parametrize(
    ("query", "key", "names"),
    [
        ("SELECT * FROM orders", ["id"], ["status", "total", "n"]),
        ("SELECT id, total > 20 AS big FROM orders ORDER BY total", ["id"], ["big"]),
        (GROUPS, ["status", "n"], ["count", "total"]),
        ("SELECT id FROM orders", ["id"], []),
    ],
)
def test_rows_by_key_are_those_of_a_comparison_by_hand(main, staging, query, key, names):
    found = staging.query_diff(query, main, key=key)
    expected = by_hand(main.sql(query), staging.sql(query), key, names)
    assert expected
    rows = found.to_arrow().to_pylist()
    assert unordered(rows) == unordered(expected)
    assert len(found) == len(expected)
    assert found.cells() == sum(len(row["changed"] or ()) for row in expected)
    listed = main.sql("FROM absdb_query_diff('staging', 'main', $q, $k)", {"q": query, "k": key})
    assert listed.to_arrow().to_pylist() == rows
    assert not staging.query_diff(query, staging, key=key)


def test_a_table_as_a_query_differs_as_the_table_does(main, staging):
    rows = staging.query_diff("FROM orders", main, key="id").to_arrow()
    assert rows.to_pylist() == staging.diff(main)["orders"].to_arrow().to_pylist()


def test_without_a_key_rows_are_counted(main, staging):
    query = "SELECT status, n FROM orders"
    found = staging.query_diff(query, main)
    old, new = (Counter(side.sql(query).fetchall()) for side in (main, staging))
    rows = {tuple(row.values())[1:3]: tuple(row.values())[3:] for row in found.to_arrow().to_pylist()}
    assert rows == {row: (old[row], new[row]) for row in {*old, *new} if old[row] != new[row]}
    assert found.counts() == (sum((new - old).values()), 0, sum((old - new).values()))
    assert (
        main.sql("FROM absdb_query_diff('staging', 'main', $q)", {"q": query}).to_arrow() == found.to_arrow()
    )


def test_points_of_the_past_and_queries_that_differ(main, staging):
    assert not main.query_diff("FROM orders", main.at(snapshot="start"), key="id")
    found = staging.query_diff(
        "SELECT id, total FROM orders WHERE id < ?",
        "SELECT id, total::INTEGER AS total, status FROM orders WHERE id < ?",
        key="id",
        parameters=[10],
    )
    assert found.to_arrow()["id"].to_pylist() == [2, 3, 5, 6, 7, 9]
    assert found.to_arrow().schema.names == ["diff_type", "id", "from_total", "to_total", "changed"]
    text = """
        SELECT diff_type, count(*) FROM absdb_query_diff('main', 'staging', 'FROM orders WHERE id < 40',
            key => 'id', from_query => 'FROM main.orders WHERE id < 50', to_snapshot => 'start') q GROUP BY 1"""
    assert main.sql(text).fetchall() == [("removed", 10)]


def test_options_are_those_of_every_diff(main, staging):
    found = staging.query_diff("SELECT id, total, status FROM orders", main, key="id")
    assert found.where(tolerance=1, kinds="modified").counts() == (0, 0, 0)
    assert found.where(ignore="total").counts() == (1, 0, 7)
    assert found.where("to_total > 40", columns="total", limit=2).to_arrow()["id"].to_pylist() == [161, 168]
    with pytest.raises(absdb.NotFoundError, match="compared in query"):
        found.where(ignore="n")


def test_a_diff_sees_the_states_at_which_it_was_made(main):
    branch = main.branch("moving")
    found = branch.query_diff("FROM orders", main, key="id")
    branch.sql("DELETE FROM orders")
    branch.drop()
    assert not found


@pytest.mark.parametrize(
    ("query", "other", "key", "error", "said"),
    [
        ("FROM nothing", None, "id", absdb.NotFoundError, "no table 'nothing'"),
        ("SELECT id FORM orders", None, "id", absdb.QueryError, "syntax error"),
        ("SELECT nope FROM orders", None, "id", absdb.QueryError, "nope"),
        ("DELETE FROM orders", None, "id", absdb.QueryError, "a query is expected"),
        ("FROM orders", None, "nope", absdb.NotFoundError, "no column 'nope' to be the key"),
        (
            "FROM orders",
            "SELECT id, n::VARCHAR AS n FROM orders",
            "id",
            absdb.InvalidInputError,
            "'n' is VARCHAR",
        ),
        ("SELECT id, id FROM orders", None, "id", absdb.InvalidInputError, "two columns 'id'"),
        (
            "SELECT id FROM orders",
            "SELECT n FROM orders",
            None,
            absdb.InvalidInputError,
            "no column in common",
        ),
        ("FROM orders", None, "status", absdb.QueryError, "times in one of the queries"),
        ("FROM orders WHERE id = ?", None, "id", absdb.InvalidInputError, "1 parameters, and 0 values"),
    ],
)
def test_what_cannot_be_compared_is_said(main, staging, query, other, key, error, said):
    with pytest.raises(error) as caught:
        staging.query_diff(query, other or main, key=key).to_arrow()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("'staging', 'main'", "the third argument is a query"),
        ("'staging', 'nope', 'FROM orders'", "no database 'nope'"),
        ("'staging', 'main', 'FROM orders', 1", "the key names columns"),
        ("'staging', 'main', 'FROM orders', since => 1", "takes to, from_, query"),
        ("'staging', 'main', 'FROM read_csv(''x.csv'')', 'id'", "x.csv"),
    ],
)
def test_what_is_wrong_with_a_call_is_said_at_its_place(main, call, said):
    with pytest.raises(absdb.QueryError, match="LINE 1") as caught:
        main.sql(f"FROM absdb_query_diff({call})")
    assert said in str(caught.value)


def test_strangers_reach_no_files_through_it(main, tmp_path):
    from absdb.sql.session import Session

    (tmp_path / "x.csv").write_text("id\n1\n")
    query = f"FROM read_csv('{tmp_path}/x.csv')"
    text = "FROM absdb_query_diff('main', 'main', $q, 'id')"
    assert main.sql(text, {"q": query}).fetchall() == []
    with Session(main._scope, strangers=True) as session, pytest.raises(absdb.QueryError):
        session.sql(text, {"q": query})
