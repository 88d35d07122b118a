"""Types: physical forms and back, types written down, widening, and every way for a frame to come in."""

from __future__ import annotations

import subprocess
import sys
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import CorruptionError, InvalidInputError
from absdb.pages.types import (
    can_widen,
    declared_type,
    decode_type,
    describe_type,
    encode_type,
    from_frame,
    is_orderable,
    physical_type,
    to_logical,
    to_physical,
)

UTC_US = pa.timestamp("us", "UTC")

# (logical type, physical type, Python values)
PLAIN: list[tuple[pa.DataType, pa.DataType, list[Any]]] = [
    (pa.null(), pa.null(), []),
    (pa.int32(), pa.int32(), [1, 2]),
    (pa.bool_(), pa.bool_(), [True, False]),
    (pa.float64(), pa.float64(), [1.5, -2.0]),
    (pa.decimal128(5, 2), pa.decimal128(5, 2), [Decimal("1.25")]),
    (pa.binary(3), pa.binary(3), [b"abc", b"abd"]),
    (pa.string(), pa.string(), ["a", ""]),
    (pa.string_view(), pa.large_string(), ["a", "longer than twelve bytes"]),
    (pa.binary_view(), pa.large_binary(), [b"a", b""]),
    (UTC_US, UTC_US, [pd.Timestamp("2024-01-01", tz="UTC").to_pydatetime()]),
    (pa.month_day_nano_interval(), pa.month_day_nano_interval(), [pa.MonthDayNano([1, 2, 3])]),
    (pa.uuid(), pa.binary(16), [uuid.UUID(int=1), uuid.UUID(int=2)]),
    (pa.json_(), pa.string(), ['{"a": 1}']),
    (pa.json_(pa.string_view()), pa.large_string(), ["{}"]),
    (pa.bool8(), pa.int8(), [1, 0]),
]


def wrapped(
    inner: tuple[pa.DataType, pa.DataType, Any],
) -> st.SearchStrategy[tuple[pa.DataType, pa.DataType, Any]]:
    """A type one level further out, with its physical form and a strategy for its values."""
    logical, physical, values = inner
    lists = st.lists(values, max_size=3)
    options = [
        (pa.list_(logical), pa.list_(physical), lists),
        (pa.list_view(logical), pa.list_(physical), lists),
        (pa.large_list(logical), pa.large_list(physical), lists),
        (pa.large_list_view(logical), pa.large_list(physical), lists),
        (pa.list_(logical, 2), pa.list_(physical, 2), st.lists(values, min_size=2, max_size=2)),
        (
            pa.map_(pa.string_view(), logical),
            pa.map_(pa.large_string(), physical),
            st.lists(st.tuples(st.sampled_from("ab"), values), max_size=2),
        ),
        (
            pa.struct([pa.field("x", logical), pa.field("y", pa.int8(), metadata={"k": "v"})]),
            pa.struct([pa.field("x", physical), pa.field("y", pa.int8(), metadata={"k": "v"})]),
            st.fixed_dictionaries({"x": values, "y": st.just(1)}),
        ),
    ]
    not_null = values.filter(lambda value: value is not None)
    if not pa.types.is_null(logical):
        required, stored = pa.field("r", logical, nullable=False), pa.field("r", physical, nullable=False)
        options.append((pa.struct([required]), pa.struct([stored]), st.fixed_dictionaries({"r": not_null})))
    return st.sampled_from(options).map(lambda made: (made[0], made[1], st.none() | made[2]))


LEAVES = st.sampled_from([(logical, physical, st.sampled_from([None, *v])) for logical, physical, v in PLAIN])
TYPES = st.recursive(LEAVES, lambda inner: inner.flatmap(wrapped), max_leaves=3)


