"""Single values: what fits, what is refused and how it is said, and that rows of them become a page."""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
import subprocess
import sys
import uuid
import zoneinfo
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import InvalidInputError, SchemaMismatchError
from absdb.pages.types import physical_type, to_logical, to_physical
from absdb.pages.values import Converter, rows_to_batch

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NOON = dt.datetime(2024, 5, 1, 12, 0, 0)
NOON_S = int(NOON.replace(tzinfo=dt.UTC).timestamp())


class Color(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 7


def stored(logical: pa.DataType, value: Any) -> Any:
    return Converter.of(logical, "x").to_physical(value)


# ---------------------------------------------------------------- what fits


@pytest.mark.parametrize(
    ("logical", "value", "physical"),
    [
        (pa.int8(), 127, 127),
        (pa.int64(), -(2**63), -(2**63)),
        (pa.uint64(), 2**64 - 1, 2**64 - 1),
        (pa.int64(), np.int32(5), 5),
        (pa.uint8(), Size.BIG, 7),
        (pa.bool_(), True, True),
        (pa.bool_(), np.bool_(False), False),
        (pa.float64(), 1.5, 1.5),
        (pa.float64(), 2, 2.0),
        (pa.float64(), np.float32(0.5), 0.5),
        (pa.float32(), 0.1, float(np.float32(0.1))),
        (pa.float32(), -math.inf, -math.inf),
        (pa.float16(), 0.1, float(np.float16(0.1))),
        (pa.decimal128(5, 2), Decimal("1.5"), Decimal("1.50")),
        (pa.decimal128(5, 2), Decimal("-0"), Decimal("0.00")),
        (pa.decimal128(5, 2), Decimal("9.99E+2"), Decimal("999.00")),
        (pa.decimal128(5, 2), -999, Decimal("-999.00")),
        (pa.decimal128(5, 2), np.int8(3), Decimal("3.00")),
        (pa.decimal128(3, -2), Decimal(99900), Decimal("999E+2")),
        (pa.decimal256(76, 0), Decimal(10**76 - 1), Decimal(10**76 - 1)),
        (pa.string(), "aé", "aé"),
        (pa.string(), Color.RED, "red"),
        (pa.large_string(), np.str_("a"), "a"),
        (pa.string_view(), "a", "a"),
        (pa.binary(), b"a", b"a"),
        (pa.binary(), bytearray(b"a"), b"a"),
        (pa.large_binary(), memoryview(b"a"), b"a"),
        (pa.binary(2), np.bytes_(b"ab"), b"ab"),
        (pa.uuid(), uuid.UUID(int=1), b"\x00" * 15 + b"\x01"),
        (pa.uuid(), b"0" * 16, b"0" * 16),
        (pa.json_(), "{}", "{}"),
        (pa.bool8(), True, 1),
        (pa.dictionary(pa.int8(), pa.string()), "a", "a"),
        (pa.run_end_encoded(pa.int32(), pa.int8()), 1, 1),
        (pa.timestamp("us"), NOON, NOON_S * 10**6),
        (pa.timestamp("ns"), NOON, NOON_S * 10**9),
        (pa.timestamp("s", "UTC"), NOON, NOON_S),
        (pa.timestamp("s", "UTC"), NOON.replace(tzinfo=BERLIN), NOON_S - 7200),
        (pa.timestamp("s", "Europe/Berlin"), NOON, NOON_S),
        (pa.timestamp("us"), dt.datetime(1969, 12, 31, 23, 59, 59, 999_999), -1),
        (pa.timestamp("ms"), dt.date(2024, 5, 1), (NOON_S - 43_200) * 1_000),
        (pa.timestamp("ns"), pd.Timestamp("2024-05-01 12:00:00.000000001"), NOON_S * 10**9 + 1),
        (
            pa.timestamp("ns", "UTC"),
            pd.Timestamp("2024-05-01 12:00", tz="Europe/Berlin"),
            (NOON_S - 7200) * 10**9,
        ),
        (pa.timestamp("us"), np.datetime64("2024-05-01T12:00", "m"), NOON_S * 10**6),
        (pa.date32(), dt.date(1970, 1, 3), 2),
        (pa.date32(), dt.datetime(1970, 1, 3), 2),
        (pa.date32(), pd.Timestamp("1970-01-03"), 2),
        (pa.date32(), np.datetime64("1969-12-31"), -1),
        (pa.date64(), dt.date(1969, 12, 31), -86_400_000),
        (pa.time32("s"), dt.time(1, 2, 3), 3723),
        (pa.time64("us"), dt.time(0, 0, 0, 5), 5),
        (pa.time64("ns"), dt.time(0, 0, 0, 5), 5000),
        (pa.duration("ms"), dt.timedelta(days=-1), -86_400_000),
        (pa.duration("ns"), pd.Timedelta(1, "ns"), 1),
        (pa.duration("us"), np.timedelta64(3, "s"), 3_000_000),
        (pa.list_(pa.int8()), [1, None], [1, None]),
        (pa.list_(pa.uuid()), [uuid.UUID(int=1), None], [b"\x00" * 15 + b"\x01", None]),
        (pa.list_(pa.string_view()), ("a",), ["a"]),
        (pa.list_view(pa.int8()), [1], [1]),
        (pa.struct([("a", pa.int8()), ("b", pa.uuid())]), {"a": 1}, {"a": 1, "b": None}),
        (pa.map_(pa.string(), pa.int8()), {"a": 1}, [("a", 1)]),
        (pa.map_(pa.string(), pa.uuid()), {"a": uuid.UUID(int=0)}, [("a", b"\x00" * 16)]),
        (pa.map_(pa.string(), pa.bool8()), [("a", True)], [("a", 1)]),
        (pa.list_(pa.dictionary(pa.int8(), pa.string())), ["a"], ["a"]),
        (pa.month_day_nano_interval(), pa.MonthDayNano([1, 2, 3]), pa.MonthDayNano([1, 2, 3])),
        (pa.fixed_shape_tensor(pa.int8(), [2]), [1, 2], [1, 2]),
    ],
)
def test_fitting_values(logical: pa.DataType, value: Any, physical: Any) -> None:
    got = stored(logical, value)
    assert got == physical
    assert type(got) is type(physical)
    assert str(got) == str(physical)


NULLS = [None, pd.NaT, pd.NA, np.datetime64("NaT"), np.timedelta64("NaT")]
ALL_TYPES = [
    *(pa.null(), pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.string()),
    *(pa.string_view(), pa.binary(), pa.binary(3), pa.decimal32(3, 1), pa.decimal256(40, 2), pa.date32()),
    *(pa.date64(), pa.time32("s"), pa.time64("ns"), pa.timestamp("s"), pa.timestamp("ns", "Europe/Berlin")),
    *(pa.duration("s"), pa.duration("ns"), pa.uuid(), pa.json_(), pa.bool8(), pa.month_day_nano_interval()),
    *(pa.list_(pa.uuid()), pa.struct([("a", pa.int8())]), pa.map_(pa.string(), pa.int8())),
    *(pa.dictionary(pa.int8(), pa.string()), pa.fixed_shape_tensor(pa.int8(), [2])),
]


@pytest.mark.parametrize("logical", ALL_TYPES, ids=str)
def test_nulls_of_all_kinds_are_none(logical: pa.DataType) -> None:
    converter = Converter.of(logical, "x")
    assert [converter.to_physical(null) for null in NULLS] == [None] * len(NULLS)
    assert converter.to_python(None) is None


def test_nan_stays_a_number() -> None:
    for type_ in (pa.float16(), pa.float32(), pa.float64()):
        assert math.isnan(stored(type_, math.nan))
        assert math.isnan(stored(type_, np.float64("nan")))


# ---------------------------------------------------------------- what does not


@pytest.mark.parametrize(
    ("logical", "value", "message"),
    [
        (pa.int8(), 128, "column 'x': 128 (int) does not fit int8: expected -128 to 127"),
        (pa.uint32(), -1, "column 'x': -1 (int) does not fit uint32: expected 0 to 4294967295"),
        (pa.uint8(), np.int64(300), "column 'x': 300 (int) does not fit uint8: expected 0 to 255"),
        (pa.int64(), True, "column 'x': True (bool) does not fit int64"),
        (pa.int64(), np.bool_(True), "column 'x': np.True_ (bool) does not fit int64"),
        (pa.int64(), 1.0, "column 'x': 1.0 (float) does not fit int64"),
        (pa.int64(), "1", "column 'x': '1' (str) does not fit int64"),
        (pa.int64(), Decimal(1), "column 'x': Decimal('1') (Decimal) does not fit int64"),
        (pa.bool_(), 1, "column 'x': 1 (int) does not fit bool"),
        (pa.bool8(), 1, "column 'x': 1 (int) does not fit bool8"),
        (pa.float64(), "1.5", "column 'x': '1.5' (str) does not fit float64"),
        (pa.float64(), True, "column 'x': True (bool) does not fit float64"),
        (pa.float64(), 2**53 + 1, "(int) does not fit float64: it cannot be held exactly"),
        (pa.float64(), 10**400, "(int) does not fit float64: out of range"),
        (pa.float32(), 1e300, "column 'x': 1e+300 (float) does not fit float32: out of range"),
        (pa.float32(), 2**24 + 1, "(int) does not fit float32: it cannot be held exactly"),
        (pa.float16(), 70_000, "(int) does not fit float16: out of range"),
        (pa.decimal128(5, 2), 1.5, "column 'x': 1.5 (float) does not fit decimal(5, 2)"),
        (
            pa.decimal128(5, 2),
            Decimal("1.005"),
            "does not fit decimal(5, 2): it has more than 2 decimal places",
        ),
        (pa.decimal128(5, 2), Decimal(1000), "does not fit decimal(5, 2): it has too many digits"),
        (pa.decimal128(5, 2), Decimal("1e200"), "does not fit decimal(5, 2): it has too many digits"),
        (
            pa.decimal128(5, 2),
            1000,
            "column 'x': 1000 (int) does not fit decimal(5, 2): it has too many digits",
        ),
        (pa.decimal128(5, 2), 10**200, "(int) does not fit decimal(5, 2): it has too many digits"),
        (pa.decimal128(5, 2), Decimal("NaN"), "does not fit decimal(5, 2): it is not a number"),
        (pa.decimal128(5, 2), Decimal("-inf"), "does not fit decimal(5, 2): it is not a number"),
        (pa.string(), b"a", "column 'x': b'a' (bytes) does not fit string"),
        (pa.string(), 5, "column 'x': 5 (int) does not fit string"),
        (pa.string(), "a\ud800", "does not fit string: it holds a surrogate, which is not a character"),
        (pa.string(), math.nan, "column 'x': nan (float) does not fit string"),
        (pa.binary(), "a", "column 'x': 'a' (str) does not fit binary"),
        (pa.binary(2), b"abc", "(bytes) does not fit binary[2]: expected 2 bytes, found 3"),
        (pa.uuid(), "0" * 32, "(str) does not fit uuid: expected a uuid.UUID or 16 bytes"),
        (pa.null(), 0, "column 'x': 0 (int) does not fit null"),
        (pa.timestamp("us"), "2024-05-01", "column 'x': '2024-05-01' (str) does not fit timestamp[us]"),
        (pa.timestamp("us"), 5, "column 'x': 5 (int) does not fit timestamp[us]"),
        (
            pa.timestamp("us"),
            NOON.replace(tzinfo=dt.UTC),
            "timestamp[us]: it has a time zone, the column has none",
        ),
        (pa.timestamp("us"), pd.Timestamp("2024", tz="UTC"), "it has a time zone, the column has none"),
        (
            pa.timestamp("s", "UTC"),
            NOON.replace(microsecond=1),
            "timestamp[s, UTC]: it is finer than the column's unit",
        ),
        (pa.timestamp("us"), pd.Timestamp(1), "it is finer than the column's unit, us"),
        (pa.timestamp("ns"), dt.datetime(1, 1, 1), "does not fit timestamp[ns]: out of range"),
        (pa.timestamp("s"), np.datetime64(1, "ms"), "out of range, or finer than the column's unit"),
        (pa.timestamp("ns"), np.datetime64(10**12, "s"), "out of range, or finer than the column's unit"),
        (pa.date32(), NOON, "does not fit date32: it is more than a date"),
        (pa.date32(), "2024-05-01", "column 'x': '2024-05-01' (str) does not fit date32"),
        (pa.date32(), np.datetime64("2024-05-01T12"), "out of range, or finer than the column's unit"),
        (pa.date32(), np.datetime64(2**40, "D"), "does not fit date32: out of range"),
        (
            pa.time32("s"),
            dt.time(0, 0, 0, 1),
            "does not fit time32[s]: it is finer than the column's unit, s",
        ),
        (pa.time64("us"), dt.time(1, tzinfo=dt.UTC), "does not fit time64[us]: it has a time zone"),
        (pa.time64("us"), NOON, "(datetime) does not fit time64[us]"),
        (pa.duration("s"), dt.timedelta(microseconds=1), "it is finer than the column's unit, s"),
        (pa.duration("ns"), dt.timedelta(days=200_000), "does not fit duration[ns]: out of range"),
        (pa.duration("us"), 5, "column 'x': 5 (int) does not fit duration[us]"),
        (pa.duration("us"), np.timedelta64(1, "M"), "does not fit duration[us]: months and years"),
        (pa.list_(pa.int8()), ["a"], "column 'x': 'a' (str) does not fit list[int8]: expected int8 inside"),
        (pa.list_(pa.int8()), [1, 2.5], "column 'x': 2.5 (float) does not fit list[int8]: expected int8"),
        (pa.list_(pa.int8()), b"ab", "column 'x': b'ab' (bytes) does not fit list[int8]: expected a list"),
        (pa.list_(pa.string()), "ab", "column 'x': 'ab' (str) does not fit list[string]: expected a list"),
        (pa.struct([("a", pa.int8())]), {"a": 1, "b": 2}, "fit struct[a: int8]: it has no field 'b'"),
        (pa.struct([("a", pa.int8())]), {"a": 1.5}, "column 'x': 1.5 (float) does not fit struct[a: int8]: "),
        (pa.map_(pa.string(), pa.int8()), {"a": 1.5}, "1.5 (float) does not fit map[string, int8]: "),
        (pa.list_(pa.int8()), 5, "column 'x': 5 (int) does not fit list[int8]: "),
        (pa.list_(pa.uuid()), [5], "column 'x': 5 (int) does not fit list[uuid]: expected a uuid.UUID"),
        (pa.list_(pa.uuid()), 5, "column 'x': 5 (int) does not fit list[uuid]: "),
        (pa.struct([("a", pa.uuid())]), 5, "column 'x': 5 (int) does not fit struct[a: uuid]: "),
        (pa.month_day_nano_interval(), "1 day", "column 'x': '1 day' (str) does not fit interval: "),
        (
            pa.string(),
            list(range(99)),
            "column 'x': [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, … (list)",
        ),
    ],
)
def test_misfits_are_named(logical: pa.DataType, value: Any, message: str) -> None:
    with pytest.raises(SchemaMismatchError) as caught:
        stored(logical, value)
    assert message in str(caught.value)
    assert str(caught.value).startswith("column 'x': ")
    assert caught.value.column == "x"


# ---------------------------------------------------------------- and back

LIMIT_US = (dt.datetime.max - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)


def units(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


PHYSICAL: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int16(): units(-(2**15), 2**15 - 1),
    pa.uint64(): units(0, 2**64 - 1),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=5),
    pa.binary(2): st.binary(min_size=2, max_size=2),
    pa.decimal128(9, 3): units(1 - 10**9, 10**9 - 1).map(lambda n: Decimal(n).scaleb(-3)),
    pa.date32(): units(-719_162, 2_932_896),
    pa.date64(): units(-719_162, 2_932_896).map(lambda days: days * 86_400_000),
    pa.time32("ms"): units(0, 86_399_999),
    pa.time64("ns"): units(0, 86_399_999_999).map(lambda us: us * 1_000),
    pa.timestamp("s"): units(-62_135_596_800, 253_402_300_799),
    pa.timestamp("us"): units(-62_135_596_800 * 10**6, LIMIT_US),
    pa.timestamp("us", "UTC"): units(-62_135_596_800 * 10**6, LIMIT_US),
    pa.timestamp("ms", "Europe/Berlin"): units(-62_000_000_000_000, 253_000_000_000_000),
    pa.timestamp("s", "+05:30"): units(-62_000_000_000, 253_000_000_000),
    pa.timestamp("ns", "UTC"): units(-(2**63) + 2, 2**63 - 1),
    pa.duration("ms"): units(-(2**45), 2**45),
    pa.duration("ns"): units(-(2**63) + 2, 2**63 - 1),
    pa.uuid(): st.binary(min_size=16, max_size=16),
    pa.list_(pa.uuid()): st.lists(st.none() | st.binary(min_size=16, max_size=16), max_size=3),
    pa.list_(pa.timestamp("us")): st.lists(st.datetimes(), max_size=3),
    pa.struct([("a", pa.int8()), ("b", pa.string_view())]): st.fixed_dictionaries(
        {"a": st.integers(-5, 5), "b": st.text(max_size=3)}
    ),
    pa.dictionary(pa.int32(), pa.string()): st.text(max_size=3),
}


