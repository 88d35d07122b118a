"""CREATE SEQUENCE, nextval and currval, in queries and as defaults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import absdb
from absdb import Database, Instance
from absdb.errors import AlreadyExistsError, ConstraintError, NotFoundError, QueryError, StateError


@pytest.fixture
def shop() -> Iterator[Instance]:
    with absdb.connect(":memory:") as made:
        yield made


@pytest.fixture
def main(shop: Instance) -> Database:
    return shop["main"]


def value(database: Database, query: str) -> object:
    return database.sql(query).fetchall()[0][0]


def test_values_come_one_after_another(main: Database) -> None:
    main.sql(
        "CREATE SEQUENCE s; CREATE SEQUENCE down START WITH 10 INCREMENT BY -5; CREATE SEQUENCE IF NOT EXISTS S"
    )
    assert [value(main, "SELECT nextval('s')") for _ in range(3)] == [1, 2, 3]
    assert main.sql("SELECT nextval('S') AS n, nextval('down') AS d FROM range(3) ORDER BY n").fetchall() == [
        (4, 10),
        (5, 5),
        (6, 0),
    ]
    found = main.sql("SELECT nextval('s') FROM range(10000)")
    assert found.columns == ["nextval('s')"]
    assert sorted(found.fetchall()) == [(n,) for n in range(7, 10_007)]
    assert value(main, "SELECT nextval('main.s') + nextval('main.main.s')") == 10_007 + 10_008


def test_statements_that_write_take_values(main: Database) -> None:
    main.sql("CREATE SEQUENCE s; CREATE TABLE t (id INTEGER PRIMARY KEY, a VARCHAR)")
    main.sql("INSERT INTO t VALUES (nextval('s'), 'x'), (nextval('s'), 'y')")
    main.sql("INSERT INTO t SELECT nextval('s'), 'z' FROM range(2)")
    assert main.sql("SELECT id FROM t").fetchall() == [(1,), (2,), (3,), (4,)]
    main.sql("UPDATE t SET a = nextval('s')::VARCHAR WHERE id < 3")
    assert main.sql("SELECT a FROM t ORDER BY a").fetchall() == [("5",), ("6",), ("z",), ("z",)]
    main.sql("CREATE TABLE u AS SELECT nextval('s') AS n FROM range(2)")
    assert main.sql("FROM u").fetchall() == [(7,), (8,)]


def test_a_default_takes_values_and_several_columns_may(main: Database) -> None:
    main.sql("CREATE SEQUENCE s START 100")
    main.sql("CREATE TABLE t (id BIGINT DEFAULT nextval('s') PRIMARY KEY, a VARCHAR)")
    main.sql("CREATE TABLE u (id BIGINT, n BIGINT DEFAULT nextval('main.s'))")
    main.sql(
        "INSERT INTO t (a) VALUES ('x'), ('y'); INSERT INTO u (id) VALUES (1); INSERT INTO t (a) VALUES ('z')"
    )
    assert main.sql("SELECT id FROM t").fetchall() == [(100,), (101,), (103,)]
    assert main.sql("SELECT n FROM u").fetchall() == [(102,)]
    main.sql("ALTER TABLE u ADD m BIGINT DEFAULT nextval('s'), ALTER id SET DEFAULT nextval('s')")
    assert main.sql("SELECT m FROM u").fetchall() == [(104,)]
    with pytest.raises(StateError, match="numbers a column"):
        main.sql("DROP SEQUENCE s")
    with pytest.raises(StateError, match="numbers a column"):
        main.sql("CREATE OR REPLACE SEQUENCE s")
    main.sql("DROP TABLE t")
    assert value(main, "SELECT nextval('s')") == 105
    main.sql("DROP SEQUENCE s CASCADE")
    main.sql("INSERT INTO u VALUES (7, 8, 9); INSERT INTO u (id) VALUES (8)")
    assert main.sql("SELECT n FROM u WHERE id = 8").fetchall() == [(None,)]


def test_the_last_value_of_a_session(main: Database) -> None:
    main.sql("CREATE SEQUENCE s")
    with main.session() as session:
        with pytest.raises(QueryError, match="not taken a value"):
            session.sql("SELECT currval('s')")
        session.sql("SELECT nextval('s') FROM range(3)").fetchall()
        assert main.sql("SELECT nextval('s')").fetchall() == [(4,)]
        assert session.sql("SELECT currval('s'), currval('s') + 1").fetchall() == [(3, 4)]


def test_a_sequence_has_an_end(main: Database) -> None:
    main.sql(
        "CREATE SEQUENCE s MINVALUE 3 MAXVALUE 5 NO CYCLE; CREATE TABLE t (id INTEGER DEFAULT nextval('s'), a INTEGER)"
    )
    assert value(main, "SELECT nextval('s')") == 3
    main.sql("INSERT INTO t (a) VALUES (1), (2)")
    with pytest.raises(ConstraintError, match="end"):
        main.sql("INSERT INTO t (a) VALUES (1)")
    with pytest.raises(QueryError, match="no more values"):
        main.sql("SELECT nextval('s')").fetchall()
    main.sql("CREATE SEQUENCE up MAXVALUE 1; DROP SEQUENCE up")
    main.sql("CREATE OR REPLACE SEQUENCE up START 7")
    assert value(main, "SELECT nextval('up')") == 7


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("SELECT nextval('q')", "'q'"),
        ("SELECT nextval(a) FROM (SELECT 's' AS a)", "a)"),
        ("SELECT nextval()", "nextval"),
        ("SELECT currval('q')", "'q'"),
        ("CREATE SEQUENCE q INCREMENT BY 0", "INCREMENT"),
        ("CREATE SEQUENCE q CYCLE", "CYCLE"),
        ("CREATE SEQUENCE q START 5 MAXVALUE 4", "START"),
        ("CREATE SEQUENCE q START 'x'", "'x'"),
        ("CREATE SEQUENCE q sideways", "sideways"),
        ("CREATE TABLE t (a VARCHAR DEFAULT nextval('s'))", "nextval"),
        ("CREATE TABLE t (a BIGINT DEFAULT currval('s'))", "currval"),
    ],
)
def test_what_is_wrong_is_pointed_at(main: Database, text: str, at: str) -> None:
    main.sql("CREATE SEQUENCE s")
    with pytest.raises(QueryError) as caught:
        main.sql(text)
    assert caught.value.position == text.index(at)


def test_names_of_sequences(main: Database) -> None:
    main.sql("CREATE SCHEMA x; CREATE SEQUENCE s; CREATE SEQUENCE x.s START 50; CREATE TABLE s (a INTEGER)")
    assert value(main, "SELECT nextval('x.s') + nextval('s')") == 51
    with main.session() as session:
        session.sql("USE x")
        assert session.sql("SELECT nextval('s')").fetchall() == [(51,)]
    with pytest.raises(AlreadyExistsError):
        main.sql("CREATE SEQUENCE S")
    with pytest.raises(NotFoundError, match="did you mean 's'"):
        main.sql("DROP SEQUENCE ss")
    with pytest.raises(NotFoundError):
        main.sql("CREATE TABLE t (a BIGINT DEFAULT nextval('ss'))")
    assert list(main.sequences()["name"]) == ["s", "x.s"]
    main.sql("DROP SEQUENCE IF EXISTS x.s, ss; DROP SEQUENCE s")


def test_branches_never_get_the_same_value(shop: Instance, main: Database) -> None:
    main.sql("CREATE SEQUENCE s; CREATE TABLE t (id BIGINT DEFAULT nextval('s'), a INTEGER)")
    main.sql("INSERT INTO t (a) VALUES (1)")
    branch = main.branch("staging")
    for database in (main, branch):
        database.sql("INSERT INTO t (a) VALUES (1), (2)")
    mine, theirs = value(main, "SELECT nextval('s')"), value(main, "SELECT nextval('staging.s')")
    both = main.sql(
        "SELECT id FROM t WHERE id > 1 UNION ALL SELECT id FROM staging.t WHERE id > 1"
    ).fetchall()
    numbers = [number for (number,) in both] + [mine, theirs]
    assert len(set(numbers)) == 6
    with pytest.raises(StateError, match="stand still"):
        main.at(lsn=main.lsn).sql("SELECT nextval('s')")


def test_values_are_not_given_back(tmp_path: Path) -> None:
    with absdb.connect(tmp_path / "shop") as shop:
        main = shop["main"]
        main.sql("CREATE SEQUENCE s; CREATE SNAPSHOT before")
        with main.session() as session:
            session.sql("BEGIN")
            assert session.sql("SELECT nextval('s')").fetchall() == [(1,)]
            session.sql("CREATE SEQUENCE own START 9")
            assert session.sql("SELECT nextval('own')").fetchall() == [(9,)]
            session.sql("ROLLBACK")
            with pytest.raises(QueryError, match="no sequence 'own'"):
                session.sql("SELECT nextval('own')")
        assert value(main, "SELECT nextval('s')") == 2
        main.restore(snapshot="before")
        assert value(main, "SELECT nextval('s')") == 3
    with absdb.connect(tmp_path / "shop") as shop:
        assert value(shop["main"], "SELECT nextval('s')") > 3  # type: ignore[operator]  # it is an int
    with (
        absdb.connect(tmp_path / "shop", read_only=True) as shop,
        pytest.raises(StateError, match="reading only"),
    ):
        shop["main"].sql("SELECT nextval('s')")
