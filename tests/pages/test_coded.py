"""Coded columns are the same rows, whole or cut, in pages that were changed and in those that were not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.pages.coded import CODES_MAX, coded, coded_type
from absdb.pages.decoded import DecodedCache
from absdb.pages.fold import fold_table
from absdb.pages.key import KeySpec
from absdb.pages.projection import OutputColumn, Projection
from absdb.pages.section import Page, Section

SPEC = KeySpec.of(("c1",), (pa.int64(),))
TEXT, PRICE = pa.large_string(), pa.decimal128(15, 2)


@pytest.mark.parametrize(
    ("physical", "expected"),
    [
        (pa.string(), pa.dictionary(pa.uint8(), pa.string())),
        (pa.large_string(), pa.dictionary(pa.uint8(), pa.large_string())),
        (pa.decimal128(9, 9), pa.decimal32(9, 9)),
        (pa.decimal128(10, 0), pa.decimal64(10, 0)),
        (pa.decimal128(18, 4), pa.decimal64(18, 4)),
        *[(kind, None) for kind in (pa.decimal128(4, 0), pa.decimal128(19, 0), pa.decimal128(9, -2))],
        *[(kind, None) for kind in (pa.decimal64(9, 2), pa.decimal256(9, 2), pa.binary(), pa.int64())],
    ],
    ids=str,
)
def test_only_text_and_short_decimals_have_a_code(
    physical: pa.DataType, expected: pa.DataType | None
) -> None:
    assert coded_type(physical) == expected


@given(st.data(), st.sampled_from([5, 9, 10, 18]), st.integers(0, 20), st.integers(0, 20))
def test_decimals_keep_their_values(data: st.DataObject, digits: int, start: int, length: int) -> None:
    top = Decimal(10**digits - 1).scaleb(-2)
    value = st.sampled_from([None, top, -top, Decimal("-0.01"), Decimal(0)])
    array = pa.array(data.draw(st.lists(value, min_size=40, max_size=40)), pa.decimal128(digits, 2))
    array = array.slice(start, length)
    kind = coded_type(array.type)
    assert kind is not None
    made = coded(array, kind)
    assert made is not None
    made.validate(full=True)
    assert (made.type, made.to_pylist()) == (kind, array.to_pylist())


def test_text_is_coded_up_to_a_number_of_values() -> None:
    kind = pa.dictionary(pa.uint8(), TEXT)
    for values in (["", None, "é", ""], [], [None], [str(n % CODES_MAX) for n in range(5000)]):
        made = coded(pa.array(values, TEXT), kind)
        assert made is not None
        assert (made.type, made.to_pylist()) == (kind, values)
    late = ["a"] * 4000 + [str(n) for n in range(CODES_MAX)]
    for values in ([str(n) for n in range(5000)], late, [str(n) for n in range(CODES_MAX + 1)]):
        assert coded(pa.array(values, TEXT), kind) is None


def _batch(numbers: range, text: str, price: str) -> pa.RecordBatch:
    texts = [None if n % 7 == 0 else f"{text}{n % 5}" for n in numbers]
    prices = [None if n % 6 == 0 else Decimal(price) * n for n in numbers]
    return pa.record_batch(
        {"c1": pa.array(numbers, pa.int64()), "c2": pa.array(texts, TEXT), "c3": pa.array(prices, PRICE)}
    )


def _columns(*, code: bool) -> list[OutputColumn]:
    plain = [
        OutputColumn("s", "c2", TEXT, TEXT),
        OutputColumn("p", "c3", PRICE, PRICE),
        OutputColumn("late", "c9", TEXT, TEXT, "since"),
        OutputColumn("id", "c1", pa.int64(), pa.int64()),
        OutputColumn("view", "c2", pa.string_view(), TEXT),
    ]
    if not code:
        return plain
    kinds = {
        column.name: coded_type(column.physical) for column in plain if column.logical == column.physical
    }
    return [column.as_coded(kind) if (kind := kinds.get(column.name)) else column for column in plain]


@pytest.mark.parametrize(
    "changed", [range(0), range(100, 103), range(20, 900, 3), range(5, 2900, 2), range(2950, 3100)], ids=str
)
def test_changes_on_coded_pages_fold_like_those_on_plain_ones(changed: range) -> None:
    """As slices, as joined slices, picked row by row, and behind all that was there."""
    base = Section.of([_batch(range(at, at + 1500), "a", "1.10") for at in (0, 1500)], SPEC, 1)
    layers = [base, Section.of([_batch(changed, "b", "-0.01")], SPEC, 2)]
    expected = fold_table(SPEC, layers, Projection(_columns(code=False)))
    found = fold_table(SPEC, layers, Projection(_columns(code=True)))
    found.validate(full=True)
    assert pa.types.is_dictionary(found.schema.field("s").type)
    assert found.to_pylist() == expected.to_pylist()


def test_a_page_keeps_what_it_coded_while_there_is_room() -> None:
    batch = _batch(range(1000), "a", "1.10")
    projection = Projection(_columns(code=True)[:2])

    def addresses(page: Page) -> list[Any]:
        columns = projection.of_page(page).columns
        return [column.buffers()[1].address for column in columns]

    for room, kept in ((100_000, True), (500, False)):
        cache = DecodedCache(room)
        page = Page(SPEC, 1000, 0, 999, lsn=1, load=lambda: batch, cache=cache)
        held = projection.of_page(page)
        assert cache.bytes_held <= room
        assert (addresses(page) == [column.buffers()[1].address for column in held.columns]) is kept
        assert projection.of_page(page).equals(held)
