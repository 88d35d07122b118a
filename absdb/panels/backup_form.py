"""The form that makes a backup: what kind, what it is called, what it builds on or holds."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets

from absdb.panels.controls import button, choice, row, set_options, text_field, tick
from absdb.panels.model.backups import DATABASE, FULL, INCREMENTAL, KINDS, Seen, Wanted


class BackupForm(ipywidgets.VBox):
    """The fields and the button, which calls `make()`."""

    def __init__(self, make: Callable[[], object]) -> None:
        self.kind = choice("Back up", KINDS, value=FULL, width="190px")
        self.base = choice("building on", [], width="260px")
        self.database = choice("database", [], width="220px")
        self.label = text_field("Label", placeholder="its kind and the time", width="260px")
        self.comment = text_field("Comment", width="260px")
        self.pinned = tick("pinned: kept whatever its age")
        self.make_button = button("Back up now", make, style="primary")
        super().__init__(
            [
                row(self.kind, self.base, self.database, self.label, self.comment, self.pinned),
                row(self.make_button),
            ]
        )
        self.kind.observe(lambda _: self._fit(), names="value")
        self._fit()

    @property
    def wanted(self) -> Wanted:
        """What is typed and chosen."""
        return Wanted(
            self.kind.value,
            self.label.value,
            self.base.value or "",
            self.database.value or "",
            self.comment.value,
            self.pinned.value,
        )

    def offer(self, seen: Seen) -> None:
        """What can be built on, and backed up alone."""
        set_options(self.base, seen.bases)
        set_options(self.database, list(seen.databases))
        self.make_button.disabled = not seen.url

    def build_on(self, label: str) -> None:
        """Choose the base of an incremental backup."""
        if label in self.base.options:
            self.base.value = label

    def clear(self) -> None:
        """Forget what was typed for one backup."""
        self.label.value = self.comment.value = ""
        self.pinned.value = False

    def _fit(self) -> None:
        """Show the fields that the kind has."""
        self.base.layout.display = "" if self.kind.value == INCREMENTAL else "none"
        self.database.layout.display = "" if self.kind.value == DATABASE else "none"
