"""What a log record does to the state in memory: the same code for a commit that has just been written and for
one replayed in recovery, so that the two cannot differ.

Called by the thread that holds the commit order, or by recovery. Applying never fails for a record that was
accepted: everything is checked before it is written.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from absdb.catalog.commit_entries import CommitEntry
from absdb.catalog.database import Changes, DatabaseCatalog, changes_from_json
from absdb.catalog.history import DatabaseInfo, Era, Snapshot
from absdb.catalog.schema import TableSchema
from absdb.engine.bulk import files_of
from absdb.engine.changeset import TableChange, decode, decode_table
from absdb.engine.cover import EraCover
from absdb.engine.rowcodec import Row
from absdb.engine.rows import key_positions
from absdb.errors import CorruptionError, CorruptLogError
from absdb.ids import DatabaseId, EraId, TableId
from absdb.pages.run import Run
from absdb.pages.section import DELETE, UPSERT
from absdb.wal.format import Record, RecordKind

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

RESTORE_POINT = "restore point"
REMEMBERED = "remembered"


class Applied(NamedTuple):
    """Where a record stands in the log, for what it leaves in the commit log."""

    lsn: int
    time_us: int
    txid: int
    database: DatabaseId


def apply_changes(
    engine: Engine, era: EraId, at: Applied, tables: list[TableChange], schema_changes: Changes
) -> None:
    """Put a commit's rows into the covers of its era and its schema changes into the history."""
    for change in tables:
        cover = engine.covers.era(era, change.schema)
        if change.rows is not None:
            apply_rows(cover, change, at.lsn)
        elif change.batch is not None:
            cover.append_batch(change.schema, change.batch, at.lsn)
        else:
            cover.append_run(change.schema, bind_run(change.run, at.lsn))
            engine.logged_files.note(at.lsn, frozenset(files_of(change.run.newest)))
    if schema_changes:
        lineage = (*engine.history.eras[era].base, (era, at.lsn))
        engine.history.put_catalog(era, at.lsn, engine.history.catalog_at(lineage).apply(schema_changes))


def apply_rows(cover: EraCover, change: TableChange, lsn: int) -> None:
    """Put a change in the form of rows into the cover of its table."""
    assert change.rows is not None
    schema = change.schema
    for item in change.rows:
        if item.row is None:
            assert item.before is not None
            cover.append_row(schema, item.key, tombstone(change, item.before), DELETE, lsn)
        else:
            cover.append_row(schema, item.key, item.row, UPSERT, lsn)


def tombstone(change: TableChange, row: Row) -> Row:
    """A row with its key columns and None elsewhere."""
    keys = key_positions(change.schema)
    return tuple(value if at in keys else None for at, value in enumerate(row))


def bind_run(run: Run, lsn: int) -> Run:
    """A bulk run with the LSN its commit got."""
    return run.with_lsn(lsn)


def entry_of(
    era: EraId, at: Applied, tables: list[TableChange], schema_changes: Changes, meta: dict[str, Any]
) -> CommitEntry:
    """The commit log's entry of a commit."""
    return CommitEntry(
        at.lsn,
        at.time_us,
        era,
        at.database,
        at.txid,
        meta.get("author", ""),
        meta.get("message", ""),
        meta.get("kind", "commit"),
        tuple([(c.schema.id, c.inserted, c.updated, c.deleted) for c in tables]),
        bool(schema_changes),
    )


def replay(engine: Engine, record: Record) -> None:
    """Apply one record of the log. CorruptLogError names its LSN if what it says cannot be."""
    try:
        _replay(engine, record)
    except (KeyError, ValueError, json.JSONDecodeError, pa.ArrowInvalid, CorruptionError) as error:
        if isinstance(error, CorruptLogError):
            raise
        raise CorruptLogError(
            f"the log record at LSN {record.lsn} ({record.kind.name}) cannot be applied: {error}",
            lsn=record.lsn,
            hint="restore the newest backup and replay the archived log up to this LSN",
        ) from error


def _replay(engine: Engine, record: Record) -> None:
    at = Applied(record.end_lsn, record.time_us, record.txid, DatabaseId(record.database_id))
    match record.kind:
        case RecordKind.COMMIT:
            _replay_commit(engine, at, bytes(record.body))
        case RecordKind.DATABASE:
            apply_database(engine, at, json.loads(record.body))
        case RecordKind.SNAPSHOT:
            apply_snapshot(engine, at, json.loads(record.body))
        case RecordKind.ALLOCATE:
            engine.allocator.apply(json.loads(record.body))
        case RecordKind.NOTE:
            apply_note(engine, at, json.loads(record.body))
        case RecordKind.CHECKPOINT:
            pass


