"""One test for each defect that the proofs of this folder have found, named in README.md beside it."""

from __future__ import annotations

import datetime as dt
import errno
import gc
import sys
import threading
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

import absdb
from absdb.catalog.manifest import is_chunk_name
from absdb.catalog.schema import ForeignKey, Unique
from absdb.clock import ManualClock, to_datetime
from absdb.engine import ddl, garbage, recovery, small
from absdb.engine.check import check
from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import compact_table, maintain, merge_cover
from absdb.engine.definition import ColumnDefinition
from absdb.engine.expiry import expire
from absdb.engine.garbage import retire
from absdb.engine.leases import Lease
from absdb.engine.recovery import open_engine, refresh
from absdb.errors import (
    ConstraintError,
    CorruptionError,
    CorruptLogError,
    InvalidInputError,
    NotFoundError,
    StateError,
    StorageError,
    WriteConflictError,
)
from absdb.io.base import read_file, write_atomic
from absdb.io.memory import MemoryFileSystem
from absdb.pages.values import Converter
from absdb.paths import CONF, CONTROL, DIRECTORIES
from absdb.testing.faults import Fault, FaultyFileSystem
from absdb.versioning.as_of import resolve
from absdb.versioning.branch import create_branch, drop_database
from absdb.versioning.restore import restore
from tests.proof.scene import TINY, bulk, create, database, ids, numbered, put, reader, rows, start


def test_bulk_load_survives_a_crash_before_the_next_checkpoint():
    fs = MemoryFileSystem()
    engine = start(fs)
    with engine.begin(database(engine)) as tx:
        bulk(tx, create(tx, "t"), numbered(range(100)))
    engine.abandon()
    engine = start(fs)
    assert ids(engine, "t") == list(range(100))
    engine.close()


def test_close_after_the_log_has_been_cut_by_its_own_checkpoint():
    """The log was reread from a place that the checkpoint of close() had just removed."""
    fs = MemoryFileSystem()
    engine = start(fs)
    with engine.begin(database(engine)) as tx:
        create(tx, "t")
    for first in range(0, 300, 10):
        put(engine, "t", range(first, first + 10))
    assert engine.published > 2 * 4096
    engine.close()
    engine = start(fs)
    assert ids(engine, "t") == list(range(300))
    engine.abandon()


def test_ids_of_tables_and_columns_are_not_handed_out_again_after_a_crash():
    fs = MemoryFileSystem()
    engine = start(fs)
    with engine.begin(database(engine)) as tx:
        table = create(tx, "t")
    engine.abandon()
    engine = start(fs)
    with engine.begin(database(engine)) as tx:
        other = create(tx, "u")
    assert {table.id, *table.by_id}.isdisjoint({other.id, *other.by_id})
    engine.abandon()


@pytest.mark.parametrize("rows", [90, 101])
def test_a_commit_that_fills_the_buffer_is_seen_whole(monkeypatch, rows):
    """The buffer was sealed between two rows of one commit; the second part lay before the run's end."""
    monkeypatch.setattr("absdb.engine.cover.SEAL_ROWS", 100)
    engine = start(MemoryFileSystem())
    with engine.begin(database(engine)) as tx:
        create(tx, "t")
    put(engine, "t", range(50))
    lsn = put(engine, "t", range(50, 50 + rows))
    assert ids(engine, "t") == list(range(50 + rows))
    put(engine, "t", [1000])
    assert ids(engine, "t", lsn=lsn) == list(range(50 + rows))
    engine.abandon()


WIDENINGS = [
    (pa.date32(), pa.timestamp("us"), dt.date(2024, 2, 29), dt.datetime(2024, 2, 29)),
    (pa.timestamp("s"), pa.timestamp("us"), dt.datetime(2024, 2, 29), dt.datetime(2024, 2, 29)),
    (pa.int32(), pa.float64(), 7, 7.0),
    (pa.decimal128(6, 2), pa.decimal128(9, 4), Decimal("1.25"), Decimal("1.2500")),
]


