"""JupyterLab in a page of Chromium: opens notebooks, changes the theme, takes pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import nbformat
from playwright.sync_api import Locator, Page, expect

from tests.browser.notebook import Notebook
from tests.browser.server import JupyterServer
from tests.browser.watch import Watch

# `jupyterapp` is there because the server is told to expose it. A command is what a menu entry runs.
OPEN = """async path => {
    const app = window.jupyterapp;
    const panel = await app.commands.execute('docmanager:open', {path, factory: 'Notebook'});
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
    return panel.id;
}"""
CLOSE_ALL = """async () => {
    const app = window.jupyterapp;
    for (const panel of [...app.shell.widgets('main')]) {
        if (panel.context) { panel.context.model.dirty = false; }
        panel.close();
    }
    await app.serviceManager.sessions.shutdownAll();
}"""
THEME = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
NAMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


class Lab:
    """One page with JupyterLab in it, and the files it is on."""

    def __init__(self, page: Page, server: JupyterServer, watch: Watch, pictures: Path | None) -> None:
        self.page = page
        self.server = server
        self.watch = watch
        self.pictures = pictures
        self._made = 0

    def load(self) -> None:
        """Load the page anew, with nothing open in it."""
        self.page.goto(f"{self.server.url}/lab?token={self.server.token}&reset")
        self.page.wait_for_function("window.jupyterapp && window.jupyterapp.restored")
        self.page.evaluate("window.jupyterapp.restored.then(() => window.jupyterapp.shell.collapseLeft())")

    def open(self, name: str) -> Notebook:
        """Open a notebook of the repository by its file name or the number it begins with; its kernel starts."""
        (file,) = self.server.notebooks.glob(name if name.endswith(".ipynb") else f"{name}_*.ipynb")
        path = file.relative_to(self.server.files).as_posix()
        return Notebook(self.page, self.page.evaluate(OPEN, path))

    def make(self, *cells: str) -> Notebook:
        """Open a new notebook of these code cells, beside those of the repository."""
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells])
        made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        self._made += 1
        name = f"made_{self._made}.ipynb"
        nbformat.write(made, self.server.notebooks / name)
        return self.open(name)

    def close_all(self) -> None:
        """Close every notebook and end its kernel. Nothing is saved."""
        self.page.evaluate(CLOSE_ALL)

    def theme(self, theme: Literal["light", "dark"]) -> None:
        """Change the theme, and wait until it is on and what covers the page meanwhile has gone."""
        self.page.evaluate(THEME, NAMES[theme])
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-name", NAMES[theme])
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)

    def screenshot(self, name: str, of: Locator | None = None) -> None:
        """Take a picture, `name`.png, of the page or of a part of it, if the run keeps pictures."""
        if self.pictures is not None:
            self.pictures.mkdir(parents=True, exist_ok=True)
            (of or self.page).screenshot(path=self.pictures / f"{name}.png")
