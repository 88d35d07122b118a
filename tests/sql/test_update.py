"""UPDATE: expressions, other tables, keys that change, tables without a key."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from absdb.errors import ConstraintError, QueryError


@pytest.fixture
def filled(shop: Any) -> Any:
    shop.count("INSERT INTO orders SELECT i, i * 10, DATE '2026-01-01', 'n' || i FROM range(1, 6) r(i)")
    shop.count("INSERT INTO log SELECT i % 3, 't' || i FROM range(6) r(i)")
    return shop


def test_expressions_and_conditions(filled: Any) -> None:
    assert filled.count("UPDATE orders SET total = total + id, day = '2026-03-04' WHERE id <= 2") == 2
    assert filled.count("UPDATE orders AS o SET (note, total) = (DEFAULT, 7.6) WHERE o.id = ?", [3]) == 1
    assert filled.rows("FROM orders WHERE id <= 3") == [
        (1, 11, dt.date(2026, 3, 4), "n1"),
        (2, 22, dt.date(2026, 3, 4), "n2"),
        (3, 8, dt.date(2026, 1, 1), None),
    ]
    assert filled.count("UPDATE orders SET note = 'z' WHERE false") == 0
    assert filled.count("UPDATE orders SET total = CASE WHEN id IS DISTINCT FROM 5 THEN 0 ELSE 1 END") == 5
    assert filled.rows("SELECT sum(total) FROM orders") == [(1,)]


def test_from_other_tables(filled: Any) -> None:
    frame = pa.table({"id": [2, 2, 9], "to": ["a", "a", "b"]})
    text = (
        'UPDATE orders SET note = f."to" || (SELECT max(id) FROM orders) FROM frame f WHERE orders.id = f.id'
    )
    assert filled.count(text, frame=frame) == 1
    assert filled.rows("SELECT note FROM orders WHERE id = 2") == [("a5",)]
    text = "WITH most AS (SELECT max(total) AS t FROM orders) UPDATE orders SET total = t FROM most RETURNING total"
    assert filled.rows(text) == [(50,)] * 5


def test_joins_by_uuid(shop: Any) -> None:
    shop.session.sql("CREATE TABLE u (k INTEGER, id UUID)")
    shop.count("INSERT INTO u VALUES (1, '00000000-0000-0000-0000-000000000001'), (2, gen_random_uuid())")
    assert shop.count("UPDATE u SET k = o.k + 10 FROM u o WHERE o.id = u.id AND o.k = 1") == 1
    assert shop.rows("SELECT k FROM u ORDER BY k") == [(2,), (11,)]


def test_keys_change_and_swap(filled: Any) -> None:
    text = "UPDATE orders SET id = CASE id WHEN 1 THEN 2 ELSE 1 END WHERE id <= 2 RETURNING id, total"
    assert sorted(filled.rows(text)) == [(1, 20), (2, 10)]
    assert filled.count("UPDATE orders SET id = id + 1") == 5
    assert filled.rows("SELECT id, total FROM orders") == [(2, 20), (3, 10), (4, 30), (5, 40), (6, 50)]
    for text in ("UPDATE orders SET id = 9 WHERE id < 4", "UPDATE orders SET id = 6 WHERE id = 2"):
        with pytest.raises(ConstraintError, match="key"):
            filled.session.sql(text)
    assert filled.rows("SELECT id FROM orders") == [(2,), (3,), (4,), (5,), (6,)]


def test_tables_without_a_key(filled: Any) -> None:
    assert filled.count("UPDATE log SET text = 'x' WHERE id = 0") == 2
    assert filled.rows("UPDATE log l SET id = l.id + 1 WHERE l.id = 2 RETURNING *") == [(3, "t2"), (3, "t5")]
    assert filled.rows("FROM log") == [(0, "x"), (1, "t1"), (3, "t2"), (0, "x"), (1, "t4"), (3, "t5")]
    assert filled.count("UPDATE log SET text = o.note FROM orders o WHERE o.id = log.id") == 4


def test_another_database(filled: Any) -> None:
    staging = filled.main.branch("staging")
    assert filled.count("UPDATE staging.orders SET total = (SELECT count(*) FROM log) WHERE id = 1") == 1
    assert staging["orders"].get(1)["total"] == 6
    assert filled.main["orders"].get(1)["total"] == 10


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("UPDATE orders SET totl = 1", "no column 'totl'", 19),
        ("UPDATE oders SET total = 1", "no table 'oders'", 8),
        ("UPDATE orders SET total = 1, total = 2", "given twice", 30),
        ("UPDATE orders SET total = nope", '"nope" not found', 27),
        ("UPDATE orders SET total = 'x'", "could not convert", 27),
        ("UPDATE orders SET total = 1 WHERE idd = 1", '"idd" not found', 35),
        ("UPDATE orders SET total = (SELECT 1 FROM nowhere)", "no table 'nowhere'", 42),
        ("UPDATE orders SET total 1", "expected =", 25),
        ("UPDATE orders SET orders.total = 1", "without its table", 19),
        ("UPDATE orders SET (id, total) = (1, 2, 3)", "2 columns are given 3 values", 33),
        ("UPDATE orders SET total = ? WHERE nope", '"nope" not found', 35),
    ],
)
def test_errors_point_at_the_place(filled: Any, text: str, message: str, column: int) -> None:
    with pytest.raises(QueryError, match=message) as error:
        filled.session.sql(text, [1] if "?" in text else None)
    assert (error.value.column, error.value.statement) == (column, text)
