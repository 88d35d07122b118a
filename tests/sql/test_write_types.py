"""Every type that a column can have, through the statements that write it: the same values as in DuckDB."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import absdb
from absdb.engine.fitting import MisfitError, fit
from absdb.errors import AbsdbError
from absdb.sql.session import Session
from tests.sql.conftest import answer

LITERALS = {
    "HUGEINT": "123456789012345678901234567890",
    "UBIGINT": "18446744073709551615",
    "UTINYINT": "255",
    "REAL": "1.1",
    "DECIMAL(38,10)": "1.5",
    "DECIMAL(4,1)": "1.55",
    "ENUM('a', 'b')": "'a'",
    "VARCHAR(5)": "'abcdefgh'",
    "BLOB": "'\\xAA'",
    "JSON": "'{\"a\": 1}'",
    "UUID": "'00000000-0000-0000-0000-000000000001'",
    "INTERVAL": "INTERVAL 3 DAY",
    "TIME": "'10:00:00.123456'",
    "TIMESTAMP_S": "'2026-01-01 10:00:01'",
    "TIMESTAMP_MS": "'2026-01-01 10:00:01.123'",
    "TIMESTAMP_NS": "'2026-01-01 10:00:01.123456789'",
    "TIMESTAMPTZ": "'2026-01-01 10:00:00+02'",
    "DATE[]": "['2026-01-01']",
    "INTEGER[3]": "[1, 2, 3]",
    "INTEGER[][]": "[[1], [NULL], NULL]",
    "MAP(VARCHAR, INTEGER)": "MAP {'a': 1}",
    "MAP(INTEGER, STRUCT(x DOUBLE))": "MAP {1: {'x': 1.5}}",
    "STRUCT(a STRUCT(b TIMESTAMPTZ))": "{'a': {'b': '2026-01-01'}}",
    "STRUCT(a UUID, b JSON)": "{'a': '00000000-0000-0000-0000-000000000001', 'b': '[1]'}",
}
STATEMENTS = [
    "INSERT INTO x VALUES (1, {})",
    "INSERT INTO x (id) VALUES (2)",
    "UPDATE x SET c = {} WHERE id = 2",
    "INSERT INTO x SELECT id + 10, c FROM x",
    "UPDATE x SET c = c",
    "INSERT INTO x VALUES (50, NULL)",
    "INSERT INTO x VALUES (51, [[[[]]]])",
    "DELETE FROM x WHERE c IS NULL RETURNING *",
    "INSERT OR REPLACE INTO x VALUES (3, {}), (1, (SELECT c FROM x WHERE id = 2))",
    "INSERT INTO x VALUES (3, NULL) ON CONFLICT DO UPDATE SET c = x.c RETURNING *",
    "MERGE INTO x USING (SELECT id, c FROM x WHERE id < 5) y ON x.id = y.id WHEN MATCHED THEN UPDATE SET c = y.c",
    "UPDATE x SET c = y.c FROM x y WHERE y.id = x.id + 1 RETURNING *",
    "FROM x ORDER BY id",
]


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with absdb.connect(":memory:") as instance:
        yield Session(instance["main"]._scope)


@pytest.mark.parametrize("kind", LITERALS)
@pytest.mark.parametrize("key", [" PRIMARY KEY", ""], ids=["key", "no key"])
def test_as_in_duckdb(session: Session, kind: str, key: str) -> None:
    with duckdb.connect(":memory:") as theirs:
        theirs.execute("SET TimeZone = 'UTC'").fetchall()
        for text in (f"CREATE OR REPLACE TABLE x (id INTEGER{key}, c {kind})", *STATEMENTS):
            if not key and ("OR REPLACE INTO" in text or "ON CONFLICT" in text):
                continue
            text = text.replace("{}", LITERALS[kind])
            try:
                expected = answer(theirs, text).to_pylist()
            except duckdb.Error:
                with pytest.raises(AbsdbError):
                    session.sql(text)
                continue
            result = session.sql(text)
            if not text.startswith("CREATE"):
                found = [dict(zip(result.columns, row, strict=True)) for row in result.fetchall()]
                assert sorted(map(shown, found)) == sorted(map(shown, expected)), text


def shown(row: dict[str, Any]) -> str:
    """A row as text; DuckDB gives UUIDs as such."""
    return ", ".join(f"{name}={value}" for name, value in row.items())


ARROW = [
    (pa.duration("us"), dt.timedelta(hours=30)),
    (pa.duration("s"), dt.timedelta(days=40)),
    (pa.decimal256(60, 2), Decimal("1.50")),
    (pa.float16(), 1.5),
    (pa.time32("s"), dt.time(1, 2, 3)),
    (pa.time64("ns"), dt.time(1, 2, 3)),
    (pa.date64(), dt.date(2026, 1, 1)),
    (pa.dictionary(pa.int32(), pa.string()), "a"),
    (pa.large_string(), "x"),
    (pa.string_view(), "y"),
    (pa.large_binary(), b"x"),
    (pa.binary(3), b"abc"),
    (pa.timestamp("us", "Europe/Berlin"), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
    (pa.struct([("a", pa.float16()), ("b", pa.date64())]), {"a": 1.5, "b": dt.date(2026, 1, 1)}),
    (pa.large_list(pa.int8()), [1]),
    (pa.map_(pa.string(), pa.float16()), [("a", 1.5)]),
]


@pytest.mark.parametrize(("kind", "value"), ARROW, ids=[str(kind) for kind, _ in ARROW])
@pytest.mark.parametrize("key", ["id", None])
def test_types_of_arrow_come_back_as_they_are(
    shop: Any, kind: pa.DataType, value: Any, key: str | None
) -> None:
    shop.main.create_table("x", pa.schema([("id", pa.int32()), ("c", kind)]), key=key)
    shop.main["x"].insert([{"id": 1, "c": value}])
    shop.count("INSERT INTO x SELECT id + 1, c FROM x")
    shop.count("INSERT INTO x VALUES (3, (SELECT c FROM x WHERE id = 2)), (4, NULL)")
    shop.count("UPDATE x SET c = y.c FROM x y WHERE y.id = 1 AND x.id = 4")
    shop.rows("UPDATE x SET id = id + 10 RETURNING *")
    if key:
        shop.count("INSERT INTO x SELECT * FROM x ON CONFLICT DO UPDATE SET c = excluded.c")
        shop.count("INSERT OR REPLACE INTO x SELECT * FROM x")
    text = "MERGE INTO x USING (SELECT DISTINCT ON (id) * FROM x) s USING (id) WHEN MATCHED THEN UPDATE SET c = s.c"
    assert shop.count(text) == 4
    found = shop.main["x"].to_arrow()
    assert found["c"].type == kind
    assert found["c"].to_pylist() == [value] * 4
    assert sorted(found["id"].to_pylist()) == [11, 12, 13, 14]


def test_intervals_as_durations() -> None:
    intervals = pa.array([pa.MonthDayNano([0, 2, 3000]), None, pa.MonthDayNano([0, -1, 0])])
    expected = [dt.timedelta(days=2, microseconds=3), None, dt.timedelta(days=-1)]
    assert fit(intervals, pa.duration("us")).to_pylist() == expected
    assert fit(intervals.slice(1), pa.duration("s")).to_pylist() == expected[1:]
    for parts, unit in (([1, 0, 0], "us"), ([0, 0, 1], "us"), ([0, 2**31 - 1, 0], "ns")):
        with pytest.raises(MisfitError):
            fit(pa.array([pa.MonthDayNano(parts)]), pa.duration(unit))
