"""Numbers: 1, 2, 3 without gaps where nothing was rolled back, never twice, never the same on two branches."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest

from absdb.engine import ddl, intake, load, sequences, writes
from absdb.engine.allocator import DRAWN_AHEAD, Allocator
from absdb.errors import ConstraintError, StorageError
from absdb.ids import DatabaseId
from absdb.versioning.restore import restore
from tests.engine.stage import Column, Stage

INT, TEXT = pa.int64(), pa.string()


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Blocks of eight numbers."""
    made = Stage(sequence_block=8)
    made.create("t", [Column("id", INT, identity=True), Column("v", TEXT)])
    yield made
    made.close()


def add(stage: Stage, count: int, database: str = "main") -> None:
    for _ in range(count):
        stage.insert("t", [{"v": "x"}], database)


def ids(stage: Stage, database: str = "main") -> list[int]:
    return [row["id"] for row in stage.rows("t", database)]


def test_no_gaps_across_reopening_and_crash(stage: Stage) -> None:
    steps = (
        stage.reopen,
        stage.crash,
        stage.checkpoint,
        stage.crash,
        stage.reopen,
        stage.reopen,
        stage.crash,
    )
    for step in steps:
        add(stage, 5)
        step()
    assert ids(stage) == list(range(1, 36))


def draw(stage: Stage, count: int = 1, database: str = "main") -> list[int]:
    engine = stage.engine
    info = engine.history.database(database)
    catalog = engine.history.catalog_at(engine.head(info.id)[1])
    return list(sequences.next_values(engine, info.id, catalog, "q", count))


@pytest.fixture
def drawing(stage: Stage) -> Stage:
    with stage.begin() as tx:
        ddl.create_sequence(tx, "q")
    return stage


def test_drawn_values_never_come_twice_whatever_ends_in_between(drawing: Stage) -> None:
    taken: list[int] = []
    steps = (drawing.reopen, drawing.crash, drawing.checkpoint, drawing.crash, drawing.reopen, drawing.crash)
    for step in steps:
        for _ in range(5):
            taken += draw(drawing)
        step()
        taken += draw(drawing, 20)
    assert len(set(taken)) == len(taken)
    assert taken == sorted(taken)


def test_without_a_crash_no_drawn_value_is_lost(drawing: Stage) -> None:
    taken: list[int] = []
    for step in (drawing.reopen, drawing.checkpoint, drawing.reopen, drawing.checkpoint, drawing.reopen):
        for _ in range(7):
            taken += draw(drawing)
        step()
    assert taken == list(range(1, 36))


def test_a_crash_loses_few_drawn_values(drawing: Stage) -> None:
    for _ in range(4):
        last = draw(drawing)[0]
        drawing.crash()
        assert last < draw(drawing)[0] <= last + DRAWN_AHEAD + 1


def test_threads_and_branches_draw_different_values(drawing: Stage) -> None:
    drawing.branch("b")
    taken: list[int] = []
    databases = ["main", "b", "main", "b"]
    threads = [
        threading.Thread(
            target=lambda name=name: taken.extend(v for _ in range(50) for v in draw(drawing, 1, name))
        )
        for name in databases
    ]
    for thread in threads:
        thread.start()
    for number in range(10):
        drawing.checkpoint() if number % 5 == 0 else add(drawing, 1)
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 200
    assert ids(drawing) == list(range(1, 9))


def test_a_block_known_to_a_checkpoint_is_not_started_again(stage: Stage) -> None:
    """The checkpoint between the record of a block and the commit that uses it holds the block already."""
    tx = stage.begin()
    intake.insert(tx, tx.catalog.table("t"), [{"v": "x"}] * 20)
    stage.checkpoint()
    tx.commit()
    stage.crash()
    add(stage, 3)
    assert ids(stage) == list(range(1, 24))


def test_branches_never_collide(stage: Stage) -> None:
    add(stage, 3)
    stage.branch("a")
    stage.branch("b", "a")
    for _ in range(15):
        for database in ("main", "a", "b"):
            add(stage, 1, database)
    own = [set(ids(stage, database)) - {1, 2, 3} for database in ("main", "a", "b")]
    assert [len(part) for part in own] == [15, 15, 15]
    assert len(set.union(*own)) == 45
    stage.crash()
    for database in ("main", "a", "b"):
        add(stage, 5, database)
    own = [set(ids(stage, database)) - {1, 2, 3} for database in ("main", "a", "b")]
    assert len(set.union(*own)) == 60


def test_a_restore_does_not_wind_back(stage: Stage) -> None:
    add(stage, 3)
    early = stage.point()
    add(stage, 4)
    restore(stage.engine, early)
    add(stage, 1)
    assert ids(stage) == [1, 2, 3, 8]


