"""The Branches page: the drawn history, the list of databases, and what is done to them as a whole.

A mark that is picked on the picture becomes the point that a branch is made from. Rows changed are counted one branch
at a time after the page is shown, so that other work comes between.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import ipywidgets

from absdb.database import Database
from absdb.errors import NotFoundError, StateError
from absdb.ids import Lsn
from absdb.panels.branch_form import KEEP_FOR, BranchForm
from absdb.panels.controls import button, choice, heading, html, row, text_field
from absdb.panels.grid import Grid
from absdb.panels.history_graph import HistoryGraph
from absdb.panels.model.branches import (
    UNKNOWN,
    Branch,
    BranchRows,
    Changed,
    Key,
    Loss,
    loss_of,
    read_branches,
    rows_changed,
)
from absdb.panels.model.history import History, read_history
from absdb.panels.model.work import Job
from absdb.panels.page import Page
from absdb.reprs import counted, grid
from absdb.reprs import page as repr_page

MARKS = 500
"""How many marks are drawn at first, and how many more each time older ones are asked for."""
COUNTS_SHOWN = 8
"""The list is sent again after so many counts."""
Loaded = tuple[History, list[Branch]]


class BranchesPage(Page):
    """Databases and their history: to look at, to branch from, to protect, keep, rename and drop."""

    TITLE = "Branches"

    def build(self) -> Sequence[ipywidgets.Widget]:
        self._limit = MARKS
        self._rows = BranchRows([], {}, dt.datetime.min.replace(tzinfo=dt.UTC))
        self._counts: dict[Key, Changed] = {}
        self._selected: str | None = None
        self.graph = HistoryGraph(on_pick=self.pick, on_older=self.load_older)
        self.list = Grid(
            self.hub.work,
            self.failed,
            label="databases and branches",
            empty="There is no database.",
            on_select=self._row_selected,
        )
        self.form = BranchForm(self.create, self.point_to_now)
        return [self.graph, self.list, self._build_actions(), self.form]

    def _build_actions(self) -> ipywidgets.Widget:
        self.of = html()
        self.protect_button = button("Protect", self.protect, tooltip="Accept merges only")
        self.keep_for = choice("Keep", list(KEEP_FOR), value="for good", width="150px")
        self.keep_button = button("Set", self.keep, tooltip="Let it live for so long from now on")
        self.new_name = text_field("New name", width="220px")
        self.rename_button = button("Rename", self.rename)
        self.drop_button = button(
            "Drop…", self.drop, tooltip="Says what would be lost, and asks", style="danger"
        )
        gap = ipywidgets.Box(layout=ipywidgets.Layout(width="12px"))
        return row(
            self.of, self.protect_button, self.keep_for, self.keep_button, self.new_name, self.rename_button, gap,
            self.drop_button,
        )  # fmt: skip

    # -- what is shown

    def load(self, job: Job) -> Loaded:
        history = read_history(self.instance, self._limit)
        return history, read_branches(self.instance, history)

    def show(self, loaded: Loaded) -> None:
        history, branches = loaded
        self.graph.show(history)
        keys = {branch.key for branch in branches}
        self._counts = {key: told for key, told in self._counts.items() if key in keys}
        self._rows = BranchRows(branches, self._counts, history.now)
        names = [branch.name for branch in branches]
        self.form.offer(names)
        if self._selected not in names:
            self._turn(names[0] if names else None, None)
        self._show_list()
        self._enable()
        self._count_next()

    def _show_list(self) -> None:
        self.list.show(self._rows, keep=True)
        shown = [] if self.list.shown is None else self.list.shown.page(0, len(self._rows.branches))
        names = [one.cells[0] for one in shown]
        self.list.selected = names.index(self._selected) if self._selected in names else -1

    def _enable(self) -> None:
        """Only what can be done can be pressed; what cannot says why."""
        branch = self._branch()
        fixed = self.instance.read_only
        self.form.forbid((self.hub.banner or "This instance was opened read-only.") if fixed else "")
        for control in (
            self.keep_button,
            self.keep_for,
            self.rename_button,
            self.new_name,
            self.protect_button,
        ):
            control.disabled = fixed or branch is None
        protected = branch is not None and branch.protected
        self.protect_button.description = "Unprotect" if protected else "Protect"
        self.protect_button.tooltip = "Accept direct commits again" if protected else "Accept merges only"
        only = len(self._rows.branches) < 2
        self.drop_button.disabled = fixed or branch is None or protected or only
        self.drop_button.tooltip = (
            "It is protected: unprotect it first" if protected
            else "It is the only database" if only
            else "Says what would be lost, and asks"
        )  # fmt: skip
        self.of.value = heading(branch.name).value if branch else ""

    def _branch(self) -> Branch | None:
        return next((one for one in self._rows.branches if one.name == self._selected), None)

    def _count_next(self) -> None:
        """Count the rows that one more branch has changed, then the next one's."""
        left = [
            one for one in self._rows.branches if one.created_from is not None and one.key not in self._counts
        ]
        if not left or not self._visible:
            return
        branch = left[0]

        def count(job: Job) -> Changed | None:
            try:
                return rows_changed(self.instance, branch)
            except (NotFoundError, StateError):
                return None  # it was dropped meanwhile: the page is about to be read again

        def counted_rows(changed: Changed | None) -> None:
            self._counts[branch.key] = changed or UNKNOWN
            if len(left) == 1 or len(left) % COUNTS_SHOWN == 0:
                self._show_list()
            self._count_next()

        self.hub.work.start(
            f"counting rows changed in {branch.name}",
            count,
            counted_rows,
            self.message.error,
            key=f"counts {id(self)}",
        )

    def appear(self) -> None:
        super().appear()
        self._count_next()

    # -- what is selected

    def turn_to(self, database: str) -> None:
        self._turn(database, None)

    def pick(self, database: str, lsn: Lsn | None) -> None:
        """A mark was picked: its database is selected, and a branch would be made from there."""
        self._turn(database, lsn)
        self.hub.select(database, by=self)

    def load_older(self) -> None:
        """Draw more of the past."""
        self._limit += MARKS
        self.refresh()

    def point_to_now(self) -> None:
        """A branch would be made from the newest state."""
        self.form.point.value = ""
        self.graph.select(self._selected or "")

    def _row_selected(self, at: int, _: str) -> None:
        found = [] if self.list.shown is None else self.list.shown.page(at, 1)
        if found:
            self.pick(found[0].cells[0], None)

    def _turn(self, database: str | None, lsn: Lsn | None) -> None:
        other = database != self._selected
        self._selected = database
        self.graph.select(database or "", lsn)
        if database is not None:
            point = (
                str(lsn) if lsn is not None else "" if other else None
            )  # a point is one of its own database
            self.form.point_to(database, point)
            self._show_list()
            self._enable()

    # -- what is done

    def create(self) -> None:
        """Make the branch that the form describes."""
        wanted = self.form.wanted

        def made(branch: Database) -> None:
            self.form.clear()
            self._selected = branch.name
            self.graph.select(branch.name)
            undo = [] if wanted.protected else [("Undo", lambda: self._drop(branch.name))]
            self.message.done(wanted.told(branch.name), *undo)
            self.hub.select(branch.name, by=self)

        self.run(f"making {wanted.name}", lambda job: wanted.make(self.instance), made, changes=True)

    def protect(self) -> None:
        """Protect the selected database, or unprotect it."""
        branch = self._branch()
        if branch is None:
            return
        wanted = not branch.protected
        verb = Database.protect if wanted else Database.unprotect
        told = "accepts merges only" if wanted else "accepts direct commits again"
        self._change(branch.name, verb, f"{branch.name} {told}.")

    def keep(self) -> None:
        """Let the selected database live for so long from now on."""
        branch = self._branch()
        if branch is None:
            return
        longer, age = KEEP_FOR[self.keep_for.value], self.instance.now - branch.created_at
        span = None if longer is None else age + longer
        until = "for good" if span is None else f"for {self.keep_for.value} from now"
        self._change(branch.name, lambda database: database.retain(span), f"{branch.name} is kept {until}.")

    def rename(self) -> None:
        """Give the selected database the name that was typed."""
        branch, new = self._branch(), self.new_name.value
        if branch is None:
            return
        old = branch.name

        def named() -> None:
            self.new_name.value = ""
            self._selected = self.instance[new].name
            self.graph.select(self._selected)
            self.hub.select(self._selected, by=self)

        back = ("Undo", lambda: self._change(new, lambda one: one.rename(old), f"It is {old} again."))
        self._change(old, lambda database: database.rename(new), f"{old} is {new} now.", back, then=named)

    def drop(self) -> None:
        """Say what would be lost with the selected database, and ask."""
        branch = self._branch()
        if branch is None:
            return
        name = branch.name

        def ask(loss: Loss) -> None:
            self.message.ask(loss.told(), f"Drop {name}", lambda: self._drop(name))

        self.run(f"looking at what would be lost with {name}", lambda job: loss_of(self.instance, name), ask)

    def _drop(self, name: str) -> None:
        self.run(
            f"dropping {name}",
            lambda job: self.instance.drop_database(name),
            lambda _: self.message.done(f"{name} was dropped."),
            changes=True,
        )

    def _change(
        self,
        name: str,
        change: Callable[[Database], None],
        told: str,
        *actions: tuple[str, Callable[[], None]],
        then: Callable[[], None] = lambda: None,
    ) -> None:
        def done(_: None) -> None:
            then()
            self.message.done(told, *actions)

        self.run(f"changing {name}", lambda job: change(self.instance[name]), done, changes=True)

    def summary(self) -> str:
        history, branches = self.load(Job(self.TITLE))
        rows = BranchRows(branches, {}, history.now)
        kept = [at for at, one in enumerate(rows.columns) if one.name != "rows changed"]  # not counted yet
        names = [rows.columns[at].name for at in kept]
        cells = [[one.cells[at] for at in kept] for one in rows.page(0, len(branches))]
        facts = [f"@ {self.instance.lsn}", counted(len(branches), "database")]
        return repr_page("Branches", self.hub.name, facts, grid(names, cells))
