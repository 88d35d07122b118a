"""RecoveryTimeline: the picture of what can be recovered, on which a target is picked with the pointer or the keys.

    kernel → browser   drawing (what model/recovery_layout.py says), handle (where the target is, and what it is)
    browser → kernel   {"type": "pick", "us", "timeline", "near"}     a time; `near` µs around it a commit is meant
                       {"type": "step", "by"}                         to another commit: -10 … 10
                       {"type": "end", "last"}                        to the first point, or the last
                       {"type": "zoom", "factor"} | {"type": "move", "share"} | {"type": "all"}

What comes from the browser is checked like any input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from absdb.panels.model.recoverable import Recoverable
from absdb.panels.model.recovery_layout import View, describe, layout, whole
from absdb.panels.theme import STATIC

ZOOM_MAX = 64.0
STEP_MAX = 10


class RecoveryTimeline(anywidget.AnyWidget):
    """The picture. `on_pick(us, timeline, near)`, `on_step(by)` and `on_end(last)` are called for what is picked."""

    _esm = STATIC / "recovery_timeline.js"
    _css = STATIC / "recovery_timeline.css"
    drawing: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    handle: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    label = traitlets.Unicode("recovery target").tag(sync=True)
    description = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        on_pick: Callable[[int, int, int], None],
        on_step: Callable[[int], None],
        on_end: Callable[[bool], None],
    ) -> None:
        super().__init__()
        self._on_pick = on_pick
        self._on_step = on_step
        self._on_end = on_end
        self._found: Recoverable | None = None
        self._view: View | None = None  # None follows all there is
        self._timeline = 0
        self._at = 0
        self.on_msg(self._said)

    @property
    def view(self) -> View:
        """The times in view."""
        if self._view is not None:
            return self._view
        return View(0, 1) if self._found is None else whole(self._found)

    def show(self, found: Recoverable) -> None:
        """Draw what can be recovered; what was in view stays there."""
        self._found = found
        with self.hold_sync():
            self.description = describe(found)
            self._draw()

    def point(self, us: int, timeline: int, text: str, *, lane: int, before: bool = False) -> None:
        """Put the handle at a time on the lane of a timeline; `text` says what is there. It is brought into view."""
        self._at = us
        with self.hold_sync():
            if self._found is not None and timeline != self._timeline:
                self._timeline = timeline
                self._draw()
            if self._view is not None and not 0 <= self.view.place(us) <= 1:
                self.look(self.view.moved(self.view.place(us) - 0.5))
            self.handle = {"us": us, "lane": lane, "text": text, "before": before}

    def clear(self) -> None:
        """No target."""
        self.handle = {}

    def look(self, view: View | None) -> None:
        """Bring some times into view; None for all."""
        self._view = view
        self._draw()

    def _draw(self) -> None:
        if self._found is not None:
            self.drawing = layout(self._found, self.view, self._timeline) | {"all": self._view is None}

    def _said(self, _: Any, message: Any, __: Any) -> None:
        match message:
            case {"type": "pick", "us": int(us), "timeline": int(timeline), "near": int(near)} if (
                0 <= us < 1 << 53 and 0 <= near < 1 << 53
            ):
                if any(lane.timeline == timeline for lane in self._lanes()):
                    self._on_pick(us, timeline, near)
            case {"type": "step", "by": int(by)} if by and -STEP_MAX <= by <= STEP_MAX:
                self._on_step(by)
            case {"type": "end", "last": bool(last)}:
                self._on_end(last)
            case {"type": "zoom", "factor": int() | float() as factor} if 1 / ZOOM_MAX <= factor <= ZOOM_MAX:
                self._zoom(factor)
            case {"type": "move", "share": int() | float() as share} if -1 <= share <= 1:
                self.look(self.view.moved(share))
            case {"type": "all"}:
                self.look(None)

    def _lanes(self) -> tuple[Any, ...]:
        return () if self._found is None else self._found.lanes

    def _zoom(self, factor: float) -> None:
        """Around the target if there is one."""
        if self._found is None:
            return
        view, everything = self.view, whole(self._found)
        around = self._at if self.handle else view.time(0.5)
        zoomed = view.zoomed(factor, around)
        wider = zoomed.end - zoomed.begin >= everything.end - everything.begin
        self.look(None if wider else zoomed)
