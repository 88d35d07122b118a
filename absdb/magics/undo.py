"""`%undo` and `%redo`: the data as it was before the last cell that changed it.

Before and after each cell the lineages of all databases of all open instances of the kernel are written down, so it
does not matter how a cell changes them. An undo restores, with a commit of its own, what the cell had changed, and
refuses where something else has committed since. Undone again, the cell before it goes; `%redo` takes an undo back,
until a cell changes something. Databases that a cell makes or drops are not touched. Called by extension.py for the
events of the shell, and by commands.py.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field

from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

from absdb.catalog.history import DatabaseInfo
from absdb.catalog.lineage import Lineage
from absdb.database import Database
from absdb.engine.engine import Engine
from absdb.errors import StateError
from absdb.ids import DatabaseId, Lsn
from absdb.instance import open_instances
from absdb.versioning.as_of import Point
from absdb.versioning.restore import restore
from absdb.versioning.scope import HeadScope, PastScope

SHOWN_MAX = 50
_ONCE_MORE = "%undo once more goes on with the cell before it"


@dataclass(frozen=True)
class Heads:
    """Where the databases of an instance stood at one LSN."""

    lsn: int
    by_id: dict[DatabaseId, tuple[DatabaseInfo, Lineage]]

    @classmethod
    def of(cls, engine: Engine) -> Heads:
        """Where they stand now."""
        lsn = engine.published
        return cls(lsn, {info.id: (info, lineage) for info, lineage in engine.heads()})


@dataclass(frozen=True)
class Touched:
    """A database that a cell has made."""

    # A cell that is remembered must not keep an instance open.
    engine: weakref.ref[Engine]
    database: DatabaseInfo

    def there(self) -> Engine | None:
        """The engine, if the database is still there."""
        engine = self.engine()
        gone = engine is None or engine.closed or self.database.id not in engine.history.databases
        return None if gone else engine


@dataclass(frozen=True)
class Change(Touched):
    """A database that was changed: its state before, and the lineage it came to."""

    before: Point
    after: Lineage


@dataclass
class Cell:
    """A cell that has changed something."""

    title: str
    changes: list[Change] = field(default_factory=list)
    made: list[Touched] = field(default_factory=list)
    """Databases that it made and wrote to."""
    dropped: list[str] = field(default_factory=list)

    def left(self) -> bool:
        """Whether there is anything to undo, or to say about what cannot be undone."""
        return bool(self.dropped) or any(each.there() for each in (*self.changes, *self.made))


@dataclass(frozen=True)
class Undone:
    """What an undo or a redo has done: a sentence for each database, and the states to compare."""

    said: list[str]
    states: list[tuple[Database, Database]]


class History:
    """The cells of a kernel that have changed data, and those that were undone."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._before: weakref.WeakKeyDictionary[Engine, Heads] = weakref.WeakKeyDictionary()
        self._running: ExecutionInfo | None = None
        self._done: list[Cell] = []
        self._undone: list[Cell] = []

    # -- what cells do

    def before_cell(self, info: ExecutionInfo) -> None:
        """Write down where everything stands. A cell that a cell runs belongs to that one."""
        if self._running is None:
            self._running = info
            self._before.clear()
            for engine in _engines():
                self._before[engine] = Heads.of(engine)

    def after_cell(self, result: ExecutionResult | None) -> None:
        """Find out what the cell has changed."""
        if self._running is None:
            return
        # By its text: for a cell that was interrupted the shell makes another object.
        if result is not None and result.info is not None and result.info.raw_cell != self._running.raw_cell:
            return
        cell = Cell(_title(self._shell, self._running))
        self._running = None
        for engine in _engines():
            before = self._before.get(engine)
            if before is not None and before.lsn != engine.published:
                _compare(cell, engine, before, Heads.of(engine))
        self._before.clear()
        if cell.changes or cell.made or cell.dropped:
            self._done.append(cell)
            self._undone.clear()

    # -- taking it back

    def undo(self) -> Undone:
        """Restore what the last cell that changed data has changed.

        StateError if there is none, it changed nothing that can be restored, or something else has committed since.
        """
        cell = self._last(
            self._done, "no cell has changed the data of an open instance since %load_ext absdb"
        )
        if not any(change.there() for change in cell.changes):
            self._done.remove(cell)
            raise StateError(f"{cell.title} {_not_undone(cell)}", hint=_ONCE_MORE)
        taken_back, undone = self._apply(cell, "undo of")
        self._done.remove(cell)
        self._undone.append(taken_back)
        if more := _not_undone(cell):
            undone.said.append(f"{cell.title} also {more}")
        return undone

    def redo(self) -> Undone:
        """Take the last undo back. StateError as for `undo`."""
        cell = self._last(self._undone, "there is no %undo to take back since a cell changed data")
        done, redone = self._apply(cell, "redo of")
        self._undone.remove(cell)
        self._done.append(done)
        return redone

    def _last(self, cells: list[Cell], none: str) -> Cell:
        """The last cell of which something is left."""
        while cells:
            cell = cells[-1]
            if cell.left():
                return cell
            cells.pop()
        raise StateError(none, hint="restore(…) of a database winds it back to any point; log() lists them")

    def _apply(self, cell: Cell, verb: str) -> tuple[Cell, Undone]:
        """Restore every database that a cell changed; the way back, and what was done."""
        back, undone = Cell(cell.title, made=cell.made, dropped=cell.dropped), Undone([], [])
        here = [(change, engine) for change in cell.changes if (engine := change.there())]
        for change, engine in here:
            _check(cell, change, engine)
        for change, engine in here:
            info = engine.history.databases[change.database.id]
            now = Point(info, Lsn(engine.published), change.after)
            past = Database(PastScope(engine, now))
            restore(engine, change.before, message=f"{verb} {cell.title}")
            heads = Heads.of(engine)
            back.changes.append(Change(change.engine, info, now, heads.by_id[info.id][1]))
            undone.states.append((Database(HeadScope(engine, info)), past))
            what = "before" if verb.startswith("undo") else "after"
            undone.said.append(f"{info.name} is as it was {what} {cell.title}")
            if engine in self._before:
                self._before[engine] = heads
        return back, undone


