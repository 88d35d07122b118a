"""Workbench: all pages of an instance in tabs. The page in view follows the instance; the others catch up later."""

from __future__ import annotations

import os
from typing import Any

import ipywidgets

from absdb.instance import Instance
from absdb.panels.backups_page import BackupsPage
from absdb.panels.branches_page import BranchesPage
from absdb.panels.diff_page import DiffPage
from absdb.panels.hub import Hub
from absdb.panels.instance_page import InstancePage
from absdb.panels.merge_page import MergePage
from absdb.panels.page import Page, banner, shown_without_kernel
from absdb.panels.query_page import QueryPage
from absdb.panels.theme import Theme
from absdb.panels.time_travel_page import TimeTravelPage

PAGES: tuple[type[Page], ...] = (
    BranchesPage,
    TimeTravelPage,
    DiffPage,
    MergePage,
    QueryPage,
    BackupsPage,
    InstancePage,
)


class Workbench(ipywidgets.VBox):
    """Branches, time travel, diff, merge, query, backups and the instance itself, as one widget.

    `close()` takes it out of the notebook; an instance that it opened from a path is closed with it.
    """

    _open = False

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.pages = [page(self.hub, alone=False) for page in PAGES]
        self.tabs = ipywidgets.Tab(self.pages, titles=[page.TITLE for page in self.pages])
        told = [banner(self.hub.banner)] if self.hub.banner else []
        super().__init__([Theme(), *told, self.tabs])
        self.add_class("absdb-page")
        self._shown = self.pages[0]
        self._shown.appear()
        self.tabs.observe(self._turned, names="selected_index")
        self._open = True

    @property
    def instance(self) -> Instance:
        """The instance that is shown."""
        return self.hub.instance

    def __getitem__(self, title: str) -> Page:
        """The page of that title, such as `Branches`."""
        found = next(page for page in self.pages if title == page.TITLE)
        found.complete()
        return found

    def turn(self, title: str) -> Page:
        """Bring a page into view."""
        page = self[title]
        self.tabs.selected_index = self.pages.index(page)
        return page

    def close(self) -> None:
        """Take it out of the notebook, and end what it started."""
        if self._open:
            self._open = False
            self.hub.close()
        super().close()

    def _turned(self, change: Any) -> None:
        self._shown.vanish()
        self._shown = self.pages[change["new"]]
        self._shown.appear()

    def _repr_mimebundle_(self, **arguments: Any) -> Any:
        found = super()._repr_mimebundle_(**arguments)
        data = dict(found[0] if isinstance(found, tuple) else found)
        data["text/plain"] = f"<Workbench of {self.hub.name}>"
        data["text/html"] = shown_without_kernel(self.pages[0].summary)
        return data


def workbench(instance_or_path: Instance | str | os.PathLike[str]) -> Workbench:
    """A widget to branch, compare, merge, query and wind back an instance; ends the cell that shows it.

    Takes what `absdb.connect()` returned, or the path of an instance. One that another process holds is shown
    read-only, and says so. NotFoundError if there is none at the path.

        absdb.workbench("shop")
    """
    return Workbench(Hub(instance_or_path))
