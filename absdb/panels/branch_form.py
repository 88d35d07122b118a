"""The form that makes a branch: its name, what it starts from and when, how long it lives."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ipywidgets

from absdb.database import Database
from absdb.errors import InvalidInputError
from absdb.instance import Instance
from absdb.panels.controls import button, choice, empty, heading, html, row, set_options, text_field, tick

KEEP_FOR = {
    "for good": None,
    "1 hour": dt.timedelta(hours=1),
    "1 day": dt.timedelta(days=1),
    "7 days": dt.timedelta(days=7),
    "30 days": dt.timedelta(days=30),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The branch that was described. `point` is an LSN, a time or a snapshot of the source; "" for now."""

    name: str
    source: str
    point: str
    retain: dt.timedelta | None
    protected: bool

    def make(self, instance: Instance) -> Database:
        """Make it. InvalidInputError without a name, and whatever `at` and `branch` raise."""
        if not self.name.strip():
            raise InvalidInputError("the branch has no name", hint="type one, such as staging")
        source = instance[self.source]
        start = source.at(self.point) if self.point else source
        return start.branch(self.name, protected=self.protected, retain=self.retain)

    def told(self, name: str) -> str:
        """What was done."""
        return f"{name} was made from {self.source}{f' as of {self.point}' if self.point else ''}."


class BranchForm(ipywidgets.VBox):
    """The fields and the button. `create()` and `now()` are what its buttons call."""

    def __init__(self, create: Callable[[], object], now: Callable[[], object]) -> None:
        self.name = text_field("Name", placeholder="such as staging", width="220px")
        self.source = choice("from", [], width="180px")
        self.point = text_field("as of", placeholder="now; or LSN, time, snapshot", width="250px")
        self.now_button = button("Now", now, tooltip="Branch from the newest state")
        self.live_for = choice("keep", list(KEEP_FOR), value="for good", width="150px")
        self.protected = tick("protected")
        self.create_button = button("Make branch", create, style="primary")
        self.why_not = html()
        super().__init__(
            [
                heading("Make a branch: pick a point on the picture, or type one"),
                row(self.name, self.source, self.point, self.now_button, self.live_for, self.protected),
                row(self.create_button, self.why_not),
            ]
        )

    @property
    def wanted(self) -> Wanted:
        """What is typed and chosen."""
        retain = KEEP_FOR[self.live_for.value]
        return Wanted(
            self.name.value, self.source.value, self.point.value.strip(), retain, self.protected.value
        )

    def offer(self, sources: Sequence[str]) -> None:
        """What a branch can be made from."""
        set_options(self.source, sources)

    def point_to(self, source: str, point: str | None = None) -> None:
        """Start from that database, and from that point unless None."""
        if source in self.source.options:
            self.source.value = source
        if point is not None:
            self.point.value = point

    def clear(self) -> None:
        """Forget what was typed."""
        self.name.value = self.point.value = ""

    def forbid(self, why: str) -> None:
        """Make no branch, and say why; "" allows it."""
        self.create_button.disabled = bool(why)
        self.why_not.value = empty(f"Nothing can be changed here. {why}") if why else ""
