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
from absdb.sql.duck.grouped import by_value
from absdb.sql.duck.scan import scan
from absdb.sql.text.syntax import parse

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
    "SELECT size, price > 900 AS dear, count(*) FROM t GROUP BY 1, 2 ORDER BY ALL",
    "SELECT size, kind k, max(id) FROM t x GROUP BY x.size, k HAVING size <> 'M' ORDER BY ALL",
    "SELECT DISTINCT size, mark FROM t ORDER BY ALL",
    "SELECT mark, size, count(*) FROM (TABLE t) WHERE size > 'L' GROUP BY ROLLUP (mark, size) ORDER BY ALL",
    "SELECT a.mark, b.size, count(*) FROM t AS a JOIN t b USING (id) GROUP BY ALL ORDER BY ALL",
    "SELECT m, s, count(*) FROM t AS r(i, k, s, m) GROUP BY m, s ORDER BY ALL",
    "SELECT mark, size, first(x ORDER BY id).mark, typeof(mark) FROM t x GROUP BY mark, size ORDER BY ALL",
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
            "mark": pa.array([["it's", "é", None, "", "~"][n % 5] for n in numbers], pa.string()),
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


def _table(database: Any) -> pa.Table:
    """What DuckDB is handed for the whole table."""
    return scan(database._scope.reader(database._scope.catalog().table("t")), None)


def _types(database: Any) -> dict[str, str]:
    """The types of its columns."""
    return {
        field.name: "codes" if pa.types.is_dictionary(field.type) else str(field.type)
        for field in _table(database).schema
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
        "id": "int64", "kind": "codes", "size": "codes", "mark": "codes", "name": "string",
        "price": "decimal64(15, 2)", "rate": "decimal32(5, 2)",
    }  # fmt: skip


def test_codes_are_the_same_in_all_pages(main: Any) -> None:
    main.sql("UPDATE t SET size = 'A' || id % 3 WHERE id > 10000")
    for _ in range(2):
        column = _table(main).column("size")
    assert column.num_chunks > 1
    assert all(chunk.dictionary.equals(column.chunk(0).dictionary) for chunk in column.chunks)


def test_text_that_is_grouped_with_others_comes_by_value(main: Any) -> None:
    _table(main)
    rows, items = by_value(_table(main), {"kind", "size", "name", "price"})
    assert rows.schema.field("size").type == pa.int8()
    assert items.count("list_extract") == 1, "the others are long, have many values, or are no text"
    with duckdb.connect() as own:
        own.register("rows", rows)
        found = own.sql(f"SELECT {items} FROM rows ORDER BY id").to_arrow_table()
        assert found["size"].to_pylist() == main["t"].to_arrow()["size"].to_pylist()
        plan = own.sql(
            f"EXPLAIN SELECT size, price > 9, count(*) FROM (SELECT {items} FROM rows) GROUP BY ALL"
        )
        assert "compress_string" in str(plan.fetchall()), "DuckDB knows how long the text may be"
    assert by_value(_table(main), {"id", "kind"}) == (_table(main), "")


def test_names_of_columns_are_those_of_the_first_read(main: Any) -> None:
    inner = "SELECT count(*) FROM t i WHERE i.size = o.size"
    text = f"SELECT size, mark, ({inner}), EXISTS ({inner}) FROM t o GROUP BY ALL LIMIT 0"
    first = main.sql(text).columns
    assert [main.sql(text).columns for _ in range(2)] == [first, first]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SELECT a, b, count(*) FROM t GROUP BY ALL", {"a", "b"}),
        ("SELECT a, count(*) FROM t GROUP BY ALL", set()),
        ("SELECT T.A, count(*) FROM t GROUP BY t.A, x + 1", {"a"}),
        ("SELECT a, b AS c, count(*) FROM t GROUP BY 1, c, 7", {"a", "b"}),
        ("SELECT count(*) FROM t WHERE a = 'x' GROUP BY a, b", {"b"}),
        ("SELECT DISTINCT a, b FROM t ORDER BY c", {"a", "b"}),
        ("SELECT a, b FROM t", set()),
        ("SELECT a FROM (SELECT b, c, max(a) a FROM t GROUP BY b, c) GROUP BY a", {"b", "c"}),
    ],
)
def test_columns_that_are_grouped_together_are_known(text: str, names: set[str]) -> None:
    with duckdb.connect() as own:
        assert parse(own, text, {}).grouped == names


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
