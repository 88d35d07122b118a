"""PEP 249: connections, cursors, exceptions, types; shared instances; many rows at once."""

from __future__ import annotations

import datetime as dt
import inspect
import pickle
import threading
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import absdb
from absdb import dbapi


@pytest.fixture
def connection() -> Iterator[dbapi.Connection]:
    with dbapi.connect(":memory:") as made:
        made.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total BIGINT, note VARCHAR)")
        made.execute("INSERT INTO orders VALUES (1, 10, 'a'), (2, 20, NULL), (3, 30, 'c')")
        made.commit()
        yield made


def rows(connection: dbapi.Connection, text: str, values: Any = None) -> list[tuple[Any, ...]]:
    return connection.execute(text, values).fetchall()


# --- what the module says of itself ---------------------------------------------------------------


def test_module_globals():
    assert dbapi.apilevel == "2.0"
    assert dbapi.paramstyle == "qmark"
    assert dbapi.threadsafety == 1
    for name in dbapi.__all__:
        assert hasattr(dbapi, name)


def test_exceptions_form_the_tree_of_pep_249():
    assert issubclass(dbapi.InterfaceError, dbapi.Error)
    for name in ("Data", "Operational", "Integrity", "Internal", "Programming", "NotSupported"):
        kind = getattr(dbapi, f"{name}Error")
        assert issubclass(kind, dbapi.DatabaseError)
        assert getattr(dbapi.Connection, f"{name}Error") is kind
    assert issubclass(dbapi.DatabaseError, dbapi.Error)
    assert issubclass(dbapi.Error, absdb.AbsdbError)


@pytest.mark.parametrize(
    ("text", "of_driver", "of_absdb"),
    [
        ("SELEC 1", dbapi.ProgrammingError, absdb.QueryError),
        ("SELECT * FROM oders", dbapi.ProgrammingError, absdb.QueryError),
        ("SELECT CAST('x' AS INTEGER)", dbapi.DataError, absdb.QueryError),
        ("SELECT 9223372036854775807 + 1", dbapi.DataError, absdb.QueryError),
        ("INSERT INTO orders (id) VALUES (1)", dbapi.IntegrityError, absdb.ConstraintError),
        ("SELECT ?", dbapi.ProgrammingError, absdb.InvalidInputError),
    ],
)
def test_errors_are_of_both_trees(connection, text, of_driver, of_absdb):
    with pytest.raises(of_driver) as caught:
        connection.execute(text).fetchall()
    assert isinstance(caught.value, of_absdb)
    assert isinstance(caught.value.__cause__, of_absdb)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is type(caught.value)
    assert (str(again), again.facts) == (str(caught.value), caught.value.facts)


def test_every_error_of_absdb_has_a_place_in_the_tree():
    found = [
        each for _, each in inspect.getmembers(absdb, inspect.isclass) if issubclass(each, absdb.AbsdbError)
    ]
    for own in found:
        error = dbapi.errors.of_driver(own("what", hint="advice", path="x"))
        assert isinstance(error, own)
        assert isinstance(error, dbapi.DatabaseError)
        assert (error.message, error.hint, error.facts) == ("what", "advice", {"path": "x"})


def test_type_codes_equal_type_objects(connection):
    cursor = connection.execute(
        "SELECT 1 AS i, 1.5::DECIMAL(9,2) AS m, 'x' AS s, DATE '2026-01-01' AS d, now() AS t, 'a'::BLOB AS b,"
        " true AS y, uuid() AS u, '{}'::JSON AS j, 'a'::ENUM('a') AS e"
    )
    description = cursor.description
    assert description is not None
    number, text, moment, blob = dbapi.NUMBER, dbapi.STRING, dbapi.DATETIME, dbapi.BINARY
    wanted = [number, number, text, moment, moment, blob, number, None, text, text]
    for column, kind in zip(description, wanted, strict=True):
        assert [each for each in (number, text, moment, blob, dbapi.ROWID) if column[1] == each] == (
            [] if kind is None else [kind]
        )
    assert [column[0] for column in description] == list("imsdtbyuje")
    assert description[1][4:6] == (9, 2)
    assert dbapi.NUMBER != dbapi.STRING
    assert {dbapi.NUMBER: 1}[dbapi.NUMBER] == 1


