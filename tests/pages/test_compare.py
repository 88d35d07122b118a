"""Equality of columns is equality of the Python values they hold, however the arrays are laid out."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import SchemaMismatchError
from absdb.pages.compare import changed_matrix, equal_rows

# Few values of each type, so that two random columns agree often.
SCALARS: dict[pa.DataType, list[Any]] = {
    pa.null(): [],
    pa.int8(): [0, 1, -128],
    pa.uint64(): [0, 2**64 - 1],
    pa.float16(): [0.0, -0.0, math.nan, 1.5],
    pa.float32(): [0.0, -0.0, math.nan, math.inf],
    pa.float64(): [0.0, -0.0, math.nan, 1e300],
    pa.bool_(): [True, False],
    pa.string(): ["", "a", "b\x00", "é"],
    pa.large_string(): ["", "a"],
    pa.binary(): [b"", b"\x00"],
    pa.large_binary(): [b"", b"\xff"],
    pa.binary(3): [b"abc", b"abd"],
    pa.binary(16): [b"0" * 16, b"0" * 15 + b"1"],
    pa.binary(0): [b""],
    pa.decimal32(5, 1): [Decimal("0.1"), Decimal("-0.1")],
    pa.decimal128(20, 2): [Decimal("0.01"), Decimal("123456789012345678.01")],
    pa.decimal256(60, 0): [Decimal(1), Decimal(-(10**50))],
    pa.date32(): [dt.date(2024, 1, 1), dt.date(1969, 1, 1)],
    pa.timestamp("us", "UTC"): [
        dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        dt.datetime(1969, 1, 1, tzinfo=dt.UTC),
    ],
    pa.time64("us"): [dt.time(1), dt.time(2)],
    pa.duration("ms"): [dt.timedelta(1), dt.timedelta(2)],
    pa.month_day_nano_interval(): [
        pa.MonthDayNano([1, 2, 3]),
        pa.MonthDayNano([1, 2, 4]),
        pa.MonthDayNano([2, 2, 3]),
    ],
}


def lists_of(child: tuple[pa.DataType, Any]) -> st.SearchStrategy[tuple[pa.DataType, Any]]:
    type_, values = child
    short = st.lists(values, max_size=3)
    keys = st.sampled_from(["a", "b"])
    return st.sampled_from(
        [
            (pa.list_(type_), short),
            (pa.large_list(type_), short),
            (pa.list_(type_, 2), st.lists(values, min_size=2, max_size=2)),
            (pa.list_(type_, 0), st.just([])),
            (pa.map_(pa.string(), type_), st.lists(st.tuples(keys, values), max_size=2)),
            (
                pa.struct([("x", type_), ("y", pa.int8())]),
                st.fixed_dictionaries({"x": values, "y": st.just(1)}),
            ),
        ]
    ).map(lambda made: (made[0], st.none() | made[1]))


LEAVES = st.sampled_from([(type_, st.sampled_from([None, *values])) for type_, values in SCALARS.items()])
TYPES = st.recursive(LEAVES, lambda child: child.flatmap(lists_of), max_leaves=3)


def comparable(value: Any) -> Any:
    """A Python value in which equality is what we mean by it."""
    if isinstance(value, float):
        return "nan" if value != value else value
    if isinstance(value, list | tuple):
        return [comparable(item) for item in value]
    if isinstance(value, dict):
        return {name: comparable(item) for name, item in value.items()}
    return value


@st.composite
def pairs(draw: st.DrawFn) -> tuple[pa.Array, pa.Array]:
    """Two columns of one type and length, as slices of longer arrays, perhaps with nothing before them."""
    type_, values = draw(TYPES)
    rows = draw(st.lists(st.tuples(values, st.booleans(), values), max_size=12))

    def column(items: list[Any]) -> pa.Array:
        before, after = draw(st.lists(values, max_size=2)), draw(st.lists(values, max_size=2))
        return pa.array(before + items + after, type_).slice(len(before), len(items))

    left = [value for value, _, _ in rows]
    return column(left), column([value if same else other for value, same, other in rows])


@given(pairs())
def test_columns_are_equal_where_their_values_are(pair: tuple[pa.Array, pa.Array]) -> None:
    a, b = pair
    expected = [comparable(x) == comparable(y) for x, y in zip(a.to_pylist(), b.to_pylist(), strict=True)]
    assert equal_rows(a, b).tolist() == expected
    assert equal_rows(b, a).tolist() == expected
    assert equal_rows(a, a).all()
    if len(a):
        assert equal_rows(a, pa.concat_arrays([a])).all()


@given(pairs(), st.integers(0, 12))
def test_chunks_make_no_difference(pair: tuple[pa.Array, pa.Array], cut: int) -> None:
    a, b = pair
    chunked = pa.chunked_array([a.slice(0, cut), a.slice(cut)], a.type)
    assert equal_rows(chunked, b).tolist() == equal_rows(a, b).tolist()
    empty = pa.chunked_array([], a.type)
    assert equal_rows(empty, a.slice(0, 0)).tolist() == []


@pytest.mark.parametrize(
    "array",
    [
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16, None, b"1" * 16], pa.binary(16))),
        pa.array(["a", None, "b"]).dictionary_encode(),
        pa.array(["a", None, "b"], pa.string_view()),
        pa.array([[1], None, [2]], pa.list_view(pa.int64())),
    ],
    ids=lambda array: str(array.type),
)
def test_logical_types_compare_as_what_they_stand_for(array: pa.Array) -> None:
    other = pa.array([*array.to_pylist()[:2], array.to_pylist()[0]], array.type)
    assert equal_rows(array, other).tolist() == [True, True, False]


def test_dictionaries_compare_by_value_not_by_index() -> None:
    a = pa.DictionaryArray.from_arrays([0, 1], ["x", "y"])
    b = pa.DictionaryArray.from_arrays([1, 0], ["y", "x"])
    assert equal_rows(a, b).tolist() == [True, True]


def test_what_stands_under_a_null_does_not_count() -> None:
    """Goal: validity decides, whatever is left in values, offsets and children."""
    nulls = pa.py_buffer(b"\x05")  # rows 0 and 2 are there, row 1 is not

    def masked(array: pa.Array) -> pa.Array:
        kept = array.buffers()[: 1 if pa.types.is_fixed_size_list(array.type) else 2]
        children = [array.values] if pa.types.is_nested(array.type) else None
        return pa.Array.from_buffers(array.type, len(array), [nulls, *kept[1:]], children=children)

    for type_ in (pa.list_(pa.int64()), pa.large_list(pa.int64()), pa.list_(pa.int64(), 1)):
        a = masked(pa.array([[1], [2], [3]], type_))
        b = masked(pa.array([[1], [9], [4]], type_))
        assert equal_rows(a, b).tolist() == [True, True, False]
        longer = pa.array([[1], None, [3]], type_)
        assert equal_rows(a, longer).all()
    a, b = masked(pa.array([1, 2, 3])), masked(pa.array([1, 9, 4]))
    assert equal_rows(a, b).tolist() == [True, True, False]
    ragged = pa.ListArray.from_arrays(pa.array([0, 1, 4, 5]), pa.array([1, 7, 7, 7, 3]))
    a = pa.Array.from_buffers(ragged.type, 3, [nulls, ragged.buffers()[1]], children=[ragged.values])
    assert equal_rows(a, pa.array([[1], None, [3]])).all()
    parent = pa.StructArray.from_arrays(
        [pa.array([1, 2, 3])], names=["x"], mask=pa.array([False, True, False])
    )
    assert equal_rows(parent, pa.array([{"x": 1}, None, {"x": 3}])).all()


def test_nan_equals_nan_of_other_bits() -> None:
    words = np.array([0x7FF8000000000000, 0xFFF8000000000001], np.uint64)
    a, b = pa.array(words.view(np.float64)), pa.array(words[::-1].copy().view(np.float64))
    assert equal_rows(a, b).all()


def test_a_null_is_not_an_empty_or_zero_value() -> None:
    for type_, value in [(pa.string(), ""), (pa.int64(), 0), (pa.list_(pa.int64()), []), (pa.bool_(), False)]:
        assert not equal_rows(pa.array([None], type_), pa.array([value], type_)).any()


def test_changed_matrix_names_the_columns() -> None:
    a = pa.table({"id": [1, 2, 3], "x": ["a", None, "c"], "u": [uuid.UUID(int=i).bytes for i in range(3)]})
    b = pa.record_batch({"id": [1, 2, 3], "x": ["a", "b", None], "u": a["u"].combine_chunks()})
    assert {name: mask.tolist() for name, mask in changed_matrix(a, b).items()} == {
        "id": [False, False, False],
        "x": [False, True, True],
        "u": [False, False, False],
    }
    assert list(changed_matrix(a, b, ["x"])) == ["x"]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(SchemaMismatchError, match="cannot compare int64 with string"):
        equal_rows(pa.array([1]), pa.array(["a"]))
    with pytest.raises(SchemaMismatchError, match="cannot compare 1 rows with 2"):
        equal_rows(pa.array([1]), pa.array([1, 2]))
    with pytest.raises(SchemaMismatchError, match="no column 'y' on one of the two sides"):
        changed_matrix(pa.table({"x": [1], "y": [1]}), pa.table({"x": [1]}))
