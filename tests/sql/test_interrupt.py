"""A statement stopped from another thread: it has not happened, the session goes on, and no other one notices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import absdb
from absdb import dbapi

LONG = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 3"


@pytest.fixture
def shop() -> Iterator[absdb.Instance]:
    with absdb.connect(":memory:") as shop:
        shop["main"].create_table("t", [{"id": 1, "v": 10}, {"id": 2, "v": 20}], key="id")
        yield shop


def stopped(work: Callable[[], Any], stop: Callable[[], None]) -> BaseException | None:
    """What `work` raises while another thread asks it to stop, again and again."""
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.02):
            stop()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        work()
    except absdb.AbsdbError as error:
        return error
    finally:
        done.set()
        asking.join()
    return None


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        f"INSERT INTO t SELECT 5, * FROM ({LONG})",
        f"INSERT INTO t SELECT * FROM ({LONG}) x(id), (SELECT 1) ON CONFLICT DO NOTHING",
        f"UPDATE t SET v = ({LONG})",
        f"DELETE FROM t WHERE v > ({LONG})",
        f"CREATE TABLE u AS {LONG}",
        f"EXPLAIN ANALYZE {LONG}",
    ],
)
@pytest.mark.parametrize("where", ["main", "thread"])
def test_a_statement_is_stopped_and_the_transaction_goes_on(shop, text, where):
    with shop["main"].session() as session:
        session.sql("BEGIN")
        session.sql("UPDATE t SET v = 5 WHERE id = 1")
        found: list[BaseException | None] = []

        def run() -> None:
            found.append(stopped(lambda: session.sql(text).fetchall(), session.interrupt))

        if where == "main":
            run()
        else:
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
        assert isinstance(found[0], absdb.QueryError)
        assert "interrupted" in str(found[0])
        assert session.in_transaction
        assert session.sql("FROM t").fetchall() == [(1, 5), (2, 20)]
        session.sql("COMMIT")
        assert "u" not in shop["main"]


def test_the_driver_says_that_it_was_circumstances(shop):
    with dbapi.connect(shop) as connection:
        connection.execute("UPDATE t SET v = 5 WHERE id = 1")
        for stop in (connection.cancel, connection.interrupt):
            error = stopped(lambda: connection.execute(LONG).fetchall(), stop)
            assert isinstance(error, dbapi.OperationalError)
        error = stopped(
            lambda: connection.executemany("UPDATE t SET v = v + ?", [(1,)] * 100_000), connection.cancel
        )
        assert isinstance(error, dbapi.OperationalError)
        assert connection.execute("FROM t").fetchall() == [(1, 5), (2, 20)]
        connection.cancel()
        connection.commit()
        assert connection.execute("FROM t").fetchall() == [(1, 5), (2, 20)]
    connection.cancel()


def test_rows_that_are_being_fetched_are_stopped(shop):
    with dbapi.connect(shop) as connection:
        cursor = connection.execute("SELECT a.range FROM range(100000000) a")
        assert cursor.fetchone() == (0,)
        error = stopped(cursor.fetchall, connection.cancel)
        assert isinstance(error, dbapi.OperationalError)
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_other_sessions_are_left_alone(shop):
    fine = "SELECT count(*) FROM range(1500) a, range(1500) b WHERE (a.range * b.range) % 7 = 3"
    found: list[Any] = []
    with shop["main"].session() as one, shop["main"].session() as other:

        def run() -> None:
            for _ in range(20):
                found.append(other.sql(fine).fetchall())

        thread = threading.Thread(target=run)
        thread.start()
        while thread.is_alive():
            assert stopped(lambda: one.sql(LONG).fetchall(), one.interrupt) is not None
        thread.join()
    assert found == [found[0]] * 20