def _replay_commit(engine: Engine, at: Applied, body: bytes) -> None:
    changes = decode(body)
    lineage = (*engine.history.eras[changes.era].base, (changes.era, at.lsn))
    catalog = engine.history.catalog_at(lineage).apply(changes.schema_changes)
    tables = []
    for kind, table_id, data in changes.tables:
        schema = catalog.tables.get(table_id)
        if schema is None:
            raise CorruptionError(f"a commit changes table {table_id}, which does not exist")
        change = decode_table(kind, schema, data)
        if change.pages is not None:
            change.run = engine.bulk.open(schema, change.pages)
        tables.append(change)
    apply_changes(engine, changes.era, at, tables, changes.schema_changes)
    for used in ids_in(changes.schema_changes):
        engine.allocator.seen(used)
    engine.allocator.apply_used(at.database, changes.used)
    engine.log.append(entry_of(changes.era, at, tables, changes.schema_changes, changes.meta))


def ids_in(changes: Changes) -> Iterator[int]:
    """The ids that changed entities use: none of them may be handed out again."""
    for (_, name), value in changes.items():
        if isinstance(name, int):
            yield name
        if isinstance(value, TableSchema):
            yield from value.by_id


def apply_database(engine: Engine, at: Applied, body: dict[str, Any]) -> None:
    """A database was created, branched, restored, altered or dropped: `{op, database, era, catalog, …}`.

    Or eras that had been forgotten are known again: `{op, eras, catalog, expired}`.
    """
    if body["op"] == REMEMBERED:
        _remember(engine, body)
        return
    history = engine.history
    if "era" in body:
        era = Era.from_json({**body["era"], "start_lsn": at.lsn})
        history.put_era(era)
        engine.allocator.seen(era.id)
        if "tables" in body:
            catalog = history.catalog_at(era.base).apply(changes_from_json(body["tables"]))
            history.put_catalog(era.id, at.lsn, catalog)
    if body["op"] == "drop":
        history.drop_database(at.database)
    else:
        info = DatabaseInfo.from_json(body["database"])
        if body["op"] in ("created", "branch"):
            info = dataclasses.replace(info, created_us=at.time_us, created_lsn=at.lsn)
        history.put_database(info)
        engine.allocator.seen(info.id)
    _log_event(engine, at, body)


def _remember(engine: Engine, body: Mapping[str, Any]) -> None:
    """The catalog is that of the last of the eras; `expired` are (era, table, LSN up to which it changed the table)."""
    history = engine.history
    eras = [Era.from_json(each) for each in body["eras"]]
    if eras[-1].id in history.eras:
        return
    for era in eras:
        if era.id not in history.eras:
            history.put_era(era)
    history.put_catalog(eras[-1].id, 0, DatabaseCatalog(changes_from_json(body["catalog"])))
    for number, table, lsn in body["expired"]:
        engine.covers.expired[EraId(number), TableId(table)] = ((0, lsn),)


def apply_snapshot(engine: Engine, at: Applied, body: dict[str, Any]) -> None:
    """A snapshot was made or dropped: `{op, snapshot}`."""
    snapshot = Snapshot.from_json(body["snapshot"])
    key = (snapshot.database, snapshot.name)
    if body["op"] == "drop":
        engine.history.snapshots.pop(key, None)
    else:
        engine.history.snapshots[key] = snapshot


def apply_note(engine: Engine, at: Applied, body: dict[str, Any]) -> None:
    """Something was noted that changes no state: `{op, name}`. Restore points show in the instance's log."""
    if body["op"] == RESTORE_POINT:
        _log_event(engine, at, {**body, "message": body["name"]})


def _log_event(engine: Engine, at: Applied, body: dict[str, Any]) -> None:
    """What is no commit shows in log(), too, as an entry of no era, so that no state is named after it."""
    engine.log.append(
        CommitEntry(
            lsn=at.lsn,
            time_us=at.time_us,
            era=EraId(0),
            database_id=at.database,
            txid=at.txid,
            author=body.get("author", ""),
            message=body.get("message", ""),
            kind=body["op"],
            tables=(),
            schema_changed=False,
        )
    )
