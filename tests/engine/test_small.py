"""A few dicts: the results of engine/writes.py, without Arrow."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

import pyarrow as pa
import pytest

from absdb.engine import ddl, intake, small
from absdb.engine.constraint_definition import Check
from absdb.errors import ConstraintError, InvalidInputError, SchemaMismatchError
from absdb.pages.section import UPSERT
from tests.engine.stage import Column, Stage, rows_in

INT, TEXT = pa.int64(), pa.string()


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def test_which_tables_take_the_short_way(stage: Stage) -> None:
    stage.create("plain", {"id": INT, "v": TEXT})
    stage.create("nested", {"id": INT, "v": pa.list_(INT)})
    stage.create("checked", {"id": INT}, "id", Check("id > 0"))
    stage.create("generated", [Column("id", INT), Column("v", INT, generated="id + 1")])
    stage.create("computed", [Column("id", INT), Column("v", INT, default_sql="1 + 1")])
    row = [{"id": 1}]
    short = {name: small.is_small(stage.schema(name), row) for name in ("plain", "nested", "checked")}
    assert short == {"plain": True, "nested": False, "checked": False}
    assert not small.is_small(stage.schema("generated"), row)
    assert not small.is_small(stage.schema("computed"), row)
    assert not small.is_small(stage.schema("plain"), row * 101)


def test_a_commit_of_a_few_dicts_makes_no_arrow(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.create("t", {"id": INT, "v": TEXT})
    with stage.begin() as tx:
        monkeypatch.setattr("absdb.engine.buffer.rows_to_batch", None)
        monkeypatch.setattr("absdb.engine.netchange.merge_runs", None)
        schema = tx.catalog.table("t")
        small.insert(tx, schema, [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}])
        small.upsert(tx, schema, [{"id": 2, "v": "c"}])
        small.delete(tx, schema, [{"id": 1}])
        (change,) = tx.net_changes()
        assert [(item.key, item.row, item.before) for item in change.rows or []] == [(2, (2, "c"), None)]
    monkeypatch.undo()
    assert stage.rows("t") == [{"id": 2, "v": "c"}]


def test_the_rows_of_one_verb_need_no_cover_until_somebody_reads_them(stage: Stage) -> None:
    stage.create("t", {"id": INT, "v": TEXT})
    stage.insert("t", [{"id": 1, "v": "a"}])
    with stage.begin() as tx:
        schema = tx.catalog.table("t")
        small.update(tx, schema, [{"id": 1, "v": "b"}])
        writes = tx.writes[schema.id]
        assert writes.pending == {1: ((1, "b"), UPSERT)}
        tx.savepoint("here")
        assert writes.pending is None
        small.upsert(tx, schema, [{"id": 1, "v": "c"}, {"id": 2, "v": "d"}])
        assert tx.reader(schema).row(2) == (2, "d")
        tx.rollback_to("here")
        assert [tx.reader(schema).row(key) for key in (1, 2)] == [(1, "b"), None]
    assert stage.rows("t") == [{"id": 1, "v": "b"}]


def test_rows_that_wait_are_those_of_the_definition_they_were_written_under(stage: Stage) -> None:
    stage.create("t", {"id": INT, "v": TEXT})
    with stage.begin() as tx:
        small.insert(tx, tx.catalog.table("t"), [{"id": 1, "v": "a"}])
        ddl.add_column(tx, tx.catalog.table("t"), Column("w", INT, default=7))
        small.insert(tx, tx.catalog.table("t"), [{"id": 2, "v": "b", "w": 8}])
    with stage.begin() as tx:
        small.insert(tx, tx.catalog.table("t"), [{"id": 3, "v": "c", "w": 9}])
        ddl.drop_column(tx, tx.catalog.table("t"), "v")
    wanted = [{"id": 1, "w": 7}, {"id": 2, "w": 8}, {"id": 3, "w": 9}]
    assert stage.rows("t") == wanted
    stage.crash()
    assert stage.rows("t") == wanted


def test_before_images_of_many_rows_are_looked_up_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.create("t", {"id": INT, "v": TEXT})
    stage.insert("t", [{"id": i, "v": "a"} for i in range(20)])
    looked: list[int] = []
    plain = intake.small._rows_there
    monkeypatch.setattr(
        "absdb.engine.small._rows_there", lambda tx, s, keys: looked.extend(keys) or plain(tx, s, keys)
    )
    with stage.begin() as tx:
        intake.update(tx, tx.catalog.table("t"), [{"id": i, "v": "b"} for i in range(20)])
        assert set(tx.writes[tx.catalog.table("t").id].befores) == set(range(20))
        (change,) = tx.net_changes()
    assert looked == list(range(20))
    assert [item.before for item in change.rows or []] == [(i, "a") for i in range(20)]


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        (INT, "1", "does not fit int64"),
        (INT, 1.0, "does not fit int64"),
        (INT, True, "does not fit int64"),
        (pa.int8(), 128, "-128 to 127"),
        (TEXT, 5, "does not fit string"),
        (pa.decimal128(5, 2), Decimal("1.234"), "decimal places"),
        (pa.date32(), dt.datetime(2026, 1, 1, 5), "more than a date"),
        (pa.timestamp("us"), dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "time zone"),
        (pa.bool_(), 1, "does not fit bool"),
    ],
)
def test_values_that_do_not_fit(stage: Stage, kind: pa.DataType, value: object, why: str) -> None:
    stage.create("t", {"id": INT, "v": kind})
    with stage.begin() as tx:
        with pytest.raises(SchemaMismatchError, match=rf"column 'v': .*{why}"):
            intake.insert(tx, tx.catalog.table("t"), [{"id": 1, "v": None}, {"id": 2, "v": value}])
        assert rows_in(tx, "t") == []


def test_messages(stage: Stage) -> None:
    stage.create("t", [Column("id", INT), Column("v", TEXT, nullable=False)])
    with stage.begin() as tx:
        schema = tx.catalog.table("t")
        with pytest.raises(ConstraintError, match="'v' must not be NULL in the row with key 5"):
            intake.insert(tx, schema, [{"id": 5}])
        with pytest.raises(InvalidInputError, match="the rows have no 'id'"):
            intake.upsert(tx, schema, [{"v": "a"}])
        with pytest.raises(ConstraintError, match="key column 'id' is NULL in a row"):
            intake.upsert(tx, schema, [{"id": None, "v": "a"}])
        with pytest.raises(ConstraintError, match="key 1 is more than once"):
            intake.upsert(tx, schema, [{"id": 1, "v": "a"}, {"id": 1, "v": "b"}])
        assert tx.net_changes() == []
