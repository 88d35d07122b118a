"""What can be bound: Python's values, and what numpy, pandas and pyarrow hold."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import absdb

MOMENT = dt.datetime(2026, 4, 4, 14, 5, 0, 250)


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        (np.int64(7), 7),
        (np.float32(2.5), 2.5),
        (np.bool_(True), True),
        (np.str_("é"), "é"),
        (np.datetime64("2026-04-04T14:05:00.000250999", "ns"), MOMENT),
        (np.array([3, 1]), [3, 1]),
        (np.array(["2026-04-04T14:05:00.000250"], dtype="M8[ns]"), [MOMENT]),
        ([np.int64(3), np.int64(1)], [3, 1]),
        (pd.Timestamp(MOMENT), MOMENT),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.Series(["a", None]), ["a", None]),
        (pd.Series([1, None], dtype="Int64"), [1, None]),
        (pd.Index(["a"]), ["a"]),
        (pd.Series(["x", "y"], dtype="category"), ["x", "y"]),
        (pa.scalar(3), 3),
        (pa.chunked_array([[1], [2]]), [1, 2]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_other_libraries_are_bound_as_what_they_hold(value: Any, bound: Any) -> None:
    with absdb.connect(":memory:") as shop:
        assert shop["main"].sql("SELECT $v", {"v": value}).fetchall() == [(bound,)]
        assert shop["main"].sql("SELECT ?", [value]).fetchall() == [(bound,)]


def test_a_column_of_a_frame_chooses_rows() -> None:
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.create_table("t", pd.DataFrame({"id": range(10)}), key="id")
        chosen = pd.DataFrame({"id": [2, 5]})
        assert main.sql("FROM t WHERE id IN $ids", {"ids": chosen["id"]}).fetchall() == [(2,), (5,)]
        assert main.sql("INSERT INTO t VALUES (?)", [np.int64(77)]).rowcount == 1
        assert main["t"].get(77) == {"id": 77}
