"""Names, messages and data of every kind in the workbench: they are shown as they are, and none of it is run."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.workbench import Workbench

EVIL = "<img src=x onerror='ran=1'>"
BRANCH, TABLE, COLUMN = "früher als später 航班", "заказы и счета", "größe (m²)"
TABLES = 200
LOAD = f"""
import absdb

evil, branch, table, column = {EVIL!r}, {BRANCH!r}, {TABLE!r}, {COLUMN!r}
shop = absdb.connect(":memory:", author=evil)
main = shop["main"]
main.create_table(table, {{"id": [1, 2], column: ["klein", evil]}}, key="id", message="erste Größen")
main.create_table(evil, {{"id": [1], evil: [evil]}}, key="id", message=evil)
other = main.branch(branch)
bad = main.branch(evil)
other[table].update({{"id": 1, column: "größer 大"}}, message="auf dem Zweig")
bad[evil].update({{"id": 1, evil: evil + "!"}}, message=evil)
main[evil].update({{"id": 1, evil: evil + "?"}}, message=evil)
"""
SHOW = "panel = absdb.workbench(shop)\npanel"
MANY = f"""
import absdb

shop = absdb.connect(":memory:")
with shop["main"].transaction() as change:
    for number in range({TABLES}):
        change.create_table(f"table {{number:03}}", {{"id": [number]}}, key="id")
panel = absdb.workbench(shop)
panel
"""


@pytest.fixture(scope="module")
def notebook(loaded):
    """An instance of strange names and a workbench on it; the tests of this module share it."""
    notebook = loaded.make(LOAD, SHOW)
    notebook.run_all()
    yield notebook
    notebook.ask("panel.close(); shop.close()")
    loaded.close_all()


def test_names_with_spaces_and_letters_of_any_language_work_everywhere(bench, notebook):
    bench.turn("Branches")
    bench.field("Name").fill(BRANCH + " neu")
    bench.list("from").select_option(BRANCH)
    bench.press("Make branch", says=f"{BRANCH} neu was made from {BRANCH}")
    assert notebook.ask(f"main.name, sorted(shop['{BRANCH} neu']) == sorted(other)") == "('main', True)"
    bench.turn("Time travel")
    bench.list("Database").select_option(BRANCH)
    expect(bench.slider).to_have_attribute("aria-valuetext", re.compile("auf dem Zweig"))
    bench.list("Rows of").select_option(TABLE)
    expect(bench.row("rows then", 0)).to_have_text(["1", "größer 大"])
    bench.slider.press("Home")
    expect(bench.row("rows then", 0)).to_have_text(["1", "klein"])
    bench.turn("Diff")
    bench.list("What").select_option(BRANCH)
    bench.list("has that").select_option("main")
    bench.list("Rows of").select_option(TABLE)
    expect(bench.grid("rows that differ")).to_contain_text(COLUMN)
    expect(bench.rows("rows that differ")).to_contain_text("größer 大")
    bench.turn("Query")
    bench.list("Database").select_option(BRANCH)
    bench.field("SQL").fill(f'SELECT "{COLUMN}" FROM "{TABLE}" WHERE id = 1')
    bench.button("Run").click()
    expect(bench.row("result", 0)).to_have_text(["größer 大"])
    bench.turn("Merge")
    bench.list("Merge").select_option(BRANCH)
    expect(bench.row("what would come in", 0)).to_have_text([TABLE, "modified", "1"])
    bench.press("Merge", says=f"{BRANCH} is merged into main")
    assert notebook.ask("main[table].get(1)[column]") == "'größer 大'"
    bench.press("Undo", says="is taken back")
    assert notebook.ask("main[table].get(1)[column]") == "'klein'"


def test_html_is_shown_and_never_run(bench, notebook):
    bench.turn("Branches")
    expect(bench.rows("databases and branches").filter(has_text=EVIL)).to_contain_text("main @ ")
    mark = bench.shown.get_by_role("button", name=f"{EVIL}, ~1 rows in {EVIL}, main")
    mark.focus()
    expect(bench.shown.get_by_role("tooltip")).to_contain_text(EVIL)
    bench.turn("Time travel")
    bench.list("Database").select_option(EVIL)
    bench.list("Rows of").select_option(EVIL)
    expect(bench.row("rows then", 0)).to_have_text(["1", EVIL + "!"])
    expect(bench.shown.get_by_role("status").filter(has_text="<img src=x")).to_contain_text(EVIL)
    bench.slider.press("Home")
    bench.press("Preview a restore", says=EVIL)
    bench.button("Leave it").click()
    bench.turn("Diff")
    bench.list("What").select_option(EVIL)
    bench.list("has that").select_option("main")
    expect(bench.row("rows that differ", 0).last).to_contain_text(EVIL)
    bench.button("Profile both sides").click()
    expect(bench.shown.get_by_text("hatched is from")).to_contain_text(EVIL)
    bench.turn("Merge")
    bench.list("Merge").select_option(EVIL)
    expect(bench.row("conflicts", 0).nth(5)).to_have_text(EVIL + "?")
    bench.row("conflicts", 0).nth(0).click()
    bench.button("Take theirs").click()
    bench.press("Merge", says=f"{EVIL} is merged into main")
    bench.turn("Query")
    bench.list("Database").select_option("main")
    bench.field("SQL").fill(f'SELECT "{EVIL}", 1 AS one FROM "{EVIL}", range(2)')
    bench.button("Run").click()
    expect(bench.row("result", 0)).to_have_text([EVIL + "!", "1"])
    expect(bench.shown.get_by_role("img")).to_contain_text(EVIL[:10])
    bench.field("SQL").fill(f"SELECT {EVIL}")
    bench.press("Run", says="img")
    bench.turn("Instance")
    expect(bench.shown).to_contain_text("databases")
    assert bench.page.evaluate("window.ran") is None
    assert bench.page.locator("img[src=x]").count() == 0
    assert "<img" not in notebook.ask("panel._repr_mimebundle_()['text/html']")
    assert notebook.ask("main[evil].get(1)[evil] == evil + '!'") == "True"


def test_two_hundred_tables_are_listed_and_found(watched):
    notebook = watched.make(MANY)
    notebook.run_all()
    bench = Workbench(notebook, 0)
    bench.turn("Time travel")
    expect(bench.list("Rows of").locator("option")).to_have_count(TABLES)
    expect(bench.row("tables then and now", 0)).to_have_text(["table 000", "1", "1"])
    bench.grid("tables then and now").locator("xpath=../..").get_by_role("button", name="last").click()
    bench.rows("tables then and now").filter(has_text="table 199").get_by_role("gridcell").first.click()
    expect(bench.list("Rows of")).to_have_value("table 199")
    expect(bench.row("rows then", 0)).to_have_text(["199"])
    assert notebook.ask("len(list(shop['main']))") == str(TABLES)
    notebook.ask("panel.close(); shop.close()")
