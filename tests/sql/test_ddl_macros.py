"""CREATE MACRO, scalar and table, and queries that call macros."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import absdb
from absdb import Database, Instance
from absdb.errors import AlreadyExistsError, NotFoundError, QueryError


@pytest.fixture
def shop() -> Iterator[Instance]:
    with absdb.connect(":memory:") as made:
        yield made


@pytest.fixture
def main(shop: Instance) -> Database:
    main = shop["main"]
    main.sql("CREATE TABLE orders AS SELECT range AS id, range * 10 AS total FROM range(4)")
    return main


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    return database.sql(query).fetchall()


def test_scalar_macros(main: Database) -> None:
    main.sql(
        "CREATE MACRO plus(a, b := 1) AS a + b; CREATE FUNCTION most() AS (SELECT max(total) FROM orders)"
    )
    main.sql("CREATE MACRO above(n) AS (SELECT count(*) FROM orders o WHERE o.total > n)")
    main.sql("CREATE MACRO twice(x) AS plus(x, x); CREATE MACRO over(a) AS a, (a, b) AS a * b")
    found = main.sql(
        "SELECT plus(1), PLUS(id, b := 5), twice(id), most(), above(total), over(7), over(7, 8) FROM orders"
    )
    assert found.columns[0] == "plus(1)"
    assert found.fetchall()[2] == (2, 7, 4, 30, 1, 7, 56)
    assert rows(main, "SELECT sum(id) FROM orders WHERE plus(id) > 2") == [(5,)]
    assert rows(main, "SELECT id.plus(2) FROM orders LIMIT 1") == [(2,)]
    main.sql("UPDATE orders SET total = twice(total) WHERE id = plus(0)")
    assert rows(main, "SELECT total FROM orders WHERE id = 1") == [(20,)]


def test_table_macros(main: Database) -> None:
    main.sql("CREATE MACRO large(n) AS TABLE SELECT id, (total) AS t FROM orders WHERE total > n")
    main.sql("CREATE MACRO pair(n := 5) AS TABLE FROM large(n) UNION ALL FROM large(n * 4)")
    assert rows(main, "FROM large(15)") == [(2, 20), (3, 30)]
    assert rows(main, "SELECT large.id, x.t FROM large(25) JOIN pair(n := 6) x USING (id)") == [
        (3, 30),
        (3, 30),
    ]
    assert len(rows(main, "FROM pair()")) == 4
    main.sql("CREATE TABLE copied AS FROM large(15)")
    assert main["copied"].count() == 2


def test_a_macro_of_another_database_reads_its_tables(shop: Instance, main: Database) -> None:
    main.sql("CREATE MACRO n() AS (SELECT count(*) FROM orders); CREATE MACRO all_of() AS TABLE FROM orders")
    main.branch("staging").sql("DELETE FROM orders WHERE id = 0; CREATE SCHEMA s; CREATE MACRO s.n() AS -1")
    assert rows(main, "SELECT n(), staging.n(), staging.main.n(), staging.s.n()") == [(4, 3, 3, -1)]
    assert rows(main, "SELECT count(*) FROM all_of() a, staging.all_of() b WHERE a.id = b.id") == [(3,)]
    assert rows(main, "SELECT min(all_of.id) FROM staging.all_of()") == [(1,)]


def test_a_macro_is_as_of_its_time(main: Database) -> None:
    main.sql("CREATE MACRO f(x) AS x + (SELECT count(*) FROM orders); CREATE VIEW v AS SELECT f(0) AS n")
    main.sql("CREATE SNAPSHOT before; CREATE OR REPLACE MACRO f(x) AS -x; DELETE FROM orders")
    assert rows(main, "SELECT f(1), n FROM v") == [(-1, 0)]
    past = main.at(snapshot="before")
    assert rows(past, "SELECT f(1), n FROM v") == [(5, 4)]
    assert rows(main, "SELECT f(1), a.n FROM v AT (SNAPSHOT => 'before') a") == [(-1, 4)]
    main.restore(snapshot="before")
    assert rows(main, "SELECT f(1)") == [(5,)]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("CREATE MACRO f(a) AS nosuch(a)", "nosuch"),
        ("CREATE MACRO f(a) AS a + b", "a + b"),
        ("CREATE MACRO f(a) AS (SELECT max(x) FROM nosuch)", "(SELECT"),
        ("CREATE MACRO f(a) AS TABLE SELECT nosuch FROM orders", "SELECT"),
        ("CREATE MACRO f(a) AS f(a - 1)", "f(a - 1)"),
        ("CREATE MACRO f(a) AS a +", "a +"),
        ("CREATE MACRO f(a) AS", "<end>"),
        ("CREATE MACRO f(a) AS a + $1", "$1"),
        ("CREATE MACRO f AS 1", "AS"),
        ("CREATE MACRO nextval(a) AS a", "nextval"),
        ("CREATE MACRO f(a) AS a, (a, b) AS TABLE SELECT 1", "a, (a"),
        ("CREATE TEMP MACRO f(a) AS a", "TEMP"),
    ],
)
def test_a_macro_is_tried_out_when_it_is_made(main: Database, text: str, at: str) -> None:
    with pytest.raises(QueryError) as caught:
        main.sql(text, [1] if "$1" in text else None)
    assert caught.value.position == (len(text) if at == "<end>" else text.index(at))
    with pytest.raises(QueryError):
        main.sql("SELECT f(1)")


def test_macros_that_call_each_other_do_not_go_on_for_ever(main: Database) -> None:
    main.sql("CREATE MACRO f(a) AS a; CREATE MACRO g(a) AS f(a)")
    with pytest.raises(QueryError, match="calls itself"):
        main.sql("CREATE OR REPLACE MACRO f(a) AS g(a)")
    assert rows(main, "SELECT g(3)") == [(3,)]


def test_names_of_macros(main: Database) -> None:
    main.sql("CREATE MACRO f(a) AS a; CREATE MACRO IF NOT EXISTS F(a) AS -a; CREATE MACRO abs(a) AS 'mine'")
    assert rows(main, "SELECT f(1), abs(-1)") == [(1, "mine")]
    with pytest.raises(AlreadyExistsError):
        main.sql("CREATE MACRO F(a) AS -a")
    main.sql("COMMENT ON MACRO f IS 'itself'; DROP MACRO abs; DROP FUNCTION IF EXISTS nosuch; DROP MACRO f")
    assert rows(main, "SELECT abs(-1)") == [(1,)]
    with pytest.raises(NotFoundError):
        main.sql("DROP MACRO f")
    main.sql("CREATE MACRO t() AS TABLE SELECT 1 AS a; DROP MACRO TABLE t")


def test_what_fails_in_a_macro_names_it(main: Database) -> None:
    main.sql("CREATE MACRO n() AS (SELECT count(*) FROM orders); DROP TABLE orders")
    with pytest.raises(QueryError, match="in macro 'n'"):
        main.sql("SELECT n()")


def test_macros_are_undone_by_rollback_and_survive_reopening(tmp_path: Path) -> None:
    with absdb.connect(tmp_path / "shop") as shop:
        main = shop["main"]
        with main.session() as session:
            session.sql("BEGIN; CREATE MACRO f(a) AS a + 1")
            assert session.sql("SELECT f(1)").fetchall() == [(2,)]
            session.sql("ROLLBACK")
            with pytest.raises(QueryError):
                session.sql("SELECT f(1)")
        main.sql("CREATE MACRO f(a) AS a + 2, (a, b) AS a + b")
    with absdb.connect(tmp_path / "shop") as shop:
        assert rows(shop["main"], "SELECT f(1), f(1, 1)") == [(3, 2)]
