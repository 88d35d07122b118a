"""Reading one table at one state: scan, count, look up. What every door and every verb reads through.

A TableReader is cheap to make and never changes; it sees its state forever, whatever is committed, flushed or
compacted meanwhile. Rows come in key order. `extra` layers lie on top: a transaction's own writes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cached_property

import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine.cover import EraCover, Hit
from absdb.engine.covers import Layers
from absdb.engine.rowcodec import Row
from absdb.engine.rows import row_getter, row_translator
from absdb.pages.fold import KeyRange, fold, fold_table
from absdb.pages.key import Keys, from_list
from absdb.pages.lookup import Found, lookup
from absdb.pages.projection import OutputColumn, Projection
from absdb.pages.section import Key, Section


class TableReader:
    """One table at one state. `own` holds a transaction's writes up to `own_upto`.

    From the second read of a state on, tables come with chunks of `slice_rows` rows or more on average, as far as
    pages have as many.
    """

    def __init__(
        self,
        schema: TableSchema,
        layers: Layers,
        own: EraCover | None = None,
        own_upto: int = 0,
        slice_rows: int = 1,
    ) -> None:
        self.schema = schema
        self.layers = layers
        self.own = own
        self.own_upto = own_upto
        self.slice_rows = slice_rows
        self.lsn: int | None = None
        """The LSN at which the state was read, if it was a published one."""

    @cached_property
    def sections(self) -> list[Section]:
        """The layers, oldest first."""
        own = [] if self.own is None else self.own.sections(-1, self.own_upto)
        return [*self.layers.sections(), *own]

    def under(self, schema: TableSchema, slice_rows: int = 1) -> TableReader:
        """The same rows as another schema of the table shows them."""
        return TableReader(schema, self.layers, self.own, self.own_upto, slice_rows)

    def scan(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in key order, as batches of the visible columns asked for; memory bounded."""
        return fold(self.schema.key_spec, self.sections, self.projection(columns))

    def to_table(
        self, columns: Sequence[str] | None = None, coded: Mapping[str, pa.DataType] | None = None
    ) -> pa.Table:
        """All rows, in key order, zero-copy where pages allow it; kept, so that reading a state again is free.

        Each column is folded once: reads that have columns in common share them. Those in `coded` come in the type
        given there, which coding.py has chosen for this state; codes mean the same in all chunks.
        """
        schema = self._arrow_schema(columns)
        projection = self.projection(columns)
        if coded:
            schema = pa.schema([field.with_type(coded.get(field.name, field.type)) for field in schema])
            projection = Projection(
                column.as_coded(coded[column.name]) if column.name in coded else column
                for column in projection.columns
            )
        if self.own is not None:
            rows = fold_table(self.schema.key_spec, self.sections, projection, schema)
            return rows.unify_dictionaries() if coded else rows
        kept, slice_rows = self.layers.folded, self._slice_rows_now()
        states = [self.state_of(column, slice_rows) for column in projection.columns]
        found = [kept.get(state) for state in states]
        missing = [at for at, column in enumerate(found) if column is None]
        if missing:
            wanted = Projection([projection.columns[at] for at in missing])
            fields = pa.schema([schema.field(at) for at in missing])
            rows = fold_table(self.schema.key_spec, self.sections, wanted, fields, slice_rows=slice_rows)
            if coded:
                rows = rows.unify_dictionaries()
            for at, column in zip(missing, rows.columns, strict=True):
                found[at] = column
                kept.put(states[at], column)
                if slice_rows > 1:
                    kept.forget(self.state_of(projection.columns[at], 1))
        return pa.Table.from_arrays(found, schema=schema)

    def _slice_rows_now(self) -> int:
        """Pages are not copied for the first read of a state, which may be the only one."""
        mark = "read", self.schema.id, self.layers.lineage
        if self.slice_rows == 1 or self.layers.folded.get(mark) is not None:
            return self.slice_rows
        self.layers.folded.put(mark, pa.chunked_array([], pa.null()))
        return 1

    def keeps(self, column: OutputColumn) -> bool:
        """Whether a read of the column is kept, so that it costs nothing."""
        return self.own is None and self.layers.folded.get(self.state_of(column)) is not None

    def state_of(self, column: OutputColumn, slice_rows: int | None = None) -> Hashable:
        """Under what the rows of a column are kept once they are folded."""
        state = self.schema.id, self.layers.lineage, slice_rows or self.slice_rows
        return *state, column.name, column.source, column.logical

    def part(
        self,
        columns: Sequence[str] | None = None,
        *,
        keys: Sequence[Key] | None = None,
        key_range: KeyRange = (None, None),
    ) -> pa.Table:
        """The rows with these keys, which are sorted and distinct, or between two keys; in key order.

        The cost is that of a look-up per key, or of the pages in the range.
        """
        schema = self._arrow_schema(columns)
        projection = self.projection(columns)
        if keys is None:
            return fold_table(self.schema.key_spec, self.sections, projection, schema, key_range=key_range)
        if not keys:
            return schema.empty_table()
        found = self.lookup(from_list(self.schema.key_spec, keys))
        return pa.Table.from_batches(found.batches(projection.with_schema(schema)), schema=schema)

    def physical(self) -> Iterator[pa.RecordBatch]:
        """The rows as pages of this schema hold them (stored columns, physical types), in key order."""
        return fold(self.schema.key_spec, self.sections, self.schema.physical_projection)

    def count(self) -> int:
        """The number of rows; costs a look-up of the keys changed since the largest layer."""
        layers = self.sections
        total = 0
        for number, section in enumerate(layers):
            below = layers[:number]
            for page in section.pages:
                # An upsert adds a row unless it was there before, a tombstone takes one away if it was.
                before = int(self._lookup_in(below, page.keys()).alive.sum()) if below else 0
                total += page.rows - page.deletes - before
        return total

    def _lookup_in(self, layers: Sequence[Section], keys: Keys) -> Found:
        return lookup(self.schema.key_spec, list(reversed(layers)), keys)

    def lookup(self, keys: Keys) -> Found:
        """Many keys at once."""
        return self._lookup_in(self.sections, keys)

    def find(self, key: Key) -> Hit | None:
        """The version of one key that decides; None or a tombstone if the row is not there."""
        if self.own is not None:
            hit = self.own.find(key, -1, self.own_upto)
            if hit is not None:
                return hit
        return self.layers.find(key)

    def exists(self, key: Key) -> bool:
        hit = self.find(key)
        return hit is not None and not hit.deleted

    def row(self, key: Key) -> Row | None:
        """The stored columns of one row as physical values; None if it is not there."""
        hit = self.find(key)
        return None if hit is None or hit.deleted else physical_row(self.schema, hit)

    def _arrow_schema(self, columns: Sequence[str] | None) -> pa.Schema:
        whole = self.schema.arrow_schema
        if columns is None:
            return whole
        return pa.schema([whole.field(self.schema.column(name).name) for name in columns])

    def projection(self, columns: Sequence[str] | None) -> Projection:
        """Pages to all or some of the visible columns."""
        return self.schema.projection if columns is None else self.schema.project(tuple(columns))


def physical_row(schema: TableSchema, hit: Hit) -> Row:
    """The stored columns of `schema` from a row that may have been written under an older one."""
    if hit.page is not None:
        return row_getter(schema)(hit.page, hit.at)
    assert hit.row is not None
    assert hit.schema is not None
    return hit.row if hit.schema is schema else row_translator(hit.schema, schema)(hit.row)