def test_constructors_make_values_that_bind(connection):
    stamp = dbapi.Timestamp(2026, 1, 2, 3, 4, 5)
    values = [dbapi.Date(2026, 1, 2), dbapi.Time(3, 4, 5), stamp, dbapi.Binary(b"\0x")]
    assert rows(connection, "SELECT ?, ?, ?, ?", values) == [tuple(values)]
    ticks = stamp.timestamp()
    assert dbapi.TimestampFromTicks(ticks) == stamp
    assert dbapi.DateFromTicks(ticks) == stamp.date()
    assert dbapi.TimeFromTicks(ticks) == stamp.time()


# --- cursors --------------------------------------------------------------------------------------


def test_rows_come_one_by_one_some_at_a_time_and_all(connection):
    cursor = connection.cursor()
    assert cursor.description is None
    assert cursor.execute("FROM range(10) t(n)") is cursor
    assert cursor.rowcount == -1
    assert cursor.fetchone() == (0,)
    assert cursor.fetchmany() == [(1,)]
    cursor.arraysize = 3
    assert cursor.fetchmany() == [(2,), (3,), (4,)]
    assert cursor.fetchmany(2) == [(5,), (6,)]
    assert next(cursor) == (7,)
    assert cursor.rownumber == 8
    assert cursor.fetchall() == [(8,), (9,)]
    assert (cursor.fetchone(), cursor.fetchmany(), cursor.fetchall()) == (None, [], [])
    assert cursor.rowcount == 10


def test_iteration_over_many_batches(connection):
    cursor = connection.execute("FROM range(200000) t(n)")
    assert sum(n for (n,) in cursor) == 199_999 * 100_000
    assert cursor.rowcount == 200_000


@pytest.mark.parametrize("before", [0, 1, 1_024, 1_500, 70_000])
def test_arrow_goes_on_where_tuples_stopped(connection, before):
    cursor = connection.execute("FROM range(150000) t(n)")
    assert len(cursor.fetchmany(before)) == before
    rest = cursor.fetch_arrow_table()
    assert rest.column("n").to_pylist() == list(range(before, 150_000))
    assert cursor.rowcount == cursor.rownumber == 150_000


def test_frames_and_streams(connection):
    frame = connection.execute("SELECT sum(total) AS s FROM orders").fetch_df()
    assert frame["s"].tolist() == [60]
    assert str(frame["s"].dtype) == "int64"
    reader = connection.execute("SELECT id FROM orders ORDER BY id").fetch_record_batch()
    assert isinstance(reader, pa.RecordBatchReader)
    assert reader.read_all().column("id").to_pylist() == [1, 2, 3]
    assert rows(connection, "SELECT sum(id) FROM orders") == [(6,)]  # not Decimal


def test_statements_without_rows_have_no_description(connection):
    cursor = connection.execute("UPDATE orders SET total = 0 WHERE id > 1")
    assert (cursor.description, cursor.rowcount) == (None, 2)
    with pytest.raises(dbapi.ProgrammingError, match="no rows to fetch"):
        cursor.fetchone()
    cursor.execute("DELETE FROM orders WHERE id = 1 RETURNING id, note")
    assert cursor.rowcount == 1
    assert cursor.fetchall() == [(1, "a")]
    assert connection.execute("CREATE TABLE other (a INTEGER)").description is None
    assert cursor.lastrowid is None


def test_parameters_by_place_and_by_name(connection):
    assert rows(connection, "SELECT ? || ?", ("a", "b")) == [("ab",)]
    assert rows(connection, "SELECT $2 || $1", ["a", "b"]) == [("ba",)]
    assert rows(connection, "SELECT $x + $y", {"x": 1, "y": 2}) == [(3,)]
    assert rows(connection, "SELECT id FROM orders WHERE id=:id AND :id = 2", {"id": 2}) == [(2,)]
    text = "SELECT ':a', [1,2,3][:a], {'a':a}, x::INTEGER, :a -- :a\n FROM (SELECT 2 AS a, '7' AS x)"
    assert rows(connection, text, {"a": 5}) == [(":a", [1, 2], {"a": 2}, 7, 5)]


