"""The verbs on frames in memory, and that dicts, frames and streams mean the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from absdb.engine import intake, writes
from absdb.errors import ConstraintError, InvalidInputError
from tests.engine.stage import Column, Stage, rows_in

INT, TEXT = pa.int64(), pa.string()


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    made.create("t", [Column("id", INT), Column("a", INT, default=7), Column("s", TEXT)])
    made.insert("t", [{"id": i, "a": i, "s": f"s{i}"} for i in (1, 2, 3)])
    yield made
    made.close()


def shapes(rows: list[dict[str, Any]]) -> list[Any]:
    """The same rows as dicts, a frame and a reader."""
    kinds = {"id": INT, "a": INT, "s": TEXT}
    names = list(rows[0])
    frame = pa.table({n: pa.array([row[n] for row in rows], kinds[n]) for n in names})
    return [rows, frame, frame.to_reader()]


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_upsert_keeps_what_is_left_out(stage: Stage, shape: int) -> None:
    stage.upsert("t", shapes([{"id": 4, "s": "new"}, {"id": 2, "s": "other"}])[shape])
    assert stage.rows("t")[1:] == [
        {"id": 2, "a": 2, "s": "other"},
        {"id": 3, "a": 3, "s": "s3"},
        {"id": 4, "a": 7, "s": "new"},
    ]


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_update_leaves_unknown_rows_out(stage: Stage, shape: int) -> None:
    with stage.begin() as tx:
        given = shapes([{"id": 9, "a": 9}, {"id": 3, "a": None}])[shape]
        assert intake.update(tx, tx.catalog.table("t"), given) == 1
    assert stage.rows("t")[-1] == {"id": 3, "a": None, "s": "s3"}


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_delete_ignores_unknown_keys_and_repetitions(stage: Stage, shape: int) -> None:
    with stage.begin() as tx:
        given = shapes([{"id": 3, "s": "x"}, {"id": 9, "s": "x"}, {"id": 3, "s": "y"}])[shape]
        assert intake.delete(tx, tx.catalog.table("t"), given) == 1
    assert [row["id"] for row in stage.rows("t")] == [1, 2]


@pytest.mark.parametrize("shape", [1, 2])
def test_sync_writes_only_what_differs(stage: Stage, shape: int) -> None:
    with stage.begin() as tx:
        schema = tx.catalog.table("t")
        given = shapes([{"id": 4, "s": "s4"}, {"id": 1, "s": "s1"}, {"id": 2, "s": "x"}])[shape]
        assert intake.sync(tx, schema, given) == (1, 1, 1)
        (change,) = tx.net_changes()
        assert (change.inserted, change.updated, change.deleted) == (1, 1, 1)
    assert stage.rows("t") == [
        {"id": 1, "a": 1, "s": "s1"},
        {"id": 2, "a": 2, "s": "x"},
        {"id": 4, "a": 7, "s": "s4"},
    ]


def test_sync_of_equal_rows_is_no_commit(stage: Stage) -> None:
    with stage.begin() as tx:
        assert writes.sync(tx, tx.catalog.table("t"), stage.read("t")) == (0, 0, 0)
    assert tx.lsn is None


def test_replace(stage: Stage) -> None:
    with stage.begin() as tx:
        assert intake.replace(tx, tx.catalog.table("t"), pa.table({"id": [5, 1]})) == 2
    assert stage.rows("t") == [{"id": 1, "a": 7, "s": None}, {"id": 5, "a": 7, "s": None}]


def test_verbs_that_need_a_key_say_so(stage: Stage) -> None:
    stage.create("k", {"v": INT}, "")
    stage.insert("k", [{"v": 1}, {"v": 1}])
    with stage.begin() as tx:
        schema = tx.catalog.table("k")
        for verb in ("upsert", "update", "delete", "sync"):
            with pytest.raises(InvalidInputError, match=rf"'k' has no key, so {verb}\(\) cannot") as caught:
                getattr(intake, verb)(tx, schema, pa.table({"v": [1]}))
            assert "key=" in caught.value.hint
        assert intake.replace(tx, schema, pa.table({"v": [2, 3]})) == 2
    assert stage.rows("k") == [{"v": 2}, {"v": 3}]


@pytest.mark.parametrize("verb", ["upsert", "update", "delete", "sync"])
def test_rows_without_their_key(stage: Stage, verb: str) -> None:
    with stage.begin() as tx:
        with pytest.raises(InvalidInputError, match="'t': the rows have no 'id'"):
            getattr(intake, verb)(tx, tx.catalog.table("t"), pa.table({"s": ["x"]}))
        assert tx.net_changes() == []


def test_a_key_of_two_columns(stage: Stage) -> None:
    stage.create("k", {"a": TEXT, "b": INT, "v": INT}, ["b", "a"])
    rows = [{"a": a, "b": b, "v": 0} for a in "xy" for b in (2, 1)]
    stage.insert("k", rows)
    assert [(row["b"], row["a"]) for row in stage.rows("k")] == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]
    stage.upsert("k", pa.table({"b": [1], "a": ["y"], "v": [5]}))
    with pytest.raises(ConstraintError, match=r"\(1, 'y'\)") as caught:
        stage.insert("k", rows[3:])
    assert caught.value.keys == [(1, "y")]


def test_dicts_of_several_shapes(stage: Stage) -> None:
    rows: list[dict[str, Any]] = [{"id": i} if i % 2 else {"id": i, "s": "x"} for i in range(10, 200)]
    with stage.begin() as tx:
        assert intake.insert(tx, tx.catalog.table("t"), rows) == 190
        assert len(rows_in(tx, "t")) == 193
