"""What a commit would leave: a state of a database with a transaction's own writes on top.

Constraints are checked against it (constraint_rows.py, constraint_pages.py): readers of its tables, and for
values of some columns the keys of the rows that have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.lineage import Lineage
from absdb.catalog.schema import TableSchema
from absdb.engine.constraint_errors import SHOWN
from absdb.engine.indexes import Indexes
from absdb.engine.prepare import Report
from absdb.engine.reader import TableReader
from absdb.engine.values import Columns, Value, value_of
from absdb.errors import ConstraintError
from absdb.ids import TableId
from absdb.pages.index import encode_values
from absdb.pages.key import Key, Keys, equal, length, sort_order, take

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

LISTED = 100_000
"""At most so many rows that break a constraint are listed where all of them are asked for."""
Positions = np.ndarray[Any, Any]


class Outcome:
    """The state at `lineage` with the definitions of `catalog` and the transaction's writes."""

    def __init__(
        self,
        tx: Transaction,
        indexes: Indexes,
        lineage: Lineage,
        catalog: DatabaseCatalog,
        report: Report | None = None,
    ) -> None:
        """`report` is told of everything that does not hold; without it the first such thing is raised."""
        self.tx = tx
        self.indexes = indexes
        self.lineage = lineage
        self.catalog = catalog
        self.keys_listed = SHOWN if report is None else LISTED
        """How many keys of rows that break something are worth gathering."""
        self._report = report
        self._readers: dict[TableId, TableReader] = {}

    def refuse(self, error: ConstraintError) -> None:
        """Rows break a constraint."""
        if self._report is None:
            raise error
        self._report(error)

    def reader(self, schema: TableSchema) -> TableReader:
        """A table as it would be."""
        found = self._readers.get(schema.id)
        if found is None:
            found = self._readers[schema.id] = self._reader(schema)
        return found

    def _reader(self, schema: TableSchema) -> TableReader:
        engine = self.tx.engine
        if self.lineage == self.tx.lineage:
            layers = self.tx.base_reader(schema).layers
        else:
            layers = engine.covers.resolve(engine.history, schema, self.lineage)
        own = self.tx.writes.get(schema.id)
        return TableReader(schema, layers, own.cover if own else None, own.cover.hi if own else 0)

    def holders(self, schema: TableSchema, columns: Columns, value: Value) -> Iterator[Key]:
        """The keys of the rows that have a value."""
        reader, value_in = self.reader(schema), value_of(schema, columns)
        for key in self.indexes.candidates_of(reader, columns, value):
            row = reader.row(key)
            if row is not None and value_in(row) == value:
                yield key

    def holders_of_many(
        self, schema: TableSchema, columns: Columns, values: Keys, *, own: bool = True
    ) -> Iterator[tuple[Positions, Keys]]:
        """(positions in `values`, keys of rows that have the value there), in parts. `values` are sorted.

        Without `own`, rows that the transaction has written are not looked for.
        """
        reader = self.reader(schema)
        for positions, keys in self.indexes.candidates(reader, columns, values, own=own):
            live = _still_has(reader, columns, keys, take(values, positions))
            if len(live):
                yield positions[live], take(keys, live)


def whole_values(arrays: list[pa.Array]) -> tuple[Keys, Positions]:
    """(encoded values, row numbers) of the rows without a NULL in the columns."""
    whole = np.ones(len(arrays[0]), bool)
    for array in arrays:
        if array.null_count:
            whole &= array.is_valid().to_numpy(zero_copy_only=False)
    at = np.flatnonzero(whole)
    if len(at) < len(whole):
        arrays = [array.take(pa.array(at)) for array in arrays]
    return encode_values(arrays), at


def _still_has(reader: TableReader, columns: Columns, keys: Keys, values: Keys) -> Positions:
    """The positions of those row keys whose row is there and has the value."""
    order = sort_order(keys)
    found = reader.lookup(take(keys, order))
    alive = np.flatnonzero(found.alive)
    if not len(alive):
        return alive
    batch = found.take(reader.schema.page_projection(columns))
    now, at = whole_values(batch.columns)
    rows = order[alive[at]]
    return np.sort(rows[equal(now, take(values, rows))]) if length(now) else rows[:0]
