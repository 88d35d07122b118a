"""The form that recovers: a target picked on the timeline or typed, what that comes to in words, and where it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape

import ipywidgets
import pyarrow as pa

from absdb.errors import AbsdbError, HistoryExpiredError, NotFoundError
from absdb.ids import Lsn
from absdb.instance import Instance
from absdb.panels.controls import button, choice, html, row, set_options, text_field, tick
from absdb.panels.grid import Grid
from absdb.panels.model.recoverable import Recoverable, moment, timeline_of
from absdb.panels.model.recovery_target import Choice, Target, choose, picked, read_target, stepped
from absdb.panels.model.rows import ArrowRows
from absdb.panels.model.time_travel import TimeTravel
from absdb.panels.model.work import Job, Work
from absdb.panels.recovery_timeline import RecoveryTimeline

_TABLES = pa.schema([("table", pa.string()), ("rows then", pa.int64()), ("rows now", pa.int64())])
_UNREAD = "The instance cannot read this state any more, or never held it: recover it to look."
_READ = "The instance itself still holds this state: Time travel goes there without a backup."


@dataclass(frozen=True, slots=True)
class _Preview:
    tables: pa.Table | None
    note: str


class RecoveryForm(ipywidgets.VBox):
    """The timeline and what belongs to it. `recover()` is called by its button; errors go to `failed`."""

    def __init__(
        self,
        instance: Instance,
        work: Work,
        failed: Callable[[BaseException], None],
        recover: Callable[[], object],
    ) -> None:
        self.found: Recoverable | None = None
        self.target: Target | None = None
        self.choice: Choice | None = None
        self._travel = TimeTravel(instance)
        self._work = work
        self._failed = failed
        self._filling = self._unread = False
        self.words_text = ""
        """What the target comes to, as the handle is read out."""
        self.timeline = RecoveryTimeline(self._picked, self._step, self._end)
        self.where = text_field("Recover to", placeholder="time (UTC), LSN or name", width="280px")
        self.where.continuous_update = False
        self.inclusive = tick("including this commit", value=True)
        self.along = choice("along timeline", [], width="150px")
        self.before_button = button("Just before this commit", self.before)
        self.words = html()
        self.database = choice("Database", [], width="220px")
        self.preview_note = html()
        self.preview = Grid(
            work, failed, label="tables then and now", empty="There is nothing to show yet.", page_rows=8
        )
        self.directory = text_field("Into", placeholder="a directory that does not exist", width="520px")
        self.recover_button = button(
            "Recover", recover, style="primary", tooltip="Recover into that directory"
        )
        super().__init__(
            [
                self.timeline,
                row(self.where, self.inclusive, self.before_button, self.along),
                self.words,
                row(self.database, self.preview_note),
                self.preview,
                row(self.directory, self.recover_button),
            ]
        )
        self.where.observe(lambda _: self._typed(), names="value")
        self.inclusive.observe(lambda _: self._ticked(), names="value")
        self.along.observe(lambda _: self._turned(), names="value")
        self.database.observe(lambda _: self._look(), names="value")

    # -- what there is

    def show(self, found: Recoverable, databases: list[str], directory: str) -> None:
        """Show what can be recovered now; the target stays, and one at the end follows it."""
        self.found = found
        self._filling = True
        set_options(self.database, databases)
        numbers = [lane.timeline for lane in found.lanes]
        set_options(self.along, numbers)
        self.along.layout.display = "" if len(numbers) > 1 else "none"
        if not self.directory.value:
            self.directory.value = directory
        self._filling = False
        self.timeline.show(found)
        if self.target is None or self.target.timeline not in numbers:
            own = found.own.timeline
            self.target = Target(own if own in numbers else numbers[-1])
        if not self._unread:  # else what was typed stays there, with what is wrong with it
            self.go(self.target)

    def go(self, target: Target) -> None:
        """Take a target, and say what it comes to; one that cannot be reached is said to be so."""
        assert self.found is not None
        self.target = target
        self._unread = False
        try:
            self.choice = choose(self.found, target)
            self._say(self.choice.told(), "")
        except AbsdbError as error:
            self.choice = None
            self._say(error.message, error.hint)
        self.recover_button.disabled = self.choice is None
        self.before_button.disabled = self.choice is None or self.choice.last is None
        self._fill(target)
        self._point(target)
        self._look()

    # -- what is picked

    def before(self) -> None:
        """Stop just before the last commit that would be in it."""
        if self.choice is not None and self.choice.last is not None and self.target is not None:
            last = self.choice.last.at.lsn
            if self.target.inclusive or self.target.lsn != last:
                self.go(Target(self.target.timeline, lsn=last, inclusive=False))

    def _picked(self, us: int, timeline: int, near: int) -> None:
        if self.found is not None:
            self.go(picked(self.found, us, timeline, near, inclusive=self.inclusive.value))

    def _step(self, by: int) -> None:
        if self.found is None or self.target is None:
            return
        try:
            target = stepped(self.found, self.target, by)
        except NotFoundError as error:  # the name is gone with the backups that led to it
            self._failed(error)
            return
        if target is not None:
            self.go(target)

    def _end(self, last: bool) -> None:
        if self.found is None or self.target is None:
            return
        along = self.found.along(self.target.timeline)
        if along:
            first = min(each.begin.lsn for each in along)
            self.go(Target(self.target.timeline) if last else Target(self.target.timeline, lsn=first))

    def _typed(self) -> None:
        if self._filling or self.found is None or self.target is None:
            return
        try:
            text, inclusive = self.where.value, self.inclusive.value
            self.go(read_target(text, self.found, self.target.timeline, inclusive=inclusive))
        except AbsdbError as error:
            self.choice = None
            self._unread = self.recover_button.disabled = self.before_button.disabled = True
            self._say(error.message, error.hint)

    def _ticked(self) -> None:
        if not self._filling and self.target is not None and not self.target.name:
            self.go(replace(self.target, inclusive=self.inclusive.value))

    def _turned(self) -> None:
        if not self._filling and self.along.value is not None:
            self.go(Target(self.along.value))

    # -- what is shown

    def _fill(self, target: Target) -> None:
        """Put the target into the fields."""
        text = "end"
        if target.name:
            text = target.name
        elif target.lsn is not None:
            text = str(Lsn(target.lsn))
        elif target.us is not None:
            text = moment(target.us)
        self._filling = True
        self.where.value = text
        self.inclusive.value = target.inclusive
        self.inclusive.disabled = bool(target.name) or text == "end"
        if target.timeline in self.along.options:
            self.along.value = target.timeline
        self._filling = False

    def _point(self, target: Target) -> None:
        assert self.found is not None
        rows = [lane.timeline for lane in self.found.lanes]
        us, number = self.timeline.view.begin, target.timeline
        if self.choice is not None:
            us = self.choice.at.us
            number = timeline_of(self.choice.stretch.way, self.choice.at.lsn)
            if not target.inclusive and self.choice.next is not None and target.lsn is not None:
                us = self.choice.next.at.us
        elif target.us is not None:
            us = target.us
        lane = rows.index(number) if number in rows else rows.index(target.timeline)
        text = self.words_text
        self.timeline.point(us, target.timeline, text, lane=lane, before=not target.inclusive)

    def _say(self, text: str, hint: str) -> None:
        self.words_text = " ".join(part for part in (text, hint) if part)
        more = f'<div class="absdb-muted">{escape(hint)}</div>' if hint else ""
        kind = "absdb-message-note" if self.choice is not None else "absdb-message-error"
        self.words.value = f'<div class="absdb-message {kind}" role="status">{escape(text)}{more}</div>'

    def _look(self) -> None:
        """Read how many rows the tables had then, in the thread."""
        chosen, database = self.choice, self.database.value
        if self._filling or chosen is None or database is None or self.found is None:
            return
        ours = timeline_of(self.found.own, chosen.at.lsn) == timeline_of(chosen.stretch.way, chosen.at.lsn)

        def read(job: Job) -> _Preview:
            if not ours:
                return _Preview(None, _UNREAD)
            try:
                tables = self._travel.tables(database, str(Lsn(chosen.at.lsn)))
            except (HistoryExpiredError, NotFoundError):
                return _Preview(None, _UNREAD)
            columns = zip(*((one.name, one.then, one.now) for one in tables), strict=True)
            shown = list(columns) or _TABLES.empty_table().columns
            return _Preview(pa.table(shown, schema=_TABLES), _READ)

        self._work.start("looking", read, self._looked, self._failed, key=f"preview {id(self)}")

    def _looked(self, preview: _Preview) -> None:
        self.preview_note.value = f'<span class="absdb-muted">{escape(preview.note)}</span>'
        self.preview.layout.display = "none" if preview.tables is None else ""
        self.preview.show(None if preview.tables is None else ArrowRows(preview.tables), keep=True)
