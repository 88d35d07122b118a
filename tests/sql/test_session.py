"""Sessions: the current database, BEGIN and COMMIT, savepoints, and what several sessions see of one another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import absdb
from absdb.sql.session import Session


@pytest.fixture
def shop() -> Iterator[absdb.Instance]:
    with absdb.connect(":memory:", clock=absdb.ManualClock(tick_us=1_000_000), author="ann") as shop:
        shop["main"].create_table("t", [{"id": 1, "v": 10}, {"id": 2, "v": 20}], key="id")
        yield shop


@pytest.fixture
def main(shop: absdb.Instance) -> absdb.Database:
    return shop["main"]


def values(where: absdb.Database | Session, table: str = "t") -> dict[int, int]:
    return dict(where.sql(f"SELECT id, v FROM {table}").fetchall())


# -- BEGIN, COMMIT, ROLLBACK


BEGINNINGS = (
    "BEGIN",
    "begin transaction",
    "BEGIN WORK",
    "START TRANSACTION",
    "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE",
    "START TRANSACTION ISOLATION LEVEL REPEATABLE READ NOT DEFERRABLE",
    "BEGIN TRANSACTION READ ONLY",
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "BEGIN ISOLATION LEVEL SNAPSHOT",
)
ENDS = ("COMMIT", "end", "COMMIT WORK", "END TRANSACTION", "ROLLBACK", "ABORT", "ROLLBACK TRANSACTION")


def test_a_transaction_keeps_its_snapshot(main):
    with main.session() as session:
        for number, text in enumerate(BEGINNINGS):
            before = values(session)
            assert not session.in_transaction
            session.sql(text)
            assert session.in_transaction
            main["t"].update({"id": 1, "v": 100 + number})
            assert values(session) == before
            assert values(main) == {1: 100 + number, 2: 20}
            session.sql(ENDS[number % len(ENDS)])
            assert not session.in_transaction
            assert values(session) == {1: 100 + number, 2: 20}


def test_what_needs_a_transaction_says_so(main):
    with main.session() as session:
        for text in ("COMMIT", "END", "ROLLBACK", "SAVEPOINT a", "ROLLBACK TO a", "RELEASE a"):
            with pytest.raises(absdb.StateError) as caught:
                session.sql(text)
            assert caught.value.hint == "BEGIN opens one"


def test_a_second_begin_is_refused_and_changes_nothing(main):
    with main.session() as session:
        session.sql("BEGIN")
        with pytest.raises(absdb.StateError, match="a transaction is open"):
            session.sql("BEGIN")
        main["t"].delete([1])
        assert values(session) == {1: 10, 2: 20}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("BEGIN QUICKLY", "QUICKLY"),
        ("BEGIN ISOLATION LEVEL HIGH", "HIGH"),
        ("START", "the end of the statement"),
        ("COMMIT NOW", "NOW"),
        ("COMMIT MESSAGE 3", "3"),
        ("ROLLBACK TO", "the end of the statement"),
        ("SAVEPOINT", "the end of the statement"),
        ("SAVEPOINT a b", "b"),
        ("BEGIN READ", "the end of the statement"),
    ],
)
def test_misspelt_statements_are_shown_where(main, text, found):
    with main.session() as session:
        if not text.startswith(("BEGIN", "START")):
            session.sql("BEGIN")
        with pytest.raises(absdb.QueryError, match="expected") as caught:
            session.sql(text)
    assert found in caught.value.message
    assert "^" in caught.value.message


# -- one call


def test_a_text_may_hold_a_whole_transaction(main):
    assert main.sql("BEGIN; SELECT 1; COMMIT").statement == "COMMIT"
    assert main.sql("BEGIN; COMMIT; SELECT count(*) FROM t").fetchall() == [(2,)]


def test_a_text_that_leaves_a_transaction_open_is_rolled_back_and_refused(main):
    with pytest.raises(absdb.StateError, match="does not end it, so it was rolled back") as caught:
        main.sql("BEGIN; SELECT 1")
    assert "session()" in caught.value.hint


def test_the_transaction_of_a_program_is_not_ended_by_sql(main):
    with main.transaction() as tx:
        tx["t"].insert({"id": 3, "v": 30})
        for text in ("COMMIT", "ROLLBACK", "BEGIN"):
            with pytest.raises(absdb.StateError):
                tx.sql(text)
        assert values(tx) == {1: 10, 2: 20, 3: 30}
        tx.sql("SAVEPOINT before")
        tx["t"].delete([1, 2])
        tx.sql("ROLLBACK TO SAVEPOINT Before")
    assert values(main) == {1: 10, 2: 20, 3: 30}


# -- USE


def test_use_makes_another_database_or_schema_the_current_one(shop, main):
    main.branch("staging")
    main["t"].update({"id": 1, "v": 11})
    with main.session() as session:
        session.sql("USE staging")
        assert session.database == "staging"
        assert values(session) == {1: 10, 2: 20}
        assert session.sql("SELECT current_database(), current_schema()").fetchall() == [("staging", "main")]
        session.sql("USE MAIN")
        assert values(session) == {1: 11, 2: 20}
        shop["staging"].create_schema("sales")
        session.sql("USE staging.sales")
        assert session.sql("SELECT current_database(), current_schema()").fetchall() == [("staging", "sales")]
        session.sql("USE main")
        assert session.sql("SELECT current_schema()").fetchall() == [("main",)]
        main.create_schema("sales")
        session.sql("USE sales")
        assert session.sql("SELECT current_database(), current_schema()").fetchall() == [("main", "sales")]


def test_use_of_a_state_of_the_past(main):
    main.snapshot("before")
    lsn = main.lsn
    main["t"].update({"id": 1, "v": 11})
    with main.session() as session:
        for point in ("AS OF SNAPSHOT 'before'", f"AT (LSN => '{lsn}')", f"AS OF LSN '{lsn}'"):
            session.sql(f"USE main {point}")
            assert values(session) == {1: 10, 2: 20}
            session.sql("BEGIN")
            assert values(session) == {1: 10, 2: 20}
            with pytest.raises(absdb.StateError, match="needs a transaction that writes"):
                session.sql("SAVEPOINT a")
            session.sql("COMMIT")
            session.sql("USE main")
            assert values(session) == {1: 11, 2: 20}
        with pytest.raises(absdb.QueryError, match="no snapshot 'befor'"):
            session.sql("USE main AS OF SNAPSHOT 'befor'")


def test_use_in_a_transaction(shop, main):
    main.branch("staging")
    main.create_schema("sales")
    with main.session() as session:
        session.sql("BEGIN")
        session.sql("USE sales")
        assert session.namespace == "sales"
        with pytest.raises(absdb.StateError, match="a transaction is open"):
            session.sql("USE staging")
        assert session.database == "main"
        session.sql("COMMIT")
        session.sql("USE staging")
        assert session.database == "staging"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("stagin", "did you mean 'staging'?"),
        ("x.y", "databases here: main, staging"),
        ("a.b.c", "database.schema"),
    ],
)
def test_use_of_what_is_not_there(main, name, hint):
    main.branch("staging")
    with main.session() as session, pytest.raises(absdb.QueryError, match="LINE 1") as caught:
        session.sql(f"USE {name}")
    assert hint in caught.value.hint


# -- the end of a session


def test_a_closed_session_has_rolled_back_and_refuses(main):
    session = main.session()
    session.sql("BEGIN")
    session.close()
    session.close()
    assert not session.in_transaction
    with pytest.raises(absdb.StateError, match="the session is closed"):
        session.sql("SELECT 1")
