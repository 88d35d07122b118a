"""Diff, and the rows in which two states differ: the answers of versioning/diff.py as frames and streams.

RowDiff is what all rows that differ have in common; TableDiff and QueryDiff say of what they are the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

import pyarrow as pa

from absdb.engine.expressions import Evaluator
from absdb.engine.frames import listing, to_pandas
from absdb.reprs import ROWS_SHOWN, grid, html, page, plain, rows_of
from absdb.versioning import diff as states
from absdb.versioning import table_diff
from absdb.versioning.diff_choice import Choice, check_columns, choice
from absdb.versioning.diff_source import DiffSource, TableSource, wanted_counts, wanted_rows
from absdb.versioning.listing import schema_changes
from absdb.versioning.row_read import first_of

if TYPE_CHECKING:
    import pandas as pd


class DiffCounts(NamedTuple):
    """How many rows of a table differ."""

    added: int
    modified: int
    removed: int


class RowDiff:
    """Rows that differ, computed when they are asked for.

    Columns: `diff_type` (added, modified, removed), the key, then `from_<name>` and `to_<name>` for each compared
    column, NULL on the side where the row is not, and `changed`, the names of the columns that differ.
    """

    __slots__ = ("_choice", "_evaluator", "_source")

    def __init__(self, source: DiffSource, evaluator: Evaluator, wanted: Choice | None = None) -> None:
        self._source = source
        self._evaluator = evaluator
        self._choice = wanted or Choice()

    def where(
        self,
        predicate: str | None = None,
        *,
        kinds: str | Sequence[str] | None = None,
        columns: str | Sequence[str] | None = None,
        ignore: str | Sequence[str] | None = None,
        tolerance: float | None = None,
        relative_tolerance: float | None = None,
        limit: int | None = None,
    ) -> Self:
        """The same diff with only some of its rows, or with another idea of what differs.

        `predicate` is an SQL condition over the columns of the diff, `kinds` are of added, modified and removed,
        `columns` leaves modified rows in which one of these changed, `limit` is how many rows there are at most.
        `ignore` names columns that are not compared, and left out. Floats are equal if they differ by no more than
        `tolerance`, or than `relative_tolerance` times the larger one; NaN equals NaN; floats inside lists and
        structs are compared exactly. `changed`, counts and cells follow. Of an option given again the last word
        counts. Memory stays bounded. NotFoundError for a column that is not compared, InvalidInputError for what
        is no kind, tolerance or limit; QueryError, when rows are read, for a predicate that is none.

            d["orders"].where("to_total > 2 * from_total", kinds="modified", ignore=["loaded_at"])
        """
        wanted = choice(
            self._choice,
            predicate=predicate,
            kinds=kinds,
            columns=columns,
            ignore=ignore,
            tolerance=tolerance,
            relative_tolerance=relative_tolerance,
            limit=limit,
        )
        check_columns(wanted, self._source.compared(), self._source.name)
        return type(self)(self._source, self._evaluator, wanted)

    def counts(self) -> DiffCounts:
        """How many rows were added, modified and removed."""
        return DiffCounts(*wanted_counts(self._source, self._choice, self._evaluator)[:3])

    def cells(self) -> int:
        """How many cells differ in modified rows: as many as there are names in `changed`."""
        return wanted_counts(self._source, self._choice, self._evaluator).cells

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return self.to_batches().read_all()

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a DataFrame; integers with NULLs are nullable integers, `changed` holds lists or None."""
        return to_pandas(self.to_arrow())

    def to_batches(self) -> pa.RecordBatchReader:
        """The rows as a stream of record batches, with bounded memory."""
        return wanted_rows(self._source, self._choice, self._evaluator)

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
        return plain(type(self).__name__, lambda: f"{self._source.name}, {self._told()}")

    def _repr_html_(self) -> str | None:
        return html(self._shown)

    def _told(self) -> str:
        return ", ".join(f"{count:,} {kind}" for kind, count in self.counts()._asdict().items())

    def _shown(self) -> str:
        first = first_of(self.to_batches(), ROWS_SHOWN)
        rows = grid(first.column_names, rows_of(first), total=len(self))
        return page("Diff", self._source.name, [self._told()], rows)


class TableDiff(RowDiff):
    """The rows of one table in which two states differ: `staging.diff(main)["orders"]`.

    Columns: `diff_type` (added, modified, removed), the key, then `from_<name>` and `to_<name>` for each column
    both sides have, NULL on the side where the row is not, and `changed`, the names of the columns that differ.
    A column that one side added reads as its default on the other; a dropped one is in `schema()` only. One that
    was given another type shows each side in its own type, or both in the wider one if that holds both; it counts
    as changed where the value is not what `retype_column` makes of the other. In key order. The cost follows the
    change, not the size.
    """

    __slots__ = ()


class Diff:
    """What one state has that another has not: `staging.diff(main)`.

    Both states stay readable for as long as this lives; each question is answered when it is asked.
    """

    __slots__ = ("_diff",)

    def __init__(self, diff: states.Diff) -> None:
        self._diff = diff

    def summary(self) -> pd.DataFrame:
        """One row for each operation that occurred: table_name, operation, row_count, cell_count.

        Operations on rows are added, modified and removed; `table added`, `table removed` and `schema` are
        those on definitions. `cell_count` says how many cells differ in modified rows, and is missing elsewhere.
        """
        return listing(self._diff.summary(cells=True))

    def __getitem__(self, name: str) -> TableDiff:
        """The rows that differ in a table that both states have; NotFoundError for any other."""
        return self._of(self._diff.table(name))

    def _of(self, diff: table_diff.TableDiff) -> TableDiff:
        return TableDiff(TableSource(diff), self._diff.engine.evaluator)

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
