"""Columns that are read in code: the answers and their types are those of plain text and plain decimals."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import absdb
from absdb.engine.coding import ROWS_MIN
from absdb.sql.duck.scan import scan

ROWS = ROWS_MIN + 500
QUERIES = (
    "SELECT * FROM t ORDER BY id",
    "SELECT kind, size, count(*), sum(price), sum(rate) FROM t GROUP BY ALL ORDER BY ALL",
    "SELECT count(*), count(kind), count(DISTINCT kind), min(kind), max(kind), max(price) FROM t",
    "SELECT id FROM t WHERE kind = 'b' AND size <> '' OR kind IS NULL AND price > 900 ORDER BY id",
    "SELECT id FROM t WHERE kind IN ('a', 'none') OR size IS DISTINCT FROM 'L' ORDER BY id",
    "SELECT a.kind, count(*) FROM t a JOIN (SELECT DISTINCT kind FROM t) b USING (kind) GROUP BY ALL ORDER BY ALL",
    "SELECT kind FROM t UNION SELECT name FROM t WHERE id < 9 UNION SELECT 'w' ORDER BY ALL",
    "SELECT upper(kind) u, coalesce(size, '?') c, price * rate p, count(*) FROM t GROUP BY ALL ORDER BY ALL",
    "SELECT (t).kind k, struct_pack(s := size, p := price) s FROM t ORDER BY id LIMIT 50",
    "SELECT typeof(kind), typeof(size), typeof(name), typeof(price), typeof(rate) FROM t LIMIT 1",
    "DESCRIBE SELECT kind, size, price FROM t",
    "SELECT kind FROM t WHERE false",
)


def _frame(numbers: range, kinds: list[Any]) -> pa.Table:
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "kind": pa.array([kinds[n % len(kinds)] for n in numbers], pa.string()),
            "size": pa.array(["SML"[n % 3] if n % 11 else "" for n in numbers], pa.large_string()),
            "name": pa.array([f"row {n}" for n in numbers], pa.string()),
            "price": pa.array(
                [None if n % 13 == 0 else Decimal(n) / 4 for n in numbers], pa.decimal128(15, 2)
            ),
            "rate": pa.array([Decimal(n % 100) / 100 - 1 for n in numbers], pa.decimal128(5, 2)),
        }
    )


@pytest.fixture
def main() -> Iterator[Any]:
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.create_table("t", _frame(range(ROWS), ["a", "b", None, "ä" * 20]), key="id")
        yield main


def _types(database: Any) -> dict[str, str]:
    """The types of what DuckDB is handed for the whole table."""
    found = scan(database._scope.reader(database._scope.catalog().table("t")), None)
    return {
        field.name: "codes" if pa.types.is_dictionary(field.type) else str(field.type)
        for field in found.schema
    }


def _check(database: Any) -> None:
    """Each query twice, against DuckDB on the rows as they come from Python."""
    with duckdb.connect() as own:
        own.register("t", database["t"].to_arrow())
        for text in QUERIES:
            expected = own.sql(text).to_arrow_table()
            for _ in range(2):
                found = database.sql(text).to_arrow()
                assert found.schema.types == expected.schema.types, text
                assert found.to_pylist() == expected.to_pylist(), text


def test_the_second_read_is_in_code(main: Any) -> None:
    assert (_types(main)["kind"], _types(main)["kind"]) == ("string", "codes")
    assert _types(main) == {
        "id": "int64", "kind": "codes", "size": "codes", "name": "string",
        "price": "decimal64(15, 2)", "rate": "decimal32(5, 2)",
    }  # fmt: skip


def test_answers_and_types_are_those_of_plain_columns(main: Any) -> None:
    _check(main)


def test_changed_states_and_earlier_ones_are_read_right(main: Any) -> None:
    _check(main)
    before = main.sql("SELECT kind, count(*), sum(price) FROM t GROUP BY ALL ORDER BY ALL").fetchall()
    main.snapshot("before")
    branch = main.branch("other")
    branch.sql("UPDATE t SET kind = 'new', price = price + 1 WHERE id % 1000 = 3")
    branch.sql("DELETE FROM t WHERE id BETWEEN 40 AND 90")
    branch.sql("INSERT INTO t (id, kind) VALUES (-1, ''), (1000000, NULL)")
    _check(branch)
    branch.sql("UPDATE t SET kind = 'c' || (id % 9), price = -price WHERE id % 7 = 3")
    branch.sql("ALTER TABLE t ADD COLUMN since VARCHAR DEFAULT 'first'")
    _check(branch)
    assert branch.sql("SELECT since, count(*) FROM t GROUP BY ALL").fetchall() == [("first", ROWS - 49)]
    assert _types(branch)["since"] == "codes"
    text = "SELECT kind, count(*), sum(price) FROM t AT (SNAPSHOT => 'before') GROUP BY ALL ORDER BY ALL"
    assert main.sql(text).fetchall() == before
    _check(main)


def test_a_changed_state_that_is_read_again_comes_in_whole_pages(main: Any) -> None:
    before = scan(main._scope.reader(main._scope.catalog().table("t")), ["id", "price"])
    main.sql("UPDATE t SET price = price + 1 WHERE id % 1000 = 7")
    reader = main._scope.reader(main._scope.catalog().table("t"))
    first, again = (scan(reader, ["id", "price"]) for _ in range(2))
    assert first["id"].num_chunks > again["id"].num_chunks == before["id"].num_chunks
    same = [table["id"].chunk(0).buffers()[1].address for table in (before, again)]
    assert same[0] == same[1]
    assert again["price"].cast(first["price"].type).equals(first["price"])
    assert not again["price"].equals(before["price"].cast(again["price"].type))


def test_text_that_gets_many_values_is_plain_again(main: Any) -> None:
    _check(main)
    assert _types(main)["kind"] == "codes"
    main.sql("UPDATE t SET kind = 'k' || id WHERE id < 300")
    _check(main)
    assert (_types(main)["kind"], _types(main)["size"]) == ("string", "codes")


def test_a_transaction_sees_its_own_rows_in_code(main: Any) -> None:
    _check(main)
    with main.session() as session:
        session.sql("BEGIN")
        session.sql("UPDATE t SET kind = 'mine', price = 0.25 WHERE id < 2000")
        for _ in range(2):
            found = session.sql(
                "SELECT kind, sum(price) FROM t WHERE id < 4000 GROUP BY ALL ORDER BY ALL"
            ).fetchall()
            assert ("mine", Decimal("500.00")) in found
        session.sql("ROLLBACK")
    assert main.sql("SELECT count(*) FROM t WHERE kind = 'mine'").fetchall() == [(0,)]


def test_what_does_not_fit_the_cache_is_read_plain() -> None:
    with absdb.connect(":memory:", cache_bytes=100_000) as shop:
        main = shop["main"]
        main.create_table("t", _frame(range(ROWS), ["a", "b"]), key="id")
        for _ in range(2):
            _check(main)
        found = _types(main)
        assert (found["kind"], found["price"]) == ("codes", "decimal128(15, 2)")


def test_small_tables_are_read_as_they_are() -> None:
    with absdb.connect(":memory:") as shop:
        shop["main"].create_table("t", _frame(range(100), ["a"]), key="id")
        _check(shop["main"])
        assert _types(shop["main"])["kind"] == "string"
