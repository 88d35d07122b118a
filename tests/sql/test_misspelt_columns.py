"""A column that is not there: the place in the text, and the name that was probably meant.

DuckDB is given only the columns that a query names, so it cannot know the others; the hint comes from the tables.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import absdb


@pytest.fixture(scope="module")
def main() -> Iterator[absdb.Database]:
    with absdb.connect(":memory:") as instance:
        database = instance["main"]
        database.sql("CREATE TABLE orders (id INT PRIMARY KEY, status TEXT, total DOUBLE)")
        database.sql("CREATE TABLE users (uid INT PRIMARY KEY, name TEXT)")
        database.sql("CREATE VIEW paid AS SELECT id, total FROM orders WHERE status = 'paid'")
        yield database


@pytest.mark.parametrize(
    ("text", "misspelt", "meant"),
    [
        ("SELECT statsu FROM orders", "statsu", "status"),
        ("SELECT o.statsu FROM orders o", "o.statsu", "status"),
        ("SELECT id FROM orders WHERE totl > 1", "totl", "total"),
        ("SELECT name, stauts FROM orders JOIN users ON uid = id", "stauts", "status"),
        ("SELECT nmae, status FROM orders JOIN users ON uid = id", "nmae", "name"),
        ("SELECT count(*) FROM orders GROUP BY stats", "stats", "status"),
        ("SELECT id FROM (SELECT id, sttus FROM orders)", "sttus", "status"),
        ("SELECT totla FROM paid", "totla", "total"),
        ("SELECT Totall FROM main.orders", "Totall", "total"),
        ("UPDATE orders SET status = stauts", "stauts", "status"),
        ("DELETE FROM orders WHERE totl = 1", "totl", "total"),
        ("EXPLAIN SELECT statsu FROM orders", "statsu", "status"),
    ],
)
def test_the_name_that_was_meant_is_suggested(main, text, misspelt, meant):
    with pytest.raises(absdb.UnknownNameError) as caught:
        main.sql(text).to_arrow()
    assert caught.value.hint == f"did you mean {meant!r}?"
    assert caught.value.position == text.index(misspelt)
    assert "^" in caught.value.message


def test_where_none_is_near_the_columns_are_listed(main):
    with pytest.raises(absdb.UnknownNameError) as caught:
        main.sql("SELECT zzz FROM orders")
    assert caught.value.hint == "columns: id, status, total"
