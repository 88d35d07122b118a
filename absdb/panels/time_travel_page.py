"""The Time travel page: a slider over the commits of a database, what it was at each, and the way back.

Moving the slider shows the commit at once and reads the rest beside the kernel; a slider that is dragged ends with
the last commit. A restore is previewed as a diff, asked for, and leaves a receipt with an undo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import ipywidgets
import pyarrow as pa

from absdb.panels.controls import beside, button, choice, column, heading, html, row, set_options, text_field
from absdb.panels.grid import Grid
from absdb.panels.model.moments import CommitPoint, commits_of, dated, nearest
from absdb.panels.model.rows import ArrowRows, RowSource
from absdb.panels.model.time_travel import Restored, TableThen, TimeTravel
from absdb.panels.model.work import Job
from absdb.panels.page import Page
from absdb.panels.slider import Slider

_TABLES = pa.schema([("table", pa.string()), ("rows then", pa.int64()), ("rows now", pa.int64())])


@dataclass(frozen=True)
class _Loaded:
    databases: list[str]
    points: list[CommitPoint]


@dataclass(frozen=True)
class _Seen:
    """What is shown of one point."""

    tables: list[TableThen]
    since: pa.Table
    rows: RowSource | None


class TimeTravelPage(Page):
    """Go to a commit, look around, and branch or restore from there."""

    TITLE = "Time travel"

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.travel = TimeTravel(self.instance)
        self.points: list[CommitPoint] = []
        self._following = True
        self.database = choice("Database", [])
        self.slider = Slider(label="Commit", layout=ipywidgets.Layout(width="60%"))
        self.back, self.forward = (
            button("Earlier", lambda: self.step(-1)),
            button("Later", lambda: self.step(1)),
        )
        self.where = html()
        self.tables = Grid(
            self.hub.work,
            self.failed,
            label="tables then and now",
            empty="There were no tables.",
            page_rows=10,
            on_select=self._table_selected,
        )
        self.changes = Grid(
            self.hub.work,
            self.failed,
            label="what changed since",
            empty="Nothing changed since.",
            page_rows=10,
        )
        self.table = choice("Rows of", [])
        self.query = text_field("or of a query", placeholder="SELECT …", width="420px")
        self.query.continuous_update = False
        self.rows = Grid(
            self.hub.work, self.failed, label="rows then", empty="It had no rows then.", page_rows=15
        )
        self.restored_tables = ipywidgets.SelectMultiple(
            description="Restore only", rows=4, style={"description_width": "initial"}
        )
        self.preview_button = button("Preview a restore", self.preview, tooltip="Show what it would change")
        self.branch_name = text_field("Branch from here", placeholder="name", width="280px")
        self.branch_button = button("Branch", self.branch)
        self.database.observe(lambda _: self._database_changed(), names="value")
        self.slider.observe(lambda change: self._moved_to(change["new"]), names="value")
        for chosen in (self.table, self.query):
            chosen.observe(lambda _: self.look(), names="value")
        return [
            row(self.database, self.slider, self.back, self.forward),
            self.where,
            beside(
                column(heading("Tables then"), self.tables),
                column(heading("What changed since"), self.changes),
            ),
            row(self.table, self.query),
            self.rows,
            heading("Go back, or on from here"),
            row(self.restored_tables, self.preview_button, self.branch_name, self.branch_button),
        ]

    @property
    def point(self) -> CommitPoint | None:
        """The commit that is looked at."""
        return self.points[self.slider.value] if self.points else None

    # -- following the instance

    def load(self, job: Job) -> _Loaded:
        databases = list(self.instance)
        name = (
            self.database.value if self.database.value in databases else databases[0] if databases else None
        )
        return _Loaded(databases, [] if name is None else commits_of(self.instance[name]))

    def show(self, loaded: _Loaded) -> None:
        kept = None if self._following or self.point is None else self.point.lsn
        chosen = self.database.value
        self.points = loaded.points
        set_options(self.database, loaded.databases)
        if chosen is not None and self.database.value != chosen:
            return  # the database is gone; the one chosen instead is being loaded
        last = max(0, len(loaded.points) - 1)
        found = None if kept is None else nearest(loaded.points, kept)
        place = last if found is None else found
        self._following = place == last
        with self.slider.hold_trait_notifications():
            self.slider.max = max(last, place)
            self.slider.value = place
        self.slider.disabled = last == 0
        self._tell()
        self.look()
        writable = not self.instance.read_only
        for control in (self.preview_button, self.branch_button):
            control.disabled = not writable

    def turn_to(self, database: str) -> None:
        if database in self.database.options:
            self.database.value = database

    # -- what its controls do

    def step(self, by: int) -> None:
        """One commit earlier or later."""
        self.slider.value = min(self.slider.max, max(0, self.slider.value + by))

    def look(self) -> None:
        """Read what is shown of the point, in the thread."""
        point, database = self.point, self.database.value
        if point is None or database is None:
            return
        table, query = self.table.value, self.query.value.strip()

        def read(job: Job) -> _Seen:
            tables = self.travel.tables(database, point.lsn)
            names = [one.name for one in tables if one.then is not None]
            rows: RowSource | None = None
            if query:
                rows = self.travel.answer(database, point.lsn, query)
            elif names:
                rows = self.travel.rows(database, point.lsn, table if table in names else names[0])
            job.report(0)
            return _Seen(tables, self.travel.since(database, point.lsn), rows)

        self.hub.work.start(
            f"going to {point.lsn}", read, self._shown(self._seen), self.message.error, key=f"look {id(self)}"
        )

    def preview(self) -> None:
        """Show what a restore would change, and ask."""
        point, database = self.point, self.database.value
        if point is None:
            return
        tables = tuple(self.restored_tables.value)
        what = ", ".join(tables) if tables else f"all of {database}"

        def ask(changes: pa.Table) -> None:
            if not changes.num_rows:
                self.message.note(f"{what} is as it was at {point.lsn}: there is nothing to restore.")
                return
            lines = "\n".join(
                f"{table}: {change}, {rows:,} rows"
                for table, change, rows in zip(*(one.to_pylist() for one in changes.columns), strict=True)
            )
            where = dated(self.instance, point.lsn, point.time)
            self.message.ask(
                f"Restoring {what} to {where} would change:\n{lines}",
                "Restore",
                lambda: self.restore(database, point.lsn, tables),
                no="Leave it",
            )

        self.run("comparing", lambda job: self.travel.restore_would(database, point.lsn, tables), ask)

    def restore(self, database: str, lsn: str, tables: Sequence[str]) -> None:
        """Restore, and leave a receipt."""
        self._following = True

        def receipt(done: Restored) -> None:
            self.message.done(
                f"{database} is as it was at {lsn}; that is commit {done.lsn}.",
                ("Undo", lambda: self._undo(database, done)),
            )

        self.run(
            f"restoring to {lsn}",
            lambda job: self.travel.restore(database, lsn, tables),
            receipt,
            changes=True,
        )

    def branch(self) -> None:
        """Make a branch from the point."""
        point, database, name = self.point, self.database.value, self.branch_name.value.strip()
        if point is None:
            return

        def receipt(made: str) -> None:
            self.branch_name.value = ""
            self.message.done(
                f"{made} starts at {point.lsn} of {database}.", ("Go to it", lambda: self._go(made))
            )

        self.run(
            "branching", lambda job: self.travel.branch(database, point.lsn, name), receipt, changes=True
        )

    def summary(self) -> str:
        points = self.points[-10:][::-1]
        lines = "".join(
            f"<li>{escape(dated(self.instance, one.lsn, one.time))} · {escape(one.title)}</li>"
            for one in points
        )
        return f"<b>Time travel</b> {escape(str(self.database.value or ''))}<ul>{lines}</ul>"

    # -- inside

    def _undo(self, database: str, done: Restored) -> None:
        self._following = True
        self.run(
            "undoing the restore",
            lambda job: done.undo(),
            lambda lsn: self.message.done(f"{database} is as it was before; that is commit {lsn}."),
            changes=True,
        )

    def _go(self, database: str) -> None:
        self.turn_to(database)
        self.hub.select(database, by=self)

    def _database_changed(self) -> None:
        self._following = True
        self.refresh()

    def _moved_to(self, place: int) -> None:
        self._following = place == self.slider.max
        self._tell()
        self.look()

    def _tell(self) -> None:
        point = self.point
        if point is None:
            self.where.value = (
                '<div class="absdb-empty">No commit yet: create a table, and it appears here.</div>'
            )
            return
        at = f"commit {self.slider.value + 1:,} of {len(self.points):,}"
        self.slider.text = f"{point.title}, {at}"
        facts = [
            dated(self.instance, point.lsn, point.time),
            f"{point.time:%Y-%m-%d %H:%M:%S}Z",
            point.author,
        ]
        undone = " (undone by a later restore)" if point.undone else ""
        line = " · ".join(escape(fact) for fact in facts if fact)
        self.where.value = (
            f'<div role="status"><b>{escape(point.title)}</b>{undone} '
            f'<span class="absdb-muted">{line} · {at}</span></div>'
        )

    def _seen(self, seen: _Seen) -> None:
        columns = zip(*((one.name, one.then, one.now) for one in seen.tables), strict=True)
        self.tables.show(ArrowRows(pa.table(list(columns) or _TABLES.empty_table().columns, schema=_TABLES)))
        self.changes.show(ArrowRows(seen.since))
        self.rows.show(seen.rows, keep=True)
        there = [one.name for one in seen.tables if one.then is not None]
        set_options(self.table, there)
        chosen = tuple(name for name in self.restored_tables.value if name in there)
        if list(self.restored_tables.options) != there:
            self.restored_tables.options = there
            self.restored_tables.value = chosen

    def _table_selected(self, at: int, _: str) -> None:
        cells = self.tables.rows[at - self.tables.offset]["cells"]
        if cells[0] in self.table.options:
            self.query.value = ""
            self.table.value = cells[0]
