"""A merge in the workbench: conflicts decided with buttons and keys, merged, and taken back."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

SHOP = """
import pandas as pd

import absdb

shop = absdb.connect(":memory:", author="ann")
main = shop["main"]
orders = pd.DataFrame({"id": range(1, 101), "status": "open", "total": 9.5})
main.create_table("orders", orders, key="id", message="load")
"""
SHOW = "panel = absdb.workbench(shop)\npanel"
BOTH_SIDES = """
fix = main.branch({name!r})
fix["orders"].update([{{"id": 1, "status": "late"}}, {{"id": 2, "status": "late"}}, {{"id": 3, "status": "late"}}])
main["orders"].update([{{"id": 1, "status": "paid"}}, {{"id": 2, "status": "paid"}}])
"""
STATUS = "[main['orders'].get(number)['status'] for number in (1, 2, 3)]"


@pytest.fixture(scope="module")
def notebook(loaded):
    """A small shop and a workbench on it; the tests of this module share it."""
    notebook = loaded.make(SHOP, SHOW)
    notebook.run_all()
    yield notebook
    notebook.ask("panel.close(); shop.close()")
    loaded.close_all()


def conflicting(notebook, bench, name):
    """A branch that conflicts with main in two cells, chosen on the Merge page."""
    notebook.ask("main['orders'].update([{'id': 1, 'status': 'open'}, {'id': 2, 'status': 'open'}])")
    notebook.ask(BOTH_SIDES.format(name=name))
    bench.turn("Merge")
    expect(bench.list("Merge").locator("option", has_text=name)).to_have_count(1)
    bench.list("Merge").select_option(name)
    expect(bench.rows("conflicts")).to_have_count(2)


def test_branch_that_is_the_first_one_is_offered_to_be_merged(bench, notebook):
    bench.turn("Merge")
    expect(bench.shown).to_contain_text("make a branch first")
    expect(bench.button("Merge")).to_be_disabled()
    notebook.ask("main.branch('first')['orders'].delete([100])")
    expect(bench.list("Merge")).to_have_value("first")
    expect(bench.row("what would come in", 0)).to_have_text(["orders", "removed", "1"])
    expect(bench.button("Merge")).to_be_enabled()


def test_conflicts_are_decided_with_buttons_merged_and_undone(bench, notebook):
    conflicting(notebook, bench, "by hand")
    expect(bench.button("Merge")).to_be_disabled()
    bench.row("conflicts", 0).nth(2).click()
    bench.button("Take theirs").click()
    expect(bench.row("conflicts", 0).nth(7)).to_have_text("theirs")
    bench.row("conflicts", 1).nth(2).click()
    bench.button("Take ours").click()
    expect(bench.row("conflicts", 1).nth(7)).to_have_text("ours")
    expect(bench.button("Merge")).to_be_enabled()
    assert notebook.ask(STATUS) == "['paid', 'paid', 'open']", "nothing is written before Merge is pressed"
    bench.field("Message").fill("late orders")
    bench.press("Merge", says="by hand is merged into main")
    assert notebook.ask(STATUS) == "['late', 'paid', 'late']"
    assert notebook.ask("main.log(limit=1).message[0]") == "'late orders'"
    bench.press("Undo", says="is taken back")
    assert notebook.ask(STATUS) == "['paid', 'paid', 'open']"


def test_value_is_typed_for_a_conflict_with_the_keys_alone(bench, notebook):
    conflicting(notebook, bench, "typed")
    keys = bench.page.keyboard
    bench.list("Decide").focus()
    bench.list("Decide").select_option("all")
    for _ in range(2):
        keys.press("Tab")
    expect(bench.button("Take theirs")).to_be_focused()
    keys.press("Enter")
    expect(bench.row("conflicts", 1).nth(7)).to_have_text("theirs")
    bench.list("Decide").select_option("this conflict")
    bench.row("conflicts", 0).nth(0).focus()
    keys.press("End")
    expect(bench.row("conflicts", 0).last).to_be_focused()
    keys.press("Enter")
    keys.type("next week")
    keys.press("Escape")
    expect(bench.row("conflicts", 0).last).to_have_text("")
    keys.press("Enter")
    expect(bench.field("value, row 1")).to_be_focused()
    keys.type("next ")
    notebook.ask("main['orders'].delete([90]); panel['Merge'].refresh(); panel.hub.work.wait(10)")
    keys.type("week")
    keys.press("Enter")
    expect(bench.row("conflicts", 0).last).to_have_text("next week")
    expect(bench.row("conflicts", 0).last).to_be_focused()
    bench.button("Merge").press("Enter")
    expect(bench.message).to_contain_text("typed is merged into main")
    assert notebook.ask(STATUS) == "['next week', 'late', 'late']"


def test_value_typed_for_a_row_that_changes_meanwhile_is_not_kept_and_that_is_said(bench, notebook):
    conflicting(notebook, bench, "moving")
    bench.row("conflicts", 0).last.dblclick()
    bench.field("value, row 1").fill("for another row")
    notebook.ask("main['orders'].update({'id': 1, 'status': 'sent'}); shop['moving']['orders'].delete([95])")
    expect(bench.rows("what would come in").filter(has_text="removed")).to_have_count(1)
    bench.field("value, row 1").press("Enter")
    expect(bench.shown.get_by_role("alert")).to_contain_text("for another row was not kept")
    expect(bench.row("conflicts", 0).nth(5)).to_have_text("sent")
    assert notebook.ask("panel['Merge'].merging.undecided") == "2"


def test_value_that_the_column_cannot_hold_is_refused_with_a_message(bench, notebook):
    notebook.ask("other = main.branch('totals'); other['orders'].update({'id': 50, 'total': 1.0})")
    notebook.ask("main['orders'].update({'id': 50, 'total': 2.0})")
    bench.turn("Merge")
    expect(bench.list("Merge").locator("option", has_text="totals")).to_have_count(1)
    bench.list("Merge").select_option("totals")
    expect(bench.rows("conflicts")).to_have_count(1)
    bench.row("conflicts", 0).last.dblclick()
    bench.field("value, row 1").fill("many")
    bench.field("value, row 1").press("Enter")
    expect(bench.message.get_by_role("alert")).to_contain_text("'many' is no value of column 'total'")
    expect(bench.button("Merge")).to_be_disabled()
    assert notebook.errors() == []


def test_branch_dropped_under_the_page_is_gone_from_it(bench, notebook):
    conflicting(notebook, bench, "short-lived")
    notebook.ask("shop['short-lived'].drop()")
    expect(bench.list("Merge").locator("option", has_text="short-lived")).to_have_count(0)
    for title in ("Time travel", "Diff", "Query", "Instance"):
        bench.turn(title)
        expect(bench.shown.get_by_role("alert")).to_have_count(0)
    assert "short-lived" not in notebook.ask("list(shop)")