@st.composite
def columns(draw: st.DrawFn) -> tuple[pa.Array, pa.DataType]:
    """A logical array, a slice of a longer one, and its physical type."""
    logical, physical, values = draw(TYPES)
    before, items, after = (draw(st.lists(values, max_size=n)) for n in (2, 6, 2))
    try:
        array = pa.array(before + items + after, logical)
    except pa.ArrowNotImplementedError:  # extension types within lists cannot be made from Python values
        stored = pa.array(before + items + after, physical) if physical == logical else None
        if stored is None:
            return pa.nulls(len(items), logical), physical
        array = stored
    return array.slice(len(before), len(items)), physical


@given(columns())
def test_physical_form_and_back(column: tuple[pa.Array, pa.DataType]) -> None:
    array, physical = column
    assert physical_type(array.type).equals(physical, check_metadata=True)
    stored = to_physical(array, array.type)
    stored.validate(full=True)
    assert stored.type.equals(physical)
    again = to_logical(stored, array.type)
    again.validate(full=True)
    assert again.type.equals(array.type, check_metadata=True)
    assert again.to_pylist() == array.to_pylist()
    assert len(stored) == len(array)
    if physical.equals(array.type):
        assert stored is array


@given(columns())
def test_types_written_down_come_back_whole(column: tuple[pa.Array, pa.DataType]) -> None:
    logical = column[0].type
    text = encode_type(logical)
    assert text.isascii()
    assert decode_type(text).equals(logical, check_metadata=True)


@pytest.mark.parametrize(
    "logical",
    [
        pa.dictionary(pa.int8(), pa.string(), ordered=True),
        pa.timestamp("ns", "Europe/Berlin"),
        pa.list_(pa.field("x", pa.uuid(), nullable=False)),
        pa.map_(pa.string(), pa.int8(), keys_sorted=True),
        pa.run_end_encoded(pa.int16(), pa.float32()),
        pa.fixed_shape_tensor(pa.float32(), [2, 3]),
    ],
    ids=str,
)
def test_rarer_types_written_down_come_back_whole(logical: pa.DataType) -> None:
    assert decode_type(encode_type(logical)).equals(logical, check_metadata=True)


@pytest.mark.parametrize("text", ["", "?", "AAAA", encode_type(pa.int64())[:-8]])
def test_a_damaged_type_is_reported(text: str) -> None:
    with pytest.raises(CorruptionError, match="a column type cannot be read"):
        decode_type(text)


@pytest.mark.parametrize(
    "value_type",
    [
        pa.string(),
        pa.string_view(),
        pa.int64(),
        pa.float64(),
        pa.bool_(),
        UTC_US,
        pa.binary(3),
        pa.null(),
        pa.decimal128(5, 2),
        pa.list_(pa.int64()),
        pa.struct([("x", pa.string())]),
    ],
    ids=str,
)
@pytest.mark.parametrize("ordered", [True, False])
def test_dictionaries_and_runs_come_back_with_equal_values(value_type: pa.DataType, ordered: bool) -> None:
    values = pa.nulls(4, value_type)
    if pa.types.is_int64(value_type) or pa.types.is_boolean(value_type) or pa.types.is_float64(value_type):
        values = pa.array([1, None, 1, 0]).cast(value_type)
    if pa.types.is_list(value_type):
        values = pa.array([[1], None, [], [2]], value_type)
    if value_type in (pa.string(), pa.string_view()):
        values = pa.array(["a", None, "a", "b"], value_type)
    stored = to_physical(values, value_type)
    for logical in (
        pa.dictionary(pa.int16(), value_type, ordered),
        pa.run_end_encoded(pa.int16(), value_type),
    ):
        assert physical_type(logical) == physical_type(value_type)
        shown = to_logical(stored, logical)
        shown.validate(full=True)
        assert shown.type == logical
        assert to_physical(shown, logical).to_pylist() == values.to_pylist()
        assert to_physical(shown.slice(1, 2), logical).to_pylist() == values.to_pylist()[1:3]


def test_nulls_among_the_categories_are_nulls() -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0], pa.int8()), pa.array(["a", None]))
    assert to_physical(array, array.type).to_pylist() == ["a", None, None, "a"]


