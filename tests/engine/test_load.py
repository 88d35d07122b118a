"""Streams of any size and order: one result, bounded chunks, nothing left behind by what fails."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from absdb.engine import intake, load, writes
from absdb.engine.gather import Gatherer
from absdb.errors import ConstraintError, SchemaMismatchError
from tests.engine.stage import Stage

INT, TEXT = pa.int64(), pa.string()
LAYOUT = pa.schema([("id", INT), ("v", TEXT)])


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Chunks of a few hundred bytes, so that a few hundred rows spill many times."""
    monkeypatch.setattr("absdb.engine.gather.CHUNK_BYTES", 600)
    made = Stage(page_rows=16, bulk_threshold=2000)
    made.create("t", {"id": INT, "v": TEXT})
    yield made
    made.close()


def stream(ids: list[int], value: str = "v", size: int = 10) -> list[pa.RecordBatch]:
    table = pa.table({"id": pa.array(ids, INT), "v": [f"{value}{i}" for i in ids]}, schema=LAYOUT)
    return table.to_batches(max_chunksize=size)


def shuffled(count: int) -> list[int]:
    ids = list(range(count))
    random.Random(7).shuffle(ids)
    return ids


@pytest.mark.parametrize("order", ["sorted", "reversed", "shuffled", "sorted, then not"])
def test_any_order_gives_sorted_rows(stage: Stage, order: str) -> None:
    ids = {
        "sorted": list(range(300)),
        "reversed": list(range(299, -1, -1)),
        "shuffled": shuffled(300),
        "sorted, then not": [*range(150), *range(299, 149, -1)],
    }[order]
    told: list[int] = []
    with stage.begin() as tx:
        assert load.load(tx, tx.catalog.table("t"), stream(ids), progress=told.append) == 300
        (change,) = tx.net_changes()
        assert (change.inserted, change.updated, change.deleted) == (300, 0, 0)
    assert told == list(range(10, 301, 10))
    expected = [{"id": i, "v": f"v{i}"} for i in range(300)]
    for step in (lambda: None, stage.crash, stage.checkpoint, lambda: stage.compact("t"), stage.reopen):
        step()
        assert stage.rows("t") == expected


def test_a_sorted_stream_makes_one_file(stage: Stage) -> None:
    with stage.begin() as tx:
        load.load(tx, tx.catalog.table("t"), stream(list(range(300))))
        assert len(tx.files) == 1


@pytest.mark.parametrize(
    "ids",
    [[1, 2, 2, 3], [*range(10), 9], [*range(60), 5], [*range(99, -1, -1), 50], [7] * 100],
    ids=["within a batch", "at the seam", "sorted, then again", "across chunks", "only one"],
)
@pytest.mark.parametrize("verb", ["load", "upsert", "update", "sync", "replace"])
def test_a_key_given_twice_refuses_all(stage: Stage, ids: list[int], verb: str) -> None:
    if verb != "load":
        stage.insert("t", [{"id": i, "v": "old"} for i in range(100)])
    before = stage.rows("t")
    with stage.begin() as tx:
        with pytest.raises(ConstraintError, match="more than once in the rows given"):
            getattr(load, verb)(tx, tx.catalog.table("t"), stream(ids))
        assert tx.net_changes() == []
    assert stage.rows("t") == before
    assert stage.engine.bulk.in_flight() == set()


def test_keys_that_are_there_refuse_an_insert(stage: Stage) -> None:
    stage.insert("t", [{"id": 250, "v": "old"}])
    with stage.begin() as tx, pytest.raises(ConstraintError, match="key 250 is already in the table"):
        load.load(tx, tx.catalog.table("t"), stream(shuffled(300)))
    assert stage.rows("t") == [{"id": 250, "v": "old"}]


def test_a_stream_that_fails_leaves_nothing(stage: Stage) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from stream(shuffled(200))
        raise OSError("the other side hung up")

    tx = stage.begin()
    for verb in (load.load, load.upsert, load.sync, load.replace, load.delete, load.update):
        with pytest.raises(OSError, match="hung up"):
            verb(tx, tx.catalog.table("t"), broken())  # type: ignore[operator]
    with pytest.raises(SchemaMismatchError):
        load.load(tx, tx.catalog.table("t"), [*stream([1, 2]), pa.record_batch({"id": [3], "v": [5]})])
    assert tx.net_changes() == []
    tx.rollback()
    assert stage.engine.bulk.in_flight() == set()
    assert stage.engine.bulk.protected_from() is None
    stage.insert("t", [{"id": 1}])
    stage.checkpoint()
    assert len([name for name in stage.fs.list("pages") if name.endswith(".arrow")]) == 1


