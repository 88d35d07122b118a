"""A workbench on the page: finds its controls by what they are called, as a reader of the screen does."""

from __future__ import annotations

from playwright.sync_api import Locator, expect

from tests.browser.notebook import Notebook


class Workbench:
    """What a cell shows that ends with a workbench or one of its pages. Hidden pages are not found."""

    def __init__(self, notebook: Notebook, cell: int) -> None:
        self.page = notebook.page
        self.shown = notebook.output(cell)

    def turn(self, title: str) -> None:
        """Bring a page into view."""
        self.shown.get_by_role("tab", name=title, exact=True).click()

    def button(self, text: str) -> Locator:
        """The button with that text."""
        return self.shown.get_by_role("button", name=text, exact=True)

    def field(self, label: str) -> Locator:
        """The field to type in."""
        return self.shown.get_by_role("textbox", name=label, exact=True)

    def list(self, label: str) -> Locator:
        """The drop-down list."""
        return self.shown.get_by_role("combobox", name=label, exact=True)

    def grid(self, label: str) -> Locator:
        """The grid of rows."""
        return self.shown.get_by_role("grid", name=label, exact=True)

    def rows(self, label: str) -> Locator:
        """The rows of a grid that are on the page."""
        return self.grid(label).locator("tbody tr")

    def row(self, label: str, at: int) -> Locator:
        """The cells of the row `at`, counted from 0, of those on the page."""
        return self.rows(label).nth(at).get_by_role("gridcell")

    @property
    def slider(self) -> Locator:
        """The slider over commits."""
        return self.shown.get_by_role("slider", name="Commit")

    @property
    def message(self) -> Locator:
        """What the page says, with the buttons under it."""
        return self.shown.locator(".absdb-messages").filter(visible=True)

    def press(self, text: str, *, says: str) -> None:
        """Press a button, of the page or of its message, and wait until the page says that."""
        self.button(text).click()
        expect(self.message).to_contain_text(says)
