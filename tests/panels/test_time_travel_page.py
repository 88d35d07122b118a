"""The Time travel page: the slider, what is shown of a point, restore with undo, branch from there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

import absdb
from absdb.panels import time_travel
from absdb.panels.time_travel_page import TimeTravelPage


@pytest.fixture
def page(shop: absdb.Instance) -> Iterator[TimeTravelPage]:
    made = time_travel(shop)
    settle(made)
    yield made
    made.close()


def settle(page: TimeTravelPage) -> None:
    assert page.hub.work.wait(10)


def cells(grid: Any) -> list[Any]:
    return [row["cells"] for row in grid.rows]


def press(page: TimeTravelPage, text: str) -> None:
    """Press a button of the message."""
    next(one for one in page.message.actions if one.description == text).click()
    settle(page)


def test_it_opens_at_now_and_the_slider_goes_back(page, shop):
    assert [point.title for point in page.points] == ["load", "on main"]
    assert page.slider.value == page.slider.max == 1
    assert "on main" in page.where.value
    assert "just now" in page.where.value
    assert cells(page.changes) == []
    page.back.click()
    settle(page)
    assert "<b>load</b>" in page.where.value
    assert "1 minute ago" in page.where.value
    assert cells(page.tables) == [["orders", "100", "100"]]
    assert cells(page.changes) == [["orders", "modified", "1"]]
    assert cells(page.rows)[0] == ["1", "open", "9.5"]
    assert page.point.lsn == str(shop["main"].log().lsn.iloc[-1])


def test_the_chosen_query_is_answered_as_of_the_point(page):
    page.query.value = "SELECT count(*) AS n FROM orders WHERE status = 'done'"
    settle(page)
    assert cells(page.rows) == [["1"]]
    page.back.click()
    settle(page)
    assert cells(page.rows) == [["0"]]
    page.query.value = "SELECT nothing FROM orders"
    settle(page)
    assert "nothing" in page.message.text


def test_a_point_that_is_looked_at_stays_while_others_commit(page, shop):
    page.back.click()
    settle(page)
    shop["main"]["orders"].delete([5], message="meanwhile")
    page.refresh()
    settle(page)
    assert (page.point.title, page.slider.max) == ("load", 2)
    assert ["orders", "removed", "1"] in cells(page.changes)
    page.forward.click()
    page.forward.click()
    settle(page)
    shop["main"]["orders"].delete([6], message="and again")
    page.refresh()
    settle(page)
    assert page.point.title == "and again", "at the end it follows"


def test_a_restore_is_previewed_done_and_undone(page, shop):
    page.back.click()
    settle(page)
    page.preview_button.click()
    settle(page)
    assert "orders: modified, 1 rows" in page.message.text
    assert shop["main"]["orders"].get(1)["status"] == "done", "nothing is done before it is asked for"
    press(page, "Restore")
    assert shop["main"]["orders"].get(1)["status"] == "open"
    press(page, "Undo")
    assert shop["main"]["orders"].get(1)["status"] == "done"
    assert [point.kind for point in page.points] == ["commit", "commit", "restore", "restore"]


def test_an_undo_that_would_take_back_later_commits_is_refused(page, shop):
    page.back.click()
    settle(page)
    page.preview_button.click()
    settle(page)
    press(page, "Restore")
    shop["main"]["orders"].delete([7])
    press(page, "Undo")
    assert "commits after the restore" in page.message.text
    assert shop["main"]["orders"].get(7) is None


def test_only_the_chosen_tables_are_restored(page, shop):
    shop["main"].create_table("users", {"uid": [1]}, key="uid")
    shop["main"]["users"].delete([1])
    shop["main"]["orders"].delete([9])
    page.refresh()
    settle(page)
    page.slider.value = 2
    settle(page)
    assert page.restored_tables.options == ("orders", "users")
    page.restored_tables.value = ("users",)
    page.preview_button.click()
    settle(page)
    assert "orders" not in page.message.text
    press(page, "Restore")
    assert shop["main"]["users"].count() == 1
    assert shop["main"]["orders"].get(9) is None


def test_restoring_what_is_as_it_was_says_so(page):
    page.preview_button.click()
    settle(page)
    assert "nothing to restore" in page.message.text
    assert page.message.actions == ()


def test_a_branch_starts_at_the_point(page, shop):
    page.back.click()
    page.branch_button.click()
    settle(page)
    assert "no name" in page.message.text
    page.branch_name.value = "früher & <b>"
    page.branch_button.click()
    settle(page)
    assert shop["früher & <b>"]["orders"].get(1)["status"] == "open"
    assert "<b> starts" not in page.message.text
    press(page, "Go to it")
    assert page.database.value == "früher & <b>"


def test_a_database_dropped_under_the_page(page, shop):
    page.turn_to("staging")
    settle(page)
    assert page.point.title == "on staging"
    shop["staging"].drop()
    page.look()
    settle(page)
    assert "staging" in page.message.text
    page.refresh()
    settle(page)
    settle(page)
    assert page.database.value == "main"
    assert page.point.title == "on main"


def test_an_empty_instance_says_what_to_do():
    with absdb.connect(":memory:") as instance:
        page = time_travel(instance)
        settle(page)
        assert "create a table" in page.where.value
        page.close()


def test_a_dragged_slider_ends_with_the_last_point(shop):
    for number in range(60):
        shop["main"]["orders"].update({"id": 2, "total": float(number)})
    page = time_travel(shop)
    settle(page)
    for place in range(page.slider.max, -1, -1):
        page.slider.value = place
    settle(page)
    assert cells(page.rows)[1] == ["2", "paid", "9.5"]
    page.close()


def test_a_table_that_came_later_is_shown_as_not_there(shop):
    shop["main"].create_table("zz", pd.DataFrame({"a": [1]}))
    page = time_travel(shop)
    page.slider.value = 0
    settle(page)
    assert cells(page.tables) == [["orders", "100", "100"], ["zz", None, "1"]]
    assert ["zz", "table added", "1"] in cells(page.changes)
    page.close()
