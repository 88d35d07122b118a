"""What several threads, failures and Ctrl-C must not be able to do to the engine."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pyarrow as pa
import pytest

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.manifest import read_manifest
from absdb.engine import background, ddl, recovery, writes
from absdb.engine import checkpoint as checkpoint_module
from absdb.engine import commit as commit_module
from absdb.engine import expiry as expiry_module
from absdb.engine.check import check
from absdb.engine.checkpoint import checkpoint
from absdb.engine.commit import CommitRequest
from absdb.engine.compaction import compact_table, maintain
from absdb.engine.engine import Engine
from absdb.engine.expiry import expire
from absdb.engine.garbage import retire
from absdb.engine.leases import leased
from absdb.engine.reader import TableReader
from absdb.engine.recovery import open_engine, refresh
from absdb.engine.transaction import Transaction
from absdb.errors import (
    AbsdbError,
    EnginePoisonedError,
    HistoryExpiredError,
    InvalidInputError,
    StateError,
    StorageError,
    WriteConflictError,
)
from absdb.ids import EraId
from absdb.io.base import FileSystem, write_atomic
from absdb.io.memory import MemoryFileSystem
from absdb.pages.decoded import DecodedCache
from absdb.pages.key import KeySpec
from absdb.pages.section import Page
from absdb.paths import PAGES_DIR, reader_lease_name
from absdb.testing.faults import Fault, FaultyFileSystem
from absdb.testing.wrapping import WrappedFileSystem
from absdb.versioning import branch as branch_module
from absdb.versioning.as_of import Point
from absdb.versioning.branch import alter_database, create_branch
from absdb.versioning.restore import restore
from absdb.versioning.snapshot import create_snapshot
from tests.versioning.conftest import SCHEMA, SMALL, World

T = TypeVar("T")


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.engine.close()


class Hooked(WrappedFileSystem):
    """Another file system; `hooks` run once, before the next call of an operation on a path."""

    def __init__(self, inner: FileSystem) -> None:
        super().__init__(inner)
        self.hooks: dict[tuple[str, str], Callable[[], Any]] = {}

    def around(self, op: str, path: str, call: Callable[[], T]) -> T:
        hook = self.hooks.pop((op, path), None)
        if hook is not None:
            hook()
        return call()


def test_an_instance_made_by_another_process_meanwhile_is_kept() -> None:
    fs = Hooked(MemoryFileSystem())

    def first() -> None:
        world = World(fs.inner)  # type: ignore[arg-type]  # the memory file system
        world.create()
        world.put({1: (1, "kept")})
        world.engine.close()

    fs.hooks["lock", "lock"] = first
    engine = open_engine(fs, arguments=SMALL)
    lineage = engine.head(engine.history.database("main").id)[1]
    assert [t.name for t in engine.history.catalog_at(lineage).tables.values()] == ["t"]
    engine.close()


def pages_of(world: World) -> set[str]:
    return {name for name in world.fs.list(PAGES_DIR) if not name.startswith("log-")}


def test_a_file_begun_while_garbage_is_listed_stays() -> None:
    fs = Hooked(MemoryFileSystem())
    world = World(fs, bulk_threshold=1)  # type: ignore[arg-type]  # any file system will do
    world.create()
    engine = world.engine
    schema = engine.history.catalog_at(engine.head(world.info("main").id)[1]).table("t")
    rows = schema.key_spec.with_key(
        pa.record_batch(
            [pa.array([1], c.type) if i == 0 else pa.nulls(1, c.type) for i, c in enumerate(schema.stored)],
            names=[c.page_name for c in schema.stored],
        )
    )
    checkpoint(engine)
    file = engine.bulk.open_file(schema, set())
    fs.hooks["list", PAGES_DIR] = lambda: file.append(rows)
    retire(engine)
    assert file.finish() is not None
    assert len(pages_of(world)) == 1
    engine.close()


def test_files_of_merged_runs_go_while_the_engine_is_open(world: World) -> None:
    world.create()
    for step in range(12):
        world.put(dict.fromkeys(range(50), (step, "x")))
        checkpoint(world.engine)
    maintain(world.engine)
    checkpoint(world.engine)
    gc.collect()
    needed = read_manifest(world.fs, world.engine.control.manifest).files
    assert pages_of(world) == {name for name in needed if not name.startswith("log-")}


def test_a_cover_that_a_commit_has_just_made_is_not_in_the_manifest(world: World) -> None:
    world.create()
    world.put({1: (1, "x")})
    engine = world.engine
    era = engine.history.current_era(world.info("main").id).id
    schema = engine.history.catalog_at(engine.head(world.info("main").id)[1]).table("t")
    engine.covers.era(EraId(era + 1000), schema)
    checkpoint(engine)
    engine.abandon()
    world.engine = open_engine(world.fs, arguments=SMALL, clock=world.clock)
    assert world.rows() == {1: (1, "x")}


def test_a_control_that_could_not_be_written_decides_nothing() -> None:
    inner = MemoryFileSystem()
    fs = FaultyFileSystem(inner)
    world = World(fs)  # type: ignore[arg-type]  # any file system will do
    world.create()
    checkpoint(world.engine)
    world.put({1: (1, "x")})
    fs.plan = [Fault("rename", path="*control*")]
    fs._fitting = [0]
    with pytest.raises(AbsdbError):
        checkpoint(world.engine)
    assert fs.fired
    retire(world.engine)
    world.engine.abandon()
    world.engine = open_engine(inner, arguments=SMALL, clock=world.clock)
    assert world.rows() == {1: (1, "x")}
    world.engine.close()


def transaction(world: World, rows: dict[int, tuple[int, str]]) -> Transaction:
    tx = world.engine.begin(world.info("main").id)
    ids = list(rows)
    given = {"id": ids, "v": [rows[i][0] for i in ids], "s": [rows[i][1] for i in ids]}
    writes.upsert(tx, tx.catalog.table("t"), pa.table(given, schema=SCHEMA))
    return tx


def fails_once(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, error: BaseException) -> None:
    """The next call of a function raises before it has done anything."""
    real = getattr(where, name)

    def call(*args: Any, **named: Any) -> Any:
        monkeypatch.setattr(where, name, real)
        raise error

    monkeypatch.setattr(where, name, call)


def reopened(world: World) -> None:
    world.engine.abandon()
    world.engine = open_engine(world.fs, arguments=SMALL, clock=world.clock)


def test_a_commit_that_failed_to_apply_is_not_written_with_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create()
    world.put({1: (1, "x")})
    fails_once(monkeypatch, commit_module, "apply_changes", RuntimeError("a defect"))
    with pytest.raises(AbsdbError):
        world.put({2: (2, "lost")})
    with pytest.raises(EnginePoisonedError):
        world.put({3: (3, "y")})
    reopened(world)
    assert world.rows() == {1: (1, "x")}


def test_a_request_that_cannot_be_checked_fails_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create()
    requests = [transaction(world, {n: (n, "x")}) for n in (1, 2)]
    batch = [CommitRequest(tx, tx.net_changes()) for tx in requests]
    real = CommitRequest.check

    def check(request: CommitRequest, engine: Engine) -> None:
        if request is batch[1]:
            raise RuntimeError("a defect")
        real(request, engine)

    monkeypatch.setattr(CommitRequest, "check", check)
    world.engine._lead(batch)
    assert isinstance(batch[1].error, RuntimeError)
    assert world.rows() == {1: (1, "x")}
    assert not world.engine.poisoned


def test_an_event_interrupted_before_its_sync_does_not_happen_with_the_next_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create()
    world.put({1: (1, "x")})
    fails_once(monkeypatch, world.engine, "flush", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        create_branch(world.engine, "dev", world.point())
    world.put({2: (2, "y")})
    reopened(world)
    assert [info.name for info in world.engine.history.databases.values()] == ["main"]
    assert world.rows() == {1: (1, "x"), 2: (2, "y")}


def test_an_event_on_disk_that_memory_does_not_know_stops_all_writing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create()
    fails_once(monkeypatch, branch_module, "apply_database", MemoryError())
    with pytest.raises(MemoryError):
        create_branch(world.engine, "dev", world.point())
    with pytest.raises(EnginePoisonedError):
        world.put({1: (1, "x")})
    reopened(world)
    assert world.info("dev")


def test_a_transaction_that_saw_the_state_before_a_restore_cannot_commit_behind_it(world: World) -> None:
    world.create()
    world.put({1: (1, "old")})
    then = world.point()
    world.put({1: (2, "new")})
    tx = transaction(world, {1: (3, "from new")})
    restore(world.engine, then)
    # As if it had begun between the two moments at which a restore changes eras and is shown.
    tx.era = world.engine.history.current_era(tx.database).id
    with pytest.raises(WriteConflictError):
        tx.commit()
    assert world.rows() == {1: (1, "old")}


def test_no_commit_follows_the_protection_of_a_database(world: World) -> None:
    world.create()
    tx = transaction(world, {1: (1, "x")})
    request = CommitRequest(tx, tx.net_changes())
    alter_database(world.engine, world.info("main"), protected=True)
    world.engine._lead([request])
    assert isinstance(request.error, StateError)
    assert world.rows() == {}


def test_a_commit_too_long_for_the_log_fails_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create()
    monkeypatch.setattr(commit_module, "BODY_BYTES_MAX", 100)
    with pytest.raises(InvalidInputError, match="log record"):
        world.put({1: (1, "x" * 200)})
    monkeypatch.undo()
    world.put({2: (2, "y")})
    assert world.rows() == {2: (2, "y")}


def test_a_batch_without_room_takes_back_its_rows_and_not_what_a_checkpoint_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create()
    world.put({1: (1, "x")})
    engine = world.engine
    (cover,) = engine.covers.eras.values()
    cover.seal()
    cover.frozen_upto = cover.hi

    def flush() -> int:
        monkeypatch.undo()
        checkpoint_module.store_tails(engine)
        engine.wal.discard_buffered()
        raise StorageError("no space left on device")

    monkeypatch.setattr(engine.wal, "flush", flush)
    with pytest.raises(StorageError):
        world.put({2: (2, "no room")})
    assert all(run.is_stored for run in cover.view[0])
    assert world.rows() == {1: (1, "x")}
    world.put({3: (3, "y")})
    reopened(world)
    assert world.rows() == {1: (1, "x"), 3: (3, "y")}


def test_a_reader_is_not_disturbed_by_rows_taken_back(world: World) -> None:
    world.create()
    world.put({1: (1, "x")})
    (cover,) = world.engine.covers.eras.values()
    assert cover.schema is not None
    cover.append_row(cover.schema, 2, (2, 2, "y"), 0, cover.hi + 8)
    mark, buffer = cover.mark(), cover.view[1]
    assert buffer is not None
    cover.append_row(cover.schema, 2, (2, 3, "later"), 0, cover.hi + 8)
    at = buffer.newest[2]
    cover.reset(mark)
    assert buffer.rows[at] == (2, 3, "later")  # a reader was looking at it
    hit = cover.find(2, 0, cover.hi + 100)
    assert hit is not None
    assert hit.row == (2, 2, "y")


def reader_of(world: World, point: Point) -> TableReader:
    schema = world.engine.history.catalog_at(point.lineage).table("t")
    return TableReader(schema, world.engine.covers.resolve(world.engine.history, schema, point.lineage))


def test_a_reader_keeps_the_files_of_pages_it_has_not_touched(world: World) -> None:
    world.create()
    for step in range(12):
        world.put(dict.fromkeys(range(50), (step, "x")))
        checkpoint(world.engine)
    world.reopen()
    reader = reader_of(world, world.point())
    sections = reader.sections
    assert len(sections) > 4
    maintain(world.engine)
    for section in sections:
        for page in section.pages:
            page.drop("_batch")  # what merging has read is let go of when room is needed
    checkpoint(world.engine)
    assert reader.to_table().column("v").to_pylist() == [11] * 50
    assert sum(page.batch().num_rows for section in sections for page in section.pages) >= 50


def test_history_a_reader_rests_on_does_not_expire_under_it() -> None:
    world = World(history_retention="1h")
    world.create()
    world.put({1: (1, "old")})
    then = world.point()
    checkpoint(world.engine)
    world.put({1: (2, "new"), 2: (2, "new")})
    schema = world.engine.history.catalog_at(then.lineage).table("t")
    compact_table(world.engine, world.info("main").id, schema)
    checkpoint(world.engine)
    world.put({3: (3, "newer")})
    reader = reader_of(world, then)
    world.clock.advance(hours=5)
    expire(world.engine)
    checkpoint(world.engine)
    assert [row["v"] for row in reader.to_table().to_pylist()] == [1]
    del reader
    gc.collect()
    assert expire(world.engine) > 0
    with pytest.raises(HistoryExpiredError):
        reader_of(world, then)
    world.engine.close()


def test_what_is_known_of_decoded_pages_goes_with_them() -> None:
    cache = DecodedCache(1 << 30)
    spec = KeySpec.of(("k",), (pa.int64(),))
    for number in range(10_000):
        cache.admit(Page(spec, 1, number, number), "_lsns", 8)
    assert cache.bytes_held < 100_000
    assert len(cache._entries) < 5_000


def test_schemas_that_did_not_change_are_one_object_after_recovery(world: World) -> None:
    for name in ("t", "gone", "kept"):
        world.create(table=name)
    with world.engine.begin(world.info("main").id) as tx:
        ddl.drop_table(tx, tx.catalog.table("gone"))
    world.put({1: (1, "x")})
    create_branch(world.engine, "dev", world.point())
    world.create("dev", "more")
    world.reopen()
    world.reopen()
    history = world.engine.history
    assert [t.name for t in history.catalog_at(world.point().lineage).tables.values()] == ["t", "kept"]
    assert len({id(c.tables_by_name["main", "t"]) for c in catalogs(world)}) == 1
    assert sorted(t.name for t in history.catalog_at(world.point("dev").lineage).tables.values()) == [
        "kept",
        "more",
        "t",
    ]


def catalogs(world: World) -> list[DatabaseCatalog]:
    """Every version of every catalog that has the table `t`."""
    history = world.engine.history
    found = [catalog for era in history.eras for _, catalog in history.catalog_versions(era)]
    return [catalog for catalog in found if ("main", "t") in catalog.tables_by_name]


def test_what_is_pinned_or_committed_while_expiry_works_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(history_retention="1h", bulk_threshold=1)
    world.create()
    world.put({1: (1, "old")})
    then = world.point()
    world.put({1: (2, "new")})
    compact_table(
        world.engine,
        world.info("main").id,
        world.engine.history.catalog_at(then.lineage).table("t"),
    )
    world.put({2: (2, "new")})
    checkpoint(world.engine)
    world.clock.advance(hours=5)
    real = expiry_module._Plan.needed

    def needed(plan: Any, table: Any) -> Any:
        found = real(plan, table)
        monkeypatch.undo()
        create_snapshot(world.engine, "held", then)
        world.put({3: (3, "bulk")})
        return found

    monkeypatch.setattr(expiry_module._Plan, "needed", needed)
    expire(world.engine)
    checkpoint(world.engine)
    assert world.rows() == {1: (2, "new"), 2: (2, "new"), 3: (3, "bulk")}
    assert world.rows(world.point(snapshot="held")) == {1: (1, "old")}
    world.engine.close()


def test_a_state_that_was_the_newest_within_retention_is_kept_when_it_is_restored_away() -> None:
    world = World(history_retention="1h")
    world.create()
    world.put({1: (1, "a")})
    then = world.point()
    world.put({1: (2, "b")})
    checkpoint(world.engine)
    world.clock.advance(hours=5)
    before = world.point()
    restore(world.engine, then)
    checkpoint(world.engine)
    expire(world.engine)
    assert world.rows(before) == {1: (2, "b")}
    assert world.rows() == {1: (1, "a")}
    world.engine.close()


def test_a_commit_under_way_while_the_engine_closes_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create()
    engine = world.engine
    real = engine.wal._pieces
    closing = threading.Thread(target=engine.abandon)

    def pieces() -> Any:
        monkeypatch.undo()
        closing.start()
        closing.join(0.2)
        return real()

    monkeypatch.setattr(engine.wal, "_pieces", pieces)
    world.put({1: (1, "acknowledged")})
    closing.join()
    with pytest.raises(StateError):
        world.put({2: (2, "x")})
    world.engine = open_engine(world.fs, arguments=SMALL, clock=world.clock)
    assert world.rows() == {1: (1, "acknowledged")}


def test_upkeep_goes_on_after_a_defect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    upkeep = background.Background(world.engine)
    fails_once(monkeypatch, background, "checkpoint", RuntimeError("a defect"))
    upkeep._work(world.engine, background._after_writes)
    assert (upkeep.failures, upkeep.last_failure) == (1, "a defect")
    upkeep._work(world.engine, background._after_writes)
    assert upkeep.failures == 0
    upkeep.close()


def test_check_lets_others_commit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create()
    real = world.engine.wal.verify

    def verify(lsn: int) -> int:
        monkeypatch.undo()
        world.put({1: (1, "x")})
        return real(lsn)

    monkeypatch.setattr(world.engine.wal, "verify", verify)
    assert list(check(world.engine)) == []
    assert world.rows() == {1: (1, "x")}


def rows_seen(engine: Engine, reader: TableReader | None = None) -> dict[int, int]:
    if reader is None:
        lineage = engine.head(engine.history.database("main").id)[1]
        schema = engine.history.catalog_at(lineage).table("t")
        reader = TableReader(schema, engine.covers.resolve(engine.history, schema, lineage))
    return {row["id"]: row["v"] for row in reader.to_table().to_pylist()}


def rework(world: World, rounds: int = 8) -> None:
    """Give the covers other files than they had, and let the log before go."""
    for step in range(rounds):
        world.put({1000 + step: (step, "x" * 20_000)})
        checkpoint(world.engine)
        maintain(world.engine)
        compact_table(
            world.engine,
            world.info("main").id,
            world.engine.history.catalog_at(world.point().lineage).table("t"),
        )
    checkpoint(world.engine)


def test_a_read_only_engine_keeps_page_files_that_the_log_has_named() -> None:
    world = World(bulk_threshold=1, history_retention="1h")
    world.create()
    follower = open_engine(world.fs, read_only=True, clock=world.clock)
    world.put({1: (1, "bulk")})
    refresh(follower)
    world.clock.advance(hours=5)
    rework(world)
    assert rows_seen(follower) == {1: 1}
    follower.close()
    world.engine.close()


def test_what_is_open_on_a_read_only_engine_is_read_after_it_has_started_over() -> None:
    world = World(history_retention="1h")
    world.create()
    world.put({1: (1, "old")})
    checkpoint(world.engine)
    follower = open_engine(world.fs, read_only=True, clock=world.clock)
    lineage = follower.head(follower.history.database("main").id)[1]
    schema = follower.history.catalog_at(lineage).table("t")
    reader = TableReader(schema, follower.covers.resolve(follower.history, schema, lineage))
    world.put({1: (2, "new")})
    world.clock.advance(hours=5)
    rework(world)
    before = follower.covers
    refresh(follower)
    assert follower.covers is not before
    world.clock.advance(hours=5)
    rework(world)
    assert rows_seen(follower, reader) == {1: 1}
    follower.close()
    world.engine.close()


def test_nobody_sees_a_read_only_engine_half_started_over(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.create()
    world.put({1: (1, "old")})
    checkpoint(world.engine)
    follower = open_engine(world.fs, read_only=True, clock=world.clock)
    rework(world)
    real, seen = recovery._recover, list[dict[int, int]]()

    def recover(engine: Engine) -> None:
        seen.append(rows_seen(follower))
        real(engine)
        seen.append(rows_seen(follower))

    monkeypatch.setattr(recovery, "_recover", recover)
    refresh(follower)
    assert seen == [{1: 1}, {1: 1}]
    assert len(rows_seen(follower)) == 9
    follower.close()
    world.engine.close()


def test_leases_of_other_hosts_run_out_and_strange_ones_hold_nothing(world: World) -> None:
    now = world.clock.now_us()
    lease = {"manifest": "m1", "files": ["f"], "pid": 1, "host": "elsewhere", "renewed_us": now}
    paths = [f"readers/{reader_lease_name(7, tag * 8)}" for tag in "ab"]
    write_atomic(world.fs, paths[0], json.dumps(lease).encode())
    write_atomic(world.fs, paths[1], b"not a lease")
    assert leased(world.fs, world.clock) == ({"m1"}, {"f"}, None)
    world.clock.advance(hours=24 * 8)
    assert leased(world.fs, world.clock) == (set(), set(), None)
    assert not world.fs.exists(paths[0])
