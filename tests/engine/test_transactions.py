"""Snapshots, conflicts, savepoints, own writes, and endings of every kind."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from absdb.engine import ddl, intake, load, small, writes
from absdb.engine.expiry import expire
from absdb.errors import (
    AlreadyExistsError,
    ConflictError,
    ConstraintError,
    NotFoundError,
    ReadConflictError,
    StateError,
    WriteConflictError,
)
from absdb.versioning.branch import drop_database
from absdb.versioning.restore import restore
from tests.engine.stage import Column, Stage, make, rows_in

INT, TEXT = pa.int64(), pa.string()
FORMS = ["rows", "batch", "bulk"]
VERBS = ["insert", "upsert", "update", "delete"]


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    made.create("t", {"id": INT, "v": TEXT})
    made.insert("t", [{"id": i, "v": f"v{i}"} for i in range(10)])
    yield made
    made.close()


def write(tx: Any, verb: str, ids: list[int], form: str, value: str = "new") -> None:
    schema = tx.catalog.table("t")
    rows = [{"id": i} if verb == "delete" else {"id": i, "v": value} for i in ids]
    if form == "rows":
        getattr(small, verb)(tx, schema, rows)
        return
    names = list(rows[0])
    frame = pa.table({n: pa.array([row[n] for row in rows], schema.column(n).type) for n in names})
    if form == "batch":
        getattr(writes, verb)(tx, schema, frame)
    else:
        getattr(load, "load" if verb == "insert" else verb)(tx, schema, frame.to_batches(max_chunksize=2))


# ---------------------------------------------------------------- what a transaction sees


@pytest.mark.parametrize("form", FORMS)
def test_it_sees_its_own_writes_and_nobody_elses(stage: Stage, form: str) -> None:
    tx = stage.begin()
    stage.insert("t", [{"id": 50, "v": "other"}])
    stage.delete("t", [9])
    write(tx, "insert", [20, 21, 22], form)
    write(tx, "update", [0, 20, 99], form, "changed")
    write(tx, "delete", [1, 21, 98], form)
    write(tx, "upsert", [2, 30], form, "put")
    expected = {i: f"v{i}" for i in range(10)} | {0: "changed", 2: "put", 20: "changed", 22: "new", 30: "put"}
    del expected[1]
    assert {row["id"]: row["v"] for row in rows_in(tx, "t")} == expected
    reader = tx.reader(tx.catalog.table("t"))
    assert reader.count() == len(expected)
    assert [reader.exists(key) for key in (1, 20, 21, 50, 9)] == [False, True, False, False, True]
    tx.commit()
    expected[50] = "other"
    del expected[9]
    assert {row["id"]: row["v"] for row in stage.rows("t")} == expected
    stage.crash()
    assert {row["id"]: row["v"] for row in stage.rows("t")} == expected


@pytest.mark.parametrize("form", FORMS)
def test_sync_replace_and_truncate_see_own_writes(stage: Stage, form: str) -> None:
    with stage.begin() as tx:
        schema = tx.catalog.table("t")
        write(tx, "insert", [20], form)
        write(tx, "delete", [0], form)
        frame = pa.table({"id": [1, 20, 40], "v": ["v1", "x", "y"]})
        counts = (
            load.sync(tx, schema, frame.to_batches(max_chunksize=1))
            if form == "bulk"
            else writes.sync(tx, schema, frame)
        )
        assert counts == (1, 1, 8)
        assert rows_in(tx, "t") == frame.to_pylist()
        other = pa.table({"id": [2, 20], "v": ["a", "b"]})
        (
            load.replace(tx, schema, other.to_batches())
            if form == "bulk"
            else writes.replace(tx, schema, other)
        )
        assert rows_in(tx, "t") == other.to_pylist()
        assert (load if form == "bulk" else writes).truncate(tx, schema) == 2
        assert rows_in(tx, "t") == []
        write(tx, "insert", [3], form)
    assert stage.rows("t") == [{"id": 3, "v": "new"}]


def test_what_comes_to_nothing_is_no_commit(stage: Stage) -> None:
    before = stage.lsn()
    with stage.begin() as tx:
        schema = tx.catalog.table("t")
        intake.update(tx, schema, [{"id": 1, "v": "x"}])
        intake.update(tx, schema, [{"id": 1, "v": "v1"}])
        intake.insert(tx, schema, [{"id": 99, "v": "x"}])
        intake.delete(tx, schema, [99])
        intake.update(tx, schema, [{"id": 12345, "v": "x"}])
        intake.delete(tx, schema, [12345])
    assert tx.lsn is None
    assert stage.lsn() == before


def test_zero_and_minus_zero_differ_and_nan_does_not(stage: Stage) -> None:
    stage.create("f", {"id": INT, "v": pa.float64()})
    stage.insert("f", [{"id": 1, "v": 0.0}, {"id": 2, "v": float("nan")}])
    with stage.begin() as tx:
        intake.upsert(tx, tx.catalog.table("f"), [{"id": 1, "v": -0.0}])
    assert str(stage.rows("f")[0]["v"]) == "-0.0"
    with stage.begin() as tx:
        intake.upsert(tx, tx.catalog.table("f"), [{"id": 2, "v": float("nan")}])
    assert tx.lsn is None


# ---------------------------------------------------------------- first committer wins


@pytest.mark.parametrize("first", FORMS)
@pytest.mark.parametrize("second", FORMS)
@pytest.mark.parametrize(
    "verbs", [("update", "update"), ("delete", "update"), ("update", "delete"), ("delete", "delete")]
)
def test_the_second_writer_of_a_row_loses(
    stage: Stage, first: str, second: str, verbs: tuple[str, str]
) -> None:
    one, two = stage.begin(), stage.begin()
    write(one, verbs[0], [3, 4], first, "one")
    write(two, verbs[1], [4, 5], second, "two")
    one.commit()
    with pytest.raises(
        WriteConflictError, match="table 't': key 4 was changed by another transaction"
    ) as caught:
        two.commit()
    assert (caught.value.table, caught.value.keys) == ("t", [(4,)])
    found = {row["id"]: row["v"] for row in stage.rows("t")}
    assert found.get(5) == "v5"
    assert found.get(4) == (None if verbs[0] == "delete" else "one")
    assert stage.engine.bulk.in_flight() == set()


@pytest.mark.parametrize("first", FORMS)
@pytest.mark.parametrize("second", FORMS)
def test_two_that_insert_one_key(stage: Stage, first: str, second: str) -> None:
    one, two = stage.begin(), stage.begin()
    write(one, "insert", [20, 21], first, "one")
    write(two, "insert", [21, 22], second, "two")
    two.commit()
    with pytest.raises(WriteConflictError):
        one.commit()
    assert [row["id"] for row in stage.rows("t")][10:] == [21, 22]


@pytest.mark.parametrize("first", FORMS)
@pytest.mark.parametrize("second", FORMS)
def test_different_rows_do_not_conflict(stage: Stage, first: str, second: str) -> None:
    one, two = stage.begin(), stage.begin()
    write(one, "update", [1, 3, 5], first, "one")
    write(two, "update", [2, 4, 6], second, "two")
    write(two, "insert", [20], second, "two")
    one.commit()
    two.commit()
    assert [row["v"] for row in stage.rows("t")][1:7] == ["one", "two", "one", "two", "one", "two"]


def test_a_conflict_is_seen_through_checkpoint_and_compaction(stage: Stage) -> None:
    one = stage.begin()
    write(one, "update", [1], "rows")
    stage.update("t", [{"id": 1, "v": "theirs"}])
    stage.checkpoint()
    stage.compact("t")
    with pytest.raises(WriteConflictError):
        one.commit()


@pytest.mark.parametrize("serializable", [False, True])
def test_a_conflict_is_seen_though_history_expires_at_once(serializable: bool) -> None:
    stage = Stage(history_retention="0 s")
    stage.create("t", {"id": INT, "v": TEXT})
    stage.create("u", {"id": INT})
    stage.insert("t", [{"id": 1, "v": "a"}])
    stage.checkpoint()
    tx = stage.begin()
    if serializable:
        tx.record_reads()
        assert tx.reader(tx.catalog.table("t")).exists(1)
        intake.insert(tx, tx.catalog.table("u"), [{"id": 1}])
    else:
        intake.update(tx, tx.catalog.table("t"), [{"id": 1, "v": "ours"}])
    stage.update("t", [{"id": 1, "v": "theirs"}])
    stage.checkpoint()
    stage.compact("t")
    expire(stage.engine)
    with pytest.raises(ReadConflictError if serializable else WriteConflictError):
        tx.commit()
    assert stage.rows("t") == [{"id": 1, "v": "theirs"}]
    stage.close()


def test_rows_without_a_key_never_conflict(stage: Stage) -> None:
    stage.create("k", {"v": INT}, "")
    one, two = stage.begin(), stage.begin()
    intake.insert(one, one.catalog.table("k"), [{"v": 1}])
    intake.insert(two, two.catalog.table("k"), [{"v": 1}])
    one.commit()
    two.commit()
    assert stage.rows("k") == [{"v": 1}, {"v": 1}]


def test_the_name_of_the_table_is_its_own(stage: Stage) -> None:
    one, two = stage.begin(), stage.begin()
    for tx in (one, two):
        make(tx, "n", {"id": INT})
    one.commit()
    with pytest.raises(WriteConflictError, match="the table 'n' was created"):
        two.commit()
    with pytest.raises(AlreadyExistsError), stage.begin() as tx:
        make(tx, "n", {"id": INT})


def test_many_threads_count_together(stage: Stage) -> None:
    """Increments with retries: none is lost."""
    stage.create("c", {"id": INT, "n": INT})
    stage.insert("c", [{"id": 0, "n": 0}])

    def work() -> None:
        for _ in range(20):
            while True:
                tx = stage.begin()
                try:
                    (row,) = rows_in(tx, "c")
                    intake.update(tx, tx.catalog.table("c"), [{"id": 0, "n": row["n"] + 1}])
                    tx.commit()
                    break
                except ConflictError:
                    continue

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stage.rows("c") == [{"id": 0, "n": 80}]


# ---------------------------------------------------------------- a database that is no longer the same


@pytest.mark.parametrize("form", FORMS)
def test_a_restored_database_refuses_what_came_before(stage: Stage, form: str) -> None:
    early = stage.point()
    stage.insert("t", [{"id": 30, "v": "x"}])
    tx = stage.begin()
    write(tx, "insert", [31], form)
    restore(stage.engine, early)
    with pytest.raises(WriteConflictError, match="'main' was restored"):
        tx.commit()
    assert len(stage.rows("t")) == 10
    assert stage.engine.bulk.in_flight() == set()


def test_a_dropped_database_refuses(stage: Stage) -> None:
    stage.branch("b")
    tx = stage.begin("b")
    write(tx, "insert", [31], "rows")
    drop_database(stage.engine, stage.engine.history.database("b"))
    with pytest.raises(StateError, match="dropped"):
        tx.commit()


def test_branches_do_not_conflict(stage: Stage) -> None:
    stage.branch("b")
    one, two = stage.begin(), stage.begin("b")
    write(one, "update", [1], "rows", "main")
    write(two, "update", [1], "rows", "branch")
    one.commit()
    two.commit()
    assert stage.rows("t")[1]["v"] == "main"
    assert stage.rows("t", "b")[1]["v"] == "branch"


# ---------------------------------------------------------------- savepoints


@pytest.mark.parametrize("form", FORMS)
def test_savepoints(stage: Stage, form: str) -> None:
    with stage.begin() as tx:
        write(tx, "update", [0], form, "a")
        tx.savepoint("one")
        write(tx, "update", [0, 1], form, "b")
        write(tx, "insert", [20], form)
        tx.savepoint("two")
        write(tx, "delete", [0, 20], form)
        tx.rollback_to("two")
        assert [row["v"] for row in rows_in(tx, "t")][:2] == ["b", "b"]
        assert len(rows_in(tx, "t")) == 11
        write(tx, "delete", [2], form)
        tx.rollback_to("one")
        assert [row["v"] for row in rows_in(tx, "t")][:3] == ["a", "v1", "v2"]
        tx.rollback_to("one")  # it stays
        with pytest.raises(NotFoundError, match=r"no savepoint 'two'.*\n.*savepoints: one"):
            tx.rollback_to("two")
        write(tx, "insert", [30], form)
        tx.release("one")
        with pytest.raises(NotFoundError):
            tx.release("one")
    assert [row["id"] for row in stage.rows("t")] == [*range(10), 30]
    assert [row["v"] for row in stage.rows("t")][:2] == ["a", "v1"]
    assert stage.engine.bulk.in_flight() == set()


def test_savepoints_of_one_name_shadow_each_other(stage: Stage) -> None:
    with stage.begin() as tx:
        tx.savepoint("s")
        write(tx, "insert", [20], "rows")
        tx.savepoint("s")
        write(tx, "insert", [21], "rows")
        tx.rollback_to("s")
        assert len(rows_in(tx, "t")) == 11
        tx.release("s")
        tx.rollback_to("s")
        assert len(rows_in(tx, "t")) == 10
    assert tx.lsn is None


def test_savepoint_with_a_full_buffer(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("absdb.engine.cover.SEAL_ROWS", 5)
    with stage.begin() as tx:
        for i in range(20, 27):
            write(tx, "insert", [i], "rows")
        tx.savepoint("s")
        for i in range(27, 60):
            write(tx, "insert", [i], "rows")
        tx.rollback_to("s")
        for i in range(100, 103):
            write(tx, "insert", [i], "rows")
    assert [row["id"] for row in stage.rows("t")] == [*range(10), *range(20, 27), *range(100, 103)]


def test_an_error_inside_atomic_takes_back_its_part_only(stage: Stage) -> None:
    with stage.begin() as tx:
        write(tx, "insert", [20], "rows")

        def half_done() -> None:
            with tx.atomic():
                write(tx, "insert", [21], "rows")
                ddl.add_column(tx, tx.catalog.table("t"), Column("n", INT))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            half_done()
        assert tx.catalog.table("t").arrow_schema.names == ["id", "v"]
    assert len(stage.rows("t")) == 11


# ---------------------------------------------------------------- endings


def test_what_has_ended_has_ended(stage: Stage) -> None:
    tx = stage.begin()
    write(tx, "insert", [20], "rows")
    lsn = tx.commit()
    assert lsn == tx.lsn
    tx.rollback()
    for act in (
        tx.commit,
        lambda: tx.savepoint("s"),
        lambda: tx.rollback_to("s"),
        lambda: write(tx, "insert", [21], "rows"),
        lambda: rows_in(tx, "t"),
        lambda: ddl.create_namespace(tx, "x"),
    ):
        with pytest.raises(StateError, match="ended"):
            act()
    assert len(stage.rows("t")) == 11


@pytest.mark.parametrize("form", FORMS)
def test_rollback_leaves_nothing(stage: Stage, form: str) -> None:
    before = stage.lsn()
    tx = stage.begin()
    write(tx, "insert", list(range(20, 30)), form)
    write(tx, "delete", [1], form)
    tx.rollback()
    assert stage.lsn() == before
    assert stage.engine.bulk.in_flight() == set()
    gc.collect()
    stage.checkpoint()
    pages = [page for section in stage.reader("t").sections for page in section.pages]
    kept = {page.origin[0].name for page in pages if page.origin}
    assert {name for name in stage.fs.list("pages") if name.endswith(".arrow")} == kept


def test_an_error_in_the_block_rolls_back(stage: Stage) -> None:
    tx = stage.begin()

    def half_done() -> None:
        with tx:
            write(tx, "insert", [20], "bulk")
            raise KeyError

    with pytest.raises(KeyError):
        half_done()
    assert not tx.open
    assert len(stage.rows("t")) == 10
    assert stage.engine.bulk.in_flight() == set()


def test_a_failed_commit_ends_the_transaction(stage: Stage) -> None:
    one, two = stage.begin(), stage.begin()
    write(one, "update", [1], "rows")
    write(two, "update", [1], "bulk")
    one.commit()
    with pytest.raises(WriteConflictError):
        two.commit()
    assert not two.open
    with pytest.raises(StateError):
        two.commit()
    assert stage.engine.bulk.in_flight() == set()


def test_read_only_and_closed_engines_refuse(stage: Stage) -> None:
    tx = stage.begin()
    stage.engine.abandon()
    with pytest.raises(StateError, match="closed"):
        write(tx, "insert", [20], "rows")
    with pytest.raises(StateError, match="closed"):
        stage.begin()
    stage.open()


# ---------------------------------------------------------------- against a model


class _Model:
    """A transaction as dictionaries."""

    def __init__(self, rows: dict[int, str]) -> None:
        self.base = dict(rows)
        self.rows = dict(rows)
        self.points: list[tuple[str, dict[int, str]]] = []

    @property
    def changed(self) -> set[int]:
        keys = self.base.keys() | self.rows.keys()
        return {key for key in keys if self.base.get(key) != self.rows.get(key)}


ids = st.lists(st.integers(0, 14), min_size=1, max_size=6, unique=True)
actions = st.one_of(
    st.tuples(st.sampled_from(VERBS), st.sampled_from(FORMS), ids, st.sampled_from(["a", "b", "c"])),
    st.tuples(st.sampled_from(["savepoint", "rollback_to", "release"]), st.sampled_from(["p", "q"])),
    st.tuples(st.just("commit")),
    st.tuples(st.just("rollback")),
)


@given(st.lists(st.tuples(st.integers(0, 2), actions), max_size=40), st.booleans())
@settings(max_examples=60)
def test_three_transactions_against_a_model(script: list[Any], tidy: bool) -> None:
    """Snapshot isolation, first committer wins by key: exactly the commits that the model accepts."""
    stage = Stage(page_rows=4)
    try:
        stage.create("t", {"id": INT, "v": TEXT})
        database: dict[int, str] = dict.fromkeys(range(5), "base")
        stage.insert("t", [{"id": i, "v": v} for i, v in database.items()])
        log: list[set[int]] = []
        open_: dict[int, tuple[Any, _Model, int]] = {}
        for number, action in script:
            if number not in open_:
                open_[number] = (stage.begin(), _Model(database), len(log))
            tx, model, since = open_[number]
            match action:
                case ("commit",):
                    wanted = model.changed
                    clash = any(wanted & keys for keys in log[since:])
                    if clash:
                        with pytest.raises(WriteConflictError):
                            tx.commit()
                    else:
                        tx.commit()
                        for key in wanted:
                            if key in model.rows:
                                database[key] = model.rows[key]
                            else:
                                del database[key]
                        log.append(wanted)
                    del open_[number]
                    assert {r["id"]: r["v"] for r in stage.rows("t")} == database
                    if tidy:
                        stage.checkpoint()
                case ("rollback",):
                    tx.rollback()
                    del open_[number]
                case ("savepoint", name):
                    tx.savepoint(name)
                    model.points.append((name, dict(model.rows)))
                case ("rollback_to" | "release", name):
                    places = [at for at, (known, _) in enumerate(model.points) if known == name]
                    if not places:
                        with pytest.raises(NotFoundError):
                            getattr(tx, action[0])(name)
                    else:
                        getattr(tx, action[0])(name)
                        if action[0] == "release":
                            del model.points[places[-1] :]
                        else:
                            model.rows = dict(model.points[places[-1]][1])
                            del model.points[places[-1] + 1 :]
                case (verb, form, keys, value):
                    _play(tx, model, verb, form, keys, value)
            if number in open_:
                assert {r["id"]: r["v"] for r in rows_in(tx, "t")} == model.rows
        for tx, _, _ in open_.values():
            tx.rollback()
        stage.crash()
        assert {r["id"]: r["v"] for r in stage.rows("t")} == database
    finally:
        stage.close()


def _play(tx: Any, model: _Model, verb: str, form: str, keys: list[int], value: str) -> None:
    if verb == "insert" and any(key in model.rows for key in keys):
        with pytest.raises(ConstraintError):
            write(tx, verb, keys, form, value)
        return
    write(tx, verb, keys, form, value)
    for key in keys:
        if verb == "delete":
            model.rows.pop(key, None)
        elif verb != "update" or key in model.rows:
            model.rows[key] = value
