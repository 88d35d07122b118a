"""Keys: both encoders agree, encodings order as the values do, every key decodes to what it was made of."""

from __future__ import annotations

import math
import pickle
import struct
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import InvalidInputError
from absdb.pages import key, memcomparable
from absdb.pages.key import KeyKind, KeySpec


def signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    top = 10**precision - 1
    return st.integers(-top, top).map(lambda n: Decimal(f"{n}E-{scale}"))


FLOATS = st.floats(allow_nan=True) | st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan])
# Few different characters, so that values share prefixes, and zero bytes, which are escaped.
TEXTS = st.text(alphabet="\x00\x01ab\xffé\U0001f600", max_size=6) | st.text(max_size=5)
BLOBS = st.lists(st.sampled_from([0, 1, 2, 254, 255]), max_size=6).map(bytes)

VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int8(): signed(8),
    pa.int16(): signed(16),
    pa.int32(): signed(32),
    pa.int64(): signed(64),
    pa.uint8(): st.integers(0, 255),
    pa.uint16(): st.integers(0, 2**16 - 1),
    pa.uint32(): st.integers(0, 2**32 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float16(): st.floats(width=16),
    pa.float32(): st.floats(width=32),
    pa.float64(): FLOATS,
    pa.bool_(): st.booleans(),
    pa.date32(): signed(32),
    pa.date64(): st.integers(-(10**6), 10**6).map(lambda days: days * 86_400_000),
    pa.time32("ms"): st.integers(0, 86_399_999),
    pa.time64("ns"): st.integers(0, 86_399_999_999_999),
    pa.timestamp("us", "UTC"): signed(64),
    pa.timestamp("s"): signed(64),
    pa.duration("ns"): signed(64),
    pa.decimal32(7, 2): decimals(7, 2),
    pa.decimal64(15, 3): decimals(15, 3),
    pa.decimal128(38, 10): decimals(38, 10),
    pa.decimal256(76, 0): decimals(76, 0),
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.string(): TEXTS,
    pa.large_string(): TEXTS,
    pa.binary(): BLOBS,
    pa.large_binary(): BLOBS,
}
STORED_AS = {32: pa.int32(), 64: pa.int64()}


def array_of(values: list[Any], type_: pa.DataType) -> pa.Array:
    """Physical values as an array, with a slice's offset, which encoders must respect."""
    padded = [values[0], *values, values[-1]] if values else values
    if pa.types.is_temporal(type_):
        array = pa.array(padded, STORED_AS[type_.bit_width]).view(type_)
    else:
        array = pa.array(padded, type_)
    return array.slice(1, len(values)) if values else array


def physical_values(array: pa.Array) -> list[Any]:
    if pa.types.is_temporal(array.type):
        array = array.view(STORED_AS[array.type.bit_width])
    return array.to_pylist()


def ordered(value: Any) -> Any:
    """What Python can order by as keys are ordered: NaN last, text by its UTF-8 bytes."""
    if isinstance(value, float):
        return (value != value, 0.0 if value != value else value)
    return value.encode() if isinstance(value, str) else value


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[pa.DataType], list[tuple[Any, ...]]]:
    types = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=4))
    rows = draw(st.lists(st.tuples(*[VALUES[type_] for type_ in types]), min_size=0, max_size=12))
    return types, rows


def spec_of(types: list[pa.DataType]) -> KeySpec:
    return KeySpec.of([f"c{i}" for i in range(len(types))], types)


def columns_of(types: list[pa.DataType], rows: list[tuple[Any, ...]]) -> list[pa.Array]:
    return [array_of([row[i] for row in rows], type_) for i, type_ in enumerate(types)]


def bits(row: tuple[Any, ...]) -> list[Any]:
    """Values for exact comparison: NaN by its bits, decimals by value; -0.0 has become 0.0."""
    return [struct.pack("<d", v + 0.0) if isinstance(v, float) and v == v else repr(v) for v in row]


