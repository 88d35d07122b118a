"""Rows are left out by key only where the WHERE clause would have refused them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import absdb
from absdb.sql.query.joined import Frame
from absdb.sql.query.prune import Selection, selection
from absdb.sql.session import Call, Session
from absdb.sql.text.parsed import Query


@pytest.fixture(scope="module")
def main() -> Any:
    with absdb.connect(":memory:") as shop:
        database = shop["main"]
        database.create_table("orders", pa.table({"id": range(1000), "total": range(1000)}), key="id")
        names = [f"n{i:04}" for i in range(500)]
        database.create_table("people", pa.table({"name": names, "age": range(500)}), key="name")
        rows = [
            (c, n, dt.date(2026, 1, 1) + dt.timedelta(days=n % 5))
            for c in ("AA", "UA\x00", "ÿ")
            for n in range(-50, 50)
        ]
        flights = {
            "carrier": [r[0] for r in rows],
            "flight": [r[1] for r in rows],
            "day": [r[2] for r in rows],
        }
        database.create_table("flights", pa.table(flights), key=["carrier", "flight"])
        times = [dt.datetime(2026, 1, 1) + dt.timedelta(hours=i) for i in range(100)]
        database.create_table("weather", pa.table({"hour": times, "temp": range(100)}), key="hour")
        zoned = [time.replace(tzinfo=dt.UTC) for time in times]
        database.create_table("zoned", pa.table({"hour": zoned, "temp": range(100)}), key="hour")
        database.create_table("log", pa.table({"id": range(10)}))
        yield database


def chosen(
    database: Any, text: str, parameters: Any = None, frames: Mapping[str, pa.Table] | None = None
) -> list[Selection | None]:
    """What is selected of each table in the order of the text."""
    session = Session(database._scope)
    from absdb.sql.text.parameters import bind
    from absdb.sql.text.parsed import Statement

    statement = Statement.read(text)
    call = Call(session, statement, bind(statement.parameters, parameters), None)
    moment = call.moment()
    with session.backend.registered({}) as connection:
        query = Query.read(connection, statement.text)
    named = {id(ref): moment.find(ref.path) for ref in query.syntax.tables}
    named = {key: value for key, value in named.items() if value is not None}
    beside = {
        id(ref): Frame.of(ref, ref.path, (frames or {})[ref.path[-1]])
        for ref in query.syntax.tables
        if ref.path[-1] in (frames or {})
    }
    return [
        selection(named[id(r)].schema, r, named, call.values, beside)
        for r in query.syntax.tables
        if id(r) in named
    ]


@pytest.mark.parametrize(
    ("text", "parameters", "keys"),
    [
        ("FROM orders WHERE id = 7", None, (7,)),
        ("FROM orders WHERE 7 = id AND total > 1", None, (7,)),
        ("FROM orders o WHERE o.ID IN (3, 1, ?)", [2], (1, 2, 3)),
        ("FROM orders WHERE main.orders.id = $n", {"n": 5}, (5,)),
        ("FROM orders WHERE id IN (1, 2) AND id IN (2, 3)", None, (2,)),
        ("FROM people WHERE name = 'n0003'", None, (b"n0003",)),
    ],
)
def test_keys_are_looked_up(main: Any, text: str, parameters: Any, keys: tuple[Any, ...]) -> None:
    assert chosen(main, text, parameters) == [Selection(keys)]


@pytest.mark.parametrize(
    ("text", "key_range"),
    [
        ("FROM orders WHERE id > 7 AND id <= 10", (8, 11)),
        ("FROM orders WHERE id BETWEEN 7 AND 10", (7, 11)),
        ("FROM orders WHERE id >= 9223372036854775807", (2**63 - 1, None)),
        ("FROM orders WHERE id > 9223372036854775807", (None, None)),
        ("FROM orders WHERE id < 5 AND id < 3", (None, 3)),
        ("FROM people WHERE name > 'n1'", (b"n1\x00", None)),
        ("FROM people WHERE name <= 'n1'", (None, b"n1\x00")),
    ],
)
def test_ranges_of_keys(main: Any, text: str, key_range: Any) -> None:
    assert chosen(main, text) == [Selection(key_range=key_range)]


@pytest.mark.parametrize(
    "text",
    [
        "FROM orders WHERE id = 7 OR total = 1",
        "FROM orders WHERE NOT id = 7",
        "FROM orders WHERE id = 7.5",
        "FROM orders WHERE id = '7'",
        "FROM orders WHERE id = total",
        "FROM orders WHERE id IN (1, total)",
        "FROM orders WHERE id <> 7",
        "FROM orders t(a, b) WHERE a = 7",
        "FROM orders TABLESAMPLE 50% WHERE id = 7",
        "SELECT * FROM orders WHERE id = 7 USING SAMPLE 50%",
        "FROM log WHERE id = 7",
        "FROM people WHERE age = 7",
        "FROM weather WHERE hour = DATE '2026-01-01' + INTERVAL 1 DAY",
        "FROM flights WHERE flight = 7",
        "SELECT * FROM (FROM orders) WHERE id = 7",
        "FROM orders WHERE id = 170141183460469231731687303715884105727",
    ],
)
def test_what_is_left_to_duckdb(main: Any, text: str) -> None:
    assert chosen(main, text) == [None]


_HOUR = dt.datetime(2026, 1, 1, 5)
_US = int(_HOUR.replace(tzinfo=dt.UTC).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("FROM weather WHERE hour = TIMESTAMP '2026-01-01 05:00'", (_US,)),
        ("FROM weather WHERE hour = '2026-01-01 05:00'", (_US,)),
        ("FROM weather WHERE hour = CAST('2026-01-01 05:00' AS TIMESTAMP)", (_US,)),
        ("FROM weather WHERE hour = TIMESTAMPTZ '2026-01-01 05:00:00Z'", None),
        ("FROM weather WHERE hour = DATE '2026-01-01 05:00'", None),
        ("FROM zoned WHERE hour = TIMESTAMPTZ '2026-01-01 05:00:00Z'", (_US,)),
        ("FROM zoned WHERE hour = TIMESTAMPTZ '2026-01-01 06:00:00+01:00'", (_US,)),
        ("FROM zoned WHERE hour = '2026-01-01 05:00:00+00'", (_US,)),
        ("FROM zoned WHERE hour = TIMESTAMP '2026-01-01 05:00'", None),
        ("FROM zoned WHERE hour = TIMESTAMP '2026-01-01 05:00:00Z'", None),
        ("FROM zoned WHERE hour = TIMESTAMPTZ '2026-01-01 05:00'", None),
    ],
)
def test_times_are_read_as_duckdb_reads_them(main: Any, text: str, found: Any) -> None:
    assert chosen(main, text) == [None if found is None else Selection(found)]
    for offset in ("Z", "America/New_York"):
        with main.session() as session:
            session.sql(f"SET TimeZone = '{offset.replace('Z', 'UTC')}'")
            plain = text.replace("FROM ", "SELECT * FROM (FROM ").replace(" WHERE", ") WHERE")
            assert session.sql(text).fetchall() == session.sql(plain).fetchall()


def test_a_column_of_several_tables_prunes_none_unless_it_is_qualified(main: Any) -> None:
    assert chosen(main, "FROM orders a JOIN orders b USING (id) WHERE id = 3") == [None, None]
    found = chosen(main, "FROM orders a JOIN orders b ON a.id = b.total WHERE b.id = 3")
    assert found == [None, Selection((3,))]
    assert chosen(main, "FROM orders a POSITIONAL JOIN orders b WHERE a.id = 3") == [None, None]
    assert chosen(main, "FROM orders, (SELECT 1 AS id) x WHERE id = 3") == [None]


def test_a_range_reads_what_is_in_it_and_no_more(main: Any) -> None:
    (found,) = chosen(main, "FROM flights WHERE carrier = ? AND flight BETWEEN -3 AND 4", ["UA\x00"])
    assert found is not None
    table = main._scope.reader(main._scope.catalog().table("flights")).part(key_range=found.key_range)
    assert table.column("flight").to_pylist() == list(range(-3, 5))


_FLIGHT = st.sampled_from(
    ["flight = {}", "flight > {}", "flight >= {}", "flight < {}", "flight <= {}", "flight IN ({}, 3)"]
)
_CARRIER = st.sampled_from(
    [
        "carrier = 'AA'",
        "carrier = 'ÿ'",
        "carrier > 'AA'",
        "carrier >= 'UA'",
        "carrier < 'ÿ'",
        "carrier IN ('AA', 'ÿ', 'x')",
    ]
)
_TERM = st.one_of(
    _CARRIER, st.builds(str.format, _FLIGHT, st.integers(-60, 60)), st.just("day > '2026-01-02'")
)


@settings(max_examples=150, deadline=None)
@given(terms=st.lists(_TERM, min_size=1, max_size=4))
def test_a_composite_key_gives_the_rows_that_a_plain_scan_gives(main: Any, terms: list[str]) -> None:
    where = " AND ".join(terms)
    found = main.sql(f"SELECT * FROM flights WHERE {where}").fetchall()
    plain = main.sql(f"SELECT * FROM (FROM flights) WHERE {where}").fetchall()
    assert found == plain


@settings(max_examples=60, deadline=None)
@given(
    hours=st.lists(st.integers(-5, 105), min_size=1, max_size=3),
    operator=st.sampled_from(["=", "<", "<=", ">", ">="]),
)
def test_times_compare_as_duckdb_compares_them(main: Any, hours: list[int], operator: str) -> None:
    for hour in hours:
        time = dt.datetime(2026, 1, 1) + dt.timedelta(hours=hour)
        plain = main.sql(f"SELECT * FROM (FROM weather) WHERE hour {operator} ?", [time]).fetchall()
        for written in (f"TIMESTAMP '{time}'", f"'{time}'", f"CAST('{time}' AS TIMESTAMP)"):
            assert main.sql(f"SELECT * FROM weather WHERE hour {operator} {written}").fetchall() == plain
        assert main.sql(f"SELECT * FROM weather WHERE hour {operator} ?", [time]).fetchall() == plain


FRAME = pa.table({"id": pa.array([3, 5, 5, None, 2000], pa.int16()), "total": [3, 0, 5, 5, 0]})
NAMES = pa.table({"name": ["n0003", "n0004", "nobody"], "carrier": ["AA", "AA", "ÿ"], "flight": [3, 4, 5]})


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("FROM orders, frame WHERE orders.id = frame.id", {3, 5, 2000}),
        ("FROM orders o, frame f WHERE f.id = o.id AND o.id < 1000", {3, 5, 2000}),
        ("FROM orders JOIN frame USING (id)", {3, 5, 2000}),
        ("FROM orders o JOIN frame AS o2 ON o.id = o2.id AND o.id IN (5, 7)", {5}),
        ("FROM frame LEFT JOIN orders ON orders.id = frame.total", {0, 3, 5}),
        ("FROM frame ANTI JOIN orders USING (id)", {3, 5, 2000}),
        ("FROM orders SEMI JOIN frame ON orders.id = frame.id", {3, 5, 2000}),
        ("FROM orders RIGHT JOIN frame USING (id)", {3, 5, 2000}),
        ("FROM people JOIN names USING (name)", {b"n0003", b"n0004", b"nobody"}),
        ("FROM people, names n WHERE people.name = n.name AND age >= 0", {b"n0003", b"n0004", b"nobody"}),
    ],
)
def test_keys_of_a_small_frame_are_looked_up(main: Any, text: str, keys: set[Any]) -> None:
    (found,) = with_frames(main, text)
    assert set(found.keys) == keys


@pytest.mark.parametrize(
    "text",
    [
        "FROM orders LEFT JOIN frame ON orders.id = frame.id",
        "FROM orders FULL JOIN frame USING (id)",
        "FROM orders ANTI JOIN frame USING (id)",
        "FROM frame RIGHT JOIN orders USING (id)",
        "FROM orders ASOF JOIN frame ON orders.total = frame.total AND orders.id >= frame.id",
        "FROM orders POSITIONAL JOIN frame WHERE orders.total = frame.id",
        "FROM orders, frame WHERE orders.id <> frame.id OR orders.id = frame.id",
        "FROM orders, frame WHERE orders.id < frame.id",
        "FROM orders, frame WHERE orders.id = frame.id + 1",
        "FROM orders, names WHERE CAST(orders.id AS VARCHAR) = names.name",
        "FROM orders, (SELECT 3 AS num) s, names WHERE id = flight",
        "FROM orders, frame, LATERAL (SELECT orders.id + 1) l(id) WHERE orders.total = frame.id",
    ],
)
def test_other_joins_read_the_whole_table(main: Any, text: str) -> None:
    assert with_frames(main, text) == [None]


def with_frames(database: Any, text: str) -> list[Selection | None]:
    """What is selected of each table beside the frames above; the answer must be that of DuckDB's own tables."""
    import duckdb

    frames = {"frame": FRAME, "names": NAMES}
    found = chosen(database, text, frames=frames)
    with duckdb.connect() as connection:
        for name in ("orders", "people"):
            connection.register(name, database[name].to_arrow())
        for name, frame in frames.items():
            connection.register(name, frame)
        expected = connection.sql(text).fetchall()
    assert sorted(Session(database._scope).sql(text, frames=frames.get).fetchall(), key=str) == sorted(
        expected, key=str
    )
    return found


