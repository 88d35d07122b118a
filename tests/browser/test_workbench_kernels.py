"""The workbench and its kernel: one that is busy, one that restarts, and two of them on one instance."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.workbench import Workbench

ROWS = 200_000
LOAD = f"""
import absdb
import pandas as pd

shop = absdb.connect("PATH", author="ann")
main = shop["main"]
if "orders" not in main:
    main.create_table("orders", pd.DataFrame({{"id": range({ROWS}), "status": "open"}}), key="id", message="load")
    main.sql("UPDATE orders SET status = 'paid'")
"""
SHOW = "panel = absdb.workbench('PATH')\npanel"
BUSY = """
import pathlib
import time

go = pathlib.Path("go_PATH")
number = 0
while not go.exists():
    number += 1
    main["orders"].insert({"id": 1_000_000 + number, "status": "busy"}, message=f"busy {number}")
    time.sleep(0.05)
"""
STATES = "sorted(set(shop['main'].sql('SELECT status, count(*) FROM orders GROUP BY 1').fetchall()))"


@pytest.fixture
def path(request):
    """The path of an instance, beside the notebooks."""
    return request.node.name.removeprefix("test_")


def made(lab, path, *cells):
    return lab.make(*(cell.replace("PATH", path) for cell in cells))


def test_page_follows_a_cell_that_is_running_and_answers_after_it(lab, path):
    notebook = made(lab, path, LOAD, "panel = absdb.workbench(shop)\npanel", BUSY)
    notebook.run_cell(0)
    notebook.run_cell(1)
    bench = Workbench(notebook, 1)
    bench.turn("Time travel")
    expect(bench.slider).to_have_attribute("max", "1")
    notebook.start_cell(2)
    expect(bench.slider).to_have_attribute("aria-valuetext", re.compile("^busy [0-9]+, "))
    seen = bench.slider.get_attribute("aria-valuetext")
    expect(bench.slider).not_to_have_attribute("aria-valuetext", seen)
    bench.button("Earlier").click()
    (lab.server.notebooks / f"go_{path}").touch()
    notebook.wait_idle()
    number = int(notebook.ask("number"))
    expect(bench.slider).to_have_attribute("max", str(number + 1))
    title = notebook.ask("panel['Time travel'].point.title").strip("'")
    assert title != f"busy {number}", "the button that was pressed meanwhile has no effect"
    expect(bench.slider).to_have_attribute("aria-valuetext", re.compile(f"^{title}, "))
    notebook.ask("panel.close(); shop.close()")


def test_second_kernel_is_read_only_says_so_and_follows(lab, path):
    first = made(lab, path, LOAD)
    first.run_all()
    second = made(lab, path, "import absdb\n" + SHOW)
    second.run_all()
    bench = Workbench(second, 0)
    holder = first.ask("import os; os.getpid()")
    expect(bench.shown.get_by_role("status").filter(has_text="Read-only")).to_contain_text(holder)
    for title, buttons in {
        "Branches": ["Make branch", "Protect", "Drop…"],
        "Time travel": ["Preview a restore", "Branch"],
        "Merge": ["Merge"],
        "Instance": ["Checkpoint"],
    }.items():
        bench.turn(title)
        for text in buttons:
            expect(bench.button(text)).to_be_disabled()
    bench.turn("Query")
    bench.field("SQL").fill("DELETE FROM orders")
    bench.press("Run", says="open for reading only")
    bench.turn("Time travel")
    first.ask("main['orders'].update({'id': 1, 'status': 'late'}, message='from the first kernel')")
    expect(bench.slider).to_have_attribute("aria-valuetext", re.compile("from the first kernel"))
    expect(bench.row("rows then", 1)).to_have_text(["1", "late"])
    assert second.ask("panel.instance.read_only") == "True"
    assert first.ask("main['orders'].get(1)['status']") == "'late'"
    second.ask("panel.close()")
    first.ask("shop.close()")


def test_restart_in_the_middle_of_a_restore_loses_nothing_acknowledged(lab, path):
    notebook = made(lab, path, LOAD, "panel = absdb.workbench(shop)\npanel")
    notebook.run_all()
    bench = Workbench(notebook, 1)
    bench.turn("Time travel")
    bench.field("Branch from here").fill("kept")
    bench.press("Branch", says="kept starts at")
    bench.slider.press("Home")
    expect(bench.row("what changed since", 0)).to_have_text(["orders", "modified", str(ROWS)])
    bench.press("Preview a restore", says=f"orders: modified, {ROWS:,} rows")
    bench.button("Restore").click()
    notebook.restart()
    notebook.run_all()
    bench.turn("Time travel")
    assert notebook.ask("sorted(shop)") == "['kept', 'main']"
    assert notebook.ask(STATES) in (f"[('open', {ROWS})]", f"[('paid', {ROWS})]")
    assert notebook.ask("shop['kept'].sql('SELECT DISTINCT status FROM orders').fetchall()") == "[('paid',)]"
    assert notebook.ask("len(shop.check())") == "0"
    expect(bench.list("Database").locator("option")).to_have_text(["main", "kept"])
    bench.slider.press("Home")
    expect(bench.rows("rows then").first.get_by_role("gridcell")).to_have_text(["0", "open"])
    notebook.ask("panel.close(); shop.close()")
