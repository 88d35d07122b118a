"""The Diff page: two states, a summary, the rows with changed cells marked, profiles of both sides, exports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets
import pyarrow as pa

from absdb.errors import AlreadyExistsError, InvalidInputError
from absdb.marks import SIGNS
from absdb.panels.controls import beside, button, choice, column, heading, html, row, set_options, text_field
from absdb.panels.grid import Grid
from absdb.panels.model.chart import paired_bars
from absdb.panels.model.comparison import KINDS, ColumnProfile, Comparison, Filter, Side
from absdb.panels.model.rows import ArrowRows, RowSource
from absdb.panels.model.work import Job
from absdb.panels.notebook import set_variable
from absdb.panels.page import Page

ANY = "any column"


@dataclass(frozen=True)
class _Compared:
    comparison: Comparison
    summary: pa.Table
    definitions: pa.Table


@dataclass(frozen=True)
class _Rows:
    columns: list[str]
    rows: RowSource | None


class DiffPage(Page):
    """What one state has that another has not."""

    TITLE = "Diff"

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.comparison: Comparison | None = None
        self.target, self.target_point = (
            choice("What", []),
            text_field("as of", placeholder="now", width="200px"),
        )
        self.source, self.source_point = (
            choice("has that", []),
            text_field("seen as of", placeholder="now", width="200px"),
        )
        self.swap_button = button("Swap", self.swap, tooltip="Compare the other way round")
        work, failed = self.hub.work, self.failed
        self.summary_rows = Grid(
            work,
            failed,
            label="summary",
            empty="The two are the same. Change something on one of them, or compare with an earlier point.",
            page_rows=15,
            on_select=self._table_selected,
        )
        self.definitions = Grid(
            work, failed, label="definitions", empty="The definitions are the same.", page_rows=15
        )
        self.table = choice("Rows of", [])
        self.kinds = ipywidgets.SelectMultiple(
            description="Kinds",
            options=[(f"{SIGNS[kind]} {kind}", kind) for kind in KINDS],
            value=KINDS,
            rows=3,
            style={"description_width": "initial"},
            layout=ipywidgets.Layout(width="190px"),
        )
        self.column = choice("Modified in", [ANY])
        self.condition = text_field("Where", placeholder="to_total > 2 * from_total", width="300px")
        self.search = text_field("Search", width="180px")
        self.rows = Grid(
            work, failed, label="rows that differ", empty="No row differs that way.", page_rows=20
        )
        self.profile_button = button("Profile both sides", self.profile, tooltip="Scans both sides")
        self.profiled = html()
        self.name = text_field("Name", placeholder="changes, changes.parquet or patch.sql", width="340px")
        self.variable_button = button("To variable", lambda: self.export(self._to_variable))
        tip = "Rows to .parquet, .csv or .arrow; the patch of all tables to .sql"
        self.save_button = button("Save", lambda: self.export(self._save), tooltip=tip)
        for field in (self.target_point, self.source_point, self.condition, self.search):
            field.continuous_update = False
        for control in (self.target, self.target_point, self.source, self.source_point):
            control.observe(lambda _: self.refresh(), names="value")
        for control in (self.table, self.kinds, self.column, self.condition, self.search):
            control.observe(lambda _: self.look(), names="value")
        exports = row(
            self.name,
            self.variable_button,
            self.save_button,
        )
        return [
            row(
                self.target,
                self.target_point,
                self.source,
                self.source_point,
                html("has not"),
                self.swap_button,
            ),
            self.progress,
            self.message,
            beside(
                column(heading("Summary"), self.summary_rows),
                column(heading("Definitions"), self.definitions),
            ),
            beside(self.table, self.kinds, self.column, self.condition, self.search),
            self.rows,
            exports,
            row(self.profile_button),
            self.profiled,
        ]

    @property
    def filter(self) -> Filter:
        """Which rows are shown."""
        changed = self.column.value
        return Filter(
            tuple(self.kinds.value),
            "" if changed in (None, ANY) else changed,
            self.condition.value.strip(),
            self.search.value.strip(),
        )

    # -- following the instance

    def load(self, job: Job) -> tuple[list[str], _Compared | None]:
        databases = list(self.instance)
        target, source = self._sides(databases)
        if target is None or source is None:
            return databases, None
        comparison = Comparison(self.instance, target, source)
        return databases, _Compared(comparison, comparison.summary(), comparison.definitions())

    def show(self, loaded: tuple[list[str], _Compared | None]) -> None:
        databases, compared = loaded
        target, source = self._sides(databases)
        set_options(self.target, databases, target.database if target else None)
        set_options(self.source, databases, source.database if source else None)
        if compared is None:
            return
        self.comparison = compared.comparison
        self.summary_rows.show(ArrowRows(compared.summary))
        self.definitions.show(ArrowRows(compared.definitions))
        tables = list(dict.fromkeys(compared.summary["table"].to_pylist()))
        common = set(compared.comparison.diff)
        set_options(self.table, [name for name in tables if name in common])
        self.profiled.value = ""
        self.look()

    def turn_to(self, database: str) -> None:
        if database in self.target.options:
            self.target.value = database

    # -- what its controls do

    def swap(self) -> None:
        """Compare the other way round."""
        target, source = self.target.value, self.source.value
        points = self.target_point.value, self.source_point.value
        self.source.value, self.target.value = target, source
        self.source_point.value, self.target_point.value = points

    def look(self) -> None:
        """Show the rows that the filter leaves."""
        comparison, table, wanted = self.comparison, self.table.value, self.filter
        if comparison is None or table is None:
            self.rows.show(None)
            return

        def read(job: Job) -> _Rows:
            return _Rows(comparison.compared(table), comparison.rows(table, wanted))

        self.run(f"comparing {table}", read, self._seen, key=f"look {id(self)}")

    def profile(self) -> None:
        """Profile the column that is chosen, or the first one, on both sides."""
        comparison, table = self.comparison, self.table.value
        if comparison is None or table is None:
            self.message.note("There is no table that differs.")
            return
        names = [name for name in self.column.options if name != ANY]
        wanted = self.column.value if self.column.value in names else names[0] if names else ""

        def told(found: ColumnProfile) -> None:
            self.profiled.value = _profile(wanted, found, comparison)

        self.run(f"profiling {wanted}", lambda job: comparison.profile(table, wanted), told)

    def export(self, do: Callable[[Comparison, str, str], None]) -> None:
        """Hand the rows on, under the name that is typed."""
        name = self.name.value.strip()
        if self.comparison is None or self.table.value is None:
            self.message.note("There is nothing to export: the two sides are the same.")
        elif not name:
            self.message.note("Type a name first: of a variable, or of a file.")
        else:
            do(self.comparison, self.table.value, name)

    def summary(self) -> str:
        return "<b>Diff</b>" if self.comparison is None else self.comparison.diff._repr_html_() or ""

    # -- inside

    def _sides(self, databases: list[str]) -> tuple[Side | None, Side | None]:
        """The two sides; at first the newest branch against what stands first."""
        target = self.target.value if self.target.value in databases else databases[-1] if databases else None
        source = self.source.value if self.source.value in databases else databases[0] if databases else None
        if target is None or source is None:
            return None, None
        return Side(target, self.target_point.value.strip()), Side(source, self.source_point.value.strip())

    def _seen(self, seen: _Rows) -> None:
        set_options(self.column, [ANY, *seen.columns])
        self.rows.show(seen.rows)

    def _table_selected(self, at: int, _: str) -> None:
        name = self.summary_rows.rows[at - self.summary_rows.offset]["cells"][0]
        if name in self.table.options:
            self.table.value = name

    def _to_variable(self, comparison: Comparison, table: str, name: str) -> None:
        wanted = self.filter
        if not name.isidentifier():
            self.message.error(
                InvalidInputError(f"{name!r} is no name for a variable", hint="such as changes")
            )
            return

        def told(frame: Any) -> None:
            set_variable(name, frame)
            self.message.done(f"{name} has the {len(frame):,} rows of {table} that differ.")

        self.run("reading the rows", lambda job: comparison.frame(table, wanted), told)

    def _save(self, comparison: Comparison, table: str, path: str, *, replace: bool = False) -> None:
        wanted = self.filter

        def save(job: Job) -> int | None:
            try:
                return comparison.save(path, table, wanted, replace=replace)
            except AlreadyExistsError:
                return None

        def told(size: int | None) -> None:
            if size is None:
                again = lambda: self._save(comparison, table, path, replace=True)  # noqa: E731 (it is a callback)
                self.message.ask(f"{path} is there already.", "Replace it", again, no="Leave it")
            else:
                self.message.done(f"{path} has {size:,} bytes.")

        self.run(f"writing {path}", save, told)


def _profile(name: str, found: ColumnProfile, comparison: Comparison) -> str:
    rows = "".join(
        f'<tr><td class="absdb-muted">{escape(what)}</td><td class="absdb-number">{escape(old)}</td>'
        f'<td class="absdb-number">{escape(new) if new == old else f"<b>{escape(new)}</b>"}</td></tr>'
        for what, old, new in found.facts
    )
    head = (
        f'<tr><th></th><th class="absdb-number">from {escape(str(comparison.source))}</th>'
        f'<th class="absdb-number">to {escape(str(comparison.target))}</th></tr>'
    )
    drawn = paired_bars(found.values, f"rows for each value of {name}") if found.values else ""
    return f"<b>{escape(name)}</b><table>{head}{rows}</table>{drawn}"
