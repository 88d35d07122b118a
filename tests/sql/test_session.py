"""Sessions: the current database, BEGIN and COMMIT, savepoints, and what several sessions see of one another."""

from __future__ import annotations

import threading
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


# -- what transactions see of one another, and what becomes of two that meet


@pytest.fixture
def two(main: absdb.Database) -> Iterator[tuple[Session, Session]]:
    """Two sessions side by side."""
    with main.session() as one, main.session() as other:
        yield one, other


def test_dirty_read_is_prevented(main, two):
    one, other = two
    one.sql("BEGIN; UPDATE t SET v = 99 WHERE id = 1; INSERT INTO t VALUES (3, 30)")
    assert values(one) == {1: 99, 2: 20, 3: 30}
    assert values(other) == values(main) == {1: 10, 2: 20}
    other.sql("BEGIN ISOLATION LEVEL READ UNCOMMITTED")
    assert values(other) == {1: 10, 2: 20}
    one.sql("ROLLBACK")
    assert values(one) == values(other) == {1: 10, 2: 20}


def test_non_repeatable_read_is_prevented(two):
    one, other = two
    one.sql("BEGIN")
    assert values(one) == {1: 10, 2: 20}
    other.sql("UPDATE t SET v = 99 WHERE id = 1")
    other.sql("DELETE FROM t WHERE id = 2")
    assert values(one) == {1: 10, 2: 20}
    assert one.sql("SELECT v FROM t WHERE id = 1").fetchall() == [(10,)]
    one.sql("COMMIT")
    assert values(one) == {1: 99}


def test_phantom_is_prevented(two):
    one, other = two
    one.sql("BEGIN")
    query = "SELECT count(*) FROM t WHERE v >= 10"
    assert one.sql(query).fetchall() == [(2,)]
    other.sql("INSERT INTO t VALUES (3, 30)")
    assert one.sql(query).fetchall() == [(2,)]
    # Not through a change of the rows it sees either.
    assert one.sql("UPDATE t SET v = v + 1 WHERE v >= 10").rowcount == 2
    one.sql("COMMIT")
    assert values(one) == {1: 11, 2: 21, 3: 30}


def test_lost_update_is_prevented(main, two):
    one, other = two
    for session in two:
        session.sql("BEGIN")
        [(seen,)] = session.sql("SELECT v FROM t WHERE id = 1").fetchall()
        session.sql("UPDATE t SET v = ? WHERE id = 1", [seen + 1])
    one.sql("COMMIT")
    with pytest.raises(absdb.WriteConflictError, match="table 't': key 1"):
        other.sql("COMMIT")
    assert not other.in_transaction
    assert values(main)[1] == 11
    other.sql("BEGIN; UPDATE t SET v = v + 1 WHERE id = 1; COMMIT")
    assert values(main)[1] == 12


def test_single_statements_are_tried_again_instead(main):
    """Two sessions that count up in autocommit lose nothing, and nobody sees a conflict."""

    def count() -> None:
        with main.session() as session:
            for _ in range(25):
                session.sql("UPDATE t SET v = v + 1 WHERE id = 1")

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values(main)[1] == 10 + 75


def test_read_skew_is_prevented_within_and_across_databases(shop, main, two):
    one, other = two
    main.branch("staging")
    one.sql("BEGIN")
    assert one.sql("SELECT v FROM t WHERE id = 1").fetchall() == [(10,)]
    other.sql("BEGIN; UPDATE t SET v = 0 WHERE id = 1; UPDATE t SET v = 30 WHERE id = 2; COMMIT")
    shop["staging"].sql("UPDATE t SET v = 7")
    assert one.sql("SELECT v FROM t WHERE id = 2").fetchall() == [(20,)]
    both = "SELECT m.v, s.v FROM main.t m JOIN staging.t s USING (id) ORDER BY id"
    assert one.sql(both).fetchall() == [(10, 10), (20, 20)]
    one.sql("COMMIT")
    assert one.sql(both).fetchall() == [(0, 7), (30, 7)]


def skew(sessions: tuple[Session, Session], begin: str) -> None:
    """Each takes its own row to zero, since the other one's is not."""
    for session in sessions:
        session.sql(begin)
        assert session.sql("SELECT sum(v) FROM t").fetchall() == [(30,)]
    for session, key in zip(sessions, (1, 2), strict=True):
        session.sql("UPDATE t SET v = 0 WHERE id = ?", [key])


