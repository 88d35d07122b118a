"""A transaction: a snapshot to read from, a place to write to, savepoints, and the net change to commit.

Reads see the state at begin plus the transaction's own writes. Writes go into EraCovers of the transaction's
own, numbered by a sequence that plays the part of LSNs, so that reading, folding and cutting back to a
savepoint are what they are for committed data. The rows of a first small verb wait in a dictionary until
somebody asks for the cover: most transactions end before that. Schema changes are collected as entities. Nothing
outside the transaction changes before `commit`, which hands the net change to the commit queue.

Not safe for use from several threads at once; many transactions may be open in as many threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.catalog.database import Changes, DatabaseCatalog, EntityId
from absdb.catalog.lineage import Lineage
from absdb.catalog.schema import TableSchema
from absdb.engine.changeset import TableChange
from absdb.engine.cover import EraCover, Mark
from absdb.engine.head import Head
from absdb.engine.netchange import net_change
from absdb.engine.numbers import Numbers
from absdb.engine.read_conflicts import Reads, RecordingReader
from absdb.engine.reader import TableReader
from absdb.engine.rowcodec import Row
from absdb.errors import NotFoundError, StateError
from absdb.ids import DatabaseId, EraId, Lsn, TableId
from absdb.pages.section import Key
from absdb.paths import check_text

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

OWN_ERA = EraId(0)
NOTHING: tuple[tuple[()], None] = ((), None)


class TableWrites:
    """A transaction's writes to one table. `befores` keeps rows of the snapshot that were looked up anyway, as
    `schema` stores them."""

    __slots__ = ("_cover", "_pending", "_sequence", "befores", "schema")

    def __init__(self, schema: TableSchema) -> None:
        self.schema = schema
        self.befores: Mapping[Key, Row | None] = {}
        self._cover: EraCover | None = None
        self._pending: Mapping[Key, tuple[Row, int]] = {}
        self._sequence = 0

    @property
    def cover(self) -> EraCover:
        """The writes as layers to read, made when first asked for."""
        return self._cover or self._settle()

    def _settle(self) -> EraCover:
        schema = self.schema
        cover = EraCover(schema.id, OWN_ERA, schema.key_spec)
        for key, (row, op) in self._pending.items():
            cover.append_row(schema, key, row, op, self._sequence)
        self._cover, self._pending = cover, {}
        return cover

    @property
    def pending(self) -> Mapping[Key, tuple[Row, int]] | None:
        """All there is, as key → (stored row of `schema`, op), while no cover has been made."""
        return self._pending if self._cover is None else None

    @property
    def upto(self) -> int:
        """The sequence of the last change."""
        return self._sequence if self._cover is None else self._cover.hi

    @property
    def empty(self) -> bool:
        """Whether nothing has been written."""
        return not self._pending if self._cover is None else self._cover.view == NOTHING

    def redefine(self, schema: TableSchema) -> None:
        """From now on rows are written under another definition."""
        if self._pending:
            self._settle()  # they are stored as the one before has it
        self.schema = schema
        self.befores = {}

    def add(self, changes: Mapping[Key, tuple[Row, int]], sequence: int) -> None:
        """Versions of single rows, as `schema` stores them. The mapping is kept, so it must not change."""
        if self._cover is None and not self._pending:
            self._pending, self._sequence = changes, sequence
            return
        cover = self.cover
        for key, (row, op) in changes.items():
            cover.append_row(self.schema, key, row, op, sequence)


@dataclass(slots=True)
class _Savepoint:
    name: str
    marks: dict[TableId, tuple[TableWrites, Mark]]
    schema_changes: dict[EntityId, Any]
    is_checked: bool


class Transaction(Numbers):
    """One transaction on one database. Made by `Engine.begin`; ends with `commit` or `rollback`."""

    def __init__(
        self,
        engine: Engine,
        database: DatabaseId,
        head: Head,
        *,
        author: str | None,
        message: str,
        kind: str = "commit",
        scratch: bool = False,
    ) -> None:
        self.engine = engine
        self.database = database
        self.author = None if author is None else check_text("author", author)
        self.message = check_text("message", message)
        self.kind = kind
        self.scratch = scratch
        self.open = True
        self.snapshot_lsn, self.lineage, self.era = head.lsn, head.lineage, head.era
        self.base_catalog: DatabaseCatalog = head.catalog
        self.schema_changes: dict[EntityId, Any] = {}
        self.writes: dict[TableId, TableWrites] = {}
        self.used: dict[str, int] = {}
        self.files: set[str] = set()
        """Page files written for it: garbage collection leaves them alone until it has ended."""
        self.rests_on: set[TableId] = set()
        """Tables that were replaced by what was read of them: nobody else may have changed their rows meanwhile."""
        self.keeps_equal = False
        """Whether rows that are written as they are stay in the change: a merge says with them what it decided."""
        self.repeatable = True
        """Whether it could be run again: not once it has used up a stream, which can be read only once."""
        self.reads: Reads | None = None
        """What it has read, if that must not change before it commits (`record_reads`)."""
        self.lsn: Lsn | None = None
        self.sequence = 0
        """The number of its last change; each has the next one, which plays the part of an LSN."""
        self.checked_upto = 0
        """Up to which of its changes constraints are known to hold on the snapshot."""
        self._catalog = self.base_catalog
        self._savepoints: list[_Savepoint] = []
        self._readers: dict[TableId, TableReader] = {}
        engine.pins.enter(self)

    # what it sees

    @property
    def catalog(self) -> DatabaseCatalog:
        """The schema of the snapshot with the transaction's own changes."""
        return self._catalog

    @property
    def pinned(self) -> Lineage:
        """The state whose files must stay while the transaction is open."""
        return self.lineage

    def reader(self, schema: TableSchema) -> TableReader:
        """The table as the transaction sees it now."""
        self.check_open()
        found = self.base_reader(schema)
        own = self.writes.get(schema.id)
        if own is not None:
            found = TableReader(schema, found.layers, own.cover, self.sequence)
        return found if self.reads is None else self.recorded(self.database, found)

    def record_reads(self) -> None:
        """From now on note what is read: the commit is refused with a ReadConflictError if that has changed.

        Transactions that all do so are serializable. One that writes nothing is so without it.
        """
        if self.reads is None:
            self.reads = Reads()

    def recorded(self, database: DatabaseId, reader: TableReader) -> TableReader:
        """A reader of a state at the transaction's snapshot, of any database, that notes what is read."""
        if self.reads is None:
            return reader
        return RecordingReader(reader, self.reads.of(database, reader.schema))

    def base_reader(self, schema: TableSchema) -> TableReader:
        """The table as of the snapshot, without the transaction's own writes."""
        found = self._readers.get(schema.id)
        if found is None or found.schema is not schema:
            layers = self.engine.covers.resolve(self.engine.history, schema, self.lineage)
            found = self._readers[schema.id] = TableReader(schema, layers)
        return found

    # what it writes

    def write_rows(
        self,
        schema: TableSchema,
        changes: Mapping[Key, tuple[Row, int]],
        befores: Mapping[Key, Row | None],
    ) -> None:
        """Versions of single rows, key → (stored row, op); a tombstone's row has its key columns only.

        `befores` is what `reader` found under the keys that were looked up. Neither mapping may change any more.
        """
        writes, sequence = self._writing(schema)
        if writes.empty:  # then what was found is what the snapshot has
            writes.befores = {**writes.befores, **befores} if writes.befores else befores
        writes.add(changes, sequence)

    def write_batch(self, schema: TableSchema, batch: pa.RecordBatch) -> None:
        """Versions of many rows as a page batch with `_op` where there are tombstones; the last of a key counts."""
        if batch.num_rows:
            writes, sequence = self._writing(schema)
            writes.cover.append_batch(schema, batch, sequence)

    def write_run(self, schema: TableSchema, make: Any) -> None:
        """A bulk change in page files already; `make(sequence)` gives its run."""
        writes, sequence = self._writing(schema)
        writes.cover.append_run(schema, make(sequence))

    def _table_writes(self, schema: TableSchema) -> TableWrites:
        writes = self.writes.get(schema.id)
        if writes is None:
            writes = self.writes[schema.id] = TableWrites(schema)
        if writes.schema is not schema:
            writes.redefine(schema)
        return writes

    def _writing(self, schema: TableSchema) -> tuple[TableWrites, int]:
        self._check_writable()
        self.sequence += 1
        return self._table_writes(schema), self.sequence

    def change_schema(self, changes: Changes) -> None:
        """Add, replace or (None) remove entities of the catalog."""
        self._check_writable()
        self.sequence += 1
        for entity, value in changes.items():
            if value is None and entity not in self.base_catalog.entities:
                self.schema_changes.pop(entity, None)
            else:
                self.schema_changes[entity] = value
        self._catalog = self.base_catalog.apply(self.schema_changes)

    def _check_writable(self) -> None:
        self.check_open()
        if not self.scratch:
            self.engine.check_writable()

    @property
    def stores(self) -> bool:
        """Whether page files can be written for it; else all of it stays in memory."""
        return self.engine.writable

    @property
    def is_checked(self) -> bool:
        """Whether constraints are known to hold on the snapshot with all that was written."""
        return self.checked_upto == self.sequence

    # savepoints

    def savepoint(self, name: str) -> None:
        """Remember this point; a name used before is shadowed until released."""
        self.check_open()
        self._savepoints.append(self._point(name))

    @property
    def savepoint_names(self) -> list[str]:
        """The savepoints there are, oldest first."""
        return [point.name for point in self._savepoints]

    def release(self, name: str) -> None:
        """Forget a savepoint and those made after it; the writes stay."""
        del self._savepoints[self._savepoint_at(name) :]

    def rollback_to(self, name: str) -> None:
        """Undo everything written since the savepoint, which stays."""
        at = self._savepoint_at(name)
        del self._savepoints[at + 1 :]
        self._go_back(self._savepoints[at])

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """All of what is done inside, or, if it raises, nothing of it. For verbs that take several steps."""
        self.check_open()
        point = self._point("")
        try:
            yield
        except BaseException:
            if self.open:
                self._go_back(point)
            raise

    def _point(self, name: str) -> _Savepoint:
        marks = {table: (writes, writes.cover.mark()) for table, writes in self.writes.items()}
        return _Savepoint(name, marks, dict(self.schema_changes), self.is_checked)

    def _go_back(self, point: _Savepoint) -> None:
        self.writes = {table: writes for table, (writes, _) in point.marks.items()}
        for writes, mark in point.marks.values():
            writes.cover.reset(mark)
        if self.schema_changes != point.schema_changes:
            self.schema_changes = dict(point.schema_changes)
            self._catalog = self.base_catalog.apply(self.schema_changes)
        if point.is_checked:
            self.checked_upto = self.sequence

    def _savepoint_at(self, name: str) -> int:
        self.check_open()
        for at in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[at].name == name:
                return at
        names = ", ".join(point.name for point in self._savepoints) or "none"
        raise NotFoundError(f"there is no savepoint {name!r}", hint=f"savepoints: {names}")

    # the end

    def net_changes(self) -> list[TableChange]:
        """What the transaction changed in the end, table by table; rows written and taken back are not there."""
        found = []
        for table_id, writes in self.writes.items():
            schema = self._catalog.tables.get(table_id)
            if schema is None:
                continue
            change = net_change(self, schema, writes)
            if change is not None:
                found.append(change)
        return found

    def commit(self, changes: list[TableChange] | None = None) -> Lsn | None:
        """Make it durable. Returns the commit's LSN, None if there was nothing to commit.

        `changes` are those of `net_changes`, if somebody has asked already and nothing was written since.
        ConflictError or ConstraintError leave the database as it was and end the transaction.
        """
        self.check_open()
        assert not self.scratch
        try:
            self.lsn = self.engine.commit(self, changes)
        finally:
            self._end()
        return self.lsn

    def rollback(self) -> None:
        """Forget everything; harmless if the transaction has ended."""
        if self.open:
            self._end()

    def _end(self) -> None:
        self.open = False
        # Whoever keeps the transaction must not keep what it wrote and read, nor the page files of that.
        self.writes, self._savepoints, self._readers = {}, [], {}
        self.engine.bulk.leave(self.files)
        self.engine.pins.leave(self)

    def check_open(self) -> None:
        """StateError if the transaction has ended."""
        if not self.open:
            raise StateError("the transaction has ended", hint="begin a new one")

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None and self.open:
            self.commit()
        else:
            self.rollback()
