"""Merge: what another database has beyond the merge base comes into this one, as one commit.

    nothing new there                 nothing happens
    nothing new here                  fast-forward: a new era on their lineage, no rows moved
    else                              three-way: definitions by id, rows by key, cells by column

Conflicts and broken constraints stop it before anything is published. It runs beside other writers: one that wrote
the same rows meanwhile makes it start again. Called by the facade and by SQL.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from absdb.catalog.ancestry import contains, merge_bases
from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.history import DatabaseInfo
from absdb.catalog.lineage import Lineage
from absdb.engine.changeset import TableChange
from absdb.engine.commit import CommitRequest
from absdb.engine.engine import Engine
from absdb.engine.transaction import Transaction
from absdb.errors import (
    ConstraintError,
    DataCheckError,
    MergeConflictError,
    MergeConstraintError,
    WriteConflictError,
)
from absdb.ids import Lsn, TableId
from absdb.paths import check_text
from absdb.versioning.as_of import Point
from absdb.versioning.conflicts import Conflicts, Violations
from absdb.versioning.diff import Diff
from absdb.versioning.merge_states import Brought, Rules, bring
from absdb.versioning.reset import reset_database

POLITE_TRIES = 5
"""How often a merge is tried beside other writers of the database; after that they wait (engine/turnstile.py)."""
Checks = Callable[[Transaction | Point, DatabaseCatalog | None], None]
"""Runs the data checks of a result that is not published yet; DataCheckError if one fails.

Those of a catalog, which is what the database had before, must hold besides.
"""


def no_checks(result: Transaction | Point, before: DatabaseCatalog | None) -> None:
    """For databases without data checks."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a commit is taken back or over: how conflicts are met, whether it is only tried, and what the commit says."""

    rules: Rules = field(default_factory=Rules)
    dry_run: bool = False
    message: str = ""
    author: str | None = None
    checks: Checks = no_checks

    def message_or(self, default: str) -> str:
        """The message that was given, else another one."""
        return check_text("message", self.message) or default


@dataclass(slots=True)
class Merged:
    """What a merge did, or would do."""

    kind: str
    """"nothing", "fast-forward" or "merge"; "revert", "undo" or "cherry-pick" where a commit is taken back or over."""
    before: Lineage
    after: Lineage
    lsn: Lsn | None = None
    summary: list[tuple[str, str, int]] = field(default_factory=list)
    """(table_name, operation, row_count) of what came in."""
    conflicts: Conflicts = field(default_factory=Conflicts)
    violations: list[ConstraintError] = field(default_factory=list)
    failed_checks: ConstraintError | None = None
    bytes_to_write: int = 0
    """What the commit takes in the log and in page files."""


def merge(
    engine: Engine,
    target: DatabaseInfo,
    source: Point,
    *,
    rules: Rules,
    dry_run: bool = False,
    squash: bool = False,
    message: str = "",
    author: str | None = None,
    checks: Checks = no_checks,
) -> Merged:
    """Bring `source` into the database `target`. With `dry_run` nothing is written and nothing raised for conflicts.

    `squash`: one commit even where a fast-forward would do. MergeConflictError, MergeConstraintError or
    DataCheckError leave everything as it was.
    """
    message = check_text("message", message) or f"merge {source.database.name}"
    holder = dataclasses.replace(source)  # kept readable while we look at it
    engine.pins.enter(holder, "reader")
    try:
        attempt = _Attempt(engine, target, source, rules, message, author, checks)
        return attempt.run(dry_run=dry_run, squash=squash)
    finally:
        engine.pins.leave(holder)


