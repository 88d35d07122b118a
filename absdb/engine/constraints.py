"""UNIQUE and FOREIGN KEY: checked on the net change of a commit, against the state it will be committed on.

    UNIQUE       no two rows of the change have the value; a row elsewhere that has it is not the one changed
    FOREIGN KEY  values written exist in the referenced table; values taken away are referenced by no row left

Each goes through an index (engine/indexes.py) that gives candidate row keys for values; a candidate counts only
if the row, looked up, still has the value. The committer checks against its snapshot, the leader once more
against the newest state if a table that matters has changed since.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.lineage import Lineage
from absdb.catalog.schema import Constraint, ForeignKey, TableSchema, Unique
from absdb.engine.changed import Side, sides_of
from absdb.engine.changeset import TableChange
from absdb.engine.indexes import Indexes
from absdb.engine.reader import TableReader
from absdb.errors import ConstraintError
from absdb.ids import ColumnId, TableId
from absdb.pages.key import Keys, length, runs_of_equal, sort_order, take, to_list

if TYPE_CHECKING:
    from absdb.engine.engine import Engine
    from absdb.engine.transaction import Transaction

SHOWN = 5


class Constraints:
    """Checks changes; keeps the indexes that makes it quick."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.indexes = Indexes()

    def has_any(self, tx: Transaction) -> bool:
        """Whether a table written has UNIQUE or FOREIGN KEY, or is referenced."""
        catalog = tx.catalog
        return any(
            table_id in catalog.referencing
            or any(isinstance(c, Unique | ForeignKey) for c in _constraints(catalog, table_id))
            for table_id in tx.writes
        )

    def concerns(self, catalog: DatabaseCatalog, changes: Sequence[TableChange], tx: Transaction) -> bool:
        """Whether a table that a constraint of the changed ones looks at was committed to since the snapshot."""
        for change in changes:
            others = [c.table for c in change.schema.constraints if isinstance(c, ForeignKey)]
            others += [table.id for table, _ in catalog.referencing.get(change.schema.id, ())]
            for table_id in others:
                cover = self._engine.covers.eras.get((tx.era, table_id))
                if cover is not None and cover.hi > tx.snapshot_lsn:
                    return True
        return False

    def check(
        self, tx: Transaction, changes: Sequence[TableChange], lineage: Lineage, catalog: DatabaseCatalog
    ) -> None:
        """ConstraintError if the changes on top of the state at `lineage` break something."""
        after = catalog.apply(tx.schema_changes) if tx.schema_changes else catalog
        for change in changes:
            written: Side | None = None
            removed: Side | None = None
            for constraint in change.schema.constraints:
                if isinstance(constraint, Unique | ForeignKey):
                    written = written or sides_of(tx, change)[0]
                    if isinstance(constraint, Unique):
                        self._unique(tx, lineage, change.schema, constraint, written)
                    else:
                        self._references_exist(tx, lineage, after, change.schema, constraint, written)
            for child, foreign in after.referencing.get(change.schema.id, ()):
                if removed is None:
                    written, removed = sides_of(tx, change)
                self._nothing_refers(tx, lineage, change.schema, child, foreign, removed)

    def check_all(self, tx: Transaction, schema: TableSchema, constraint: Constraint) -> None:
        """ConstraintError if the rows of a table, as the transaction sees them, break a new constraint."""
        from absdb.engine.prepare import check_values

        for batch in tx.reader(schema).physical():
            side = Side(schema, schema.key_spec.keys_of(schema.key_spec.with_key(batch)), batch)
            if isinstance(constraint, Unique):
                self._unique(tx, tx.lineage, schema, constraint, side)
            elif isinstance(constraint, ForeignKey):
                self._references_exist(tx, tx.lineage, tx.catalog, schema, constraint, side)
            else:
                values = {c.page_name: batch.column(c.page_name) for c in schema.columns}
                check_values(tx, schema, values, batch.num_rows)

    # the three checks

    def _unique(
        self, tx: Transaction, lineage: Lineage, schema: TableSchema, constraint: Unique, written: Side
    ) -> None:
        values, at = written.values(constraint.columns)
        order = sort_order(values)
        values, at = take(values, order), at[order]
        again = np.flatnonzero(~runs_of_equal(values)) if length(values) else np.empty(0, np.int64)
        if len(again):
            self._broken(schema, constraint, written, at[again], "two rows have the same")
        reader = self._reader(tx, lineage, schema)
        probes, rows = self.indexes.probe(reader, constraint.columns, values)
        if not len(probes):
            return
        own = at[probes]
        same = np.array(
            [a == b for a, b in zip(to_list(take(written.keys, own)), to_list(rows), strict=True)], bool
        )
        probes, rows, own = probes[~same], take(rows, np.flatnonzero(~same)), own[~same]
        if len(probes):
            live = self._still_has(reader, constraint.columns, rows, take(values, probes))
            if live.any():
                self._broken(schema, constraint, written, own[live], "another row has the same")

    def _references_exist(
        self,
        tx: Transaction,
        lineage: Lineage,
        catalog: DatabaseCatalog,
        schema: TableSchema,
        constraint: ForeignKey,
        written: Side,
    ) -> None:
        values, at = written.values(constraint.columns)
        if not length(values):
            return
        parent = catalog.tables.get(constraint.table)
        assert parent is not None
        found = self._holders(
            tx, lineage, parent, constraint.references, written, constraint.columns, values, at
        )
        if not found.all():
            self._broken(
                schema, constraint, written, at[~found], f"table {parent.full_name!r} has no row for"
            )

    def _nothing_refers(
        self,
        tx: Transaction,
        lineage: Lineage,
        parent: TableSchema,
        child: TableSchema,
        constraint: ForeignKey,
        removed: Side,
    ) -> None:
        values, at = removed.values(constraint.references)
        if not length(values):
            return
        gone = ~self._holders(
            tx, lineage, parent, constraint.references, removed, constraint.references, values, at
        )
        if not gone.any():
            return
        at, kept = at[gone], take(values, np.flatnonzero(gone))
        reader = self._reader(tx, lineage, child)
        order = sort_order(kept)
        kept, at = take(kept, order), at[order]
        probes, rows = self.indexes.probe(reader, constraint.columns, kept)
        if len(probes):
            live = self._still_has(reader, constraint.columns, rows, take(kept, probes))
            if live.any():
                self._broken(
                    parent, constraint, removed, at[probes[live]], f"rows of {child.full_name!r} refer to"
                )

    def _holders(
        self,
        tx: Transaction,
        lineage: Lineage,
        table: TableSchema,
        columns: tuple[ColumnId, ...],
        side: Side,
        own_columns: tuple[ColumnId, ...],
        values: Keys,
        at: np.ndarray,
    ) -> np.ndarray:
        """For each value whether a row of `table` has it in `columns`."""
        reader = self._reader(tx, lineage, table)
        if columns == table.key:
            keys = side.as_keys(table, own_columns, at)
            order = sort_order(keys)
            alive = np.empty(len(at), bool)
            alive[order] = reader.lookup(take(keys, order)).alive
            return alive
        order = sort_order(values)
        probes, rows = self.indexes.probe(reader, columns, take(values, order))
        found = np.zeros(len(at), bool)
        if len(probes):
            live = self._still_has(reader, columns, rows, take(values, order[probes]))
            found[order[probes[live]]] = True
        return found

    def _still_has(
        self, reader: TableReader, columns: tuple[ColumnId, ...], rows: Keys, values: Keys
    ) -> np.ndarray:
        """For each candidate row key whether the row is there and has the value."""
        order = sort_order(rows)
        found = reader.lookup(take(rows, order))
        side = Side(reader.schema, take(rows, order), None)
        alive = np.flatnonzero(found.alive)
        has = np.zeros(length(rows), bool)
        if len(alive):
            current = Side(
                reader.schema, take(side.keys, alive), found.take(reader.schema.physical_projection)
            )
            now, at = current.values(columns)
            wanted = take(values, order[alive[at]])
            same = [a == b for a, b in zip(to_list(now), to_list(wanted), strict=True)]
            has[order[alive[at]]] = np.array(same, bool)
        return has

    def _reader(self, tx: Transaction, lineage: Lineage, schema: TableSchema) -> TableReader:
        """The table at `lineage` with the transaction's own writes on top."""
        layers = self._engine.covers.resolve(self._engine.history, schema, lineage)
        own = tx.writes.get(schema.id)
        return TableReader(schema, layers, own.cover if own else None, own.cover.hi if own else 0)

    def _broken(
        self, schema: TableSchema, constraint: Unique | ForeignKey, side: Side, at: np.ndarray, what: str
    ) -> None:
        columns = constraint.columns
        if isinstance(constraint, ForeignKey) and constraint.table == schema.id and side.schema is schema:
            columns = (
                constraint.columns if set(constraint.columns) <= set(schema.by_id) else constraint.references
            )
        columns = tuple(c for c in columns if c in schema.by_id) or tuple(schema.key)
        names = ", ".join(schema.by_id[column].name for column in columns)
        keys = [schema.key_spec.decode_one(key) for key in to_list(take(side.keys, at[:SHOWN]))]
        shown = ", ".join(str(key[0] if len(key) == 1 else key) for key in keys)
        more = f" and {len(at) - len(keys)} more" if len(at) > len(keys) else ""
        raise ConstraintError(
            f"table {schema.full_name!r}, constraint {constraint.name!r}: {what} ({names}), row with key {shown}{more}",
            hint="nothing was changed",
            table=schema.full_name,
            constraint=constraint.name,
            keys=keys,
        )


def _constraints(catalog: DatabaseCatalog, table_id: TableId) -> tuple[Constraint, ...]:
    table = catalog.tables.get(table_id)
    return () if table is None else table.constraints