def test_chunks_stay_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    largest: list[int] = []
    plain = Gatherer._ordered

    def ordered(self: Gatherer, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        largest.append(batch.nbytes)
        return plain(self, batch)

    monkeypatch.setattr(Gatherer, "_ordered", ordered)
    with stage.begin() as tx:
        load.upsert(tx, tx.catalog.table("t"), stream(shuffled(500)))
    assert len(largest) > 10
    assert max(largest) < 1200
    assert len(stage.rows("t")) == 500


def test_empty_streams(stage: Stage) -> None:
    stage.insert("t", [{"id": 1, "v": "a"}])
    with stage.begin() as tx:
        schema = tx.catalog.table("t")
        empty = [LAYOUT.empty_table().to_batches() or [], [pa.RecordBatch.from_pylist([], LAYOUT)]]
        for batches in empty:
            assert load.load(tx, schema, batches) == 0
            assert load.upsert(tx, schema, batches) == 0
            assert load.update(tx, schema, batches) == 0
            assert load.delete(tx, schema, batches) == 0
        assert load.sync(tx, schema, empty[1]) == (0, 0, 1)
    assert stage.rows("t") == []


def test_several_bulk_writes_in_one_transaction(stage: Stage) -> None:
    """Their runs are merged into one before the commit, a range of keys at a time."""
    with stage.begin() as tx:
        schema = tx.catalog.table("t")
        load.load(tx, schema, stream(shuffled(200)))
        load.upsert(tx, schema, stream(list(range(100, 300)), "w"))
        load.delete(tx, schema, stream(shuffled(50)))
        intake.upsert(tx, schema, [{"id": 60, "v": "one"}])
        (change,) = tx.net_changes()
        assert change.pages is not None
        assert (change.inserted, change.deleted) == (250, 0)
    expected = {i: f"v{i}" for i in range(50, 100)} | {i: f"w{i}" for i in range(100, 300)} | {60: "one"}
    stage.crash()
    assert {row["id"]: row["v"] for row in stage.rows("t")} == expected


def test_large_frames_take_the_bulk_way(stage: Stage) -> None:
    frame = pa.Table.from_batches(stream(shuffled(400)))
    for verb in (intake.insert, intake.upsert, intake.update):
        with stage.begin() as tx:
            assert verb(tx, tx.catalog.table("t"), frame) == 400
            assert tx.files
    with stage.begin() as tx:
        assert intake.sync(tx, tx.catalog.table("t"), frame.slice(0, 390)) == (0, 0, 10)
    with stage.begin() as tx:
        assert intake.delete(tx, tx.catalog.table("t"), frame.select(["id"]).slice(0, 380)) == 380
    with stage.begin() as tx:
        assert intake.replace(tx, tx.catalog.table("t"), frame) == 400
    with stage.begin() as tx:
        assert intake.truncate(tx, tx.catalog.table("t")) == 400
        assert tx.files
    assert stage.rows("t") == []


def test_truncation_writes_keys_only(stage: Stage) -> None:
    with stage.begin() as tx:
        load.load(tx, tx.catalog.table("t"), stream(list(range(300))))
    with stage.begin() as tx:
        load.truncate(tx, tx.catalog.table("t"))
        (change,) = tx.net_changes()
        names = change.run.newest.pages[0].batch().schema.names
        assert len(names) == 2
        assert change.deleted == 300


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
@pytest.mark.parametrize("form", ["stream", "frame", "several"])
def test_rows_as_they_are_there_are_not_written(stage: Stage, form: str, order: str) -> None:
    ids = list(range(300)) if order == "sorted" else shuffled(300)
    with stage.begin() as tx:
        load.load(tx, tx.catalog.table("t"), stream(list(range(290))))
    with stage.begin() as tx:
        schema = tx.catalog.table("t")
        batches = [*stream(ids[:100], "w"), *stream(ids[100:])]
        match form:
            case "stream":
                assert load.upsert(tx, schema, batches) == 300
            case "frame":
                assert writes.upsert(tx, schema, pa.Table.from_batches(batches)) == 300
            case "several":
                load.upsert(tx, schema, stream(ids, "x"))
                assert load.upsert(tx, schema, batches) == 300
        (change,) = tx.net_changes()
        there = [i < 290 for i in ids]
        assert (change.inserted, change.updated, change.deleted) == (10, sum(there[:100]), 0)
    stage.crash()
    assert {row["id"]: row["v"] for row in stage.rows("t")} == {
        i: f"{'w' if at < 100 else 'v'}{i}" for at, i in enumerate(ids)
    }
    before = stage.engine.published
    for verb in (load.upsert, load.update):
        with stage.begin() as tx:
            assert verb(tx, tx.catalog.table("t"), batches) == 300
            assert tx.net_changes() == []
    assert stage.engine.published == before


NESTED = {
    "alone": (pa.float64(), lambda v: v),
    "half": (pa.float16(), lambda v: v),
    "list": (pa.list_(pa.float32()), lambda v: [v, None]),
    "large list": (pa.large_list(pa.float64()), lambda v: [v]),
    "vector": (pa.list_(pa.float32(), 2), lambda v: [1.0, v]),
    "struct": (
        pa.struct([("a", pa.int8()), ("b", pa.list_(pa.float64()))]),
        lambda v: {"a": 1, "b": [v]},
    ),
    "map": (pa.map_(pa.string(), pa.float64()), lambda v: [("k", v)]),
}


@pytest.mark.parametrize("where", NESTED)
def test_a_float_is_the_same_to_the_bit(stage: Stage, where: str) -> None:
    nan, (kind, made) = float("nan"), NESTED[where]
    stage.create("f", {"id": INT, "v": kind})
    steps = [([0.0, nan], 200), ([0.0, nan], 0), ([-0.0, nan], 100), ([-0.0, 1.0], 100), ([None, 1.0], 100)]
    for values, written in steps:
        shown = [None if value is None else made(value) for value in values]
        frame = pa.table({"id": pa.array(range(200), INT), "v": pa.array(shown * 100, kind)})
        for verb in (load.upsert, writes.upsert):
            with stage.begin() as tx:
                batches: Any = frame if verb is writes.upsert else frame.to_batches(max_chunksize=7)
                assert verb(tx, tx.catalog.table("f"), batches) == 200
                assert sum(c.inserted + c.updated for c in tx.net_changes()) == written
                if verb is load.upsert:
                    tx.rollback()
        assert repr([row["v"] for row in stage.rows("f")][:2]) == repr(shown)


@pytest.mark.parametrize("verb", ["upsert", "update"])
@pytest.mark.parametrize("again", ["as it is", "another value"])
def test_a_key_that_is_not_written_is_refused_the_second_time(stage: Stage, verb: str, again: str) -> None:
    """Also if the row was there as it was given, or was not there to be updated."""
    with stage.begin() as tx:
        load.load(tx, tx.catalog.table("t"), stream(list(range(100))))
    first = stream(list(range(50, 150) if verb == "update" else range(100)))
    twice = 140 if verb == "update" else 99
    for second in ([99], [twice]):
        rows = stream(second, "v" if again == "as it is" else "w")
        with stage.begin() as tx, pytest.raises(ConstraintError, match=f"key {second[0]} is more than once"):
            getattr(load, verb)(tx, tx.catalog.table("t"), [*first, *rows])
    assert stage.engine.bulk.in_flight() == set()


operations = st.lists(
    st.tuples(
        st.sampled_from(["insert", "upsert", "update", "delete", "sync", "replace"]),
        st.lists(st.integers(0, 40), max_size=25),
        st.booleans(),
    ),
    max_size=8,
)


@given(operations, st.integers(1, 7))
@settings(max_examples=60)
def test_streams_do_what_frames_do(script: list[Any], size: int) -> None:
    """Each verb on a stream gives the counts and rows that the verb on a frame in memory gives."""
    patch = pytest.MonkeyPatch()
    patch.setattr("absdb.engine.gather.CHUNK_BYTES", 100)
    stage = Stage(page_rows=4)
    try:
        for name in ("a", "b"):
            stage.create(name, {"id": INT, "v": TEXT, "w": INT})
        for number, (verb, ids, whole) in enumerate(script):
            columns: dict[str, Any] = {"id": pa.array(ids, INT)}
            if verb != "delete":
                columns["v"] = pa.array([f"{number}.{i % 3}" for i in ids], TEXT)
            if whole and verb != "delete":
                columns["w"] = pa.array([number] * len(ids), INT)
            frame = pa.table(columns)
            counts = []
            for name, module in (("a", writes), ("b", load)):
                with stage.begin() as tx:
                    schema = tx.catalog.table(name)
                    given_rows: Any = frame if module is writes else frame.to_batches(max_chunksize=size)
                    act = load.load if module is load and verb == "insert" else getattr(module, verb)
                    try:
                        counts.append(act(tx, schema, given_rows))
                    except ConstraintError:
                        counts.append("refused")
            assert counts[0] == counts[1], (verb, ids)
            assert stage.rows("a") == stage.rows("b"), (verb, ids)
    finally:
        patch.undo()
        stage.close()
