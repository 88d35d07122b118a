"""ALTER TABLE of every kind, COMMENT ON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import absdb
from absdb import Database, Instance
from absdb.errors import (
    AbsdbError,
    AlreadyExistsError,
    ConflictError,
    ConstraintError,
    NotFoundError,
    QueryError,
)


@pytest.fixture
def shop() -> Iterator[Instance]:
    with absdb.connect(":memory:") as made:
        yield made


@pytest.fixture
def main(shop: Instance) -> Database:
    main = shop["main"]
    main.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b VARCHAR)")
    main["t"].insert([{"id": 1, "a": 10, "b": "x"}, {"id": 2, "a": 20, "b": "y"}])
    return main


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    return database.sql(query).fetchall()


def test_columns_are_added(main: Database) -> None:
    main.sql("ALTER TABLE T ADD COLUMN c INTEGER DEFAULT 7 NOT NULL")
    main.sql(
        "ALTER TABLE t ADD d VARCHAR, ADD COLUMN e AS (a * 2), ADD f INTEGER GENERATED ALWAYS AS IDENTITY"
    )
    main.sql("ALTER TABLE t ADD COLUMN IF NOT EXISTS c DOUBLE")
    main.sql("ALTER TABLE t ADD COLUMN g DOUBLE DEFAULT random() CHECK (g < 1) UNIQUE")
    assert rows(main, "SELECT id, c, d, e, f, g < 1 FROM t") == [
        (1, 7, None, 20, 1, True),
        (2, 7, None, 40, 2, True),
    ]
    with pytest.raises(ConstraintError):
        main["t"].insert({"id": 3, "g": 2.0})
    with pytest.raises(QueryError, match="already"):
        main.sql("ALTER TABLE t ADD COLUMN A INTEGER")


def test_columns_are_dropped(main: Database) -> None:
    main.sql("ALTER TABLE t ADD CONSTRAINT positive CHECK (a > 0), ADD UNIQUE (a, b)")
    main.sql("CREATE TABLE child (a INTEGER, b VARCHAR, FOREIGN KEY (a, b) REFERENCES t (a, b))")
    with pytest.raises(ConstraintError) as caught:
        main.sql("ALTER TABLE t DROP COLUMN a")
    assert caught.value.position == len("ALTER TABLE t ")
    main.sql("ALTER TABLE t DROP COLUMN A CASCADE, DROP IF EXISTS nosuch")
    assert main["t"].schema.names == ["id", "b"]
    assert main._scope.catalog().table("t").constraints == ()
    assert main._scope.catalog().table("child").constraints == ()
    with pytest.raises(QueryError, match="did you mean 'b'") as caught_name:
        main.sql("ALTER TABLE t DROP COLUMN bb")
    assert caught_name.value.position == len("ALTER TABLE t DROP COLUMN ")


def test_names_change(main: Database) -> None:
    main.sql("ALTER TABLE t RENAME COLUMN a TO amount")
    main.sql("ALTER TABLE t RENAME B TO label")
    main.sql("ALTER TABLE t RENAME TO things")
    assert rows(main, "SELECT amount, label FROM things WHERE id = 1") == [(10, "x")]
    main.sql("CREATE SCHEMA s; ALTER TABLE things SET SCHEMA s; ALTER TABLE s.things RENAME label TO Label")
    assert main["s.things"].schema.names == ["id", "amount", "Label"]
    main.sql("CREATE TABLE u (a INTEGER, b INTEGER); CREATE VIEW v AS FROM u; CREATE TABLE s.u (a INTEGER)")
    for text in (
        "ALTER TABLE u RENAME TO v",
        "ALTER TABLE u RENAME a TO B",
        "ALTER TABLE u SET SCHEMA s",
        "ALTER VIEW v RENAME TO u",
    ):
        with pytest.raises(AlreadyExistsError):
            main.sql(text)
    with pytest.raises(NotFoundError, match="no schema 'q'"):
        main.sql("ALTER TABLE u SET SCHEMA q")


def test_types_change(main: Database) -> None:
    main.sql("ALTER TABLE t ALTER a TYPE BIGINT")
    main.sql("ALTER TABLE t ALTER COLUMN a SET DATA TYPE VARCHAR USING a || '!', ALTER b TYPE BLOB")
    assert main["t"].schema.types == [pa.int32(), pa.string(), pa.binary()]
    assert rows(main, "SELECT a, b FROM t") == [("10!", b"x"), ("20!", b"y")]
    with pytest.raises(QueryError) as caught:
        main.sql("ALTER TABLE t ALTER a TYPE INTEGER")
    assert caught.value.position == len("ALTER TABLE t ALTER a TYPE ")
    main.sql(
        "ALTER TABLE t ALTER a TYPE DOUBLE USING replace(a, '!', '.5')::DOUBLE; ALTER TABLE t ALTER a TYPE INT"
    )
    assert rows(main, "SELECT a FROM t") == [(10,), (20,)]
    with pytest.raises(AbsdbError, match="key"):
        main.sql("ALTER TABLE t ALTER id TYPE VARCHAR")


def test_defaults_and_not_null_change(main: Database) -> None:
    main.sql("ALTER TABLE t ALTER a SET DEFAULT 1 + 1, ALTER COLUMN b SET DEFAULT upper('z')")
    main["t"].insert({"id": 3})
    main.sql("ALTER TABLE t ALTER a DROP DEFAULT; ALTER TABLE t ALTER b SET DEFAULT NULL")
    main["t"].insert({"id": 4})
    assert rows(main, "SELECT a, b FROM t WHERE id > 2") == [(2, "Z"), (None, None)]
    with pytest.raises(ConstraintError, match="NULL"):
        main.sql("ALTER TABLE t ALTER a SET NOT NULL")
    main["t"].delete(4)
    main.sql("ALTER TABLE t ALTER a SET NOT NULL")
    with pytest.raises(ConstraintError):
        main["t"].insert({"id": 4})
    main.sql("ALTER TABLE t ALTER a DROP NOT NULL")
    main["t"].insert({"id": 4})


def test_constraints_come_and_go(main: Database) -> None:
    main.sql("ALTER TABLE t ADD CONSTRAINT small CHECK (a < 100), ADD UNIQUE (b)")
    with pytest.raises(ConstraintError, match="a < 100"):
        main["t"].insert({"id": 3, "a": 100})
    main.sql("ALTER TABLE t RENAME CONSTRAINT small TO little; ALTER TABLE t DROP CONSTRAINT Little")
    main.sql("ALTER TABLE t DROP CONSTRAINT IF EXISTS little")
    main["t"].insert({"id": 3, "a": 100})
    with pytest.raises(ConstraintError):
        main.sql("ALTER TABLE t ADD CHECK (a < 100)")
    with pytest.raises(NotFoundError, match="did you mean 't_b_unique'"):
        main.sql("ALTER TABLE t DROP CONSTRAINT t_b_uniqe")
    with pytest.raises(AlreadyExistsError, match=r"the key \(id\) already"):
        main.sql("ALTER TABLE t ADD PRIMARY KEY (b)")


def test_a_table_gets_a_key(main: Database) -> None:
    main.sql(
        """CREATE TABLE u (n INTEGER GENERATED ALWAYS AS IDENTITY, k VARCHAR, a INTEGER DEFAULT 4 CHECK (a > 0),
        twice AS (a * 2), boss VARCHAR, UNIQUE (k), FOREIGN KEY (boss) REFERENCES u (k));
        INSERT INTO u (k, a) VALUES ('b', 1), ('a', 2); INSERT INTO u (k, boss) VALUES ('c', 'a');
        COMMENT ON COLUMN u.a IS 'amount'; CREATE SNAPSHOT before"""
    )
    main.sql("ALTER TABLE u ADD COLUMN later INTEGER DEFAULT 9, ADD CONSTRAINT pk PRIMARY KEY (K)")
    assert main._scope.catalog().table("u").key_names == ("k",)
    assert rows(main, "FROM u") == [
        (2, "a", 2, 4, None, 9),
        (1, "b", 1, 2, None, 9),
        (3, "c", 4, 8, "a", 9),
    ]
    assert main["u"].columns()["comment"].tolist()[2] == "amount"
    main.sql("INSERT INTO u (k) VALUES ('d')")
    assert rows(main, "SELECT n, twice, later FROM u WHERE k = 'd'") == [(4, 8, 9)]
    for text in (
        "INSERT INTO u (k) VALUES ('a')",
        "INSERT INTO u (k, a) VALUES ('e', 0)",
        "DELETE FROM u WHERE k = 'a'",
    ):
        with pytest.raises(ConstraintError):
            main.sql(text)
    assert rows(main, "SELECT k FROM u AT (SNAPSHOT => 'before') ORDER BY n") == [("b",), ("a",), ("c",)]
    main.sql("RESTORE DATABASE main TO SNAPSHOT before")
    with pytest.raises(ConstraintError, match="NULL"):
        main.sql("ALTER TABLE u ADD PRIMARY KEY (boss)")
    main.sql(
        "ALTER TABLE u DROP CONSTRAINT u_boss_fkey; UPDATE u SET a = 1; CREATE TABLE child (k VARCHAR REFERENCES u (k))"
    )
    with pytest.raises(ConstraintError):
        main.sql("ALTER TABLE u ADD PRIMARY KEY (a)")
    with pytest.raises(ConstraintError, match="child"):
        main.sql("ALTER TABLE u ADD PRIMARY KEY (k)")
    main.sql("DROP TABLE child")
    with main.session() as session:
        session.sql("BEGIN; ALTER TABLE u ADD PRIMARY KEY (k)")
        main.sql("INSERT INTO u (k) VALUES ('z')")
        with pytest.raises(ConflictError, match="rests on"):
            session.sql("COMMIT")
    assert len(rows(main, "FROM u")) == 4


def test_several_changes_happen_together_or_not_at_all(main: Database) -> None:
    with pytest.raises(QueryError):
        main.sql("ALTER TABLE t ADD c INTEGER, DROP COLUMN nosuch")
    assert main["t"].schema.names == ["id", "a", "b"]
    main.sql("ALTER TABLE IF EXISTS nosuch ADD c INTEGER")
    with pytest.raises(NotFoundError):
        main.sql("ALTER TABLE nosuch ADD c INTEGER")
    main.sql("ALTER TABLE t SET (compression = 'zstd')")
    assert main._scope.catalog().table("t").compression == "zstd"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("ALTER TABLE t ADD c", "<end>"),
        ("ALTER TABLE t ADD c INTEGER PRIMARY KEY", "PRIMARY"),
        ("ALTER TABLE t ADD c INTEGER DEFAULT 'x'", "'x'"),
        ("ALTER TABLE t ALTER a TYPE NOSUCH", "NOSUCH"),
        ("ALTER TABLE t ALTER nosuch DROP DEFAULT", "nosuch"),
        ("ALTER TABLE t ALTER a TYPE VARCHAR USING nosuch", "nosuch"),
        ("ALTER TABLE t ALTER a SET NULL", "NULL"),
        ("ALTER TABLE t SET compression", "compression"),
        ("ALTER TABLE t RENAME nosuch TO c", "nosuch"),
        ("ALTER TABLE t CHANGE a b", "CHANGE"),
    ],
)
def test_what_is_wrong_is_pointed_at(main: Database, text: str, at: str) -> None:
    with pytest.raises(QueryError) as caught:
        main.sql(text)
    assert caught.value.position == (len(text) if at == "<end>" else text.index(at))
    assert main["t"].schema.names == ["id", "a", "b"]


def test_changes_are_undone_by_rollback_and_restore_and_survive_reopening(tmp_path: Path) -> None:
    with absdb.connect(tmp_path / "shop") as shop:
        main = shop["main"]
        main.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER); INSERT INTO t VALUES (1, 1)")
        main.snapshot("before")
        with main.session() as session:
            session.sql("BEGIN; ALTER TABLE t ADD c INTEGER DEFAULT 5, RENAME a TO z, ALTER id DROP DEFAULT")
            assert session.sql("SELECT z, c FROM t").fetchall() == [(1, 5)]
            session.sql("ROLLBACK")
        assert main["t"].schema.names == ["id", "a"]
        main.sql("ALTER TABLE t ADD c INTEGER DEFAULT 5, ALTER a TYPE VARCHAR")
    with absdb.connect(tmp_path / "shop") as shop:
        main = shop["main"]
        assert rows(main, "FROM t") == [(1, "1", 5)]
        assert rows(main, "FROM t AT (SNAPSHOT => 'before')") == [(1, 1)]
        branch = main.branch("staging")
        branch.sql("ALTER TABLE t DROP c")
        assert main["t"].schema.names == ["id", "a", "c"]
        main.restore(snapshot="before")
        assert rows(main, "FROM t") == [(1, 1)]
        assert rows(main, "FROM staging.t") == [(1, "1")]


def test_comments(shop: Instance, main: Database) -> None:
    main.sql("CREATE VIEW v AS FROM t; CREATE SCHEMA s")
    main.sql("COMMENT ON TABLE t IS 'it''s'; COMMENT ON COLUMN t.A IS 'amount'; COMMENT ON VIEW v IS 'all'")
    main.sql("COMMENT ON SCHEMA s IS 'sales'; COMMENT ON DATABASE main IS 'the first'")
    catalog = main._scope.catalog()
    assert (catalog.table("t").comment, catalog.table("t").column("a").comment) == ("it's", "amount")
    assert [
        value["comment"] for (kind, _), value in catalog.entities.items() if kind in ("view", "namespace")
    ] == [
        "all",
        "sales",
    ]
    assert list(shop.databases()["comment"]) == ["the first"]
    main.sql("COMMENT ON TABLE t IS NULL")
    assert main["t"].comment == ""
    for text, at in (
        ("COMMENT ON COLUMN t.q IS 'x'", "q"),
        ("COMMENT ON COLUMN a IS 'x'", "a"),
        ("COMMENT ON TABLE t IS 5", "5"),
        ("COMMENT ON INDEX i IS 'x'", "INDEX"),
    ):
        with pytest.raises(QueryError) as caught:
            main.sql(text)
        assert caught.value.position == text.index(f"{at}", len("COMMENT ON"))
