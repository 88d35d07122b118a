"""What a rehearsal has found, as values: statements, definitions, rows, checks, and what was replayed.

Called by rehearse.py, which fills it in, and by the documents (document.py) that show it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StatementRun:
    """One statement of the migration. `error` says why it could not be run; nothing after it was."""

    statement: str
    seconds: float
    rows: int | None
    """Rows changed; None for a statement that changes definitions."""
    pages: int
    """Pages that the branch does not share with its parent any more because of it."""
    log_bytes: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class CheckRun:
    """One data check on the migrated branch."""

    name: str
    passed: bool
    rows: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One commit of the parent, replayed on the migrated branch. `reason` says why it does not fit."""

    lsn: str
    time: str
    author: str
    message: str
    fits: bool
    reason: str = ""


@dataclass(slots=True)
class Report:
    """All of it. `summary` and `schema` are the rows of the diff between the branch and what it started from."""

    database: str
    started_from: str
    statements: list[StatementRun] = field(default_factory=list)
    left_out: int = 0
    """Statements that were not run, because one before them failed."""
    schema: list[tuple[Any, ...]] = field(default_factory=list)
    summary: list[tuple[str, str, int]] = field(default_factory=list)
    checks: list[CheckRun] = field(default_factory=list)
    replayed: list[Replayed] = field(default_factory=list)
    not_replayed: int = 0
    """Commits of the parent that come after the first one that does not fit."""

    @property
    def failed_statement(self) -> StatementRun | None:
        """The statement that could not be run."""
        return next((one for one in self.statements if one.error), None)

    @property
    def misfit(self) -> Replayed | None:
        """The first commit of the parent that no longer fits."""
        return next((one for one in self.replayed if not one.fits), None)

    @property
    def failed_checks(self) -> list[CheckRun]:
        return [check for check in self.checks if not check.passed]

    @property
    def passed(self) -> bool:
        """Whether every statement ran, every check holds and every commit of the parent fits."""
        return self.failed_statement is None and not self.failed_checks and self.misfit is None

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON knows it."""
        return {
            "database": self.database,
            "started_from": self.started_from,
            "passed": self.passed,
            "statements": [asdict(one) for one in self.statements],
            "left_out": self.left_out,
            "schema": [dict(zip(SCHEMA_COLUMNS, row, strict=True)) for row in self.schema],
            "summary": [dict(zip(SUMMARY_COLUMNS, row, strict=True)) for row in self.summary],
            "checks": [asdict(one) for one in self.checks],
            "replayed": [asdict(one) for one in self.replayed],
            "not_replayed": self.not_replayed,
        }


SCHEMA_COLUMNS = ("table_name", "kind", "item", "change", "from_value", "to_value")
SUMMARY_COLUMNS = ("table_name", "operation", "row_count")
