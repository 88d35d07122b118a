"""UNIQUE and FOREIGN KEY: checked on the net change of a commit, against the state it will be committed on.

    UNIQUE       no two rows of the change have the value; a row elsewhere that has it is not the one changed
    FOREIGN KEY  values written exist in the referenced table; values taken away are referenced by no row left

Each goes through an index (engine/indexes.py) that gives the keys of rows that had a value; one counts only if
the row, looked up, still has it. The committer checks against its snapshot, in its own thread, unless each statement
was checked when it ran (engine/statement_check.py); the leader once more if tables that matter have changed since.
A few rows are simply checked again. Many are not: both changes hold on the snapshot, so only a row of one and a row
of the other can be at odds, and it is enough to check what the others have committed since against the outcome of
both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.lineage import Lineage
from absdb.catalog.schema import Constraint, ForeignKey, TableSchema, Unique
from absdb.engine.candidates import runs_of, written_keys
from absdb.engine.changeset import TableChange
from absdb.engine.constraint_pages import (
    CHUNK_ROWS,
    check_references,
    check_unique,
    check_unreferred,
    keys_in_chunks,
    removed_by,
    rows_under,
    side_of,
    unique_within,
    written_by,
)
from absdb.engine.constraint_rows import check_rows
from absdb.engine.indexes import Indexes
from absdb.engine.outcome import Outcome
from absdb.engine.prepare import Report, check_values
from absdb.ids import TableId

if TYPE_CHECKING:
    from absdb.engine.engine import Engine
    from absdb.engine.transaction import Transaction


class Constraints:
    """Checks changes; keeps the indexes that make it quick."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.indexes = Indexes(lambda: engine.covers.indexes, 2 * engine.settings.cache_bytes)

    def check(self, tx: Transaction, changes: Sequence[TableChange], report: Report | None = None) -> None:
        """ConstraintError if the changes on top of the snapshot break something, or all of that to `report`."""
        if any(self.is_bound(change.schema, tx.catalog) for change in changes):
            outcome = Outcome(tx, self.indexes, tx.lineage, tx.catalog, report)
            for change in changes:
                self.check_change(outcome, change)

    def recheck(
        self, tx: Transaction, changes: Sequence[TableChange], lineage: Lineage, catalog: DatabaseCatalog
    ) -> None:
        """The same on top of the newest state, which is not the snapshot any more. For the leader."""
        if not any(change.schema.constraints for change in changes) and not catalog.referencing:
            return
        redefined = catalog is not tx.base_catalog
        after = catalog.apply(tx.schema_changes) if tx.schema_changes else catalog
        outcome = Outcome(tx, self.indexes, lineage, after)
        rechecked = {
            change.schema.id
            for change in changes
            if (redefined or change.rows is not None)
            and (redefined or self._has_moved(tx, after, change.schema))
        }
        for change in changes:
            if change.schema.id in rechecked:
                self.check_change(outcome, change)
        large = {change.schema.id for change in changes} - rechecked
        if large:
            self._check_others(outcome, large)

    def check_all(
        self, tx: Transaction, schema: TableSchema, constraint: Constraint, report: Report | None = None
    ) -> None:
        """ConstraintError if the rows of a table, as the transaction sees them, break a new constraint.

        All of those that do go to `report`, if there is one.
        """
        outcome = Outcome(tx, self.indexes, tx.lineage, tx.catalog, report)
        for batch in tx.reader(schema).physical():
            if isinstance(constraint, Unique):
                check_unique(outcome, constraint, side_of(schema, batch))
            elif isinstance(constraint, ForeignKey):
                check_references(outcome, constraint, side_of(schema, batch))
            else:
                values = {c.page_name: batch.column(c.page_name) for c in schema.columns}
                check_values(tx, schema, values, batch.num_rows, report)

    def check_change(self, outcome: Outcome, change: TableChange, *, references: bool = True) -> None:
        """ConstraintError if one table's change breaks something in the outcome; without `references` UNIQUE only."""
        schema = change.schema
        if not self.is_bound(schema, outcome.catalog):
            return
        if change.rows is not None:
            check_rows(outcome, change, references=references)
            return
        uniques = [
            (c, self._unique_within(outcome, change, c)) for c in schema.constraints if isinstance(c, Unique)
        ]
        foreign = [c for c in schema.constraints if isinstance(c, ForeignKey) and references]
        if uniques or foreign:
            for side in written_by(change):
                for unique, within in uniques:
                    check_unique(outcome, unique, side, own=not within)
                for reference in foreign:
                    check_references(outcome, reference, side)
        referring = outcome.catalog.referencing.get(schema.id, ())
        if referring and references:
            for side in removed_by(change, outcome.tx.base_reader(schema)):
                for child, reference in referring:
                    check_unreferred(outcome, child, reference, side)

    def _unique_within(self, outcome: Outcome, change: TableChange, constraint: Unique) -> bool:
        """Whether it is clear now that no two rows of a change have one value."""
        return change.run is not None and unique_within(outcome, change.schema, constraint, change.run.newest)

    def _check_others(self, outcome: Outcome, ours: set[TableId]) -> None:
        """Check what others have committed since the snapshot against the tables in `ours`."""
        tx = outcome.tx
        for schema in self._related(outcome.catalog, ours):
            cover = self._engine.covers.eras.get((tx.era, schema.id))
            if cover is None or cover.hi <= tx.snapshot_lsn:
                continue
            written = runs_of([(cover, tx.snapshot_lsn, cover.hi)])
            referring = [
                pair for pair in outcome.catalog.referencing.get(schema.id, ()) if pair[0].id in ours
            ]
            for keys in keys_in_chunks(written_keys(schema.key_spec, written, CHUNK_ROWS)):
                for side in rows_under(outcome.reader(schema), keys):
                    for constraint in schema.constraints:
                        if isinstance(constraint, Unique) and schema.id in ours:
                            check_unique(outcome, constraint, side)
                        elif isinstance(constraint, ForeignKey) and constraint.table in ours:
                            check_references(outcome, constraint, side)
                for side in rows_under(tx.base_reader(schema), keys) if referring else ():
                    for child, reference in referring:
                        check_unreferred(outcome, child, reference, side)

    def is_bound(self, schema: TableSchema, catalog: DatabaseCatalog) -> bool:
        """Whether a table has UNIQUE or FOREIGN KEY, or is referenced."""
        if not schema.constraints:
            return schema.id in catalog.referencing
        return schema.id in catalog.referencing or any(
            isinstance(c, Unique | ForeignKey) for c in schema.constraints
        )

    def _has_moved(self, tx: Transaction, catalog: DatabaseCatalog, schema: TableSchema) -> bool:
        """Whether a table that constraints of this one look at was committed to since the snapshot."""
        for other in self._related(catalog, {schema.id}):
            cover = self._engine.covers.eras.get((tx.era, other.id))
            if cover is not None and cover.hi > tx.snapshot_lsn:
                return True
        return False

    def _related(self, catalog: DatabaseCatalog, tables: set[TableId]) -> Iterator[TableSchema]:
        """The tables themselves, those they refer to, and those that refer to them."""
        found = set(tables)
        for table_id in tables:
            found.update(c.table for c in catalog.tables[table_id].constraints if isinstance(c, ForeignKey))
            found.update(child.id for child, _ in catalog.referencing.get(table_id, ()))
        return (catalog.tables[table_id] for table_id in found)
