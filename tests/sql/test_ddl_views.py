"""Views and schemas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import absdb
from absdb import Database, Instance
from absdb.errors import AlreadyExistsError, InvalidInputError, NotFoundError, QueryError, StateError


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


def test_a_view_is_its_query(main: Database) -> None:
    main.sql("CREATE VIEW large AS SELECT id, total / 10 AS tens FROM orders WHERE total > 10")
    main.sql('CREATE VIEW Named (a, "b c") AS FROM large ORDER BY id DESC')
    assert rows(main, "SELECT * FROM named") == [(3, 3.0), (2, 2.0)]
    assert rows(main, 'SELECT n.a + l.id, "b c" FROM Named n JOIN large l ON n.a = l.id WHERE a = 3') == [
        (6, 3.0)
    ]
    main.sql("INSERT INTO orders VALUES (9, 90)")
    assert rows(main, "SELECT count(*) FROM large") == [(3,)]
    main.sql(
        "CREATE RECURSIVE VIEW numbers (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 3"
    )
    assert rows(main, "FROM numbers") == [(1,), (2,), (3,)]


def test_a_view_is_replaced_renamed_moved_and_dropped(main: Database) -> None:
    main.sql("CREATE VIEW v AS SELECT 1 AS a; CREATE VIEW IF NOT EXISTS v AS SELECT 2 AS a")
    assert rows(main, "FROM v") == [(1,)]
    main.sql("CREATE OR REPLACE VIEW V AS SELECT 2 AS a; CREATE SCHEMA s")
    main.sql("ALTER VIEW v RENAME TO w; ALTER VIEW w SET SCHEMA s; ALTER VIEW IF EXISTS v RENAME TO x")
    assert rows(main, "FROM s.w") == [(2,)]
    main.sql("DROP VIEW s.w; DROP VIEW IF EXISTS s.w, v")
    with pytest.raises(NotFoundError):
        main.sql("DROP VIEW s.w")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("CREATE VIEW v AS SELECT nosuch FROM orders", "nosuch"),
        ("CREATE VIEW v AS FROM nosuch", "nosuch"),
        ("CREATE VIEW v AS SELECT nosuch(1)", "nosuch"),
        ("CREATE VIEW v (a, b, c) AS FROM orders", "(a"),
        ("CREATE VIEW v (a, a) AS FROM orders", "(a"),
        ("CREATE VIEW v AS SELECT id FROM orders WHERE id = $1", "$1"),
        ("CREATE VIEW v AS", "<end>"),
        ("CREATE TEMP VIEW v AS SELECT 1", "TEMP"),
        ("CREATE RECURSIVE VIEW v AS SELECT 1", "AS"),
        ("CREATE VIEW v AS DELETE FROM orders", "DELETE"),
    ],
)
def test_a_view_is_tried_out_when_it_is_made(main: Database, text: str, at: str) -> None:
    with pytest.raises(QueryError) as caught:
        main.sql(text, [1] if "$1" in text else None)
    assert caught.value.position == (len(text) if at == "<end>" else text.index(at))
    with pytest.raises(QueryError):
        main.sql("FROM v")


def test_variables_of_the_program_are_no_part_of_a_view(main: Database) -> None:
    frame = {"a": [1]}
    assert frame
    with pytest.raises(QueryError, match="no table 'frame'"):
        main.sql("CREATE VIEW v AS FROM frame")


def test_a_view_does_not_read_itself(main: Database) -> None:
    main.sql("CREATE VIEW a AS FROM orders; CREATE VIEW b AS FROM a")
    for text in ("CREATE OR REPLACE VIEW a AS FROM a", "CREATE OR REPLACE VIEW a AS FROM b"):
        with pytest.raises(QueryError, match="refers to itself"):
            main.sql(text)
        assert len(rows(main, "FROM b")) == 4


def test_tables_and_views_share_their_names(main: Database) -> None:
    main.sql("CREATE VIEW v AS FROM orders")
    for text in (
        "CREATE VIEW orders AS SELECT 1",
        "CREATE OR REPLACE VIEW Orders AS SELECT 1",
        "CREATE TABLE v (a INTEGER)",
        "CREATE TABLE IF NOT EXISTS v AS SELECT 1 AS a",
        "ALTER VIEW v RENAME TO orders",
    ):
        with pytest.raises(AlreadyExistsError):
            main.sql(text)
    for text in (
        "DROP TABLE v",
        "DROP VIEW orders",
        "ALTER TABLE v ADD a INTEGER",
        "ALTER VIEW orders RENAME TO x",
    ):
        with pytest.raises(InvalidInputError, match=r"is a (view|table), not"):
            main.sql(text)


def test_two_who_make_a_view_at_once(main: Database) -> None:
    with main.session() as first, main.session() as second:
        first.sql("BEGIN; CREATE VIEW v AS SELECT 1 AS a")
        second.sql("BEGIN; CREATE VIEW v AS SELECT 2 AS a")
        first.sql("COMMIT")
        with pytest.raises(absdb.ConflictError):
            second.sql("COMMIT")
    assert rows(main, "FROM v") == [(1,)]


def test_a_view_is_as_of_its_time_and_of_its_branch(shop: Instance, main: Database) -> None:
    main.sql("CREATE VIEW v AS SELECT sum(id) AS s FROM orders; CREATE SNAPSHOT before")
    branch = main.branch("staging")
    main.sql("CREATE OR REPLACE VIEW v AS SELECT -sum(id) AS s FROM orders; DELETE FROM orders WHERE id = 3")
    assert rows(main, "FROM v") == [(-3,)]
    assert rows(main, "FROM v AT (SNAPSHOT => 'before')") == [(6,)]
    assert rows(main.at(snapshot="before"), "FROM v") == [(6,)]
    assert rows(main, "SELECT a.s, b.s FROM v a, staging.v b") == [(-3, 6)]
    branch.sql("INSERT INTO orders VALUES (100, 0); DROP TABLE IF EXISTS nosuch")
    assert rows(main, "FROM staging.v") == [(106,)]
    main.restore(snapshot="before")
    assert rows(main, "FROM v") == [(6,)]
    main.sql("CREATE VIEW staging.w AS SELECT count(*) AS n FROM orders")
    assert rows(main, "FROM staging.w") == [(5,)]
    with pytest.raises(QueryError):
        main.sql("FROM w")


def test_a_view_whose_table_has_gone_says_so(main: Database) -> None:
    main.sql("CREATE VIEW v AS FROM orders; DROP TABLE orders")
    with pytest.raises(QueryError, match="in view 'v'"):
        main.sql("FROM v")
    main.sql("UNDROP TABLE orders")
    assert len(rows(main, "FROM v")) == 4


def test_views_are_undone_by_rollback_and_survive_reopening(tmp_path: Path) -> None:
    with absdb.connect(tmp_path / "shop") as shop:
        main = shop["main"]
        with main.session() as session:
            session.sql("BEGIN; CREATE SCHEMA s; CREATE VIEW s.v AS SELECT 1 AS a; CREATE VIEW w AS FROM s.v")
            assert session.sql("FROM w").fetchall() == [(1,)]
            session.sql("ROLLBACK")
            with pytest.raises(QueryError):
                session.sql("FROM w")
        main.sql("CREATE SCHEMA s; CREATE VIEW s.v (b) AS SELECT 1 AS a")
    with absdb.connect(tmp_path / "shop") as shop:
        assert rows(shop["main"], "SELECT b FROM s.v") == [(1,)]


def test_schemas(shop: Instance, main: Database) -> None:
    main.branch("staging")
    main.sql(
        "CREATE SCHEMA s; CREATE SCHEMA IF NOT EXISTS S; CREATE SCHEMA staging.q; CREATE TABLE s.t (a INTEGER)"
    )
    assert "q" in shop["staging"]._scope.catalog().namespaces
    main.sql("CREATE TABLE u (a INTEGER PRIMARY KEY); CREATE VIEW s.v AS FROM t; DROP SCHEMA staging.q")
    main.sql("CREATE TABLE s.key (a INTEGER PRIMARY KEY); CREATE TABLE child (a INTEGER REFERENCES s.key)")
    with pytest.raises(AlreadyExistsError):
        main.sql("CREATE SCHEMA S")
    with pytest.raises(StateError, match=r"s\.t"):
        main.sql("DROP SCHEMA s RESTRICT")
    for text in ("DROP SCHEMA nosuch", "CREATE TABLE nosuch.main.t (a INTEGER)", "CREATE SCHEMA nosuch.x"):
        with pytest.raises(NotFoundError):
            main.sql(text)
    with pytest.raises(InvalidInputError, match="always there"):
        main.sql("DROP SCHEMA main CASCADE")
    main.sql("DROP SCHEMA s CASCADE; DROP SCHEMA IF EXISTS s")
    assert main._scope.catalog().namespaces == ("main",)
    assert main._scope.catalog().table("child").constraints == ()


def test_new_things_go_into_the_current_schema(main: Database) -> None:
    main.sql("CREATE SCHEMA s")
    with main.session() as session:
        session.sql("USE s; CREATE TABLE t (a INTEGER); CREATE VIEW v AS FROM t")
        session.sql("ALTER TABLE t ADD b INTEGER; DROP TABLE orders")
    assert main["s.t"].schema.names == ["a", "b"]
    assert rows(main, "FROM s.v") == []
