"""Commits taken back, and taken over from elsewhere: three-way merges whose base is a state beside the commit.

    revert        base: the state after the commit; theirs: the one before it; later work stays
    cherry_pick   base: the state before the commit; theirs: the one after it

Reverting a merge also forgets that it was merged, so that merging again brings it back. What was fast-forwarded is
taken back by going on from the state before it, with what was committed since on top: see undo_fast_forward.
Called by the facade, by undo() of a merge, and by rebase.py.
"""

from __future__ import annotations

import dataclasses
import datetime as dt

from absdb.catalog.commit_entries import CommitEntry
from absdb.catalog.history import DatabaseInfo
from absdb.catalog.lineage import Lineage
from absdb.engine.engine import Engine
from absdb.engine.head import Head
from absdb.engine.transaction import Transaction
from absdb.errors import InvalidInputError, NotFoundError, StateError
from absdb.ids import EraId, Lsn
from absdb.versioning.as_of import Point
from absdb.versioning.branch import create_branch, drop_database
from absdb.versioning.merge import Merged, Terms, commit_brought
from absdb.versioning.merge_states import bring
from absdb.versioning.reset import reset_database

SCRATCH_RETAIN = dt.timedelta(hours=1)
"""How long a branch that is only a step on the way may outlive a crash."""


def revert(engine: Engine, target: DatabaseInfo, lsn: int, terms: Terms) -> Merged:
    """Take back what one commit of the database's history changed, and keep what came later, as a new commit.

    NotFoundError if the state of now does not rest on a commit of that LSN.
    """
    head = engine.head(target.id)[1]
    moved = _fast_forward_at(engine, target, lsn)
    if moved is not None:
        return undo_fast_forward(engine, target, moved, terms)
    before, after, entry = around(engine, head, lsn)
    kind = "undo" if entry.kind == "merge" else "revert"
    message = terms.message_or(_said("revert", entry))
    tx = engine.begin(target.id, author=terms.author, message=message, kind=kind, scratch=terms.dry_run)
    return _commit(tx, before, after, terms, kind)


def cherry_pick(engine: Engine, target: DatabaseInfo, source: Point, lsn: int, terms: Terms) -> Merged:
    """Take over what one commit of another database's history changed, as a commit of this one."""
    before, after, entry = around(engine, source.lineage, lsn)
    message = terms.message_or(entry.message or _said("cherry-pick", entry))
    author = entry.author if terms.author is None and entry.author else terms.author
    tx = engine.begin(target.id, author=author, message=message, scratch=terms.dry_run)
    return _commit(tx, after, before, terms, "cherry-pick")


def _commit(tx: Transaction, theirs: Lineage, base: Lineage, terms: Terms, kind: str) -> Merged:
    """Bring what leads from `base` to `theirs`, and say so; "nothing" where all of it is there already."""
    before = tx.base_catalog if kind == "cherry-pick" else None
    try:
        brought = bring(tx, theirs, lambda _: (base,), terms.rules, contains=False)
        anything = bool(brought.changes or brought.conflicts or brought.violations or tx.schema_changes)
        found = commit_brought(
            tx, brought, terms.checks, dry_run=terms.dry_run, what=tx.message, before=before
        )
    finally:
        tx.rollback()
    found.kind = kind if found.lsn is not None or (terms.dry_run and anything) else "nothing"
    return found


def around(engine: Engine, lineage: Lineage, lsn: int) -> tuple[Lineage, Lineage, CommitEntry]:
    """(the state before a commit that a lineage went through, the state after it, its entry in the log)."""
    for at, (era, reached) in enumerate(lineage):
        if engine.history.eras[era].start_lsn < lsn <= reached:
            entry = next(iter(engine.log.entries([(era, lsn - 1, lsn)])), None)
            if entry is None:
                break
            before = engine.history.reached(engine.history.eras[era], lsn - 1, engine.log.last_at_or_below)
            return before, (*lineage[:at], (era, lsn)), entry
    raise NotFoundError(
        f"no commit of this history has the LSN {Lsn(lsn)}", hint="log() lists the commits with their LSNs"
    )


def _said(what: str, entry: CommitEntry) -> str:
    return f"{what} {Lsn(entry.lsn)}{f': {entry.message}' if entry.message else ''}"


# ---------------------------------------------------------------- what was fast-forwarded


def _fast_forward_at(engine: Engine, target: DatabaseInfo, lsn: int) -> EraId | None:
    """The era that a fast-forward of this database began at an LSN."""
    for era_id in target.eras:
        era = engine.history.eras.get(era_id)
        if era is not None and era.start_lsn == lsn and era.reason == "fast_forward":
            return era_id
    return None


def undo_fast_forward(engine: Engine, target: DatabaseInfo, era: EraId, terms: Terms) -> Merged:
    """Go on from the state before a fast-forward, with what was committed since on top of it.

    StateError if the database does not go on from that fast-forward any more.
    """
    history = engine.history
    head = engine.head(target.id)[1]
    base = history.eras[era].base
    if target.eras[-1] != era:
        raise StateError(
            "the database was restored or fast-forwarded again since, so this one cannot be undone by itself",
            hint="undo what came later first, or restore() to a point before",
        )
    place = target.eras.index(era)
    if place == 0:
        raise InvalidInputError("there is nothing before the database's first era")
    before = history.lineage_of(
        dataclasses.replace(target, eras=target.eras[:place]),
        history.eras[era].start_lsn - 1,
        engine.log.last_at_or_below,
    )
    message = terms.message_or("undo a fast-forward")
    if terms.dry_run:
        state = Head(engine.published, before, before[-1][0], history.catalog_at(before))
        tx = engine.begin(target.id, author=terms.author, message=message, kind="undo", scratch=state)
        return _on_top(tx, head, base, terms)
    scratch = create_branch(
        engine,
        f"undo-{engine.allocator.new_id()}",
        Point(target, Lsn(engine.published), before),
        retain=SCRATCH_RETAIN,
        comment=message,
    )
    try:
        tx = engine.begin(scratch.id, author=terms.author, message=message, kind="undo")
        found = _on_top(tx, head, base, terms)
        found.lsn = reset_database(
            engine,
            target,
            engine.head(scratch.id)[1],
            expected=head,
            operation="undo",
            author=tx.author or "",
            message=message,
        )
        found.before, found.after = head, engine.head(target.id)[1]
        return found
    finally:
        drop_database(engine, scratch)


def _on_top(tx: Transaction, head: Lineage, base: Lineage, terms: Terms) -> Merged:
    try:
        if head == base:
            return Merged("undo", head, tx.lineage)
        brought = bring(tx, head, lambda _: (base,), terms.rules, contains=False)
        found = commit_brought(tx, brought, terms.checks, dry_run=terms.dry_run, what=tx.message)
    finally:
        tx.rollback()
    found.kind = "undo"
    return found
