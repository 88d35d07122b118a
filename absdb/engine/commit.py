"""Commit: conflicts, constraints, one record per transaction, one sync per group, then publish.

The committer computes its net change and checks constraints against its snapshot, in its own thread. Then it
queues. The leader of the group takes the requests in queue order and, for each, looks only at what was
committed since that transaction's snapshot: a key written by both is a WriteConflictError for the later one;
a serializable one fails with a ReadConflictError if what it read has changed; constraints are checked again only
where tables they look at have changed. Accepted ones get their record and are applied to the covers, so that the
next request in the group sees them; one flush makes all of them durable; only then are they published. Readers
cut at the published LSN and never see a commit that is not durable. Commits of one small verb have a shorter way
to the queue (small_commit.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from absdb.catalog.commit_entries import CommitEntry
from absdb.catalog.database import Changes
from absdb.engine.apply import Applied, apply_changes, entry_of
from absdb.engine.candidates import KEYS_AT_ONCE, runs_of, written_keys
from absdb.engine.changeset import TableChange, encode
from absdb.engine.cover import EraCover, Mark
from absdb.engine.definition_conflicts import check_definitions
from absdb.engine.refusals import shown_keys
from absdb.engine.rows import logical_key
from absdb.errors import InvalidInputError, StateError, StorageError, WriteConflictError
from absdb.ids import DatabaseId, EraId
from absdb.pages.key import take, to_list
from absdb.pages.lookup import lookup
from absdb.pages.section import Section
from absdb.wal.format import BODY_BYTES_MAX, RecordKind
from absdb.wal.group import Request

if TYPE_CHECKING:
    from absdb.engine.engine import Engine
    from absdb.engine.transaction import Transaction

CONFLICT_KEYS_SHOWN = 5


class Commit(Request):
    """A change of one database on its way through the queue, its record's body encoded already."""

    __slots__ = ("body", "database", "entry", "lsn")

    def __init__(self, database: DatabaseId) -> None:
        super().__init__()
        self.database = database
        self.body = b""
        self.lsn = 0
        self.entry: CommitEntry | None = None

    def encode(
        self,
        era: EraId,
        changes: list[TableChange],
        *,
        meta: Mapping[str, str],
        schema_changes: Changes,
        used: Mapping[str, int],
    ) -> None:
        """Make the body; InvalidInputError if it is too long for a log record."""
        self.body = encode(era, changes, meta=meta, schema_changes=schema_changes, used=used)
        if len(self.body) > BODY_BYTES_MAX:
            raise InvalidInputError(
                f"a commit of {len(self.body)} bytes does not fit into one log record, at most "
                f"{BODY_BYTES_MAX} do",
                hint="a smaller bulk_threshold writes more of it into page files",
            )

    def check(self, engine: Engine) -> None:
        """Raise why it may not be, in its turn. For the leader."""
        raise NotImplementedError

    def write(self, engine: Engine, undo: Undo) -> None:
        """Append its record and apply it. For the leader, after `check`."""
        raise NotImplementedError


class CommitRequest(Commit):
    """A transaction's net change."""

    __slots__ = ("changes", "meta", "tx")

    def __init__(self, tx: Transaction, changes: list[TableChange]) -> None:
        super().__init__(tx.database)
        self.tx = tx
        self.changes = changes
        self.meta = meta_of(tx.author, tx.message, tx.kind)
        self.encode(tx.era, changes, meta=self.meta, schema_changes=tx.schema_changes, used=tx.used)

    def check(self, engine: Engine) -> None:
        _check(engine, self.tx, self.changes)

    def write(self, engine: Engine, undo: Undo) -> None:
        tx = self.tx
        at = Applied(*append(engine, self), tx.database)
        for change in self.changes:
            undo.cover(engine.covers.era(tx.era, change.schema))
        if tx.schema_changes:
            undo.catalog(tx.era)
        apply_changes(engine, tx.era, at, self.changes, tx.schema_changes)
        self.entry = entry_of(tx.era, at, self.changes, tx.schema_changes, self.meta)


def append(engine: Engine, commit: Commit) -> tuple[int, int, int]:
    """Put a commit's record into the log's batch; its LSN, time and transaction id. For the leader."""
    time_us, txid, database = engine.next_time(), engine.next_txid(), commit.database
    _, lsn = engine.wal.append(RecordKind.COMMIT, database, txid, time_us, commit.body)
    engine.newest[database] = commit.lsn = lsn
    return lsn, time_us, txid


def meta_of(author: str | None, message: str, kind: str = "commit") -> dict[str, str]:
    """What a commit says about itself; empty things are left out."""
    meta = {}
    if author:
        meta["author"] = author
    if message:
        meta["message"] = message
    if kind != "commit":
        meta["kind"] = kind
    return meta


def lead(engine: Engine, batch: list[Commit]) -> None:
    """What the leader does for a group; errors of single requests are left in them."""
    entries: list[CommitEntry] = []
    undo = Undo(engine)
    for commit in batch:
        try:
            commit.check(engine)
        except Exception as error:  # nothing of it has been written yet: the others need not suffer
            commit.error = error
            continue
        commit.write(engine, undo)
        assert commit.entry is not None
        entries.append(commit.entry)
    if not entries:
        return
    try:
        engine.wal.flush()
    except StorageError as error:
        undo.run()
        raise Undone(error) from error
    engine.log.extend(entries)
    engine.publish(entries[-1].lsn)


def check_unprotected(engine: Engine, tx: Transaction) -> None:
    """StateError if the database takes no direct commits."""
    info = engine.history.databases.get(tx.database)
    if info is not None and info.protected and tx.kind not in ("merge", "undo"):
        raise StateError(
            f"database {info.name!r} is protected and accepts merges only",
            hint=f"branch it and merge the branch, or unprotect it: db[{info.name!r}].unprotect()",
        )


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


def _check(engine: Engine, tx: Transaction, changes: list[TableChange]) -> None:
    engine.check_writable()
    check_unprotected(engine, tx)
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
    check_definitions(engine, tx, changes, catalog)
    for change in changes:
        cover = engine.covers.eras.get((tx.era, change.schema.id))
        if cover is not None and cover.hi > tx.snapshot_lsn:
            check_keys(change, cover, tx.snapshot_lsn)
    engine.constraints.recheck(tx, changes, newest, catalog)


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
