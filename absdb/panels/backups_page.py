"""The Backups page: what is in the repository, backing up, and recovering to a point picked on a timeline.

Stores are read in the thread of the workbench. A recovery makes a new directory and leaves a receipt with the code that
opens it; from there, or from any backup, a database is brought in as a branch, to be compared and merged.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from html import escape
from typing import TypeVar

import ipywidgets

from absdb.backup.info import BackupInfo
from absdb.backup.recovery.restored import Restored
from absdb.backup.verify import Verified
from absdb.panels.backup_form import BackupForm
from absdb.panels.controls import button, choice, column, empty, heading, html, row, set_options, text_field
from absdb.panels.grid import Grid
from absdb.panels.message import Message, Progress
from absdb.panels.model.backup_rows import BackupRows
from absdb.panels.model.backup_words import (
    NO_REPOSITORY,
    facts_told,
    made_told,
    missing_told,
    question_told,
    recovered_told,
    verified_told,
)
from absdb.panels.model.backups import Backups, Seen, directory_beside
from absdb.panels.model.work import Cancelled, Job
from absdb.panels.page import Page
from absdb.panels.recovery_form import RecoveryForm
from absdb.reprs import counted, grid
from absdb.reprs import page as repr_page

QUICK_SECONDS, LOOK_SECONDS = 0.2, 20.0
"""A repository that is not read so quickly is read so seldom, unless somebody asks."""
SUMMARY_SECONDS = 2.0
"""So long a notebook waits for what it keeps to be read without a kernel."""
UNSTABLE = ("as of", "size", "stored")
"""Columns that are left out of that: they differ from day to day, and with versions of libraries."""


T = TypeVar("T")


class BackupsPage(Page):
    """Back up, verify, and recover to a point in time."""

    TITLE = "Backups"

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.backups = Backups(self.instance)
        self.seen = Seen(self.backups.url)
        self._looked = self._took = float("-inf")
        self._recovered: Restored | None = None
        self.url = text_field(
            "Repository",
            value=self.backups.url,
            placeholder="a directory, or s3://bucket/backups",
            width="520px",
        )
        self.url.continuous_update = False
        self.look_button = button("Look again", self.look)
        self.status = html()
        self.list = Grid(
            self.hub.work,
            self.failed,
            label="backups",
            empty="No backup yet: press Back up now.",
            page_rows=10,
            on_select=self._selected,
        )
        self.verify_button = button("Verify", self.verify, tooltip="Read it again and compare every byte")
        self.pin_button = button("Pin", self.pin, tooltip="Keep it whatever its age, or no longer")
        self.branch_button = button(
            "Branch from this backup", self.branch_of_backup, tooltip="Make its database a branch here"
        )
        self.branch_of = choice("of", [], width="180px")
        self.branch_name = text_field("as", placeholder="name of the branch", width="240px")
        self.chosen = html()
        self.form = BackupForm(self.make)
        self.recovery = RecoveryForm(self.instance, self.hub.work, self.failed, self.ask_to_recover)
        self.recovery_note = html()
        self.bring_in_button = button(
            "Bring it in as a branch", self.branch_of_directory, tooltip="Make its database a branch here"
        )
        self.bring_in_name = text_field("as", value="recovered", width="240px")
        self.bring_in = row(self.bring_in_button, self.bring_in_name)
        self.bring_in.layout.display = "none"
        self.url.observe(lambda _: self._moved_to(), names="value")
        self.stored = column(
            self.list,
            row(self.chosen, self.verify_button, self.pin_button),
            row(self.branch_button, self.branch_of, self.branch_name),
            heading("Back up now"),
            self.form,
        )
        self.recovering = column(
            heading("Recover to a point in time"), self.recovery_note, self.recovery, self.bring_in
        )
        self._near_backups = self.progress, self.message
        self._near_recovery = Progress(self.hub.work), Message()
        return [
            row(self.url, self.look_button),
            self.status,
            self.stored,
            *self._near_backups,
            self.recovering,
            *self._near_recovery,
        ]

    # -- following the instance

    def _first(self) -> None:
        """A store may be far away: what is in it comes as it is read."""
        self._shown(self.show)(self.seen)
        self.refresh()

    def load(self, job: Job) -> Seen:
        began = time.monotonic()
        if self._took > QUICK_SECONDS and began - self._looked < LOOK_SECONDS:
            return self.seen
        found = self.backups.look()
        self._looked = time.monotonic()
        self._took = self._looked - began
        return found

    def show(self, loaded: Seen) -> None:
        self.seen = loaded
        self.status.value = self._status(loaded)
        for part in (self.stored, self.recovering):
            part.layout.display = "" if loaded.url else "none"
        self.list.show(BackupRows(loaded.backups, self.instance.now), keep=True)
        self.form.offer(loaded)
        self._fit()
        found = loaded.recoverable
        self.recovery_note.value = "".join(empty(note) for note in missing_told(loaded))
        can = found is not None and bool(found.lanes)
        self.recovery.layout.display = "" if can else "none"
        if found is not None and can:
            self.recovery.show(found, loaded.all_databases, directory_beside(self.instance.path))

    def turn_to(self, database: str) -> None:
        if database in self.recovery.database.options:
            self.recovery.database.value = database

    def look(self) -> None:
        """Read the repository and the archive again."""
        self._looked = float("-inf")
        self.refresh()

    def _speak(self, near: tuple[Progress, Message]) -> None:
        """Say what follows beside what was pressed: the page is longer than a screen."""
        self.message.clear()
        self.progress.show(None)
        self.progress, self.message = near

    # -- backups

    @property
    def label(self) -> str:
        """The backup that is selected in the grid; the newest one that is whole if none is."""
        shown = self.list.shown
        if shown is not None and 0 <= self.list.selected < (shown.count or 0):
            return str(shown.page(self.list.selected, 1)[0].cells[0])
        return self.seen.labels[0] if self.seen.labels else ""

    def make(self) -> None:
        """Back up now."""
        self._speak(self._near_backups)
        wanted = self.form.wanted

        def make(job: Job) -> BackupInfo:
            try:
                return self.backups.make(job, wanted)
            except Cancelled:
                self.message.note("The backup was cancelled; the same label goes on where it was.")
                raise

        def receipt(made: BackupInfo) -> None:
            self.form.clear()
            self.message.done(
                made_told(made),
                ("Verify it", lambda: self.verify(made.label)),
            )

        self._change("backing up", make, receipt)

    def verify(self, label: str | None = None) -> None:
        """Verify a backup; the selected one if none is named."""
        self._speak(self._near_backups)
        wanted = label or self.label

        def told(found: Verified) -> None:
            say = self.message.done if found.well else self.message.note
            say(verified_told(wanted, found))

        self.run(f"verifying {wanted}", lambda job: self.backups.verify(job, wanted), told)

    def pin(self) -> None:
        """Pin the selected backup, or unpin it."""
        self._speak(self._near_backups)
        label = self.label
        pinned = not self._is_pinned(label)
        self._change(
            "pinning",
            lambda job: self.backups.pin(label, pinned=pinned),
            lambda _: self.message.done(
                f"{label} is kept whatever its age." if pinned else f"{label} may be purged when it is old."
            ),
        )

    def branch_of_backup(self) -> None:
        """Make the database of the selected backup a branch."""
        self._speak(self._near_backups)
        label, database, name = self.label, self.branch_of.value or "", self.branch_name.value
        self._branch(lambda job: self.backups.branch_of_backup(job, label, database, name), f"backup {label}")

    # -- recovery

    def ask_to_recover(self) -> None:
        """Say what would be recovered to where, and ask."""
        self._speak(self._near_recovery)
        chosen, path = self.recovery.choice, self.recovery.directory.value.strip()
        if chosen is None:
            return
        self.message.ask(
            question_told(chosen, path),
            "Recover now",
            self.recover,
            no="Leave it",
        )
        self.message.actions[0].button_style = "primary"

    def recover(self) -> None:
        """Recover to the target into the directory."""
        self._speak(self._near_recovery)
        chosen, path = self.recovery.choice, self.recovery.directory.value
        found = self.seen.recoverable
        if chosen is None or found is None:
            return

        def recover(job: Job) -> Restored:
            try:
                return self.backups.recover(job, chosen, path, found.archive_url)
            except Cancelled:
                self.message.note("The recovery was cancelled; the same again goes on with what is there.")
                raise

        def receipt(done: Restored) -> None:
            self._recovered = done
            self.recovery.directory.value = directory_beside(self.instance.path)
            self.bring_in.layout.display = ""
            self.message.done(
                recovered_told(done),
                *([] if self.instance.read_only else [("Bring it in as a branch", self.branch_of_directory)]),
            )

        self._change(f"recovering into {path}", recover, receipt)

    def branch_of_directory(self) -> None:
        """Make the database that was recovered last a branch of this instance."""
        self._speak(self._near_recovery)
        done, name = self._recovered, self.bring_in_name.value
        if done is not None:
            database = self.recovery.database.value or ""
            self._branch(
                lambda job: self.backups.branch_of_directory(job, done.path, database, name), done.path
            )

    def summary(self) -> str:
        self.hub.work.wait(SUMMARY_SECONDS)
        seen = self.seen
        rows = BackupRows(seen.backups, self.instance.now)
        kept = [at for at, each in enumerate(rows.columns) if each.name not in UNSTABLE]
        names = [rows.columns[at].name for at in kept]
        cells = [[each.cells[at] for at in kept] for each in rows.page(0, len(seen.backups))]
        where = seen.url if "://" in seen.url else os.path.basename(seen.url)  # the same wherever it lies
        facts = [where or "no repository", counted(len(cells), "backup")]
        return repr_page("Backups", self.hub.name, facts, grid(names, cells))

    # -- inside

    def _change(self, title: str, task: Callable[[Job], T], then: Callable[[T], None]) -> None:
        """Do what may change the repository, which is then read again, however long that takes."""

        def after(result: T) -> None:
            self._looked = float("-inf")
            then(result)

        self.run(title, task, after, changes=True)

    def _branch(self, make: Callable[[Job], str], source: str) -> None:
        def receipt(name: str) -> None:
            self.message.done(
                f"{name} is what {source} holds, beside the databases here. Diff compares it with them.",
                ("Go to it", lambda: self.hub.select(name, by=self)),
            )

        self._change(f"bringing in {source}", make, receipt)

    def _moved_to(self) -> None:
        self.backups.url = self.url.value.strip()
        self.list.selected = -1
        self.look()

    def _selected(self, at: int, _: str) -> None:
        self.form.build_on(self.label)
        self._fit()

    def _is_pinned(self, label: str) -> bool:
        return any(row["label"] == label and row["pinned"] for row in self.seen.backups)

    def _fit(self) -> None:
        """Make the buttons fit what is selected."""
        label = self.label
        self.chosen.value = f"Selected: <b>{escape(label)}</b>" if label else ""
        self.pin_button.description = "Unpin" if self._is_pinned(label) else "Pin"
        for one in (self.verify_button, self.pin_button):
            one.disabled = not label
        set_options(self.branch_of, self.seen.databases_of(label))
        writable = not self.instance.read_only
        self.branch_button.disabled = not label or not writable
        self.bring_in_button.disabled = not writable
        why = "" if writable else "This instance was opened read-only, and takes no branches."
        self.branch_button.tooltip = why or "Make its database a branch here"

    def _status(self, seen: Seen) -> str:
        if not seen.url:
            return empty(NO_REPOSITORY)
        if seen.recoverable is None and not seen.problem:
            return empty("Reading the repository …")
        return f'<span class="absdb-muted" role="status">{escape(facts_told(seen))}</span>'
