"""digest: the same for the same rows, whatever holds them, and for nothing else."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import absdb

N = 50
ROWS = pa.table(
    {
        "i": pa.array([None if n % 7 == 0 else n for n in range(N)], pa.int32()),
        "s": [None if n % 5 == 0 else "ä" * n for n in range(N)],
        "b": [n % 2 == 0 for n in range(N)],
        "f": [n / 3 for n in range(N)],
        "d": pa.array([Decimal(n) / 8 for n in range(N)], pa.decimal128(12, 3)),
        "day": [dt.date(2026, 1, 1) + dt.timedelta(n) for n in range(N)],
        "ts": pa.array([n * 10**9 - 5 for n in range(N)], pa.timestamp("us", "UTC")),
        "bin": [bytes(range(n)) for n in range(N)],
        "l": [None if n % 3 == 0 else list(range(n)) for n in range(N)],
        "st": [{"a": n, "b": str(n)} for n in range(N)],
        "tm": [dt.time(1, 2, n, n) for n in range(N)],
        "du": pa.array(range(N), pa.duration("us")),
        "tags": [[f"t{n}"] * (n % 4) for n in range(N)],
        "u": pa.array([n.to_bytes(16, "big") for n in range(N)], pa.uuid()),
        "none": pa.nulls(N, pa.string()),
    }
)
OTHER_TYPES = {
    "s": pa.string_view(),
    "d": pa.decimal128(38, 10),
    "ts": pa.timestamp("ns", "Europe/Berlin"),
    "bin": pa.large_binary(),
    "l": pa.large_list(pa.int64()),
    "tm": pa.time64("ns"),
    "du": pa.duration("ns"),
    "tags": pa.list_(pa.large_string()),
    "none": pa.int64(),
}


def test_the_digest_is_what_it_has_always_been():
    assert absdb.digest(ROWS) == "6b567750a482dbcb"
    assert absdb.digest(ROWS.slice(0, 0)) == "e063d2afa4bd8c41"
    assert absdb.digest([{"id": 1, "status": "new"}, {"id": 2, "status": None}]) == "c3906f5a771ae3ed"


@pytest.mark.parametrize("name", ROWS.column_names)
def test_pandas_and_arrow_have_the_same(name):
    table = ROWS.select([name])
    with absdb.connect(":memory:") as shop:
        frame = shop["main"].create_table("t", table).to_pandas()
    assert absdb.digest(frame) == absdb.digest(table)


@pytest.mark.parametrize("name", OTHER_TYPES)
def test_how_a_value_is_laid_out_does_not_count(name):
    table = ROWS.select([name])
    other = pa.table({name: table[name].cast(OTHER_TYPES[name])})
    assert absdb.digest(other) == absdb.digest(table)


def test_polars_has_the_same():
    polars = pytest.importorskip("polars")
    rows = ROWS.drop_columns("u")
    assert absdb.digest(polars.from_arrow(rows)) == absdb.digest(rows)


def test_order_and_chunks_do_not_count():
    found = absdb.digest(ROWS)
    assert absdb.digest(ROWS.take(list(reversed(range(N))))) == found
    assert absdb.digest(pa.concat_tables([ROWS.slice(20), ROWS.slice(0, 7), ROWS.slice(7, 13)])) == found
    assert absdb.digest(ROWS.to_reader(max_chunksize=3)) == found
    assert absdb.digest(pa.concat_tables([ROWS.slice(0, 0), ROWS])) == found


def test_dictionaries_do_not_count():
    plain = pa.table({"s": ["a", None, "b", "a"]})
    coded = pa.chunked_array(
        [pa.array(["a", None]).dictionary_encode(), pa.array(["b", "a"]).dictionary_encode()]
    )
    assert absdb.digest(pa.table({"s": coded})) == absdb.digest(plain)
    assert absdb.digest(plain.to_pandas().astype("category")) == absdb.digest(plain)


def test_tables_results_and_diffs_have_one():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        orders = main.create_table("orders", ROWS.drop_columns("du"))
        assert absdb.digest(orders) == absdb.digest(main.sql("FROM orders").to_arrow())
        assert absdb.digest(main.diff(main)["orders"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.table({"a": [1, 2]}), pa.table({"a": [1, 3]})),
        (pa.table({"a": [1, 2]}), pa.table({"b": [1, 2]})),
        (pa.table({"a": [1, 2]}), pa.table({"a": [1.0, 2.0]})),
        (pa.table({"a": [1, 2]}), pa.table({"a": pa.array([1, 2], pa.int32())})),
        (pa.table({"a": [1]}), pa.table({"a": [1, 1]})),
        (pa.table({"a": [1, 1, 2]}), pa.table({"a": [1, 2, 2]})),
        (pa.table({"a": [1, 2], "b": [3, 4]}), pa.table({"a": [1, 2], "b": [4, 3]})),
        (pa.table({"a": [1], "b": [2]}), pa.table({"b": [2], "a": [1]})),
        (pa.table({"a": [None, 1.0]}), pa.table({"a": [float("nan"), 1.0]})),
        (pa.table({"a": [None, "x"]}), pa.table({"a": ["", "x"]})),
        (pa.table({"a": ["a\0"]}), pa.table({"a": ["a"]})),
        (pa.table({"a": ["ab"], "b": ["c"]}), pa.table({"a": ["a"], "b": ["bc"]})),
        (pa.table({"a": ["12345678abcdefgh"]}), pa.table({"a": ["abcdefgh12345678"]})),
        (pa.table({"a": [[1], [2]]}), pa.table({"a": [[1, 2], []]})),
        (pa.table({"a": [[1, 2]]}), pa.table({"a": [[2, 1]]})),
        (pa.table({"a": [[], [1]]}), pa.table({"a": [None, [1]]})),
        (pa.table({"a": ["a"]}), pa.table({"a": [b"a"]})),
        (
            pa.table({"a": pa.array([0], pa.timestamp("us"))}),
            pa.table({"a": pa.array([0], pa.timestamp("us", "UTC"))}),
        ),
    ],
)
def test_what_differs_has_another(one, other):
    assert absdb.digest(one) != absdb.digest(other)


def test_values_that_are_equal_are_one():
    nans = np.array([0x7FF8000000000001, 0xFFF8000000000000], np.uint64).view(np.float64)
    assert absdb.digest(pa.table({"a": pa.array(nans[:1])})) == absdb.digest(
        pa.table({"a": pa.array(nans[1:])})
    )
    assert absdb.digest(pa.table({"a": [-0.0]})) == absdb.digest(pa.table({"a": [0.0]}))
    assert absdb.digest(pd.DataFrame({"a": [1.0, np.nan]})) == absdb.digest(pa.table({"a": [1.0, None]}))
    fixed = pa.table({"a": pa.array([[1, 2], None], pa.list_(pa.int64(), 2))})
    assert absdb.digest(fixed) == absdb.digest(pa.table({"a": [[1, 2], None]}))
    pairs = pa.table({"a": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64()))})
    assert absdb.digest(pairs) == absdb.digest(pa.table({"a": [[{"key": "k", "value": 1}], None]}))


def test_lists_without_elements_have_one():
    empty = pa.array([[], []], pa.list_(pa.decimal128(5, 2)))
    assert absdb.digest(pa.table({"a": empty})) != absdb.digest(pa.table({"a": empty[:1]}))


def test_rows_are_read_in_windows_of_bounded_size():
    big = pa.table({"id": range(200_000), "s": ["x" * 600] * 200_000})
    assert absdb.digest(big) == absdb.digest(pa.concat_tables([big.slice(99), big.slice(0, 99)]))


def test_what_has_no_digest_is_named():
    with pytest.raises(absdb.InvalidInputError, match="has no digest"):
        absdb.digest(pa.table({"a": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])}))
    with pytest.raises(absdb.InvalidInputError, match="more than 38 digits"):
        absdb.digest(pa.table({"a": pa.array([Decimal(10) ** 60], pa.decimal256(76, 0))}))
    with pytest.raises(absdb.InvalidInputError, match="cannot take rows from"):
        absdb.digest(3)