@dataclass(slots=True)
class _Attempt:
    engine: Engine
    target: DatabaseInfo
    source: Point
    rules: Rules
    message: str
    author: str | None
    checks: Checks

    def run(self, *, dry_run: bool, squash: bool) -> Merged:
        """Try until nobody else has written the same meanwhile; the last tries hold others off."""
        for _ in range(POLITE_TRIES):
            with suppress(WriteConflictError):
                return self._once(dry_run=dry_run, squash=squash)
        with self.engine.turnstile.hold(self.target.id):
            for _ in range(POLITE_TRIES):
                with suppress(WriteConflictError):  # of commits that had passed before
                    return self._once(dry_run=dry_run, squash=squash)
            return self._once(dry_run=dry_run, squash=squash)

    def _once(self, *, dry_run: bool, squash: bool) -> Merged:
        engine, theirs = self.engine, self.source.lineage
        tx = engine.begin(
            self.target.id, author=self.author, message=self.message, kind="merge", scratch=dry_run
        )
        try:
            ours, history = tx.lineage, engine.history
            if contains(history, ours, theirs):
                return Merged("nothing", ours, ours)
            bases = merge_bases(history, engine.log.last_at_or_below, ours, theirs)
            if bases == (ours,) and not squash and contains(history, theirs, ours):
                return self._fast_forward(tx, dry_run=dry_run)
            return self._three_way(tx, bases, dry_run=dry_run)
        finally:
            tx.rollback()

    def _fast_forward(self, tx: Transaction, *, dry_run: bool) -> Merged:
        engine, theirs = self.engine, self.source.lineage
        found = Merged("fast-forward", tx.lineage, theirs)
        before = Point(self.target, Lsn(tx.snapshot_lsn), tx.lineage)
        found.summary = summary_of(Diff(engine, source=before, target=self.source))
        try:
            self.checks(self.source, tx.base_catalog)
        except DataCheckError as error:
            if not dry_run:
                raise
            found.failed_checks = error
        if dry_run:
            return found
        found.lsn = reset_database(
            engine,
            self.target,
            theirs,
            expected=tx.lineage,
            operation="fast_forward",
            author=tx.author or "",
            message=self.message,
        )
        return found

    def _three_way(self, tx: Transaction, bases: tuple[Lineage, ...], *, dry_run: bool) -> Merged:
        engine, theirs = self.engine, self.source.lineage

        def bases_of(table: TableId | None) -> tuple[Lineage, ...]:
            return (
                bases
                if table is None
                else merge_bases(engine.history, engine.log.last_at_or_below, tx.lineage, theirs, table)
            )

        brought = bring(tx, theirs, bases_of, self.rules, contains=True)
        return commit_brought(
            tx, brought, self.checks, dry_run=dry_run, what=self.message, before=tx.base_catalog
        )


def commit_brought(
    tx: Transaction,
    brought: Brought,
    checks: Checks,
    *,
    dry_run: bool,
    what: str,
    before: DatabaseCatalog | None = None,
) -> Merged:
    """Publish what was brought into a transaction, unless there are conflicts, broken constraints or failed checks.

    Checks that the database had `before` must hold too; None where something is taken back, checks among it.
    """
    found = Merged(
        "merge", tx.lineage, tx.lineage, conflicts=brought.conflicts, violations=brought.violations
    )
    found.summary = _counts(tx, brought.changes)
    if not brought.conflicts and not brought.violations:
        try:
            checks(tx, before)
        except DataCheckError as error:
            if not dry_run:
                raise
            found.failed_checks = error
    if dry_run:
        found.bytes_to_write = _bytes_of(tx, brought.changes)
        return found
    if brought.conflicts:
        raise conflict_error(brought.conflicts, what)
    if brought.violations:
        raise constraint_error(brought.violations, what)
    found.lsn = tx.commit(brought.changes)
    if found.lsn is not None:
        era = tx.engine.history.eras[tx.era]
        found.after = (*era.base, (tx.era, int(found.lsn)))
    return found


def conflict_error(conflicts: Conflicts, what: str) -> MergeConflictError:
    """The error that hands over the conflicts."""
    tables = sorted({table for table in conflicts.columns["table_name"] if table})
    where = f" in {', '.join(tables[:5])}{', …' if len(tables) > 5 else ''}" if tables else ""
    count = len(conflicts)
    return MergeConflictError(
        f"{what}: {count} conflict{'s' * (count != 1)}{where}; nothing was changed",
        hint="fill in the resolution column of .conflicts and pass it as resolutions=, or pass on_conflict=",
        conflict_data=conflicts,
    )


def constraint_error(violations: list[ConstraintError], what: str) -> MergeConstraintError:
    """The error that hands over the rows that break constraints."""
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return MergeConstraintError(
        f"{what}: the result would break constraints; nothing was changed: {first.message}{more}",
        hint="mend the rows on one of the sides, then merge again; .violations lists them",
        table=first.facts.get("table"),
        constraint=first.facts.get("constraint"),
        keys=first.facts.get("keys", []),
        violation_data=Violations(tuple(violations)),
    )


def summary_of(diff: Diff) -> list[tuple[str, str, int]]:
    """(table_name, operation, row_count) of a diff."""
    columns = diff.summary().to_pydict().values()
    return list(zip(*columns, strict=True))


def _counts(tx: Transaction, changes: list[TableChange]) -> list[tuple[str, str, int]]:
    found = []
    for (kind, _), value in tx.schema_changes.items():
        if kind == "table":
            before = None if value is None else tx.base_catalog.tables.get(value.id)
            what = "table removed" if value is None else "table added" if before is None else "schema"
            name = value.full_name if value is not None else tx.base_catalog.tables[TableId(int(_))].full_name
            found.append((name, what, 1))
    for change in changes:
        counts = (change.inserted, change.updated, change.deleted)
        for operation, count in zip(("added", "modified", "removed"), counts, strict=True):
            if count:
                found.append((change.schema.full_name, operation, count))
    return sorted(found)


def _bytes_of(tx: Transaction, changes: list[TableChange]) -> int:
    """What a commit of the changes takes: its record, and the page files it names."""
    files = (file for change in changes for part in change.pages or () for file in part["files"])
    return len(CommitRequest(tx, changes).body) + sum(file["size"] for file in files)
