"""MergeResult: what a merge, a revert or a cherry-pick did, or with `dry_run` would do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from absdb.diff_reprs import SUMMARY_NAMES, summary_grid
from absdb.ids import Lsn
from absdb.reprs import counted, grid, html, page, plain
from absdb.versioning.conflicts import Violations
from absdb.versioning.merge import Merged

if TYPE_CHECKING:
    import pandas as pd


_SHOWN = {
    "table": "table_name",
    "key": "key",
    "column": "column_name",
    "base": "base_value",
    "ours": "our_value",
    "theirs": "their_value",
}
"""What a notebook shows of a conflict: heading → column of the frame."""
Undo = Callable[[Lsn, str | Mapping[str, str], Any], "MergeResult"]


class MergeResult:
    """What came in, and how to take it back. `bool(result)` says whether anything did, or would."""

    __slots__ = ("_dry_run", "_merged", "_undo")

    def __init__(self, merged: Merged, *, dry_run: bool, undo: Undo) -> None:
        self._merged = merged
        self._dry_run = dry_run
        self._undo = undo

    @property
    def merged(self) -> Merged:
        """The same as plain values."""
        return self._merged

    @property
    def kind(self) -> str:
        """nothing, fast-forward, merge; revert, undo (of a merge) or cherry-pick."""
        return self._merged.kind

    @property
    def lsn(self) -> Lsn | None:
        """The LSN of the commit; None if nothing was to be done, or for a dry run."""
        return self._merged.lsn

    @property
    def dry_run(self) -> bool:
        """Whether nothing was written."""
        return self._dry_run

    @property
    def clean(self) -> bool:
        """Whether no conflict, no broken constraint and no failed check stands in the way."""
        found = self._merged
        return not found.conflicts and not found.violations and found.failed_checks is None

    @property
    def bytes_to_write(self) -> int:
        """Of a dry run: what the commit would take in the log and in page files; 0 for a fast-forward."""
        return self._merged.bytes_to_write

    @property
    def conflicts(self) -> pd.DataFrame:
        """Of a dry run: what is in conflict, as in MergeConflictError.conflicts."""
        return self._merged.conflicts.frame()

    @property
    def violations(self) -> pd.DataFrame:
        """Of a dry run: rows that would break constraints: table_name, constraint_name, key, message."""
        return Violations(tuple(self._merged.violations)).frame()

    def summary(self) -> pd.DataFrame:
        """One row for each table and operation: table_name, operation (added, modified, removed, …), row_count."""
        import pandas as pd

        return pd.DataFrame(self._merged.summary, columns=["table_name", "operation", "row_count"])

    def undo(self, *, on_conflict: str | Mapping[str, str] = "fail", resolutions: Any = None) -> MergeResult:
        """Take it back and keep what was committed since, as a new commit; undone by its own undo().

        MergeConflictError if what came in was changed since, as in `merge`. What is undone counts as not merged:
        merging again brings it back.
        """
        if self._merged.lsn is None:
            return self
        return self._undo(self._merged.lsn, on_conflict, resolutions)

    def __bool__(self) -> bool:
        return self._merged.kind != "nothing"

    def __repr__(self) -> str:
        return plain("MergeResult", lambda: ", ".join([self._name(), *self._facts()]))

    def _name(self) -> str:
        return f"{self.kind}{f' @ {self.lsn}' if self.lsn else ''}"

    def _facts(self) -> list[str]:
        found = self._merged
        rows = sum(count for _, _, count in found.summary)
        facts = ["dry run"] if self._dry_run else []
        facts += [counted(rows, "change")] if found.kind != "nothing" else []
        facts += [counted(len(found.conflicts), "conflict")] if found.conflicts else []
        facts += [counted(len(found.violations), "violation")] if found.violations else []
        failed = [] if found.failed_checks is None else found.failed_checks.facts["checks"]
        return [*facts, *(f"check {name!r} fails" for name in failed)]

    def _repr_html_(self) -> str | None:
        return html(self._shown)

    def _shown(self) -> str:
        found = self._merged
        parts = [summary_grid(found.summary, SUMMARY_NAMES[:3])]
        if found.conflicts:
            columns = found.conflicts.columns
            rows = zip(*(columns[name] for name in _SHOWN.values()), strict=True)
            parts += [
                "<b>Conflicts</b>",
                grid(list(_SHOWN), [[_text(value) for value in row] for row in rows]),
            ]
        if found.violations:
            frame = self.violations.drop(columns="constraint_name")
            parts += [
                "<b>Rows that would break constraints</b>",
                grid(["table", "key", "why"], frame.values.tolist()),
            ]
        kind = "Merge" if self.kind == "nothing" else self.kind.capitalize()
        return page(kind, str(self.lsn or ("" if self else "nothing new")), self._facts(), *parts)


def _text(value: Any) -> Any:
    return value if value is None or isinstance(value, (int, float)) else str(value)
