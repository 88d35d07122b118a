"""What the Branches page lists of each database, and what would be lost with one.

Rows changed are counted apart (`rows_changed`), for they cost what a branch has changed; who asks keeps them by the
`key` of a branch, which stays the same as long as its state does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from absdb.errors import HistoryExpiredError, InvalidInputError
from absdb.ids import Lsn
from absdb.instance import Instance
from absdb.marks import SIGNS
from absdb.panels.model.history import History
from absdb.panels.model.moments import relative
from absdb.panels.model.rows import GridColumn, GridRow, RowSource
from absdb.reprs import counted

Key = tuple[str, dt.datetime, int]
"""(name, when it was made, LSN of its last commit): the same key, the same two states."""


class Changed(NamedTuple):
    """Rows that a branch has changed: in signs, `+3 ~2` or "none", and how many in all."""

    told: str
    rows: int


UNCOUNTED = Changed("…", -1)
UNKNOWN = Changed("not kept", -1)
"""Of a branch whose beginning can no longer be read."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A database as it is listed. `base` is the LSN in its source that it starts from; 0 if it is no branch."""

    name: str
    created_from: str | None
    created_at: dt.datetime
    base: int
    diverged_pages: int
    lsn: int
    changed_at: dt.datetime | None
    protected: bool
    expires_at: dt.datetime | None
    comment: str

    @property
    def key(self) -> Key:
        """Under which its rows changed are kept."""
        return self.name, self.created_at, self.lsn


def read_branches(instance: Instance, history: History) -> list[Branch]:
    """Every database, oldest first. Times of last commits come from the history if it goes back so far."""
    positions: dict[str, str] = dict(instance.databases()[["name", "lsn"]].itertuples(index=False))
    found = []
    for one in instance.branches().to_dict("records"):
        if one["name"] in positions:  # it was dropped between the two listings otherwise
            lsn = int(Lsn.parse(positions[one["name"]]))
            mark = history.mark_at(lsn)
            found.append(
                Branch(
                    one["name"],
                    one["created_from"],
                    one["created_at"].to_pydatetime(),
                    0 if one["created_lsn"] is None else int(Lsn.parse(one["created_lsn"])),
                    one["diverged_pages"],
                    lsn,
                    None if mark is None else mark.time,
                    bool(one["protected"]),
                    None if one["expires_at"] != one["expires_at"] else one["expires_at"].to_pydatetime(),
                    one["comment"],
                )
            )
    return found


def rows_changed(instance: Instance, branch: Branch) -> Changed:
    """How many rows a branch has changed since it was made. The cost follows the change."""
    database = instance[branch.name]
    try:
        summary = database.diff(database.at(lsn=branch.base)).summary(cells=False)
    except HistoryExpiredError:
        return UNKNOWN
    return Changed(_signed(summary), int(summary["row_count"].sum()))


def _signed(summary: Any) -> str:
    """A summary of a diff in signs, with tables that came or went."""
    counts = summary.groupby("operation")["row_count"].agg(["sum", "size"])
    told = [f"{sign}{counts['sum'][name]:,}" for name, sign in SIGNS.items() if name in counts.index]
    for operation in ("table added", "table removed", "schema"):
        if operation in counts.index:
            number = int(counts["size"][operation])
            told.append(
                counted(number, "table")
                + {"schema": " redefined"}.get(operation, operation.removeprefix("table"))
            )
    return " ".join(told) or "none"


# -- the list