def test_a_union_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"a column cannot hold a union\n  hint: use one column"):
        physical_type(pa.list_(pa.dense_union([pa.field("a", pa.int32())])))


def test_declared_dictionaries_have_room_for_more_categories() -> None:
    narrow, wide = (pa.dictionary(index, pa.string(), True) for index in (pa.int8(), pa.int32()))
    assert declared_type(narrow) == wide
    assert declared_type(pa.list_(narrow)) == pa.list_(wide)
    assert declared_type(pa.struct([("x", narrow)])) == pa.struct([("x", wide)])
    assert declared_type(pa.dictionary(pa.int64(), pa.string())) == pa.dictionary(pa.int64(), pa.string())
    assert declared_type(pa.list_view(pa.int64())) == pa.list_view(pa.int64())
    many = pa.array([str(n) for n in range(300)])
    assert to_logical(many, wide).to_pylist() == many.to_pylist()
    with pytest.raises(InvalidInputError, match="300 categories are too many for indices of type int8"):
        to_logical(many, narrow)


@pytest.mark.parametrize(
    ("logical", "text"),
    [
        (UTC_US, "timestamp[us, UTC]"),
        (pa.timestamp("ms"), "timestamp[ms]"),
        (pa.uuid(), "uuid"),
        (pa.float64(), "float64"),
        (pa.float32(), "float32"),
        (pa.date32(), "date32"),
        (pa.decimal256(40, 2), "decimal(40, 2)"),
        (pa.binary(16), "binary[16]"),
        (pa.dictionary(pa.int8(), pa.string()), "dictionary[string]"),
        (pa.list_(pa.struct([("a", pa.float16())])), "list[struct[a: float16]]"),
        (pa.list_(pa.float32(), 3), "list[float32, 3]"),
        (pa.large_list(pa.date64()), "large_list[date64]"),
        (pa.list_view(pa.int8()), "list_view[int8]"),
        (pa.map_(pa.string(), pa.month_day_nano_interval()), "map[string, interval]"),
        (pa.run_end_encoded(pa.int32(), pa.int64()), "run_end_encoded[int64]"),
        (pa.time32("s"), "time32[s]"),
        (pa.large_string(), "large_string"),
    ],
)
def test_types_as_people_read_them(logical: pa.DataType, text: str) -> None:
    assert describe_type(logical) == text


def test_orderable_types() -> None:
    yes = [pa.int8(), pa.float16(), pa.bool_(), pa.string(), pa.binary(4), pa.decimal32(4), pa.duration("s")]
    no = [pa.null(), pa.list_(pa.int8()), pa.uuid(), pa.string_view(), pa.month_day_nano_interval()]
    no += [pa.struct([]), pa.map_(pa.int8(), pa.int8()), pa.dictionary(pa.int8(), pa.int8())]
    assert all(map(is_orderable, yes))
    assert not any(map(is_orderable, no))


# ---------------------------------------------------------------- widening

