"""Diff and TableDiff: the answers of versioning/diff.py and versioning/table_diff.py as pandas frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.engine.frames import listing
from absdb.reprs import grid, html, page, rows_of
from absdb.versioning import diff as states
from absdb.versioning.listing import schema_changes

if TYPE_CHECKING:
    import pandas as pd


class Diff:
    """What one state has that another has not: `staging.diff(main)`.

    Both states stay readable for as long as this lives; each question is answered when it is asked.
    """

    __slots__ = ("_diff",)

    def __init__(self, diff: states.Diff) -> None:
        self._diff = diff

    def summary(self) -> pd.DataFrame:
        """One row for each operation that occurred: table_name, operation, row_count.

        Operations on rows are added, modified and removed; `table added`, `table removed` and `schema` are
        those on definitions.
        """
        return listing(self._diff.summary())

    def schema(self) -> pd.DataFrame:
        """One row for each difference in definitions: table_name, kind, item, change, from_value, to_value."""
        return listing(schema_changes(self._diff.schema()))

    def __repr__(self) -> str:
        target, source = self._diff.target, self._diff.source
        return f"<Diff {target.database.name} @ {target.lsn} against {source.database.name} @ {source.lsn}>"

    def _repr_html_(self) -> str | None:
        return html(self._shown)

    def _shown(self) -> str:
        target, source = self._diff.target, self._diff.source
        summary = self._diff.summary()
        facts = [f"against {source.database.name} @ {source.lsn}", *([] if summary else ["no difference"])]
        rows = grid(["table", "operation", "rows"], rows_of(summary))
        return page("Diff", f"{target.database.name} @ {target.lsn}", facts, rows)
