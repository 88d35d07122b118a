"""The Branches page, driven without a browser: what it shows, what it does, and what stops it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import absdb
from absdb.panels import branches, workbench
from absdb.panels.branches_page import BranchesPage
from absdb.panels.history_graph import HistoryGraph, branch_colour


@pytest.fixture
def page(shop):
    """The page over the shop, when all is read."""
    made = branches(shop)
    settled(made)
    yield made
    made.close()


def settled(page: BranchesPage) -> None:
    """Wait until the page has done what it was told and has looked again."""
    assert page.hub.work.wait(5)


def listed(page: BranchesPage) -> dict[str, dict[str, Any]]:
    """The list: name → column → text."""
    names = [column["name"] for column in page.list.columns]
    rows = [dict(zip(names, row["cells"], strict=True)) for row in page.list.rows]
    return {row["name"]: row for row in rows}


def say(graph: HistoryGraph, **message: Any) -> None:
    """A message as the browser sends it."""
    graph._handle_custom_msg(message, [])


def press(page: BranchesPage, text: str) -> None:
    """Press the button of that text under the message."""
    next(one for one in page.message.actions if one.description == text).click()
    settled(page)


def select(page: BranchesPage, name: str) -> None:
    """Select a database in the list, as a browser does."""
    names = [row["cells"][0] for row in page.list.rows]
    page.list._handle_custom_msg({"type": "select", "row": names.index(name), "column": "name"}, [])
    settled(page)


def test_the_list_says_where_a_branch_comes_from_and_what_it_changed(page, shop):
    row = listed(page)["staging"]
    assert row["created from"] == f"main @ {shop.branches()['created_lsn'][1]}"
    assert (row["age"], row["rows changed"], row["protected"]) == ("1 minute", "~1", "")
    assert row["last commit"].endswith(" · just now")
    assert listed(page)["main"]["rows changed"] == ""
    shop["staging"]["orders"].delete(5)
    page.refresh()
    settled(page)
    assert listed(page)["staging"]["rows changed"] == "~1 \N{MINUS SIGN}1"


def test_a_branch_is_made_from_a_point_picked_on_the_picture(page, shop):
    load = shop["main"].log()["lsn"].iloc[-1]
    cell = page.graph.drawing["cells"][0]
    assert cell["lsn"] == load
    say(page.graph, type="pick", database="main", lsn=load)
    assert (page.form.source.value, page.form.point.value) == ("main", load)
    assert page.graph.selected == {"database": "main", "at": 0}
    select(page, "staging")
    assert (page.form.source.value, page.form.point.value) == ("staging", "")
    say(page.graph, type="pick", database="main", lsn=load)
    page.form.name.value = "before it"
    page.form.live_for.value = "7 days"
    page.form.create_button.click()
    settled(page)
    made = shop["before it"]
    assert made["orders"].get(1)["status"] == "open"
    assert shop.branches()["expires_at"][2] - shop.branches()["created_at"][2] == dt.timedelta(days=7)
    assert f"before it was made from main as of {load}." in page.message.text
    assert listed(page)["before it"]["expires"] == "in 7 days"
    assert [lane["name"] for lane in page.graph.drawing["lanes"]] == ["main", "staging", "before it"]
    assert page.graph.selected["database"] == "before it"
    press(page, "Undo")
    assert "before it" not in shop
    assert "before it" not in listed(page)


@pytest.mark.parametrize("point", ["", "2026-01-01 10:00:30Z", "before the sale"])
def test_a_branch_is_made_from_now_a_time_or_a_snapshot(page, shop, point):
    main = shop["main"]
    main.snapshot("before the sale", lsn=main.log()["lsn"].iloc[-1])
    page.form.name.value, page.form.source.value, page.form.point.value = "späte Ware 🧾", "main", point
    page.form.create_button.click()
    settled(page)
    assert "Error" not in page.message.text
    assert shop["späte Ware 🧾"]["orders"].get(1)["status"] == ("open" if point else "done")
    assert page.form.point.value == ""


@pytest.mark.parametrize(
    ("name", "point", "told"),
    [
        ("", "", "the branch has no name"),
        ("a/b", "", "cannot name a database"),
        ("staging", "", "there is a database &#x27;staging&#x27; already"),
        ("x", "nowhere", "is no LSN, no time and no snapshot"),
        ("x", "99/0", "lies in the future"),
    ],
)
def test_what_cannot_be_made_is_told(page, shop, name, point, told):
    page.form.name.value, page.form.point.value = name, point
    page.form.create_button.click()
    settled(page)
    assert told in page.message.text
    assert list(shop) == ["main", "staging"]
    assert page.form.name.value == name


def test_protecting_keeping_and_renaming(page, shop):
    select(page, "staging")
    page.protect_button.click()
    settled(page)
    assert shop["staging"].protected
    assert listed(page)["staging"]["protected"] == "protected"
    assert (page.protect_button.description, page.drop_button.disabled) == ("Unprotect", True)
    page.protect_button.click()
    settled(page)
    assert not shop["staging"].protected
    page.keep_for.value = "1 day"
    page.keep_button.click()
    settled(page)
    left = shop.branches()["expires_at"][1] - shop.now
    assert abs(left - dt.timedelta(days=1)) < dt.timedelta(seconds=1)
    page.keep_for.value = "for good"
    page.keep_button.click()
    settled(page)
    assert shop.branches()["expires_at"].isna().all()
    page.new_name.value = "<i>new</i>".replace("/", "")
    page.rename_button.click()
    settled(page)
    assert list(shop) == ["main", "<i>new<i>"]
    assert "<i>" not in page.message.text
    assert "<i>" not in page.of.value
    press(page, "Undo")
    assert list(shop) == ["main", "staging"]


def test_before_a_branch_is_dropped_the_page_says_what_would_be_lost(page, shop):
    staging = shop["staging"]
    staging["orders"].insert({"id": 500, "status": "new", "total": 1.0})
    staging.snapshot("kept")
    staging.branch("child")["orders"].delete(7)
    select(page, "staging")
    page.drop_button.click()
    settled(page)
    assert (
        "Drop staging? Lost for good would be what main does not have: +1 ~1 rows; 1 snapshot: kept. "
        "What was branched from it stays whole: child." in page.message.text
    )
    assert "staging" in shop
    press(page, "Keep it")
    assert "staging" in shop
    page.drop_button.click()
    settled(page)
    press(page, "Drop staging")
    assert list(shop) == ["main", "child"]
    assert "staging was dropped." in page.message.text
    assert [lane["name"] for lane in page.graph.drawing["lanes"]] == ["main", "child"]
    assert page.graph.selected["database"] == "main"


def test_of_a_merged_branch_nothing_would_be_lost(page, shop):
    select(page, "staging")
    page.drop_button.click()
    settled(page)
    assert "1 commit that no other database holds; what main does not have: ~1 rows" in page.message.text
    shop["main"].merge(shop["staging"])
    page.drop_button.click()
    settled(page)
    assert "Drop staging? Nothing would be lost." in page.message.text


def test_a_branch_dropped_under_the_page_is_told_and_goes(page, shop):
    select(page, "staging")
    shop["staging"].drop()
    page.protect_button.click()
    settled(page)
    assert "there is no database &#x27;staging&#x27;" in page.message.text
    page.refresh()
    settled(page)
    assert list(listed(page)) == ["main"]
    assert page.graph.selected["database"] == "main"
    assert page.drop_button.disabled
    assert page.drop_button.tooltip == "It is the only database"


def test_the_picture_opens_groups_zooms_and_takes_no_nonsense(page, shop):
    for number in range(60):
        shop["main"]["orders"].update({"id": 9, "status": f"s{number}"})
    page.refresh()
    settled(page)
    graph = page.graph
    say(graph, type="room", slots=10)
    assert graph.drawing["columns"] <= 10
    group = next(cell for cell in graph.drawing["cells"] if cell["kind"] == "group")
    say(graph, type="range", first=group["range"][0], last=group["range"][1])
    assert graph.drawing["first"] == group["range"][0]
    assert len(graph.drawing["cells"]) > 1
    say(graph, type="all")
    total = graph.drawing["total"]
    say(graph, type="zoom", factor=0.25, around=total - 1)
    assert (graph.drawing["last"], graph.drawing["first"]) == (total - 1, total - round(total / 4))
    shop["main"]["orders"].update({"id": 9, "status": "newest"})
    page.refresh()
    settled(page)
    assert graph.drawing["last"] == total
    say(graph, type="move", share=-0.5)
    shown = graph.drawing
    for message in (
        {"type": "range", "first": 5, "last": total + 7},
        {"type": "range", "first": -1, "last": 3},
        {"type": "zoom", "factor": 0, "around": 1},
        {"type": "zoom", "factor": "2", "around": 1},
        {"type": "room", "slots": 10**9},
        {"type": "move", "share": 1e9},
        {"type": "pick", "database": "nowhere", "lsn": "0/1"},
        {"type": "pick", "database": "main", "lsn": "<b>"},
        {"type": "unknown"},
        ["pick"],
    ):
        graph._handle_custom_msg(message, [])
    assert graph.drawing == shown
    assert page.form.point.value == ""


def test_older_marks_are_drawn_when_they_are_asked_for(shop, monkeypatch):
    monkeypatch.setattr("absdb.panels.branches_page.MARKS", 2)
    page = branches(shop)
    assert (page.graph.drawing["total"], page.graph.drawing["more"]) == (2, True)
    say(page.graph, type="older")
    settled(page)
    assert (page.graph.drawing["total"], page.graph.drawing["more"]) == (4, False)
    page.close()


def test_pages_turn_to_what_another_one_selected(shop):
    bench = workbench(shop)
    page = bench["Branches"]
    told: list[str] = []
    bench["Instance"].turn_to = told.append
    assert bench.hub.work.wait(5)
    say(page.graph, type="pick", database="staging")
    assert told == ["staging"]
    assert page.form.point.value == ""
    bench.hub.select("main")
    assert page.graph.selected["database"] == "main"
    bench.close()


def test_a_read_only_instance_is_shown_and_says_why_nothing_can_be_changed(tmp_path):
    with absdb.connect(tmp_path / "shop") as shop:
        shop["main"].branch("staging")
    with absdb.connect(tmp_path / "shop", read_only=True) as shop:
        page = branches(shop)
        settled(page)
        select(page, "staging")
        for control in (
            page.form.create_button,
            page.protect_button,
            page.keep_button,
            page.rename_button,
            page.drop_button,
        ):
            assert control.disabled
        assert "Nothing can be changed here. This instance was opened read-only." in page.form.why_not.value
        page.close()


def test_names_are_escaped_where_they_become_html(shop):
    shop["main"].branch("<img src=x onerror=alert(1)>")
    page = branches(shop)
    settled(page)
    select(page, "<img src=x onerror=alert(1)>")
    assert "<img" not in page.of.value
    assert "<img" not in page.summary()
    assert "&lt;img" in page.summary()
    page.close()


def test_fifty_branches_are_counted_after_they_are_shown(shop):
    for number in range(50):
        shop["main"].branch(f"b{number}")["orders"].delete(number + 1)
    page = branches(shop)
    settled(page)
    page.list.page(0)
    settled(page)
    rows = listed(page)
    assert len(rows) == 50
    assert rows["b7"]["rows changed"] == "\N{MINUS SIGN}1"
    assert not any(row["rows changed"] == "…" for row in rows.values())
    assert len(page._counts) == 51
    page.close()


def test_a_branch_keeps_its_colour():
    assert branch_colour("staging") == branch_colour("staging")
    colours = {branch_colour(f"b{number}") for number in range(60)}
    assert len(colours) == 6
    assert branch_colour("main") not in colours


def test_the_list_is_sorted_by_what_its_texts_mean(page, shop):
    shop["main"].branch("late", comment="for the audit", retain="7 days")
    page.refresh()
    settled(page)
    for column, first in (
        ("age", "late"),
        ("expires", "late"),
        ("comment", "main"),
        ("last commit", "staging"),
    ):
        page.list.order_by(column)
        settled(page)
        assert page.list.rows[0]["cells"][0] == first
    assert listed(page)["late"]["comment"] == "for the audit"


def test_a_refresh_keeps_the_order_of_the_list(page, shop):
    page.list.order_by("name", descending=True)
    settled(page)
    shop["main"].branch("a")
    page.refresh()
    settled(page)
    assert [row["cells"][0] for row in page.list.rows] == ["staging", "main", "a"]
    select(page, "staging")
    assert page.list.selected == 0
    assert page.form.source.value == "staging"
