"""Rebase: the commits of a branch replayed one by one on another head, as if it had been made from there.

They are cherry-picked onto a branch beside, which the database goes on from once all of them fit: until then nothing
has happened to it. Merges are not replayed as such: what they brought is in the target, or comes with their rows.
Called by the facade and by SQL.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from absdb.catalog.ancestry import contained, covers, merge_bases
from absdb.catalog.commit_entries import CommitEntry
from absdb.catalog.history import DatabaseInfo
from absdb.catalog.lineage import Lineage
from absdb.engine.engine import Engine
from absdb.errors import InvalidInputError, MergeConflictError, StateError
from absdb.ids import Lsn
from absdb.versioning.as_of import Point
from absdb.versioning.branch import create_branch, drop_database
from absdb.versioning.merge import Terms, conflict_error
from absdb.versioning.merge_states import Rules
from absdb.versioning.reset import reset_database
from absdb.versioning.revert import SCRATCH_RETAIN, cherry_pick

REPLAYED = pa.schema([(name, pa.string()) for name in ("old_lsn", "new_lsn", "author", "message")])


def parent_of(engine: Engine, branch: DatabaseInfo) -> Point:
    """The head of what a branch was made from; StateError if that is gone or it is no branch."""
    parent = None if branch.source is None else engine.history.databases.get(branch.source)
    if parent is None:
        raise StateError(
            f"database {branch.name!r} was made from nothing that is still there",
            hint="pass the database to go onto",
        )
    lsn, lineage = engine.head(parent.id)
    return Point(parent, Lsn(lsn), lineage)


def rebase(
    engine: Engine, branch: DatabaseInfo, onto: Point, *, rules: Rules, author: str | None = None
) -> pa.Table:
    """Replay what `branch` has and `onto` has not; returns REPLAYED, a row a commit that changed something.

    MergeConflictError carries the `lsn` of the commit that does not fit, and leaves the branch as it was. StateError
    if the branch is protected.
    """
    if onto.database.id == branch.id:
        raise InvalidInputError(f"database {branch.name!r} cannot be rebased onto itself")
    if branch.protected:
        raise StateError(
            f"database {branch.name!r} is protected and accepts merges only",
            hint="rebase a branch of it, then merge that",
        )
    head = engine.head(branch.id)[1]
    own = Point(branch, Lsn(engine.published), head)
    commits = list(_commits(engine, head, onto.lineage))
    message = f"rebase onto {onto.database.name}"
    scratch = create_branch(
        engine, f"rebase-{engine.allocator.new_id()}", onto, retain=SCRATCH_RETAIN, comment=message
    )
    rows: list[tuple[str, ...]] = []
    try:
        for entry in commits:
            try:
                done = cherry_pick(engine, scratch, own, entry.lsn, Terms(rules))
            except MergeConflictError as error:
                where = f"rebase of {branch.name}: the commit at {Lsn(entry.lsn)} does not fit"
                told = conflict_error(error.facts["conflict_data"], where)
                told.facts["lsn"] = Lsn(entry.lsn)
                raise told from None
            if done.lsn is not None:
                texts = (entry.author or "", entry.message or "")
                rows.append((str(Lsn(entry.lsn)), str(done.lsn), *texts))
        reset_database(
            engine,
            branch,
            engine.head(scratch.id)[1],
            expected=head,
            operation="rebase",
            author=engine.author if author is None else author,
            message=message,
        )
    finally:
        drop_database(engine, scratch)
    columns = zip(*rows, strict=True) if rows else [()] * len(REPLAYED)
    return pa.Table.from_arrays([pa.array(list(c), pa.string()) for c in columns], schema=REPLAYED)


def _commits(engine: Engine, head: Lineage, onto: Lineage) -> Iterator[CommitEntry]:
    """What a branch committed beyond what the other side contains, oldest first."""
    history, last = engine.history, engine.log.last_at_or_below
    known = contained(history, onto)
    if covers(known, contained(history, head)):
        return
    bases = merge_bases(history, last, head, onto)
    for base in bases:
        known = {
            era: max(lsn, known.get(era, 0)) for era, lsn in {**known, **contained(history, base)}.items()
        }
    spans = [(era, known.get(era, 0), lsn) for era, lsn in head if lsn > known.get(era, 0)]
    yield from sorted(engine.log.entries(spans), key=lambda entry: entry.lsn)