@pytest.mark.parametrize(("narrow", "wide", "value", "expected"), WIDENINGS, ids=lambda each: str(each))
def test_a_widened_column_keeps_values_and_defaults(narrow, wide, value, expected):
    """Rows not yet in pages, and defaults, were taken as values of the new type as they stood."""
    engine = start(MemoryFileSystem())
    with engine.begin(database(engine)) as tx:
        table = create(tx, "t", id=pa.int64(), old=narrow)
        small.insert(tx, table, [{"id": 1, "old": value}])
    with engine.begin(database(engine)) as tx:
        added = ColumnDefinition(name="new", type=narrow, default=value)
        table = ddl.add_column(tx, tx.catalog.table("t"), added)
    with engine.begin(database(engine)) as tx:
        for name in ("old", "new"):
            table = ddl.retype_column(tx, tx.catalog.table("t"), name, wide)
        small.insert(tx, table, [{"id": 2, "old": expected}])
        ddl.retype_column(tx, tx.catalog.table("t"), "id", pa.int64())
    assert [row["new"] for row in rows(engine, "t")] == [expected, expected]
    assert [row["old"] for row in rows(engine, "t")] == [expected, expected]
    physical = Converter.of(wide).to_physical(expected)
    assert reader(engine, "t").row(1) == (1, physical, physical)
    engine.abandon()


def test_an_instance_opens_after_the_last_database_with_a_table_has_expired():
    """Its images went, but the manifest still had a place for them, without a definition to read them by."""
    fs = MemoryFileSystem()
    engine = start(fs)
    branch = create_branch(engine, "dev", resolve(engine, engine.history.database("main")))
    with engine.begin(branch.id) as tx:
        create(tx, "t")
    put(engine, "t", range(10), name="dev")
    schema = reader(engine, "t", "dev").schema
    assert compact_table(engine, branch.id, schema)
    drop_database(engine, branch)
    maintain(engine)
    checkpoint(engine)
    engine.abandon()
    start(fs).close()


def test_a_checkpoint_beside_the_first_commit_to_a_table_can_be_read():
    """A cover that was just made, for a commit not yet applied, went into the manifest without a definition."""
    fs = MemoryFileSystem()
    engine = start(fs)
    with engine.begin(database(engine)) as tx:
        table = create(tx, "t")
    engine.covers.era(tx.era, table)
    checkpoint(engine)
    engine.abandon()
    engine = start(fs)
    assert ids(engine, "t") == []
    engine.close()


def _retype(tx, table):
    ddl.retype_column(tx, table, "value", pa.large_binary())


def _not_null(tx, table):
    ddl.alter_column(tx, table, "value", nullable=False)


def _unique(tx, table):
    ddl.add_constraint(tx, table, Unique("once", (table.column("value").id,)))


def _required(tx, table):
    added = ColumnDefinition(name="required", type=pa.int64(), nullable=False)
    ddl.add_column(tx, table, added)


@pytest.mark.parametrize("change", [_retype, _not_null, _unique, _required])
def test_a_definition_that_rests_on_rows_conflicts_with_rows_written_meanwhile(change):
    """Rewritten and checked were the rows of the snapshot only: a row added beside it lost its value."""
    engine = start(MemoryFileSystem())
    with engine.begin(database(engine)) as tx:
        create(tx, "t")
    if change is not _required:
        put(engine, "t", [1])
    tx = engine.begin(database(engine))
    change(tx, tx.catalog.table("t"))
    with engine.begin(database(engine)) as other:
        small.insert(other, other.catalog.table("t"), [{"id": 2, "value": "x1"}, {"id": 3, "value": None}])
    with pytest.raises(WriteConflictError):
        tx.commit()
    assert reader(engine, "t").count() == (2 if change is _required else 3)
    engine.abandon()


@pytest.mark.parametrize("constraint_first", [True, False])
def test_a_new_foreign_key_holds_beside_a_deletion_of_what_it_refers_to(constraint_first):
    """The deletion knew nothing of the constraint, the constraint nothing of the deletion."""
    engine = start(MemoryFileSystem())
    with engine.begin(database(engine)) as tx:
        parent = create(tx, "parent")
        child = create(tx, "child", id=pa.int64(), parent=pa.int64())
        small.insert(tx, parent, [{"id": 1, "value": "x"}])
        small.insert(tx, child, [{"id": 1, "parent": 1}])
    adds, deletes = engine.begin(database(engine)), engine.begin(database(engine))
    key = ForeignKey("known", (child.column("parent").id,), parent.id, parent.key)
    ddl.add_constraint(adds, adds.catalog.table("child"), key)
    small.delete(deletes, deletes.catalog.table("parent"), [{"id": 1}])
    first, second = (adds, deletes) if constraint_first else (deletes, adds)
    first.commit()
    with pytest.raises(ConstraintError if constraint_first else WriteConflictError):
        second.commit()
    engine.abandon()


