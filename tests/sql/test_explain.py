"""EXPLAIN: DuckDB's plan, and which runs and pages of each table a query reads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import absdb
from absdb.testing.orders import orders


@pytest.fixture(scope="module")
def main() -> Iterator[absdb.Database]:
    with absdb.connect(":memory:", page_rows=64) as shop:
        main = shop["main"]
        main.create_table("orders", orders(1000), key="id")
        shop.checkpoint()
        main.snapshot("before")
        main["orders"].update({"id": 5, "status": "changed"})
        main.create_table("empty", [{"id": 1}], key="id")
        main["empty"].truncate()
        yield main


def tables(
    where: absdb.Database | absdb.TransactionHandle, text: str, values: list[int] | None = None
) -> str:
    found = where.sql(text, values)
    assert found.columns == ["explain_key", "explain_value"]
    rows = dict(found.fetchall())
    assert next(iter(rows)) in ("physical_plan", "analyzed_plan")
    return rows["tables"]


def test_which_pages_are_read(main):
    whole = tables(main, "EXPLAIN SELECT status, count(*) FROM orders GROUP BY status")
    last = main.log(limit=1)["lsn"].iloc[0]
    assert whole.splitlines() == [
        f"orders (main @ {last}): status",
        "  run: 16 pages, 1,000 rows",
        "  run: in memory, 1 page, 1 row",
        "  reads 17 of 17 pages",
    ]
    assert tables(main, "EXPLAIN FROM orders WHERE id = 900").endswith("reads 1 of 17 pages, by 1 key")
    assert tables(main, "EXPLAIN FROM orders WHERE id IN (5, 900)").endswith("reads 3 of 17 pages, by 2 keys")
    between = tables(main, "EXPLAIN FROM orders WHERE id BETWEEN ? AND ?", [100, 200])
    assert between.splitlines()[0].endswith(": all columns")
    assert between.endswith("reads 3 of 17 pages, by a range of keys")
    assert tables(main, "EXPLAIN FROM orders WHERE id > 5000").endswith(
        "reads 0 of 17 pages, by a range of keys"
    )


def test_every_table_of_a_query_is_told_of(main):
    text = "EXPLAIN SELECT count(*) FROM orders o JOIN orders AT (SNAPSHOT => 'before') b USING (id), empty"
    told = tables(main, text).splitlines()
    assert [line.split()[0] for line in told if not line.startswith(" ")] == ["orders", "orders", "empty"]
    past = main.snapshots()["lsn"].iloc[0]
    assert f"orders (main @ {past}): id" in told
    assert sum(line.startswith("  reads 16 of 16") for line in told) == 1


def test_a_transaction_tells_of_its_own_rows(main):
    with main.transaction() as tx:
        tx["orders"].update({"id": 6, "status": "mine"})
        told = tables(tx, "EXPLAIN FROM orders WHERE id = 6")
        assert "  run: written in this transaction, 1 page, 1 row" in told
        tx.rollback()


def test_analyze_runs_the_query(main):
    rows = dict(main.sql("EXPLAIN ANALYZE SELECT count(*) FROM orders").fetchall())
    assert "reads 17 of 17 pages" in rows["tables"]
    with pytest.raises(absdb.QueryError, match="no"):
        main.sql("EXPLAIN ANALYZE SELECT error('no') FROM orders")
    assert main.sql("EXPLAIN SELECT 1").fetchall()[0][0] == "physical_plan"
    assert main.sql("EXPLAIN (ANALYZE) WITH a AS (SELECT 1) FROM a").fetchall()[0][0] == "analyzed_plan"


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("EXPLAIN SELECT nothing FROM orders", "nothing", "nothing"),
        ("EXPLAIN SELECT * FROM order_s", "order_s", "did you mean 'orders'"),
        ("EXPLAIN ANALYZE SELECT 1 +", "", "syntax error"),
        ("EXPLAIN ANALYZE UPDATE orders SET status = 'x'", "UPDATE", "between BEGIN and ROLLBACK"),
        ("EXPLAIN MERGE DATABASE a INTO main", "MERGE", "DRY RUN tells"),
        ("EXPLAIN DROP TABLE orders", "DROP", "only queries and changes"),
        ("EXPLAIN UPDATE orders SET stat = 'x'", "stat", "did you mean 'status'"),
        ("EXPLAIN UPDATE orders SET status = nothing WHERE id = 5", "nothing", "nothing"),
        ("EXPLAIN INSERT INTO order_s VALUES (1)", "order_s", "did you mean 'orders'"),
        ("EXPLAIN INSERT INTO orders (id) SELECT 1, 2", "SELECT", "1 columns are given 2 values"),
        ("EXPLAIN WITH a AS (FROM no) DELETE FROM orders WHERE id IN (FROM a)", "no)", "no table 'no'"),
        ("EXPLAIN (FORMAT json) SELECT 1", "SELECT", "as text"),
    ],
)
def test_errors_are_shown_where(main, text, at, said):
    with pytest.raises(absdb.QueryError) as caught:
        main.sql(text)
    assert said in str(caught.value)
    assert not at or caught.value.position == text.index(at)


# -- statements that change rows


@pytest.fixture(scope="module")
def changed() -> Iterator[absdb.Database]:
    with absdb.connect(":memory:", page_rows=64) as shop:
        main = shop["main"]
        main.sql(
            """CREATE TABLE parent (id INTEGER PRIMARY KEY, code VARCHAR UNIQUE);
            CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent);
            CREATE SEQUENCE s;
            CREATE TABLE log (at INTEGER DEFAULT nextval('s'), text VARCHAR);
            INSERT INTO parent SELECT i, 'c' || i FROM range(1000) r(i)"""
        )
        yield main


LAYERS = "  run: in memory, 1 page, 1,000 rows"


@pytest.mark.parametrize(
    ("text", "plans", "reads", "done"),
    [
        (
            "INSERT INTO parent VALUES (1, 'x'), (2, 'y')",
            0,
            "",
            [
                "inserts 2 rows into parent",
                LAYERS,
                "  looks up each row by its key (id)",
                "  checks UNIQUE (code)",
            ],
        ),
        ("INSERT INTO log DEFAULT VALUES", 0, "", ["inserts 1 row into log"]),
        (
            "INSERT INTO log (text) SELECT code FROM parent WHERE id = 3",
            1,
            "1 of 1",
            ["inserts the rows of the query"],
        ),
        (
            "INSERT INTO child SELECT id, id FROM parent ON CONFLICT (id) DO UPDATE SET parent = 1",
            1,
            "1 of 1",
            [
                "inserts",
                "  looks up each",
                "  sets parent of rows that are there",
                "  checks FOREIGN KEY (parent) in parent",
            ],
        ),
        (
            "UPDATE parent SET code = $1 WHERE id = $2",
            1,
            "1 of 1 page, by 1 key",
            [
                "sets code of parent",
                LAYERS,
                "  writes them by their key",
                "  checks UNIQUE (code)",
                "  checks that no row of child",
            ],
        ),
        (
            "UPDATE parent SET code = s.v FROM (VALUES (5, 'x'), (-5, 'y')) s(i, v) WHERE parent.id = s.i RETURNING *",
            1,
            "",
            [
                "sets code of parent",
                LAYERS,
                "  looks up 1 row by the key, for the source",
                "  writes them",
                "  checks",
                "  checks",
            ],
        ),
        (
            "UPDATE log SET text = 'x'",
            1,
            "",
            ["sets text of log", "  numbers all its rows", "  writes them by their numbers"],
        ),
        (
            "DELETE FROM parent WHERE id BETWEEN 5 AND 7",
            1,
            "by a range of keys",
            ["removes rows of parent", LAYERS, "  writes them by their key", "  checks that no row of child"],
        ),
        ("TRUNCATE child", 0, "", ["removes all rows of child", "  reads all keys"]),
        (
            "MERGE INTO parent p USING (VALUES (5, 'x')) s(id, v) USING (id) "
            "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT",
            2,
            "",
            [
                "merges into parent",
                LAYERS,
                "  WHEN MATCHED THEN DELETE",
                "  WHEN NOT MATCHED THEN INSERT",
                "  looks up 1 row",
            ],
        ),
        (
            "COPY parent FROM 'no such file.csv'",
            0,
            "",
            ["inserts the rows of 'no such file.csv' into parent", LAYERS],
        ),
        (
            "COPY (FROM parent) TO 'never written.csv'",
            1,
            "1 of 1",
            ["writes the rows of the query to 'never written.csv'"],
        ),
        (
            "WITH x AS (FROM parent) INSERT INTO log FROM x",
            1,
            "1 of 1",
            ["inserts the rows of the query into log"],
        ),
    ],
)
def test_a_change_is_told_of_and_not_made(changed, text, plans, reads, done):
    before, lsn = changed.sql("FROM parent").fetchall(), changed.log(limit=1)["lsn"].iloc[0]
    found = changed.sql(f"EXPLAIN {text}", ["x", 5] if "$" in text else None).fetchall()
    assert [kind for kind, _ in found].count("physical_plan") == plans
    assert reads in dict(found).get("tables", "")
    lines = found[-1][1].splitlines()
    assert found[-1][0] == "change"
    assert [line[: len(start)] for line, start in zip(lines, done, strict=False)] == done
    assert (changed.sql("FROM parent").fetchall(), changed.log(limit=1)["lsn"].iloc[0]) == (before, lsn)


def test_a_change_is_told_of_in_a_transaction(changed):
    with changed.session() as session:
        session.sql("BEGIN")
        session.sql("INSERT INTO child VALUES (1, 1)")
        session.sql("INSERT INTO log (text) VALUES ('a')")
        told = session.sql("EXPLAIN DELETE FROM child WHERE id = 1").fetchall()[-1][1]
        assert "written in this transaction, 1 page, 1 row" in told
        session.sql("EXPLAIN INSERT INTO log (text) SELECT 'b'")
        session.sql("INSERT INTO log (text) VALUES ('c')")
        assert session.sql("FROM log").fetchall() == [(1, "a"), (2, "c")]
        assert session.sql("FROM child").fetchall() == [(1, 1)]
        session.sql("ROLLBACK")


# -- pivots whose values are in the rows


@pytest.fixture
def sales() -> Iterator[absdb.Database]:
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.create_table(
            "sales", [{"n": n, "q": q, "m": m} for n, q, m in (("a", 1, 1), ("b", 2, 1), ("a", 3, 2))]
        )
        main.snapshot("before")
        main["sales"].insert({"n": "c", "q": 9, "m": 2})
        yield main


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        (
            "PIVOT sales ON n USING sum(q) ORDER BY m",
            ["m", "a", "b", "c"],
            [(1, 1, 2, None), (2, 3, None, 9)],
        ),
        ("FROM (PIVOT main.sales ON n USING max(q)) WHERE c = 9", ["m", "a", "b", "c"], [(2, 3, None, 9)]),
        (
            "WITH p AS (PIVOT sales AT (SNAPSHOT => 'before') ON n USING sum(q)) FROM p ORDER BY m",
            ["m", "a", "b"],
            [(1, 1, 2), (2, 3, None)],
        ),
        (
            "PIVOT (FROM sales WHERE m = 1) ON n || '!' USING count(*) GROUP BY m",
            ["m", "a!", "b!"],
            [(1, 1, 1)],
        ),
        ("PIVOT (SELECT n, q FROM sales) ON n IN ('a') USING sum(q)", ["a"], [(4,)]),
        (
            "FROM sales PIVOT (sum(q) FOR n IN ('a', 'c')) ORDER BY m",
            ["m", "a", "c"],
            [(1, 1, None), (2, 3, 9)],
        ),
        (
            "UNPIVOT (FROM sales WHERE n = 'b') ON q, m",
            ["n", "name", "value"],
            [("b", "q", 2), ("b", "m", 1)],
        ),
    ],
)
def test_pivots(sales, text, columns, rows):
    found = sales.sql(text)
    assert found.columns == columns
    assert found.fetchall() == rows
    sales.sql(f"CREATE TABLE made AS {text}")
    assert sorted(map(str, sales.sql("FROM made").columns)) == sorted(columns)


def test_a_pivot_of_what_is_not_there(sales):
    with pytest.raises(absdb.QueryError, match="no table 'sale'") as caught:
        sales.sql("PIVOT sale ON n USING sum(q)")
    assert caught.value.position == 6
    with pytest.raises(absdb.QueryError, match="nothing"):
        sales.sql("PIVOT read_csv('nothing.csv') ON n USING sum(q)")