@given(tables())
def test_one_row_and_columns_give_the_same_bytes(case: Any) -> None:
    types, rows = case
    spec = spec_of(types)
    keys = spec.encode(columns_of(types, rows))
    assert key.to_list(keys) == [spec.encode_one(row) for row in rows]
    expected = np.ndarray if spec.kind is KeyKind.INTEGER else pa.Array
    assert isinstance(keys, expected)


@given(tables())
def test_keys_order_as_the_values_do(case: Any) -> None:
    types, rows = case
    spec = spec_of(types)
    values = [tuple(map(ordered, row)) for row in rows]
    keys = [spec.encode_one(row) for row in rows]
    for one, one_key in zip(values, keys, strict=True):
        for other, other_key in zip(values, keys, strict=True):
            assert (one < other) == (one_key < other_key)
            assert (one == other) == (one_key == other_key)


@given(tables())
def test_keys_decode_to_the_values(case: Any) -> None:
    types, rows = case
    spec = spec_of(types)
    keys = spec.encode(columns_of(types, rows))
    decoded = spec.decode(keys)
    assert [array.type for array in decoded] == types
    for array in decoded:
        array.validate(full=True)
    got = list(zip(*map(physical_values, decoded), strict=True))
    assert list(map(bits, got)) == list(map(bits, rows))
    assert [bits(spec.decode_one(k)) for k in key.to_list(keys)] == list(map(bits, rows))


@given(tables(), st.booleans())
def test_the_key_column_is_added_where_a_page_needs_it(case: Any, again: bool) -> None:
    types, rows = case
    spec = spec_of(types)
    batch = pa.record_batch(columns_of(types, rows), names=list(spec.columns))
    keyed = spec.with_key(batch)
    if again:
        keyed = spec.with_key(keyed)
    extra = ["_key"] if spec.kind is KeyKind.ENCODED else []
    assert keyed.schema.names == [*spec.columns, *extra]
    assert key.to_list(spec.keys_of(keyed)) == [spec.encode_one(row) for row in rows]


@pytest.mark.parametrize(
    ("types", "kind"),
    [
        ([pa.int32()], KeyKind.INTEGER),
        ([pa.timestamp("us", "UTC")], KeyKind.INTEGER),
        ([pa.date32()], KeyKind.INTEGER),
        ([pa.string()], KeyKind.BYTES),
        ([pa.binary(16)], KeyKind.BYTES),
        ([pa.bool_()], KeyKind.ENCODED),
        ([pa.float64()], KeyKind.ENCODED),
        ([pa.decimal128(9, 2)], KeyKind.ENCODED),
        ([pa.int64(), pa.int64()], KeyKind.ENCODED),
    ],
)
def test_kinds(types: list[pa.DataType], kind: KeyKind) -> None:
    assert spec_of(types).kind is kind


