"""Rows looked up by key without DuckDB are those that DuckDB gives: names, types, values, order and errors."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import absdb
from absdb.errors import AbsdbError
from absdb.sql.query.by_key import rows_by_key
from absdb.sql.session import Call, Session
from absdb.sql.text.parameters import bind
from absdb.sql.text.parsed import Statement

DAYS = [dt.date(2026, 1, day) for day in range(1, 29)]
TIMES = [dt.datetime(2026, 1, 1, hour, 0, 0, 500_000 * (hour % 2)) for hour in range(24)]


def fill(database: Any) -> None:
    numbers = range(100)
    columns = {
        "id": pa.array(numbers, pa.int32()),
        "Total": pa.array([None if n % 7 == 0 else n / 4 for n in numbers], pa.float64()),
        "note": [None if n % 5 == 0 else f"n{n}" for n in numbers],
        "price": pa.array([Decimal(n) / 8 for n in numbers], pa.decimal128(10, 3)),
        "at": pa.array([TIMES[n % 24] for n in numbers], pa.timestamp("us", "UTC")),
        "tags": [[f"t{n}", None] for n in numbers],
        "pair": [{"x": n, "note": "inner"} for n in numbers],
        "half": pa.array([float(n) for n in numbers], pa.float16()),
        "uid": pa.array([uuid.UUID(int=n).bytes for n in numbers], pa.uuid()),
        "wait": pa.array(numbers, pa.duration("s")),
    }
    database.create_table("t", pa.table(columns), key="id")
    database.create_table(
        "big", pa.table({"id": pa.array([1, 2**64 - 1], pa.uint64()), "v": ["a", "b"]}), key="id"
    )
    database.create_table("names", pa.table({"name": ["a", "b", "ä", "", "a\0b"], "v": range(5)}), key="name")
    database.create_table("days", pa.table({"day": DAYS, "v": range(28)}), key="day")
    database.create_table("times", pa.table({"time": TIMES, "v": range(24)}), key="time")
    zoned = pa.array(TIMES, pa.timestamp("us", "UTC"))
    database.create_table("zoned", pa.table({"time": zoned, "v": range(24)}), key="time")
    prices = pa.array([Decimal(n) / 4 for n in range(8)], pa.decimal128(8, 2))
    database.create_table("prices", pa.table({"price": prices, "v": range(8)}), key="price")
    floats = pa.table({"f": [0.0, 1.5, float("nan"), float("inf")], "v": range(4)})
    database.create_table("floats", floats, key="f")
    blobs = pa.table({"b": [b"", b"\x00", b"a"], "v": range(3)})
    database.create_table("blobs", blobs, key="b")
    both = {"a": [f"k{n % 3}" for n in range(30)], "n": range(30), "v": range(30)}
    database.create_table("two", pa.table(both), key=["a", "n"])
    database.sql("CREATE VIEW seen AS SELECT * FROM t WHERE id = 3")
    database.create_table("loose", pa.table({"id": range(3)}))


@pytest.fixture(scope="module")
def main() -> Iterator[Any]:
    with absdb.connect(":memory:") as shop:
        fill(shop["main"])
        yield shop["main"]


def plainly(session: Session) -> None:
    """Let a session send everything to DuckDB."""
    session.set_duckdb({"threads": "2"})


def is_looked_up(session: Session, text: str, values: Any = None) -> bool:
    statement = Statement.read(text)
    call = Call(session, statement, bind(statement.parameters, values), None)
    return rows_by_key(call, call.moment()) is not None


def outcome(session: Session, text: str, values: Any) -> Any:
    """All that a result says, or its error."""
    try:
        with session.sql(text, values) as result:
            head = result.schema, result.description, result.statement, result.rowcount
            table = result.to_arrow()
            assert table.schema.remove_metadata().equals(result.schema, check_metadata=True)
            return *head, table, repr(table.to_pydict()), result.fetchall().__repr__(), result.rowcount
    except AbsdbError as error:
        return type(error), str(error)


def check_same(scope: Any, text: str, values: Any = None) -> Any:
    with Session(scope) as session, Session(scope) as plain:
        plainly(plain)
        found = outcome(session, text, values)
        assert found == outcome(plain, text, values)
        assert not is_looked_up(plain, text, values)
        return found


LOOKED_UP = [
    ("SELECT * FROM big WHERE id = ?", [2**64 - 1]),
    ("SELECT id, note FROM t WHERE id = 7", None),
    ("SELECT ID, TOTAL FROM t WHERE ID = ?", [8]),
    ('select note as Id, "at", price p FROM main.t AS o WHERE o.id IN (9, 3, 3, -1, 1000)', None),
    ("SELECT tags, t.pair FROM t WHERE 7 = t.id", None),
    ("SELECT uid FROM t WHERE main.main.t.id = $n", {"n": 7}),
    ("FROM names WHERE name = 'ä'", None),
    ("FROM names WHERE name = ?", ["b"]),
    ("SELECT v FROM days WHERE day = DATE '2026-01-03'", None),
    ("SELECT v FROM days WHERE day = '2026-01-03'", None),
    ("FROM days WHERE day = TIMESTAMP '2026-01-03'", None),
    ("FROM days WHERE day IN (?, ?)", [DAYS[3], DAYS[1]]),
    ("FROM times WHERE time = TIMESTAMP '2026-01-01 03:00:00.5'", None),
    ("FROM times WHERE time = '2026-01-01T04:00:00'", None),
    ("FROM times WHERE time = DATE '2026-01-01'", None),
    ("FROM times WHERE time = ?", [TIMES[5]]),
    ("FROM zoned WHERE time = ?", [TIMES[5].replace(tzinfo=dt.timezone(dt.timedelta(hours=1)))]),
    ("FROM blobs WHERE b = ?", [b"\x00"]),
    ("FROM two WHERE n = 4 AND a = 'k1'", None),
    ("SELECT v FROM two WHERE a IN ('k2', 'k1') AND n IN (?, ?)", [5, 7]),
    ("SELECT * FROM two WHERE a IN ('k2', 'k1') AND n IN (4, 5, 1) ORDER BY a, n ASC LIMIT 2", None),
    ("SELECT id FROM t WHERE id IN (5, 4) LIMIT 1", None),
    ("SELECT id FROM t WHERE id IN (5, 4) LIMIT 0", None),
    ("SELECT id FROM t WHERE id = 1000", None),
]


@pytest.mark.parametrize(("text", "values"), LOOKED_UP)
def test_rows_are_those_of_duckdb(main: Any, text: str, values: Any) -> None:
    with Session(main._scope) as session:
        assert is_looked_up(session, text, values)
    assert len(check_same(main._scope, text, values)) > 2


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("SELECT * FROM t WHERE id = 7", None),  # durations, halves
        ("SELECT wait FROM t WHERE id = 7", None),
        ("SELECT half FROM t WHERE id = 7", None),
        ("SELECT id, id FROM t WHERE id = 7", None),
        ("SELECT id, note AS ID FROM t WHERE id = 7", None),
        ("SELECT t FROM t WHERE id = 7", None),
        ("SELECT pair.x FROM t WHERE id = 7", None),
        ("SELECT pair.note FROM t pair WHERE id = 7", None),
        ("SELECT rowid FROM t WHERE id = 7", None),
        ("SELECT nope FROM t WHERE id = 7", None),
        ("SELECT o.id FROM t WHERE id = 7", None),
        ("SELECT t.id FROM t o WHERE id = 7", None),
        ("SELECT id FROM t o WHERE t.id = 7", None),
        ("SELECT id + 1 FROM t WHERE id = 7", None),
        ("SELECT DISTINCT id FROM t WHERE id = 7", None),
        ("SELECT id FROM t WHERE id = 7 GROUP BY id", None),
        ("SELECT id FROM t WHERE id = 7 OFFSET 1", None),
        ("SELECT id FROM t WHERE id = 7 LIMIT 10%", None),
        ("SELECT id FROM t WHERE id IN (7, 8) ORDER BY id DESC", None),
        ("SELECT note AS id FROM t WHERE id IN (7, 10) ORDER BY id", None),
        ("SELECT id FROM t WHERE id IN (7, 8) ORDER BY ALL", None),
        ("SELECT id FROM t(a) WHERE a = 7", None),
        ("SELECT id FROM t WHERE id = 7 AND id = 7", None),
        ("SELECT id FROM t WHERE id = 7 AND Total > 1", None),
        ("SELECT id FROM t WHERE id = 7 OR id = 8", None),
        ("SELECT id FROM t WHERE NOT id = 7", None),
        ("SELECT id FROM t WHERE id NOT IN (7)", None),
        ("SELECT id FROM t WHERE id IN (SELECT 7)", None),
        ("SELECT id FROM t WHERE id IN (7, NULL)", None),
        ("SELECT id FROM t WHERE id = NULL", None),
        ("SELECT id FROM t WHERE id = ?", [None]),
        ("SELECT id FROM t WHERE id = ?", [True]),
        ("SELECT id FROM t WHERE id = ?", [7.0]),
        ("SELECT id FROM t WHERE id = ?", [float("nan")]),
        ("SELECT id FROM t WHERE id = ?", [2**40]),
        ("SELECT id FROM t WHERE id = ?", ["7"]),
        ("SELECT id FROM t WHERE id = ?", ["x"]),
        ("SELECT id FROM t WHERE id = ?", [[7]]),
        ("SELECT id FROM t WHERE id = 7.0", None),
        ("SELECT id FROM t WHERE id = '7'", None),
        ("SELECT id FROM t WHERE id = 'x'", None),
        ("SELECT id FROM t WHERE id = 99999999999999999999999", None),
        ("SELECT id FROM t WHERE id = true", None),
        ("SELECT id FROM t WHERE id = DATE '2026-01-01'", None),
        ("SELECT id FROM t WHERE id = '7'::INTEGER", None),
        ("SELECT id FROM t WHERE id = 7 COLLATE NOCASE", None),
        ("SELECT id FROM t WHERE id = ", None),
        ("SELECT ? + FROM t WHERE id = ?", [1, 2]),
        ("SELECT id FROM t JOIN days ON true WHERE id = 7", None),
        ("SELECT id FROM t TABLESAMPLE 100% WHERE id = 7", None),
        ("SELECT id FROM t WHERE id = 7 UNION ALL SELECT 8", None),
        ("WITH t AS (SELECT 7 AS id) SELECT id FROM t WHERE id = 7", None),
        ("SELECT * EXCLUDE (wait) FROM t WHERE id = 7", None),
        ("SELECT COLUMNS('id') FROM t WHERE id = 7", None),
        ("SELECT id FROM nowhere WHERE id = 7", None),
        ("SELECT id FROM main.nowhere.t WHERE id = 7", None),
        ("SELECT id FROM 't' WHERE id = 7", None),
        ("SELECT id FROM seen WHERE id = 3", None),
        ("SELECT id FROM loose WHERE id = 1", None),
        ("SELECT name FROM absdb_databases() WHERE name = 'main'", None),
        ("SELECT v FROM names WHERE name = 7", None),
        ("SELECT v FROM names WHERE name = 'A' COLLATE NOCASE", None),
        ("SELECT v FROM names WHERE name = ?", [b"a"]),
        ("SELECT v FROM days WHERE day = '2026-1-3'", None),
        ("SELECT v FROM days WHERE day = '20260103'", None),
        ("SELECT v FROM days WHERE day = '2026-W01-1'", None),
        ("SELECT v FROM days WHERE day = '2026-13-01'", None),
        ("SELECT v FROM days WHERE day = TIMESTAMP '2026-01-03 10:00:00'", None),
        ("SELECT v FROM days WHERE day = TRY_CAST('2026-01-03' AS DATE)", None),
        ("SELECT v FROM days WHERE day = ?", [dt.datetime(2026, 1, 3, 10)]),
        ("SELECT v FROM days WHERE day = ?", ["2026-01-03"]),
        ("SELECT v FROM days WHERE day IN ('2026-01-03', DATE '2026-01-04')", None),
        ("SELECT v FROM times WHERE time = TIMESTAMP '2026-01-01 03:00'", None),
        ("SELECT v FROM times WHERE time = '2026-01-01 03:00:00.5+01'", None),
        ("SELECT v FROM times WHERE time = DATE '2026-01-01 03:00:00'", None),
        ("SELECT v FROM times WHERE time = '2026-01-01 03:00:00.5'::TIMESTAMP_S", None),
        ("SELECT v FROM times WHERE time = '2026-01-01 03:00:00.5'::TIMESTAMP(0)", None),
        ("SELECT v FROM times WHERE time = ?", [TIMES[5].replace(tzinfo=dt.UTC)]),
        ("SELECT v FROM zoned WHERE time = ?", [TIMES[5]]),
        ("SELECT v FROM zoned WHERE time = '2026-01-01 04:00:00'", None),
        ("SELECT v FROM zoned WHERE time = TIMESTAMPTZ '2026-01-01 04:00:00+01'", None),
        ("SELECT v FROM prices WHERE price = 0.25", None),
        ("SELECT v FROM prices WHERE price = ?", [Decimal("0.250")]),
        ("SELECT v FROM prices WHERE price = ?", [Decimal("0.251")]),
        ("SELECT v FROM floats WHERE f = 'nan'", None),
        ("SELECT v FROM floats WHERE f = ?", [float("nan")]),
        ("SELECT v FROM floats WHERE f = -0.0", None),
        ("SELECT v FROM blobs WHERE b = 'a'", None),
        ("SELECT v FROM two WHERE a = 'k1'", None),
        ("SELECT v FROM two WHERE a IN ('k2', ?) AND n IN (?, ?, 5)", ["k1", 4, 7]),
        ("SELECT v FROM two WHERE a = 'k1' AND n = 1.0", None),
        ("SELECT v FROM two WHERE a IN ('k1', 'k2') AND n = 1 ORDER BY n, a", None),
    ],
)
def test_what_is_not_plain_goes_to_duckdb(main: Any, text: str, values: Any) -> None:
    with Session(main._scope) as session, suppress(absdb.QueryError):  # which check_same compares
        assert not is_looked_up(session, text, values)
    check_same(main._scope, text, values)


WORDS = {
    "t": ["7", "-1", "98", "'7'", "7.5", "NULL", "true", "DATE '2026-01-03'", "9999999999", "id", "$p"],
    "names": ["'a'", "''", "'ä'", "7", "NULL", "'a' COLLATE NOCASE", "name", "$p"],
    "days": ["'2026-01-03'", "DATE '2026-01-04'", "TIMESTAMP '2026-01-05 00:00:00'", "'x'", "7", "$p"],
    "prices": ["0.25", "1", "'0.5'", "0.251", "$p"],
}
COLUMNS = {"t": "id", "names": "name", "days": "day", "prices": "price"}
VALUES = [7, 7.0, "7", "a", None, True, dt.date(2026, 1, 3), dt.datetime(2026, 1, 3), Decimal("0.25"), b"a"]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_statements_by_chance(main: Any, data: Any) -> None:
    table = data.draw(st.sampled_from(sorted(WORDS)))
    column, word = COLUMNS[table], st.sampled_from(WORDS[table])
    listed = ", ".join(data.draw(st.lists(word, min_size=1, max_size=3)))
    condition = data.draw(st.sampled_from([f"{column} = {data.draw(word)}", f"{column} IN ({listed})"]))
    items = data.draw(
        st.sampled_from([column, f"{column} AS x", f"{table}.{column}", f"x.{column}", "count(*)"])
    )
    tail = data.draw(
        st.sampled_from(["", f" ORDER BY {column}", " LIMIT 1", " ORDER BY 1 DESC", " OFFSET 1"])
    )
    values = {"p": data.draw(st.sampled_from(VALUES))} if "$p" in condition else None
    check_same(main._scope, f"SELECT {items} FROM {table} WHERE {condition}{tail}", values)


TEXT = "SELECT id, note FROM t WHERE id IN (1, 2, 3)"


def test_a_transaction_sees_its_own_writes() -> None:
    with absdb.connect(":memory:") as shop:
        fill(shop["main"])
        with shop["main"].transaction() as tx:
            tx.sql("DELETE FROM t WHERE id = 1")
            tx.sql("UPDATE t SET note = 'new' WHERE id = 2")
            assert check_same(tx._scope, TEXT)[4].to_pylist() == [
                {"id": 2, "note": "new"},
                {"id": 3, "note": "n3"},
            ]
        shop["main"].sql("UPDATE t SET note = 'later' WHERE id = 3")
        assert check_same(shop["main"]._scope, TEXT)[4].column("note").to_pylist() == ["new", "later"]


def test_the_past_and_other_databases_are_seen_as_they_are() -> None:
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        fill(main)
        before = main.lsn
        main.branch("side").sql("UPDATE t SET note = 'side' WHERE id = 1")
        main.sql("UPDATE t SET note = 'now' WHERE id = 1")
        assert check_same(main.at(lsn=before)._scope, TEXT)[4].column("note")[0].as_py() == "n1"
        assert check_same(main._scope, TEXT.replace(" t ", " side.t "))[4].column("note")[0].as_py() == "side"
        there = f"SELECT note FROM t AT (LSN => '{before}') WHERE id = 1"
        assert check_same(main._scope, there)[4].column("note").to_pylist() == ["n1"]


def test_a_kept_text_follows_changes_of_the_definition() -> None:
    with absdb.connect(":memory:") as shop, shop["main"].session() as session:
        fill(shop["main"])
        assert session.sql(TEXT).fetchone() == (1, "n1")
        whole = "SELECT * FROM names WHERE name = 'a'"
        assert session.sql(whole).fetchall() == [("a", 0)]
        session.sql("ALTER TABLE names ADD COLUMN extra INTEGER DEFAULT 5")
        session.sql("ALTER TABLE t RENAME note TO other")
        assert session.sql(whole).fetchall() == [("a", 0, 5)]
        with pytest.raises(absdb.QueryError, match="note"):
            session.sql(TEXT)
        session.sql("ALTER TABLE t RENAME Total TO note")
        assert session.sql(TEXT).fetchone() == (1, 0.25)
        session.sql("DROP TABLE t")
        session.sql("CREATE VIEW t AS SELECT 1 AS id, 'v' AS note")
        assert session.sql(TEXT).fetchall() == [(1, "v")]


def test_a_serializable_transaction_has_read_what_it_looked_up() -> None:
    with absdb.connect(":memory:") as shop, shop["main"].session() as session:
        fill(shop["main"])
        session.begin(serializable=True)
        assert session.sql(TEXT).fetchone() == (1, "n1")
        session.sql("INSERT INTO days VALUES ('2027-01-01', 1)")
        shop["main"].sql("UPDATE t SET note = 'x' WHERE id = 2")
        with pytest.raises(absdb.ConflictError):
            session.commit()


def test_rows_are_handed_on_once() -> None:
    with absdb.connect(":memory:") as shop, shop["main"].session() as session:
        fill(shop["main"])
        result = session.sql(TEXT)
        assert result.to_batches().read_all().num_rows == 3
        with pytest.raises(absdb.StateError, match="read already"):
            result.to_arrow()
