"""Every type that a table can have is read by SQL, and comes out as what it was."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

import absdb
from absdb.errors import QueryError

_NOON = dt.datetime(2026, 4, 4, 12, 30, 15)
_DAY = dt.timedelta(days=1, seconds=3)
_ZONED = _NOON.replace(tzinfo=dt.UTC)
# (type of the column, values, type that a query gives, None where it is the same)
_CASES: list[tuple[pa.DataType, list[Any], pa.DataType | None]] = [
    *[(kind, [1, None, 127], None) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())],
    *[(kind, [1, None, 255], None) for kind in (pa.uint8(), pa.uint16(), pa.uint32())],
    (pa.uint64(), [2**64 - 1, None], None),
    (pa.float16(), [1.5, None], pa.float32()),
    (pa.float32(), [1.5, None], None),
    (pa.float64(), [1.5, None], None),
    (pa.bool_(), [True, None, False], None),
    (pa.decimal32(5, 2), [Decimal("1.50"), None], pa.decimal128(5, 2)),
    (pa.decimal64(15, 2), [Decimal("1.50"), None], pa.decimal128(15, 2)),
    (pa.decimal128(38, 10), [Decimal("1.5000000000"), None], None),
    (pa.decimal256(50, 2), [Decimal("1.50"), None], pa.decimal128(38, 2)),
    (pa.string(), ["a", None, "", "ä"], None),
    (pa.large_string(), ["a", None], pa.string()),
    (pa.string_view(), ["a", None], pa.string()),
    (pa.dictionary(pa.int32(), pa.string()), ["a", None, "a"], pa.string()),
    (pa.binary(), [b"a\x00", None], None),
    (pa.large_binary(), [b"a", None], pa.binary()),
    (pa.binary(3), [b"abc", None], pa.binary()),
    (pa.date32(), [_NOON.date(), None], None),
    (pa.date64(), [_NOON.date(), None], pa.date32()),
    (pa.time32("s"), [_NOON.time(), None], pa.time64("us")),
    (pa.time64("us"), [_NOON.time(), None], None),
    *[(pa.timestamp(unit), [_NOON, None], None) for unit in ("s", "ms", "us")],
    (pa.timestamp("us", "UTC"), [_ZONED, None], None),
    (pa.month_day_nano_interval(), [pa.MonthDayNano([1, 2, 3000]), None], None),
    (pa.uuid(), [uuid.UUID(int=7), None, uuid.UUID(int=2**128 - 1)], None),
    (pa.json_(), ['{"a": 1}', None], None),
    (pa.list_(pa.int32()), [[1, None], None, []], None),
    (pa.large_list(pa.int32()), [[1], None], pa.list_(pa.int32())),
    (pa.list_(pa.float16()), [[1.5], None], pa.list_(pa.float32())),
    (pa.list_(pa.int32(), 2), [[1, 2], None], None),
    (pa.struct([("a", pa.int8()), ("b", pa.float16())]), [{"a": 1, "b": 2.0}, None], None),
    (pa.map_(pa.string(), pa.int64()), [[("a", 1)], None], None),
    (pa.null(), [None, None], pa.string()),
]


@pytest.mark.parametrize(("kind", "values", "read"), _CASES, ids=lambda value: str(value)[:40])
def test_a_type_is_read_and_comes_out_again(
    kind: pa.DataType, values: list[Any], read: pa.DataType | None
) -> None:
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.create_table("t", pa.table({"id": range(len(values)), "x": _array(values, kind)}), key="id")
        for result in (
            main.sql("SELECT x FROM t"),
            main.sql("FROM t WHERE id >= 0").to_arrow().select(["x"]),
        ):
            table = result if isinstance(result, pa.Table) else result.to_arrow()
            assert table.column("x").to_pylist() == main["t"].to_arrow().column("x").to_pylist()
            nested = pa.types.is_nested(kind)
            assert nested or table.schema.field("x").type == (read or kind)
        streamed = pa.Table.from_batches(main.sql("SELECT x FROM t ORDER BY id DESC").to_batches())
        assert streamed.column("x").to_pylist() == main["t"].to_arrow().column("x").to_pylist()[::-1]


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.uuid():
        storage = pa.array([None if value is None else value.bytes for value in values], pa.binary(16))
        return pa.ExtensionArray.from_storage(kind, storage)
    if kind == pa.json_():
        return pa.ExtensionArray.from_storage(kind, pa.array(values, pa.string()))
    return pa.array(values, kind)


def test_a_value_of_too_many_digits_is_refused_and_others_are_not() -> None:
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        large = pa.array([Decimal(10**60), Decimal(1)], pa.decimal256(70, 0))
        main.create_table("t", pa.table({"id": [1, 2], "x": large}), key="id")
        with pytest.raises(QueryError, match="'x' has a value of more than 38 digits"):
            main.sql("SELECT x FROM t")
        assert main.sql("SELECT x FROM t WHERE id = 2").fetchall() == [(Decimal(1),)]
        assert main.sql("SELECT count(*) FROM t").fetchall() == [(2,)]


def test_only_the_columns_that_a_query_names_are_read() -> None:
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.create_table("t", pa.table({"id": [1], "a": [2], "b": [3], "c": [4]}), key="id")
        read = []
        reader = type(main._scope.reader(main._scope.catalog().table("t")))
        original = reader.to_table

        def recorded(self: Any, columns: Any = None, coded: Any = None) -> pa.Table:
            read.append(columns)
            return original(self, columns, coded)

        reader.to_table = recorded  # type: ignore[method-assign]
        try:
            for text, columns in {
                "SELECT a FROM t": ["a"],
                "SELECT count(*) FROM t": ["id"],
                "SELECT sum(C) FROM t GROUP BY b": ["b", "c"],
                "SELECT t FROM t": None,
                "FROM t": None,
                "SELECT * EXCLUDE (a) FROM t": None,
                "SELECT COLUMNS('a|b') FROM t": None,
                "SELECT x FROM t AS q(w, x, y, z)": None,
                "SELECT o.a FROM t o NATURAL JOIN (SELECT 4 AS c)": None,
                "SELECT o.a FROM t o JOIN (SELECT 3 AS b) USING (b)": ["a", "b"],
                "SELECT a FROM t WHERE EXISTS (SELECT * FROM t AS u WHERE u.b = t.a + 1)": ["a", "b"],
                "SELECT a FROM t WHERE NOT EXISTS (SELECT * EXCLUDE (c) FROM t AS u)": None,
                "SELECT a FROM t WHERE EXISTS (SELECT b FROM (SELECT * FROM t))": None,
                "SELECT (SELECT max(b + z) FROM (SELECT 1 AS z) WHERE z < c) FROM t": ["b", "c"],
            }.items():
                read.clear()
                main.sql(text).fetchall()
                assert read == [columns], text
        finally:
            reader.to_table = original  # type: ignore[method-assign]
