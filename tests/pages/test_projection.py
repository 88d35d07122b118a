"""How pages written under one schema come out under another."""

from __future__ import annotations

import gc
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

from absdb.errors import InvalidInputError, StateError
from absdb.pages.key import KeySpec
from absdb.pages.lookup import row_values
from absdb.pages.projection import CONSTANT_ROWS_MAX, OutputColumn, Projection
from absdb.pages.section import Page

SPEC = KeySpec.of(("c1",), (pa.int64(),))


def page_of(columns: dict[str, Any], lsn: int | None = 7) -> Page:
    rows = len(next(iter(columns.values())))
    return Page.of(pa.record_batch({"c1": pa.array(range(rows), pa.int64()), **columns}), SPEC, lsn)


def one(
    source: str, logical: pa.DataType, physical: pa.DataType | None = None, initial: Any = None
) -> Projection:
    return Projection([OutputColumn("x", source, logical, physical or logical, initial)])


def test_a_column_of_the_same_type_is_the_same_memory() -> None:
    page = page_of({"c2": pa.array([1.5, 2.5])})
    out = one("c2", pa.float64()).of_page(page)
    assert out.schema == pa.schema({"x": pa.float64()})
    assert out.column(0).buffers()[1].address == page.batch().column("c2").buffers()[1].address


WIDENED = [
    (pa.array([1, -1, None], pa.int8()), pa.int64()),
    (pa.array([1, 2, None], pa.uint16()), pa.uint32()),
    (pa.array([1, 2, None], pa.int32()), pa.float64()),
    (pa.array([1.5, float("inf"), None], pa.float32()), pa.float64()),
    (pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)), pa.decimal128(12, 4)),
    (pa.array([1, None], pa.int32()).cast(pa.date32()), pa.timestamp("us")),
    (pa.array([1, None], pa.timestamp("s", "UTC")), pa.timestamp("us", "UTC")),
    (pa.array(["a", None]), pa.large_string()),
    (pa.nulls(2), pa.list_(pa.int32())),
]


@pytest.mark.parametrize(("stored", "wider"), WIDENED, ids=lambda value: str(getattr(value, "type", value)))
def test_a_narrower_column_is_widened(stored: pa.Array, wider: pa.DataType) -> None:
    """Goal: as a page, as gathered rows and as single rows, values come out as those of the wider type."""
    page, projection = page_of({"c2": stored}), one("c2", wider)
    expected = stored.cast(wider)
    assert projection.of_page(page).column(0).equals(expected)
    rows = np.array([len(stored) - 1, 0])
    assert (
        projection.gather([page], np.zeros(2, np.int32), rows).column(0).equals(expected.take(pa.array(rows)))
    )
    for row, value in enumerate(expected):
        (found,) = row_values(page, row, projection)
        assert (type(found), repr(found)) == (type(value.as_py()), repr(value.as_py()))


