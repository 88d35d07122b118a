"""What a serializable transaction has read, and whether it is still so when its turn to commit comes.

    key or range looked up   ReadConflictError if a commit since the snapshot wrote a key of it, or inserted it
    anything else of a table ReadConflictError if a commit since the snapshot wrote to the table
    definitions              ReadConflictError if those of a table that was read have changed, or those of views

Two transactions that each read what the other one writes then cannot both commit (write skew). Keys are kept up to
KEYS_KEPT a table, from then on the whole table counts as read. What a savepoint undoes stays read.

Readers are wrapped by transaction.py; the leader in commit.py checks, after all earlier commits were applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.schema import TableSchema
from absdb.engine.candidates import KEYS_AT_ONCE, runs_of, written_keys
from absdb.engine.cover import EraCover, Hit, union_of
from absdb.engine.covers import Layers
from absdb.engine.reader import TableReader
from absdb.errors import ReadConflictError
from absdb.ids import DatabaseId, TableId
from absdb.pages.fold import KeyRange
from absdb.pages.key import Keys, from_list, length, runs_of_equal, search_one, sort_order, take
from absdb.pages.lookup import Found
from absdb.pages.section import Key, Section

if TYPE_CHECKING:
    from absdb.engine.engine import Engine
    from absdb.engine.transaction import Transaction

KEYS_KEPT = 10_000
AGAIN = "run the transaction again"


class _TableReads:
    """What was read of one table: `keys` is None once it is all of it."""

    def __init__(self, schema: TableSchema) -> None:
        self.schema = schema
        self.keys: set[Key] | None = set()
        self.many: list[Keys] = []
        self.ranges: list[KeyRange] = []
        self.kept = 0

    def whole(self) -> None:
        self.keys, self.many, self.ranges = None, [], []

    def one(self, key: Key) -> None:
        if self.keys is not None:
            self.keys.add(key)
            if len(self.keys) > KEYS_KEPT:
                self.whole()

    def several(self, keys: Keys) -> None:
        self.kept += length(keys)
        if self.kept > KEYS_KEPT:
            self.whole()
        elif self.keys is not None:
            self.many.append(keys)

    def between(self, key_range: KeyRange) -> None:
        self.kept += 1
        if self.kept > KEYS_KEPT or key_range == (None, None):
            self.whole()
        elif self.keys is not None:
            self.ranges.append(key_range)

    def overlap(self, cover: EraCover, lsn: int) -> bool:
        """Whether something of it was written after `lsn`."""
        if cover.hi <= lsn or self.keys is None:
            return cover.hi > lsn
        if any(cover.written_after(key, lsn) for key in self.keys):
            return True
        if not self.many and not self.ranges:
            return False
        spec = self.schema.key_spec
        ours = union_of(spec, [_sorted(keys) for keys in self.many])
        for theirs in written_keys(spec, runs_of([(cover, lsn, cover.hi)]), KEYS_AT_ONCE):
            if any(_touches(theirs, between) for between in self.ranges):
                return True
            if length(union_of(spec, [ours, theirs])) < length(ours) + length(theirs):
                return True
        return False


def _touches(keys: Keys, key_range: KeyRange) -> bool:
    """Whether one of some sorted keys lies in a range."""
    low, high = key_range
    start = 0 if low is None else search_one(keys, low)
    return start < (length(keys) if high is None else search_one(keys, high))


def _sorted(keys: Keys) -> Keys:
    """Sorted, each once."""
    keys = take(keys, sort_order(keys))
    return take(keys, runs_of_equal(keys).nonzero()[0])


class Reads:
    """All that one transaction has read, of its own database and of others."""

    def __init__(self) -> None:
        self._tables: dict[tuple[DatabaseId, TableId], _TableReads] = {}

    def of(self, database: DatabaseId, schema: TableSchema) -> _TableReads:
        """What was read of a table, to be added to."""
        return self._tables.setdefault((database, schema.id), _TableReads(schema))

    def check(self, engine: Engine, tx: Transaction) -> None:
        """ReadConflictError if a commit since the snapshot changed something that was read. For the leader."""
        for database in {database for database, _ in self._tables}:
            info = engine.history.databases.get(database)
            era = None if info is None else engine.history.current_era(database)
            if info is None or era is None or era.start_lsn > tx.snapshot_lsn:
                raise ReadConflictError(
                    "a database that the transaction has read was restored or dropped meanwhile", hint=AGAIN
                )
            newest = engine.history.catalog_at(engine.newest_lineage(database))
            seen = _catalog_at_snapshot(engine, tx, database)
            if newest is not seen:
                for entity in newest.changes_since(seen):
                    if entity[0] != "table" or (database, entity[1]) in self._tables:
                        raise ReadConflictError(
                            f"definitions in database {info.name!r} that the transaction has read were changed "
                            f"meanwhile",
                            hint=AGAIN,
                        )
            for (owner, table), reads in self._tables.items():
                cover = engine.covers.eras.get((era.id, table)) if owner == database else None
                if cover is not None and reads.overlap(cover, tx.snapshot_lsn):
                    name = reads.schema.full_name
                    raise ReadConflictError(
                        f"rows of table {name!r} that the transaction has read were changed by another one",
                        hint=AGAIN,
                        table=name,
                    )


def _catalog_at_snapshot(engine: Engine, tx: Transaction, database: DatabaseId) -> DatabaseCatalog:
    if database == tx.database:
        return tx.base_catalog
    lineage = engine.history.lineage_at(database, tx.snapshot_lsn, engine.log.last_at_or_below)
    return engine.history.catalog_at(lineage)


class RecordingReader(TableReader):
    """A reader that notes what is read through it."""

    def __init__(self, plain: TableReader, reads: _TableReads) -> None:
        self.schema = plain.schema
        self.own = plain.own
        self.own_upto = plain.own_upto
        self.slice_rows = plain.slice_rows
        self.lsn = plain.lsn
        self._plain = plain
        self._reads = reads

    # Whoever takes the layers themselves may read anything of them.
    @property
    def layers(self) -> Layers:  # type: ignore[override]  # nobody sets it on a reader that is made
        self._reads.whole()
        return self._plain.layers

    @property
    def sections(self) -> list[Section]:
        self._reads.whole()
        return self._plain.sections

    def under(self, schema: TableSchema, slice_rows: int = 1) -> TableReader:
        return RecordingReader(self._plain.under(schema, slice_rows), self._reads)

    def lookup(self, keys: Keys) -> Found:
        self._reads.several(keys)
        return self._plain.lookup(keys)

    def find(self, key: Key) -> Hit | None:
        self._reads.one(key)
        return self._plain.find(key)

    def part(
        self,
        columns: Sequence[str] | None = None,
        *,
        keys: Sequence[Key] | None = None,
        key_range: KeyRange = (None, None),
    ) -> pa.Table:
        if keys is None:
            self._reads.between(key_range)
        elif keys:
            self._reads.several(from_list(self.schema.key_spec, keys))
        return self._plain.part(columns, keys=keys, key_range=key_range)