def test_a_closed_cursor_refuses(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    for use in (lambda: cursor.execute("SELECT 1"), cursor.fetchone, lambda: cursor.connection):
        with pytest.raises(dbapi.InterfaceError, match="cursor is closed"):
            use()
    cursor.close()
    cursor = connection.cursor()
    cursor.setinputsizes([None])
    cursor.setoutputsize(10)


def test_cursors_are_read_side_by_side(connection):
    one = connection.execute("FROM range(100000) t(n)")
    other = connection.execute("SELECT id FROM orders ORDER BY id")
    assert (one.fetchone(), other.fetchone(), one.fetchone(), other.fetchone()) == ((0,), (1,), (1,), (2,))
    connection.execute("DELETE FROM orders")
    connection.commit()
    assert other.fetchall() == [(3,)]
    assert len(one.fetchall()) == 99_998


# --- transactions ---------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    with absdb.connect(tmp_path / "shop") as instance:
        instance["main"].create_table("t", {"id": [1], "x": [1]}, key="id")
    return tmp_path / "shop"


def test_a_transaction_begins_by_itself_and_ends_with_commit(shop):
    with dbapi.connect(shop) as one, dbapi.connect(shop) as other:
        one.execute("UPDATE t SET x = 2")
        assert one.in_transaction
        assert rows(other, "SELECT x FROM t") == [(1,)]
        assert isinstance(one.commit(message="two"), absdb.Lsn)
        assert not one.in_transaction
        assert rows(other, "SELECT x FROM t") == [(1,)]  # its own snapshot
        other.rollback()
        assert rows(other, "SELECT x FROM t") == [(2,)]
        assert rows(other, "SELECT message FROM absdb_log LIMIT 1") == [("two",)]
        assert other.commit() is None


def test_rollback_and_close_forget(shop):
    with dbapi.connect(shop) as one:
        one.execute("UPDATE t SET x = 2")
        one.rollback()
        assert rows(one, "SELECT x FROM t") == [(1,)]
    two = dbapi.connect(shop)
    two.execute("UPDATE t SET x = 3")
    two.close()
    two.close()
    with pytest.raises(dbapi.InterfaceError, match="closed"):
        two.cursor()
    with pytest.raises(dbapi.ProgrammingError), dbapi.connect(shop) as three:
        three.execute("UPDATE t SET x = 4; SELECT nothing")
    with dbapi.connect(shop) as four:
        assert rows(four, "SELECT x FROM t") == [(1,)]


def test_a_failed_statement_leaves_the_transaction_open(connection):
    connection.execute("UPDATE orders SET total = 1 WHERE id = 1")
    with pytest.raises(dbapi.IntegrityError):
        connection.execute("INSERT INTO orders VALUES (9, 9, 'i'), (1, 1, 'j')")
    connection.commit()
    assert rows(connection, "SELECT id, total FROM orders ORDER BY id") == [(1, 1), (2, 20), (3, 30)]


def test_autocommit(shop):
    with dbapi.connect(shop, autocommit=True) as one, dbapi.connect(shop, autocommit=True) as other:
        one.execute("UPDATE t SET x = 2")
        assert not one.in_transaction
        assert rows(other, "SELECT x FROM t") == [(2,)]
        one.execute("BEGIN")
        one.execute("UPDATE t SET x = 3")
        assert rows(other, "SELECT x FROM t") == [(2,)]
        with pytest.raises(dbapi.ProgrammingError, match="transaction is open"):
            one.autocommit = False
        one.commit()
        assert rows(other, "SELECT x FROM t") == [(3,)]
        one.autocommit = False
        one.execute("SELECT 1")
        assert one.in_transaction
        one.autocommit = True  # nothing has been written
        assert not one.in_transaction


def test_conflict_is_an_operational_error(shop):
    with dbapi.connect(shop) as one, dbapi.connect(shop) as other:
        one.execute("UPDATE t SET x = 2")
        other.execute("UPDATE t SET x = 3")
        one.commit()
        with pytest.raises(dbapi.OperationalError) as caught:
            other.commit()
        assert isinstance(caught.value, absdb.WriteConflictError)
        assert not other.in_transaction


def test_serializable_prevents_write_skew(shop):
    with (
        dbapi.connect(shop, isolation_level="SERIALIZABLE") as one,
        dbapi.connect(shop, isolation_level="serializable") as other,
    ):
        one.execute("INSERT INTO t SELECT 10, sum(x) FROM t")
        other.execute("INSERT INTO t SELECT 11, sum(x) FROM t")
        one.commit()
        with pytest.raises(absdb.ReadConflictError):
            other.commit()
    with pytest.raises(dbapi.NotSupportedError, match="CHAOS"):
        dbapi.connect(shop, isolation_level="CHAOS")


def test_savepoints(connection):
    connection.execute("SAVEPOINT here")
    connection.execute("DELETE FROM orders")
    connection.execute("ROLLBACK TO here")
    connection.execute("RELEASE here")
    connection.commit()
    assert rows(connection, "SELECT count(*) FROM orders") == [(3,)]


@pytest.mark.parametrize("name", ["database", "snapshot", "branch"])
def test_tables_that_are_called_like_whole_things_are_part_of_the_transaction(shop, name):
    with dbapi.connect(shop) as connection:
        connection.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY)")
        connection.execute(f"ALTER TABLE {name} ADD COLUMN a INTEGER")
        one = "(SELECT 1 AS id, 2 AS a)"
        connection.execute(f"MERGE INTO {name} USING {one} s USING (id) WHEN NOT MATCHED THEN INSERT")
        connection.rollback()
        with pytest.raises(dbapi.ProgrammingError):
            connection.execute(f"SELECT * FROM {name}")


