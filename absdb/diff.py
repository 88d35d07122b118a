"""Diff and TableDiff: the answers of versioning/diff.py and versioning/diff_rows.py as frames and streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from absdb.engine.frames import listing, to_pandas
from absdb.reprs import ROWS_SHOWN, grid, html, page, plain, rows_of
from absdb.versioning import diff as states
from absdb.versioning import table_diff
from absdb.versioning.diff_rows import diff_rows
from absdb.versioning.listing import schema_changes
from absdb.versioning.row_read import first_of

if TYPE_CHECKING:
    import pandas as pd


class DiffCounts(NamedTuple):
    """How many rows of a table differ."""

    added: int
    modified: int
    removed: int


class TableDiff:
    """The rows of one table in which two states differ: `staging.diff(main)["orders"]`.

    Columns: `diff_type` (added, modified, removed), the key, then `from_<name>` and `to_<name>` for each column
    both sides have, NULL on the side where the row is not, and `changed`, the names of the columns that differ.
    A column that one side added reads as its default on the other; a dropped one is in `schema()` only. One that
    was given another type shows each side in its own type, or both in the wider one if that holds both; it counts
    as changed where the value is not what `retype_column` makes of the other. In key order. The cost follows the
    change, not the size.
    """

    __slots__ = ("_diff", "_name")

    def __init__(self, diff: table_diff.TableDiff) -> None:
        self._diff = diff
        self._name = diff.target.schema.full_name

    def counts(self) -> DiffCounts:
        """How many rows were added, modified and removed."""
        return DiffCounts(*self._diff.counts())

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return self.to_batches().read_all()

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a DataFrame; integers with NULLs are nullable integers, `changed` holds lists or None."""
        return to_pandas(self.to_arrow())

    def to_batches(self) -> pa.RecordBatchReader:
        """The rows as a stream of record batches, with bounded memory."""
        return diff_rows(self._diff)

    def head(self, n: int = 5) -> pd.DataFrame:
        """The first `n` rows as a DataFrame."""
        return to_pandas(first_of(self.to_batches(), n))

    def __len__(self) -> int:
        return sum(self.counts())

    def __bool__(self) -> bool:
        return any(self.counts())

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.to_batches().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return plain("TableDiff", lambda: f"{self._name}, {self._told()}")

    def _repr_html_(self) -> str | None:
        return html(self._shown)

    def _told(self) -> str:
        return ", ".join(f"{count:,} {kind}" for kind, count in self.counts()._asdict().items())

    def _shown(self) -> str:
        first = first_of(self.to_batches(), ROWS_SHOWN)
        return page(
            "Diff", self._name, [self._told()], grid(first.column_names, rows_of(first), total=len(self))
        )


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

    def __getitem__(self, name: str) -> TableDiff:
        """The rows that differ in a table that both states have; NotFoundError for any other."""
        return TableDiff(self._diff.table(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._diff.common_names())

    def _ipython_key_completions_(self) -> list[str]:
        return self._diff.common_names()

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
