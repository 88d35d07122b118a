"""What the Time travel page does: shows a database at a commit, compares it with now, and brings it back.

A restore is a commit, so each has a way back: `Restored.undo`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from absdb.database import Database
from absdb.errors import InvalidInputError, StateError
from absdb.ids import Lsn
from absdb.instance import Instance
from absdb.panels.model.rows import ArrowRows, RowSource

_SINCE = pa.schema([("table", pa.string()), ("change", pa.string()), ("rows", pa.int64())])


@dataclass(frozen=True, slots=True)
class TableThen:
    """A table at a point: its rows then, and now; None where it is not there."""

    name: str
    then: int | None
    now: int | None


@dataclass(frozen=True)
class Restored:
    """A restore that was done, and the way back."""

    lsn: Lsn
    undo: Callable[[], Lsn]


class TimeTravel:
    """Points of one instance. Each call reads; `restore` and `branch` write."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def tables(self, database: str, point: str) -> list[TableThen]:
        """The tables of then and of now, by name."""
        now, then = self._instance[database], self._at(database, point)
        there, here = set(then), set(now)
        return [
            TableThen(
                name,
                then[name].count() if name in there else None,
                now[name].count() if name in here else None,
            )
            for name in sorted(there | here)
        ]

    def rows(self, database: str, point: str, table: str) -> RowSource | None:
        """The rows of a table at a point; None if it was not there."""
        then = self._at(database, point)
        return ArrowRows(then[table].to_arrow()) if table in then else None

    def answer(self, database: str, point: str, query: str) -> RowSource:
        """The answer of a query at a point."""
        return ArrowRows(self._at(database, point).sql(query).to_arrow())

    def since(self, database: str, point: str) -> pa.Table:
        """What changed since then: a row for each table and kind of change. The cost follows the change."""
        now = self._instance[database]
        return _changes(now, self._at(database, point))

    def restore_would(self, database: str, point: str, tables: Sequence[str] = ()) -> pa.Table:
        """What a restore would change: the same the other way round, of the chosen tables."""
        changes = _changes(self._at(database, point), self._instance[database])
        if not tables:
            return changes
        wanted = set(tables)
        keep = [name in wanted for name in changes["table"].to_pylist()]
        return changes.filter(pa.array(keep, pa.bool_()))

    def restore(self, database: str, point: str, tables: Sequence[str] = ()) -> Restored:
        """Bring back a point, whole or only some tables."""
        now = self._instance[database]
        before = now.lsn
        chosen = list(tables) or None
        restored = now.restore(lsn=str(self._at(database, point).lsn), tables=chosen)
        return Restored(restored, lambda: self._back(database, before, restored, chosen))

    def branch(self, database: str, point: str, name: str) -> str:
        """Make a branch that starts there; its name."""
        if not name:
            raise InvalidInputError("the branch has no name", hint="type one")
        return self._at(database, point).branch(name).name

    def _back(self, database: str, before: Lsn, restored: Lsn, tables: list[str] | None) -> Lsn:
        """Back to before a restore; not if that would also take back what was committed since."""
        now = self._instance[database]
        if now.lsn != restored:
            raise StateError(
                f"{database!r} has commits after the restore, which this would take back as well",
                hint=f"to go back all the same, go to {before} and restore that",
            )
        return now.restore(lsn=str(before), tables=tables, message="undo of a restore")

    def _at(self, database: str, point: str) -> Database:
        return self._instance[database].at(point)


def _changes(there: Database, here: Database) -> pa.Table:
    """What `there` has that `here` has not."""
    summary = there.diff(here).summary(cells=False)
    return pa.table(
        {
            "table": pa.array(summary["table_name"].astype(str), pa.string()),
            "change": pa.array(summary["operation"].astype(str), pa.string()),
            "rows": pa.array(summary["row_count"], pa.int64(), from_pandas=True),
        },
        schema=_SINCE,
    )