SCALARS: list[pa.DataType] = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
    *(pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.date32(), pa.date64()),
    *(pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.binary(4), pa.null()),
    *(pa.timestamp(unit, tz) for unit in ("s", "ms", "us", "ns") for tz in (None, "UTC")),
    *(pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"), pa.duration("s"), pa.duration("ms")),
    *(pa.decimal32(4, 2), pa.decimal64(6, 2), pa.decimal128(6, 4), pa.decimal128(5, 4), pa.decimal256(40, 4)),
]
WIDER = {
    pa.int8(): [pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64()],
    pa.int16(): [pa.int32(), pa.int64(), pa.float32(), pa.float64()],
    pa.int32(): [pa.int64(), pa.float64()],
    pa.uint8(): [
        *(pa.int16(), pa.int32(), pa.int64(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.float32(), pa.float64()),
    ],
    pa.uint16(): [pa.int32(), pa.int64(), pa.uint32(), pa.uint64(), pa.float32(), pa.float64()],
    pa.uint32(): [pa.int64(), pa.uint64(), pa.float64()],
    pa.float16(): [pa.float32(), pa.float64()],
    pa.float32(): [pa.float64()],
    pa.date32(): [pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us")],
    pa.string(): [pa.large_string()],
    pa.binary(): [pa.large_binary()],
    pa.timestamp("s"): [pa.timestamp("ms"), pa.timestamp("us")],
    pa.timestamp("s", "UTC"): [pa.timestamp("ms", "UTC"), UTC_US],
    pa.timestamp("ms"): [pa.timestamp("us")],
    pa.timestamp("ms", "UTC"): [UTC_US],
    pa.time32("s"): [pa.time32("ms"), pa.time64("us"), pa.time64("ns")],
    pa.time32("ms"): [pa.time64("us"), pa.time64("ns")],
    pa.time64("us"): [pa.time64("ns")],
    pa.decimal32(4, 2): [pa.decimal64(6, 2), pa.decimal128(6, 4), pa.decimal256(40, 4)],
    pa.decimal64(6, 2): [pa.decimal256(40, 4)],
    pa.decimal128(6, 4): [pa.decimal256(40, 4)],
    pa.decimal128(5, 4): [pa.decimal128(6, 4), pa.decimal256(40, 4)],
}


@pytest.mark.parametrize("old", SCALARS, ids=str)
def test_only_lossless_widening_is_a_projection(old: pa.DataType) -> None:
    expected = [old, *WIDER.get(old, [])] if not pa.types.is_null(old) else SCALARS
    assert [new for new in SCALARS if can_widen(old, new)] == [new for new in SCALARS if new in expected]


EXTREMES: dict[pa.DataType, list[Any]] = {
    pa.int8(): [-128, 127],
    pa.int16(): [-(2**15), 2**15 - 1],
    pa.int32(): [-(2**31), 2**31 - 1],
    pa.uint8(): [0, 255],
    pa.uint16(): [0, 2**16 - 1],
    pa.uint32(): [0, 2**32 - 1],
    pa.float16(): [65504.0, 6e-8],
    pa.float32(): [3.4e38, 1.1],
    pa.decimal32(4, 2): [Decimal("99.99"), Decimal("-99.99")],
    pa.decimal64(6, 2): [Decimal("9999.99")],
    pa.decimal128(6, 4): [Decimal("99.9999")],
    pa.decimal128(5, 4): [Decimal("9.9999")],
    pa.time32("s"): [0, 86_399],
    pa.time32("ms"): [0, 86_399_999],
    pa.time64("us"): [0, 86_399_999_999],
    pa.timestamp("s"): [-62_135_596_800, 253_402_300_799],  # the years 1 and 9999
    pa.timestamp("ms"): [-62_135_596_800_000, 253_402_300_799_999],
    pa.date32(): [-719_162, 2_932_896],
    pa.string(): ["", "é"],
    pa.binary(): [b"\xff"],
}


@pytest.mark.parametrize("old", EXTREMES, ids=str)
def test_a_cast_to_a_wider_type_loses_nothing(old: pa.DataType) -> None:
    values = pa.array([*EXTREMES[old], None], old)
    for new in WIDER[old]:
        wide = values.cast(new)
        assert wide.cast(old, safe=False).equals(values)
        if not pa.types.is_date(old):
            assert pc.all(pc.equal(wide, values.cast(new, safe=False))).as_py()


# ---------------------------------------------------------------- frames


def test_pandas_frames() -> None:
    frame = pd.DataFrame(
        {
            "a": [1, 2],
            "s": ["x", None],
            "f": [1.5, np.nan],
            "c": pd.Categorical(["u", "v"]),
            "t": pd.to_datetime(["2020-01-01", None]),
            "d": [Decimal("1.5"), None],
        }
    )
    table = from_frame(frame)
    assert table.schema.names == list("asfctd")
    assert table.schema.metadata is None
    assert table["f"].to_pylist() == [1.5, None]
    assert table["s"].to_pylist() == ["x", None]
    assert pa.types.is_dictionary(table["c"].type)
    assert table["t"].null_count == 1


def test_a_pandas_index_counts_only_if_it_is_named() -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=["x", "y"])
    assert from_frame(frame).schema.names == ["a"]
    assert from_frame(frame.rename_axis("k")).to_pylist() == [{"k": "x", "a": 1}, {"k": "y", "a": 2}]
    levels = pd.MultiIndex.from_tuples([(1, "x"), (2, "y")], names=["n", None])
    assert from_frame(frame.set_index(levels)).to_pylist() == [{"n": 1, "a": 1}, {"n": 2, "a": 2}]
    with pytest.raises(InvalidInputError, match="more than one column named 'a'"):
        from_frame(frame.rename_axis("a"))


def test_arrow_data_passes_through() -> None:
    table = pa.table({"a": [1, 2]})
    assert from_frame(table) is table
    assert from_frame(table.to_batches()[0]).equals(table)
    reader = table.to_reader()
    assert from_frame(reader) is reader

    class Stream:
        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            return table.__arrow_c_stream__(requested_schema)

    class Batch:
        def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
            return table.to_batches()[0].__arrow_c_array__(requested_schema)

    streamed = from_frame(Stream())
    assert isinstance(streamed, pa.RecordBatchReader)
    assert streamed.read_all().equals(table)
    assert from_frame(Batch()).equals(table)


def test_rows_and_columns() -> None:
    assert from_frame([{"a": 1}, {"b": "x", "a": None}]).to_pylist() == [
        {"a": 1, "b": None},
        {"a": None, "b": "x"},
    ]
    assert from_frame([]).shape == (0, 0)
    columns = {
        "a": range(2),
        "b": np.arange(2),
        "c": pd.Series([1.0, np.nan]),
        "d": pa.chunked_array([["x", "y"]]),
    }
    assert from_frame(columns).to_pylist() == [
        {"a": 0, "b": 0, "c": 1.0, "d": "x"},
        {"a": 1, "b": 1, "c": None, "d": "y"},
    ]
    typed = from_frame([{"id": uuid.UUID(int=7), "n": 1}], {"id": pa.uuid(), "n": pa.int8()})
    assert typed.schema.types == [pa.uuid(), pa.int8()]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (5, "cannot take rows from a int"),
        ("abc", "cannot take rows from a str"),
        ([{"a": 1}, 3], "row 1 is a int, expected a dict"),
        (
            {"a": 1},
            "column 'a' is a int, expected a list or an array of its values\n  hint: to pass a single row",
        ),
        ({"a": {1, 2}}, "column 'a' is a set, expected a list"),
        ({"a": [1], "b": [1, 2]}, r"the columns differ in length: {'a': 1, 'b': 2}"),
        ({"a": [1, "x"]}, "column 'a' cannot be taken in: it holds values of int, str "),
        ({"a": [2**70]}, "column 'a' cannot be taken in: it holds values of int "),
        (
            pd.DataFrame({"m": pd.Series([1, "a"], dtype=object)}),
            "column 'm' .*: it holds values of int, str ",
        ),
        (
            pd.DataFrame({"m": pd.Series([b"1", "a"], dtype=object)}),
            "column 'm' .*: it holds values of bytes, str$",
        ),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than one column named 'a'"),
        (pa.table([[1], [2]], names=["a", "a"]), "more than one column named 'a'"),
    ],
    ids=range(12),
)
def test_what_cannot_be_taken_in_is_named(frame: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        from_frame(frame)


def test_a_wanted_type_is_named_when_it_does_not_fit() -> None:
    with pytest.raises(
        InvalidInputError, match="column 'a' cannot be taken in as int8: it holds values of int "
    ):
        from_frame({"a": [300]}, {"a": pa.int8()})


def test_pandas_is_not_imported_without_need() -> None:
    program = (
        "import sys, pyarrow as pa; from absdb.pages.types import from_frame; "
        "from_frame(pa.Table.from_arrays([pa.nulls(2)], ['a'])); assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
