"""Readers in other processes: they see what is durable, follow on request, and keep the files they read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import compact_table
from absdb.engine.recovery import open_engine, refresh
from absdb.errors import LockedError, NotFoundError, StateError
from absdb.io.local import LocalFileSystem
from tests.versioning.conftest import World

READER = """
import json, sys
from absdb.engine.reader import TableReader
from absdb.engine.recovery import open_engine, refresh
from absdb.io.local import LocalFileSystem

engine = open_engine(LocalFileSystem(sys.argv[1]), read_only=True)

def rows():
    lineage = engine.head(engine.history.database("main").id)[1]
    schema = engine.history.catalog_at(lineage).table("t")
    table = TableReader(schema, engine.covers.resolve(engine.history, schema, lineage)).to_table()
    return [table.num_rows, sum(v or 0 for v in table["v"].to_pylist())]

for line in sys.stdin:
    if line.strip() == "refresh":
        refresh(engine)
    print(json.dumps(rows()), flush=True)
engine.close()
"""


class Reader:
    """A reader in a process of its own."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", READER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what: str = "read") -> list[int]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        found: list[int] = json.loads(self.process.stdout.readline())
        return found

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        assert self.process.wait(30) == 0
        self.process.stdout.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(LocalFileSystem(str(tmp_path)))  # type: ignore[arg-type]  # any file system will do
    made.create()
    made.put(dict.fromkeys(range(200), (1, "x")))
    yield made
    made.engine.close()


def test_a_reader_follows_a_writer(world: World, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    assert reader.ask() == [200, 200]
    world.put({1000: (5, "new")})
    assert reader.ask() == [200, 200]
    assert reader.ask("refresh") == [201, 205]
    reader.close()


def test_a_reader_keeps_its_files_through_checkpoints_and_compaction(world: World, tmp_path: Path) -> None:
    checkpoint(world.engine)
    reader = Reader(tmp_path)
    assert reader.ask() == [200, 200]
    for step in range(6):
        world.put(dict.fromkeys(range(150), (step, "y")))
        info = world.info("main")
        checkpoint(world.engine)
        schema = world.engine.history.catalog_at(world.engine.head(info.id)[1]).table("t")
        compact_table(world.engine, info.id, schema)
        checkpoint(world.engine)
    assert reader.ask() == [200, 200]
    assert reader.ask("refresh") == [200, 5 * 150 + 50]
    reader.close()
    world.put({1: (0, "z")})
    checkpoint(world.engine)
    assert len(list((tmp_path / "manifests").iterdir())) == 1
    assert list((tmp_path / "readers").iterdir()) == []


def test_a_reader_writes_nothing(world: World, tmp_path: Path) -> None:
    world.engine.close()
    engine = open_engine(LocalFileSystem(str(tmp_path)), read_only=True)
    with pytest.raises(StateError, match="reading only"):
        engine.begin(engine.history.database("main").id).change_schema({})
    with pytest.raises(StateError, match="reading only"):
        checkpoint(engine)
    assert refresh(engine) == engine.published
    engine.close()


def test_a_second_writer_is_told_who_holds_the_instance(world: World, tmp_path: Path) -> None:
    with pytest.raises(LockedError) as caught:
        open_engine(LocalFileSystem(str(tmp_path)))
    assert str(caught.value.pid) in str(caught.value)


def test_reading_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        open_engine(LocalFileSystem(str(tmp_path / "nope")), read_only=True)
    assert not (tmp_path / "nope").exists()


def test_a_directory_with_other_things_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StateError, match=r"thesis\.tex"):
        open_engine(LocalFileSystem(str(tmp_path)))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_iterator_over_the_log_outlives_the_chunks_it_reads(world: World, tmp_path: Path) -> None:
    """Garbage collection of this process leaves them, and that of a writer elsewhere heeds the lease."""
    span = [(world.engine.history.current_era(world.info("main").id).id, 0, world.engine.published)]
    checkpoint(world.engine)
    reading = open_engine(LocalFileSystem(str(tmp_path)), read_only=True)
    held = [engine.log.entries(span) for engine in (world.engine, reading)]
    chunks = set(tmp_path.glob("pages/log-*"))
    for step in range(20):
        world.put({5000: (step, "more")})
    checkpoint(world.engine)
    refresh(reading)
    checkpoint(world.engine)
    assert chunks < set(tmp_path.glob("pages/log-*"))
    assert [len(list(entries)) for entries in held] == [2, 2]
    del held
    refresh(reading)
    world.put({5000: (1, "last")})
    checkpoint(world.engine)
    assert not chunks & set(tmp_path.glob("pages/log-*"))
    reading.close()