def _to_integer(tx, table):
    ddl.retype_column(tx, table, "value", pa.int64())


def _same_value(tx, table):
    small.insert(tx, table, [{"id": 2, "value": "x1"}])
    ddl.add_constraint(tx, table, Unique("once", (table.column("value").id,)))


@pytest.mark.parametrize("change", [_to_integer, _same_value])
def test_a_refused_definition_leaves_the_transaction_as_it_was(change):
    """The new definition stayed in the transaction, over rows that had not been rewritten or did not hold it."""
    engine = start(MemoryFileSystem())
    with engine.begin(database(engine)) as tx:
        create(tx, "t")
    put(engine, "t", [1])
    with engine.begin(database(engine)) as tx:
        table = tx.catalog.table("t")
        with pytest.raises(ConstraintError):
            change(tx, table)
        assert tx.catalog.table("t") is table
    assert rows(engine, "t")[0] == {"id": 1, "value": "x1"}
    engine.abandon()


def test_history_before_a_table_was_put_back_alone_is_kept_in_branches():
    """Only what the branch's head went through was kept, not what its table had been before within retention."""
    engine = start(MemoryFileSystem())
    main = engine.history.database("main")
    with engine.begin(main.id) as tx:
        create(tx, "t")
    lsns = []
    for number in range(3):
        lsns.append(put(engine, "t", [number]))
        checkpoint(engine)
    restore(engine, resolve(engine, main, lsn=lsns[0]), tables=["t"])
    put(engine, "t", [9])
    create_branch(engine, "dev", resolve(engine, main))
    drop_database(engine, main)
    maintain(engine)
    assert ids(engine, "t", "dev") == [0, 9]
    assert [ids(engine, "t", "dev", lsn=lsn) for lsn in lsns] == [[0], [0, 1], [0, 1, 2]]
    engine.abandon()


def test_history_of_a_table_dropped_in_a_source_that_is_gone_is_kept_in_branches():
    """Tables were looked for in the eras of live databases, not in those that these run through."""
    engine = start(MemoryFileSystem())
    main = engine.history.database("main")
    with engine.begin(main.id) as tx:
        create(tx, "t")
    lsn = put(engine, "t", [1])
    checkpoint(engine)
    with engine.begin(main.id) as tx:
        ddl.drop_table(tx, tx.catalog.table("t"))
    create_branch(engine, "dev", resolve(engine, main))
    drop_database(engine, main)
    maintain(engine)
    assert ids(engine, "t", "dev", lsn=lsn) == [1]
    engine.abandon()


def test_undrop_does_not_take_a_table_for_one_by_a_name_it_had_before():
    """It came back under its old name, in a definition that later commits had replaced."""
    engine = start(MemoryFileSystem())
    with engine.begin(database(engine)) as tx:
        create(tx, "old")
    with engine.begin(database(engine)) as tx:
        ddl.rename_table(tx, tx.catalog.table("old"), "new")
    with engine.begin(database(engine)) as tx:
        ddl.drop_table(tx, tx.catalog.table("new"))
    with engine.begin(database(engine)) as tx:
        with pytest.raises(NotFoundError):
            ddl.undrop_table(tx, "old")
        assert ddl.undrop_table(tx, "new").name == "new"
    engine.abandon()


def _left_open(fs):
    """An instance whose process ended: a checkpoint with a chunk of the commit log, and log behind it."""
    engine = start(fs)
    with engine.begin(database(engine)) as tx:
        create(tx, "t")
    put(engine, "t", range(10))
    checkpoint(engine)
    for number in range(10, 100):
        put(engine, "t", [number])
    engine.abandon()
    return engine


