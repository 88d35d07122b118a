"""Diff of two states of databases: what `target` has that `source` has not, as a summary per table.

`staging.diff(main)` is Diff(source=main's state, target=staging's). Both states stay readable for as long as the
Diff lives. Words are those of row diffs everywhere: added, modified, removed.
"""

from __future__ import annotations

from functools import cached_property

import pyarrow as pa

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.lineage import Lineage
from absdb.catalog.schema import TableSchema
from absdb.engine.engine import Engine
from absdb.engine.listing import listed
from absdb.engine.reader import TableReader
from absdb.errors import NotFoundError
from absdb.paths import normal_name
from absdb.versioning.as_of import Point
from absdb.versioning.diff_counts import count_with_cells
from absdb.versioning.schema_diff import SchemaChange, TablePair, pair_tables, schema_changes
from absdb.versioning.table_diff import TableDiff

SUMMARY_SCHEMA = pa.schema(
    [("table_name", pa.string()), ("operation", pa.string()), ("row_count", pa.int64())]
)
CELLS_SCHEMA = SUMMARY_SCHEMA.append(pa.field("cell_count", pa.int64()))


class Diff:
    """The difference of two states. Cheap to make; each question is answered when asked."""

    def __init__(self, engine: Engine, *, source: Point, target: Point) -> None:
        self.engine = engine
        self.source = source
        self.target = target
        self._catalogs = (
            engine.history.catalog_at(source.lineage),
            engine.history.catalog_at(target.lineage),
        )

    @cached_property
    def pairs(self) -> list[TablePair]:
        """The tables of both sides, paired."""
        return pair_tables(*self._catalogs)

    def schema(self) -> list[SchemaChange]:
        """What differs in the schema, one entry a difference."""
        return [] if self.source.lineage == self.target.lineage else schema_changes(*self._catalogs)

    def summary(self, *, cells: bool = False) -> pa.Table:
        """Columns table_name, operation, row_count; only operations that occurred.

        Operations on rows are added, modified and removed. Those on the schema come first: `table added` and
        `table removed` count the table's rows, `schema` counts the differences in its definition. With `cells`
        there is a cell_count too: how many cells differ in modified rows, NULL for other operations.
        """
        schema = CELLS_SCHEMA if cells else SUMMARY_SCHEMA
        rows: list[tuple[str, str, int, int | None]] = []
        if self.source.lineage != self.target.lineage:
            changes = self.schema()
            for pair in self.pairs:
                rows.extend(self._summary_of(pair, changes, cells))
        return listed(schema, [row[: len(schema)] for row in rows])

    def _summary_of(
        self, pair: TablePair, changes: list[SchemaChange], cells: bool
    ) -> list[tuple[str, str, int, int | None]]:
        if pair.source is None and pair.target is not None:
            return [(pair.target.full_name, "table added", self._reader(1, pair.target).count(), None)]
        if pair.target is None and pair.source is not None:
            return [(pair.source.full_name, "table removed", self._reader(0, pair.source).count(), None)]
        assert pair.target is not None
        name = pair.target.full_name
        diff = self.table_of(pair)
        (added, modified, removed), cell_count = count_with_cells(diff) if cells else (diff.counts(), None)
        found = [
            (name, "schema", sum(change.table_name == name for change in changes), None),
            (name, "added", added, None),
            (name, "modified", modified, cell_count),
            (name, "removed", removed, None),
        ]
        return [row for row in found if row[2]]

    def table(self, name: str) -> TableDiff:
        """The row diff of a table that is on both sides; NotFoundError otherwise."""
        name = normal_name(name)
        for pair in self.pairs:
            if pair.source is not None and pair.target is not None and pair.target.full_name == name:
                return self.table_of(pair)
        both = ", ".join(self.common_names())
        raise NotFoundError(f"there is no table {name!r} on both sides", hint=f"there are: {both or 'none'}")

    def common_names(self) -> list[str]:
        """The names, on the target's side, of the tables that are on both."""
        return [p.target.full_name for p in self.pairs if p.source is not None and p.target is not None]

    def target_names(self) -> list[str]:
        """The names of all tables of the target."""
        return [table.full_name for table in self._catalogs[1].tables.values()]

    def table_of(self, pair: TablePair) -> TableDiff:
        """The row diff of a pair with both sides."""
        assert pair.source is not None
        assert pair.target is not None
        lineages = (self._lineage(0, pair.source), self._lineage(1, pair.target)) if pair.related else None
        return TableDiff(self.engine, self._reader(0, pair.source), self._reader(1, pair.target), lineages)

    def reader_of(self, side: int, name: str) -> TableReader:
        """A table of the source (0) or the target (1); NotFoundError if it has none of that name."""
        return self._reader(side, self._catalogs[side].table(name))

    def _point(self, side: int) -> Point:
        return self.target if side else self.source

    def _lineage(self, side: int, table: TableSchema) -> Lineage:
        return self.engine.history.table_lineage(self._point(side).lineage, table.id)

    def _reader(self, side: int, table: TableSchema) -> TableReader:
        layers = self.engine.covers.resolve(self.engine.history, table, self._point(side).lineage)
        return TableReader(table, layers)

    @property
    def catalogs(self) -> tuple[DatabaseCatalog, DatabaseCatalog]:
        """The schema of (source, target)."""
        return self._catalogs
