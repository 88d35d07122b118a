"""INSERT … ON CONFLICT, OR REPLACE, OR IGNORE: which rows are written, and as what."""

from __future__ import annotations

from typing import Any

import pytest

from absdb.errors import ConstraintError, QueryError


@pytest.fixture
def filled(shop: Any) -> Any:
    shop.session.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER DEFAULT 7)")
    shop.count("INSERT INTO t VALUES (1, 10, 1), (2, 20, 2)")
    shop.session.sql("CREATE TABLE u (a INTEGER UNIQUE, b INTEGER UNIQUE, c INTEGER)")
    shop.count("INSERT INTO u VALUES (1, 1, 1), (2, 2, 2)")
    return shop


def test_do_nothing_keeps_what_is_there_and_the_first_of_equal_rows(filled: Any) -> None:
    text = "INSERT INTO t (id, a) VALUES (1, 0), (3, 30), (3, 31) ON CONFLICT DO NOTHING RETURNING id, a, b"
    assert filled.rows(text) == [(3, 30, 7)]
    assert filled.count("INSERT OR IGNORE INTO t SELECT i, 0, 0 FROM range(1, 6) r(i)") == 2
    assert filled.rows("FROM t") == [(1, 10, 1), (2, 20, 2), (3, 30, 7), (4, 0, 0), (5, 0, 0)]


def test_do_update_sees_both_rows(filled: Any) -> None:
    text = (
        "INSERT INTO t AS x (id, a) VALUES (1, 5), (2, 6), (2, 7), (9, 9) ON CONFLICT (id) "
        "DO UPDATE SET a = a + excluded.a, b = x.b + excluded.b WHERE x.a < 20 OR excluded.a = 7"
    )
    assert filled.count(text) == 2
    assert filled.rows("FROM t") == [(1, 15, 8), (2, 20, 2), (9, 9, 7)]
    assert (
        filled.count("INSERT INTO t VALUES (1, 1, 1) ON CONFLICT DO UPDATE SET (b, id) = (DEFAULT, 11)") == 1
    )
    assert filled.rows("FROM t WHERE id = 11") == [(11, 15, 7)]


def test_or_replace_writes_the_columns_given(filled: Any) -> None:
    assert filled.count("INSERT OR REPLACE INTO t (a, id) VALUES (100, 1), (300, 3), (301, 3)") == 2
    assert filled.count("INSERT OR REPLACE INTO t BY NAME SELECT 2 AS id, NULL AS b") == 1
    assert filled.rows("FROM t") == [(1, 100, 1), (2, 20, None), (3, 300, 7)]


def test_unique_columns(filled: Any) -> None:
    text = (
        "INSERT INTO u VALUES (1, 5, 0), (6, 2, 0), (7, 7, 0), (7, 8, 0), (9, 8, 0), (NULL, 9, 0), (NULL, 10, 0) "
        "ON CONFLICT DO NOTHING"
    )
    assert filled.count(text) == 4
    assert (
        filled.count("INSERT INTO u VALUES (1, 11, 3) ON CONFLICT (a) DO UPDATE SET c = u.c + excluded.c")
        == 1
    )
    assert filled.rows("FROM u WHERE a = 1") == [(1, 1, 4)]
    with pytest.raises(ConstraintError):
        filled.session.sql("INSERT INTO u VALUES (50, 1, 3) ON CONFLICT (a) DO NOTHING")
    assert filled.rows("SELECT count(*) FROM u") == [(6,)]


def test_constraints_hold_for_rows_that_are_left_out(filled: Any) -> None:
    with pytest.raises(ConstraintError, match="NULL"):
        filled.session.sql("INSERT INTO t VALUES (NULL, 1, 1) ON CONFLICT DO NOTHING")


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("INSERT INTO t (id) VALUES (1) ON CONFLICT (a) DO NOTHING", "neither the key nor UNIQUE", 44),
        ("INSERT INTO t (id) VALUES (1) ON CONFLICT (idd) DO NOTHING", "no column 'idd'", 44),
        ("INSERT INTO t (id) VALUES (1) ON CONFLICT ON CONSTRAINT x DO NOTHING", "named by its columns", 43),
        ("INSERT INTO t (id) VALUES (1) ON CONFLICT (id) WHERE id > 1 DO NOTHING", "a part of the rows", 48),
        ("INSERT INTO t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET c = 1", "no column 'c'", 62),
        ("INSERT INTO t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET a = excluded.c", "no column 'c'", 75),
        ("INSERT OR REPLACE INTO u VALUES (1, 1, 1)", "2 constraints", 1),
        ("INSERT OR IGNORE INTO log VALUES (1, 'x')", "no constraints", 1),
        ("INSERT OR IGNORE INTO t (id) VALUES (1) ON CONFLICT DO NOTHING", "OR IGNORE", 41),
    ],
)
def test_errors_point_at_the_place(filled: Any, text: str, message: str, column: int) -> None:
    with pytest.raises(QueryError, match=message) as error:
        filled.session.sql(text)
    assert (error.value.column, error.value.statement) == (column, text)
