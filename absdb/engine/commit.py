"""Commit: conflicts, constraints, one record per transaction, one sync per group, then publish.

The committer computes its net change and checks constraints against its snapshot, in its own thread. Then it
queues. The leader of the group takes the requests in queue order and, for each, looks only at what was
committed since that transaction's snapshot: a key written by both is a WriteConflictError for the later one;
a serializable one fails with a ReadConflictError if what it read has changed; constraints are checked again only
where tables they look at have changed. Accepted ones get their record and are applied to the covers, so that the
next request in the group sees them; one flush makes all of them durable; only then are they published. Readers
cut at the published LSN and never see a commit that is not durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from absdb.catalog.commit_entries import CommitEntry
from absdb.engine.apply import Applied, apply_changes, entry_of
from absdb.engine.candidates import KEYS_AT_ONCE, runs_of, written_keys
from absdb.engine.changeset import TableChange, encode
from absdb.engine.cover import EraCover, Mark
from absdb.engine.definition_conflicts import check_definitions
from absdb.engine.refusals import shown_keys
from absdb.engine.rows import logical_key
from absdb.errors import InvalidInputError, StateError, StorageError, WriteConflictError
from absdb.ids import EraId
from absdb.pages.key import take, to_list
from absdb.pages.lookup import lookup
from absdb.pages.section import Section
from absdb.wal.format import BODY_BYTES_MAX, RecordKind
from absdb.wal.group import Request

if TYPE_CHECKING:
    from absdb.engine.engine import Engine
    from absdb.engine.transaction import Transaction

CONFLICT_KEYS_SHOWN = 5


class CommitRequest(Request):
    """One transaction on its way through the queue, its record's body encoded already."""

    __slots__ = ("body", "changes", "entry", "lsn", "meta", "tx")

    def __init__(self, tx: Transaction, changes: list[TableChange]) -> None:
        super().__init__()
        self.tx = tx
        self.changes = changes
        self.meta = _meta(tx)
        self.body = encode(tx.era, changes, meta=self.meta, schema_changes=tx.schema_changes, used=tx.used)
        if len(self.body) > BODY_BYTES_MAX:
            raise InvalidInputError(
                f"a commit of {len(self.body)} bytes does not fit into one log record, at most "
                f"{BODY_BYTES_MAX} do",
                hint="a smaller bulk_threshold writes more of it into page files",
            )
        self.lsn = 0
        self.entry: CommitEntry | None = None


def _meta(tx: Transaction) -> dict[str, str]:
    """What a commit says about itself; empty things are left out."""
    meta = {}
    if tx.author:
        meta["author"] = tx.author
    if tx.message:
        meta["message"] = tx.message
    if tx.kind != "commit":
        meta["kind"] = tx.kind
    return meta


def lead(engine: Engine, batch: list[CommitRequest]) -> None:
    """What the leader does for a group; errors of single requests are left in them."""
    accepted: list[CommitRequest] = []
    undo = Undo(engine)
    for request in batch:
        try:
            _check(engine, request)
        except Exception as error:  # nothing of it has been written yet: the others need not suffer
            request.error = error
            continue
        _write(engine, request, undo)
        accepted.append(request)
    if not accepted:
        return
    try:
        engine.wal.flush()
    except StorageError as error:
        undo.run()
        raise Undone(error) from error
    for request in accepted:
        assert request.entry is not None
        engine.log.append(request.entry)
    engine.publish(accepted[-1].lsn)


class Undone(Exception):
    """The batch could not be written, and memory is what it was before; carries the error that says why."""


class Undo:
    """What a group did in memory, for when its batch cannot be written at all (a full disk)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._marks: dict[int, tuple[EraCover, Mark]] = {}
        self._newest = dict(engine.newest)
        self._catalogs: list[EraId] = []

    def cover(self, cover: EraCover) -> None:
        """Remember a cover as it is, before its first change."""
        if id(cover) not in self._marks:
            self._marks[id(cover)] = (cover, cover.mark())

    def catalog(self, era: EraId) -> None:
        """A catalog was added to the era."""
        self._catalogs.append(era)

    def run(self) -> None:
        """Put everything back."""
        for cover, mark in self._marks.values():
            cover.reset(mark)
        for era in self._catalogs:
            self._engine.history.take_back_catalog(era)
        self._engine.newest = self._newest


def _check(engine: Engine, request: CommitRequest) -> None:
    tx = request.tx
    engine.check_writable()
    engine.check_unprotected(tx)
    info = engine.history.databases.get(tx.database)
    if info is None:
        raise StateError("the database was dropped while the transaction was open")
    if info.eras[-1] != tx.era or tx.snapshot_lsn < engine.history.eras[tx.era].start_lsn:
        raise WriteConflictError(
            f"database {info.name!r} was restored while the transaction was open",
            hint="run the transaction again",
        )
    if tx.reads is not None:
        tx.reads.check(engine, tx)
    newest = engine.newest_lineage(tx.database)
    if newest == tx.lineage:
        return
    catalog = engine.history.catalog_at(newest)
    check_definitions(engine, tx, request.changes, catalog)
    for change in request.changes:
        cover = engine.covers.eras.get((tx.era, change.schema.id))
        if cover is not None and cover.hi > tx.snapshot_lsn:
            check_keys(change, cover, tx.snapshot_lsn)
    engine.constraints.recheck(tx, request.changes, newest, catalog)


def check_keys(change: TableChange, cover: EraCover, snapshot_lsn: int) -> None:
    """WriteConflictError if a key of the change was written after the snapshot."""
    spec = change.schema.key_spec
    if change.rows is not None:
        clashes = [item.key for item in change.rows if cover.written_after(item.key, snapshot_lsn)]
        count = len(clashes)
    else:
        ours = change.run.newest if change.run is not None else None
        if ours is None:
            assert change.batch is not None
            ours = Section.of([change.batch], spec)
        clashes, count = [], 0
        for theirs in written_keys(spec, runs_of([(cover, snapshot_lsn, cover.hi)]), KEYS_AT_ONCE):
            both = np.flatnonzero(lookup(spec, [ours], theirs).known)
            clashes += to_list(take(theirs, both[: CONFLICT_KEYS_SHOWN - len(clashes)]))
            count += len(both)
    if count:
        keys = [logical_key(change.schema, key) for key in clashes[:CONFLICT_KEYS_SHOWN]]
        shown = shown_keys(keys, count)
        raise WriteConflictError(
            f"table {change.schema.full_name!r}: key {shown} was changed by another transaction",
            hint="run the transaction again",
            table=change.schema.full_name,
            keys=keys,
        )


def _write(engine: Engine, request: CommitRequest, undo: Undo) -> None:
    tx = request.tx
    time_us = engine.next_time()
    txid = engine.next_txid()
    _, lsn = engine.wal.append(RecordKind.COMMIT, tx.database, txid, time_us, request.body)
    at = Applied(lsn, time_us, txid, tx.database)
    for change in request.changes:
        undo.cover(engine.covers.era(tx.era, change.schema))
    if tx.schema_changes:
        undo.catalog(tx.era)
    apply_changes(engine, tx.era, at, request.changes, tx.schema_changes)
    engine.newest[tx.database] = lsn
    request.lsn = lsn
    request.entry = entry_of(tx.era, at, request.changes, tx.schema_changes, request.meta)
