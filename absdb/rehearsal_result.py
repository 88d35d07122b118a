"""Rehearsal: a migration that was tried on a branch, its report, and what is left to do about it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from absdb.io.text_files import write_text
from absdb.merge_result import MergeResult
from absdb.rehearsal.document import as_document, as_html, as_text, verdict
from absdb.rehearsal.rehearse import Rehearsed
from absdb.rehearsal.report import SCHEMA_COLUMNS, SUMMARY_COLUMNS, Report
from absdb.reprs import html, plain
from absdb.versioning.merge import Merged

if TYPE_CHECKING:
    import pandas as pd


class Rehearsal:
    """What `main.rehearse(…)` gives. `bool(rehearsal)` says whether all of it went well."""

    __slots__ = ("_done", "_result")

    def __init__(self, done: Rehearsed, result: Callable[[Merged], MergeResult]) -> None:
        self._done = done
        self._result = result

    @property
    def branch(self) -> str:
        """The name of the branch that the migration ran on; it stays until `apply` or `discard`, a day at most."""
        return self._done.branch.name

    @property
    def report(self) -> Report:
        """Everything that was found, as plain values."""
        return self._done.report

    @property
    def passed(self) -> bool:
        """Whether every statement ran, every check holds, and every commit of the parent fits."""
        return self.report.passed

    def statements(self) -> pd.DataFrame:
        """One row a statement: statement, seconds, rows (none for definitions), pages, log_bytes, error."""
        return _frame(self.report.statements).astype({"rows": "Int64"})

    def schema(self) -> pd.DataFrame:
        """What the migration did to definitions: table_name, kind, item, change, from_value, to_value."""
        import pandas as pd

        return pd.DataFrame(self.report.schema, columns=list(SCHEMA_COLUMNS))

    def summary(self) -> pd.DataFrame:
        """What it did to rows: table_name, operation, row_count."""
        import pandas as pd

        return pd.DataFrame(self.report.summary, columns=list(SUMMARY_COLUMNS))

    def checks(self) -> pd.DataFrame:
        """One row a data check: name, passed, rows (that offend), error."""
        return _frame(self.report.checks)

    def replayed(self) -> pd.DataFrame:
        """A row a commit of the parent up to the first that does not fit: lsn, time, author, message, fits, reason."""
        return _frame(self.report.replayed)

    def apply(self, *, message: str = "", author: str | None = None) -> MergeResult:
        """Merge the branch into its parent and drop it; refused if the parent moved in a way that conflicts.

        MergeConflictError, MergeConstraintError and DataCheckError leave the branch there. StateError if the
        migration did not run to its end.
        """
        return self._result(self._done.apply(message=message, author=author))

    def discard(self) -> None:
        """Drop the branch: nothing is left of the rehearsal."""
        self._done.discard()

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON knows it."""
        return self.report.to_dict()

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write the report as an HTML file to attach to a review."""
        write_text(path, as_document(self.report, self.branch))

    def to_text(self) -> str:
        """The report as a terminal shows it."""
        return as_text(self.report)

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return plain("Rehearsal", lambda: f"{self.branch} of {self.report.database}, {verdict(self.report)}")

    def _repr_html_(self) -> str | None:
        return html(lambda: as_html(self.report, self.branch))


def _frame(rows: list[Any]) -> pd.DataFrame:
    import pandas as pd

    names = list(type(rows[0]).__dataclass_fields__) if rows else []
    return pd.DataFrame([[getattr(row, name) for name in names] for row in rows], columns=names)
