"""Diff, what one state has that another has not: the answers of versioning/diff.py as frames and streams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from absdb.branch_colours import branch_html
from absdb.diff_reprs import summary_grid
from absdb.engine.expressions import Evaluator
from absdb.engine.frames import listing, to_pandas
from absdb.engine.origin import options, origin
from absdb.engine.told import told
from absdb.frame_origin import Provenance
from absdb.reprs import Html, counted, html, page, rows_of
from absdb.row_diff import ContentDiff, RowDiff
from absdb.versioning import diff as states
from absdb.versioning import table_diff
from absdb.versioning.diff_choice import Choice, choice
from absdb.versioning.diff_rows import DIFF_TYPES
from absdb.versioning.diff_source import DiffSource, TableSource
from absdb.versioning.listing import schema_changes

if TYPE_CHECKING:
    import pandas as pd

TABLES_SHOWN = 5
ROWS_OF_A_TABLE = 5


class TableDiff(RowDiff):
    """The rows of one table in which two states differ: `staging.diff(main)["orders"]`.

    Columns: `diff_type` (added, modified, removed), the key, then `from_<name>` and `to_<name>` for each column
    both sides have, NULL on the side where the row is not, and `changed`, the names of the columns that differ.
    A column that one side added reads as its default on the other; a dropped one is in `schema()` only. One that
    was given another type shows each side in its own type, or both in the wider one if that holds both; it counts
    as changed where the value is not what `retype_column` makes of the other. In key order. The cost follows the
    change, not the size.
    """

    __slots__ = ("_whole",)

    def __init__(
        self,
        source: DiffSource,
        evaluator: Evaluator,
        origin: Provenance,
        wanted: Choice | None = None,
        *,
        whole: states.Diff,
    ) -> None:
        super().__init__(source, evaluator, origin, wanted)
        self._whole = whole

    def _with(self, wanted: Choice) -> Self:
        return type(self)(self._source, self._evaluator, self._origin, wanted, whole=self._whole)

    def profile(self, quantiles: Sequence[float] = (0.25, 0.5, 0.75)) -> pd.DataFrame:
        """One row a column of both sides whole, whatever `where` leaves: how it is filled and what it ranges over.

        column, type, then from_ and to_ of: null_rate (0 to 1), distinct, min, max and each quantile (q25, …) of
        numbers, dates and times. `distinct` and quantiles are estimates. Costs one scan of each side, with memory
        bounded.
        """
        from absdb.sql.compare.profile import profile

        return profile(self._whole.engine, self._whole.table(self._name), quantiles)

    def group_totals(self, by: str | Sequence[str], of: str | Sequence[str] = ()) -> pd.DataFrame:
        """For each value of the columns in `by`: from_rows and to_rows, and from_ and to_ sums of the columns in `of`.

        Costs one scan of each side. NotFoundError for a column that one side has not.

            d["orders"].group_totals("status", of="total")
        """
        from absdb.sql.compare.profile import group_totals

        names = [[each] if isinstance(each, str) else list(each) for each in (by, of)]
        return to_pandas(group_totals(self._whole.engine, self._whole.table(self._name), *names))

    def patch(self, *, transaction: bool = True) -> Iterator[str]:
        """SQL that gives the table on the source's side the definition and the rows of the target's side.

        As `Diff.patch`, of this table alone, and with the rows that `where` leaves.
        """
        from absdb.sql.compare.patch import patch

        return patch(self._whole, table=self._name, wanted=self._choice, transaction=transaction)


class Diff:
    """What one state has that another has not: `staging.diff(main)`.

    Both states stay readable for as long as this lives; each question is answered when it is asked.
    """

    __slots__ = ("_diff", "_fixed")

    def __init__(self, diff: states.Diff, *, fixed: Sequence[str] = ("from", "to")) -> None:
        """`fixed` names the sides, from and to, that were named by a point and not as the head of their database."""
        self._diff = diff
        self._fixed = list(fixed)

    def summary(self, *, cells: bool = True) -> pd.DataFrame:
        """One row for each operation that occurred: table_name, operation, row_count, cell_count.

        Operations on rows are added, modified and removed; `table added`, `table removed` and `schema` are
        those on definitions. `cell_count` says how many cells differ in modified rows, and is missing elsewhere.
        Without `cells` it is left out, and of a modified row no more is read than what tells that it is.
        """
        return listing(self._diff.summary(cells=cells))

    def __getitem__(self, name: str) -> TableDiff:
        """The rows that differ in a table that both states have; NotFoundError for any other."""
        return self._of(self._diff.table(name))

    def _of(self, diff: table_diff.TableDiff) -> TableDiff:
        source = TableSource(diff)
        return TableDiff(
            source, self._diff.engine.evaluator, self._origin("diff", source.name), whole=self._diff
        )

    def _origin(self, kind: str, table: str) -> Provenance:
        """What frames of the rows of a table remember."""
        target, source = self._diff.target, self._diff.source
        return origin(
            self._diff.engine,
            target.database.name,
            int(target.lsn),
            kind,
            table=table,
            against=source.database.name,
            against_lsn=source.lsn,
            **options({"fixed": self._fixed}),
        )

    def by_content(self, name: str, *, ignore: str | Sequence[str] = ()) -> ContentDiff:
        """The distinct rows of a table that one side has more often than the other, with both counts.

        For tables without a key, whose rows `diff[name]` tells apart by hidden numbers. `ignore` names columns that
        are left out. Between states of one table the cost follows the change, and is one scan if there is any;
        between two tables that only share a name it is that of reading both. NotFoundError if one side has none.
        """
        from absdb.sql.compare.content import content_of

        ignored = choice(ignore=ignore).ignore
        found = content_of(self._diff, name, ignored)
        made = self._origin("content diff", found.name)
        asked = options({**(made.options or {}), "ignore": list(ignored)})
        return ContentDiff(
            found.name, found.rows, self._diff.engine.evaluator, replace(made, options=asked["options"])
        )

    def patch(self, *, transaction: bool = True) -> Iterator[str]:
        """SQL statements that, run where the source is, make what the target is; one text a statement.

        Definitions first, then rows: DELETE and UPDATE by key, INSERT, in an order that keeps foreign keys, between
        BEGIN and COMMIT unless `transaction` is False. Rows of tables without a key go by content. A constraint that no
        order would keep at each statement is taken off and put back. InvalidInputError, before the first statement,
        names what SQL cannot express, such as another order of columns. Memory is bounded; the cost follows the change.

            main.sql("".join(staging.diff(main).patch()))     # main becomes what staging is
        """
        from absdb.sql.compare.patch import patch

        return patch(self._diff, transaction=transaction)

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
        summary = self._diff.summary(cells=True)
        engine = self._diff.engine
        here, there = (
            f"{branch_html(side.database.name)} @ {told(engine, side.lsn)}" for side in (target, source)
        )
        facts: list[str | Html] = [Html(f"against {there}"), *([] if summary else ["no difference"])]
        return page("Diff", Html(here), facts, summary_grid(rows_of(summary)), *self._tables(summary))

    def _tables(self, summary: pa.Table) -> Iterator[str]:
        """The first rows that differ in the first tables in which any do."""
        rows = zip(summary["table_name"].to_pylist(), summary["operation"].to_pylist(), strict=True)
        names = list(dict.fromkeys(name for name, operation in rows if operation in DIFF_TYPES))
        for name in names[:TABLES_SHOWN]:
            yield page("", name, [], self[name].shown_rows(ROWS_OF_A_TABLE))
        if len(names) > TABLES_SHOWN:
            yield page("", "", [f"… and {counted(len(names) - TABLES_SHOWN, 'more table')}"])
