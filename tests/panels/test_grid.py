"""The grid, driven through the messages that a browser sends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from absdb.panels.grid import Grid
from absdb.panels.model.rows import ArrowRows, StreamRows
from absdb.panels.model.work import Work

ROWS = 1_000_000


class Driven(Grid):
    """A grid whose browser says what the test says."""

    def __init__(self, **arguments: Any) -> None:
        self.work = Work()
        self.errors: list[BaseException] = []
        super().__init__(self.work, self.errors.append, label="rows", empty="nothing", **arguments)

    def say(self, **message: Any) -> None:
        self._handle_custom_msg(message, [])
        assert self.work.wait(5)


@pytest.fixture(scope="module")
def million() -> pa.Table:
    names = pa.array([f"<b>{at}</b>" for at in range(1000)] * (ROWS // 1000))
    return pa.table({"id": np.arange(ROWS), "name": names, "half": np.arange(ROWS) / 2})


def test_only_the_page_in_view_is_sent(million):
    grid = Driven()
    grid.show(ArrowRows(million))
    assert (grid.count, grid.offset, len(grid.rows)) == (ROWS, 0, 50)
    grid.say(type="page", offset=999_975)
    assert (grid.offset, len(grid.rows)) == (999_975, 25)
    assert grid.rows[0]["cells"] == ["999975", "<b>975</b>", "499987.5"]
    assert [column["numeric"] for column in grid.columns] == [True, False, True]


def test_sorting_shows_the_first_page_of_the_order_and_showing_again_forgets_it(million):
    grid = Driven(page_rows=3)
    grid.show(ArrowRows(million))
    grid.say(type="sort", column="id", descending=True)
    assert [row["cells"][0] for row in grid.rows] == ["999999", "999998", "999997"]
    assert grid.sort == {"column": "id", "descending": True}
    grid.say(type="page", offset=3)
    assert grid.rows[0]["cells"][0] == "999996"
    grid.show(ArrowRows(million))
    assert (grid.sort, grid.rows[0]["cells"][0]) == ({}, "0")


def test_a_refresh_keeps_the_place(million):
    grid = Driven(page_rows=10)
    grid.show(ArrowRows(million))
    grid.say(type="page", offset=500)
    grid.say(type="select", row=503, column="id")
    grid.show(ArrowRows(million), keep=True)
    assert (grid.offset, grid.selected) == (500, 503)
    grid.show(ArrowRows(million.slice(0, 20)), keep=True)
    assert grid.offset == 0


def test_what_a_browser_says_is_checked(million):
    said: list[Any] = []
    grid = Driven(on_select=lambda *what: said.append(what), on_edit=lambda *what: said.append(what))
    grid.show(ArrowRows(million.slice(0, 5), editable=frozenset(["name"])))
    for message in (
        {"type": "select", "row": 5, "column": "id"},
        {"type": "select", "row": "0", "column": "id"},
        {"type": "edit", "row": 0, "column": "id", "text": "7"},
        {"type": "edit", "row": -1, "column": "name", "text": "7"},
        {"type": "page", "offset": "x"},
        {"type": "drop"},
    ):
        grid.say(**message)
    assert said == []
    grid.say(type="edit", row=4, column="name", text="new")
    grid.say(type="select", row=4, column="id")
    assert said == [(4, "name", "new"), (4, "id")]
    grid.say(type="sort", column="no such", descending=False)
    assert "no column 'no such'" in str(grid.errors[0])


def test_nulls_are_no_texts_and_nested_values_are_readable():
    table = pa.table({"a": pa.array([None, 0.1 + 0.2]), "b": [[1, None], None], "c": ["NULL", None]})
    grid = Driven()
    grid.show(ArrowRows(table))
    assert [row["cells"] for row in grid.rows] == [[None, "[1, None]", "NULL"], ["0.3", None, None]]
    grid.say(type="sort", column="b", descending=False)
    assert "cannot be sorted" in str(grid.errors[0])


def test_rows_that_differ_carry_signs_and_both_values(shop):
    diff = shop["staging"].diff(shop["main"])["orders"]
    reader = diff.to_batches()
    grid = Driven()
    grid.show(StreamRows(iter(reader), reader.schema, ["status", "total"], total=len(diff)))
    assert [column["name"] for column in grid.columns] == ["id", "status", "total"]
    assert grid.rows == [
        {"sign": "~", "cells": ["1", {"old": "done", "new": "open"}, "9.5"]},
        {"sign": "~", "cells": ["2", {"old": "paid", "new": "late"}, "9.5"]},
    ]


def test_a_stream_is_read_only_as_far_as_somebody_looks():
    read = []

    def batches() -> Any:
        for number in range(100):
            read.append(number)
            yield pa.record_batch({"n": [number] * 10})

    grid = Driven(page_rows=10)
    grid.show(StreamRows(batches(), pa.schema([("n", pa.int64())])))
    assert (grid.count, read) == (-1, [0])
    grid.say(type="page", offset=990)
    assert grid.rows[0]["cells"] == ["99"]
    grid.say(type="page", offset=1000)
    assert (grid.count, grid.rows) == (1000, [])
    grid.say(type="page", offset=0)
    assert grid.rows[0]["cells"] == ["0"], "one can page back"


def test_an_empty_grid_says_what_to_do():
    grid = Driven()
    grid.show(None)
    assert (grid.columns, grid.rows, grid.empty) == ([], [], "nothing")