MANY = ", ".join(map(str, range(900, 1100)))
TEXTS = ", ".join(f"'n{number:04}'" for number in range(450, 550))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (f"FROM orders WHERE id IN ({MANY})", 100),
        (f"SELECT count(*) FROM orders o WHERE o.id in ( {MANY}\n) AND total % 2 = 0", 50),
        (f"SELECT count(*) FROM orders WHERE id NOT IN ({MANY})", 900),
        (f"SELECT count(*) FROM orders WHERE NOT (id IN ({MANY}))", 900),
        (f"SELECT count(*) FROM orders WHERE id IN ({MANY}) OR id = 1", 101),
        (f"SELECT count(*) FROM orders WHERE (main.orders.id IN ({MANY})) = false", 900),
        (f"SELECT count(*) FROM orders WHERE id IN ({MANY}) AND id IN ({MANY}, 5)", 100),
        (f"SELECT count(*) FROM orders WHERE total IN ({MANY})", 100),
        (f"SELECT count(*) FROM orders WHERE id + 1 IN ({MANY})", 101),
        (f"SELECT count(*) FROM orders WHERE id IN ({MANY}, 99999999999999999999)", 100),
        (f"SELECT count(*) FROM orders WHERE id IN ({MANY}) AND 'absdb list 0' <> ''", 100),
        (f"SELECT count(*) FROM log l LEFT JOIN orders o ON o.id = l.id AND o.id IN ({MANY})", 10),
        (f"SELECT count(o.id) FROM orders o, log WHERE o.id IN ({MANY})", 1000),
        (f"SELECT count(*) FROM people WHERE name IN ({TEXTS})", 50),
        (f"SELECT count(*) FROM people WHERE name IN ({TEXTS}, 'it''s')", 50),
        (f"SELECT count(*) FROM flights WHERE flight IN ({MANY}, 7) AND carrier IN ('AA', 'ÿ')", 2),
        (f"SELECT count(*) FROM flights WHERE carrier = 'AA' AND flight IN ({MANY}, 7)", 1),
        (f"SELECT count(*) FROM orders WHERE 'IN (' || id IN ('IN (1, 2)', {TEXTS})", 0),
        (f"SELECT count(*) FROM orders WHERE id IN ({MANY}) AND id < 950 -- IN ({MANY})", 50),
    ],
)
def test_long_lists_mean_what_short_ones_do(main: Any, text: str, count: int) -> None:
    found = main.sql(text).to_arrow()
    assert (found.num_rows if text.startswith("FROM") else found.column(0)[0].as_py()) == count


def test_a_long_list_is_not_read_again_by_duckdb(main: Any) -> None:
    selected = chosen(main, f"FROM orders WHERE id IN ({MANY})")[0]
    assert selected is not None
    assert selected.keys == tuple(range(900, 1100))
    assert [literals.values for literals in selected.implied] == [tuple(range(900, 1100))]


def test_an_error_behind_a_long_list_has_its_place(main: Any) -> None:
    with pytest.raises(absdb.QueryError) as caught:
        main.sql(f"SELECT *\nFROM orders WHERE id IN ({MANY})\nAND nope = 1")
    assert "LINE 3: AND nope = 1" in str(caught.value)
