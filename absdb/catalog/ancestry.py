"""Which history a state contains, and the merge bases of two states.

    contained      era → LSN: what a state's lineage went through, and what merges have brought in (its ancestry)
    merge bases    the maximal points contained in both sides; several where branches have been merged both ways
    intervals      what of a side's history, merged branches included, its base does not contain: only keys written
                   there can differ

A branch copies the ancestry of where it starts, a merge takes the union, a restore brings back that of the point
it goes to, and undoing a merge takes away what that merge added, because ancestry is part of the catalog. It names
only what the lineage does not. A table that was put back alone has an ancestry of its own from then on.

The lineage alone would not do for the intervals. If a merged branch changed a key and changed it back, or did what
ours had done too, the merge wrote nothing for it, and still a base in between has another value there. For the same
reason a merge that decides a conflict for the value that is there writes that row all the same: a decision is never
less visible than a change. Called by versioning/ (merge.py and its siblings), and by
engine/expiry.py, which keeps what merges to come will ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absdb.catalog.database import Changes, EntityId
from absdb.catalog.history import History, LastCommit
from absdb.catalog.lineage import ROOT, Interval, Lineage, position
from absdb.ids import EraId, TableId

Contained = Mapping[EraId, int]


def contained(history: History, lineage: Lineage, table: TableId | None = None) -> dict[EraId, int]:
    """Era → LSN up to which a state, or one table of it, contains that era's commits.

    Eras that have been forgotten are not told apart any more: all that is alive contains the same of them.
    """
    found = contained_by_itself(history, lineage, table)
    for era, lsn in history.catalog_at(lineage).ancestry_of(table).items():
        if era in history.eras:
            found[era] = max(lsn, found.get(era, 0))
    return found


def covers(outer: Contained, inner: Contained) -> bool:
    """Whether all of one history is in another."""
    return all(outer.get(era, 0) >= lsn for era, lsn in inner.items())


def contains(history: History, outer: Lineage, inner: Lineage) -> bool:
    """Whether a state has all that another one has, also in each table that was ever put back alone."""
    tables = put_back_alone(history) & history.catalog_at(inner).tables.keys()
    return all(
        covers(contained(history, outer, table), contained(history, inner, table))
        for table in (None, *tables)
    )


def merge_bases(
    history: History,
    last_commit: LastCommit,
    ours: Lineage,
    theirs: Lineage,
    table: TableId | None = None,
) -> tuple[Lineage, ...]:
    """The states at which histories part, newest first; the empty state alone where nothing is shared."""
    a, b = contained(history, ours, table), contained(history, theirs, table)
    points = []
    for era in a.keys() & b.keys():
        state = history.reached(history.eras[era], min(a[era], b[era]), last_commit)
        if state and state not in points:
            points.append(state)
    reach = {state: contained(history, state, table) for state in points}
    maximal = [state for state in points if not any(_below(state, other, reach) for other in points)]
    return tuple(sorted(maximal, key=position, reverse=True)) or (ROOT,)


def _below(state: Lineage, other: Lineage, reach: Mapping[Lineage, Contained]) -> bool:
    """Whether `other` is a later point that contains `state`."""
    era, lsn = state[-1]
    return state != other and reach[other].get(era, 0) >= lsn


def intervals(history: History, base: Lineage, side: Lineage, table: TableId) -> list[Interval]:
    """Where keys were written in which a table may differ between two states: what one contains and the other not."""
    a, b = contained(history, base, table), contained(history, side, table)
    found = [Interval(era, a.get(era, 0), lsn) for era, lsn in b.items() if lsn > a.get(era, 0)]
    found += [Interval(era, b.get(era, 0), lsn) for era, lsn in a.items() if lsn > b.get(era, 0)]
    return found


def merged_beyond(history: History, heads: Sequence[Lineage]) -> set[Interval]:
    """What some of related heads have merged in and others have not: `intervals` will ask for it."""
    known = [contained(history, head) for head in heads]
    merged = {era for head in heads for era in history.catalog_at(head).ancestry_of()}
    found = set()
    for era in merged & history.eras.keys():
        levels = [one.get(era, 0) for one in known]
        if min(levels) < max(levels):
            found.add(Interval(era, min(levels), max(levels)))
    return found


def put_back_alone(history: History) -> set[TableId]:
    """The tables that a restore has ever put back without the rest of their database."""
    return {table for era in list(history.eras.values()) for table in era.table_bases}


def merged_ancestry(
    history: History,
    bases: Callable[[TableId | None], tuple[Lineage, ...]],
    ours: Lineage,
    theirs: Lineage,
    *,
    contains: bool,
) -> Changes:
    """What changes in the catalog's ancestry if what `theirs` has beyond the bases is brought into `ours`.

    A table that was put back alone has bases of its own.

    `contains`: the result contains all of theirs (a merge). Without it (a revert, a cherry-pick) it contains what
    ours did, less what theirs has taken away since the bases: undoing a merge forgets that it was merged.
    """
    catalogs = [history.catalog_at(state) for state in (ours, theirs)]
    alone = {int(n) for catalog in catalogs for kind, n in catalog.entities if kind == "ancestry"}
    alone |= put_back_alone(history) & {table for catalog in catalogs for table in catalog.tables}
    changes: dict[EntityId, Any] = {}
    for number in {0} | alone:
        table = TableId(number) if number else None

        def known(state: Lineage, table: TableId | None = table) -> Contained:
            return (
                contained(history, state, table) if contains else history.catalog_at(state).ancestry_of(table)
            )

        merged = _joined(
            known(ours), known(theirs), [known(base) for base in bases(table)], contains=contains
        )
        own = contained_by_itself(history, ours, table)
        kept = {era: lsn for era, lsn in merged.items() if lsn > own.get(era, 0) and era in history.eras}
        if kept != catalogs[0].ancestry_of(table) or (
            number and ("ancestry", number) not in catalogs[0].entities
        ):
            changes["ancestry", number] = {str(era): lsn for era, lsn in sorted(kept.items())}
    return changes


def contained_by_itself(history: History, lineage: Lineage, table: TableId | None) -> dict[EraId, int]:
    """Era → LSN of what a lineage, or a table's, went through itself."""
    return dict(lineage if table is None else history.table_lineage(lineage, table))


def _joined(
    ours: Contained, theirs: Contained, before: list[Contained], *, contains: bool
) -> dict[EraId, int]:
    """Two histories as one. Where a side has less than every base had, it has undone a merge, and that counts."""
    found = {}
    for era in ours.keys() | theirs.keys():
        a, b = ours.get(era, 0), theirs.get(era, 0)
        least = min((base.get(era, 0) for base in before), default=0)
        undone = b < least or (contains and a < least)
        lsn = min(a, b) if undone else max(a, b) if contains else a
        if lsn:
            found[era] = lsn
    return found
