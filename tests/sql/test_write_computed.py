"""What the engine fills in and holds for rows that statements write: defaults, identities, constraints."""

from __future__ import annotations

from typing import Any

import pytest

from absdb.errors import ConstraintError, QueryError

TABLE = """CREATE TABLE g (
    id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    a INTEGER CHECK (a < 100),
    b INTEGER GENERATED ALWAYS AS (a * 2) STORED,
    d VARCHAR DEFAULT 'x' || 'y')"""


@pytest.fixture
def made(shop: Any) -> Any:
    shop.session.sql(TABLE)
    shop.session.sql("CREATE TABLE h (id BIGINT, g INTEGER REFERENCES g (id))")
    return shop


def test_values_that_are_filled_in_come_back(made: Any) -> None:
    assert made.rows("INSERT INTO g (a) VALUES (1), (2) RETURNING *") == [(1, 1, 2, "xy"), (2, 2, 4, "xy")]
    assert made.rows("INSERT INTO g VALUES (10, 3, DEFAULT), (DEFAULT, 4, 'd') RETURNING id, b, d") == [
        (10, 6, "xy"),
        (3, 8, "d"),
    ]
    assert made.rows("UPDATE g SET a = a + 10, d = DEFAULT WHERE id = 3 RETURNING *") == [(3, 14, 28, "xy")]
    text = "INSERT INTO g (id, a) VALUES (10, 7) ON CONFLICT DO UPDATE SET a = excluded.a, d = excluded.b RETURNING *"
    assert made.rows(text) == [(10, 7, 14, "14")]
    text = """MERGE INTO g USING (VALUES (10), (99)) s(id) USING (id) WHEN MATCHED THEN UPDATE SET d = DEFAULT, a = 5
        WHEN NOT MATCHED THEN INSERT (id, a) VALUES (s.id, 1) RETURNING merge_action, *"""
    assert made.rows(text) == [("UPDATE", 10, 5, 10, "xy"), ("INSERT", 99, 1, 2, "xy")]
    assert made.rows("DELETE FROM g WHERE b = 10 RETURNING id, b") == [(10, 10)]
    assert made.rows("INSERT INTO g (a) SELECT 1 RETURNING id") == [(100,)]


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO g (id, b) VALUES (1, 1)",
        "INSERT INTO g (b) SELECT 1",
        "INSERT INTO g BY NAME SELECT 1 AS b",
        "UPDATE g SET b = 1",
        "INSERT INTO g (id) VALUES (1) ON CONFLICT DO UPDATE SET b = 1",
        "MERGE INTO g USING h ON true WHEN MATCHED THEN UPDATE SET b = 1",
        "MERGE INTO g USING h ON true WHEN NOT MATCHED THEN INSERT (b) VALUES (1)",
        "COPY g (b) FROM 'x.csv'",
    ],
)
def test_generated_columns_are_not_written(made: Any, text: str) -> None:
    made.count("INSERT INTO g (id) VALUES (1)")
    made.count("INSERT INTO h VALUES (1, 1)")
    with pytest.raises(QueryError, match="'b' is generated"):
        made.session.sql(text)


def test_constraints_hold_for_every_verb(made: Any) -> None:
    made.count("INSERT INTO g (id, a) VALUES (1, 1), (2, 2)")
    made.count("INSERT INTO h VALUES (1, 1), (2, NULL)")
    for text in (
        "INSERT INTO g (a) VALUES (100)",
        "INSERT INTO g (a) SELECT 100",
        "UPDATE g SET a = a * 100",
        "INSERT OR REPLACE INTO g (id, a) VALUES (1, 100)",
        "MERGE INTO g USING h ON g.id = h.g WHEN MATCHED THEN UPDATE SET a = 100",
        "INSERT INTO h VALUES (3, 77)",
        "UPDATE h SET g = 77",
        "DELETE FROM g WHERE id = 1",
        "UPDATE g SET id = 7 WHERE id = 1",
        "TRUNCATE g",
        "UPDATE g SET id = NULL",
    ):
        with pytest.raises(ConstraintError):
            made.session.sql(text)
    assert made.rows("FROM g JOIN h ON g.id = h.g") == [(1, 1, 2, "xy", 1, 1)]
    assert made.count("DELETE FROM g WHERE id = 2") == 1
