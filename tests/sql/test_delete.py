"""DELETE and TRUNCATE."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from absdb.errors import QueryError


@pytest.fixture
def filled(shop: Any) -> Any:
    shop.count("INSERT INTO orders (id, note) SELECT i, 'n' || i FROM range(6) r(i)")
    shop.count("INSERT INTO log SELECT i % 3, 't' || i FROM range(6) r(i)")
    return shop


def test_conditions_and_other_tables(filled: Any) -> None:
    assert filled.count("DELETE FROM orders WHERE id = ?", [0]) == 1
    frame = pa.table({"id": [1, 1, 9]})
    assert filled.count("DELETE FROM orders o USING frame WHERE o.id = frame.id", frame=frame) == 1
    assert filled.count("WITH gone AS (SELECT 2 AS id) DELETE FROM orders WHERE id IN (FROM gone)") == 1
    assert filled.rows("DELETE FROM orders AS o WHERE id > 4 RETURNING o.note, *") == [
        ("n5", 5, None, None, "n5")
    ]
    assert filled.rows("SELECT id FROM orders") == [(3,), (4,)]
    assert filled.count("DELETE FROM orders") == 2
    assert filled.count("DELETE FROM orders") == 0


def test_tables_without_a_key(filled: Any) -> None:
    assert filled.count("DELETE FROM log WHERE id = 1") == 2
    assert sorted(
        filled.rows("DELETE FROM log USING orders WHERE log.id = orders.id AND log.id = 2 RETURNING text")
    ) == [
        ("t2",),
        ("t5",),
    ]
    assert filled.rows("FROM log") == [(0, "t0"), (0, "t3")]


def test_truncate(filled: Any) -> None:
    assert filled.count("TRUNCATE orders") == 6
    assert filled.count("TRUNCATE TABLE main.log") == 6
    assert filled.rows("SELECT count(*) FROM orders, log") == [(0,)]


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("DELETE FROM oders", "no table 'oders'", 13),
        ("DELETE orders", "expected FROM", 8),
        ("DELETE FROM orders WHERE idd = 1", '"idd" not found', 26),
        ("DELETE FROM orders WHERE", "expected an expression", 25),
        ("DELETE FROM orders RETURNING", "expected an expression", 29),
        ("TRUNCATE orders, log", "expected the end", 16),
    ],
)
def test_errors_point_at_the_place(filled: Any, text: str, message: str, column: int) -> None:
    with pytest.raises(QueryError, match=message) as error:
        filled.session.sql(text)
    assert (error.value.column, error.value.statement) == (column, text)
    assert filled.rows("SELECT count(*) FROM orders") == [(6,)]
