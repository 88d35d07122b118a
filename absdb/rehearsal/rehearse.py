"""A migration run on a branch, statement by statement, before anybody runs it on the real thing.

    1  a branch of the database as it is, or was at the start of a window in the past
    2  each statement: how long it took, rows changed, pages written, bytes of log; the first that fails ends it
    3  what became of definitions and rows; data checks, those of the database and those given
    4  what the database committed since the branch began, replayed on a copy: the first commit that does not fit

The branch stays until it is applied (merged) or discarded; one that is forgotten goes by itself after a day. Called
by the facade and by the command line.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import time
from collections.abc import Iterable, Mapping, Sequence

from absdb.catalog.history import DatabaseInfo
from absdb.engine.engine import Engine
from absdb.errors import AbsdbError, InvalidInputError, StateError
from absdb.ids import Lsn
from absdb.io.text_files import read_text
from absdb.paths import check_text
from absdb.progress import Progress, reporting
from absdb.rehearsal.replay import replay
from absdb.rehearsal.report import CheckRun, Report, StatementRun
from absdb.sql.checks import checks_for, run_checks, run_gates
from absdb.sql.session import Session
from absdb.sql.text.tokens import statements_of
from absdb.versioning.as_of import Point
from absdb.versioning.branch import create_branch, drop_database
from absdb.versioning.diff import Diff
from absdb.versioning.divergence import diverged_pages
from absdb.versioning.merge import Merged, merge, summary_of
from absdb.versioning.merge_states import Rules
from absdb.versioning.scope import HeadScope

RETAIN = dt.timedelta(days=1)


class Rehearsed:
    """A migration that was tried: its report, its branch, and what is left to do."""

    def __init__(self, engine: Engine, parent: DatabaseInfo, start: Point, branch: DatabaseInfo) -> None:
        self.engine = engine
        self.parent = parent
        self.start = start
        self.branch = branch
        self.report = Report(parent.name, f"{start.database.name} @ {start.lsn}")

    @property
    def ended(self) -> bool:
        """Whether it was applied or discarded."""
        return self.branch.id not in self.engine.history.databases

    def apply(self, *, message: str = "", author: str | None = None) -> Merged:
        """Merge the branch into its parent and drop it.

        StateError if the migration did not run to its end. MergeConflictError, MergeConstraintError or DataCheckError
        if the parent has moved in a way that does not go with it; the branch stays then.
        """
        self._check_there()
        failed = self.report.failed_statement
        if failed is not None:
            raise StateError(
                f"the migration did not run to its end: {failed.error}", hint="discard it, and mend it"
            )
        lsn, lineage = self.engine.head(self.branch.id)
        found = merge(
            self.engine,
            self.parent,
            Point(self.branch, Lsn(lsn), lineage),
            rules=Rules(),
            message=message or f"migration rehearsed on {self.branch.name}",
            author=author,
            checks=checks_for(self.engine),
        )
        drop_database(self.engine, self.branch)
        return found

    def discard(self) -> None:
        """Drop the branch. Discarding twice is harmless."""
        if not self.ended:
            drop_database(self.engine, self.branch)

    def _check_there(self) -> None:
        if self.ended:
            raise StateError("the rehearsal has been applied or discarded", hint="rehearse again")


def rehearse(
    engine: Engine,
    parent: DatabaseInfo,
    start: Point,
    statements: str | os.PathLike[str] | Sequence[str],
    *,
    checks: Mapping[str, str] | None = None,
    name: str | None = None,
    progress: Progress = None,
) -> Rehearsed:
    """Run statements (a text, a list, or the path of an .sql file) on a branch of `start`, a state of `parent`."""
    texts = _statements(statements)
    if checks is not None and not isinstance(checks, Mapping):
        raise InvalidInputError(f"checks are a dict of name → query, not {type(checks).__name__}")
    for query in (checks or {}).values():
        check_text("a check", query)
    name = name or f"rehearsal_{engine.allocator.new_id()}"
    branch = create_branch(engine, name, start, retain=RETAIN, comment="a rehearsal")
    found = Rehearsed(engine, parent, start, branch)
    try:
        _run_all(found, texts, progress)
        _compare(found)
        _check(found, checks)
        if found.report.failed_statement is None:
            _replay(found, checks)
    except BaseException:
        found.discard()
        raise
    return found


def _statements(given: str | os.PathLike[str] | Sequence[str]) -> list[str]:
    if isinstance(given, os.PathLike) or (
        isinstance(given, str) and given.endswith(".sql") and "\n" not in given
    ):
        given = read_text(given)
    texts = [given] if isinstance(given, str) else given
    if isinstance(texts, bytes) or not isinstance(texts, Iterable):
        raise InvalidInputError(
            f"statements to rehearse are not {type(given).__name__}",
            hint="pass a text, a list or an .sql file",
        )
    found = [one for text in texts for one in statements_of(check_text("a statement", text))]
    if not found:
        raise InvalidInputError(
            "there is no statement to rehearse", hint="pass a text, a list or an .sql file"
        )
    return found


def _run_all(found: Rehearsed, statements: list[str], progress: Progress) -> None:
    engine, report = found.engine, found.report
    with (
        reporting(progress, "rehearsing", len(statements), unit="statements") as told,
        Session(HeadScope(engine, found.branch), confined=True) as session,
    ):
        for at, statement in enumerate(statements):
            report.statements.append(_run(found, session, statement))
            if told is not None:
                told(at + 1)
            if report.statements[-1].error:
                report.left_out = len(statements) - at - 1
                return
        if session.in_transaction:
            left = "the transaction is still open at the end: its changes would be lost; add a COMMIT"
            report.statements[-1] = dataclasses.replace(report.statements[-1], error=left)


def _run(found: Rehearsed, session: Session, statement: str) -> StatementRun:
    engine = found.engine
    pages, log, begun = diverged_pages(engine, found.branch), engine.published, time.perf_counter()
    rows, error = None, ""
    try:
        result = session.sql(statement)
        for _ in result.to_batches():
            pass
        rows = result.rowcount if result.rowcount >= 0 else None
    except AbsdbError as problem:
        error = str(problem)
    seconds = time.perf_counter() - begun
    written = max(diverged_pages(engine, found.branch) - pages, 0)
    return StatementRun(statement, seconds, rows, written, int(engine.published - log), error)


def _compare(found: Rehearsed) -> None:
    lsn, lineage = found.engine.head(found.branch.id)
    diff = Diff(found.engine, source=found.start, target=Point(found.branch, Lsn(lsn), lineage))
    found.report.summary = summary_of(diff)
    found.report.schema = [tuple(change) for change in diff.schema()]


def _check(found: Rehearsed, checks: Mapping[str, str] | None) -> None:
    scope = HeadScope(found.engine, found.branch)
    results = run_gates(scope, found.engine.history.catalog_at(found.start.lineage))
    results += run_checks(scope, checks) if checks else []
    found.report.checks = [
        CheckRun(one.name, one.passed, 0 if one.passed else one.rows.num_rows, one.error) for one in results
    ]


def _replay(found: Rehearsed, checks: Mapping[str, str] | None) -> None:
    """On a branch of the branch, so that the one to be applied has the migration and nothing else."""
    engine = found.engine
    lsn, lineage = engine.head(found.branch.id)
    copy = create_branch(
        engine, f"{found.branch.name}_replay", Point(found.branch, Lsn(lsn), lineage), retain=RETAIN
    )
    try:
        lsn, lineage = engine.head(found.parent.id)
        parent = Point(found.parent, Lsn(lsn), lineage)
        every = checks_for(engine, also=checks)
        replay(engine, copy, parent, found.start.lineage, checks=every, report=found.report)
    finally:
        drop_database(engine, copy)
