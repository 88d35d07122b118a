"""Definitions change, rows stay, and the past keeps the definitions of its time."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from absdb.catalog.schema import Default
from absdb.engine import ddl, intake, load, writes
from absdb.engine.constraint_definition import Check, ForeignKey, Unique, add_constraint
from absdb.engine.transaction import Transaction
from absdb.errors import (
    AbsdbError,
    AlreadyExistsError,
    ConflictError,
    ConstraintError,
    InvalidInputError,
    NotFoundError,
    StateError,
    WriteConflictError,
)
from absdb.versioning.restore import restore
from tests.engine.stage import Column, Stage, make, rows_in

INT, TEXT = pa.int64(), pa.string()


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


@pytest.fixture
def table(stage: Stage) -> Stage:
    """A table with rows in an image, in a stored run, and in the open buffer."""
    stage.create("t", {"id": INT, "a": INT, "s": TEXT})
    stage.insert("t", [{"id": i, "a": i, "s": str(i)} for i in range(40)])
    stage.checkpoint()
    stage.compact("t")
    stage.insert("t", [{"id": i, "a": i, "s": str(i)} for i in range(40, 50)])
    stage.checkpoint()
    stage.insert("t", [{"id": 50, "a": 50, "s": "50"}])
    return stage


def everywhere(stage: Stage, check: Callable[[], None]) -> None:
    """The check holds now, after a crash, a checkpoint, a compaction and a reopening."""
    for step in (lambda: None, stage.crash, stage.checkpoint, lambda: stage.compact("t"), stage.reopen):
        step()
        check()


# ---------------------------------------------------------------- tables


def test_what_a_table_must_be(stage: Stage) -> None:
    stage.create("t", {"id": INT})
    wrong: list[tuple[dict[str, Any], type[AbsdbError], str]] = [
        ({"table": "t", "columns": {"id": INT}}, AlreadyExistsError, "there is a table 't' already"),
        ({"table": "", "columns": {"id": INT}}, InvalidInputError, "empty"),
        ({"table": "x", "columns": {}}, InvalidInputError, "'x' needs at least one column"),
        (
            {"table": "x", "columns": [Column("a", INT), Column("a", INT)], "key": ""},
            InvalidInputError,
            "'a' twice",
        ),
        ({"table": "x", "columns": {"a": INT}, "key": "b"}, NotFoundError, "key names 'b'"),
        ({"table": "x", "columns": {"a": INT}, "key": ["a", "a"]}, InvalidInputError, "twice in the key"),
        (
            {"table": "x", "columns": [Column("a", INT, generated="1")], "key": "a"},
            InvalidInputError,
            "generated",
        ),
        (
            {"table": "x", "columns": [Column("a", TEXT, identity=True)], "key": ""},
            InvalidInputError,
            "identity",
        ),
        (
            {"table": "x", "columns": [Column("a", INT, default=1, identity=True)], "key": ""},
            InvalidInputError,
            "only one",
        ),
        ({"table": "x", "columns": [Column("a", INT, default="b")], "key": ""}, InvalidInputError, "'b'"),
        ({"table": "x", "columns": [Column("a", INT, generated="b")], "key": ""}, InvalidInputError, "'b'"),
    ]
    with stage.begin() as tx:
        before = dict(tx.catalog.entities)
        for how, error, message in wrong:
            with pytest.raises(error, match=message):
                make(tx, how["table"], how["columns"], how.get("key", "id"))
            assert dict(tx.catalog.entities) == before, how
    assert [t.name for t in stage.engine.history.catalog_at(stage.point().lineage).tables.values()] == ["t"]


def test_create_write_and_drop_in_one_transaction(stage: Stage) -> None:
    with stage.begin() as tx:
        schema = make(tx, "t", {"id": INT})
        intake.insert(tx, schema, [{"id": 1}])
        ddl.drop_table(tx, schema)
        with pytest.raises(NotFoundError):
            tx.catalog.table("t")
        again = make(tx, "t", {"id": INT, "v": TEXT})
        intake.insert(tx, again, [{"id": 1, "v": "x"}])
    assert stage.rows("t") == [{"id": 1, "v": "x"}]
    with stage.begin() as tx:
        schema = make(tx, "u", [Column("id", INT, identity=True)])
        ddl.drop_table(tx, schema)
        assert tx.schema_changes == {}
    assert tx.lsn is None


def test_drop_and_undrop(table: Stage) -> None:
    before = table.rows("t")
    past = table.lsn()
    table.alter(ddl.drop_table, "t")
    with pytest.raises(NotFoundError):
        table.schema("t")
    assert table.rows("t", lsn=past) == before
    with table.begin() as tx:
        ddl.undrop_table(tx, "t")
    everywhere(table, lambda: table.rows("t") == before or pytest.fail("rows differ"))
    table.insert("t", [{"id": 99}])
    with pytest.raises(NotFoundError, match="no table 'x' was dropped here"), table.begin() as tx:
        ddl.undrop_table(tx, "x")
    with pytest.raises(AlreadyExistsError), table.begin() as tx:
        ddl.undrop_table(tx, "t")


def test_undrop_brings_back_the_last_one_dropped(stage: Stage) -> None:
    for value in (1, 2, 3):
        stage.create("t", {"id": INT})
        stage.insert("t", [{"id": value}])
        stage.alter(ddl.drop_table, "t")
    for value in (3, 2, 1):
        with stage.begin() as tx:
            schema = ddl.undrop_table(tx, "t")
            ddl.rename_table(tx, schema, f"t{value}")
    assert [stage.rows(f"t{value}") for value in (1, 2, 3)] == [[{"id": 1}], [{"id": 2}], [{"id": 3}]]
    with pytest.raises(NotFoundError), stage.begin() as tx:
        ddl.undrop_table(tx, "t")


def test_undrop_on_a_branch_and_after_a_restore(stage: Stage) -> None:
    stage.create("t", {"id": INT})
    stage.insert("t", [{"id": 1}])
    early = stage.point()
    stage.insert("t", [{"id": 2}])
    stage.alter(ddl.drop_table, "t")
    stage.branch("b")
    with stage.begin("b") as tx:
        ddl.undrop_table(tx, "t")
    assert stage.rows("t", "b") == [{"id": 1}, {"id": 2}]
    restore(stage.engine, early)
    assert stage.rows("t") == [{"id": 1}]
    stage.alter(ddl.drop_table, "t")
    with stage.begin() as tx:
        ddl.undrop_table(tx, "t")
    assert stage.rows("t") == [{"id": 1}]
    stage.crash()
    assert stage.rows("t") == [{"id": 1}]
    assert stage.rows("t", "b") == [{"id": 1}, {"id": 2}]


def test_what_was_never_here_cannot_be_undropped(stage: Stage) -> None:
    """A table made and dropped on the source after the branch, or in a part of history restored away."""
    stage.create("other", {"id": INT})
    early = stage.point()
    stage.branch("b")
    stage.create("t", {"id": INT})
    stage.alter(ddl.drop_table, "t")
    with pytest.raises(NotFoundError), stage.begin("b") as tx:
        ddl.undrop_table(tx, "t")
    restore(stage.engine, early)
    with pytest.raises(NotFoundError), stage.begin() as tx:
        ddl.undrop_table(tx, "t")


def test_undrop_inside_the_transaction_that_dropped(table: Stage) -> None:
    before = table.rows("t")
    with table.begin() as tx:
        schema = tx.catalog.table("t")
        intake.insert(tx, schema, [{"id": 77}])
        ddl.drop_table(tx, schema)
        assert ddl.undrop_table(tx, "t") is schema
        assert rows_in(tx, "t") == before
    assert tx.lsn is None or table.rows("t") == before


def test_undrop_brings_back_identity_columns(stage: Stage) -> None:
    stage.create("t", [Column("id", INT, identity=True), Column("v", TEXT)])
    stage.insert("t", [{"v": "a"}, {"v": "b"}])
    stage.alter(ddl.drop_table, "t")
    assert not [
        k for k in stage.engine.history.catalog_at(stage.point().lineage).entities if k[0] == "sequence"
    ]
    stage.crash()
    with stage.begin() as tx:
        ddl.undrop_table(tx, "t")
    stage.insert("t", [{"v": "c"}])
    assert [row["id"] for row in stage.rows("t")] == [1, 2, 3]


def test_undrop_checks_foreign_keys(stage: Stage) -> None:
    stage.create("p", {"id": INT})
    stage.create("c", {"id": INT, "p": INT}, "id", ForeignKey("p", "p"))
    stage.insert("p", [{"id": 1}, {"id": 2}])
    stage.insert("c", [{"id": 1, "p": 1}])
    stage.alter(ddl.drop_table, "c")
    stage.delete("p", [1])
    with pytest.raises(ConstraintError, match="no row for p"), stage.begin() as tx:
        ddl.undrop_table(tx, "c")
    stage.alter(ddl.drop_table, "p")
    with pytest.raises(ConstraintError, match="refers to has gone"), stage.begin() as tx:
        ddl.undrop_table(tx, "c")
    with stage.begin() as tx:
        intake.insert(tx, ddl.undrop_table(tx, "p"), [{"id": 1}])
        ddl.undrop_table(tx, "c")
    with pytest.raises(ConstraintError):
        stage.delete("p", [1])


def test_rename_and_move(table: Stage) -> None:
    before, past = table.rows("t"), table.lsn()
    with table.begin() as tx:
        ddl.create_namespace(tx, "sales")
        ddl.rename_table(tx, tx.catalog.table("t"), "orders", "sales")
    assert table.rows("sales.orders") == before
    assert table.rows("t", lsn=past) == before
    with pytest.raises(NotFoundError, match="there is no table 't'"):
        table.schema("t")
    table.create("t", {"id": INT})
    with pytest.raises(AlreadyExistsError), table.begin() as tx:
        ddl.rename_table(tx, tx.catalog.table("sales.orders"), "t", "main")
    with pytest.raises(NotFoundError, match="no schema 'x'"), table.begin() as tx:
        ddl.rename_table(tx, tx.catalog.table("t"), "t", "x")


def test_schemas(stage: Stage) -> None:
    with stage.begin() as tx:
        ddl.create_namespace(tx, "s")
        with pytest.raises(AlreadyExistsError):
            ddl.create_namespace(tx, "s")
        ddl.create_table(tx, "t", [Column("id", INT)], key=["id"], namespace="s")
    with stage.begin() as tx:
        with pytest.raises(StateError, match=r"'s' is not empty: it has s\.t"):
            ddl.drop_namespace(tx, "s")
        with pytest.raises(InvalidInputError):
            ddl.drop_namespace(tx, "main")
        with pytest.raises(NotFoundError):
            ddl.drop_namespace(tx, "z")
        ddl.drop_table(tx, tx.catalog.table("s.t"))
        ddl.drop_namespace(tx, "s")
        with pytest.raises(NotFoundError, match="no schema 's'"):
            ddl.undrop_table(tx, "t", "s")
    with stage.begin() as tx:
        ddl.create_namespace(tx, "s")
        ddl.undrop_table(tx, "t", "s")
    assert stage.rows("s.t") == []


def test_sequences(stage: Stage) -> None:
    with stage.begin() as tx:
        up = ddl.create_sequence(tx, "up", start=10, increment=5)
        down = ddl.create_sequence(tx, "down", start=-1, increment=-1)
        with pytest.raises(AlreadyExistsError):
            ddl.create_sequence(tx, "up")
        with pytest.raises(InvalidInputError, match="increment 0"):
            ddl.create_sequence(tx, "z", increment=0)
        assert list(tx.next_values(up, 3)) == [10, 15, 20]
        assert list(tx.next_values(down, 2)) == [-1, -2]
        make(tx, "t", [Column("id", INT, identity=True)])
    with stage.begin() as tx:
        assert list(tx.next_values(up, 1)) == [25]
        ddl.drop_sequence(tx, "up")
        with pytest.raises(NotFoundError, match="no sequence 'up'"):
            ddl.drop_sequence(tx, "up")
        make(tx, "u", [Column("id", INT), Column("n", INT, sequence=down)])
        with pytest.raises(StateError, match="numbers a column of table 'u'"):
            ddl.drop_sequence(tx, "down")
        ddl.drop_table(tx, tx.catalog.table("u"))
        ddl.drop_sequence(tx, "down")


def test_a_sequence_with_a_name_outlives_the_tables_it_serves(stage: Stage) -> None:
    with stage.begin() as tx:
        numbers = ddl.create_sequence(tx, "numbers")
    for name in ("t", "u"):
        stage.create(name, [Column("id", INT), Column("n", INT, sequence=numbers)])
        stage.insert(name, [{"id": 1}, {"id": 2}])
    assert [row["n"] for row in stage.rows("u")] == [3, 4]
    stage.alter(ddl.drop_table, "t")
    stage.alter(ddl.drop_column, "u", "n")
    with stage.begin() as tx:
        assert list(tx.next_values(numbers, 1)) == [5]
        ddl.drop_sequence(tx, "numbers")
        ddl.undrop_table(tx, "t")
    stage.insert("t", [{"id": 3}])
    assert [row["n"] for row in stage.rows("t")] == [1, 2, 6]


def test_a_sequence_stays_within_its_bounds(stage: Stage) -> None:
    with stage.begin() as tx:
        up = ddl.create_sequence(tx, "up", start=8, maximum=10)
        down = ddl.create_sequence(tx, "down", start=2, increment=-2, minimum=-1)
        assert list(tx.next_values(up, 3)) == [8, 9, 10]
        assert list(tx.next_values(down, 2)) == [2, 0]
        for sequence in (up, down):
            with pytest.raises(ConstraintError, match="has come to its end"):
                tx.next_values(sequence, 1)


def test_views_and_macros_are_in_schemas_and_have_names_of_their_own(stage: Stage) -> None:
    def view(tx: Transaction, namespace: str, name: str) -> None:
        number = tx.engine.allocator.new_id()
        entity = {"id": number, "namespace": namespace, "name": name, "query": "SELECT 1", "columns": []}
        tx.change_schema({("view", number): entity})

    with stage.begin() as tx:
        ddl.create_namespace(tx, "s")
        view(tx, "s", "v")
    with stage.begin() as tx, pytest.raises(StateError, match=r"s\.v"):
        ddl.drop_namespace(tx, "s")
    first, second = stage.begin(), stage.begin()
    view(first, "main", "w")
    view(second, "main", "w")
    first.commit()
    with pytest.raises(WriteConflictError):
        second.commit()


# ---------------------------------------------------------------- add and drop columns


def test_add_column_with_constant_default(table: Stage) -> None:
    before, past = table.rows("t"), table.lsn()
    table.alter(ddl.add_column, "t", Column("n", INT, default=7, nullable=False), position=1)
    assert table.schema("t").arrow_schema.names == ["id", "n", "a", "s"]

    def check() -> None:
        assert table.rows("t", lsn=past) == before
        assert [row["n"] for row in table.rows("t")] == [7] * 51

    check()
    table.alter(ddl.alter_column, "t", "n", default=Default("value", 8))
    table.crash()
    check()
    table.insert("t", [{"id": 51}])
    table.update("t", [{"id": 3, "a": 0}])
    assert [row["n"] for row in table.rows("t")] == [7] * 51 + [8]
    table.delete("t", [51])
    everywhere(table, check)


def test_adding_a_constant_column_writes_no_rows(table: Stage) -> None:
    with table.begin() as tx:
        ddl.add_column(tx, tx.catalog.table("t"), Column("n", INT, default=7))
        ddl.drop_column(tx, tx.catalog.table("t"), "a")
        ddl.rename_column(tx, tx.catalog.table("t"), "s", "z")
        ddl.reorder_columns(tx, tx.catalog.table("t"), ["z"])
        assert tx.writes == {}
    assert table.rows("t")[5] == {"z": "5", "id": 5, "n": 7}


def test_not_null_needs_a_default_where_there_are_rows(table: Stage) -> None:
    with pytest.raises(ConstraintError, match="'n' is NOT NULL and has no default, but table 't' has rows"):
        table.alter(ddl.add_column, "t", Column("n", INT, nullable=False))
    table.create("e", {"id": INT})
    table.alter(ddl.add_column, "e", Column("n", INT, nullable=False))
    with pytest.raises(ConstraintError, match="'n' must not be NULL"):
        table.insert("e", [{"id": 1}])


def test_add_computed_columns(table: Stage) -> None:
    before, past = table.rows("t"), table.lsn()
    table.alter(ddl.add_column, "t", Column("r", pa.float64(), default_sql="random()"))
    table.alter(ddl.add_column, "t", Column("g", INT, generated="a * 2"), position=0)
    table.alter(ddl.add_column, "t", Column("n", pa.int32(), identity=True))
    kept = [row["r"] for row in table.rows("t")]
    assert len(set(kept)) == 51

    def check() -> None:
        rows = table.rows("t")
        assert [row["g"] for row in rows] == [2 * i for i in range(51)]
        assert [row["n"] for row in rows] == list(range(1, 52))
        assert [row["r"] for row in rows] == kept
        assert table.rows("t", lsn=past) == before

    everywhere(table, check)
    table.insert("t", [{"id": 100, "a": 5}])
    assert table.rows("t")[-1]["n"] == 52


def test_add_computed_column_to_a_table_without_key(stage: Stage) -> None:
    stage.create("t", {"v": INT}, "")
    stage.insert("t", [{"v": i} for i in range(70)])
    stage.alter(ddl.add_column, "t", Column("w", INT, generated="v + 1"))
    assert stage.rows("t") == [{"v": i, "w": i + 1} for i in range(70)]
    stage.insert("t", [{"v": 5}])
    assert stage.reader("t").count() == 71


def test_wrong_columns_to_add(table: Stage) -> None:
    for definition, error, message in [
        (Column("a", INT), AlreadyExistsError, "'a' already"),
        (Column("x", INT, generated="nope + 1"), InvalidInputError, "'nope'"),
        (Column("x", INT, default_sql="a + 1"), InvalidInputError, "reads no columns"),
        (Column("x", pa.int8(), generated="a * 100"), AbsdbError, "does not give int8"),
        (Column("x", INT, generated="a", nullable=False), ConstraintError, "must not be NULL"),
    ]:
        table.update("t", [{"id": 0, "a": None}])
        with pytest.raises(error, match=message):
            table.alter(ddl.add_column, "t", definition)
    for position in (-1, 4):
        with pytest.raises(InvalidInputError, match="expected 0 to 3"):
            table.alter(ddl.add_column, "t", Column("x", INT), position=position)
    assert table.schema("t").arrow_schema.names == ["id", "a", "s"]
    table.alter(ddl.add_column, "t", Column("g", INT, generated="a + 1"))
    with pytest.raises(InvalidInputError, match="'g', which is generated itself"):
        table.alter(ddl.add_column, "t", Column("h", INT, generated="g + 1"))


def test_drop_column_and_what_hinders_it(table: Stage) -> None:
    before, past = table.rows("t"), table.lsn()
    with pytest.raises(InvalidInputError, match="belongs to the key"):
        table.alter(ddl.drop_column, "t", "id")
    with pytest.raises(NotFoundError, match=r"no column 'x'"):
        table.alter(ddl.drop_column, "t", "x")
    table.alter(ddl.drop_column, "t", "a")
    table.alter(ddl.add_column, "t", Column("a", TEXT, default="new"))
    table.insert("t", [{"id": 60, "s": "x"}])

    def check() -> None:
        assert {row["a"] for row in table.rows("t")} == {"new"}
        assert table.rows("t", lsn=past) == before

    everywhere(table, check)
    table.create("one", {"v": INT}, "")
    with pytest.raises(InvalidInputError, match="the only one"):
        table.alter(ddl.drop_column, "one", "v")


def test_constraints_hinder_changes_of_their_columns(stage: Stage) -> None:
    stage.create("p", {"id": INT, "code": TEXT, "x": INT}, "id", Unique("code"), Check("x > 0"))
    stage.create("c", {"id": INT, "code": TEXT, "g": INT}, "id", ForeignKey("code", "p", "code"))
    stage.alter(ddl.add_column, "p", Column("y", INT, generated="x + 1"))
    for name, column in (("p", "code"), ("c", "code"), ("p", "x")):
        with pytest.raises(ConstraintError, match=r"needs it|reads it"):
            stage.alter(ddl.drop_column, name, column)
    with pytest.raises(ConstraintError, match="reads it"):
        stage.alter(ddl.rename_column, "p", "x", "z")
    stage.alter(ddl.rename_column, "p", "code", "kode")
    for name, column in (("p", "kode"), ("c", "code")):
        with pytest.raises(ConstraintError, match="needs it"):
            stage.alter(ddl.retype_column, name, column, pa.large_string())


# ---------------------------------------------------------------- rename, reorder, alter


def test_rename_column(table: Stage) -> None:
    before, past = table.rows("t"), table.lsn()
    table.alter(ddl.rename_column, "t", "a", "b")
    table.alter(ddl.rename_column, "t", "id", "key")
    with pytest.raises(AlreadyExistsError):
        table.alter(ddl.rename_column, "t", "b", "s")
    table.upsert("t", [{"key": 3, "b": -3}])

    def check() -> None:
        assert table.rows("t")[3] == {"key": 3, "b": -3, "s": "3"}
        assert table.rows("t", lsn=past) == before

    everywhere(table, check)


def test_reorder_columns(table: Stage) -> None:
    table.alter(ddl.reorder_columns, "t", ["s", "id"])
    assert table.read("t").column_names == ["s", "id", "a"]
    with pytest.raises(InvalidInputError, match="the new order names 's' twice"):
        table.alter(ddl.reorder_columns, "t", ["s", "s"])
    with pytest.raises(NotFoundError):
        table.alter(ddl.reorder_columns, "t", ["x"])


def test_alter_column(table: Stage) -> None:
    table.alter(ddl.alter_column, "t", "a", nullable=False, comment="how many")
    assert table.schema("t").column("a").comment == "how many"
    with pytest.raises(ConstraintError, match="must not be NULL"):
        table.update("t", [{"id": 1, "a": None}])
    table.alter(ddl.alter_column, "t", "a", nullable=True)
    table.update("t", [{"id": 1, "a": None}])
    with pytest.raises(ConstraintError, match="'a' of table 't' has NULLs"):
        table.alter(ddl.alter_column, "t", "a", nullable=False)
    with pytest.raises(InvalidInputError, match="key"):
        table.alter(ddl.alter_column, "t", "id", nullable=True)
    with pytest.raises(InvalidInputError, match="reads no columns"):
        table.alter(ddl.alter_column, "t", "a", default=Default("expression", "id + 1"))
    table.alter(ddl.alter_column, "t", "a", default=Default("expression", "40 + 2"))
    table.insert("t", [{"id": 60}])
    table.alter(ddl.alter_column, "t", "a", default=None)
    table.insert("t", [{"id": 61}])
    assert [row["a"] for row in table.rows("t")[-2:]] == [42, None]


# ---------------------------------------------------------------- types


def test_widening_costs_nothing(table: Stage) -> None:
    table.create("w", {"id": INT, "n": pa.int8()})
    table.insert("w", [{"id": 1, "n": 5}])
    with table.begin() as tx:
        ddl.retype_column(tx, tx.catalog.table("w"), "n", pa.int32())
        assert tx.writes == {}
    table.insert("w", [{"id": 2, "n": 70000}])
    assert table.rows("w") == [{"id": 1, "n": 5}, {"id": 2, "n": 70000}]


@pytest.mark.parametrize("threshold", [1, 1 << 20])
def test_retype_rewrites_and_keeps_the_past(threshold: int) -> None:
    stage = Stage(bulk_threshold=threshold)
    stage.create(
        "t", [Column("id", INT), Column("a", TEXT, default="0"), Column("g", TEXT, generated="a || '!'")]
    )
    stage.insert("t", [{"id": i, "a": str(i)} for i in range(200)])
    stage.checkpoint()
    before, past = stage.rows("t"), stage.lsn()
    old = stage.schema("t").column("a")
    stage.alter(ddl.retype_column, "t", "a", INT)
    new = stage.schema("t").column("a")
    assert new.id != old.id
    assert new.replaces == old.id
    assert new.default == Default("value", 0)

    def check() -> None:
        assert stage.rows("t") == [{"id": i, "a": i, "g": f"{i}!"} for i in range(200)]
        assert stage.rows("t", lsn=past) == before

    everywhere(stage, check)
    stage.insert("t", [{"id": 500}])
    assert stage.rows("t")[-1] == {"id": 500, "a": 0, "g": "0!"}
    stage.close()


@pytest.mark.parametrize("threshold", [1, 1 << 20])
def test_values_that_do_not_fit_change_nothing(threshold: int) -> None:
    stage = Stage(bulk_threshold=threshold)
    stage.create("t", {"id": INT, "a": TEXT, "n": INT})
    stage.insert("t", [{"id": i, "a": str(i) if i != 150 else "x", "n": i * 2} for i in range(200)])
    before = stage.read("t")
    with stage.begin() as tx:
        schema = tx.catalog.table("t")
        with pytest.raises(ConstraintError, match=r"column 'a' cannot become int64: .*x.*") as caught:
            ddl.retype_column(tx, schema, "a", INT)
        assert "using=" in caught.value.hint
        with pytest.raises(ConstraintError, match="cannot become int8"):
            ddl.retype_column(tx, schema, "n", pa.int8())
        assert tx.catalog.table("t") is schema
        assert tx.net_changes() == []
        changed = ddl.retype_column(tx, schema, "a", INT, using="try_cast(a AS BIGINT)")
        changed = ddl.retype_column(tx, changed, "n", pa.int8(), using="n % 100")
        with pytest.raises(InvalidInputError, match="'nope'"):
            ddl.retype_column(tx, changed, "n", pa.int8(), using="nope")
    rows = stage.rows("t")
    assert rows[150] == {"id": 150, "a": None, "n": 0}
    assert rows[199] == {"id": 199, "a": 199, "n": 98}
    assert stage.read("t", lsn=stage.lsn() - 1).equals(before)
    assert stage.engine.bulk.in_flight() == set()
    stage.close()


def test_retype_and_constraints(stage: Stage) -> None:
    stage.create("t", {"id": INT, "a": TEXT, "n": pa.int32()}, "id", Unique("a"), Check("n > 0"))
    stage.insert("t", [{"id": 1, "a": "1", "n": 1}, {"id": 2, "a": "01", "n": 2}])
    with pytest.raises(ConstraintError, match="have the same a"):
        stage.alter(ddl.retype_column, "t", "a", INT)
    stage.delete("t", [2])
    stage.alter(ddl.retype_column, "t", "a", INT)
    with pytest.raises(ConstraintError, match="same a"):
        stage.insert("t", [{"id": 3, "a": 1, "n": 1}])
    with pytest.raises(ConstraintError, match="n > 0"):
        stage.alter(ddl.retype_column, "t", "n", pa.int64(), using="n - 1")
    stage.alter(ddl.retype_column, "t", "n", pa.int64())
    assert stage.rows("t") == [{"id": 1, "a": 1, "n": 1}]


def test_retype_what_cannot_change(stage: Stage) -> None:
    stage.create("t", [Column("id", INT), Column("n", INT, identity=True), Column("v", INT, default=5)])
    for column, kind, message in [
        ("id", pa.int32(), "belongs to the key"),
        ("id", TEXT, "belongs to the key"),
        ("n", TEXT, "identity column 'n'"),
    ]:
        with pytest.raises(InvalidInputError, match=message):
            stage.alter(ddl.retype_column, "t", column, kind)
    stage.alter(ddl.alter_column, "t", "v", default=Default("value", 1000))
    with pytest.raises(InvalidInputError, match="default of column 'v' is no int8"):
        stage.alter(ddl.retype_column, "t", "v", pa.int8())
    same = stage.schema("t")
    assert stage.alter(ddl.retype_column, "t", "v", INT) is same


def test_retype_of_a_widened_default(stage: Stage) -> None:
    stage.create("t", {"id": INT})
    stage.insert("t", [{"id": 1}])
    stage.alter(ddl.add_column, "t", Column("d", pa.date32(), default=dt.date(2026, 1, 2)))
    stage.alter(ddl.retype_column, "t", "d", pa.timestamp("us"))
    stage.insert("t", [{"id": 2}])
    everywhere(
        stage, lambda: [r["d"] for r in stage.rows("t")] == [dt.datetime(2026, 1, 2)] * 2 or pytest.fail("d")
    )


def test_types_that_differ_for_users_only(stage: Stage) -> None:
    """Text as categories, bytes as UUIDs: the pages hold the same."""
    stage.create("t", {"id": INT, "s": TEXT, "b": pa.binary(16)})
    stage.insert("t", [{"id": 1, "s": "a", "b": b"0" * 16}])
    with stage.begin() as tx:
        schema = ddl.retype_column(tx, tx.catalog.table("t"), "s", pa.dictionary(pa.int32(), TEXT))
        ddl.retype_column(tx, schema, "b", pa.uuid())
        assert tx.writes == {}
    found = stage.read("t")
    assert found.schema.types[1:] == [pa.dictionary(pa.int32(), TEXT), pa.uuid()]


def test_a_large_rewrite_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(page_rows=100, bulk_threshold=4096)
    stage.create("t", {"id": INT, "a": TEXT})
    stage.insert("t", pa.table({"id": range(5000), "a": [str(i) for i in range(5000)]}))
    stage.checkpoint()
    stage.compact("t")
    batches: list[int] = []
    plain = writes.Given
    monkeypatch.setattr(
        "absdb.engine.rewrite.Given", lambda rows, columns: batches.append(rows) or plain(rows, columns)
    )
    with stage.begin() as tx:
        ddl.retype_column(tx, tx.catalog.table("t"), "a", INT)
        (change,) = tx.net_changes()
        assert change.pages is not None
    assert max(batches) <= 100
    assert stage.read("t")["a"].to_pylist() == list(range(5000))
    stage.crash()
    assert stage.read("t")["a"].to_pylist() == list(range(5000))
    stage.close()


# ---------------------------------------------------------------- definitions and rows in one transaction


def test_definitions_and_rows_mixed(table: Stage) -> None:
    past, before = table.lsn(), table.rows("t")
    with table.begin() as tx:
        schema = tx.catalog.table("t")
        intake.update(tx, schema, [{"id": 1, "a": -1}])
        schema = ddl.add_column(tx, schema, Column("n", INT, default=9))
        intake.update(tx, schema, [{"id": 2, "n": 2}])
        schema = ddl.rename_column(tx, schema, "a", "b")
        load.upsert(tx, schema, pa.table({"id": [3, 60], "b": [-3, -60]}).to_batches())
        schema = ddl.drop_column(tx, schema, "s")
        intake.delete(tx, schema, [4])
        schema = ddl.retype_column(tx, schema, "b", TEXT)
        intake.update(tx, schema, [{"id": 5, "b": "five"}])
        seen = rows_in(tx, "t")
    expected = [{"id": i, "b": str(i), "n": 9} for i in range(51) if i != 4]
    expected[1]["b"], expected[2]["n"], expected[3]["b"], expected[4]["b"] = "-1", 2, "-3", "five"
    expected.append({"id": 60, "b": "-60", "n": 9})
    assert seen == expected

    def check() -> None:
        assert table.rows("t") == expected
        assert table.rows("t", lsn=past) == before

    everywhere(table, check)


def test_savepoints_take_definitions_back(table: Stage) -> None:
    before = table.rows("t")
    with table.begin() as tx:
        schema = tx.catalog.table("t")
        intake.insert(tx, schema, [{"id": 60}])
        tx.savepoint("a")
        changed = ddl.add_column(tx, schema, Column("n", INT, default=1))
        intake.insert(tx, changed, [{"id": 61}])
        tx.savepoint("b")
        ddl.drop_table(tx, changed)
        make(tx, "t", {"id": INT})
        intake.insert(tx, tx.catalog.table("t"), [{"id": 1}])
        tx.rollback_to("b")
        assert rows_in(tx, "t")[-1] == {"id": 61, "a": None, "s": None, "n": 1}
        tx.rollback_to("a")
        assert tx.catalog.table("t") is schema
        assert rows_in(tx, "t") == [*before, {"id": 60, "a": None, "s": None}]
        intake.update(tx, schema, [{"id": 60, "a": 6}])
    assert table.rows("t")[-1] == {"id": 60, "a": 6, "s": None}


def test_rollback_leaves_no_definitions(table: Stage) -> None:
    tx = table.begin()
    ddl.drop_table(tx, tx.catalog.table("t"))
    make(tx, "t", {"x": INT}, "x")
    tx.rollback()
    assert table.schema("t").arrow_schema.names == ["id", "a", "s"]


def test_befores_are_of_the_definition_they_are_used_with(stage: Stage) -> None:
    """A row looked up before a column came has no value of it."""
    stage.create("t", {"id": INT, "v": TEXT})
    stage.insert("t", [{"id": 1, "v": "a"}])
    with stage.begin() as tx:
        schema = tx.catalog.table("t")
        intake.update(tx, schema, [{"id": 1, "v": "b"}])
        tx.savepoint("s")
        tx.rollback_to("s")
        intake.update(tx, schema, [{"id": 2, "v": "b"}])
        changed = ddl.add_column(tx, schema, Column("n", INT, default=5))
        intake.update(tx, changed, [{"id": 1, "n": 6}])
    stage.crash()
    assert stage.rows("t") == [{"id": 1, "v": "b", "n": 6}]


# ---------------------------------------------------------------- side by side


def both(stage: Stage, first: Callable[[Any], None], second: Callable[[Any], None]) -> AbsdbError | None:
    """Two transactions on one snapshot, committed in order; what the second one got."""
    one, two = stage.begin(), stage.begin()
    first(one)
    second(two)
    one.commit()
    try:
        two.commit()
    except ConflictError as error:
        return error
    return None


def test_two_create_the_same_table(stage: Stage) -> None:
    error = both(stage, lambda tx: make(tx, "t", {"a": INT}, "a"), lambda tx: make(tx, "t", {"b": INT}, "b"))
    assert isinstance(error, WriteConflictError)
    assert "table 't' was created" in error.message
    assert stage.schema("t").arrow_schema.names == ["a"]


def test_rows_against_a_new_definition(table: Stage) -> None:
    error = both(
        table,
        lambda tx: ddl.rename_column(tx, tx.catalog.table("t"), "a", "b"),
        lambda tx: intake.insert(tx, tx.catalog.table("t"), [{"id": 70}]),
    )
    assert "definition of table 't' changed" in str(error)
    error = both(
        table,
        lambda tx: ddl.drop_table(tx, tx.catalog.table("t")),
        lambda tx: intake.insert(tx, tx.catalog.table("t"), [{"id": 70}]),
    )
    assert "definition of table 't' was dropped" in str(error)


@pytest.mark.parametrize(
    ("change", "conflicts"),
    [
        (lambda tx, t: ddl.add_column(tx, t, Column("n", INT, default=5)), False),
        (lambda tx, t: ddl.drop_column(tx, t, "s"), False),
        (lambda tx, t: ddl.rename_column(tx, t, "a", "b"), False),
        (lambda tx, t: ddl.add_column(tx, t, Column("n", INT, generated="a + 1")), True),
        (lambda tx, t: ddl.add_column(tx, t, Column("n", INT, identity=True)), True),
        (lambda tx, t: ddl.alter_column(tx, t, "a", nullable=False), True),
        (lambda tx, t: ddl.retype_column(tx, t, "a", TEXT), True),
        (lambda tx, t: add_constraint(tx, t, Unique("a")), True),
        (lambda tx, t: add_constraint(tx, t, Check("a >= 0")), True),
    ],
)
def test_a_new_definition_against_rows(table: Stage, change: Any, conflicts: bool) -> None:
    error = both(
        table,
        lambda tx: intake.insert(tx, tx.catalog.table("t"), [{"id": 70, "a": 70, "s": "x"}]),
        lambda tx: change(tx, tx.catalog.table("t")),
    )
    assert (error is not None) == conflicts
    rows = table.rows("t")
    assert rows[-1]["id"] == 70
    if not conflicts:
        assert rows[-1].get("n", 5) == 5
    table.crash()
    assert table.rows("t") == rows


def test_references_that_lead_nowhere(stage: Stage) -> None:
    def reset() -> None:
        for name in ("c", "p"):
            if name in [
                t.name for t in stage.engine.history.catalog_at(stage.point().lineage).tables.values()
            ]:
                stage.alter(ddl.drop_table, name)
        stage.create("p", {"id": INT, "code": TEXT}, "id", Unique("code"))
        stage.create("c", {"id": INT, "p": INT, "code": TEXT})

    def refer(tx: Any) -> None:
        add_constraint(tx, tx.catalog.table("c"), ForeignKey("code", "p", "code"))

    for other in (
        lambda tx: ddl.drop_table(tx, tx.catalog.table("p")),
        lambda tx: ddl.drop_constraint(tx, tx.catalog.table("p"), "p_code_unique"),
        lambda tx: ddl.retype_column(tx, tx.catalog.table("p"), "code", INT),
    ):
        reset()
        assert both(stage, other, refer) is not None
        reset()
        assert both(stage, refer, other) is not None


def test_a_schema_dropped_while_a_table_comes(stage: Stage) -> None:
    with stage.begin() as tx:
        ddl.create_namespace(tx, "s")
    error = both(
        stage,
        lambda tx: ddl.drop_namespace(tx, "s"),
        lambda tx: ddl.create_table(tx, "t", [Column("id", INT)], key=["id"], namespace="s"),
    )
    assert "schema of table 's.t'" in str(error)


def test_two_sequences_of_one_name(stage: Stage) -> None:
    assert (
        both(stage, lambda tx: ddl.create_sequence(tx, "q"), lambda tx: ddl.create_sequence(tx, "q"))
        is not None
    )


def test_definitions_change_while_rows_pour_in(stage: Stage) -> None:
    """Every accepted row is there under the last definition, and conflicts are the only errors."""
    stage.create("t", {"id": INT, "a": pa.int32()})
    written: list[int] = []
    errors: list[Exception] = []

    def write(worker: int) -> None:
        for at in range(1, 120):
            key = worker * 100_000 + at
            try:
                with stage.begin() as tx:
                    intake.insert(tx, tx.catalog.table("t"), [{"id": key, "a": at}])
                written.append(key)
            except ConflictError:
                pass
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    changes: list[Callable[[Any], Any]] = [
        lambda tx: ddl.add_column(tx, tx.catalog.table("t"), Column("g", INT, generated="a * 2")),
        lambda tx: ddl.alter_column(tx, tx.catalog.table("t"), "a", nullable=False),
        lambda tx: add_constraint(tx, tx.catalog.table("t"), Unique("id", "a")),
        lambda tx: ddl.retype_column(tx, tx.catalog.table("t"), "a", pa.decimal128(12, 2)),
    ]
    for change in changes:
        while True:  # the writers come to an end
            try:
                with stage.begin() as tx:
                    change(tx)
                break
            except ConflictError:
                continue
    for thread in threads:
        thread.join()
    assert errors == []
    rows = stage.rows("t")
    assert [row["id"] for row in rows] == sorted(written)
    for row in rows:
        assert row == {"id": row["id"], "a": Decimal(row["id"] % 100_000), "g": 2 * (row["id"] % 100_000)}
    stage.crash()
    assert stage.rows("t") == rows