@st.composite
def columns(draw: st.DrawFn) -> tuple[pa.DataType, list[Any]]:
    logical = draw(st.sampled_from(list(PHYSICAL)))
    return logical, draw(st.lists(st.none() | PHYSICAL[logical], min_size=1, max_size=8))


@given(columns())
def test_values_go_around(column: tuple[pa.DataType, list[Any]]) -> None:
    """Goal: to_python says what Arrow says, and to_physical takes that back to where it came from."""
    logical, values = column
    converter = Converter.of(logical, "x")
    array = rows_to_batch([(value,) for value in values], [("c1", physical_type(logical))]).column(0)
    array.validate(full=True)
    assert array.type == physical_type(logical)
    shown = [converter.to_python(value) for value in values]
    assert shown == to_logical(array, logical).to_pylist()
    assert [converter.to_physical(value) for value in shown] == values


@given(st.datetimes(timezones=st.none() | st.sampled_from([dt.UTC, BERLIN])))
def test_datetimes_land_where_arrow_puts_them(value: dt.datetime) -> None:
    type_ = pa.timestamp("us", "UTC")
    aware = value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value
    try:
        expected = pa.scalar(aware, type_).value
    except OverflowError:
        return
    assert stored(type_, value) == expected


def test_zones_are_those_of_pyarrow() -> None:
    for zone in ("UTC", "Europe/Berlin", "+05:30"):
        type_ = pa.timestamp("us", zone)
        ours, theirs = Converter.of(type_).to_python(10**15), pa.scalar(10**15, type_).as_py()
        assert ours == theirs
        assert ours.tzinfo == theirs.tzinfo
        assert str(ours) == str(theirs)


