"""What several threads, failures and Ctrl-C must not be able to do to the engine."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pyarrow as pa
import pytest

from absdb.catalog.manifest import read_manifest
from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import maintain
from absdb.engine.garbage import retire
from absdb.engine.recovery import open_engine
from absdb.errors import AbsdbError
from absdb.ids import EraId
from absdb.io.base import FileSystem
from absdb.io.memory import MemoryFileSystem
from absdb.paths import PAGES_DIR
from absdb.testing.faults import Fault, FaultyFileSystem
from absdb.testing.wrapping import WrappedFileSystem
from tests.versioning.conftest import SMALL, World

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