def _engines() -> Iterable[Engine]:
    return (instance._engine for instance in open_instances() if not instance.read_only)


def _compare(cell: Cell, engine: Engine, before: Heads, after: Heads) -> None:
    """Note what is different in an instance."""
    for id, (info, lineage) in after.by_id.items():
        if id not in before.by_id:
            if lineage != engine.history.eras[info.eras[0]].base:
                cell.made.append(Touched(weakref.ref(engine), info))
        elif lineage != before.by_id[id][1]:
            point = Point(info, Lsn(before.lsn), before.by_id[id][1])
            cell.changes.append(Change(weakref.ref(engine), info, point, lineage))
    cell.dropped += [info.name for id, (info, _) in before.by_id.items() if id not in after.by_id]


def _check(cell: Cell, change: Change, engine: Engine) -> None:
    """StateError where a restore would take back more than the cell did, or cannot be made."""
    info = engine.history.databases[change.database.id]
    if engine.head(info.id)[1] != change.after:
        raise StateError(
            f"database {info.name!r} was changed after {cell.title} by something that was no cell, "
            "and %undo would take that back as well",
            hint=f"restore(lsn='{change.before.lsn}') does so; revert(lsn=…) takes one commit back; log() lists them",
        )
    if info.protected:
        raise StateError(
            f"database {info.name!r} is protected and accepts merges only",
            hint="unprotect it to undo what changed it",
        )


def _not_undone(cell: Cell) -> str:
    """The part of a cell that no restore takes back, as a clause."""
    there = [each.database.name for each in cell.made if each.there()]
    made = [f"made database {name!r}, which DROP DATABASE removes" for name in there]
    dropped = [f"dropped database {name!r}, which does not come back" for name in cell.dropped]
    return " and ".join([*made, *dropped])


def _title(shell: InteractiveShell, info: ExecutionInfo) -> str:
    """`cell 7 (UPDATE orders SET …)`: its number, and the first line that says something."""
    lines = [line.strip() for line in str(info.raw_cell).splitlines()]
    telling = [line for line in lines if line and not line.startswith(("%%", "#"))]
    text = next(iter(telling or lines), "")
    shown = text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"
    number = f" {shell.execution_count - 1}" if info.store_history else ""
    return f"cell{number} ({shown})"