@pytest.mark.parametrize(
    "type_",
    [
        pa.list_(pa.int64()),
        pa.struct([("a", pa.int64())]),
        pa.map_(pa.string(), pa.int64()),
        pa.null(),
        pa.month_day_nano_interval(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.uuid(),
    ],
)
def test_types_without_order_are_refused(type_: pa.DataType) -> None:
    with pytest.raises(InvalidInputError, match=r"column 'c1' of type .* cannot be part of a key"):
        KeySpec.of(["c0", "c1"], [pa.int64(), type_])


def test_a_key_needs_columns() -> None:
    with pytest.raises(InvalidInputError, match="a key needs one type for each column: 0 and 0"):
        KeySpec.of([], [])


@pytest.mark.parametrize(
    "arrays",
    [
        [pa.array([1, None, None])],
        [pa.array(["a", None, None])],
        [pa.array([1, 2, 3]), pa.array(["a", None, None])],
    ],
)
def test_nulls_are_refused_with_column_and_count(arrays: list[pa.Array]) -> None:
    spec = spec_of([array.type for array in arrays])
    column = spec.columns[-1]
    with pytest.raises(InvalidInputError, match=f"key column '{column}' is null in 2 of 3 rows") as caught:
        spec.encode(arrays)
    assert (caught.value.column, caught.value.nulls) == (column, 2)
    if spec.kind is not KeyKind.ENCODED:
        with pytest.raises(InvalidInputError, match="is null in 2 of 3 rows"):
            spec.keys_of(pa.record_batch(arrays, names=["c0"]))
    with pytest.raises(InvalidInputError, match=f"key column '{column}' is null in 1 of 1 row"):
        spec.encode_one(
            [
                array[1].as_py() if name != column else None
                for name, array in zip(spec.columns, arrays, strict=True)
            ]
        )


def test_one_64_bit_column_is_not_copied() -> None:
    batch = pa.record_batch({"c0": pa.array(range(100)), "c1": pa.array(map(str, range(100)))})
    integers = KeySpec.of(["c0"], [pa.int64()]).keys_of(batch)
    assert integers.ctypes.data == batch.column(0).buffers()[1].address
    texts = KeySpec.of(["c1"], [pa.string()]).keys_of(batch)
    assert texts.buffers()[2].address == batch.column(1).buffers()[2].address


def test_widening_keeps_the_encoding_where_it_says_so() -> None:
    pairs = [
        (pa.int8(), pa.int64(), 7),
        (pa.uint8(), pa.int16(), 7),
        (pa.uint32(), pa.int64(), 7),
        (pa.float32(), pa.float64(), 1.5),
        (pa.string(), pa.large_string(), "a"),
    ]
    for old, new, value in pairs:
        assert memcomparable.same_encoding(old, new)
        narrow, wide = spec_of([old, pa.bool_()]), spec_of([new, pa.bool_()])
        assert narrow.encode_one((value, True)) == wide.encode_one((value, True))
    assert not memcomparable.same_encoding(pa.int32(), pa.float64())
    assert not memcomparable.same_encoding(pa.uint32(), pa.uint64())
    assert not memcomparable.same_encoding(pa.timestamp("s"), pa.timestamp("ms"))
    assert not memcomparable.same_encoding(pa.decimal128(5, 2), pa.decimal128(7, 3))


def test_a_spec_can_be_compared_and_pickled() -> None:
    spec = spec_of([pa.int64(), pa.string()])
    again = pickle.loads(pickle.dumps(spec))
    assert again == spec
    assert hash(again) == hash(spec)
    assert again.encode_one((1, "a")) == spec.encode_one((1, "a"))
    assert spec != spec_of([pa.int64(), pa.int64()])


def test_the_bytes_never_change() -> None:
    """Goal: stored keys stay readable; a change here is a change of the page format."""
    row = (-2, 2**63, -1.5, True, Decimal("-0.01"), b"\x01\x02", "a\x00b", b"")
    types = [pa.int32(), pa.uint64(), pa.float32(), pa.bool_(), pa.decimal32(5, 2), pa.binary(2)]
    spec = spec_of([*types, pa.string(), pa.large_binary()])
    assert spec.encode_one(row).hex() == (
        "7ffffffffffffffe" + "8000000000000000" + "4007ffffffffffff" + "01" + "7fffffff" + "0102"
        "6100ff62" + "0000" + "0000"
    )


def test_keys_past_two_gibibytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets = pa.py_buffer(np.array([0, 1_200_000_000], np.int32))
    half = pa.Array.from_buffers(
        pa.binary(), 1, [None, offsets, pa.py_buffer(np.zeros(1_200_000_000, np.uint8))]
    )
    with pytest.raises(
        InvalidInputError, match="the keys of 2 rows take more than 2 GiB\n  hint: pass the rows"
    ):
        key.concat([half, half])
    monkeypatch.setattr(memcomparable, "BYTES_MAX", 48)
    spec = spec_of([pa.int64(), pa.int64()])
    assert len(spec.encode([pa.array([1, 2])] * 2)) == 2
    with pytest.raises(InvalidInputError, match="the keys of 3 rows take more than 2 GiB"):
        spec.encode([pa.array([1, 2, 3])] * 2)


# ---------------------------------------------------------------- functions on keys

INTEGERS = st.lists(st.integers(-20, 20), max_size=30).map(lambda v: np.array(v, np.int64))
UNSIGNED = st.lists(st.integers(2**63 - 5, 2**63 + 5), max_size=30).map(lambda v: np.array(v, np.uint64))
STRINGS = st.lists(st.text("ab\x00", max_size=3), max_size=30).map(
    lambda v: pa.array(["pad", *v], pa.string()).view(pa.binary()).slice(1)
)
PAIRS = st.one_of(*[st.tuples(kind, kind) for kind in (INTEGERS, UNSIGNED, STRINGS)])


@given(PAIRS)
def test_search_agrees_with_python(pair: Any) -> None:
    keys, probes = pair
    keys = key.take(keys, key.sort_order(keys))
    plain = key.to_list(keys)
    for side in ("left", "right"):
        found = key.search(keys, probes, side)
        assert found.dtype == np.int64
        for probe, position in zip(key.to_list(probes), found.tolist(), strict=True):
            below = sum(k < probe or (side == "right" and k == probe) for k in plain)
            assert position == below
            assert key.search_one(keys, probe, side) == below


def test_search_one_is_exact_at_the_edges() -> None:
    unsigned = np.array([2**63, 2**63 + 1, 2**64 - 1], np.uint64)
    assert key.search_one(unsigned, 2**63 + 1) == 1
    assert key.search_one(unsigned, -1) == 0
    signed = np.array([-(2**63), 2**53, 2**53 + 1, 2**63 - 1], np.int64)
    assert key.search_one(signed, 2**53 + 1) == 2
    assert key.search_one(signed, 2**64) == 4


@given(PAIRS)
def test_sorting_is_stable(pair: Any) -> None:
    keys, _ = pair
    order = key.sort_order(keys)
    plain = key.to_list(keys)
    assert order.dtype == np.int64
    assert order.tolist() == sorted(range(len(plain)), key=plain.__getitem__)


@given(PAIRS)
def test_order_and_equality(pair: Any) -> None:
    keys, other = pair
    plain = key.to_list(keys)
    steps = list(pairwise(plain))
    assert key.is_increasing(keys) == all(a < b for a, b in steps)
    assert key.is_increasing(keys, strict=False) == all(a <= b for a, b in steps)
    assert key.runs_of_equal(keys).tolist() == ([True] if plain else []) + [a != b for a, b in steps]
    shared = min(len(keys), len(other))
    same = key.equal(key.slice(keys, 0, shared), key.slice(other, 0, shared))
    assert same.tolist() == [a == b for a, b in zip(plain, key.to_list(other), strict=False)]


@given(PAIRS, st.integers(0, 30), st.integers(0, 30))
def test_parts(pair: Any, start: int, stop: int) -> None:
    keys, other = pair
    plain = key.to_list(keys)
    assert key.length(keys) == len(plain)
    assert key.to_list(key.slice(keys, start, stop)) == plain[start:stop]
    assert key.to_list(key.concat([keys, other, keys])) == plain + key.to_list(other) + plain
    assert key.concat([keys]) is keys
    if plain:
        assert (key.first(keys), key.last(keys)) == (plain[0], plain[-1])
        assert type(key.first(keys)) is type(plain[0])
        assert key.at(keys, len(plain) // 2) == plain[len(plain) // 2]


@pytest.mark.parametrize("type_", [pa.int64(), pa.uint64(), pa.string(), pa.float64()])
def test_lists_and_back(type_: pa.DataType) -> None:
    spec = spec_of([type_])
    assert key.length(key.empty(spec)) == 0
    assert key.to_list(key.from_list(spec, [])) == []
    plain = [spec.encode_one(v) for v in ([1], [5])] if type_ != pa.string() else [b"a", b"b"]
    keys = key.from_list(spec, plain)
    assert key.to_list(keys) == plain
    assert key.to_list(key.concat([key.empty(spec), keys])) == plain
