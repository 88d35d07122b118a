"""The rows in which two sides differ, as users hold them: frames, streams and counts, and which of them are wanted.

DiffRows       what all have in common: rows, computed when they are asked for
RowDiff          rows side by side, by key: of a table (diff.py), of a query
ContentDiff      distinct rows with how often each side has them
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from absdb.diff_reprs import diff_grid, marked_counts, marked_rows
from absdb.engine.expressions import Evaluator
from absdb.engine.frames import to_pandas
from absdb.engine.origin import options
from absdb.frame_origin import Provenance, remembered, remembered_stream
from absdb.reprs import ROWS_SHOWN, html, page, plain
from absdb.versioning.diff_choice import Choice, check_columns, choice, chosen
from absdb.versioning.diff_counts import DiffCounts, count_content
from absdb.versioning.diff_source import DiffSource, wanted_cells, wanted_counts, wanted_rows
from absdb.versioning.row_read import first_of

if TYPE_CHECKING:
    import pandas as pd


class DiffRows:
    """Rows that differ, computed when they are asked for."""

    __slots__ = ("_choice", "_name", "_origin")

    def __init__(self, name: str, wanted: Choice | None, origin: Provenance) -> None:
        self._name = name
        self._choice = wanted or Choice()
        self._origin = origin

    def counts(self) -> DiffCounts:
        """How many rows were added, modified and removed."""
        raise NotImplementedError

    def _rows_wanted(self) -> pa.RecordBatchReader:
        """The rows, made anew."""
        raise NotImplementedError

    def to_batches(self) -> pa.RecordBatchReader:
        """The rows as a stream of record batches, with bounded memory."""
        return remembered_stream(self._rows_wanted(), self._provenance())

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return self.to_batches().read_all()

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a DataFrame; integers with NULLs are nullable integers, `changed` holds lists or None."""
        return to_pandas(self.to_arrow())

    def head(self, n: int = 5) -> pd.DataFrame:
        """The first `n` rows as a DataFrame."""
        made = self._provenance(n=n)
        return to_pandas(remembered(first_of(self._rows_wanted(), n), made))

    def _provenance(self, **asked: Any) -> Provenance:
        chosen = {
            name: value for name, value in asdict(self._choice).items() if value != getattr(Choice(), name)
        }
        found = options({**(self._origin.options or {}), **chosen, **asked})
        return replace(self._origin, options=found["options"], lost=(*self._origin.lost, *found["lost"]))

    def __len__(self) -> int:
        return sum(self.counts())

    def __bool__(self) -> bool:
        return any(self.counts())

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.to_batches().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return plain(type(self).__name__, lambda: f"{self._name}, {self._told()}")

    def _repr_html_(self) -> str | None:
        return html(self._shown)

    def _told(self) -> str:
        return ", ".join(f"{count:,} {kind}" for kind, count in self.counts()._asdict().items())

    def _shown(self) -> str:
        return page("Diff", self._name, [self._told()], self.shown_rows(ROWS_SHOWN))

    def shown_rows(self, count: int) -> str:
        """The first rows as HTML, which says how many are left out."""
        raise NotImplementedError


class RowDiff(DiffRows):
    """Rows that differ, side by side.

    Columns: `diff_type` (added, modified, removed), the key, then `from_<name>` and `to_<name>` for each compared
    column, NULL on the side where the row is not, and `changed`, the names of the columns that differ.
    """

    __slots__ = ("_evaluator", "_source")

    def __init__(
        self, source: DiffSource, evaluator: Evaluator, origin: Provenance, wanted: Choice | None = None
    ) -> None:
        super().__init__(source.name, wanted, origin)
        self._source = source
        self._evaluator = evaluator

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
        return self._with(wanted)

    def _with(self, wanted: Choice) -> Self:
        return type(self)(self._source, self._evaluator, self._origin, wanted)

    def counts(self) -> DiffCounts:
        """How many rows were added, modified and removed."""
        return wanted_counts(self._source, self._choice, self._evaluator)

    def cells(self) -> int:
        """How many cells differ in modified rows: as many as there are names in `changed`."""
        return wanted_cells(self._source, self._choice, self._evaluator)

    def _rows_wanted(self) -> pa.RecordBatchReader:
        return wanted_rows(self._source, self._choice, self._evaluator)

    def shown_rows(self, count: int) -> str:
        """The first rows as HTML with what changed marked, which says how many are left out."""
        names = [name for name in self._source.compared() if name not in self._choice.ignore]
        columns, rows = marked_rows(first_of(self._rows_wanted(), count), names)
        return diff_grid(columns, rows, keys=len(columns) - len(names), total=len(self))


class ContentDiff(DiffRows):
    """Distinct rows that one side has more often than the other.

    Columns: `diff_type` (added if there are more of them now, removed if there are fewer), the columns of the row,
    `from_count` and `to_count`, how often each side has it. In the order of the columns.
    """

    __slots__ = ("_evaluator", "_rows")

    def __init__(
        self,
        name: str,
        rows: Callable[[], pa.RecordBatchReader],
        evaluator: Evaluator,
        origin: Provenance,
        wanted: Choice | None = None,
    ) -> None:
        super().__init__(name, wanted, origin)
        self._rows = rows
        self._evaluator = evaluator

    def where(
        self,
        predicate: str | None = None,
        *,
        kinds: str | Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Self:
        """The same with only some of its rows: an SQL condition over the columns, kinds, so many at most."""
        wanted = choice(self._choice, predicate=predicate, kinds=kinds, limit=limit)
        return type(self)(self._name, self._rows, self._evaluator, self._origin, wanted)

    def counts(self) -> DiffCounts:
        """How many rows there are more and fewer, a row that comes three times counted thrice; none is modified."""
        return count_content(self._rows_wanted())

    def _rows_wanted(self) -> pa.RecordBatchReader:
        return chosen(self._rows(), [], self._choice, self._evaluator)

    def shown_rows(self, count: int) -> str:
        """The first distinct rows as HTML with both counts, which says how many are left out."""
        first = first_of(self._rows_wanted(), count)
        total = sum(batch.num_rows for batch in self._rows_wanted())
        return diff_grid(*marked_counts(first), keys=0, total=total)