def test_write_skew_is_possible_under_snapshot_isolation(main, two):
    skew(two, "BEGIN")
    for session in two:
        session.sql("COMMIT")
    assert values(main) == {1: 0, 2: 0}


def test_write_skew_is_prevented_by_serializable(main, two):
    one, other = two
    skew(two, "BEGIN ISOLATION LEVEL SERIALIZABLE")
    one.sql("COMMIT")
    with pytest.raises(absdb.ReadConflictError, match="rows of table 't' that the transaction has read"):
        other.sql("COMMIT")
    assert not other.in_transaction
    assert values(main) == {1: 0, 2: 20}


def test_serializable_transactions_that_do_not_meet_both_commit(main, two):
    """Keys and ranges that the WHERE clause names are what was read, not the whole table."""
    one, other = two
    main.sql("INSERT INTO t SELECT n, n FROM range(100, 200) r(n)")
    for session in two:
        session.sql("BEGIN ISOLATION LEVEL SERIALIZABLE")
    assert one.sql("SELECT v FROM t WHERE id = 1").fetchall() == [(10,)]
    assert one.sql("SELECT count(*) FROM t WHERE id BETWEEN 100 AND 120").fetchall() == [(21,)]
    one.sql("UPDATE t SET v = v + 1 WHERE id = 1")
    other.sql("UPDATE t SET v = v + 1 WHERE id = 2")
    other.sql("INSERT INTO t VALUES (99, 0)")
    other.sql("DELETE FROM t WHERE id = 121")
    other.sql("COMMIT")
    one.sql("COMMIT")
    assert values(main)[1] == 11
    for key in (100, 110, 120):
        one.sql("BEGIN ISOLATION LEVEL SERIALIZABLE")
        one.sql("SELECT count(*) FROM t WHERE id >= 100 AND id < 121").fetchall()
        one.sql("INSERT INTO t VALUES (?, 0)", [1000 + key])
        other.sql("UPDATE t SET v = -1 WHERE id = ?", [key])
        with pytest.raises(absdb.ReadConflictError):
            one.sql("COMMIT")


def test_serializable_covers_what_is_read_of_other_databases(shop, main, two):
    one, _ = two
    main.branch("staging")
    one.sql("BEGIN ISOLATION LEVEL SERIALIZABLE")
    one.sql("UPDATE t SET v = (SELECT max(v) FROM staging.t) WHERE id = 1")
    shop["staging"].sql("UPDATE t SET v = 500 WHERE id = 2")
    with pytest.raises(absdb.ReadConflictError):
        one.sql("COMMIT")
    # A state of the past does not change, whatever happens.
    one.sql("BEGIN ISOLATION LEVEL SERIALIZABLE")
    one.sql("UPDATE t SET v = (SELECT max(v) FROM staging.t AT (LSN => ?)) WHERE id = 1", [str(main.lsn)])
    shop["staging"].sql("UPDATE t SET v = 600 WHERE id = 2")
    one.sql("COMMIT")
    assert values(main)[1] == 500


def test_read_only_transactions_refuse_to_write_and_nothing_else(main, two):
    one, other = two
    one.sql("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY")
    assert values(one) == {1: 10, 2: 20}
    for text in (
        "UPDATE t SET v = 1",
        "INSERT INTO t VALUES (9, 9)",
        "DELETE FROM t",
        "CREATE TABLE u (id INT)",
    ):
        with pytest.raises(absdb.StateError, match="READ ONLY"):
            one.sql(text)
    other.sql("UPDATE t SET v = 1")
    assert values(one) == {1: 10, 2: 20}
    one.sql("COMMIT")
    one.sql("UPDATE t SET v = 2")
    assert values(main) == {1: 2, 2: 2}


# -- savepoints, failed statements


def test_savepoints(main):
    with main.session() as session:
        session.sql("BEGIN; UPDATE t SET v = 1; SAVEPOINT a; UPDATE t SET v = 2; SAVEPOINT b")
        session.sql("UPDATE t SET v = 3")
        session.sql("ROLLBACK TO SAVEPOINT B")
        assert values(session) == {1: 2, 2: 2}
        session.sql("ROLLBACK WORK TO a")
        assert values(session) == {1: 1, 2: 1}
        with pytest.raises(absdb.NotFoundError, match="no savepoint 'b'") as caught:
            session.sql("ROLLBACK TO b")
        assert caught.value.hint == "savepoints: a"
        session.sql("SAVEPOINT a; UPDATE t SET v = 4; RELEASE SAVEPOINT a; ROLLBACK TO a")
        assert values(session) == {1: 1, 2: 1}
        session.sql("COMMIT")
    assert values(main) == {1: 1, 2: 1}