@dataclass(frozen=True)
class BranchRows:
    """Branches for a grid. `changed` has the rows changed of those that have been counted."""

    branches: Sequence[Branch]
    changed: Mapping[Key, Changed]
    now: dt.datetime

    @property
    def _left_out(self) -> list[str]:
        """Columns in which there would be nothing."""
        found = [] if any(one.expires_at for one in self.branches) else ["expires"]
        return found if any(one.comment for one in self.branches) else [*found, "comment"]

    @property
    def columns(self) -> Sequence[GridColumn]:
        columns = [
            GridColumn("name"),
            GridColumn("created from"),
            GridColumn("age", numeric=True),
            GridColumn("diverged", "pages", numeric=True),
            GridColumn("rows changed", "since it was made"),
            GridColumn("last commit", "LSN · time"),
            GridColumn("protected"),
            GridColumn("expires"),
            GridColumn("comment"),
        ]
        left_out = self._left_out
        return [one for one in columns if one.name not in left_out]

    @property
    def count(self) -> int | None:
        return len(self.branches)

    def page(self, offset: int, count: int) -> list[GridRow]:
        return [GridRow(self._cells(one)) for one in self.branches[offset : offset + count]]

    def sorted_by(self, column: str, *, descending: bool) -> RowSource:
        if column not in (one.name for one in self.columns):
            raise InvalidInputError(f"there is no column {column!r} to sort by")
        order = sorted(self.branches, key=lambda one: self._keys(one)[column], reverse=descending)
        return replace(self, branches=order)

    def _cells(self, one: Branch) -> list[Any]:
        branched = one.created_from is not None
        last = str(Lsn(one.lsn)) if one.lsn else "none"
        cells = {
            "name": one.name,
            "created from": f"{one.created_from} @ {Lsn(one.base)}" if branched else "",
            "age": relative(one.created_at, self.now).removesuffix(" ago"),
            "diverged": f"{one.diverged_pages:,}" if branched else "",
            "rows changed": self.changed.get(one.key, UNCOUNTED).told if branched else "",
            "last commit": f"{last} · {relative(one.changed_at, self.now)}" if one.changed_at else last,
            "protected": "protected" if one.protected else "",
            "expires": "" if one.expires_at is None else relative(one.expires_at, self.now),
            "comment": one.comment,
        }
        left_out = self._left_out
        return [text for name, text in cells.items() if name not in left_out]

    def _keys(self, one: Branch) -> dict[str, Any]:
        """What each column is sorted by."""
        return {
            "name": one.name.casefold(),
            "created from": (one.created_from or "").casefold(),
            "age": self.now - one.created_at,
            "diverged": one.diverged_pages,
            "rows changed": self.changed.get(one.key, UNCOUNTED).rows,
            "last commit": one.lsn,
            "protected": one.protected,
            "expires": one.expires_at or dt.datetime.max.replace(tzinfo=dt.UTC),
            "comment": one.comment.casefold(),
        }


# -- what is lost


@dataclass(frozen=True, slots=True)
class Loss:
    """What would be lost with a database: commits, rows that its source has not, snapshots; and what stays."""

    name: str
    commits: int
    rows: str
    conflicts: int
    source: str | None
    snapshots: tuple[str, ...]
    children: tuple[str, ...]

    def told(self) -> str:
        """A statement for people."""
        parts = []
        if self.commits:
            parts.append(f"{counted(self.commits, 'commit')} that no other database holds")
        if self.rows and self.source is not None:
            beside = f" ({counted(self.conflicts, 'conflict')} besides)" if self.conflicts else ""
            parts.append(f"what {self.source} does not have: {self.rows}{beside}")
        elif self.rows:
            parts.append(self.rows)
        if self.snapshots:
            parts.append(f"{counted(len(self.snapshots), 'snapshot')}: {_some(self.snapshots)}")
        lost = f"Lost for good would be {'; '.join(parts)}." if parts else "Nothing would be lost."
        stays = f" What was branched from it stays whole: {_some(self.children)}." if self.children else ""
        return f"Drop {self.name}? {lost}{stays}"


def loss_of(instance: Instance, name: str) -> Loss:
    """What dropping a database would lose. Costs a merge into its source that is tried and not made."""
    database = instance[name]
    listed = instance.branches()
    sources = listed.loc[listed["name"] == database.name, "created_from"].tolist()
    source = sources[0] if sources and sources[0] in set(listed["name"]) - {database.name} else None
    rows, conflicts = _not_in(instance, name, source)
    return Loss(
        database.name,
        len(database.log(only_here=True)),
        rows,
        conflicts,
        source,
        tuple(database.snapshots()["name"]),
        tuple(listed.loc[listed["created_from"] == database.name, "name"]),
    )


def _not_in(instance: Instance, name: str, source: str | None) -> tuple[str, int]:
    """(what a merge would bring into the source, conflicts it would have); all its tables where there is no source."""
    if source is None:
        tables = instance[name].tables()
        return (counted(len(tables), "table"), 0) if len(tables) else ("", 0)
    try:
        tried = instance[source].merge(instance[name], dry_run=True)
    except HistoryExpiredError:
        return "rows that cannot be told, for the history that tells them is no longer kept", 0
    told = _signed(tried.summary())
    return ("" if told == "none" else f"{told} rows"), len(tried.conflicts)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
