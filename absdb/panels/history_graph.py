"""HistoryGraph: the drawn history of an instance, of which the browser gets what is in view.

    kernel → browser   drawing (what model/history_layout.py says, with colours), selected
    browser → kernel   {"type": "room", "slots"}             how many columns fit
                       {"type": "zoom", "factor", "around"}  | {"type": "move", "share"}
                       {"type": "range", "first", "last"}    | {"type": "all"} | {"type": "older"}
                       {"type": "pick", "database"[, "lsn"]}

What comes from the browser is checked like any input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from absdb.branch_colours import branch_colour
from absdb.errors import InvalidInputError
from absdb.ids import Lsn
from absdb.panels.model.history import History
from absdb.panels.model.history_layout import View, layout, whole
from absdb.panels.theme import STATIC

SLOTS = 30
SLOTS_MAX = 400
ZOOM_MAX = 64.0


class HistoryGraph(anywidget.AnyWidget):
    """The picture. `on_pick(database, lsn)` is called for a mark, without LSN for a lane; `on_older()` loads more."""

    _esm = STATIC / "history.js"
    _css = STATIC / "history.css"
    drawing: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    selected: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    label = traitlets.Unicode("history of all databases").tag(sync=True)

    def __init__(
        self,
        *,
        on_pick: Callable[[str, Lsn | None], None] | None = None,
        on_older: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._on_pick = on_pick
        self._on_older = on_older
        self._history: History | None = None
        self._view: View | None = None  # None follows the whole history
        self._slots = SLOTS
        self._selected: tuple[str, int | None] | None = None
        self.on_msg(self._said)

    @property
    def history(self) -> History | None:
        """What is drawn, in view or not."""
        return self._history

    @property
    def view(self) -> View:
        """The marks in view."""
        return self._view or (View(0, 0) if self._history is None else whole(self._history))

    def show(self, history: History) -> None:
        """Draw a history. What was in view stays there; a view of the newest marks follows them."""
        if self._history is not None and self._view is not None:
            self._view = _followed(self._history, history, self._view)
        self._history = history
        with self.hold_sync():
            self._draw()
            if self._selected is not None:
                self.select(*self._selected)

    def select(self, database: str, lsn: int | None = None) -> None:
        """Mark a database, and the mark at an LSN of it."""
        self._selected = (database, lsn)
        marks = () if self._history is None else self._history.marks
        at = next((number for number, mark in enumerate(marks) if mark.lsn == lsn), -1)
        self.selected = {"database": database, "at": at}

    def look(self, view: View | None) -> None:
        """Bring some marks into view; None for all."""
        total = 0 if self._history is None else len(self._history.marks)
        self._view = None if view is None or view.last - view.first + 1 >= total else view
        self._draw()

    def _draw(self) -> None:
        if self._history is None:
            return
        drawn = layout(self._history, self.view, self._slots)
        for lane in drawn["lanes"]:
            lane["colour"] = branch_colour(lane["name"]).css
        self.drawing = drawn

    def _said(self, _: Any, message: Any, __: Any) -> None:
        total = 0 if self._history is None else len(self._history.marks)
        match message:
            case {"type": "room", "slots": int(slots)} if 1 <= slots <= SLOTS_MAX:
                self._slots = slots
                self._draw()
            case {"type": "zoom", "factor": int() | float() as factor, "around": int(around)} if (
                1 / ZOOM_MAX <= factor <= ZOOM_MAX and total
            ):
                self.look(self.view.zoomed(total, factor, around if 0 <= around < total else None))
            case {"type": "move", "share": int() | float() as share} if -1 <= share <= 1 and total:
                self.look(self.view.moved(total, share))
            case {"type": "range", "first": int(first), "last": int(last)} if 0 <= first <= last < total:
                self.look(View(first, last))
            case {"type": "all"}:
                self.look(None)
            case {"type": "older"} if self._on_older is not None:
                self._on_older()
            case {"type": "pick", "database": str(database), "lsn": str(lsn)}:
                mark = None if self._history is None else self._history.mark_at(_number(lsn))
                if mark is not None:
                    self._pick(database, Lsn(mark.lsn))
            case {"type": "pick", "database": str(database)}:
                self._pick(database, None)

    def _pick(self, database: str, lsn: Lsn | None) -> None:
        if self._on_pick is not None and self._history is not None and self._history.lane_of(database) >= 0:
            self._on_pick(database, lsn)


def _number(lsn: str) -> int:
    """The LSN, or one that no mark has."""
    try:
        return Lsn.parse(lsn)
    except InvalidInputError:
        return -1


def _followed(old: History, new: History, view: View) -> View | None:
    """The view of a history that has grown, at either end."""
    count, total = view.last - view.first + 1, len(new.marks)
    if not old.marks or count >= total:
        return None
    if view.last == len(old.marks) - 1:
        return View(total - count, total - 1)
    lsn = old.marks[view.first].lsn
    first = next((at for at, mark in enumerate(new.marks) if mark.lsn >= lsn), 0)
    first = min(first, total - count)
    return View(first, first + count - 1)
