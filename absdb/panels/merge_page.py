"""The Merge page: try a merge, decide its conflicts one by one or together, merge, and take it back.

Nothing is written before Merge is pressed; the try is a dry run that follows both sides as they change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import ipywidgets
import pyarrow as pa

from absdb.merge_result import MergeResult
from absdb.panels.controls import (
    beside,
    button,
    choice,
    column,
    heading,
    html,
    row,
    set_options,
    text_field,
    tick,
)
from absdb.panels.grid import Grid
from absdb.panels.hub import guarded
from absdb.panels.model.merging import SCOPES, SIDES, ConflictRows, Merging
from absdb.panels.model.rows import ArrowRows
from absdb.panels.model.work import Job
from absdb.panels.page import Page


class MergePage(Page):
    """What a branch would bring into another, and what stands in the way."""

    TITLE = "Merge"

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.merging: Merging | None = None
        self._decisions = 0
        work, failed = self.hub.work, self.failed
        self.source, self.target = choice("Merge", []), choice("into", [])
        self.squash = tick("as one commit")
        self.strict = tick("a row changed on both sides is a conflict")
        self.said = html()
        self.incoming = Grid(work, failed, label="what would come in", empty="Nothing new.", page_rows=10)
        self.violations = Grid(
            work,
            failed,
            label="what would be broken",
            empty="No constraint or check stands in the way.",
            page_rows=10,
        )
        self.conflicts = Grid(
            work,
            failed,
            label="conflicts",
            empty="No conflicts.",
            page_rows=15,
            on_edit=lambda at, _, text: guarded(self.message.error, lambda: self.write(at, text))(),
        )
        self.scope = choice("Decide", SCOPES, value=SCOPES[0])
        self.sides = [button(f"Take {side}", self._taking(side)) for side in SIDES]
        self.clear_button = button("Undecide", self._taking(None))
        hint = html(
            '<span class="absdb-muted">Select a conflict, then take a side; '
            "or double-click its value and type one.</span>"
        )
        self.deciding = ipywidgets.VBox(
            [heading("Conflicts"), row(self.scope, *self.sides, self.clear_button, hint), self.conflicts]
        )
        self.note = text_field("Message", placeholder="why", width="360px")
        self.merge_button = button("Merge", self.merge, style="primary")
        self.try_button = button("Try again", self.refresh, tooltip="A dry run with what was decided")
        for control in (self.source, self.target, self.squash, self.strict):
            control.observe(lambda _: self._chosen(), names="value")
        return [
            row(self.source, self.target, self.squash, self.strict),
            self.said,
            beside(
                column(heading("What would come in"), self.incoming),
                column(heading("What stands in the way"), self.violations),
            ),
            self.deciding,
            row(self.note, self.merge_button, self.try_button),
            self.progress,
            self.message,
        ]

    # -- following the instance

    def load(self, job: Job) -> tuple[list[str], Merging | None, int]:
        databases, decisions = list(self.instance), self._decisions
        merging = self._wanted(databases)
        if merging is not None:
            merging.attempt()
        return databases, merging, decisions

    def show(self, loaded: tuple[list[str], Merging | None, int]) -> None:
        databases, merging, decisions = loaded
        known = self.merging
        if decisions != self._decisions:
            self.refresh()  # somebody decided while it was tried
            return
        self.merging = merging
        set_options(self.source, databases, merging.source if merging else None)
        set_options(self.target, databases, merging.target if merging else None)
        same = known is not None and merging is not None and _sides(known) == _sides(merging)
        self._show_conflicts(keep=same)
        self.incoming.show(ArrowRows(pa.table({})) if merging is None else merging.summary(), keep=same)
        self.violations.show(None if merging is None else ArrowRows(merging.violations()), keep=same)
        self._tell()

    def turn_to(self, database: str) -> None:
        if database in self.source.options and database != self.target.value:
            self.source.value = database

    # -- what its controls do

    def decide(self, side: str | None) -> None:
        """Take a side for what is selected, or take the decision back."""
        merging, at, scope = self.merging, self.conflicts.selected, self.scope.value
        if merging is None:
            return
        if at < 0 and scope != "all":
            self.message.note("Select a conflict first.")
            return
        with self._showing:
            merging.decide(max(at, 0), scope, side)
            self._decided()

    def write(self, at: int, text: str) -> None:
        """Decide a conflict for the value that was typed."""
        if self.merging is not None:
            with self._showing:
                self.merging.write(at, text)
                self._decided()

    def merge(self) -> None:
        """Merge, and leave a receipt."""
        merging, message = self.merging, self.note.value.strip()
        if merging is None:
            return

        def receipt(result: MergeResult) -> None:
            self.merging = None
            self.note.value = ""
            if not result:
                self.message.note(f"{merging.target} had everything already.")
                return
            told = f"{merging.source} is merged into {merging.target}; that is commit {result.lsn}."
            self.message.done(told, ("Undo", lambda: self._undo(merging.target, result)))

        self.run(f"merging {merging.source}", lambda job: merging.merge(message), receipt, changes=True)

    def summary(self) -> str:
        merging = self.merging
        if merging is None or merging.result is None:
            return "<b>Merge</b>"
        return merging.result._repr_html_() or "<b>Merge</b>"

    # -- inside

    def _wanted(self, databases: list[str]) -> Merging | None:
        """The merge that the controls ask for, with what was decided if it is the one that is shown."""
        if len(databases) < 2:
            return None
        # What stood there while there was one database only, nobody chose.
        chosen = self.source.value in databases and len(self.source.options) > 1
        source = self.source.value if chosen else databases[-1]
        target = self.target.value if self.target.value in databases else databases[0]
        if source == target:
            return None
        wanted = Merging(self.instance, target, source, self.squash.value, self.strict.value)
        if self.merging is not None and _sides(self.merging) == _sides(wanted):
            wanted.conflicts = self.merging.conflicts
        return wanted

    def _chosen(self) -> None:
        self.message.clear()
        self.refresh()

    def _taking(self, side: str | None) -> Callable[[], None]:
        return guarded(self.message.error, lambda: self.decide(side))

    def _decided(self) -> None:
        """Show what was decided; once nothing is open, see whether constraints and checks hold."""
        self._decisions += 1
        self.message.clear()
        self._show_conflicts(keep=True)
        self._tell()
        if self.merging is not None and not self.merging.undecided:
            self.refresh()

    def _show_conflicts(self, *, keep: bool) -> None:
        frame = None if self.merging is None else self.merging.conflicts
        there = frame is not None and len(frame) > 0
        self.deciding.layout.display = "" if there else "none"
        self.conflicts.show(ConflictRows(frame) if frame is not None and there else None, keep=keep)

    def _tell(self) -> None:
        merging = self.merging
        if merging is None:
            text = "Choose two different databases. With one only, make a branch first."
        else:
            text = merging.facts()
        if self.instance.read_only:
            text += " · read-only: merge where the instance is open for writing"
        self.said.value = f'<span role="status">{escape(text)}</span>'
        self.merge_button.disabled = self.instance.read_only or merging is None or not merging.ready

    def _undo(self, target: str, result: MergeResult) -> None:
        def told(back: MergeResult) -> None:
            self.message.done(f"The merge into {target} is taken back; that is commit {back.lsn}.")

        self.run("undoing the merge", lambda job: result.undo(), told, changes=True)


def _sides(merging: Merging) -> tuple[str, str, bool]:
    return merging.source, merging.target, merging.strict
