"""What the parent committed meanwhile, replayed commit by commit on a copy of the migrated branch.

The first commit that does not fit ends it: a conflict with the migration, a constraint that the migration added, a
table that it dropped. Called by rehearse.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from absdb.catalog.commit_entries import CommitEntry
from absdb.catalog.history import DatabaseInfo
from absdb.catalog.lineage import Lineage, common_prefix, remainder
from absdb.clock import format_time
from absdb.engine.engine import Engine
from absdb.errors import ConstraintError, MergeConflictError, MergeConstraintError
from absdb.ids import Lsn
from absdb.rehearsal.report import Replayed, Report
from absdb.versioning.as_of import Point
from absdb.versioning.merge import Checks, Terms
from absdb.versioning.revert import cherry_pick

SHOWN = 3


def replay(
    engine: Engine,
    branch: DatabaseInfo,
    parent: Point,
    start: Lineage,
    *,
    checks: Checks,
    report: Report,
) -> None:
    """Replay what `parent` committed since `start` on `branch`; notes each commit in the report."""
    commits = list(commits_since(engine, start, parent.lineage))
    for at, entry in enumerate(commits):
        reason = ""
        try:
            cherry_pick(engine, branch, parent, entry.lsn, Terms(checks=checks))
        except MergeConflictError as error:
            reason = _told(error)
        except MergeConstraintError as error:
            reason = error.facts["violation_data"].errors[0].message
        except ConstraintError as error:
            reason = error.message
        report.replayed.append(
            Replayed(
                str(Lsn(entry.lsn)),
                format_time(entry.time_us),
                entry.author or "",
                entry.message or "",
                not reason,
                reason,
            )
        )
        if reason:
            report.not_replayed = len(commits) - at - 1
            return


def commits_since(engine: Engine, start: Lineage, head: Lineage) -> Iterator[CommitEntry]:
    """The commits of one state that another one has not, oldest first; it may lie before a restore."""
    spans = [(era, after, upto) for era, after, upto in remainder(head, common_prefix(head, start))]
    return iter(sorted(engine.log.entries(spans), key=lambda entry: entry.lsn))


def _told(error: MergeConflictError) -> str:
    """The first conflicts, in words."""
    columns = error.facts["conflict_data"].columns
    texts = []
    for at in range(min(SHOWN, len(columns["kind"]))):
        table, kind, key, column = (
            columns[name][at] for name in ("table_name", "kind", "key", "column_name")
        )
        where = f"{table}{'' if key is None else f' key {key}'}{'' if column is None else f', {column}'}"
        texts.append(f"{kind} in {where}")
    more = len(columns["kind"]) - len(texts)
    return "; ".join(texts) + (f" and {more} more" if more else "")