def _files(fs):
    names = [f"{place}/{name}" for place in DIRECTORIES for name in fs.list(place)]
    return {name: read_file(fs, name) for name in [*names, *filter(fs.exists, (CONTROL, CONF))]}


def test_no_instance_is_made_on_top_of_one_that_lost_its_control():
    """A new `control` and manifest were written among the old files, and then the log was found foreign."""
    fs = MemoryFileSystem()
    _left_open(fs)
    fs.unlink(CONTROL)
    before = _files(fs)
    for read_only in (False, True):
        with pytest.raises(CorruptionError, match="control is missing"):
            open_engine(fs, read_only=read_only)
    assert _files(fs) == before


def test_a_newest_segment_that_was_cut_is_damage():
    """It was filled up with zeros, and what was acknowledged behind the cut was gone without a word."""
    fs = MemoryFileSystem()
    _left_open(fs)
    newest = f"wal/{fs.list('wal')[-1]}"
    assert any(read_file(fs, newest)[600:])
    file = fs.open(newest, write=True)
    file.truncate(600)
    file.close()
    before = _files(fs)
    with pytest.raises(CorruptLogError, match="was cut to 600 bytes"):
        start(fs)
    assert _files(fs) == before


def test_settings_that_are_no_text_are_an_error_of_input():
    fs = MemoryFileSystem()
    start(fs).close()
    write_atomic(fs, CONF, b"page_rows = 5\nauthor = \xff")
    with pytest.raises(InvalidInputError, match=r"absdb\.conf, line 2: byte 0xff"):
        start(fs)


def test_a_missing_manifest_is_damage():
    """It was reported as a disk that refuses to open a file."""
    fs = MemoryFileSystem()
    name = _left_open(fs).control.manifest
    fs.unlink(f"manifests/{name}")
    for read_only in (False, True):
        with pytest.raises(CorruptionError, match=f"{name} is missing"):
            open_engine(fs, read_only=read_only)


def test_check_reports_a_damaged_chunk_of_the_commit_log():
    """Its bytes were not looked at; where it could not be read at all, check() itself failed."""
    fs = MemoryFileSystem()
    _left_open(fs)
    engine = start(fs)
    checkpoint(engine)
    chunk = f"pages/{next(name for name in fs.list('pages') if is_chunk_name(name))}"
    file = fs.open(chunk, write=True)
    file.pwrite(300, [b"rot"])
    file.close()
    assert chunk in {finding.where for finding in check(engine)}
    engine.close()
    engine = start(fs)
    fs.unlink(chunk)
    assert chunk in {finding.where for finding in check(engine)}
    with pytest.raises(CorruptionError, match="missing"):
        list(engine.log.entries([(engine.history.current_era(database(engine)).id, 0, engine.published)]))
    assert ids(engine, "t"), "the newest state is known from the manifest"
    engine.abandon()


@pytest.mark.parametrize("place", ["manifests/*", "readers/*"])
@pytest.mark.parametrize("op", ["open", "size", "pread"])
def test_garbage_collection_removes_nothing_while_it_cannot_read_what_is_needed(place, op):
    """A manifest or lease that the disk refused to read counted as one that needs nothing: its files went."""
    disk = MemoryFileSystem()
    engine = start(disk)
    with engine.begin(database(engine)) as tx:
        create(tx, "t")
    put(engine, "t", range(100))
    checkpoint(engine)
    engine.abandon()
    engine = start(disk)
    lease = Lease(disk, engine.clock, engine.control.manifest)
    pages = disk.list("pages")
    assert pages
    engine.fs = FaultyFileSystem(disk, [Fault(op, path=place, forever=True)])
    with pytest.raises(StorageError):
        retire(engine)
    list(check(engine))
    assert disk.list("pages") == pages
    engine.fs = disk
    assert ids(engine, "t") == list(range(100))
    lease.release()
    engine.close()


def test_a_reader_that_cannot_say_that_it_reads_does_not_read_beside_a_writer():
    """It went on without a lease when the disk was full, and the writer removed the files under its hands."""
    disk = MemoryFileSystem()
    writer = start(disk)
    full = FaultyFileSystem(disk, [Fault("create", path="readers/*", error=errno.ENOSPC, forever=True)])
    with pytest.raises(StorageError) as caught:
        open_engine(full, read_only=True)
    assert caught.value.errno == errno.ENOSPC
    sealed = FaultyFileSystem(disk, [Fault("create", path="readers/*", error=errno.EROFS, forever=True)])
    open_engine(sealed, read_only=True).close()
    writer.close()
    open_engine(full, read_only=True).close()


