"""Small verbs that are commits of their own: what a transaction would have done, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

from absdb.engine import ddl, intake, small
from absdb.engine.commit import CommitRequest
from absdb.engine.constraint_definition import ForeignKey, Unique
from absdb.engine.expiry import expire
from absdb.engine.intake import few_keys, few_rows
from absdb.engine.small_commit import Overtaken, SmallCommit, commit_small
from absdb.errors import ConstraintError
from absdb.versioning.restore import restore
from tests.engine.stage import Column, Stage

INT, TEXT = pa.int64(), pa.string()
VERBS: list[tuple[Callable[..., int], list[dict[str, Any]]]] = [
    (small.insert, [{"id": 9, "v": "new", "n": 1}]),
    (small.insert, [{"id": 9}, {"id": 8, "v": "x"}]),
    (small.upsert, [{"id": 9, "v": "new"}]),
    (small.upsert, [{"id": 1, "v": "other"}, {"id": 9}, {"id": 2, "v": "b"}]),
    (small.update, [{"id": 1, "n": 5}]),
    (small.delete, [{"id": 1}, {"id": 7}]),
]
HERE = [{"id": 1, "v": "a", "n": 1}, {"id": 2, "v": "b", "n": 2}]


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(history_retention="0 s")
    made.create("t", {"id": INT, "v": TEXT, "n": INT})
    made.insert("t", HERE)
    yield made
    made.close()


def commit(stage: Stage, verb: Any, rows: Any, table: str = "t", **facts: Any) -> int | None:
    take = few_keys if verb is small.delete else few_rows
    facts = {"author": None, "message": "", **facts}
    database = stage.engine.history.database("main").id
    return commit_small(stage.engine, database, stage.schema(table).id, verb, take, rows, **facts)


def prepared(stage: Stage, verb: Any, rows: list[dict[str, Any]], table: str = "t") -> SmallCommit:
    database = stage.engine.history.database("main").id
    made = SmallCommit(stage.engine, database, stage.engine.newest_state(database))
    verb(made, stage.schema(table), rows)
    return made


@pytest.mark.parametrize(("verb", "rows"), VERBS)
def test_its_record_is_that_of_a_transaction(stage, verb, rows):
    tx = stage.begin()
    expected = verb(tx, stage.schema("t"), rows)
    changes = tx.net_changes()
    record = CommitRequest(tx, changes).body
    tx.rollback()
    own = prepared(stage, verb, rows)
    assert own.change == changes[0]
    own.submit("tests", "")
    assert own.body == record
    seen = stage.rows("t")
    stage.crash()
    assert stage.rows("t") == seen != HERE
    assert expected == {small.insert: len(rows), small.upsert: len(rows)}.get(verb, 1)


def test_the_log_says_who_why_and_how_much(stage):
    assert commit(stage, small.upsert, [{"id": 1, "v": "z"}, {"id": 3}], author="ann", message="why") == 2
    assert commit(stage, small.delete, [1, 2, 77]) == 2
    spans = [(era, 0, lsn) for era, lsn in stage.point().lineage]
    newest, before = list(stage.engine.log.entries(spans))[:2]
    table = stage.schema("t").id
    assert (before.author, before.message, before.tables) == ("ann", "why", ((table, 1, 1, 0),))
    assert (newest.author, newest.message, newest.tables) == ("tests", "", ((table, 0, 0, 2),))
    assert newest.time_us > before.time_us


def test_a_row_written_as_it_is_commits_nothing(stage):
    before = stage.engine.published
    assert commit(stage, small.upsert, HERE[0]) == 1
    assert commit(stage, small.update, {"id": 7}) == 0
    assert stage.engine.published == before


def test_an_error_is_that_of_the_verb_and_leaves_nothing(stage):
    before = stage.engine.published
    with pytest.raises(ConstraintError, match="2"):
        commit(stage, small.insert, [{"id": 9}, {"id": 2}])
    assert stage.engine.published == before


def test_the_first_of_two_that_write_a_key_wins(stage):
    first, second = (prepared(stage, small.update, [{"id": 1, "n": n}]) for n in (5, 6))
    other = prepared(stage, small.update, [{"id": 2, "n": 7}])
    first.submit(None, "")
    with pytest.raises(Overtaken):
        second.submit(None, "")
    other.submit(None, "")
    assert [row["n"] for row in stage.rows("t")] == [5, 7]


def test_a_key_that_has_come_and_gone_again_counts_as_written(stage):
    late = prepared(stage, small.insert, [{"id": 9}])
    commit(stage, small.insert, {"id": 9, "v": "between"})
    commit(stage, small.delete, 9)
    with pytest.raises(Overtaken):
        late.submit(None, "")


@pytest.mark.parametrize(
    "change",
    [
        lambda stage: stage.alter(ddl.rename_column, "t", "v", "w"),
        lambda stage: stage.create("elsewhere", {"id": INT}),
        lambda stage: restore(stage.engine, stage.point()),
        lambda stage: stage.engine.close(),
    ],
    ids=["redefined", "another table made", "restored", "closed"],
)
def test_what_it_rests_on_must_not_change(stage, change):
    late = prepared(stage, small.update, [{"id": 1, "n": 5}])
    change(stage)
    with pytest.raises(Overtaken):
        late.submit(None, "")
    stage.crash()
    assert stage.rows("t")[0]["n"] == 1


def test_what_was_written_meanwhile_and_has_expired_counts_as_any_key(stage):
    late = prepared(stage, small.update, [{"id": 1, "n": 5}])
    commit(stage, small.update, {"id": 1, "n": 6})
    stage.checkpoint()
    stage.compact("t")
    late._reader = None
    assert expire(stage.engine)
    with pytest.raises(Overtaken):
        late.submit(None, "")


def test_it_leaves_to_transactions_what_takes_more(stage):
    stage.create("unique", {"id": INT, "v": INT}, "id", Unique("v"))
    stage.create("parent", {"id": INT})
    stage.create("child", {"id": INT, "parent": INT}, "id", ForeignKey(["parent"], "parent"))
    stage.create("nested", {"id": INT, "v": pa.list_(INT)})
    before = stage.engine.published
    for table in ("unique", "parent", "child", "nested"):
        assert commit(stage, small.insert, {"id": 1}, table) is None
    assert commit(stage, small.insert, pa.table({"id": [9]})) is None
    assert commit(stage, small.insert, {"id": [9, 10]}) is None
    assert commit(stage, small.insert, [{"id": 10 + n} for n in range(101)]) is None
    assert commit(stage, small.delete, pa.table({"id": [1]})) is None
    assert stage.engine.published == before


def test_numbers_are_handed_out_once(stage):
    stage.create("logs", {"line": TEXT}, key="")
    stage.create("people", [Column("id", INT, identity=True), Column("name", TEXT)])
    for n in range(20):
        assert commit(stage, small.insert, {"line": str(n)}, "logs") == 1
        assert commit(stage, small.insert, {"name": str(n)}, "people") == 1
    stage.crash()
    stage.insert("logs", [{"line": "20"}])
    stage.insert("people", [{"name": "20"}])
    assert [row["line"] for row in stage.rows("logs")] == [str(n) for n in range(21)]
    assert [row["name"] for row in stage.rows("people")] == [str(n) for n in range(21)]
    assert intake.few_keys(stage.schema("logs"), 1) is None
