"""Databases and branches, snapshots, RESTORE, UNDROP, CHECKPOINT."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import absdb
from absdb import Database, Instance, ManualClock
from absdb.errors import AlreadyExistsError, InvalidInputError, NotFoundError, QueryError, StateError


@pytest.fixture
def shop() -> Iterator[Instance]:
    with absdb.connect(":memory:", clock=ManualClock(datetime(2026, 4, 4, 14, tzinfo=UTC))) as made:
        yield made


@pytest.fixture
def main(shop: Instance) -> Database:
    main = shop["main"]
    main.sql("CREATE TABLE orders AS SELECT range AS id FROM range(10)")
    return main


def count(database: Database) -> int:
    return database["orders"].count()


def test_branches_of_now_and_of_points(shop: Instance, main: Database) -> None:
    lsn = main.lsn
    shop._engine.clock.advance(seconds=60)  # type: ignore[attr-defined]  # it is a ManualClock
    main.sql("CREATE SNAPSHOT before; DELETE FROM orders WHERE id < 5")
    main.sql("CREATE DATABASE a BRANCH FROM main")
    main.sql("CREATE DATABASE b BRANCH FROM Main AS OF SNAPSHOT 'before'")
    main.sql("CREATE DATABASE c BRANCH FROM main AS OF LSN ?", [str(lsn)])
    main.sql("CREATE DATABASE d BRANCH FROM main AS OF TIMESTAMP '2026-04-04 14:00:30'")
    main.sql("CREATE DATABASE e BRANCH FROM main AS OF SNAPSHOT before")
    assert [count(shop[name]) for name in "abcde"] == [5, 10, 10, 10, 10]
    main.sql("CREATE DATABASE empty")
    assert shop["empty"].tables().shape[0] == 0


def test_what_is_said_about_a_database(shop: Instance, main: Database) -> None:
    main.sql("CREATE DATABASE s BRANCH FROM main RETAIN 7 DAYS PROTECTED COMMENT 'a try' IF NOT EXISTS")
    main.sql("CREATE DATABASE IF NOT EXISTS s; CREATE DATABASE t PROTECTED RETAIN '12 hours'")
    listed = shop.branches().set_index("name")
    assert list(listed["protected"]) == [False, True, True]
    assert listed.loc["s", "comment"] == "a try"
    hours = (listed["expires_at"] - listed["created_at"]).dt.total_seconds() / 3600
    assert list(hours[1:]) == [7 * 24, 12]
    main.sql(
        "ALTER DATABASE s SET RETAIN 1 DAY; ALTER DATABASE t DROP RETAIN; ALTER DATABASE T DROP PROTECTED"
    )
    main.sql("ALTER DATABASE main SET PROTECTED; ALTER DATABASE IF EXISTS nosuch RENAME TO x")
    listed = shop.branches().set_index("name")
    assert list(listed["protected"]) == [True, True, False]
    assert list(listed["expires_at"].isna()) == [True, False, True]
    with pytest.raises(StateError, match="protected"):
        main.sql("DROP TABLE orders")
    with pytest.raises(StateError, match="protected"):
        main.sql("DROP DATABASE s")


def test_names_of_databases(shop: Instance, main: Database) -> None:
    main.sql("CREATE DATABASE staging BRANCH FROM main; ALTER DATABASE Staging RENAME TO trial")
    assert list(shop) == ["main", "trial"]
    for text in ("CREATE DATABASE trial", "CREATE DATABASE Trial", "ALTER DATABASE trial RENAME TO MAIN"):
        with pytest.raises(AlreadyExistsError):
            main.sql(text)
    with pytest.raises(NotFoundError, match="did you mean 'trial'") as caught:
        main.sql("DROP DATABASE trail")
    assert caught.value.position == len("DROP DATABASE ")
    main.sql("ALTER DATABASE trial RENAME TO Trial; DROP DATABASE trial; DROP DATABASE IF EXISTS trial")
    with pytest.raises(StateError, match="current database"):
        main.sql("DROP DATABASE main")


def test_a_database_is_replaced_only_if_the_new_one_can_be_made(shop: Instance, main: Database) -> None:
    main.sql("CREATE DATABASE s BRANCH FROM main; DELETE FROM s.orders")
    for text in (
        "CREATE OR REPLACE DATABASE s BRANCH FROM nosuch",
        "CREATE OR REPLACE DATABASE s BRANCH FROM main AS OF SNAPSHOT 'nosuch'",
        "CREATE OR REPLACE DATABASE s BRANCH FROM s",
        "CREATE OR REPLACE DATABASE s BRANCH FROM main RETAIN 5 fortnights",
    ):
        with pytest.raises((NotFoundError, QueryError, InvalidInputError)):
            main.sql(text)
        assert count(shop["s"]) == 0
    main.sql("CREATE OR REPLACE DATABASE s BRANCH FROM main")
    assert count(shop["s"]) == 10


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("CREATE DATABASE x BRANCH main", "main"),
        ("CREATE DATABASE x AS OF now()", "AS OF"),
        ("CREATE DATABASE x RETAIN 5 fortnights", "5"),
        ("CREATE DATABASE x RETAIN 0 DAYS", "0"),
        ("CREATE DATABASE x BRANCH FROM main AS OF SNAPSHOT 'nosuch'", "'nosuch'"),
        ("CREATE DATABASE x BRANCH FROM main AS OF TIMESTAMP '1999-01-01'", "'1999"),
        ("CREATE DATABASE x BRANCH FROM main AS OF LSN '9/0'", "'9/0'"),
        ("ALTER DATABASE main SET PROTECTD", "PROTECTD"),
        ("ALTER DATABASE main RENAME", "RENAME"),
        ("RESTORE DATABASE main", "<end>"),
        ("RESTORE DATABASE main TO SNAPSHOT 'nosuch'", "'nosuch'"),
        ("RESTORE main TO LSN '0/1'", "main"),
        ("CREATE OR REPLACE SNAPSHOT x", "x"),
        ("CHECKPOINT main", "main"),
        ("UNDROP VIEW v", "VIEW"),
    ],
)
def test_what_is_wrong_is_pointed_at(shop: Instance, main: Database, text: str, at: str) -> None:
    with pytest.raises(QueryError) as caught:
        main.sql(text)
    assert caught.value.position == (len(text) if at == "<end>" else text.index(at))
    assert list(shop) == ["main"]


def test_snapshots(shop: Instance, main: Database) -> None:
    lsn = main.lsn
    main.sql("CREATE DATABASE s BRANCH FROM main; DELETE FROM orders")
    main.sql("CREATE SNAPSHOT now_empty COMMENT 'nothing left'")
    main.sql("CREATE SNAPSHOT 'be-fore' ON main AS OF LSN ?", [str(lsn)])
    main.sql("CREATE SNAPSHOT IF NOT EXISTS now_empty ON main; CREATE SNAPSHOT now_empty ON s")
    assert set(zip(shop.snapshots()["database"], shop.snapshots()["name"], strict=True)) == {
        ("main", "now_empty"),
        ("main", "be-fore"),
        ("s", "now_empty"),
    }
    assert count(main.at(snapshot="be-fore")) == 10
    main.at(snapshot="be-fore").sql("CREATE SNAPSHOT same")
    assert count(main.at(snapshot="same")) == 10
    with pytest.raises(AlreadyExistsError):
        main.sql("CREATE SNAPSHOT 'be-fore'")
    main.sql("DROP SNAPSHOT now_empty ON s; DROP SNAPSHOT 'be-fore'; DROP SNAPSHOT IF EXISTS 'be-fore'")
    with pytest.raises(NotFoundError, match="no snapshot"):
        main.sql("DROP SNAPSHOT now_empty ON s")


def test_restoring_a_database_and_tables_of_it(main: Database) -> None:
    main.sql(
        "CREATE TABLE other AS SELECT 1 AS a; CREATE SNAPSHOT before; DELETE FROM orders; DELETE FROM other"
    )
    emptied = main.lsn
    main.sql("RESTORE DATABASE main TO SNAPSHOT 'before' TABLES (Orders)")
    assert (count(main), main["other"].count()) == (10, 0)
    main.sql("RESTORE DATABASE main TO LSN ?", [str(emptied)])
    assert count(main) == 0
    main.sql("RESTORE TABLE main.orders, other TO SNAPSHOT before")
    assert (count(main), main["other"].count()) == (10, 1)
    with pytest.raises(NotFoundError, match="did you mean 'orders'") as caught:
        main.sql("RESTORE TABLE oders TO SNAPSHOT before")
    assert caught.value.position == len("RESTORE TABLE ")


def test_dropped_tables_come_back(main: Database) -> None:
    main.sql("CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 1 AS a; DROP TABLE orders, s.t")
    main.sql("UNDROP TABLE orders; UNDROP TABLE main.S.T")
    assert (count(main), main["s.t"].count()) == (10, 1)
    with pytest.raises(AlreadyExistsError):
        main.sql("UNDROP TABLE orders")
    with pytest.raises(NotFoundError) as caught:
        main.sql("UNDROP TABLE nosuch")
    assert caught.value.position == len("UNDROP TABLE ")
    with main.session() as session:
        session.sql("BEGIN; DROP TABLE orders; UNDROP TABLE orders; COMMIT")
    assert count(main) == 10


def test_a_checkpoint(shop: Instance, main: Database) -> None:
    before = main.sql("SELECT absdb_last_checkpoint_lsn()").fetchall()
    assert main.sql("CHECKPOINT").statement == "CHECKPOINT"
    assert main.sql("SELECT absdb_last_checkpoint_lsn()").fetchall() != before


@pytest.mark.parametrize(
    "text",
    [
        "CREATE DATABASE x",
        "ALTER DATABASE main SET PROTECTED",
        "DROP DATABASE s",
        "RESTORE DATABASE main TO LSN '0/1'",
        "CREATE SNAPSHOT x",
        "DROP SNAPSHOT x",
        "COMMENT ON DATABASE main IS 'x'",
    ],
)
def test_databases_are_no_part_of_a_transaction(main: Database, text: str) -> None:
    with main.session() as session:
        session.sql("BEGIN; DELETE FROM orders")
        with pytest.raises(StateError, match="no part of a transaction"):
            session.sql(text)
        session.sql("ROLLBACK")
    assert count(main) == 10


def test_all_of_it_survives_reopening(tmp_path: Path) -> None:
    with absdb.connect(tmp_path / "shop") as shop:
        shop["main"].sql(
            """CREATE TABLE orders (id INTEGER); INSERT INTO orders VALUES (1);
            CREATE SNAPSHOT before; CREATE DATABASE s BRANCH FROM main RETAIN 3 DAYS PROTECTED;
            DROP TABLE orders; RESTORE DATABASE main TO SNAPSHOT before; CREATE DATABASE gone; DROP DATABASE gone"""
        )
    with absdb.connect(tmp_path / "shop", read_only=True) as shop:
        assert list(shop) == ["main", "s"]
        assert [count(shop["main"]), count(shop["s"])] == [1, 1]
        assert shop["s"].protected
        with pytest.raises(StateError, match="reading only"):
            shop["main"].sql("CREATE DATABASE x")