INITIALS = [
    (pa.int32(), 5, 5),
    (pa.string(), "new", "new"),
    (pa.bool_(), True, True),
    (pa.float64(), None, None),
    (pa.timestamp("us", "UTC"), 1_000_000, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
    (pa.decimal128(5, 2), Decimal("1.25"), Decimal("1.25")),
    (pa.list_(pa.string()), ["a", None], ["a", None]),
    (pa.struct({"a": pa.int8()}), {"a": 1}, {"a": 1}),
    (pa.null(), None, None),
    (pa.uuid(), UUID(int=3).bytes, UUID(int=3)),
    (pa.dictionary(pa.int8(), pa.string()), "red", "red"),
    (pa.run_end_encoded(pa.int32(), pa.int64()), 3, 3),
]


@pytest.mark.parametrize(("logical", "initial", "value"), INITIALS, ids=lambda value: str(value))
def test_a_missing_column_reads_as_its_initial_default(
    logical: pa.DataType, initial: Any, value: Any
) -> None:
    page = page_of({"c2": pa.array([1, 2, 3])})
    physical = {"extension<arrow.uuid>": pa.binary(16)}.get(
        str(logical), getattr(logical, "value_type", logical)
    )
    physical = logical if pa.types.is_list(logical) else physical
    projection = one("c9", logical, physical, initial)
    assert projection.of_page(page).schema == projection.schema == pa.schema({"x": logical})
    assert projection.of_page(page).column(0).to_pylist() == [value] * 3
    assert (
        projection.gather([page], np.zeros(2, np.int32), np.array([2, 0])).column(0).to_pylist()
        == [value] * 2
    )
    assert row_values(page, 1, projection) == (value,)


def test_a_default_is_repeated_to_any_length() -> None:
    """Goal: short, long, short again and beyond a page: always as many as asked for."""
    column = OutputColumn("x", "c9", pa.int64(), pa.int64(), 4)
    for length in (3, 1000, 0, 2, CONSTANT_ROWS_MAX, CONSTANT_ROWS_MAX + 1, 10):
        array = column.constant(length)
        assert len(array) == length
        assert array.to_pylist() == [4] * length


def test_logical_types_come_from_physical_ones() -> None:
    logical = pa.dictionary(pa.int16(), pa.string())
    page = page_of({"c2": pa.array(["a", "b", None, "a"])})
    projection = one("c2", logical, pa.string())
    assert projection.of_page(page).column(0).type == logical
    assert projection.of_page(page).column(0).to_pylist() == ["a", "b", None, "a"]
    assert projection.physical.of_page(page).column(0).type == pa.string()
    assert projection.finish(projection.physical.of_page(page)).equals(projection.of_page(page))
    assert [row_values(page, row, projection) for row in range(3)] == [("a",), ("b",), (None,)]


def test_extension_values_are_read_as_their_python_class() -> None:
    page = page_of({"c2": pa.array([bytes(15) + b"\x01", None], pa.binary(16))})
    projection = one("c2", pa.uuid(), pa.binary(16))
    assert [row_values(page, row, projection) for row in range(2)] == [(UUID(int=1),), (None,)]
    assert projection.of_page(page).column(0).to_pylist() == [UUID(int=1), None]


def test_columns_come_in_the_order_and_under_the_names_asked_for() -> None:
    page = page_of({"c2": pa.array([1, 2]), "c3": pa.array(["a", "b"])})
    columns = [
        OutputColumn("b", "c3", pa.string(), pa.string()),
        OutputColumn("a", "c1", pa.int64(), pa.int64()),
    ]
    assert Projection(columns).of_page(page).to_pylist() == [{"b": "a", "a": 0}, {"b": "b", "a": 1}]
    assert row_values(page, 1, Projection(columns)) == ("b", 1)


def test_gathered_rows_keep_the_order_asked_for() -> None:
    """Goal: rows of several pages, mixed and repeated, come as listed, whichever pages have the column."""
    pages = [page_of({"c2": pa.array([10, 11, 12], pa.int16())}), page_of({"c3": pa.array([1, 2])})]
    projection = one("c2", pa.int64(), initial=-1)
    part, rows = np.array([1, 0, 0, 1, 0]), np.array([1, 2, 0, 0, 2])
    assert projection.gather(pages, part, rows).column(0).to_pylist() == [-1, 12, 10, -1, 12]
    assert projection.gather(pages, part[:0], rows[:0]).schema == projection.schema


def test_lsn_and_key_pass_through() -> None:
    spec = KeySpec.of(("c1", "c2"), (pa.int64(), pa.string()))
    batch = spec.with_key(pa.record_batch({"c1": [1, 2, 3], "c2": ["a", "b", "c"]}))
    lsns = pa.array([5, 5, 6])
    projection = Projection([OutputColumn("id", "c1", pa.int64(), pa.int64())], extra=["_lsn", "_key"])
    constant = Page.of(batch, spec, lsn=9)
    plain = Page.of(batch.append_column("_lsn", lsns), spec)
    runs = Page.of(batch.append_column("_lsn", pa.compute.run_end_encode(lsns)), spec)
    for page, expected in ((constant, [9, 9, 9]), (plain, [5, 5, 6]), (runs, [5, 5, 6])):
        whole = projection.of_page(page)
        assert whole.schema == pa.schema({"id": pa.int64(), "_lsn": pa.int64(), "_key": pa.binary()})
        assert whole["_lsn"].to_pylist() == expected
        assert whole["_key"].equals(batch["_key"])
        picked = projection.gather([page], np.zeros(2, np.int32), np.array([2, 0]))
        assert picked.equals(whole.take(pa.array([2, 0])))
    assert row_values(constant, 0, projection) == (1,)


def test_an_lsn_that_nobody_knows_is_an_error() -> None:
    projection = Projection([OutputColumn("id", "c1", pa.int64(), pa.int64())], extra=["_lsn"])
    with pytest.raises(StateError, match="_lsn"):
        projection.of_page(page_of({"c2": pa.array([1])}, lsn=None))


def test_a_projection_needs_a_column_and_a_schema_that_fits() -> None:
    with pytest.raises(InvalidInputError, match="needs a column"):
        Projection([])
    with pytest.raises(InvalidInputError, match="expected a schema"):
        one("c1", pa.int64()).with_schema(pa.schema({"y": pa.int64()}))


def test_a_schema_adds_nullability_and_metadata() -> None:
    schema = pa.schema([pa.field("x", pa.int64(), nullable=False, metadata={"a": "b"})], {"c": "d"})
    projection = one("c1", pa.int64())
    assert projection.with_schema(projection.schema) is projection
    batch = projection.with_schema(schema).of_page(page_of({"c2": pa.array([1])}))
    assert batch.schema.equals(schema, check_metadata=True)


def test_what_single_reads_remember_goes_with_the_batch() -> None:
    """Goal: a batch its store has dropped is not kept alive by the projections that read it."""
    projection = one("c2", pa.int64())
    page = page_of({"c2": pa.array([1, 2])})
    assert row_values(page, 1, projection) == row_values(page, 1, projection) == (2,)
    assert len(projection._readers) == 1
    del page
    gc.collect()
    assert projection._readers == {}
