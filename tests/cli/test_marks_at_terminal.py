"""Marks, colours of branches and alignment, as a terminal shows them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

import absdb
from absdb.cli.marked_lines import marked_lines
from absdb.cli.output import Listing, Rows, rich_table
from absdb.cli.table_text import Screen

MINUS = "\N{MINUS SIGN}"


@pytest.fixture
def changed() -> Iterator[pa.RecordBatch]:
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        rows = [{"id": n * 10, "status": "new", "total": n * 1.5} for n in range(20)]
        main.create_table("orders", rows, key="id")
        branch = main.branch("b")
        branch["orders"].update([{"id": 0, "total": 1000.0}, {"id": 100, "status": "x"}])
        branch["orders"].delete(190)
        yield next(branch.diff(main)["orders"].to_batches())


def test_numbers_of_a_diff_stand_to_the_right(changed):
    assert marked_lines(changed, ["status", "total"], Screen(80, False), head=True) == [
        "    id  status      total",
        "~    0  new      0 → 1000",
        "~  100  new → x        15",
        f"{MINUS}  190  new          28.5",
    ]


def test_the_old_value_is_struck_through_before_the_new_one(changed):
    lines = marked_lines(changed, ["status", "total"], Screen(80, True), head=False)
    assert "\x1b[9mnew\x1b[0m → " in lines[1]
    assert lines[2].startswith("\x1b[31m")


def test_listings_mark_operations_and_branches_and_rows_are_left_alone(capsys):
    names = ["table_name", "operation"]
    rich_table(Listing([{"table_name": "t", "operation": "removed"}]), names, [["t", "removed"]])
    assert f"{MINUS} removed" in capsys.readouterr().out
    names = ["name", "created_from"]
    rich_table(Listing([{"name": "staging", "created_from": "main"}]), names, [["staging", "main"]])
    assert "● staging" in (shown := capsys.readouterr().out)
    assert "● main" in shown
    rich_table(Rows([{"name": "staging", "operation": "removed"}]), ["operation"], [["removed"]])
    assert MINUS not in capsys.readouterr().out