def test_statements_about_databases_belong_to_no_transaction(shop):
    with absdb.connect(shop) as instance:
        instance["main"].branch("staging")
    with dbapi.connect(shop) as one:
        rows(one, "SELECT * FROM t")
        one.execute("USE staging")
        assert not one.in_transaction
        assert one.database == "staging"
        one.execute("UPDATE t SET x = 9")
        with pytest.raises(dbapi.ProgrammingError, match="no part of a transaction"):
            one.execute("USE main")
        one.commit()
        assert rows(one, "SELECT m.x, s.x FROM main.t m JOIN staging.t s USING (id)") == [(1, 9)]
        one.execute("COMMENT ON DATABASE staging IS 'to try things'")
        assert not one.in_transaction


# --- connecting -----------------------------------------------------------------------------------


def test_connections_share_one_engine_until_the_last_is_closed(shop):
    one = dbapi.connect(shop)
    two = dbapi.connect(str(shop) + "/.", database="main")
    one.close()
    assert rows(two, "SELECT id FROM t") == [(1,)]
    with pytest.raises(absdb.LockedError):
        absdb.connect(shop)
    two.close()
    absdb.connect(shop).close()


def test_other_settings_than_the_open_instance_has_are_refused(shop):
    with dbapi.connect(shop, author="ann"):
        dbapi.connect(shop, author="ann").close()
        dbapi.connect(shop).close()
        with pytest.raises(dbapi.ProgrammingError, match="other settings"):
            dbapi.connect(shop, author="bob")
    dbapi.connect(shop, author="bob").close()


def test_a_failed_connect_leaves_nothing_open(shop, tmp_path):
    with pytest.raises(dbapi.ProgrammingError, match="'stagin'"):
        dbapi.connect(shop, database="stagin")
    with pytest.raises(dbapi.ProgrammingError, match="no schema"):
        dbapi.connect(shop, schema="nowhere")
    with pytest.raises(dbapi.ProgrammingError):
        dbapi.connect(tmp_path / "none", create=False)
    absdb.connect(shop).close()
    for wrong in ("", "s3://bucket/x"):
        with pytest.raises(dbapi.ProgrammingError, match="path"):
            dbapi.connect(wrong)
    with pytest.raises(dbapi.InterfaceError):
        dbapi.connect(5)  # type: ignore[arg-type]


def test_memory_is_private_unless_it_has_a_name():
    with dbapi.connect(":memory:") as one, dbapi.connect(":memory:") as two:
        one.execute("CREATE TABLE t (a INTEGER)")
        one.commit()
        with pytest.raises(dbapi.ProgrammingError):
            rows(two, "FROM t")
    with dbapi.connect(":memory:x") as one, dbapi.connect(":memory:x") as two:
        one.execute("CREATE TABLE t (a INTEGER)")
        one.commit()
        assert rows(two, "FROM t") == []
    with dbapi.connect(":memory:x") as one, pytest.raises(dbapi.ProgrammingError):
        rows(one, "FROM t")


def test_what_is_open_already_is_not_closed(shop):
    with absdb.connect(shop) as instance:
        branch = instance["main"].branch("staging")
        for target, name in ((instance, "main"), (instance["main"], "main"), (branch, "staging")):
            with dbapi.connect(target) as connection:
                assert connection.database == name
        with dbapi.connect(instance, database="staging") as connection:
            assert connection.database == "staging"
        with pytest.raises(dbapi.InterfaceError, match="'main', not 'staging'"):
            dbapi.connect(instance["main"], database="staging")
        with pytest.raises(dbapi.InterfaceError, match="settings"):
            dbapi.connect(instance, author="ann")
        with dbapi.connect(shop) as by_path:
            by_path.execute("UPDATE t SET x = 7")
            by_path.commit()
            assert instance["main"]["t"].get(1)["x"] == 7
        with pytest.raises(dbapi.ProgrammingError, match="settings of its own"):
            dbapi.connect(shop, author="ann")
        assert not instance.closed
    with dbapi.connect(shop) as connection:
        assert rows(connection, "SELECT x FROM t") == [(7,)]