@pytest.mark.parametrize("form", ["dicts", "batch", "bulk"])
@pytest.mark.parametrize("value", [5, 7, 8, 9, 100, 10**12])
def test_values_of_the_users_are_not_handed_out_again(stage: Stage, form: str, value: int) -> None:
    """Inside the block, at its end, and beyond it; also after a crash and a reopening."""
    add(stage, 2)
    with stage.begin() as tx:
        schema = tx.catalog.table("t")
        frame = pa.table({"id": [value, value - 1], "v": ["mine", "too"]})
        if form == "dicts":
            intake.insert(tx, schema, frame.to_pylist())
        elif form == "batch":
            writes.insert(tx, schema, frame)
        else:
            load.load(tx, schema, frame.to_batches())
        intake.insert(tx, schema, [{"v": "next"}])
    for step in (lambda: None, stage.crash, stage.reopen):
        step()
        add(stage, 3)
    found = ids(stage)
    assert found == [1, 2, value - 1, value, *range(value + 1, value + 11)]


def test_values_below_the_counter_change_nothing(stage: Stage) -> None:
    add(stage, 5)
    stage.delete("t", [2])
    stage.insert("t", [{"id": 2, "v": "again"}, {"id": -50, "v": "low"}])
    add(stage, 1)
    assert ids(stage) == [-50, 1, 2, 3, 4, 5, 6]


def test_the_end_of_the_type(stage: Stage) -> None:
    stage.create("s", [Column("id", pa.int8(), identity=True), Column("v", TEXT)])
    stage.insert("s", [{"id": 126, "v": "x"}])
    stage.insert("s", [{"v": "last"}])
    for rows in ([{"v": "x"}], pa.table({"v": ["x"]})):
        with pytest.raises((ConstraintError, ValueError), match=r"'id' is 12[89], which int8|-128 to 127"):
            stage.insert("s", rows)
    assert [row["id"] for row in stage.rows("s")] == [126, 127]


def test_an_upsert_takes_numbers_for_new_rows_only(stage: Stage) -> None:
    stage.create("u", [Column("k", TEXT), Column("n", INT, identity=True), Column("v", INT)], "k")
    for at, keys in enumerate((["a", "b"], ["a", "b", "c"], ["b", "d"])):
        stage.upsert("u", pa.table({"k": keys, "v": [at] * len(keys)}))
    assert {row["k"]: row["n"] for row in stage.rows("u")} == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_counting_down(stage: Stage) -> None:
    with stage.begin() as tx:
        sequence = ddl.create_sequence(tx, "down", start=10, increment=-2)
        assert list(tx.next_values(sequence, 2)) == [10, 8]
        tx.skip_values(sequence, 3, 9)
        assert list(tx.next_values(sequence, 2)) == [2, 0]


def test_hidden_row_ids_never_repeat(stage: Stage) -> None:
    stage.create("k", {"v": INT}, "")
    for size in (1, 30, 2):
        stage.insert("k", pa.table({"v": range(size)}))
        stage.insert("k", [{"v": -1}])
        stage.crash()
    assert stage.reader("k").count() == 36
    assert len(stage.rows("k")) == 36


def test_many_threads_get_different_numbers(stage: Stage) -> None:
    def work() -> None:
        add(stage, 25)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ids(stage) == list(range(1, 101))


def test_a_block_that_could_not_be_logged_is_not_used(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        stage.engine.wal.discard_buffered()
        raise StorageError("no space left")

    monkeypatch.setattr(stage.engine.wal, "flush", full)
    with pytest.raises(StorageError):
        add(stage, 1)
    monkeypatch.undo()
    add(stage, 2)
    stage.crash()
    add(stage, 1)
    assert ids(stage) == [1, 2, 3]


def test_replay_in_any_overlap() -> None:
    """A block that is known stays as it is; one that meets the last one joins it; others replace it."""
    allocator, database = Allocator(4), DatabaseId(1)
    block = {"space": "s", "database": 1, "lo": 1, "hi": 5}
    allocator.apply(block)
    allocator.apply_used(database, {"s": 3})
    allocator.apply(block)
    assert allocator.to_json()["blocks"] == [["s", 1, 3, 5]]
    allocator.apply({**block, "lo": 5, "hi": 9})
    assert allocator.to_json()["blocks"] == [["s", 1, 3, 9]]
    allocator.apply({**block, "lo": 20, "hi": 24})
    assert allocator.to_json() == {"next_id": 1, "tops": {"s": 24}, "blocks": [["s", 1, 20, 24]]}
    again = Allocator.from_json(allocator.to_json(), 4)
    assert again.to_json() == allocator.to_json()
