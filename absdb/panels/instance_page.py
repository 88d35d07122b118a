"""The Instance page: the health of the log, checkpoints, what is stored, who pins history, and the settings."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import ipywidgets

from absdb.panels.controls import button, heading, html, row
from absdb.panels.grid import Grid
from absdb.panels.model.instance import InstanceFacts, instance_facts
from absdb.panels.model.rows import ArrowRows
from absdb.panels.model.work import Job
from absdb.panels.page import Page
from absdb.reprs import page as repr_page


class InstancePage(Page):
    """Figures that follow the instance; a checkpoint and a check at the press of a button."""

    TITLE = "Instance"

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.facts = html()
        self.checkpoint_button = button(
            "Checkpoint", self.checkpoint, tooltip="Write everything to page files"
        )
        self.check_button = button("Check", self.check, tooltip="Read every page and compare checksums")
        self.pins = Grid(
            self.hub.work, self.failed, label="what pins history", empty="Nothing pins history.", page_rows=10
        )
        self.settings = Grid(
            self.hub.work, self.failed, label="settings", empty="There are no settings.", page_rows=25
        )
        more = ipywidgets.Accordion(
            [self.pins, self.settings], titles=["What pins history", "Settings"], selected_index=None
        )
        return [self.facts, row(self.checkpoint_button, self.check_button), more]

    def load(self, job: Job) -> InstanceFacts:
        return instance_facts(self.instance)

    def show(self, loaded: InstanceFacts) -> None:
        self.facts.value = _groups(loaded)
        self.pins.show(ArrowRows(loaded.pins), keep=True)
        self.settings.show(ArrowRows(loaded.settings), keep=True)
        self.checkpoint_button.disabled = self.instance.read_only

    def checkpoint(self) -> None:
        """Take a checkpoint."""
        self.run(
            "taking a checkpoint",
            lambda job: self.instance.checkpoint(),
            lambda lsn: self.message.done(f"Everything up to {lsn} is in page files."),
            changes=True,
        )

    def check(self) -> None:
        """Check all pages."""

        def check(job: Job) -> int:
            job.unit = "page files"
            return len(self.instance.check(progress=job.report))

        def told(problems: int) -> None:
            if problems:
                self.message.note(f"{problems:,} problems found; instance.check() lists them.")
            else:
                self.message.done("Every page is as it was written.")

        self.run("checking", check, told)

    def summary(self) -> str:
        facts = instance_facts(self.instance)
        stored = [f"{what}: {value}" for what, value in facts.groups["Stored"][:4]]
        return repr_page("Instance", self.hub.name, stored)


def _groups(facts: InstanceFacts) -> str:
    blocks = []
    for title, lines in facts.groups.items():
        rows = "".join(
            f'<tr><td class="absdb-muted" style="padding-right:16px">{escape(what)}</td>'
            f'<td class="absdb-number">{escape(value)}</td></tr>'
            for what, value in lines
        )
        blocks.append(f"<div>{heading(title).value}<table>{rows}</table></div>")
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px 40px">{"".join(blocks)}</div>'
