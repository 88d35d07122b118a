"""What can be written, and where: schemas, databases, views, protected databases, the past, transactions."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

import absdb
from absdb.errors import ConstraintError, QueryError, StateError
from absdb.sql.session import Session

STATEMENTS = [
    "INSERT INTO {} (id) VALUES (9)",
    "INSERT INTO {} (id) SELECT 9",
    "INSERT OR IGNORE INTO {} (id) VALUES (9)",
    "UPDATE {} SET id = id + 100",
    "DELETE FROM {}",
    "TRUNCATE {}",
    "MERGE INTO {} t USING (SELECT 9 AS id) s ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)",
]


@pytest.mark.parametrize("text", STATEMENTS)
def test_refused_targets(shop: Any, text: str) -> None:
    shop.count("INSERT INTO orders (id) VALUES (1)")
    shop.session.sql("CREATE VIEW v AS SELECT * FROM orders")
    with pytest.raises(QueryError, match="'v' is a view") as error:
        shop.session.sql(text.format("v"))
    assert error.value.column == text.index("{") + 1
    for missing in ("nope", "nope.orders", "main.nope.orders"):
        with pytest.raises(QueryError, match="there is no"):
            shop.session.sql(text.format(missing))
    past = Session(shop.main.at(lsn=shop.main.lsn)._scope)
    with pytest.raises(StateError, match="does not change"):
        past.sql(text.format("orders"))
    shop.session.sql("ALTER DATABASE main SET PROTECTED")
    with pytest.raises(StateError, match="protected"):
        shop.session.sql(text.format("orders"))
    assert shop.rows("SELECT id FROM orders") == [(1,)]


@pytest.mark.parametrize("text", STATEMENTS)
def test_schemas_and_other_databases(shop: Any, text: str) -> None:
    shop.session.sql("CREATE SCHEMA far")
    shop.session.sql("CREATE TABLE far.t (id INTEGER PRIMARY KEY)")
    shop.session.sql("CREATE DATABASE other BRANCH FROM main")
    for name in ("far.t", "other.far.t"):
        shop.count(text.format(name))
    expected = [] if text.startswith(("UPDATE", "DELETE", "TRUNC")) else [(9,)]
    for name in ("far.t", "other.far.t"):
        assert shop.rows(f"FROM {name}") == expected
    shop.count("DELETE FROM main.far.t")
    shop.count(text.format("main.far.t"))
    assert shop.rows("FROM far.t") == expected


@pytest.fixture
def open_transaction(shop: Any) -> Any:
    shop.count("INSERT INTO orders (id, total) VALUES (1, 10), (2, 20)")
    shop.session.sql("CREATE DATABASE other BRANCH FROM main")
    shop.session.sql("BEGIN")
    return shop


def test_a_statement_that_fails_leaves_the_transaction_as_it_was(open_transaction: Any) -> None:
    shop = open_transaction
    shop.count("UPDATE orders SET total = total + 1")
    for text in (
        "INSERT INTO orders (id) VALUES (3), (1)",
        "INSERT INTO orders (id, total) SELECT i, CASE WHEN i < 70000 THEN '1' ELSE 'x' END FROM range(9, 90000) r(i)",
        "UPDATE orders SET id = 7",
        "MERGE INTO orders USING (SELECT 1 AS id) s USING (id) WHEN MATCHED THEN DELETE "
        "WHEN NOT MATCHED BY SOURCE THEN UPDATE SET id = NULL",
    ):
        with pytest.raises((ConstraintError, QueryError)):
            shop.session.sql(text)
    assert shop.rows("SELECT id, total FROM orders") == [(1, 11), (2, 21)]
    shop.count("DELETE FROM orders WHERE total = 11")
    assert shop.main["orders"].count() == 2
    shop.session.sql("COMMIT")
    assert shop.main["orders"].to_arrow()["total"].to_pylist() == [21]


def test_statements_see_what_those_before_them_wrote(open_transaction: Any) -> None:
    shop = open_transaction
    shop.count("INSERT INTO orders (id, total) SELECT id + 10, total FROM orders")
    shop.count("UPDATE orders SET total = 0 WHERE id > 10")
    text = "INSERT INTO orders (id, total) VALUES (11, 5) ON CONFLICT DO UPDATE SET total = total + excluded.total"
    shop.count(text)
    frame = pa.table({"id": [12]})
    assert shop.count("DELETE FROM orders USING frame WHERE frame.id = orders.id", frame=frame) == 1
    assert shop.rows("SELECT id, total FROM orders") == [(1, 10), (2, 20), (11, 5)]
    with pytest.raises(StateError, match="one database"):
        shop.session.sql("DELETE FROM other.orders")
    shop.session.sql("ROLLBACK")
    assert shop.rows("SELECT id FROM orders") == [(1,), (2,)]


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO orders (id) VALUES ($id) ON CONFLICT DO UPDATE SET total = 1",
        "UPDATE orders SET total = 1 WHERE id = $id",
        "UPDATE orders SET total = 1 FROM (SELECT $id AS id) s WHERE s.id = orders.id",
        "MERGE INTO orders USING (SELECT $id AS id) s USING (id) WHEN MATCHED THEN DELETE",
        "DELETE FROM orders WHERE id = $id",
    ],
)
def test_serializable_statements_on_other_keys_do_not_disturb_each_other(shop: Any, text: str) -> None:
    shop.count("INSERT INTO orders (id, total) SELECT i, 0 FROM range(10) r(i)")
    with Session(shop.main._scope) as other:
        for each in (shop.session, other):
            each.sql("BEGIN ISOLATION LEVEL SERIALIZABLE")
        shop.session.sql(text, {"id": 1})
        other.sql(text, {"id": 2})
        for each in (shop.session, other):
            each.sql("COMMIT")
    assert shop.rows("SELECT count(*) FROM orders WHERE id IN (1, 2) AND total = 0") == [(0,)]


def test_large_changes(tmp_path: Any) -> None:
    with absdb.connect(tmp_path / "shop", bulk_threshold="1MB") as instance:
        session = Session(instance["main"]._scope)
        session.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, a BIGINT)")
        session.sql("CREATE TABLE n (id BIGINT, a BIGINT)")
        for name in ("t", "n"):
            text = f"INSERT INTO {name} SELECT (i * 7919) % 200000, $a FROM range(200000) r(i)"
            assert session.sql(text, {"a": 1}).rowcount == 200_000
            assert session.sql(f"UPDATE {name} SET a = a + id").rowcount == 200_000
            found = session.sql(f"SELECT count(*), sum(a), min(a) FROM {name}").fetchall()
            assert found == [(200_000, 200_000 + sum(range(200_000)), 1)]
        assert session.sql("INSERT OR REPLACE INTO t SELECT i, 0 FROM range(100000) r(i)").rowcount == 100_000
        assert session.sql("INSERT OR REPLACE INTO t SELECT i % 10, i FROM range(100000) r(i)").rowcount == 10
        assert session.sql("SELECT sum(a) FROM t WHERE id < 10").fetchall() == [(45,)]
        assert session.sql("DELETE FROM n WHERE id >= 10").rowcount == 199_990
