"""The guarded DuckDB connection of a state, and ibis on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pytest

import absdb


@pytest.fixture
def shop() -> Iterator[absdb.Instance]:
    with absdb.connect(":memory:") as instance:
        main = instance["main"]
        main.create_table(
            "orders", {"id": [1, 2, 3], "who": ["a", "b", "a"], "total": [10, 20, 30]}, key="id"
        )
        main.sql("CREATE SCHEMA sales")
        main.sql("CREATE TABLE sales.items (id INTEGER PRIMARY KEY, kind ENUM('x', 'y'), data JSON)")
        main.sql("INSERT INTO sales.items VALUES (1, 'x', '{}')")
        main.sql("CREATE VIEW large AS SELECT id, total FROM orders WHERE total > 10")
        main.sql("CREATE VIEW larger(number) AS SELECT id FROM large WHERE total > 20")
        yield instance


@pytest.fixture
def connection(shop: absdb.Instance) -> Iterator[duckdb.DuckDBPyConnection]:
    made = shop["main"].duckdb()
    yield made
    made.close()


def test_ibis_finds_and_reads_tables_and_views(connection):
    backend = ibis.duckdb.from_connection(connection)
    # What ibis's list_tables() reads; that and sql() call what DuckDB 2 has no more (ibis 12.0).
    listed = connection.sql(
        "SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL"
    ).fetchall()
    assert {("main", "orders"), ("main", "large"), ("main", "larger"), ("sales", "items")} <= set(listed)
    orders = backend.table("orders")
    assert dict(orders.schema()) == {
        "id": ibis.dtype("int64"),
        "who": ibis.dtype("string"),
        "total": ibis.dtype("int64"),
    }
    sums = orders.group_by("who").agg(total=orders.total.sum()).order_by("who")
    assert sums.to_pyarrow().to_pydict() == {"who": ["a", "b"], "total": [40, 20]}
    assert backend.table("larger").execute()["number"].tolist() == [3]
    joined = orders.join(backend.table("large"), "id").count()
    assert joined.execute() == 2
    assert backend.table("items", database="sales").kind.execute().tolist() == ["x"]


def test_it_shows_one_state(shop, connection):
    shop["main"].snapshot("before")
    shop["main"]["orders"].delete([1, 2])
    assert connection.sql("SELECT count(*) FROM orders").fetchall() == [(3,)]
    for state, wanted in ((shop["main"].at(snapshot="before"), 3), (shop["main"], 1)):
        other = state.duckdb(["orders"])
        assert other.sql("SELECT count(*) FROM orders").fetchall() == [(wanted,)]
        other.close()
    with shop["main"].session() as session:
        session.sql("BEGIN")
        session.sql("INSERT INTO orders VALUES (9, 'z', 1)")
        own = session.duckdb(["orders", "sales.items"])
        assert own.sql("SELECT max(id) FROM orders").fetchall() == [(9,)]
        own.close()


def test_only_what_is_asked_for(shop):
    connection = shop["main"].duckdb(["Large"])
    assert connection.sql("SELECT id FROM large ORDER BY id").fetchall() == [(2,), (3,)]
    with pytest.raises(duckdb.CatalogException):
        connection.sql("FROM larger")
    connection.close()
    with pytest.raises(absdb.NotFoundError, match="'oders'"):
        shop["main"].duckdb(["oders"])


def test_views_that_cannot_be_read_any_more(shop):
    shop["main"].drop_table("orders")
    connection = shop["main"].duckdb()
    assert connection.sql("SELECT id FROM sales.items").fetchall() == [(1,)]
    connection.close()
    with pytest.raises(absdb.QueryError, match="large"):
        shop["main"].duckdb(["large"])


def test_it_writes_nothing_of_ours_and_reaches_no_files(shop, connection, tmp_path: Path):
    (tmp_path / "x.csv").write_text("a\n1\n")
    refused: list[tuple[str, Any]] = [
        ("INSERT INTO orders VALUES (4, 'd', 1)", duckdb.Error),
        ("DELETE FROM orders", duckdb.Error),
        (f"FROM '{tmp_path}/x.csv'", duckdb.Error),
        (f"COPY orders TO '{tmp_path}/y.csv'", duckdb.PermissionException),
        (f"ATTACH '{tmp_path}/z.db'", duckdb.PermissionException),
        ("INSTALL httpfs", duckdb.Error),
        ("SET enable_external_access = true", duckdb.Error),
    ]
    for text, kind in refused:
        with pytest.raises(kind):
            connection.execute(text)
    connection.execute("CREATE TABLE mine AS FROM orders")
    connection.execute("DROP VIEW orders")
    assert shop["main"]["orders"].count() == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.csv"]
