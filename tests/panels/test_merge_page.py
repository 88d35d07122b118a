"""The Merge page: the dry run, deciding conflicts in every way, merging, the receipt with its undo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import absdb
from absdb.panels import merge
from absdb.panels.merge_page import MergePage
from absdb.panels.model.work import Job


@pytest.fixture
def shop() -> Iterator[absdb.Instance]:
    """Two conflicting cells in one row, a row deleted here and changed there, a change of one side only."""
    with absdb.connect(":memory:", clock=absdb.ManualClock("2026-01-01 10:00Z")) as instance:
        main = instance["main"]
        main.sql(
            "CREATE TABLE orders (id INT PRIMARY KEY, status TEXT, total DOUBLE CHECK (total < 100), paid BOOLEAN)"
        )
        main.sql("INSERT INTO orders VALUES (1, 'a', 1, false), (2, 'b', 2, false), (3, 'c', 3, false)")
        fix = main.branch("fix & <b>")
        fix["orders"].update({"id": 1, "status": "theirs", "total": 20.0})
        fix["orders"].delete([2])
        fix["orders"].update({"id": 3, "status": "only theirs"})
        main["orders"].update({"id": 1, "status": "ours", "total": 10.0})
        main["orders"].update({"id": 2, "status": "changed"})
        yield instance


@pytest.fixture
def page(shop: absdb.Instance) -> Iterator[MergePage]:
    made = merge(shop)
    settle(made)
    yield made
    made.close()


def settle(page: MergePage) -> None:
    assert page.hub.work.wait(10)


def cells(grid: Any) -> list[Any]:
    return [row["cells"] for row in grid.rows]


def decisions(page: MergePage) -> list[Any]:
    return [(row[2], row[3], row[7], row[8]) for row in cells(page.conflicts)]


def press(page: MergePage, text: str) -> None:
    buttons = [*page.sides, page.clear_button, page.merge_button, *page.message.actions]
    next(one for one in buttons if one.description == text).click()
    settle(page)


def select(page: MergePage, at: int) -> None:
    page.conflicts._handle_custom_msg({"type": "select", "row": at, "column": "kind"}, [])


def test_it_opens_with_a_dry_run_that_writes_nothing(page, shop):
    lsn = shop.lsn
    assert (page.source.value, page.target.value) == ("fix & <b>", "main")
    assert "3 conflicts, 3 undecided" in page.said.value
    assert [row[1:4] for row in cells(page.conflicts)] == [
        ["cell", "1", "status"],
        ["cell", "1", "total"],
        ["delete/modify", "2", ""],
    ]
    assert cells(page.conflicts)[0][4:7] == ["a", "ours", "theirs"]
    assert page.merge_button.disabled
    page.refresh()
    settle(page)
    assert shop.lsn == lsn


def test_conflicts_are_decided_by_cell_row_table_and_value(page, shop):
    press(page, "Take ours")
    assert "Select a conflict first" in page.message.text
    select(page, 0)
    press(page, "Take theirs")
    assert decisions(page)[0] == ("1", "status", "theirs", "")
    page.scope.value = "this row"
    press(page, "Take ours")
    assert [one[2] for one in decisions(page)] == ["ours", "ours", ""]
    page.conflicts._handle_custom_msg({"type": "edit", "row": 1, "column": "value", "text": "15.5"}, [])
    assert decisions(page)[1] == ("1", "total", "value", "15.5")
    page.scope.value = "this conflict"
    select(page, 2)
    press(page, "Take base")
    assert "3 conflicts, 0 undecided" in page.said.value
    assert not page.merge_button.disabled
    page.note.value = "by hand"
    press(page, "Merge")
    rows = shop["main"].sql("SELECT id, status, total FROM orders ORDER BY id").fetchall()
    assert rows == [(1, "ours", 15.5), (2, "b", 2.0), (3, "only theirs", 3.0)]
    assert shop["main"].log().message.iloc[0] == "by hand"
    assert "&lt;b&gt; is merged into main" in page.message.text
    assert "has everything that" in page.said.value
    press(page, "Undo")
    assert shop["main"]["orders"].get(2)["status"] == "changed"
    assert "3 conflicts" in page.said.value, "what was taken back can come in again"


def test_all_at_once_and_undecided_again(page):
    page.scope.value = "all"
    press(page, "Take theirs")
    assert [one[2] for one in decisions(page)] == ["theirs"] * 3
    press(page, "Undecide")
    assert [one[2] for one in decisions(page)] == [""] * 3
    assert page.merge_button.disabled
    page.scope.value = "this table"
    select(page, 1)
    press(page, "Take ours")
    assert [one[2] for one in decisions(page)] == ["ours"] * 3
    assert not page.merge_button.disabled


def test_a_value_that_the_column_cannot_hold_is_refused(page):
    for at, text, said in [(1, "many", "no value of column"), (2, "x", "no single value")]:
        page.conflicts._handle_custom_msg({"type": "edit", "row": at, "column": "value", "text": text}, [])
        assert said in page.message.text
    assert [one[2] for one in decisions(page)] == [""] * 3


def test_constraints_and_checks_are_seen_before_the_merge(page, shop):
    shop["main"].add_check("no theirs", "SELECT * FROM orders WHERE status = 'theirs'")
    page.scope.value = "all"
    press(page, "Take theirs")
    page.conflicts._handle_custom_msg({"type": "edit", "row": 1, "column": "value", "text": "500"}, [])
    settle(page)
    assert any(row[0] == "constraint" and row[2] == "1" for row in cells(page.violations))
    assert page.merge_button.disabled
    page.conflicts._handle_custom_msg({"type": "edit", "row": 1, "column": "value", "text": "50"}, [])
    settle(page)
    assert [row[:2] for row in cells(page.violations)] == [["check", "no theirs"]]
    assert page.merge_button.disabled
    select(page, 0)
    page.scope.value = "this conflict"
    press(page, "Take ours")
    assert cells(page.violations) == []
    assert not page.merge_button.disabled


def test_what_was_decided_is_kept_while_both_sides_move(page, shop):
    select(page, 0)
    press(page, "Take theirs")
    shop["main"]["orders"].insert({"id": 9, "status": "new"})
    shop["fix & <b>"]["orders"].update({"id": 3, "total": 33.0})
    shop["main"]["orders"].update({"id": 3, "total": 44.0})
    page.refresh()
    settle(page)
    assert decisions(page) == [
        ("1", "status", "theirs", ""),
        ("1", "total", "", ""),
        ("3", "total", "", ""),
        ("2", "", "", ""),
    ]


def test_strict_finds_rows_changed_on_both_sides(page, shop):
    shop["main"]["orders"].update({"id": 3, "paid": True})
    page.strict.value = True
    settle(page)
    assert ("3", "") in [one[:2] for one in decisions(page)]


def test_a_fast_forward_needs_nothing(page, shop):
    branch = shop["main"].branch("ahead")
    branch["orders"].update({"id": 1, "total": 2.0})
    page.refresh()
    settle(page)
    page.source.value = "ahead"
    settle(page)
    assert "fast-forward" in page.said.value
    assert page.deciding.layout.display == "none"
    press(page, "Merge")
    assert shop["main"]["orders"].get(1)["total"] == 2.0


def test_one_database_alone_says_what_to_do(shop):
    shop["fix & <b>"].drop()
    page = merge(shop)
    settle(page)
    assert "make a branch first" in page.said.value
    assert page.merge_button.disabled
    shop["main"].branch("later")
    page.refresh()
    settle(page)
    assert page.source.value == "later", "the first branch is what nobody chose yet"
    page.close()


def test_a_decision_that_falls_into_a_try_is_not_lost(page):
    loaded = page.load(Job("a try that began before"))
    page.scope.value = "all"
    press(page, "Take theirs")
    page.show(loaded)
    settle(page)
    assert [one[2] for one in decisions(page)] == ["theirs"] * 3
    assert not page.merge_button.disabled


def test_a_reader_tries_a_merge_and_cannot_do_it(tmp_path):
    with absdb.connect(tmp_path / "shop") as writer:
        main = writer["main"]
        main.create_table("orders", {"id": [1], "total": [1.0]}, key="id")
        fix = main.branch("fix")
        fix["orders"].update({"id": 1, "total": 2.0})
        main["orders"].update({"id": 1, "total": 3.0})
        with absdb.connect(tmp_path / "shop", read_only=True) as reader:
            page = merge(reader)
            settle(page)
            assert "1 conflict, 1 undecided" in page.said.value
            page.scope.value = "all"
            press(page, "Take theirs")
            assert "0 undecided" in page.said.value
            assert "read-only" in page.said.value
            assert page.merge_button.disabled
            page.close()