def test_what_python_cannot_show_is_said() -> None:
    for type_, value in [
        (pa.timestamp("us"), 2**60),
        (pa.timestamp("s", "Europe/Berlin"), -(2**60)),
        (pa.date32(), 2**30),
        (pa.duration("s"), 2**60),
    ]:
        with pytest.raises(
            InvalidInputError, match="outside of what Python's datetime can hold\n  hint: read"
        ):
            Converter.of(type_).to_python(value)


def test_pandas_is_needed_for_nanoseconds_only() -> None:
    program = (
        "import sys, datetime, pyarrow as pa; from absdb.pages.values import Converter; "
        "c = Converter.of(pa.timestamp('ns', 'UTC')); now = datetime.datetime.now(datetime.UTC); "
        "assert c.to_python(c.to_physical(now)) == now; "
        "d = Converter.of(pa.duration('ns')); assert d.to_python(1000).microseconds == 1; "
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert Converter.of(pa.timestamp("ns")).to_python(1) == pd.Timestamp(1)
    assert Converter.of(pa.duration("ns")).to_python(1) == pd.Timedelta(1, "ns")


# ---------------------------------------------------------------- rows


def test_rows_become_a_page() -> None:
    types = [pa.int64(), pa.timestamp("us", "UTC"), pa.time32("s"), pa.decimal128(5, 2), pa.list_(pa.int8())]
    rows = [(1, 10, 5, Decimal("1.50"), [1]), (2, None, None, None, None)]
    batch = rows_to_batch(rows, [(f"c{i}", type_) for i, type_ in enumerate(types)])
    assert batch.schema.types == types
    assert batch.schema.names == ["c0", "c1", "c2", "c3", "c4"]
    assert batch.column("c1").view(pa.int64()).to_pylist() == [10, None]
    assert batch.column("c3").to_pylist() == [Decimal("1.50"), None]
    assert batch.column("c4").to_pylist() == [[1], None]


def test_no_rows_become_an_empty_page() -> None:
    batch = rows_to_batch([], [("c0", pa.int64()), ("c1", pa.date32())])
    assert (batch.num_rows, batch.schema.types) == (0, [pa.int64(), pa.date32()])


@pytest.mark.parametrize("logical", ALL_TYPES, ids=str)
def test_pages_hold_all_types(logical: pa.DataType) -> None:
    physical = physical_type(logical)
    batch = rows_to_batch([(None,), (None,)], [("c0", physical)])
    assert batch.column(0).equals(to_physical(pa.nulls(2, logical), logical))


def test_the_values_of_the_generic_path_are_plain() -> None:
    """Goal: what goes into the log for nested values are Python's own types."""
    value = stored(pa.list_(pa.struct([("u", pa.uuid())])), [{"u": uuid.UUID(int=0)}])
    assert json.dumps(value, default=bytes.hex) == '[{"u": "' + "0" * 32 + '"}]'