@pytest.mark.parametrize("autocommit", [False, True])
def test_read_only_connections_write_nothing(shop, autocommit):
    with dbapi.connect(shop), dbapi.connect(shop, read_only=True, autocommit=autocommit) as reader:
        assert reader.read_only
        assert rows(reader, "SELECT x FROM t") == [(1,)]
        assert reader.in_transaction is not autocommit
        for text in ("UPDATE t SET x = 2", "CREATE TABLE u (a INTEGER)", "DROP DATABASE main", "CHECKPOINT"):
            with pytest.raises(dbapi.OperationalError, match=r"(?i)read.only"):
                reader.execute(text)
        with pytest.raises(dbapi.OperationalError):
            reader.cursor().executemany("INSERT INTO t VALUES (?, ?)", [(n, n) for n in range(5, 15)])
        assert rows(reader, "SELECT x FROM t") == [(1,)]


def test_a_reader_beside_a_writer_sees_what_is_durable_when_it_connects(shop):
    with absdb.connect(shop) as instance, dbapi.connect(shop, read_only=True) as reader:
        instance["main"]["t"].update({"id": 1, "x": 5})
        assert rows(reader, "SELECT x FROM t") == [(1,)]
        reader.rollback()
        with dbapi.connect(shop, read_only=True) as other:
            assert rows(other, "SELECT x FROM t") == [(5,)]


@pytest.mark.parametrize("autocommit", [False, True])
def test_connecting_to_the_past(shop, autocommit):
    with absdb.connect(shop) as instance:
        lsn = instance["main"].snapshot("before")
        instance["main"]["t"].update({"id": 1, "x": 5})
        instance["main"].branch("staging")
        for point in ({"at_snapshot": "before"}, {"at_lsn": lsn}):
            with dbapi.connect(instance, autocommit=autocommit, **point) as past:
                assert past.read_only
                assert rows(past, "SELECT x FROM t") == [(1,)]
                for text in ("UPDATE t SET x = 2", "UPDATE staging.t SET x = 2"):
                    with pytest.raises(dbapi.OperationalError):
                        past.execute(text)
    with pytest.raises(dbapi.ProgrammingError, match="snapshot"):
        dbapi.connect(shop, at_snapshot="never")


def test_a_connection_that_is_not_closed_warns(shop):
    connection = dbapi.connect(shop)
    held = [connection]
    del connection
    with pytest.warns(ResourceWarning, match="not closed"):
        held.clear()
    absdb.connect(shop).close()


def test_threads_with_connections_of_their_own(shop):
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(10):
                with dbapi.connect(shop) as connection:
                    connection.execute("INSERT INTO t VALUES (?, ?)", [100 * number + step, number])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    with dbapi.connect(shop) as connection:
        assert rows(connection, "SELECT count(*) FROM t") == [(81,)]


# --- many rows ------------------------------------------------------------------------------------


def test_many_rows_in_one_insert(connection):
    cursor = connection.cursor()
    cursor.execute(
        "CREATE TABLE wide (id INTEGER PRIMARY KEY, d DOUBLE, s VARCHAR DEFAULT 'none', day DATE, m DECIMAL(9,2),"
        " u UUID, j JSON, b BLOB, t TIMESTAMPTZ, y BOOLEAN)"
    )
    stamp = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    given = [
        (
            n,
            n / 2,
            None,
            dt.date(2026, 1, 1),
            Decimal("1.25"),
            uuid.UUID(int=n),
            '{"a": 1}',
            b"\0",
            stamp,
            True,
        )
        for n in range(5_000)
    ]
    cursor.executemany("INSERT INTO wide VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", given)
    assert cursor.rowcount == 5_000
    assert cursor.description is None
    assert rows(connection, "SELECT * FROM wide ORDER BY id") == given