def test_a_savepoint_covers_definitions(main):
    with main.session() as session:
        session.sql("BEGIN; SAVEPOINT a; CREATE TABLE u (id INT PRIMARY KEY); INSERT INTO u VALUES (1)")
        session.sql("ROLLBACK TO a")
        with pytest.raises(absdb.QueryError, match="no table 'u'"):
            session.sql("SELECT * FROM u")
        session.sql("COMMIT")


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES (3, 30), (1, 0)",
        "UPDATE t SET v = CAST('no ' || id AS INTEGER)",
        "SELECT nothing FROM t",
        "SELEC 1",
        "UPDATE t SET id = NULL",
    ],
)
def test_a_failed_statement_leaves_the_transaction_as_it_was(main, text):
    """Unlike PostgreSQL, which takes nothing but ROLLBACK after an error."""
    with main.session() as session:
        session.sql("BEGIN; UPDATE t SET v = 11 WHERE id = 1")
        with pytest.raises(absdb.AbsdbError):
            session.sql(text)
        assert session.in_transaction
        assert values(session) == {1: 11, 2: 20}
        session.sql("COMMIT")
    assert values(main) == {1: 11, 2: 20}


def test_an_error_in_a_text_rolls_back_what_the_text_began(main):
    with pytest.raises(absdb.QueryError, match="no table 'nothing'"):
        main.sql("BEGIN; UPDATE t SET v = 0; SELECT * FROM nothing; COMMIT")
    assert values(main) == {1: 10, 2: 20}
    with pytest.raises(absdb.StateError, match="rolled back"):
        main.sql("BEGIN; UPDATE t SET v = 0")
    assert values(main) == {1: 10, 2: 20}


def test_who_and_why_are_said_at_commit(main):
    main.sql("BEGIN; UPDATE t SET v = 0; COMMIT MESSAGE 'price fix' AUTHOR 'bea'")
    row = main.log(limit=1).iloc[0]
    assert (row["message"], row["author"]) == ("price fix", "bea")


def test_a_write_to_another_database_is_refused_in_a_transaction(shop, main):
    main.branch("staging")
    with main.session() as session:
        session.sql("BEGIN; UPDATE t SET v = 1")
        with pytest.raises(absdb.StateError, match="is one of database 'main', not of 'staging'"):
            session.sql("UPDATE staging.t SET v = 2")
        session.sql("COMMIT")
        session.sql("UPDATE staging.t SET v = 2")
    assert values(shop["staging"]) == {1: 2, 2: 2}


def test_many_sessions_side_by_side(main):
    sessions = [main.session() for _ in range(20)]
    for number, session in enumerate(sessions):
        session.sql(f"BEGIN; INSERT INTO t VALUES ({100 + number}, {number})")
    for number, session in enumerate(sessions):
        assert values(session) == {1: 10, 2: 20, 100 + number: number}
    for session in sessions:
        session.sql("COMMIT")
        session.close()
    assert main["t"].count() == 22


def test_a_database_dropped_under_a_transaction(shop, main):
    staging = main.branch("staging")
    with staging.session() as session:
        session.sql("BEGIN; UPDATE t SET v = 1")
        shop.drop_database("staging")
        with pytest.raises(absdb.StateError, match="was dropped"):
            session.sql("SELECT * FROM t")
        with pytest.raises(absdb.StateError, match="was dropped"):
            session.sql("COMMIT")
        assert not session.in_transaction


def test_a_closed_instance(shop, main):
    session = main.session()
    session.sql("BEGIN; UPDATE t SET v = 1")
    shop.close()
    with pytest.raises(absdb.StateError, match="the instance is closed"):
        session.sql("COMMIT")
    session.close()


def test_sessions_of_an_instance_opened_for_reading(tmp_path):
    with absdb.connect(tmp_path / "shop") as shop:
        shop["main"].create_table("t", [{"id": 1, "v": 10}], key="id")
        with absdb.connect(tmp_path / "shop", read_only=True) as reader, reader["main"].session() as session:
            session.sql("BEGIN")
            assert values(session) == {1: 10}
            with pytest.raises(absdb.StateError, match="reading only"):
                session.sql("UPDATE t SET v = 1")
            shop["main"].sql("UPDATE t SET v = 2")
            reader.refresh()
            assert values(session) == {1: 10}
            session.sql("COMMIT")
            assert values(session) == {1: 2}
