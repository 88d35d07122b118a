"""Notebook 05 in JupyterLab: after it has run, its panels are there to be used."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.workbench import Workbench


def test_workbench_of_the_tour_works_once_the_notebook_has_run(lab):
    notebook = lab.open("05")
    notebook.clear()
    notebook.run_all()
    (cell,) = [at for at, one in enumerate(notebook.cells()) if "absdb.workbench(nyc)" in one["source"][:40]]
    bench = Workbench(notebook, cell)
    before = notebook.ask("sorted(nyc)")
    bench.field("Name").fill("from the tour")
    bench.press("Make branch", says="from the tour was made from main")
    assert "'from the tour'" in notebook.ask("sorted(nyc)")
    bench.press("Undo", says="from the tour was dropped")
    assert notebook.ask("sorted(nyc)") == before
    for title in ("Time travel", "Diff", "Merge", "Query", "Instance"):
        bench.turn(title)
        expect(bench.shown.get_by_role("tab", name=title)).to_have_attribute("aria-selected", "true")
        expect(bench.shown.get_by_role("alert")).to_have_count(0)
