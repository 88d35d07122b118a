"""Makes the pictures of the README: `python -m tests.browser.screenshots` (or `make screenshots`).

Each picture is a stretch of cells of a notebook, as JupyterLab shows them when the notebook has run so far.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Page, expect

from tests.browser.chromium import lab_in_chromium
from tests.browser.notebook import Notebook
from tests.browser.palette import with_palette
from tests.browser.presence import what_is_missing
from tests.browser.server import ROOT, JupyterServer

IMAGES = ROOT / "notebooks" / "images"
WIDTH, HEIGHT = 1000, 1800
MARGIN = 12
SETTLED_MS = 2_000
"""By then a panel has shown what it reads beside the kernel."""


class Picture(NamedTuple):
    """A file, the number of a notebook, the heading it begins with, and the source of the last cell in it."""

    file: str
    notebook: str
    heading: str
    last: str


PICTURES = (
    Picture("session.png", "01", "Change thousands of rows", "staging.diff(main).schema()"),
    Picture("workbench.png", "05", "The workbench", "bench = absdb.workbench(nyc)\nbench"),
    Picture("diff.png", "05", "Diff", "compared = absdb.panels.diff(nyc)\ncompared"),
    Picture("merge.png", "05", "Merge", "merging = absdb.panels.merge(nyc)\nmerging"),
    Picture("backups.png", "08", "The same with the mouse", "page = absdb.panels.backups(shop)\npage"),
)


def run_to(notebook: Notebook, picture: Picture) -> int:
    """Run the cells up to the last one of the picture, and say which that is; a panel in it has shown its content."""
    notebook.clear()
    cells = notebook.cells()
    (last,) = [number for number, cell in enumerate(cells) if cell["source"] == picture.last]
    for number in range(last + 1):
        if cells[number]["cell_type"] == "code":
            notebook.run_cell(number)
    if "panels" in picture.last or "workbench" in picture.last:
        expect(notebook.output(last).locator(".absdb-page .jupyter-button").first).to_be_visible()
        notebook.page.wait_for_timeout(SETTLED_MS)
    return last


def take(page: Page, notebook: Notebook, picture: Picture) -> bytes:
    """A picture of the cells, as a PNG."""
    index = run_to(notebook, picture)
    heading = notebook.panel.locator("h1, h2", has_text=picture.heading)
    heading.evaluate(
        f"it => {{ it.style.scrollMarginTop = '{2 * MARGIN}px'; it.scrollIntoView({{block: 'start'}}); }}"
    )
    first, last = heading.bounding_box(), notebook.cell(index).bounding_box()
    if first is None or last is None or last["y"] + last["height"] > HEIGHT - MARGIN:
        raise SystemExit(f"{picture.file} does not fit a page of {HEIGHT} pixels")
    top, bottom = first["y"] - MARGIN, last["y"] + last["height"]
    png = page.screenshot(clip={"x": last["x"], "y": top, "width": last["width"], "height": bottom - top})
    return with_palette(page, png)


def main() -> None:
    """Make all pictures anew, and say how large they are."""
    if why := what_is_missing():
        raise SystemExit(f"no pictures: {why}")
    with tempfile.TemporaryDirectory() as directory:
        server = JupyterServer(Path(directory))
        try:
            with lab_in_chromium(server, width=WIDTH, height=HEIGHT) as lab:
                for picture in PICTURES:
                    notebook = lab.open(picture.notebook)
                    png = take(lab.page, notebook, picture)
                    (IMAGES / picture.file).write_bytes(png)
                    print(f"{picture.file}: {len(png) / 1000:.0f} kB")
                    lab.close_all()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