def test_a_reader_that_cannot_renew_its_lease_reads_no_more_until_it_can():
    """It showed what it had replayed, of files that nobody knew it needed."""
    disk = MemoryFileSystem()
    writer = start(disk)
    _load(writer, range(100))
    reading = open_engine(disk, read_only=True)
    _load(writer, range(100, 200))
    disk.capacity = 0
    for _ in range(2):
        with pytest.raises(StorageError) as caught:
            refresh(reading)
        assert caught.value.errno == errno.ENOSPC
        with pytest.raises(StateError, match="lease") as refused:
            ids(reading, "t")
        assert "refresh()" in refused.value.hint
    disk.capacity = None
    refresh(reading)
    assert ids(reading, "t") == list(range(200))
    reading.close()
    writer.abandon()


def test_a_reader_that_cannot_remove_its_lease_still_lets_go_of_its_files():
    """It counted as closed, held every page file it had mapped, and closing again did nothing about it."""
    disk = MemoryFileSystem()
    writer = start(disk)
    _load(writer, range(100))
    checkpoint(writer)
    failing = FaultyFileSystem(disk, [Fault("exists", path="readers/*.lease")])
    reading = open_engine(failing, read_only=True)
    table = reader(reading, "t")
    with pytest.raises(StorageError, match=r"\.lease"):
        reading.close()
    assert failing.fired
    assert reading.closed
    with pytest.raises(StateError, match="page store is closed"):
        table.to_table()
    reading.close()
    writer.abandon()


def test_a_reader_opens_while_the_writer_removes_the_log_it_reads(monkeypatch):
    """The lease of a reader holds page files. Log segments go with each checkpoint of the writer."""
    fs = MemoryFileSystem()
    engine = start(fs)
    with engine.begin(database(engine)) as tx:
        create(tx, "t")
    put(engine, "t", range(100))
    readable_end, rounds = recovery.readable_end, []

    def slow(reader):
        end = readable_end(reader)
        if len(rounds) < 3:
            rounds.append(put(engine, "t", range(100, 200), f"round {len(rounds)} "))
            checkpoint(engine)
        return end

    monkeypatch.setattr(recovery, "readable_end", slow)
    reading = open_engine(fs, read_only=True)
    assert ids(reading, "t") == list(range(200))
    assert len(rounds) == 3
    reading.close()
    engine.abandon()


def _load(engine, numbers):
    """A bulk load of which this process keeps no more than the engine does."""
    with engine.begin(database(engine)) as tx:
        made = "t" not in {table.name for table in tx.catalog.tables.values()}
        bulk(tx, create(tx, "t") if made else tx.catalog.table("t"), numbered(numbers))


def test_a_reader_that_follows_while_the_writer_collects_garbage_keeps_its_files(monkeypatch):
    """It claimed a file after the writer had asked for claims, and before the file went."""
    fs = MemoryFileSystem()
    engine = start(fs, run_limit=1)
    _load(engine, range(100))
    checkpoint(engine)
    reading = open_engine(fs, read_only=True)
    _load(engine, range(100, 200))
    loaded = max(engine.pages.names())
    for cover in list(engine.covers.eras.values()):
        merge_cover(engine, cover)
    gc.collect()
    leased = garbage.leased

    def asked(*given):
        found = leased(*given)
        refresh(reading)
        return found

    monkeypatch.setattr(garbage, "leased", asked)
    checkpoint(engine)
    assert loaded not in engine.pages.names()
    assert ids(reading, "t") == list(range(200))
    reading.close()
    engine.abandon()


