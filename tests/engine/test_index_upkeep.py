"""Index runs are there for as long as what they belong to, say the same, and cost nothing but time when lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from absdb.catalog.manifest import read_manifest
from absdb.engine import ddl
from absdb.engine.check import check
from absdb.engine.compaction import merge_cover
from absdb.engine.constraint_definition import ForeignKey, Unique, add_constraint
from absdb.engine.garbage import retire
from absdb.engine.index_upkeep import ROWS_MIN
from absdb.engine.recovery import open_engine, refresh
from absdb.errors import ConstraintError
from absdb.io.base import FileSystem, read_file
from absdb.pages.index_file import write_index
from tests.engine.stage import SMALL, Stage

COLUMNS = {"id": pa.int64(), "v": pa.int64(), "s": pa.string()}
MANY = 2 * ROWS_MIN


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def rows(first: int, count: int = MANY, shift: int = 0) -> pa.Table:
    ids = range(first, first + count)
    return pa.table({"id": ids, "v": [at + shift for at in ids], "s": [f"s{at}" for at in ids]})


def index_files(stage: Stage) -> set[str]:
    return stage.engine.covers.indexes.names()


def named(stage: Stage) -> set[str]:
    """Files that the manifest in force names."""
    return set(read_manifest(stage.engine.fs, stage.engine.control.manifest).files)


def problems(stage: Stage) -> list[str]:
    return [f"{f.severity} {f.where}: {f.problem}" for f in check(stage.engine)]


def in_memory(stage: Stage) -> int:
    return len(stage.engine.constraints.indexes._kept)


def refuses(stage: Stage, value: int, at: int = 10**6) -> None:
    """A row that has a value twice is refused, alone and among many."""
    with pytest.raises(ConstraintError):
        stage.insert("t", [{"id": at, "v": value, "s": "x"}])
    among = pa.table({"id": [at, at + 1], "v": [-at, value], "s": ["x", "y"]})
    with pytest.raises(ConstraintError):
        stage.insert("t", among)


def put_back(fs: FileSystem, path: str, data: bytes) -> None:
    fs.unlink(path)
    file = fs.create(path)
    file.pwrite(0, [data])
    file.close()


def test_a_checkpoint_stores_index_runs_and_reopening_finds_them(stage: Stage) -> None:
    stage.create("t", COLUMNS, "id", Unique("v"), Unique("s"))
    stage.insert("t", rows(0))
    assert index_files(stage) == set()
    stage.checkpoint()
    files = index_files(stage)
    assert len(files) == 2
    assert files <= named(stage)
    stage.reopen()
    assert index_files(stage) == files
    refuses(stage, 7)
    stage.insert("t", [{"id": 10**6, "v": -1, "s": "x"}])
    assert in_memory(stage) == 0, "an index run was made anew"
    assert problems(stage) == []


def test_tables_without_constraints_and_small_ones_have_none(stage: Stage) -> None:
    stage.create("t", COLUMNS, "id")
    stage.insert("t", rows(0))
    stage.create("small", COLUMNS, "id", Unique("v"))
    stage.insert("small", rows(0, ROWS_MIN - 1))
    stage.checkpoint()
    assert index_files(stage) == set()
    assert len([name for name in named(stage) if name.endswith(".arrow")]) == 2


def test_a_foreign_key_has_them_on_both_sides(stage: Stage) -> None:
    stage.create("t", COLUMNS, "id", Unique("v"))
    stage.create("child", COLUMNS, "id", ForeignKey("v", "t", references="v"), ForeignKey("id", "t"))
    stage.insert("t", rows(0))
    stage.insert("child", rows(0))
    stage.checkpoint()
    stage.reopen()
    columns = {key.columns for _, key, _ in stage.engine.covers.indexes.entries()}
    parent, child = stage.schema("t"), stage.schema("child")
    assert columns == {
        (parent.by_name["v"].id,),
        (child.by_name["v"].id,),
        (child.by_name["id"].id,),
    }
    with pytest.raises(ConstraintError):
        stage.delete("t", [{"id": 5}])
    with pytest.raises(ConstraintError):
        stage.insert("child", rows(MANY, 100, shift=5))
    stage.delete("child", [{"id": 5}])
    stage.delete("t", [{"id": 5}])
    assert in_memory(stage) == 0


def test_merged_runs_and_images_have_theirs_before_anybody_asks(stage: Stage) -> None:
    stage.create("t", COLUMNS, "id", Unique("v"))
    for turn in range(5):
        stage.upsert("t", rows(turn * 300, 300 + MANY))
        stage.checkpoint()
    (cover,) = [c for c in stage.engine.covers.eras.values() if c.view[0]]
    assert merge_cover(stage.engine, cover) == 2
    for run in cover.view[0]:
        for page in run.newest.pages:
            assert page.origin is not None
            assert any(name == page.origin[0].name for name, _, _ in stage.engine.covers.indexes.entries())
    stage.compact("t")
    before = in_memory(stage)
    refuses(stage, 1500)
    assert in_memory(stage) == before
    assert problems(stage) == []


def test_index_runs_go_with_their_page_files(stage: Stage) -> None:
    stage.create("t", COLUMNS, "id", Unique("v"))
    stage.upsert("t", rows(0))
    stage.checkpoint()
    old = index_files(stage)
    stage.upsert("t", rows(0, shift=10**6))
    stage.compact("t")
    stage.checkpoint()
    assert old <= index_files(stage), "their page files are history, and still there"
    with stage.begin() as tx:
        ddl.drop_constraint(tx, tx.catalog.table("t"), "t_v_unique")
    stage.checkpoint()
    assert index_files(stage) == set()
    retire(stage.engine)
    there = set(stage.fs.list("pages"))
    assert there == named(stage)


def test_a_constraint_added_later_has_them_from_the_next_checkpoint_on(stage: Stage) -> None:
    stage.create("t", COLUMNS, "id")
    stage.insert("t", rows(0))
    stage.checkpoint()
    stage.alter(add_constraint, "t", Unique("v"))
    refuses(stage, 3)
    assert index_files(stage) == set()
    stage.checkpoint()
    assert len(index_files(stage)) == 1
    stage.reopen()
    refuses(stage, 3)
    assert in_memory(stage) == 0


def test_an_image_asks_the_index_runs_of_files_it_took_pages_from(stage: Stage) -> None:
    stage.create("t", COLUMNS, "id", Unique("v"))
    stage.upsert("t", rows(0, 10 * ROWS_MIN))
    stage.compact("t")
    stage.checkpoint()
    stage.upsert("t", rows(0, ROWS_MIN + 32, shift=10**6))
    stage.compact("t")
    stage.checkpoint()
    stage.reopen()
    (image,) = [i for found in stage.engine.covers.images.values() for i in found]
    assert len({page.origin[0].name for page in image.section.pages if page.origin}) == 2
    refuses(stage, 10**6 + 3)
    refuses(stage, 5 * ROWS_MIN)
    stage.insert("t", [{"id": -5, "v": 3, "s": "free again"}])
    assert in_memory(stage) == 0


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_index_run_is_reported_and_made_anew(stage: Stage, damage: str) -> None:
    stage.create("t", COLUMNS, "id", Unique("v"))
    stage.insert("t", rows(0))
    stage.checkpoint()
    stage.engine.close()
    stage.open()
    (name,) = index_files(stage)
    path = f"pages/{name}"
    data = read_file(stage.fs, path)
    if damage == "remove":
        stage.fs.unlink(path)
    else:
        flipped = data[:500] + bytes([data[500] ^ 4]) + data[501:]
        put_back(stage.fs, path, data[:-100] if damage == "cut" else flipped)
    assert any(name in problem and problem.startswith("error") for problem in problems(stage))
    refuses(stage, 7)
    stage.insert("t", [{"id": 10**6, "v": -1, "s": "x"}])
    stage.checkpoint()
    assert name not in index_files(stage)
    assert len(index_files(stage)) == 1
    assert problems(stage) == []
    stage.reopen()
    refuses(stage, 7)
    assert in_memory(stage) == 0


def test_an_index_run_found_damaged_by_a_check_of_a_constraint_is_made_anew(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.create("t", COLUMNS, "id", Unique("v"))
    stage.insert("t", rows(0))
    stage.checkpoint()
    stage.reopen()
    (name,) = index_files(stage)
    stage.fs.unlink(f"pages/{name}")
    refuses(stage, 7)
    assert name in caplog.text
    stage.checkpoint()
    assert name not in index_files(stage)
    assert problems(stage) == []


def test_an_index_run_that_says_something_else_is_reported(stage: Stage) -> None:
    stage.create("t", COLUMNS, "id", Unique("v"))
    stage.insert("t", rows(0))
    stage.create("other", COLUMNS, "id", Unique("v"))
    stage.insert("other", rows(0, shift=1))
    stage.checkpoint()
    (a, key, _), (_, _, wrong) = stage.engine.covers.indexes.entries()
    stage.engine.covers.indexes.put(a, key, wrong)
    (problem, *_) = [each for each in problems(stage) if each.startswith("error")]
    assert wrong.names[0] in problem
    assert "'v'" in problem


def test_a_reader_in_another_process_keeps_what_it_may_check(tmp_path: Path) -> None:
    stage = Stage()
    stage.create("t", COLUMNS, "id", Unique("v"))
    stage.insert("t", rows(0))
    stage.checkpoint()
    reader = open_engine(stage.fs, arguments=SMALL, read_only=True)
    held = reader.covers.indexes.names()
    stage.upsert("t", rows(0, shift=10**6))
    stage.alter(ddl.drop_constraint, "t", "t_v_unique")
    stage.checkpoint()
    assert held <= set(stage.fs.list("pages"))
    assert [f for f in check(reader) if f.severity == "error"] == []
    stage.upsert("t", rows(MANY))
    stage.checkpoint()
    refresh(reader)
    reader.close()
    stage.checkpoint()
    assert not held & set(stage.fs.list("pages"))
    stage.close()


def test_an_index_run_in_the_making_is_no_garbage(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.create("t", COLUMNS, "id", Unique("v"))
    stage.insert("t", rows(0))

    def write(store: object, run: object) -> object:
        made = write_index(store, run)  # type: ignore[arg-type]  # what the caller gave
        assert retire(stage.engine) == [] or made.names[0] in stage.fs.list("pages")
        return made

    monkeypatch.setattr("absdb.engine.index_upkeep.write_index", write)
    stage.checkpoint()
    assert len(index_files(stage)) == 1
    assert problems(stage) == []
