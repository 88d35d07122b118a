"""Notebook 01 in JupyterLab: it runs to its end, and the page shows what the stored copy shows."""

from __future__ import annotations

import configparser
import html
import re

import nbformat
import pytest
from playwright.sync_api import expect

from absdb.testing import sanitizer
from tests.browser.server import ROOT

STORED = ROOT / "notebooks" / "01_branch_a_production_snapshot.ipynb"
THEMES = ("light", "dark")
PANEL = "application/vnd.jupyter.widget-view+json"


def comparable(text: str) -> str:
    """A text without white space and without what may differ between two runs."""
    rules = configparser.ConfigParser()
    rules.read(sanitizer.path())
    for name in rules.sections():
        text = re.sub(rules[name]["regex"], rules[name]["replace"], text)
    return "".join(text.split())


def outputs(cell: dict) -> list[dict]:
    """What a cell shows; a text shows nothing beside itself."""
    return cell.get("outputs", [])


def shown(output: dict) -> str:
    """The text that a stored output has to show: that of its HTML, or else its plain one."""
    data = output.get("data", {"text/plain": output.get("text")})
    if "text/html" in data:
        without_style = re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.DOTALL)
        return html.unescape(re.sub(r"<[^>]*>", " ", without_style))
    return data["text/plain"]


@pytest.fixture
def notebook(lab):
    """Notebook 01, its outputs made in this page."""
    notebook = lab.open("01")
    notebook.clear()
    notebook.run_all()
    return notebook


def test_every_output_is_on_the_page(lab, notebook):
    cells = nbformat.read(STORED, as_version=4).cells
    panels = [
        at for at, cell in enumerate(cells) if any(PANEL in one.get("data", {}) for one in outputs(cell))
    ]
    for index in panels:  # in the place of the summary that is stored for reading without a kernel
        expect(notebook.output(index).locator(".absdb-page")).to_be_visible()
    plain = [at for at in range(len(cells)) if at not in panels]
    expected = ["".join(map(shown, outputs(cells[at]))) for at in plain]
    seen = [notebook.shown(at) for at in plain]
    assert list(map(comparable, seen)) == list(map(comparable, expected))
    assert sum(map(bool, expected)) > 20


def test_database_is_drawn_in_both_themes(lab, notebook):
    (index,) = [i for i, cell in enumerate(notebook.cells()) if cell["source"] == "main"]
    drawn = notebook.output(index).locator(".absdb-repr")
    expect(drawn).to_contain_text("main @")
    expect(drawn.get_by_role("row")).to_have_count(1 + 5)
    colours = set()
    for theme in THEMES:
        lab.theme(theme)
        drawn.scroll_into_view_if_needed()
        lab.screenshot(f"first_notebook_{theme}")
        colours.add(drawn.locator("b").first.evaluate("name => getComputedStyle(name).color"))
    assert len(colours) == len(THEMES), "the text keeps its colour, whatever the theme"


def test_kernel_holds_what_the_page_shows(lab):
    notebook = lab.open("01")
    notebook.clear()
    notebook.run_cell(2)
    assert notebook.shown(2).strip() == "['main']"
    assert notebook.ask("list(nyc)") == "['main']"
    notebook.ask("nyc.close(); directory.cleanup()")
