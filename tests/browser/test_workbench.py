"""The workbench on the flights of 2013: what it shows, and what the engine holds after each thing that is done."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.reading import faint, nameless

FLIGHTS = """
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

import absdb

directory = tempfile.TemporaryDirectory()
nyc = absdb.connect(Path(directory.name) / "nyc", author="ada")
main = nyc["main"]
keys = {"airlines": "carrier", "airports": "faa", "flights": ["time_hour", "carrier", "flight"]}
for name, key in keys.items():
    main.create_table(name, pq.read_table(f"../data/{name}.parquet"), key=key, message=f"load {name}")
main["airlines"].update({"carrier": "EV", "name": "ExpressJet"}, message="a shorter name")
"""
SHOW = "panel = absdb.workbench(nyc)\npanel"
CHANGE = "main['airlines'].update({'carrier': 'HA', 'name': 'Hawaiian'}, message='in another cell')"
NAME_OF_EV = "main['airlines'].get('EV')['name']"
MILLION = "SELECT i AS number, 'row ' || i AS text FROM range(1000000) t(i)"
FOCUSED = """() => {
    const one = document.activeElement;
    return one.closest('.absdb-page') && (one.ariaLabel || one.labels?.[0]?.textContent || one.textContent);
}"""
PAGES = {
    "Branches": "Make branch",
    "Time travel": "Branch",
    "Diff": "Swap",
    "Merge": "Try again",
    "Query": "Run",
    "Backups": "Look again",
    "Instance": "Check",
}
"""Each page, and a button that it has."""
PAGE_ROWS, SENT_BYTES_MAX = 25, 100_000


@pytest.fixture(scope="module")
def traffic(loaded):
    """A function that says how many bytes the page has got through sockets so far."""
    sizes: list[int] = []
    loaded.page.on("websocket", lambda one: one.on("framereceived", lambda frame: sizes.append(len(frame))))
    return lambda: sum(sizes)


@pytest.fixture(scope="module")
def notebook(loaded, traffic):
    """The flights in an instance, and a workbench on it; the tests of this module share it."""
    notebook = loaded.make(FLIGHTS, SHOW, CHANGE)
    notebook.run_cell(0)
    notebook.run_cell(1)
    yield notebook
    notebook.ask("panel.close(); nyc.close(); directory.cleanup()")
    loaded.close_all()


def test_branch_is_made_in_the_panel_and_taken_back(bench, notebook):
    bench.turn("Branches")
    bench.field("Name").fill("staging")
    bench.press("Make branch", says="staging was made from main")
    expect(bench.rows("databases and branches").filter(has_text="staging")).to_contain_text("main @ ")
    assert notebook.ask("sorted(nyc)") == "['main', 'staging']"
    bench.press("Undo", says="staging was dropped")
    expect(bench.rows("databases and branches").filter(has_text="staging")).to_have_count(0)
    assert notebook.ask("sorted(nyc)") == "['main']"


def test_branch_starts_at_a_mark_that_is_picked_and_is_dropped_after_a_question(bench, notebook):
    bench.turn("Branches")
    mark = bench.shown.get_by_role("button", name=re.compile("load airports"))
    mark.focus()
    bench.page.keyboard.press("Enter")
    lsn = notebook.ask("str(main.log().lsn.iloc[-2])").strip("'")
    expect(bench.field("as of")).to_have_value(lsn)
    bench.field("Name").fill("early")
    bench.press("Make branch", says="early was made from main")
    assert notebook.ask("sorted(nyc['early'])") == "['airlines', 'airports']"
    bench.rows("databases and branches").filter(has_text="early").get_by_role("gridcell").first.click()
    notebook.ask("nyc['early']['airlines'].delete(['AA'])")
    expect(bench.rows("databases and branches").filter(has_text="early")).to_contain_text("\u22121")
    bench.press("Drop…", says="early")
    assert "early" in notebook.ask("sorted(nyc)")
    bench.press("Drop early", says="early was dropped")
    assert notebook.ask("sorted(nyc)") == "['main']"


def test_slider_goes_back_and_the_page_shows_what_was(bench, notebook):
    bench.turn("Time travel")
    expect(bench.slider).to_have_attribute("aria-valuetext", re.compile("a shorter name, commit 4 of 4"))
    bench.slider.press("ArrowLeft")
    expect(bench.slider).to_have_attribute("aria-valuetext", re.compile("load flights, commit 3 of 4"))
    expect(bench.row("tables then and now", 2)).to_have_text(["flights", "336776", "336776"])
    expect(bench.row("what changed since", 0)).to_have_text(["airlines", "modified", "1"])
    expect(bench.rows("rows then").filter(has_text="EV")).to_contain_text("ExpressJet Airlines Inc.")
    assert notebook.ask("panel['Time travel'].point.title") == "'load flights'"
    bench.slider.press("End")
    expect(bench.rows("rows then").filter(has_text="EV").get_by_role("gridcell")).to_have_text(
        ["EV", "ExpressJet"]
    )


def test_restore_is_previewed_asked_for_done_and_undone(bench, notebook):
    bench.turn("Time travel")
    bench.slider.press("Home")
    for _ in range(2):
        bench.button("Later").click()
    expect(bench.slider).to_have_attribute("aria-valuetext", re.compile("load flights"))
    bench.press("Preview a restore", says="airlines: modified, 1 rows")
    bench.button("Leave it").click()
    expect(bench.message).to_have_count(0)
    assert notebook.ask(NAME_OF_EV) == "'ExpressJet'"
    bench.press("Preview a restore", says="airlines: modified, 1 rows")
    bench.press("Restore", says="main is as it was at")
    assert notebook.ask(NAME_OF_EV) == "'ExpressJet Airlines Inc.'"
    expect(bench.rows("rows then").filter(has_text="EV")).to_contain_text("ExpressJet Airlines Inc.")
    bench.press("Undo", says="as it was before")
    assert notebook.ask(NAME_OF_EV) == "'ExpressJet'"
    assert notebook.ask("list(main.log(limit=2).kind)") == "['restore', 'restore']"


def test_branch_starts_at_the_point_that_is_looked_at(bench, notebook):
    bench.turn("Time travel")
    bench.slider.press("Home")
    expect(bench.rows("tables then and now").filter(has_text="flights").get_by_role("gridcell")).to_have_text(
        ["flights", "NULL", "336776"]
    )
    bench.field("Branch from here").fill("first things")
    bench.press("Branch", says="first things starts at")
    assert notebook.ask("list(nyc['first things'])") == "['airlines']"
    bench.button("Go to it").click()
    expect(bench.list("Database")).to_have_value("first things")


def test_page_follows_what_another_cell_commits(bench, notebook):
    bench.turn("Time travel")
    bench.list("Database").select_option("main")
    bench.slider.press("End")
    notebook.run_cell(2)
    expect(bench.slider).to_have_attribute("aria-valuetext", re.compile("in another cell"))
    expect(bench.rows("rows then").filter(has_text="HA").get_by_role("gridcell")).to_have_text(
        ["HA", "Hawaiian"]
    )


def test_million_rows_are_paged_through_and_not_sent(bench, notebook, traffic):
    bench.turn("Query")
    bench.field("SQL").fill(MILLION)
    before = traffic()
    bench.field("SQL").press("Control+Enter")
    expect(bench.shown.get_by_role("status").filter(has_text="1,000,000 rows")).to_contain_text(" ms")
    expect(bench.rows("result")).to_have_count(PAGE_ROWS)
    bench.button("last").click()
    expect(bench.row("result", PAGE_ROWS - 1)).to_have_text(["999999", "row 999999"])
    bench.field("go to row").fill("500,000")
    bench.field("go to row").press("Enter")
    expect(bench.rows("result").nth(PAGE_ROWS - 1).locator("td:focus")).to_have_count(1)
    assert traffic() - before < SENT_BYTES_MAX
    assert notebook.ask("panel['Query'].answer.table.num_rows") == "1000000"


def test_what_is_asked_wrongly_is_answered_with_a_message(bench, notebook):
    bench.turn("Query")
    lsn = notebook.ask("nyc.lsn")
    for text, point, says in (
        ("SELECT nothing FROM airlines", "", "nothing"),
        ("SELECT 1", "yesterday at tea time", "yesterday at tea time"),
        ("SELECT FROM WHERE", "", "syntax"),
    ):
        bench.field("as of").fill(point)
        bench.field("SQL").fill(text)
        bench.press("Run", says=says)
        expect(bench.message.get_by_role("alert")).not_to_contain_text("Traceback")
    bench.field("as of").fill("")
    assert notebook.errors() == []
    assert notebook.ask("nyc.lsn") == lsn


def test_keys_lead_to_the_grid_through_it_and_out_again(bench, notebook):
    keys = bench.page.keyboard
    bench.turn("Query")
    bench.field("SQL").fill(MILLION)
    bench.button("Run").click()
    expect(bench.row("result", 0)).to_have_text(["0", "row 0"])
    bench.row("result", 0).nth(0).click()
    keys.press("Shift+Tab")
    expect(bench.grid("result").get_by_role("button", name="text")).to_be_focused()
    keys.press("Tab")
    expect(bench.row("result", 0).nth(0)).to_be_focused()
    for key in ("ArrowDown", "ArrowRight"):
        keys.press(key)
    expect(bench.row("result", 1).nth(1)).to_be_focused()
    keys.press("PageDown")
    expect(bench.row("result", 1)).to_have_text([str(PAGE_ROWS + 1), f"row {PAGE_ROWS + 1}"])
    expect(bench.row("result", 1).nth(1)).to_be_focused()
    keys.press("Enter")
    expect(bench.grid("result").locator("tr.absdb-selected")).to_contain_text(f"row {PAGE_ROWS + 1}")
    keys.type("xdd")
    expect(notebook.panel.locator(".jp-Notebook-cell")).to_have_count(3)
    keys.press("Tab")
    expect(bench.button("first")).to_be_focused()
    keys.press("Enter")
    expect(bench.row("result", 1)).to_have_text(["1", "row 1"])
    expect(bench.row("result", 1).nth(1)).to_be_focused()
    keys.press("Tab")
    expect(bench.button("next")).to_be_focused()
    for page in (1, 2):
        keys.press("Enter")
        expect(bench.row("result", 0)).to_have_text([str(page * PAGE_ROWS), f"row {page * PAGE_ROWS}"])
    expect(bench.button("next")).to_be_focused()
    assert notebook.ask(f"panel['Query'].rows.selected == {PAGE_ROWS + 1}") == "True"


def test_every_control_has_a_name_and_every_text_can_be_read(bench, notebook, watched):
    bench.turn("Query")
    bench.field("SQL").fill("SELECT name, NULL AS nothing FROM airlines")
    bench.button("Run").click()
    expect(bench.rows("result")).to_have_count(16)
    notebook.ask("lively = main.branch('lively'); lively['airlines'].delete(['AA'])")
    notebook.ask("lively['airlines'].update({'carrier': 'B6', 'name': 'Jet Blue'})")
    bench.turn("Diff")
    bench.list("What").select_option("lively")
    expect(bench.rows("rows that differ")).to_have_count(2)
    for theme in ("light", "dark"):
        watched.theme(theme)
        for title, button in PAGES.items():
            bench.turn(title)
            expect(bench.button(button)).to_be_visible()
            watched.screenshot(f"workbench_{title.replace(' ', '_').lower()}_{theme}")
            panel = bench.shown.locator(".absdb-page").first
            assert nameless(panel) == []
            assert faint(panel) == []


def test_tab_leads_through_a_page_in_the_order_of_reading(bench, notebook):
    bench.turn("Time travel")
    bench.list("Database").focus()
    seen = []
    while (name := bench.page.evaluate(FOCUSED)) is not None and len(seen) < 40:
        seen.append(name)
        bench.page.keyboard.press("Tab")
    wanted = ["Database", "Commit", "Earlier", "Later", "Rows of", "or of a query", "Restore only"]
    wanted += ["Preview a restore", "Branch from here", "Branch"]
    assert [name for name in seen if name in wanted] == wanted
    assert seen[-1] == "Branch", "the last one leads out of the panel"
