"""INSERT: where rows come from, how values become those of their columns, and what is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from absdb.errors import ConstraintError, QueryError

DAY = dt.date(2026, 2, 3)


def test_values_are_cast_each_to_its_column(shop: Any) -> None:
    text = "INSERT INTO orders VALUES (1, 2.5, DATE '2026-02-03', 'x'), ('2', '3', '2026-02-03', 4)"
    assert shop.count(text) == 2
    assert shop.rows("FROM orders") == [(1, 3, DAY, "x"), (2, 3, DAY, "4")]


@pytest.mark.parametrize(
    "values",
    [[1, 2, DAY, "x"], ["1", 2.0, "2026-02-03", "x"], [1, 2, dt.datetime(2026, 2, 3, 4), "x"]],
    ids=["as they are", "texts", "a time as a date"],
)
def test_parameters(shop: Any, values: list[Any]) -> None:
    assert shop.count("INSERT INTO orders VALUES (?, ?, ?, ?)", values) == 1
    assert shop.rows("FROM orders") == [(1, 2, DAY, "x")]


def test_columns_left_out_and_default(shop: Any) -> None:
    shop.main.create_table("d", pa.table({"id": pa.array([1]), "n": pa.array([7])}), key="id")
    shop.main["d"].alter_column("n", default=7)
    assert shop.count("INSERT INTO d VALUES (2, DEFAULT), (3, 5), (4, NULL)") == 3
    assert shop.count("INSERT INTO d (ID) VALUES (5)") == 1
    assert shop.count("INSERT INTO d (n, id) VALUES (DEFAULT, 6)") == 1
    assert shop.rows("FROM d WHERE id > 1") == [(2, 7), (3, 5), (4, None), (5, 7), (6, 7)]
    assert shop.count("INSERT INTO log DEFAULT VALUES") == 1
    assert shop.rows("FROM log") == [(None, None)]


def test_queries_by_place_and_by_name(shop: Any) -> None:
    assert shop.count("INSERT INTO orders (id, note) SELECT i, i FROM range(3) r(i)") == 3
    assert shop.count("WITH more AS (SELECT 10 AS n) INSERT INTO orders (id) SELECT n FROM more") == 1
    assert shop.count("INSERT INTO orders BY NAME SELECT 'y' AS note, 11 AS id") == 1
    assert shop.count("INSERT INTO orders (id) (SELECT id + ? FROM orders)", [100]) == 5
    assert shop.rows("SELECT id, note FROM orders WHERE note IS NOT NULL ORDER BY id") == [
        (0, "0"),
        (1, "1"),
        (2, "2"),
        (11, "y"),
    ]
    assert (
        shop.count("INSERT INTO log SELECT id, note FROM frame", frame=pa.table({"id": [1], "note": ["z"]}))
        == 1
    )


def test_returning_gives_whole_rows(shop: Any) -> None:
    text = "INSERT INTO orders AS o (id) VALUES (2), (1) RETURNING o.id * 10 AS ten, *"
    assert shop.rows(text) == [(20, 2, None, None, None), (10, 1, None, None, None)]
    result = shop.session.sql("INSERT INTO log (text) SELECT 'a' RETURNING text")
    assert (result.columns, result.rowcount, result.fetchall()) == (["text"], 1, [("a",)])


def test_other_databases_and_schemas(shop: Any) -> None:
    staging = shop.main.branch("staging")
    assert shop.count("INSERT INTO orders (id) VALUES (1)") == 1
    assert shop.count("INSERT INTO staging.orders (id) SELECT id + 1 FROM orders") == 1
    assert shop.count("INSERT INTO staging.main.orders (id) SELECT id + 1 FROM staging.orders") == 1
    assert staging["orders"].to_arrow()["id"].to_pylist() == [2, 3]


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("INSERT INTO orders (id, totl) VALUES (1, 2)", "no column 'totl'", 25),
        ("INSERT INTO oders VALUES (1)", "no table 'oders'", 13),
        ("INSERT INTO orders (id) VALUES (1, 2)", "1 columns are given 2 values", 33),
        ("INSERT INTO orders (id, id) VALUES (1, 2)", "given twice", 25),
        ("INSERT INTO orders (id) VALUES (1), (2, 3)", "2 values, and the first one 1", 38),
        ("INSERT INTO orders (id) SELECT idd FROM orders", '"idd" not found', 32),
        ("INSERT INTO orders (id) SELECT ? FRM orders", "syntax error", 38),
        ("INSERT INTO orders (id) VALUES ('x')", "could not convert string 'x'", 33),
        ("INSERT INTO orders (id) VALUE (1)", "expected VALUES", 25),
        ("INSERT INTO orders (id) VALUES (1) RETURNING nope", '"nope" not found', 46),
        ("INSERT INTO absdb_databases VALUES (1)", "computed by absdb", 13),
    ],
)
def test_errors_point_at_the_place(shop: Any, text: str, message: str, column: int) -> None:
    with pytest.raises(QueryError, match=message) as error:
        shop.session.sql(text, [1] if "?" in text else None)
    assert error.value.column == column
    assert error.value.statement == text
    assert shop.rows("FROM orders") == []


def test_a_statement_that_fails_changes_nothing(shop: Any) -> None:
    shop.count("INSERT INTO orders (id) VALUES (1)")
    with pytest.raises(ConstraintError, match="key 1 is already"):
        shop.session.sql("INSERT INTO orders (id) VALUES (2), (1)")
    with pytest.raises(QueryError, match="could not convert"):
        shop.session.sql(
            "INSERT INTO orders (id, total) SELECT i, CASE WHEN i < 99999 THEN '1' ELSE 'x' END "
            "FROM range(10, 100000) r(i)"
        )
    assert shop.rows("SELECT id FROM orders") == [(1,)]


def test_texts_bytes_and_times_of_every_type(shop: Any) -> None:
    """What fits as it is goes straight to the table, the rest is cast; both mean the same."""
    zone = dt.timezone(dt.timedelta(hours=2))
    types = {
        "id": pa.int64(),
        "view": pa.string_view(),
        "large": pa.large_string(),
        "at": pa.timestamp("us", tz="UTC"),
        "plain": pa.timestamp("us"),
        "bytes": pa.binary_view(),
    }
    shop.main.create_table("kinds", pa.schema(list(types.items())), key="id")
    at, plain = dt.datetime(2026, 1, 2, 3, tzinfo=zone), dt.datetime(2026, 1, 2, 3)
    text = "INSERT INTO kinds VALUES (?, ?, ?, ?, ?, ?)"
    assert shop.count(text, [1, "a", "b", at, plain, b"c"]) == 1
    assert shop.count(text, [2, "a", "b", plain, at, b"c"]) == 1, "cast by DuckDB, in the zone of the session"
    one, two = shop.main["kinds"].to_arrow().to_pylist()
    assert one == {"id": 1, "view": "a", "large": "b", "at": at, "plain": plain, "bytes": b"c"}
    assert (two["at"], two["plain"]) == (plain.replace(tzinfo=dt.UTC), plain - dt.timedelta(hours=2))


@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE"])
@pytest.mark.parametrize("named", ["", " AS s"])
def test_streams_are_read_once(shop: Any, verb: str, named: str) -> None:
    batches = [pa.record_batch({"id": [1, 2]}), pa.record_batch({"id": [2, 3]})]
    stream = pa.RecordBatchReader.from_batches(batches[0].schema, batches)
    text = f"{verb} INTO orders (id) SELECT DISTINCT id FROM stream{named}"
    if verb != "INSERT":
        text = text.replace("DISTINCT ", "")
    assert shop.count(text, stream=stream) == 3
    assert shop.rows("SELECT id FROM orders") == [(1,), (2,), (3,)]


def test_other_verbs_read_streams_once(shop: Any) -> None:
    shop.count("INSERT INTO orders (id) VALUES (1), (2), (3)")

    def stream(*ids: int) -> pa.RecordBatchReader:
        return pa.table({"id": list(ids)}).to_reader()

    assert shop.count("UPDATE orders SET total = 1 FROM s WHERE s.id = orders.id", s=stream(1, 9)) == 1
    assert shop.count("DELETE FROM orders USING s WHERE s.id = orders.id", s=stream(2, 9)) == 1
    text = (
        "MERGE INTO orders USING s USING (id) WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT BY NAME"
    )
    assert shop.count(text, s=stream(3, 4)) == 2
    assert shop.rows("SELECT id, total FROM orders") == [(1, 1), (4, None)]
