"""Where the rows of a diff come from: two states of a table here, two results of a query in sql/compare/.

    diff_type, key columns, from_<name> and to_<name> of each compared column, changed

Options are applied to the stream (diff_choice.py), so that all sources have the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from absdb.engine.expressions import Evaluator
from absdb.versioning.diff_choice import Choice, check_columns, chosen, without
from absdb.versioning.diff_counts import DiffCounts, count_rows, count_with_cells
from absdb.versioning.diff_rows import diff_rows, rows_schema
from absdb.versioning.table_diff import TableDiff


class DiffSource(Protocol):
    """Rows that differ, made anew each time they are asked for."""

    @property
    def name(self) -> str:
        """What is compared, for messages."""
        ...

    def compared(self) -> list[str]:
        """The columns that are compared, in the order in which they are shown."""
        ...

    def schema(self, ignore: Sequence[str]) -> pa.Schema:
        """The columns of the rows without the ignored ones."""
        ...

    def rows(self, ignore: Sequence[str]) -> pa.RecordBatchReader:
        """All rows that differ in another column than the ignored ones, which are left out."""
        ...

    def counts(self, ignore: Sequence[str]) -> DiffCounts:
        """How many these are."""
        ...

    def cells(self, ignore: Sequence[str]) -> int:
        """How many cells differ in the modified ones."""
        ...


class TableSource:
    """Two states of a table."""

    def __init__(self, diff: TableDiff) -> None:
        self.diff = diff

    @property
    def name(self) -> str:
        return self.diff.target.schema.full_name

    def compared(self) -> list[str]:
        return [shared.name for shared in self.diff.columns]

    def schema(self, ignore: Sequence[str]) -> pa.Schema:
        return rows_schema(without(self.diff, ignore))

    def rows(self, ignore: Sequence[str]) -> pa.RecordBatchReader:
        return diff_rows(without(self.diff, ignore))

    def counts(self, ignore: Sequence[str]) -> DiffCounts:
        return DiffCounts(*without(self.diff, ignore).counts())

    def cells(self, ignore: Sequence[str]) -> int:
        return count_with_cells(without(self.diff, ignore))[1]


def wanted_rows(source: DiffSource, wanted: Choice, evaluator: Evaluator) -> pa.RecordBatchReader:
    """The rows that are wanted. NotFoundError for a column that is not compared."""
    names = source.compared()
    check_columns(wanted, names, source.name)
    names = [name for name in names if name not in wanted.ignore]
    return chosen(source.rows(wanted.ignore), names, wanted, evaluator)


def wanted_counts(source: DiffSource, wanted: Choice, evaluator: Evaluator) -> DiffCounts:
    """How many rows are wanted."""
    if wanted.is_plain:
        return source.counts(wanted.ignore)
    return count_rows(wanted_rows(source, wanted, evaluator))[0]


def wanted_cells(source: DiffSource, wanted: Choice, evaluator: Evaluator) -> int:
    """How many cells differ in the modified ones among them."""
    if wanted.is_plain:
        return source.cells(wanted.ignore)
    return count_rows(wanted_rows(source, wanted, evaluator))[1]