def test_a_damaged_page_file_of_a_unique_table_keeps_no_checkpoint_from_the_others():
    """Its index run could not be made, so that no checkpoint came into force any more, and closing failed."""
    fs = MemoryFileSystem()
    engine = start(fs)
    with engine.begin(database(engine)) as tx:
        table = create(tx, "t")
        ddl.add_constraint(tx, table, Unique("one", (table.by_name["value"].id,)))
        create(tx, "u")
    with engine.begin(database(engine)) as tx:
        bulk(tx, tx.catalog.table("t"), numbered(range(1000)))
    (name,) = engine.pages.names()
    engine.abandon()
    damaged = bytearray(read_file(fs, f"pages/{name}"))
    damaged[len(damaged) // 2] ^= 1
    write_atomic(fs, f"pages/{name}", bytes(damaged))
    engine = start(fs)
    put(engine, "u", [1, 2])
    lsn = engine.published
    assert checkpoint(engine) == engine.control.checkpoint_lsn == lsn
    put(engine, "u", [3])
    engine.close()
    engine = start(fs)
    assert ids(engine, "u") == [1, 2, 3]
    assert any(f"pages/{name}" in finding.where for finding in check(engine))
    with pytest.raises(CorruptionError, match=name):
        ids(engine, "t")
    engine.abandon()


def test_a_damaged_page_file_keeps_no_upkeep_from_the_others():
    """The first run that could not be merged ended the upkeep, each time."""
    fs = MemoryFileSystem()
    engine = start(fs, run_limit=2)
    for table in ("t", "u"):
        with engine.begin(database(engine)) as tx:
            create(tx, table)
    for number in range(4):
        put(engine, "t", range(number + 1))
        put(engine, "u", range(number + 1))
        checkpoint(engine)
    name = min(engine.pages.names())
    engine.close()
    damaged = bytearray(read_file(fs, f"pages/{name}"))
    damaged[len(damaged) // 2] ^= 1
    write_atomic(fs, f"pages/{name}", bytes(damaged))
    engine = start(fs, run_limit=2)
    with pytest.raises(CorruptionError, match=name):
        maintain(engine)
    assert sorted(len(cover.view[0]) for cover in engine.covers.eras.values()) == [2, 4]
    assert ids(engine, "u") == list(range(4))
    engine.abandon()


@pytest.mark.parametrize("way", ["a longer retention", "a clock set back"])
def test_history_within_retention_stays_when_the_horizon_moves_back(way):
    """What it moved back to had expired, so that what later states are read from was taken for needless."""
    fs, clock = MemoryFileSystem(), ManualClock(tick_us=1)

    def opened(retention):
        return open_engine(fs, arguments={**TINY, "history_retention": retention}, clock=clock)

    def compact():
        assert compact_table(engine, database(engine), reader(engine, "t").schema)

    engine = opened("1h")
    with engine.begin(database(engine)) as tx:
        create(tx, "t")
    put(engine, "t", range(10))
    put(engine, "t", range(20))
    compact()
    checkpoint(engine)
    clock.advance(hours=5)
    kept = {engine.published: 20}
    maintain(engine)
    for number in (30, 40, 50):
        clock.advance(minutes=1)
        kept[put(engine, "t", range(number))] = number
        checkpoint(engine)
    compact()
    maintain(engine)
    checkpoint(engine)
    assert engine.covers.expired
    if way == "a clock set back":
        clock.advance(hours=-5)
    engine.close()
    engine = opened("1h" if way == "a clock set back" else "30d")
    maintain(engine)
    checkpoint(engine)
    for lsn, number in kept.items():
        assert ids(engine, "t", lsn=lsn) == list(range(number))
    engine.close()


def test_a_reader_whose_clock_is_behind_finds_commits_by_time_after_it_has_started_over():
    """It forgot the times of the log when it went on from a newer checkpoint, and took its own for the latest."""
    fs = MemoryFileSystem()
    engine = start(fs)
    with engine.begin(database(engine)) as tx:
        create(tx, "t")
    checkpoint(engine)
    reading = open_engine(fs, read_only=True, clock=ManualClock("2020-01-01"))
    for first in range(0, 300, 10):
        put(engine, "t", range(first, first + 10))
    moment = engine.log.time_of(engine.published)
    checkpoint(engine)
    refresh(reading)
    assert reading.control == engine.control, "the log it would have followed is gone"
    assert resolve(reading, reading.history.database("main"), time=to_datetime(moment)).lineage
    reading.close()
    engine.abandon()


@pytest.mark.parametrize(
    ("narrow", "wide", "old", "new"),
    [
        (pa.int32(), pa.int64(), 7, 2**40),
        (pa.decimal128(6, 2), pa.decimal128(9, 4), Decimal("1.25"), Decimal("1.2345")),
        (pa.date32(), pa.timestamp("us"), dt.date(2024, 2, 29), dt.datetime(2024, 2, 29, 12)),
    ],
    ids=str,
)
def test_the_past_of_a_widened_column_reads_beside_values_it_could_not_hold(narrow, wide, old, new):
    """All values of a compacted page were cast to the old type, also those written since, which do not fit."""
    engine = start(MemoryFileSystem())
    with engine.begin(database(engine)) as tx:
        create(tx, "t", id=pa.int64(), value=narrow)
    with engine.begin(database(engine)) as tx:
        small.insert(tx, tx.catalog.table("t"), [{"id": number, "value": old} for number in (1, 2)])
    before = tx.lsn
    assert compact_table(engine, database(engine), tx.catalog.table("t"))
    with engine.begin(database(engine)) as tx:
        ddl.retype_column(tx, tx.catalog.table("t"), "value", wide)
    with engine.begin(database(engine)) as tx:
        small.upsert(tx, tx.catalog.table("t"), [{"id": 2, "value": new}, {"id": 3, "value": new}])
    schema = reader(engine, "t").schema
    assert compact_table(engine, database(engine), schema)
    assert [row["value"] for row in rows(engine, "t", lsn=before)] == [old, old]
    assert reader(engine, "t", lsn=before).row(3) is None
    engine.abandon()


def test_asking_for_a_snapshot_that_is_not_there_while_snapshots_are_made():
    """The names for the hint were collected from a dictionary that others add to."""
    engine = start(MemoryFileSystem())
    main = engine.history.database("main")
    for number in range(200):
        engine.history.snapshots[main.id, f"s{number}"] = None
    done = threading.Event()

    def make_and_drop():
        while not done.is_set():
            for number in range(200):
                engine.history.snapshots[main.id, f"new {number}"] = None
            for number in range(200):
                del engine.history.snapshots[main.id, f"new {number}"]

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=make_and_drop)
    thread.start()
    try:
        sys.setswitchinterval(1e-6)
        for _ in range(500):
            with pytest.raises(NotFoundError):
                resolve(engine, main, snapshot="none")
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()
    engine.abandon()


def test_rows_changed_twice_in_bulk_are_read_once():
    chance = np.random.default_rng(5)
    keys = [prefix + end for prefix in (chance.bytes(10) for _ in range(6_000)) for end in (b"a", b"b")]
    rows = len(keys)
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.create_table("t", pa.table({"id": keys, "n": np.zeros(rows, np.int64)}), key="id")
        for n in (1, 2):
            some = chance.permutation(rows)[: rows - 5]
            main["t"].update(pa.table({"id": [keys[at] for at in some], "n": np.full(len(some), n)}))
        read = main["t"].to_arrow()
        assert (read.num_rows, main["t"].count()) == (rows, rows)
        assert read["id"].to_pylist() == sorted(keys)


class Compacting:
    """A database with one table, which is changed, folded into images, and whose history expires."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.shop = absdb.connect(":memory:", clock=self.clock)
        self.main = self.shop["main"]
        self.main.create_table("t", {"id": [1], "n": [0]}, key="id")
        self.engine = self.main._scope.engine

    def change(self, n: int) -> None:
        self.main["t"].upsert([{"id": n, "n": n}, {"id": 1, "n": n}])

    def compact(self) -> None:
        info = self.engine.history.database("main")
        compact_table(
            self.engine, info.id, self.engine.history.catalog_at(self.engine.head(info.id)[1]).table("t")
        )

    def expire(self) -> None:
        self.clock.advance(days=100)
        self.shop.checkpoint()
        expire(self.engine)

    def rows(self, database: absdb.Database) -> dict[int, int]:
        return {row["id"]: row["n"] for row in database["t"].to_arrow().to_pylist()}


def test_a_head_that_equals_an_image_is_read_where_all_around_it_has_expired():
    world = Compacting()
    world.change(2)
    world.shop.checkpoint()
    before = world.main.lsn
    world.change(3)
    world.compact()
    world.main.restore(lsn=before)
    branch = world.main.branch("branch")
    world.expire()
    world.compact()
    expire(world.engine)
    for _ in range(2):
        assert world.rows(world.main) == world.rows(branch) == {1: 2, 2: 2}


def test_a_branch_of_a_state_that_is_read_backwards_outlives_expiry():
    world = Compacting()
    world.change(2)
    world.compact()
    restored = world.main.lsn
    for n in (3, 4):
        world.change(n)
        world.compact()
    world.main.restore(lsn=restored)
    world.change(5)
    world.compact()
    world.expire()
    branch = world.main.branch("branch")
    world.change(6)
    world.compact()
    world.expire()
    assert world.rows(branch) == {1: 5, 2: 2, 5: 5}
    assert world.rows(world.main) == {1: 6, 2: 2, 5: 5, 6: 6}


def test_a_reader_whose_refresh_failed_midway_does_not_apply_records_twice():
    """It had dropped the branch already, and said that the log is damaged when it came to the record again."""
    fs = MemoryFileSystem()
    writer = start(fs)
    with writer.begin(database(writer)) as tx:
        create(tx, "t")
    disks = [FaultyFileSystem(fs) for _ in range(30)]
    readers = [open_engine(disk, read_only=True) for disk in disks]
    drop_database(writer, create_branch(writer, "b", resolve(writer, writer.history.database("main"))))
    for number in range(60):
        put(writer, "t", range(number, number + 20), f"round {number} ")
    failed = 0
    for call, (disk, reading) in enumerate(zip(disks, readers, strict=True), 1):
        disk.plan[:] = [Fault(op="pread", call=call, path="wal/*")]
        disk._fitting = [0]
        before = reading.published
        try:
            refresh(reading)
        except (StorageError, CorruptLogError):
            failed += 1
            assert reading.published == before
            disk.plan[:] = []
            refresh(reading)
        assert ids(reading, "t") == list(range(79))
        assert reading.published == writer.published
        reading.close()
    assert failed > 5
    writer.abandon()


def test_a_reader_whose_refresh_failed_midway_shows_nothing_that_it_does_not_hold():
    """It showed what it had applied, of page files that its lease did not name and the writer removed."""
    disk = MemoryFileSystem()
    writer = start(disk, history_retention="0 s")
    with writer.begin(database(writer)) as tx:
        create(tx, "t")
    failing = FaultyFileSystem(disk)
    following = open_engine(failing, read_only=True)
    for number in range(4):
        _load(writer, range(1000 + number * 100, 1100 + number * 100))
    for number in range(100):
        put(writer, "t", [number])
    failing.plan[:], failing._fitting = [Fault("pread", call=3, path="wal/*")], [0]
    with pytest.raises(CorruptLogError, match="cannot be read"):
        refresh(following)
    pages = set(disk.list("pages"))
    for number in range(4):
        put(writer, "t", [1], f"again {number} ")
        compact_table(writer, database(writer), reader(writer, "t").schema)
        maintain(writer)
        checkpoint(writer)
    assert pages - set(disk.list("pages"))
    assert ids(following, "t") == []
    refresh(following)
    assert ids(following, "t") == [*range(100), *range(1000, 1400)]
    following.close()
    writer.abandon()


def test_a_diff_shows_defaults_from_before_a_column_was_widened_as_what_they_were():
    """On the side whose column still counted seconds they were taken for microseconds."""
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.create_table("t", pa.table({"id": [1, 2]}), key="id")
        moment = dt.datetime(2024, 2, 29, 0, 0, 36)
        main["t"].add_column("at", pa.timestamp("s"), default=moment)
        narrow = main.branch("narrow")
        main["t"].retype_column("at", pa.timestamp("us"))
        main["t"].delete([1])
        found = narrow.diff(main)["t"].to_arrow().to_pylist()
        assert [(row["id"], row["to_at"]) for row in found] == [(1, moment)]
        back = main.diff(narrow)["t"].to_arrow().to_pylist()
        assert [(row["id"], row["from_at"]) for row in back] == [(1, moment)]
