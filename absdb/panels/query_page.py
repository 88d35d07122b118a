"""The Query page: SQL on any database or point in time, the result as a grid and a quick chart, what was run before."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import ipywidgets

from absdb.engine.frames import to_pandas
from absdb.errors import InvalidInputError
from absdb.panels.controls import button, choice, html, row, set_options, text_field
from absdb.panels.editor import SqlEditor
from absdb.panels.grid import Grid
from absdb.panels.hub import guarded
from absdb.panels.model.chart import axes_of, chart
from absdb.panels.model.query import Answer, Asked, Queries
from absdb.panels.model.work import Job
from absdb.panels.notebook import set_variable, variable_named
from absdb.panels.page import Page

HISTORY_WIDTH = 90


class QueryPage(Page):
    """Type SQL, press Ctrl+Enter, look at the rows."""

    TITLE = "Query"

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.queries = Queries(self.instance, variable_named)
        self.answer: Answer | None = None
        self.database = choice("Database", [])
        self.point = text_field("as of", placeholder="now; or LSN, time, snapshot", width="280px")
        self.editor = SqlEditor(
            self.ask, self._complete, label="SQL", placeholder="SELECT … ; Ctrl+Enter runs it"
        )
        self.run_button = button("Run", self.ask, tooltip="Run the text (Ctrl+Enter)", style="primary")
        self.before = choice("Before", [], width="420px")
        self.before.observe(self._again, names="value")
        self.said = html()
        self.rows = Grid(
            self.hub.work, self.failed, label="result", empty="The result has no rows.", page_rows=25
        )
        self.heights, self.over = choice("Chart of", []), choice("over", [])
        self.drawn = html()
        self.variable = text_field("Name", placeholder="late_orders", width="220px")
        self.axes = row(self.heights, self.over)
        for axis in (self.heights, self.over):
            axis.observe(lambda _: self.draw(), names="value")
        keep = guarded(self.message.error, self.keep)
        self.after = ipywidgets.VBox(
            [
                self.rows,
                row(self.variable, button("To variable", keep, tooltip="Bind the result to this name")),
                self.axes,
                self.drawn,
            ]
        )
        self.after.layout.display = "none"
        controls = row(self.database, self.point, self.before)
        return [
            controls,
            self.editor,
            row(self.run_button, self.said, self.progress),
            self.message,
            self.after,
        ]

    def load(self, job: Job) -> list[str]:
        return list(self.instance)

    def show(self, loaded: list[str]) -> None:
        set_options(self.database, loaded)
        self.editor.placeholder = self._suggestion()

    def turn_to(self, database: str) -> None:
        if database in self.database.options:
            self.database.value = database

    # -- what its buttons do

    def ask(self) -> None:
        """Run the text."""
        text, database = self.editor.value.strip(), self.database.value
        if not text or database is None:
            self.message.note("Type a query first.")
            return
        asked = Asked(text, database, self.point.value.strip())
        self.run("running the query", lambda job: self.queries.run(job, asked), self.answered, key="query")

    def answered(self, answer: Answer) -> None:
        """Show what came back."""
        self.answer = answer
        open_ = " · a transaction is open, COMMIT or ROLLBACK ends it" if self.queries.in_transaction else ""
        self.said.value = (
            f'<span role="status">{escape(answer.said)} '
            f'<span class="absdb-muted">{answer.seconds * 1000:,.1f} ms{open_}</span></span>'
        )
        self.rows.show(answer.rows)
        self.after.layout.display = "none" if answer.rows is None else ""
        self._offer_axes()
        set_options(self.before, [("", None), *((_line(one), one) for one in self.queries.history.asked)])
        if answer.changed:
            self.hub.changed()

    def draw(self) -> None:
        """Draw the chosen columns."""
        table = None if self.answer is None else self.answer.table
        self.drawn.value = ""
        over, height = self.over.value, self.heights.value
        if table is not None and {over, height} <= {*table.column_names}:
            try:
                self.drawn.value = chart(table, over, height)
            except InvalidInputError as error:
                self.drawn.value = f'<div class="absdb-muted">{escape(error.message)}</div>'

    def keep(self) -> None:
        """Bind the result to a variable of the notebook, as a pandas frame."""
        if self.answer is None or self.answer.table is None:
            raise InvalidInputError("the result was not read whole", hint="filter it, or run it in a cell")
        name = self.variable.value.strip()
        set_variable(name, to_pandas(self.answer.table))
        self.message.done(f"{name} is the result: {self.answer.said}.")

    def summary(self) -> str:
        asked = self.queries.history.asked
        lines = "".join(f"<li><code>{escape(one.text)}</code></li>" for one in list(asked)[:10])
        return f"<b>Query</b><ul>{lines}</ul>" if lines else "<b>Query</b> nothing was run yet"

    def close(self) -> None:
        """End the session, then as every page does."""
        if self._open and self._built:
            self.hub.work.cancel()
            self.queries.close()
        super().close()

    def _offer_axes(self) -> None:
        table = None if self.answer is None else self.answer.table
        heights, over = [], []
        if table is not None and table.num_rows > 1 and (axes := axes_of(table.schema)).heights:
            heights, over = axes.heights[::-1], axes.over
            over = [name for name in over if name != heights[0]] or over
        set_options(self.heights, heights)
        set_options(self.over, over)
        self.axes.layout.display = "" if heights else "none"
        self.draw()

    def _complete(self, text: str, cursor: int) -> tuple[int, Sequence[str]]:
        database = self.database.value
        return (cursor, []) if database is None else self.queries.completions(database, text, cursor)

    def _again(self, change: dict[str, object]) -> None:
        asked = change["new"]
        if isinstance(asked, Asked):
            self.editor.value = asked.text
            self.point.value = asked.point
            self.turn_to(asked.database)

    def _suggestion(self) -> str:
        name = self.database.value
        tables = [] if name is None or name not in self.instance else list(self.instance[name])
        if not tables:
            return "CREATE TABLE … or SELECT …; Ctrl+Enter runs it"
        return f"SELECT * FROM {tables[0]}; Ctrl+Enter runs it, Tab completes names"


def _line(asked: Asked) -> str:
    text = " ".join(asked.text.split())
    text = text if len(text) <= HISTORY_WIDTH else text[: HISTORY_WIDTH - 1] + "…"
    return f"{text}  ({asked.database}{f' as of {asked.point}' if asked.point else ''})"
