"""Page: what all pages have: the style sheet, a message, progress, and a view that follows the instance.

A page is made of three steps that each page fills in:

    build()          its widgets, once; progress and message come last unless it says where they stand
    load(job)        what it shows, read in the thread of the workbench; no widget is touched
    show(loaded)     puts that into the widgets

`refresh()` does the last two. What a page does when a button is pressed goes through `run`, so that errors become
messages. A notebook that is read without a kernel shows `summary()`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, TypeVar

import ipywidgets

from absdb.errors import AbsdbError
from absdb.instance import Instance
from absdb.panels.controls import html
from absdb.panels.hub import Hub
from absdb.panels.message import Message, Progress
from absdb.panels.model.work import Job
from absdb.panels.theme import Theme

T = TypeVar("T")


class Page(ipywidgets.VBox):
    """A page of the workbench. `visible` pages follow the instance; others catch up when they are turned to."""

    TITLE = ""
    _open = False

    def __init__(self, hub: Hub, *, alone: bool = True) -> None:
        self.hub = hub
        self._alone = alone
        self._visible = alone
        self._stale = not alone
        self._built = False
        self._turned_to: str | None = None
        self._showing = threading.RLock()
        super().__init__([])
        self.add_class("absdb-page")
        if alone:
            self.complete()
            self._first()
        hub.attach(self)
        self._open = True

    def complete(self) -> None:
        """Make the widgets, if that is still to be done: a page of a workbench has none before it is turned to."""
        if self._built:
            return
        self._built = True
        self.message = Message()
        self.progress = Progress(self.hub.work)
        children: list[ipywidgets.Widget] = []
        if self._alone:
            children = [Theme(), *([banner(self.hub.banner)] if self.hub.banner else [])]
        built = list(self.build())
        children += built if self.message in built else [*built, self.progress, self.message]
        self.children = children

    # -- what a page fills in

    def build(self) -> Sequence[ipywidgets.Widget]:
        """Its widgets."""
        raise NotImplementedError

    def load(self, job: Job) -> Any:
        """What it shows as of now."""
        raise NotImplementedError

    def show(self, loaded: Any) -> None:
        """Put what was loaded into the widgets."""
        raise NotImplementedError

    def summary(self) -> str:
        """HTML for a notebook that is read without a kernel."""
        raise NotImplementedError

    def turn_to(self, database: str) -> None:
        """Another page turned to a database; a page that shows one follows."""

    # -- what all of them do

    @property
    def instance(self) -> Instance:
        """The instance that is shown."""
        return self.hub.instance

    def refresh(self) -> None:
        """Load and show again, in the thread of the workbench."""
        key = f"page {id(self)}"
        self.hub.work.start(
            f"reading {self.TITLE.lower()}", self.load, self._shown(self.show), self.message.error, key=key
        )

    def run(
        self,
        title: str,
        task: Callable[[Job], T],
        then: Callable[[T], None],
        *,
        changes: bool = False,
        key: str | None = None,
    ) -> None:
        """Do what a button asks for: `task` in the thread, then `then`. Errors become the message of the page.

        With `changes` all pages look again afterwards.
        """

        show = self._shown(then)

        def after(result: T) -> None:
            show(result)
            if changes:
                self.hub.changed()

        self.message.clear()
        try:
            self.hub.work.start(title, task, after, self.message.error, key=key)
        except AbsdbError as error:
            self.message.error(error)

    def appear(self) -> None:
        """It is looked at from now on."""
        self._visible = True
        self.complete()
        if self._stale:
            self._stale = False
            self._first()
        if self._turned_to is not None:
            database, self._turned_to = self._turned_to, None
            self.turn_to(database)

    def vanish(self) -> None:
        """Nobody looks at it."""
        self._visible = False

    def _first(self) -> None:
        """The first view, at once: what is displayed has its content."""
        try:
            self._shown(self.show)(self.load(Job(self.TITLE)))
        except AbsdbError as error:
            self.message.error(error)

    def _shown(self, show: Callable[[T], None]) -> Callable[[T], None]:
        """`show`, by one thread at a time: the first view is made where the page is, others beside the kernel."""

        def alone(loaded: T) -> None:
            with self._showing:
                show(loaded)

        return alone

    # -- what the hub tells

    def moved(self) -> None:
        if self._visible:
            self.refresh()
        else:
            self._stale = True

    def selected(self, database: str) -> None:
        if self._built:
            self.turn_to(database)
        else:
            self._turned_to = database

    def working(self, job: Job | None) -> None:
        if self._built:
            self.progress.show(job if self._visible else None)

    def failed(self, error: BaseException) -> None:
        if self._built:
            self.message.error(error)

    def close(self) -> None:
        """Take it out of the notebook; alone, it also ends what it started."""
        if self._open and self._alone:
            self._open = False
            self.hub.close()
        super().close()

    def _repr_mimebundle_(self, **arguments: Any) -> Any:
        found = super()._repr_mimebundle_(**arguments)
        data = dict(found[0] if isinstance(found, tuple) else found)
        data["text/plain"] = f"<{type(self).__name__} of {self.hub.name}>"
        data["text/html"] = shown_without_kernel(self.summary)
        return data


def shown_without_kernel(summary: Callable[[], str]) -> str:
    """The HTML that stands in for a panel; what cannot be read is said."""
    try:
        return f'<div class="absdb-repr">{summary()}</div>'
    except AbsdbError as error:
        return f'<div class="absdb-repr">{escape(error.message)}</div>'


def banner(text: str) -> ipywidgets.HTML:
    """A line over all pages."""
    return html(f'<div class="absdb-message absdb-message-note" role="status">{escape(text)}</div>')