def one_by_one(connection: dbapi.Connection, text: str, given: list[Any]) -> None:
    for row in given:
        connection.execute(text, row)


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("INSERT INTO m (a, c) VALUES (?, ?)", [(n, str(n)) for n in range(10)]),
        ("INSERT INTO m (c, b, a) VALUES (upper(?), DEFAULT, ? + 1);", [("x", n) for n in range(10)]),
        ("INSERT INTO m VALUES ($1, $2, $1)", [(n, n) for n in range(10)]),
        ("INSERT INTO m (a, b) VALUES ($a, $b || '!')", [{"a": n, "b": "x"} for n in range(10)]),
        ("INSERT INTO m (a, b) VALUES (:a, :b)", [{"b": None, "a": n} for n in range(10)]),
        ("INSERT INTO m (a, c) VALUES (?, ?)", [("7", n) for n in range(9)] + [(8, "mixed")]),
        ("INSERT INTO m (a, c) VALUES (?, ?)", [(1.6, dt.date(2026, 1, 1))] * 5),
        (
            "INSERT INTO m (a) VALUES (1 + (SELECT count(*) FROM orders WHERE id >= ?))",
            [(n,) for n in range(9)],
        ),
        ("INSERT INTO m (a) VALUES (7)", [()] * 5),
        ("INSERT INTO orders (id) VALUES (?) ON CONFLICT DO NOTHING", [(n // 2,) for n in range(9)]),
        ("INSERT OR IGNORE INTO orders (id) VALUES (?)", [(n // 2,) for n in range(9)]),
        (
            "INSERT INTO orders VALUES (?, ?, 'n') ON CONFLICT (id) DO UPDATE SET total = total + excluded.total",
            [(1, 1), (1, 2), (7, 1), (7, 2), (8, 8)],
        ),
        ("UPDATE orders SET total = ? WHERE id = ?", [(n, n) for n in range(5)]),
        ("DELETE FROM orders WHERE id = ?", [(n,) for n in range(3)]),
    ],
)
def test_many_rows_do_what_one_by_one_does(text, given):
    found = []
    for way in (lambda c: c.cursor().executemany(text, given).rowcount, lambda c: one_by_one(c, text, given)):
        with dbapi.connect(":memory:") as connection:
            connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total BIGINT, note VARCHAR)")
            connection.execute("INSERT INTO orders VALUES (1, 10, 'a'), (2, 20, NULL), (3, 30, 'c')")
            connection.execute("CREATE TABLE m (a INTEGER, b VARCHAR DEFAULT 'b', c VARCHAR)")
            way(connection)
            found.append([rows(connection, f"FROM {name} ORDER BY ALL") for name in ("orders", "m")])
    assert found[0] == found[1]
    assert sum(map(len, found[0])) != 3 or not text.startswith("INSERT")


def test_many_rows_are_inserted_or_none(connection):
    cursor = connection.cursor()
    before = rows(connection, "FROM orders ORDER BY id")
    wrong: list[tuple[str, list[Any], type[Exception]]] = [
        ("INSERT INTO orders (id) VALUES (?)", [(n,) for n in (7, 8, 9, 3)], dbapi.IntegrityError),
        ("INSERT INTO orders (id) VALUES (?)", [("7",), ("8",), ("9",), ("x",)], dbapi.DataError),
        ("INSERT INTO orders (id) VALUES (?)", [(7,), (8,), (9,), (1, 2)], dbapi.ProgrammingError),
        (
            "INSERT INTO orders (id) VALUES (?) RETURNING id",
            [(n,) for n in (7, 8, 9)],
            dbapi.ProgrammingError,
        ),
        ("UPDATE orders SET id = ? WHERE id = 1", [(1,), (2,)], dbapi.IntegrityError),
        ("SELECT ?", [(1,)], dbapi.ProgrammingError),
        ("INSERT INTO orders (id) VALUES (?); SELECT 1", [(7,)], dbapi.ProgrammingError),
        ("INSERT INTO orders (idd) VALUES (?)", [(n,) for n in range(9)], dbapi.ProgrammingError),
    ]
    for autocommit in (False, True):
        connection.autocommit = autocommit
        for text, given, kind in wrong:
            with pytest.raises(kind):
                cursor.executemany(text, given)
            assert rows(connection, "FROM orders ORDER BY id") == before
        connection.rollback()


def test_errors_of_many_rows_point_into_the_statement(connection):
    text = "INSERT INTO orders (id, total) VALUES (?, lowr(?))"
    with pytest.raises(dbapi.ProgrammingError) as caught:
        connection.cursor().executemany(text, [(n, "x") for n in range(9)])
    assert caught.value.facts["statement"] == text
    assert text[caught.value.facts["position"] :].startswith("lowr")


def test_no_rows_at_all(connection):
    cursor = connection.executemany("INSERT INTO orders (id) VALUES (?)", [])
    assert cursor.rowcount == 0
