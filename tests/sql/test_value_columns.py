"""Long lists of VALUES are cast in columns: the rows and errors are those of casts one by one."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import absdb
from absdb.errors import AbsdbError
from absdb.sql.change.insert_plan import InsertPlan
from absdb.sql.change.value_columns import ROWS_MIN, cast_in_columns
from absdb.sql.session import Call
from absdb.sql.text.parsed import Statement

LITERALS = {
    "TINYINT": ["0", "-3", "'4'", "2.5", "-0.5", "1.25", "true", "NULL", "DEFAULT", "300", "'x'"],
    "BIGINT": ["9007199254740993", "-9223372036854775807", "9223372036854775808", "1e3", "'7'", "0.4999"],
    "UINTEGER": ["4000000000", "-1", "1.5"],
    "DOUBLE": ["0", "1.5", "0.1", "123456789.123456", "1234567890123456.25", "'nan'", "16777217", "-0.0"],
    "FLOAT": ["0.1", "16777217", "'inf'", "-1.5"],
    "DECIMAL(8,2)": ["1.255", "-1.255", "1.25", "100000", "1000000", "'3.145'", "12345678.1", "2", "true"],
    "VARCHAR": ["''", "'it''s'", "1.50", "1.5", "7", "true", "DATE '2026-01-02'", "'ä'", "-1"],
    "BOOLEAN": ["true", "false", "'t'", "1", "0", "'maybe'", "0.5"],
    "DATE": ["'2026-01-03'", "DATE '2026-01-02'", "'2026-1-3'", "'infinity'", "'2026-13-01'", "7"],
    "TIMESTAMP": ["'2026-01-03'", "'2026-01-03 10:00:00.123456'", "7"],
    "TIMESTAMPTZ": ["'2026-01-03 00:00:00+02'", "'2026-01-03'"],
    "TIME": ["'23:59:59.5'", "'25:00:00'"],
    "BLOB": ["'a'", "'\\x01'", "7"],
    "UUID": ["'ffffffff-0000-0000-0000-000000000001'", "'no'"],
    "JSON": ["'{\"a\": 1}'", "'{'", "1"],
    "INTEGER[]": ["'[1, 2]'", "'[]'"],
    "STRUCT(x INTEGER)": ["'{''x'': 1}'"],
}


def outcome(database: Any, table: str, text: str, values: Any = None, *, plain: bool) -> Any:
    """The rows of the table after a statement, or its error."""
    with database.session() as session:
        if plain:
            session.set_duckdb({"threads": "2"})
        session.begin()
        try:
            count = session.sql(text, values).rowcount
        except AbsdbError as error:
            return type(error), str(error)
        found = count, repr(session.sql(f"FROM {table} ORDER BY id").fetchall())
        session.rollback()
        return found


def check_same(database: Any, table: str, text: str, values: Any = None) -> Any:
    found = outcome(database, table, text, values, plain=False)
    assert found == outcome(database, table, text, values, plain=True)
    return found


@pytest.fixture(scope="module")
def main() -> Any:
    with absdb.connect(":memory:") as shop:
        for number, kind in enumerate(LITERALS):
            default = " DEFAULT 5" if kind in ("TINYINT", "DOUBLE") else ""
            shop["main"].sql(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, v {kind}{default})")
        shop["main"].sql("CREATE TABLE log (id DECIMAL(9,2), day DATE, note VARCHAR)")
        yield shop["main"]


@pytest.mark.parametrize("number", range(len(LITERALS)))
def test_each_literal_alone(main: Any, number: int) -> None:
    for literal in LITERALS[list(LITERALS)[number]]:
        rows = ", ".join(f"({at}, {literal})" for at in range(ROWS_MIN))
        check_same(main, f"t{number}", f"INSERT INTO t{number} VALUES {rows}")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_literals_by_chance(main: Any, data: Any) -> None:
    number = data.draw(st.integers(0, len(LITERALS) - 1))
    some = data.draw(
        st.lists(st.sampled_from(LITERALS[list(LITERALS)[number]] + ["NULL"]), min_size=1, max_size=4)
    )
    rows = ", ".join(f"({at}, {some[at % len(some)]})" for at in range(ROWS_MIN + 3))
    check_same(main, f"t{number}", f"INSERT INTO t{number} VALUES {rows}")


VALUES = [None, True, 1, -1, 2**62, 2**70, 1.5, float("nan"), "2026-01-02", "x", Decimal("1.255"), b"a"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_parameters_by_chance(main: Any, data: Any) -> None:
    number = data.draw(st.integers(0, len(LITERALS) - 1))
    choices = [*VALUES, dt.date(2026, 1, 2), dt.datetime(2026, 1, 2, 3)]
    some = data.draw(st.lists(st.sampled_from(choices), min_size=1, max_size=3))
    rows = ", ".join(f"({at}, ?)" for at in range(ROWS_MIN))
    values = [some[at % len(some)] for at in range(ROWS_MIN)]
    check_same(main, f"t{number}", f"INSERT INTO t{number} VALUES {rows}", values)


def in_columns(database: Any, table: str, text: str) -> Any:
    """What is cast in columns of a statement without parameters."""
    schema = database._scope.catalog().tables_by_name["main", table]
    with database.session() as session:
        statement = Statement.read(text)
        rows = InsertPlan.read(statement).rows
        assert rows is not None
        return cast_in_columns(Call(session, statement, {}, None), schema, schema.columns, rows)


def test_a_long_list_needs_no_cast_one_by_one(main: Any) -> None:
    rows = ", ".join(f"({at}.25, '2026-01-02', 'n{at}')" for at in range(300))
    text = f"INSERT INTO log VALUES {rows}, (-1.255, NULL, NULL)"
    cast = in_columns(main, "log", text)
    assert cast.num_rows == 301
    assert cast.column("id")[300].as_py() == Decimal("-1.26")
    assert in_columns(main, "log", text.replace("(7.25", "(7.25e0")) is None
    assert check_same(main, "log", text)[0] == 301
    with pytest.raises(absdb.QueryError, match="13") as caught:
        main.sql(text.replace("(7.25, '2026-01", "\n(7.25, '2026-13"))
    assert "LINE 2: (7.25, '2026-13-02'" in str(caught.value)


def test_what_follows_values_still_happens(main: Any) -> None:
    rows = ", ".join(f"('{at}', {at % 3}.0)" for at in range(ROWS_MIN))
    ahead = f"INSERT INTO t0 VALUES {rows}"
    again = f"{ahead} ON CONFLICT DO UPDATE SET v = excluded.v + 1 RETURNING id, v"
    with main.session() as session:
        session.begin()
        assert session.sql(f"{ahead} RETURNING v").to_arrow().column("v").to_pylist() == [0, 1, 2] * 6 + [
            0,
            1,
        ]
        assert session.sql(again).fetchall()[:2] == [(0, 1), (1, 2)]
        session.rollback()
