"""Every type comes back as it went in, on every way in and from every layer it may lie in."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from absdb.engine import ddl, intake, load, writes
from absdb.engine.prepare import conform
from absdb.engine.table_creation import create_table
from absdb.errors import AbsdbError, InvalidInputError, SchemaMismatchError
from absdb.pages.compare import equal_rows
from absdb.pages.types import to_logical, to_physical
from tests.engine.stage import Column, Stage, make

D = Decimal
NAN, INF = float("nan"), float("inf")
NOW = dt.datetime(2026, 11, 22, 1, 2, 3, 456789)
UTC = dt.UTC


def ints(kind: pa.DataType) -> list[int]:
    bits, signed = kind.bit_width, pa.types.is_signed_integer(kind)
    return [0, 1, -(2 ** (bits - 1)) if signed else 0, 2 ** (bits - signed) - 1]


def dictionary(kind: pa.DataType, values: list[Any]) -> pa.Array:
    """An array of a dictionary type, with room for a NULL among its values too."""
    plain = pa.array(values, kind.value_type)
    encoded = plain.dictionary_encode()
    return pa.DictionaryArray.from_arrays(
        encoded.indices.cast(kind.index_type), encoded.dictionary, ordered=kind.ordered
    )


POINT = pa.struct([("lat", pa.float64()), ("lon", pa.float64())])
DEEP = pa.struct(
    [
        ("tags", pa.list_(pa.string())),
        ("m", pa.map_(pa.string(), pa.list_(pa.int16()))),
        ("p", pa.struct([("at", pa.timestamp("ms", "UTC")), ("u", pa.binary(2))])),
    ]
)

CASES: dict[str, pa.Array] = {
    **{
        str(kind): pa.array([*ints(kind), None], kind)
        for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())
    },
    **{
        str(kind): pa.array([*ints(kind), None], kind)
        for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
    },
    "float16": pa.array([np.float16(1.5), np.float16(-0.0), np.float16(NAN), None], pa.float16()),
    "float32": pa.array([1.5, -0.0, NAN, -INF, None], pa.float32()),
    "float64": pa.array([1.5, 0.0, -0.0, NAN, INF, 5e-324, None], pa.float64()),
    "bool": pa.array([True, False, None], pa.bool_()),
    "decimal32": pa.array([D("1.20"), D("-99999.99"), None], pa.decimal32(7, 2)),
    "decimal64": pa.array([D("1.20"), D("-0.01"), None], pa.decimal64(18, 2)),
    "decimal128": pa.array([D("1.20"), D("-9" * 1 + "9" * 9 + ".99"), None], pa.decimal128(12, 2)),
    "decimal128 large": pa.array([D("1" * 38), D(0), None], pa.decimal128(38, 0)),
    "decimal256": pa.array([D("1" * 70 + ".25"), D("-1.00"), None], pa.decimal256(76, 2)),
    "decimal with negative scale": pa.array([D("1E+3"), None], pa.decimal128(5, -2)),
    "date32": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None], pa.date32()),
    "date64": pa.array([dt.date(1969, 12, 31), None], pa.date64()),
    "time32[s]": pa.array([dt.time(23, 59, 59), None], pa.time32("s")),
    "time32[ms]": pa.array([dt.time(1, 2, 3, 4000), None], pa.time32("ms")),
    "time64[us]": pa.array([dt.time(1, 2, 3, 4), None], pa.time64("us")),
    "time64[ns]": pa.array([1, 86_399_999_999_999, None], pa.int64()).cast(pa.time64("ns")),
    **{
        f"timestamp[{unit}{zone and ', ' + zone}]": pa.array([0, -1, 1_000_000_000, None], pa.int64()).cast(
            pa.timestamp(unit, zone or None)
        )
        for unit in ("s", "ms", "us", "ns")
        for zone in ("", "UTC", "Europe/Berlin", "+05:30")
    },
    **{
        f"duration[{unit}]": pa.array([0, -1, 10**12, None], pa.int64()).cast(pa.duration(unit))
        for unit in ("s", "ms", "us", "ns")
    },
    "interval": pa.array([(1, 2, 3), (-1, 0, 10**12), None], pa.month_day_nano_interval()),
    "string": pa.array(["", "a", "ä€😀", "\x00", None], pa.string()),
    "large_string": pa.array(["", "b" * 300, None], pa.large_string()),
    "string_view": pa.array(["", "short", "longer than twelve bytes", None], pa.string_view()),
    "binary": pa.array([b"", b"\x00\xff", None], pa.binary()),
    "large_binary": pa.array([b"", b"\x00" * 20, None], pa.large_binary()),
    "binary_view": pa.array([b"", b"more than twelve bytes", None], pa.binary_view()),
    "fixed_size_binary": pa.array([b"abcd", b"\x00\x00\x00\x00", None], pa.binary(4)),
    "list": pa.array([[1, None], [], None], pa.list_(pa.int32())),
    "large_list": pa.array([["x"], [], None], pa.large_list(pa.string())),
    "fixed_size_list": pa.array([[1.0, 2.0], None, [NAN, -0.0]], pa.list_(pa.float32(), 2)),
    "list_view": pa.array([[1, 2], [], None], pa.list_view(pa.int64())),
    "struct": pa.array([{"lat": 1.0, "lon": None}, {"lat": None, "lon": None}, None], POINT),
    "map": pa.array([[("a", 1), ("b", None)], [], None], pa.map_(pa.string(), pa.int64())),
    "nested": pa.array(
        [
            {
                "tags": ["x", None],
                "m": [("k", [1, 2]), ("l", None)],
                "p": {"at": NOW.replace(microsecond=456000, tzinfo=UTC), "u": b"ab"},
            },
            {"tags": [], "m": [], "p": None},
            None,
        ],
        DEEP,
    ),
    "list of lists": pa.array([[[1], [], None], [], None], pa.list_(pa.list_(pa.int8()))),
    "list of structs": pa.array([[{"lat": 1.0, "lon": 2.0}, None], None], pa.list_(POINT)),
    "dictionary": dictionary(pa.dictionary(pa.int32(), pa.string()), ["a", "b", "a", None]),
    "dictionary, small index": dictionary(pa.dictionary(pa.int8(), pa.string()), ["a", "b", None]),
    "dictionary, unsigned index": dictionary(pa.dictionary(pa.uint16(), pa.large_string()), ["a", None]),
    "dictionary, ordered": dictionary(
        pa.dictionary(pa.int32(), pa.string(), ordered=True), ["lo", "hi", None]
    ),
    "dictionary of numbers": dictionary(pa.dictionary(pa.int64(), pa.int64()), [5, 7, None]),
    "list of dictionaries": pa.ListArray.from_arrays(
        [0, 2, 3], dictionary(pa.dictionary(pa.int32(), pa.string()), ["a", "b", "a"])
    ),
    "uuid": pa.array([uuid.UUID(int=1).bytes, uuid.UUID(int=2**128 - 1).bytes, None], pa.binary(16)).cast(
        pa.uuid()
    ),
    "json": pa.array(['{"a": 1}', "null", None], pa.string()).cast(pa.json_()),
    "bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8())),
    "null": pa.nulls(3),
    "run_end_encoded": pa.RunEndEncodedArray.from_arrays([2, 3, 4], pa.array(["a", None, "b"])),
    "struct of uuids": pa.StructArray.from_arrays(
        [pa.array([uuid.UUID(int=3).bytes, None], pa.binary(16)).cast(pa.uuid())], names=["u"]
    ),
}

cases = pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())
WAYS = ["dicts", "many dicts", "batch", "bulk"]


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(page_rows=8, bulk_threshold=1 << 20)
    yield made
    made.close()


def same(found: pa.ChunkedArray, expected: pa.Array) -> bool:
    """Whether a column read has the type and the values of an array, NaN being NaN and -0.0 not 0.0."""
    assert found.type == expected.type, (found.type, expected.type)
    pieces = [to_physical(chunk, found.type) for chunk in found.chunks]
    one = pa.concat_arrays(pieces) if pieces else to_physical(expected.slice(0, 0), expected.type)
    other = to_physical(expected, expected.type)
    return (
        len(one) == len(other)
        and bool(equal_rows(one, other).all())
        and repr(one.to_pylist()) == repr(other.to_pylist())
    )


def frame(values: pa.Array, first: int = 0) -> pa.Table:
    return pa.table({"id": pa.array(range(first, first + len(values)), pa.int64()), "v": values})


def put(stage: Stage, rows: pa.Table, way: str, verb: str = "insert") -> None:
    with stage.begin() as tx:
        schema = tx.catalog.table("t")
        if way == "batch":
            getattr(writes, verb)(tx, schema, rows)
        elif way == "bulk":
            batches = rows.to_batches(max_chunksize=2)
            if verb == "insert":
                load.load(tx, schema, batches)
            else:
                getattr(load, verb)(tx, schema, batches)
        else:
            given = rows.to_pylist()
            if way == "many dicts":
                given = [{**given[i % len(given)], "id": 1000 + i} for i in range(200)] + given
            getattr(intake, verb)(tx, schema, given)


# Values that Python cannot show are not passed as Python objects: nanoseconds, years beyond 9999.
ARROW_ONLY = {"time64[ns]", "duration[ns]"} | {name for name in CASES if name.startswith("timestamp[ns")}
# A duration of 10**12 seconds is more than Python's timedelta holds.
ARROW_ONLY |= {"duration[s]", "duration[ms]"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CASES)
def test_round_trip(stage: Stage, name: str, way: str) -> None:
    values = CASES[name]
    if way.endswith("dicts") and name in ARROW_ONLY:
        pytest.skip("Python has no such value")
    stage.create("t", {"id": pa.int64(), "v": values.type})
    put(stage, frame(values), way)

    def check(**where: Any) -> None:
        found = stage.read("t", **where)["v"].slice(0, len(values))
        assert same(found, values), where

    check()
    lsn = stage.lsn()
    stage.crash()
    check()
    stage.checkpoint()
    check()
    stage.reopen()
    check()
    stage.branch("b")
    check(database="b")
    # Other values above them: the old ones become superseded, then part of a reverse run.
    turned = values.take(pa.array(range(len(values) - 1, -1, -1))) if pa.types.is_null(values.type) else None
    if turned is None and not pa.types.is_run_end_encoded(values.type):
        turned = pa.concat_arrays([values.slice(len(values) - 1), values.slice(0, len(values) - 1)])
    if turned is not None:
        put(stage, frame(turned), "batch", "upsert")
        assert same(stage.read("t")["v"].slice(0, len(values)), turned)
        check(lsn=lsn)
        stage.delete("t", [0])
        stage.checkpoint()
        check(lsn=lsn)
        stage.compact("t")
        check(lsn=lsn)
        stage.insert("t", frame(values.slice(0, 1)))
        stage.maintain()
        stage.compact("t")
        stage.reopen()
        check(lsn=lsn)
        assert same(stage.read("t")["v"].slice(0, 1), values.slice(0, 1))


@cases
def test_slices_chunks_and_no_rows(stage: Stage, values: pa.Array) -> None:
    stage.create("t", {"id": pa.int64(), "v": values.type})
    put(stage, frame(values).slice(0, 0), "batch")
    put(stage, frame(values).slice(0, 0), "bulk")
    assert same(stage.read("t")["v"], values.slice(0, 0))
    chunks = [values.slice(1, 1), values.slice(0, 1), values.slice(1)]
    keys = pa.array(range(sum(map(len, chunks))), pa.int64())
    rows = pa.table({"id": keys, "v": pa.chunked_array(chunks, values.type)})
    put(stage, rows, "batch")
    for at, chunk in ((0, chunks[0]), (1, chunks[1]), (2, chunks[2])):
        found = stage.read("t")["v"].slice(at, len(chunk))
        assert same(found, chunk)
    stage.checkpoint()
    assert same(stage.read("t")["v"].slice(2, len(chunks[2])), chunks[2])


@cases
def test_added_column_reads_as_its_default(stage: Stage, values: pa.Array) -> None:
    """A default of every type, in rows from before the column and in rows that leave it out."""
    if pa.types.is_null(values.type):
        return
    stage.create("t", {"id": pa.int64()})
    stage.insert("t", [{"id": 1}])
    stage.checkpoint()
    stage.insert("t", [{"id": 2}])
    default = values[0].as_py()
    try:
        stage.alter(ddl.add_column, "t", Column("v", values.type, default=default))
    except SchemaMismatchError:
        pytest.skip("Python has no such value")
    stage.insert("t", [{"id": 3}])
    stage.insert("t", pa.table({"id": [4]}))
    expected = pa.concat_arrays([to_physical(values.slice(0, 1), values.type)] * 4)

    def check() -> None:
        found = stage.read("t")["v"]
        assert found.type == values.type
        one = pa.concat_arrays([to_physical(chunk, found.type) for chunk in found.chunks])
        assert repr(one.to_pylist()) == repr(expected.to_pylist())

    check()
    stage.crash()
    check()
    stage.compact("t")
    stage.reopen()
    check()


# ---------------------------------------------------------------- keys

KEYS = [name for name, values in CASES.items() if name in (
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    "bool", "decimal32", "decimal64", "decimal128", "decimal128 large", "decimal256", "date32", "date64",
    "time32[s]", "time32[ms]", "time64[us]", "time64[ns]", "string", "large_string", "string_view", "binary",
    "large_binary", "binary_view", "fixed_size_binary", "dictionary", "dictionary, ordered", "uuid", "json",
    "bool8", "run_end_encoded",
) or name.startswith(("timestamp", "duration"))]  # fmt: skip


def key_values(name: str) -> pa.Array:
    """The physical values of a case, each once, without NULL and NaN."""
    values = to_physical(CASES[name], CASES[name].type)
    kept = {}
    for at, value in enumerate(values.to_pylist()):
        if value is not None and value == value:
            kept.setdefault(value, at)
    return values.take(pa.array(list(kept.values())))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", KEYS)
def test_keys_of_every_type(stage: Stage, name: str, several: bool) -> None:
    kind, keys = CASES[name].type, key_values(name)
    count = len(keys)
    with stage.begin() as tx:
        make(tx, "t", {"v": pa.int64(), "k": kind, "n": pa.string()}, ["k", "n"] if several else ["k"])
    columns = {"k": to_logical(keys, kind), "n": ["x"] * count}
    rows = pa.table({**columns, "v": pa.array(range(count), pa.int64())})
    for half in (rows.slice(0, 1), rows.slice(1)):
        put(stage, half, "bulk" if several else "batch")
    with pytest.raises(InvalidInputError, match="already in the table"):
        put(stage, rows, "batch")
    put(stage, pa.table({**columns, "v": pa.array([9] * count, pa.int64())}), "batch", "upsert")
    assert stage.read("t")["v"].to_pylist() == [9] * count
    stage.checkpoint()
    put(stage, rows, "bulk", "update")
    found = stage.read("t")
    stored = [value for chunk in found["k"].chunks for value in to_physical(chunk, kind).to_pylist()]
    assert stored == [keys[i].as_py() for i in found["v"].to_pylist()]
    assert stored == sorted(stored)
    stage.crash()
    put(stage, rows.slice(0, 1).select(["k", "n"]), "batch", "delete")
    stage.compact("t")
    assert stage.reader("t").count() == count - 1


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.int64()), POINT, pa.map_(pa.string(), pa.int64()), pa.null(), pa.month_day_nano_interval()],
    ids=str,
)
def test_types_without_an_order_make_no_key(stage: Stage, kind: pa.DataType) -> None:
    with pytest.raises(InvalidInputError, match=r"'t': column 'k' is .* cannot be part of the key"):
        stage.create("t", {"k": kind}, "k")


def test_a_union_is_refused(stage: Stage) -> None:
    kind = pa.dense_union([pa.field("a", pa.int64()), pa.field("b", pa.string())])
    with pytest.raises(InvalidInputError, match="union"):
        stage.create("t", {"id": pa.int64(), "v": kind})


# ---------------------------------------------------------------- other types than the column's

FITS: list[tuple[pa.Array, pa.DataType, list[Any]]] = [
    (pa.array([1, None], pa.int8()), pa.int64(), [1, None]),
    (pa.array([1.0, None], pa.float64()), pa.int64(), [1, None]),
    (pa.array([7], pa.int64()), pa.decimal128(5, 2), [D("7.00")]),
    (pa.array([1.1], pa.float64()), pa.decimal128(5, 2), [D("1.10")]),
    (pa.array([D("1.50")], pa.decimal128(9, 2)), pa.decimal128(5, 1), [D("1.5")]),
    (pa.array([D("0.1")], pa.decimal128(9, 2)), pa.float64(), [0.1]),
    (pa.array([0.1], pa.float64()), pa.float32(), [pytest.approx(0.1)]),
    (pa.array([INF, None], pa.float64()), pa.float32(), [INF, None]),
    (pa.array(["a"], pa.large_string()), pa.string(), ["a"]),
    (pa.array(["a"], pa.string_view()), pa.string(), ["a"]),
    (dictionary(pa.dictionary(pa.int8(), pa.string()), ["a", None]), pa.large_string(), ["a", None]),
    (pa.array(["a", "b"]), pa.dictionary(pa.int32(), pa.string()), ["a", "b"]),
    (pa.array(["a"]), pa.json_(), ["a"]),
    (pa.RunEndEncodedArray.from_arrays([2, 3], pa.array([1, None])), pa.int32(), [1, 1, None]),
    (pa.array(["12", None]), pa.int64(), [12, None]),
    (pa.array(["2026-01-02"]), pa.date32(), [dt.date(2026, 1, 2)]),
    (pa.array([str(uuid.UUID(int=5)), None]), pa.uuid(), [uuid.UUID(int=5), None]),
    (pa.array([b"0123456789abcdef"]), pa.uuid(), [uuid.UUID(bytes=b"0123456789abcdef")]),
    (pa.array([dt.date(2026, 1, 2)]), pa.timestamp("us"), [dt.datetime(2026, 1, 2)]),
    (pa.array([dt.datetime(2026, 1, 2)]), pa.date32(), [dt.date(2026, 1, 2)]),
    (pa.array([NOW], pa.timestamp("us")), pa.timestamp("us", "UTC"), [NOW.replace(tzinfo=UTC)]),
    (pa.array([NOW], pa.timestamp("us", "UTC")), pa.timestamp("us", "Asia/Tokyo"), [NOW.replace(tzinfo=UTC)]),
    (pa.nulls(2), pa.list_(pa.int64()), [None, None]),
    (pa.array([[1, 2]], pa.list_(pa.int64())), pa.list_(pa.float32(), 2), [[1.0, 2.0]]),
    (pa.array([[0.1]], pa.list_(pa.float64())), pa.list_(pa.float32()), [[pytest.approx(0.1)]]),
    (pa.array([{"b": 1}]), pa.struct([("a", pa.string()), ("b", pa.int8())]), [{"a": None, "b": 1}]),
    (
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.map_(pa.large_string(), pa.int8()),
        [[("k", 1)]],
    ),
]
SURE = pa.field("item", pa.int64(), nullable=False)
MISFITS: list[tuple[pa.Array, pa.DataType, str]] = [
    (pa.array([300], pa.int64()), pa.int8(), "300"),
    (pa.array([-1], pa.int64()), pa.uint8(), "-1"),
    (pa.array([1.5], pa.float64()), pa.int64(), "1.5"),
    (pa.array([NAN], pa.float64()), pa.int64(), "nan"),
    (pa.array([2**53 + 1], pa.int64()), pa.float64(), "9007199254740993"),
    (pa.array([10**6], pa.int64()), pa.float16(), "without loss"),
    (pa.array([1e300], pa.float64()), pa.float32(), "1e\\+300"),
    (pa.array([1.255], pa.float64()), pa.decimal128(5, 2), "1.255"),
    (pa.array([D("1.25")], pa.decimal128(5, 2)), pa.decimal128(5, 1), "data loss"),
    (pa.array([12345], pa.int64()), pa.decimal128(5, 2), "precision|fit"),
    (pa.array([True]), pa.int64(), "bool is never int64"),
    (pa.array([1]), pa.bool_(), "int64 is never bool"),
    (pa.array([1]), pa.string(), "int64 is never string"),
    (pa.array([1]), pa.timestamp("us"), "int64 is never timestamp"),
    (pa.array(["a"]), pa.binary(), "string is never binary"),
    (pa.array(["x"]), pa.int64(), "x"),
    (pa.array(["x"]), pa.uuid(), "'x' is no UUID"),
    (pa.array([b"abc"]), pa.uuid(), "width"),
    (pa.array([NOW], pa.timestamp("us")), pa.date32(), "without loss"),
    (pa.array([NOW], pa.timestamp("us")), pa.timestamp("ms"), "lose data"),
    (pa.array([NOW], pa.timestamp("us", "UTC")), pa.timestamp("us"), "time zone"),
    (pa.array([NOW], pa.timestamp("us", "UTC")), pa.date32(), "time zone"),
    (pa.array([dt.date(1500, 1, 1)]), pa.timestamp("ns"), "out of bounds"),
    (pa.array([[1, 2, 3]]), pa.list_(pa.int64(), 2), "size"),
    (pa.array([[1.255]]), pa.list_(pa.decimal128(5, 2)), "1.255"),
    (pa.array([{"x": 1}]), POINT, "field 'x'"),
    (pa.array([{"lat": "a"}]), POINT, "a"),
    (pa.array([[None]], pa.list_(pa.int8())), pa.list_(SURE), "must not be NULL"),
    (pa.array([1]), POINT, "never struct"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "kind", "expected"), FITS, ids=lambda v: str(getattr(v, "type", v))[:40])
def test_values_of_another_type_that_fit(
    stage: Stage, given: pa.Array, kind: pa.DataType, expected: list[Any]
) -> None:
    stage.create("t", {"id": pa.int64(), "v": kind})
    put(stage, frame(given), "batch")
    found = stage.read("t")["v"]
    assert found.type == kind
    assert found.to_pylist() == expected


@pytest.mark.parametrize(("given", "kind", "why"), MISFITS, ids=lambda v: str(getattr(v, "type", v))[:40])
def test_values_that_do_not_fit(stage: Stage, given: pa.Array, kind: pa.DataType, why: str) -> None:
    stage.create("t", {"id": pa.int64(), "v": kind})
    for way in ("batch", "bulk"):
        with pytest.raises(
            SchemaMismatchError, match=rf"(?s)column 'v' of table 't' is .* do not fit: .*({why})"
        ) as caught:
            put(stage, frame(given), way)
        assert caught.value.hint
        assert (caught.value.table, caught.value.column) == ("t", "v")
    assert stage.read("t").num_rows == 0


def test_names_that_the_table_has_not(stage: Stage) -> None:
    stage.create("t", {"id": pa.int64(), "value": pa.int64()})
    with pytest.raises(SchemaMismatchError, match="no column 'valu'") as caught:
        stage.insert("t", pa.table({"id": [1], "valu": [1]}))
    assert "did you mean 'value'?" in caught.value.hint
    with pytest.raises(SchemaMismatchError, match="no column 'zzz'") as caught:
        stage.insert("t", [{"id": 1, "zzz": 1}])
    assert "its columns are id, value" in caught.value.hint
    twice = pa.Table.from_arrays(
        [pa.array([1]), pa.array([1]), pa.array([2])], names=["id", "value", "value"]
    )
    schema = stage.schema("t")
    with pytest.raises(SchemaMismatchError, match="'value' is given twice"):
        conform(schema, twice)


# ---------------------------------------------------------------- rows without columns, tables of one kind


@pytest.mark.parametrize("count", [1, 150])
def test_rows_that_leave_everything_out(stage: Stage, count: int) -> None:
    with stage.begin() as tx:
        schema = make(tx, "t", {"a": pa.int64(), "b": pa.string()}, "")
        assert intake.insert(tx, schema, [{}] * count) == count
    assert stage.rows("t") == [{"a": None, "b": None}] * count


def test_a_table_of_one_row_and_of_none(stage: Stage) -> None:
    stage.create("t", {"id": pa.int64(), "v": pa.string()})
    assert stage.rows("t") == []
    assert stage.reader("t").count() == 0
    for way in WAYS:
        put(stage, frame(pa.array([way])), way if way != "many dicts" else "dicts", "upsert")
        assert stage.rows("t") == [{"id": 0, "v": way}]
    stage.delete("t", [0])
    stage.compact("t")
    assert stage.rows("t") == []


# ---------------------------------------------------------------- pandas


def column(values: Any) -> pd.DataFrame:
    return pd.DataFrame({"id": [1, 2, 3], "v": values})


JAN = dt.date(2026, 1, 1)
HALVES = [D("1.5"), None, D("2.5")]
PANDAS: dict[str, tuple[pd.DataFrame, list[Any]]] = {
    "plain": (column([1.5, None, NAN]), [1.5, None, None]),
    "object text": (column(pd.Series(["a", None, "c"], dtype=object)), ["a", None, "c"]),
    "str": (column(pd.Series(["a", None, "c"], dtype="str")), ["a", None, "c"]),
    "string": (column(pd.array(["a", pd.NA, "c"], dtype="string")), ["a", None, "c"]),
    "Int64": (column(pd.array([2**60 + 1, pd.NA, -1], dtype="Int64")), [2**60 + 1, None, -1]),
    "boolean": (column(pd.array([True, pd.NA, False], dtype="boolean")), [True, None, False]),
    "categories": (column(pd.Categorical(["x", None, "y"], ordered=True)), ["x", None, "y"]),
    "times": (
        column(pd.to_datetime(["2026-01-01", None, "2026-01-02 03:04:05"], format="mixed")),
        [dt.datetime(2026, 1, 1), None, dt.datetime(2026, 1, 2, 3, 4, 5)],
    ),
    "times with zone": (
        column(pd.to_datetime(["2026-01-01", None, "2026-01-02"]).tz_localize("Europe/Berlin")),
        [dt.datetime(2025, 12, 31, 23, tzinfo=UTC), None, dt.datetime(2026, 1, 1, 23, tzinfo=UTC)],
    ),
    "durations": (
        column(pd.to_timedelta(["1s", None, "2D"])),
        [dt.timedelta(seconds=1), None, dt.timedelta(2)],
    ),
    "arrow": (column(pd.array(HALVES, dtype=pd.ArrowDtype(pa.decimal128(5, 1)))), HALVES),
    "dates": (column([JAN, None, JAN]), [JAN, None, JAN]),
    "lists": (column([[1], None, []]), [[1], None, []]),
    "dicts": (column([{"a": 1}, None, {"a": None}]), [{"a": 1}, None, {"a": None}]),
    "bytes": (column([b"a", None, b""]), [b"a", None, b""]),
    "decimals": (column(HALVES), HALVES),
}


@pytest.mark.parametrize("name", PANDAS)
def test_pandas_frames(stage: Stage, name: str) -> None:
    frame, expected = PANDAS[name]
    with stage.begin() as tx:
        create_table(tx, "t", frame, key="id")
    stage.upsert("t", frame)
    with stage.begin() as tx:
        assert intake.sync(tx, tx.catalog.table("t"), frame) == (0, 0, 0)
    stage.crash()
    assert stage.read("t")["v"].to_pylist() == expected
    back = stage.read("t").to_pandas()
    if name in ("categories", "times", "times with zone", "durations", "plain"):
        assert str(back["v"].dtype).split("[")[0] == str(frame["v"].dtype).split("[")[0]


def test_integers_with_holes_from_pandas(stage: Stage) -> None:
    """pandas makes floats of integers with NaN; they go into an integer column as what they were."""
    stage.create("t", {"id": pa.int64(), "v": pa.int64()})
    stage.insert("t", pd.DataFrame({"id": [1, 2], "v": [5.0, None]}))
    assert stage.rows("t") == [{"id": 1, "v": 5}, {"id": 2, "v": None}]


def test_a_column_of_mixed_objects_is_refused(stage: Stage) -> None:
    stage.create("t", {"id": pa.int64(), "v": pa.string()})
    mixed = pd.DataFrame({"id": [1, 2], "v": pd.Series(["a", 5], dtype=object)})
    with pytest.raises(AbsdbError, match=r"column 'v'.*int, str"):
        stage.insert("t", mixed)
    assert stage.rows("t") == []


# ---------------------------------------------------------------- widening seen from the past


@pytest.mark.parametrize(
    ("old", "new", "before", "after"),
    [
        (pa.int8(), pa.int64(), [1, -128], [2**40, -5]),
        (pa.int32(), pa.float64(), [1, 2], [1e300, 0.5]),
        (pa.float32(), pa.float64(), [0.5, -0.0], [1e300, 0.1]),
        (
            pa.decimal128(5, 2),
            pa.decimal128(20, 4),
            [D("1.25"), D("-9.99")],
            [D("123456789012.1234"), D("0")],
        ),
        (pa.timestamp("s"), pa.timestamp("us"), [NOW.replace(microsecond=0)] * 2, [NOW, NOW]),
        (pa.date32(), pa.timestamp("us"), [dt.date(2026, 1, 1)] * 2, [NOW, NOW]),
        (pa.time32("s"), pa.time64("ns"), [dt.time(1, 2, 3)] * 2, [dt.time(1, 2, 3, 4)] * 2),
        (pa.string(), pa.large_string(), ["a", ""], ["b", "c"]),
        (pa.uint8(), pa.int16(), [255, 0], [-1, 300]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_widened_column_seen_from_before(
    stage: Stage, old: pa.DataType, new: pa.DataType, before: list[Any], after: list[Any]
) -> None:
    """Pages rewritten under the wider type hold values that the old definition could not; the past has none."""
    stage.create("t", {"id": pa.int64(), "v": old})
    first = pa.array(before, old)
    put(stage, frame(first), "batch")
    stage.checkpoint()
    stage.compact("t")
    past = stage.lsn()
    stage.alter(ddl.retype_column, "t", "v", new)
    put(stage, frame(pa.array(after, new), 1), "dicts", "upsert")

    def check() -> None:
        assert same(stage.read("t", lsn=past)["v"], first)
        now = stage.read("t")["v"]
        assert now.type == new
        assert now.to_pylist()[1:] == pa.array(after, new).to_pylist()

    check()
    stage.crash()
    check()
    stage.checkpoint()
    check()
    stage.compact("t")
    check()
    stage.reopen()
    check()
    stage.branch("b", lsn=past)
    assert same(stage.read("t", database="b")["v"], first)
