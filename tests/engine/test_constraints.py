"""Constraints hold after every commit: alone, inside one transaction, and side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from absdb.catalog.schema import Unique as UniqueById
from absdb.engine import ddl, intake, load, small, writes
from absdb.engine.constraint_definition import Check, ForeignKey, Unique, add_constraint
from absdb.errors import ConflictError, ConstraintError, InvalidInputError, QueryError, SchemaMismatchError
from tests.engine.stage import Column, Stage, make, rows_in

INT, TEXT = pa.int64(), pa.string()


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def table(**columns: list[Any]) -> pa.Table:
    return pa.table(columns)


# ---------------------------------------------------------------- forms: the same rows in three shapes

FORMS = ["rows", "batch", "bulk"]


def write(tx: Any, name: str, rows: list[dict[str, Any]], form: str, verb: str = "upsert") -> None:
    """The same change as plain tuples, as one Arrow batch, or by way of page files."""
    schema = tx.catalog.table(name)
    names = list(rows[0]) if rows else list(schema.by_name)
    if form == "rows":
        getattr(small, verb)(tx, schema, rows)
        return
    types = {n: schema.column(n).type for n in names}
    frame = pa.table({n: pa.array([row[n] for row in rows], types[n]) for n in names})
    if form == "batch":
        getattr(writes, verb)(tx, schema, frame)
    elif verb == "insert":
        load.load(tx, schema, frame.to_batches(max_chunksize=2))
    else:
        getattr(load, verb)(tx, schema, frame.to_batches(max_chunksize=2))


forms = pytest.mark.parametrize("form", FORMS)
form_pairs = pytest.mark.parametrize(("first", "second"), [(a, b) for a in FORMS for b in FORMS])


# ---------------------------------------------------------------- PRIMARY KEY and NOT NULL


@forms
def test_a_key_is_there_once(stage: Stage, form: str) -> None:
    stage.create("t", {"id": INT, "v": TEXT})
    stage.insert("t", [{"id": 1, "v": "a"}])
    with stage.begin() as tx:
        with pytest.raises(ConstraintError, match=r"'t': key 1 is already in the table") as caught:
            write(tx, "t", [{"id": 2, "v": "b"}, {"id": 1, "v": "c"}], form, "insert")
        assert caught.value.keys == [(1,)]
        with pytest.raises(ConstraintError, match=r"key 5 is more than once"):
            write(tx, "t", [{"id": 5, "v": "b"}, {"id": 6, "v": "b"}, {"id": 5, "v": "c"}], form, "insert")
    assert stage.rows("t") == [{"id": 1, "v": "a"}]
    assert stage.engine.bulk.in_flight() == set()


@forms
def test_a_key_is_never_null(stage: Stage, form: str) -> None:
    stage.create("t", {"id": INT, "v": TEXT})
    for verb in ("insert", "upsert", "update"):
        with stage.begin() as tx, pytest.raises(ConstraintError, match=r"'id'.*NULL"):
            write(tx, "t", [{"id": None, "v": "x"}], form, verb)
    assert stage.rows("t") == []


@forms
def test_not_null_names_column_and_rows(stage: Stage, form: str) -> None:
    stage.create("t", [Column("id", INT), Column("v", TEXT, nullable=False)])
    with stage.begin() as tx:
        with pytest.raises(ConstraintError, match=r"'v' must not be NULL.*key 2") as caught:
            write(tx, "t", [{"id": 1, "v": "a"}, {"id": 2, "v": None}], form)
        assert caught.value.constraint == "NOT NULL"
        assert caught.value.keys == [(2,)]
    assert stage.rows("t") == []


@pytest.mark.parametrize(
    "values",
    [
        pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array(["a", None])),
        pa.RunEndEncodedArray.from_arrays([1, 2], pa.array(["a", None])),
    ],
    ids=["dictionary", "run-end encoded"],
)
def test_not_null_sees_nulls_inside_encodings(stage: Stage, values: pa.Array) -> None:
    stage.create("t", [Column("id", INT), Column("v", values.type, nullable=False)])
    with pytest.raises(ConstraintError, match="'v' must not be NULL"):
        stage.insert("t", pa.table({"id": [1, 2], "v": values}))


def test_keys_in_messages_are_what_users_write(stage: Stage) -> None:
    stage.create("t", {"day": pa.date32(), "n": pa.decimal128(5, 2)}, ["day", "n"])
    import datetime as dt
    from decimal import Decimal

    row = {"day": dt.date(2026, 1, 2), "n": Decimal("1.50")}
    stage.insert("t", [row])
    with pytest.raises(ConstraintError, match=r"2026, 1, 2.*1\.50") as caught:
        stage.insert("t", [row])
    assert caught.value.keys == [(dt.date(2026, 1, 2), Decimal("1.50"))]


# ---------------------------------------------------------------- UNIQUE

USERS = {"id": INT, "email": TEXT, "n": INT}


def users(stage: Stage) -> None:
    stage.create("u", USERS, "id", Unique("email"))


@forms
def test_unique_refuses_a_value_that_is_there(stage: Stage, form: str) -> None:
    users(stage)
    stage.insert("u", [{"id": 1, "email": "a", "n": 0}])
    with (
        pytest.raises(
            ConstraintError, match=r"'u_email_unique': another row has the same email.*key 2"
        ) as caught,
        stage.begin() as tx,
    ):
        write(tx, "u", [{"id": 2, "email": "a", "n": 0}, {"id": 3, "email": "b", "n": 0}], form)
    assert caught.value.constraint == "u_email_unique"
    assert caught.value.keys == [(2,)]
    assert len(stage.rows("u")) == 1
    assert stage.engine.bulk.in_flight() == set()


@forms
def test_unique_refuses_a_value_given_twice(stage: Stage, form: str) -> None:
    users(stage)
    rows = [{"id": i, "email": f"m{i % 5}", "n": i} for i in range(6)]
    with pytest.raises(ConstraintError, match="two rows have the same email"), stage.begin() as tx:
        write(tx, "u", rows, form)
    assert stage.rows("u") == []


@forms
def test_unique_does_not_count_nulls(stage: Stage, form: str) -> None:
    stage.create("u", {"id": INT, "a": TEXT, "b": INT}, "id", Unique("a", "b"))
    for _ in range(2):
        with stage.begin() as tx:
            write(
                tx,
                "u",
                [
                    {"id": 1, "a": None, "b": 1},
                    {"id": 2, "a": None, "b": 1},
                    {"id": 3, "a": "x", "b": None},
                    {"id": 4, "a": "x", "b": None},
                    {"id": 5, "a": "x", "b": 1},
                    {"id": 6, "a": "x", "b": 2},
                ],
                form,
            )
    with pytest.raises(ConstraintError, match="same a, b"), stage.begin() as tx:
        write(tx, "u", [{"id": 7, "a": "x", "b": 2}], form)


@forms
def test_values_may_swap_inside_a_commit(stage: Stage, form: str) -> None:
    users(stage)
    stage.insert("u", [{"id": i, "email": f"m{i}", "n": 0} for i in range(4)])
    with stage.begin() as tx:
        write(tx, "u", [{"id": i, "email": f"m{(i + 1) % 4}", "n": 0} for i in range(4)], form)
    assert [row["email"] for row in stage.rows("u")] == ["m1", "m2", "m3", "m0"]
    with stage.begin() as tx:
        write(tx, "u", [{"id": 0, "email": "m9", "n": 0}, {"id": 1, "email": "m1", "n": 0}], form)


@forms
def test_a_value_is_free_when_its_row_is_gone(stage: Stage, form: str) -> None:
    users(stage)
    stage.insert("u", [{"id": 1, "email": "a", "n": 0}])
    with stage.begin() as tx:
        intake.delete(tx, tx.catalog.table("u"), 1)
        write(tx, "u", [{"id": 2, "email": "a", "n": 0}], form)
    stage.delete("u", [2])
    with stage.begin() as tx:
        write(tx, "u", [{"id": 3, "email": "a", "n": 0}], form)
    assert [row["id"] for row in stage.rows("u")] == [3]


@forms
def test_unique_looks_through_all_layers(stage: Stage, form: str) -> None:
    """Images, stored runs, runs in memory and the open buffer."""
    users(stage)
    for start in range(0, 200, 10):
        stage.insert("u", [{"id": i, "email": f"m{i}", "n": 0} for i in range(start, start + 10)])
        if start in (50, 100, 150):
            stage.checkpoint()
        if start == 100:
            stage.compact("u")
    for taken in (3, 57, 120, 155, 199):
        with pytest.raises(ConstraintError, match="same email"), stage.begin() as tx:
            write(tx, "u", [{"id": 500, "email": f"m{taken}", "n": 0}], form)
    stage.crash()
    with pytest.raises(ConstraintError, match="same email"), stage.begin() as tx:
        write(tx, "u", [{"id": 500, "email": "m57", "n": 0}], form)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.float64(), [0.0, -0.0]),
        (pa.float64(), [float("nan"), float("nan")]),
        (pa.float32(), [1.5, 1.5]),
        (pa.bool_(), [True, True]),
        (pa.uint64(), [2**64 - 1, 2**64 - 1]),
        (pa.binary(), [b"", b""]),
        (pa.large_string(), ["é", "é"]),
        (pa.date32(), [0, 0]),
        (pa.timestamp("ns", "UTC"), [5, 5]),
    ],
    ids=str,
)
@form_pairs
def test_unique_of_every_type(
    stage: Stage, kind: pa.DataType, values: list[Any], first: str, second: str
) -> None:
    stage.create("t", {"id": INT, "v": kind}, "id", Unique("v"))
    given = pa.array(values, kind)
    for at, form in enumerate((first, second)):
        rows = [{"id": at, "v": given[at].as_py()}]
        if at == 0:
            with stage.begin() as tx:
                write(tx, "t", rows, form)
            stage.checkpoint()
            continue
        with pytest.raises(ConstraintError, match="same v"), stage.begin() as tx:
            write(tx, "t", rows, form)


def test_unique_needs_values_that_can_be_compared(stage: Stage) -> None:
    stage.create("t", {"id": INT, "v": pa.list_(INT)})
    with pytest.raises(InvalidInputError, match="'v'"):
        stage.alter(lambda tx, schema: add_constraint(tx, schema, Unique("v")), "t")


@form_pairs
def test_the_second_of_two_that_insert_a_value_fails(stage: Stage, first: str, second: str) -> None:
    """Both read the same snapshot; whoever commits second must not get in."""
    users(stage)
    stage.insert("u", [{"id": 100 + i, "email": f"x{i}", "n": 0} for i in range(5)])
    one, two = stage.begin(), stage.begin()
    write(one, "u", [{"id": 1, "email": "same", "n": 1}, {"id": 3, "email": "c", "n": 1}], first)
    write(two, "u", [{"id": 2, "email": "same", "n": 2}, {"id": 4, "email": "d", "n": 1}], second)
    one.commit()
    with pytest.raises((ConstraintError, ConflictError)):
        two.commit()
    assert [row["id"] for row in stage.rows("u") if row["email"] == "same"] == [1]
    assert stage.engine.bulk.in_flight() == set()


@form_pairs
def test_a_value_freed_meanwhile_can_be_taken(stage: Stage, first: str, second: str) -> None:
    users(stage)
    stage.insert("u", [{"id": 1, "email": "a", "n": 0}, {"id": 2, "email": "b", "n": 0}])
    one = stage.begin()
    write(one, "u", [{"id": 1, "email": "c", "n": 0}], first)
    one.commit()
    two = stage.begin()
    three = stage.begin()
    write(three, "u", [{"id": 9, "email": "z", "n": 0}], first)
    three.commit()
    write(two, "u", [{"id": 3, "email": "a", "n": 0}], second)
    two.commit()
    assert {row["email"] for row in stage.rows("u")} == {"a", "b", "c", "z"}


def test_many_threads_insert_the_same_values_once(stage: Stage) -> None:
    users(stage)
    won: list[int] = []

    def work(worker: int) -> None:
        for value in range(30):
            try:
                with stage.begin() as tx:
                    row = {"id": worker * 1000 + value, "email": f"m{value}", "n": worker}
                    write(tx, "u", [row], "rows" if (worker + value) % 3 else "batch")
                won.append(value)
            except (ConstraintError, ConflictError):
                pass

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    emails = [row["email"] for row in stage.rows("u")]
    assert sorted(emails) == sorted({f"m{value}" for value in range(30)})
    assert sorted(won) == list(range(30))


def test_unique_counts_what_a_new_column_reads_as(stage: Stage) -> None:
    stage.create("t", {"id": INT})
    stage.insert("t", [{"id": 1}])
    stage.alter(ddl.add_column, "t", Column("v", TEXT, default="d"))
    stage.alter(lambda tx, schema: add_constraint(tx, schema, Unique("v")), "t")
    for form in FORMS:
        with pytest.raises(ConstraintError, match="same v"), stage.begin() as tx:
            write(tx, "t", [{"id": 2, "v": "d"}], form)


def test_unique_survives_a_widening(stage: Stage) -> None:
    stage.create("t", {"id": INT, "v": pa.int32()}, "id", Unique("v"))
    stage.insert("t", [{"id": 1, "v": 7}])
    stage.checkpoint()
    stage.insert("t", [{"id": 2, "v": 8}])
    stage.alter(ddl.retype_column, "t", "v", pa.float64())
    for form in FORMS:
        for value in (7.0, 8.0):
            with pytest.raises(ConstraintError, match="same v"), stage.begin() as tx:
                write(tx, "t", [{"id": 3, "v": value}], form)


def test_unique_of_a_table_without_a_key(stage: Stage) -> None:
    stage.create("t", {"v": TEXT}, "", Unique("v"))
    stage.insert("t", [{"v": "a"}])
    with pytest.raises(ConstraintError, match="another row has the same v"):
        stage.insert("t", [{"v": "a"}])
    with pytest.raises(ConstraintError, match="two rows have the same v"):
        stage.insert("t", table(v=["b", "b"]))


# ---------------------------------------------------------------- FOREIGN KEY


def shop(stage: Stage) -> None:
    stage.create("p", {"id": INT, "code": TEXT}, "id", Unique("code"))
    stage.create("c", {"id": INT, "p": INT}, "id", ForeignKey("p", "p"))
    stage.insert("p", [{"id": i, "code": f"k{i}"} for i in range(5)])


@forms
def test_a_child_needs_its_parent(stage: Stage, form: str) -> None:
    shop(stage)
    with stage.begin() as tx:
        write(tx, "c", [{"id": 1, "p": 1}, {"id": 2, "p": None}], form)
    with (
        pytest.raises(
            ConstraintError, match=r"'c_p_fkey': table 'p' has no row for p, row with key 3"
        ) as caught,
        stage.begin() as tx,
    ):
        write(tx, "c", [{"id": 3, "p": 77}, {"id": 4, "p": 2}], form)
    assert caught.value.keys == [(3,)]
    assert [row["id"] for row in stage.rows("c")] == [1, 2]


@form_pairs
def test_parent_and_child_may_come_in_either_order(stage: Stage, first: str, second: str) -> None:
    shop(stage)
    with stage.begin() as tx:
        write(tx, "c", [{"id": 1, "p": 50}], second)
        write(tx, "p", [{"id": 50, "code": "x"}], first)
    with stage.begin() as tx:
        write(tx, "p", [{"id": 51, "code": "y"}], first)
        write(tx, "c", [{"id": 2, "p": 51}], second)
    with stage.begin() as tx:
        write(tx, "p", [{"id": 50}], first, "delete")
        write(tx, "c", [{"id": 1}], second, "delete")
    assert [row["id"] for row in stage.rows("c")] == [2]


@form_pairs
def test_a_parent_in_use_cannot_go(stage: Stage, first: str, second: str) -> None:
    shop(stage)
    with stage.begin() as tx:
        write(tx, "c", [{"id": 1, "p": 1}], first)
    with (
        pytest.raises(ConstraintError, match=r"rows of table 'c' refer to its id, row with key 1") as caught,
        stage.begin() as tx,
    ):
        write(tx, "p", [{"id": 1}, {"id": 2}], second, "delete")
    assert caught.value.table == "p"
    assert len(stage.rows("p")) == 5
    with stage.begin() as tx:
        write(tx, "p", [{"id": 3}, {"id": 2}], second, "delete")
    with stage.begin() as tx:
        write(tx, "p", [{"id": 1, "code": "other"}], second)


@form_pairs
@pytest.mark.parametrize("parent_first", [True, False])
def test_a_parent_deleted_while_a_child_comes(
    stage: Stage, first: str, second: str, parent_first: bool
) -> None:
    shop(stage)
    stage.insert("c", [{"id": 9, "p": 0}])
    deleting, inserting = stage.begin(), stage.begin()
    write(deleting, "p", [{"id": 3}, {"id": 4}], first, "delete")
    write(inserting, "c", [{"id": 1, "p": 3}, {"id": 2, "p": 0}], second)
    winner, loser = (deleting, inserting) if parent_first else (inserting, deleting)
    winner.commit()
    with pytest.raises((ConstraintError, ConflictError)):
        loser.commit()
    parents = {row["id"] for row in stage.rows("p")}
    assert all(row["p"] in parents for row in stage.rows("c"))


@form_pairs
def test_reference_to_unique_columns(stage: Stage, first: str, second: str) -> None:
    stage.create("p", {"id": INT, "a": TEXT, "b": INT}, "id", Unique("b", "a"))
    stage.create("c", {"id": INT, "x": TEXT, "y": INT}, "id", ForeignKey(["x", "y"], "p", ["a", "b"]))
    with stage.begin() as tx:
        write(tx, "p", [{"id": 1, "a": "u", "b": 1}, {"id": 2, "a": "u", "b": 2}], first)
    with stage.begin() as tx:
        write(tx, "c", [{"id": 1, "x": "u", "y": 2}, {"id": 2, "x": "w", "y": None}], second)
    with pytest.raises(ConstraintError, match="no row for x, y"), stage.begin() as tx:
        write(tx, "c", [{"id": 3, "x": "w", "y": 2}], second)
    with pytest.raises(ConstraintError, match="refer to its a, b"), stage.begin() as tx:
        write(tx, "p", [{"id": 2, "a": "u", "b": 3}], first)
    with stage.begin() as tx:  # another row takes the value over
        write(tx, "p", [{"id": 2, "a": "u", "b": 3}, {"id": 3, "a": "u", "b": 2}], first)


@forms
def test_composite_key_in_another_order(stage: Stage, form: str) -> None:
    stage.create("p", {"a": INT, "b": TEXT}, ["a", "b"])
    stage.create("c", {"id": INT, "x": TEXT, "y": INT}, "id", ForeignKey(["x", "y"], "p", ["b", "a"]))
    with stage.begin() as tx:
        write(tx, "p", [{"a": 1, "b": "k"}], form)
        write(tx, "c", [{"id": 1, "x": "k", "y": 1}], form)
    with pytest.raises(ConstraintError), stage.begin() as tx:
        write(tx, "c", [{"id": 2, "x": "1", "y": 1}], form)
    with pytest.raises(ConstraintError), stage.begin() as tx:
        write(tx, "p", [{"a": 1, "b": "k"}], form, "delete")


@forms
def test_a_table_may_refer_to_itself(stage: Stage, form: str) -> None:
    stage.create("t", {"id": INT, "up": INT})
    stage.alter(lambda tx, schema: add_constraint(tx, schema, ForeignKey("up", "t")), "t")
    with stage.begin() as tx:
        write(
            tx, "t", [{"id": 1, "up": 2}, {"id": 2, "up": 1}, {"id": 3, "up": 3}, {"id": 4, "up": None}], form
        )
    with pytest.raises(ConstraintError, match="no row for up"), stage.begin() as tx:
        write(tx, "t", [{"id": 5, "up": 6}], form)
    with pytest.raises(ConstraintError, match="refer to its id"), stage.begin() as tx:
        write(tx, "t", [{"id": 2}], form, "delete")
    with stage.begin() as tx:
        write(tx, "t", [{"id": 1}, {"id": 2}, {"id": 3}], form, "delete")
    assert [row["id"] for row in stage.rows("t")] == [4]


@forms
def test_update_of_the_referring_column(stage: Stage, form: str) -> None:
    shop(stage)
    stage.insert("c", [{"id": 1, "p": 1}])
    with pytest.raises(ConstraintError), stage.begin() as tx:
        write(tx, "c", [{"id": 1, "p": 9}], form, "update")
    with stage.begin() as tx:
        write(tx, "c", [{"id": 1, "p": 2}], form, "update")
    stage.delete("p", [1])
    with pytest.raises(ConstraintError):
        stage.delete("p", [2])


# ---------------------------------------------------------------- FOREIGN KEY between types that go together

D = pa.decimal128
PAIRS = {
    "wider": (INT, pa.int8(), [1, 2], []),
    "narrower": (pa.int8(), INT, [1, -2], [127 + 256, -(2**40)]),
    "signed to unsigned": (pa.uint64(), INT, [1, 2], [-1]),
    "unsigned to signed": (INT, pa.uint64(), [1, 2], [2**64 - 1, 2**63]),
    "small unsigned": (pa.int16(), pa.uint16(), [1, 2], [65535]),
    "text": (TEXT, pa.large_string(), ["a", "b"], ["ab", ""]),
    "categories": (TEXT, pa.dictionary(pa.int32(), TEXT), ["a", "b"], ["c"]),
    "views": (pa.string_view(), TEXT, ["a", "b"], ["c"]),
    "bytes": (pa.large_binary(), pa.binary(), [b"a", b"b"], [b"ab"]),
    "fixed bytes": (pa.binary(2), pa.binary(), [b"aa", b"bb"], [b"a", b"aaa"]),
    "bytes of fixed": (pa.binary(), pa.binary(2), [b"aa", b"bb"], [b"cc"]),
    "larger decimals": (D(20, 2), D(5, 2), ["1.25", "-3.00"], ["2.00"]),
    "smaller decimals": (D(5, 2), D(30, 2), ["1.25", "999.99"], ["1000.00", "-99999999999.99"]),
    "wide decimals": (D(5, 2), pa.decimal256(50, 2), ["1.25", "999.99"], ["1000.00"]),
}
pairs = pytest.mark.parametrize(("theirs", "ours", "there", "strange"), PAIRS.values(), ids=PAIRS)
targets = pytest.mark.parametrize("target", ["key", "unique", "two columns"])


def of(kind: pa.DataType, value: Any) -> Any:
    return Decimal(value) if pa.types.is_decimal(kind) else value


@forms
@targets
@pairs
def test_a_foreign_key_between_types_that_go_together(
    stage: Stage, theirs: Any, ours: Any, there: list[Any], strange: list[Any], target: str, form: str
) -> None:
    """Equal values are found, in both directions; one that the other type cannot hold is simply not there."""
    there, strange = [of(ours, v) for v in there], [of(ours, v) for v in strange]
    key = {"key": ["v"], "unique": ["id"], "two columns": ["v", "id"]}[target]
    unique = [Unique("v")] if target == "unique" else []
    stage.create("p", {"id": INT, "v": theirs}, key, *unique)
    columns = ["v", "n"] if target == "two columns" else ["v"]
    references = ["v", "id"] if target == "two columns" else ["v"]
    stage.create("c", {"id": INT, "v": ours, "n": pa.int32()}, "id", ForeignKey(columns, "p", references))
    with stage.begin() as tx:
        write(tx, "p", [{"id": i, "v": v} for i, v in enumerate(there)], form)
    with stage.begin() as tx:
        write(tx, "c", [{"id": i, "v": v, "n": i} for i, v in enumerate(there)], form)
    for value in strange:
        with pytest.raises(ConstraintError, match="has no row for v") as caught, stage.begin() as tx:
            write(tx, "c", [{"id": 8, "v": there[0], "n": 0}, {"id": 9, "v": value, "n": 0}], form)
        assert caught.value.keys == [(9,)]
    with pytest.raises(ConstraintError, match="rows of table 'c' refer to its v"), stage.begin() as tx:
        write(tx, "p", [{"id": 1, "v": there[1]}], form, "delete")
    with stage.begin() as tx:
        write(tx, "c", [{"id": 1}], form, "delete")
    with stage.begin() as tx:
        write(tx, "p", [{"id": 1, "v": there[1]}], form, "delete")
    assert [row["id"] for row in stage.rows("p")] == [0]


@forms
@pairs
def test_a_parent_may_go_whose_value_no_child_could_have(
    stage: Stage, theirs: Any, ours: Any, there: list[Any], strange: list[Any], form: str
) -> None:
    """The same types, the other way round."""
    there, strange = [of(ours, v) for v in there], [of(ours, v) for v in strange]
    stage.create("p", {"id": INT, "v": ours}, "id", Unique("v"))
    stage.create("c", {"id": INT, "v": theirs}, "id", ForeignKey("v", "p", "v"))
    rows = [{"id": i, "v": v} for i, v in enumerate([*strange, *there])]
    with stage.begin() as tx:
        write(tx, "p", rows, form)
        write(tx, "c", [{"id": 7, "v": there[1]}], form)
    with stage.begin() as tx:
        write(tx, "p", [{"id": row["id"]} for row in rows[:-1]], form, "delete")
    with pytest.raises(ConstraintError, match="refer to its v"), stage.begin() as tx:
        write(tx, "p", [{"id": rows[-1]["id"]}], form, "delete")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (INT, TEXT),
        (INT, pa.float64()),
        (TEXT, pa.binary()),
        (D(5, 2), D(5, 1)),
        (INT, D(5, 0)),
        (pa.date32(), pa.timestamp("us")),
        (pa.timestamp("ms"), pa.timestamp("us")),
    ],
    ids=str,
)
def test_types_that_do_not_go_together(stage: Stage, theirs: pa.DataType, ours: pa.DataType) -> None:
    stage.create("p", {"id": theirs})
    stage.create("c", {"id": INT, "p": ours})
    with pytest.raises(InvalidInputError, match="change the type of one of them"):
        stage.alter(lambda tx, schema: add_constraint(tx, schema, ForeignKey("p", "p")), "c")


def test_what_a_foreign_key_needs(stage: Stage) -> None:
    stage.create("p", {"id": INT, "n": INT, "s": TEXT}, "id")
    stage.create("c", {"id": INT, "p": INT, "s": TEXT})

    def add(constraint: ForeignKey) -> None:
        stage.alter(lambda tx, schema: add_constraint(tx, schema, constraint), "c")

    with pytest.raises(InvalidInputError, match="key or UNIQUE"):
        add(ForeignKey("p", "p", "n"))
    with pytest.raises(InvalidInputError, match=r"string.*int64"):
        add(ForeignKey("s", "p"))
    with pytest.raises(InvalidInputError, match="2 columns"):
        add(ForeignKey(["p", "id"], "p"))
    add(ForeignKey("p", "p"))
    with pytest.raises(ConstraintError, match="referenced by 'c_p_fkey'"):
        stage.alter(ddl.drop_table, "p")


def test_the_unique_columns_that_a_foreign_key_refers_to_must_stay_so(stage: Stage) -> None:
    stage.create("p", {"id": INT, "code": TEXT}, "id", Unique("code"))
    stage.create("c", {"id": INT, "code": TEXT}, "id", ForeignKey("code", "p", "code"))
    with pytest.raises(ConstraintError, match="'c_code_fkey' of table 'c'"):
        stage.alter(ddl.drop_constraint, "p", "p_code_unique")
    stage.alter(ddl.drop_constraint, "c", "c_code_fkey")
    stage.alter(ddl.drop_constraint, "p", "p_code_unique")


def test_references_survive_crash_checkpoint_and_compaction(stage: Stage) -> None:
    shop(stage)
    stage.insert("c", [{"id": i, "p": i % 3} for i in range(150)])
    for step in (stage.crash, stage.checkpoint, lambda: stage.compact("c"), stage.reopen):
        step()
        with pytest.raises(ConstraintError):
            stage.delete("p", [1])
        with pytest.raises(ConstraintError):
            stage.insert("c", [{"id": 999, "p": 99}])
    stage.delete("p", [3])


def test_a_parent_with_very_many_children_is_found_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop(stage)
    monkeypatch.setattr("absdb.pages.index.PART_ROWS", 100)
    stage.insert("c", table(id=list(range(5000)), p=[1] * 4999 + [2]))
    stage.checkpoint()
    for form in FORMS:
        with pytest.raises(ConstraintError, match="refer to its id, row with key 1"), stage.begin() as tx:
            write(tx, "p", [{"id": 0}, {"id": 1}, {"id": 2}], form, "delete")


# ---------------------------------------------------------------- CHECK


@pytest.mark.parametrize("form", ["batch", "bulk"])
def test_check(stage: Stage, form: str) -> None:
    stage.create("t", {"id": INT, "n": INT}, "id", Check("n > 0"), Check("n < 100 OR id = 1", name="small"))
    with stage.begin() as tx:
        write(tx, "t", [{"id": 1, "n": 500}, {"id": 2, "n": None}], form)
    with stage.begin() as tx:
        with pytest.raises(
            ConstraintError, match=r"CHECK \(n > 0\) does not hold in rows with key 4"
        ) as caught:
            write(tx, "t", [{"id": 3, "n": 1}, {"id": 4, "n": 0}], form)
        assert caught.value.constraint == "t_check"
        with pytest.raises(ConstraintError, match="n < 100"):
            write(tx, "t", [{"id": 2, "n": 100}], form, "update")
    assert stage.rows("t") == [{"id": 1, "n": 500}, {"id": 2, "n": None}]


def test_check_reads_names_as_sql_does(stage: Stage) -> None:
    kind = pa.struct([("lat", pa.float64())])
    stage.create(
        "t", {"id": INT, "Total": INT, "place": kind}, "id", Check("total > 0"), Check("place.lat > 0")
    )
    stage.insert("t", [{"id": 1, "Total": 1, "place": {"lat": 1.0}}])
    with pytest.raises(ConstraintError, match="total > 0"):
        stage.insert("t", [{"id": 2, "Total": 0, "place": {"lat": 1.0}}])
    with pytest.raises(ConstraintError, match="lat > 0"):
        stage.insert("t", [{"id": 2, "Total": 1, "place": {"lat": -1.0}}])
    with pytest.raises(ConstraintError, match="reads it"):
        stage.alter(ddl.rename_column, "t", "Total", "sum")
    with pytest.raises(ConstraintError, match="reads it"):
        stage.alter(ddl.drop_column, "t", "place")


def test_check_needs_to_know_only_its_own_columns(stage: Stage) -> None:
    """SQL cannot scan some types; a check of another column must not mind."""
    stage.create(
        "t", {"id": INT, "h": pa.float16(), "d": pa.decimal256(60, 2), "_row": INT}, "id", Check("id < 10")
    )
    stage.insert("t", [{"id": 1, "h": None, "d": None, "_row": 5}])
    with pytest.raises(ConstraintError):
        stage.insert("t", [{"id": 10, "h": None, "d": None, "_row": 5}])


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("nope > 1", "'nope'"),
        ("n >", "not an SQL expression"),
        ("n > 1; drop table t", "one SQL expression|not an SQL"),
        ("n > (select 1)", "sub-query"),
        ("n || 'x'", "neither true nor false|cannot be evaluated"),
    ],
)
def test_checks_that_make_no_sense(stage: Stage, expression: str, message: str) -> None:
    stage.create("t", {"id": INT, "n": INT})
    stage.insert("t", [{"id": 1, "n": 1}])
    with pytest.raises((InvalidInputError, QueryError), match=message):
        stage.alter(lambda tx, schema: add_constraint(tx, schema, Check(expression)), "t")
    assert stage.schema("t").constraints == ()


# ---------------------------------------------------------------- DEFAULT


@forms
def test_default_values(stage: Stage, form: str) -> None:
    stage.create("t", [Column("id", INT), Column("n", INT, default=5), Column("s", TEXT, default="x")])
    with stage.begin() as tx:
        write(tx, "t", [{"id": 1, "n": 1}, {"id": 2, "n": None}], form)
    with stage.begin() as tx:
        write(tx, "t", [{"id": 2}, {"id": 3}], form)
    assert stage.rows("t") == [
        {"id": 1, "n": 1, "s": "x"},
        {"id": 2, "n": None, "s": "x"},
        {"id": 3, "n": 5, "s": "x"},
    ]


@pytest.mark.parametrize("form", ["batch", "bulk"])
def test_default_expressions(stage: Stage, form: str) -> None:
    stage.create(
        "t",
        [
            Column("id", INT),
            Column("u", pa.uuid(), default_sql="uuid()"),
            Column("r", pa.float64(), default_sql="random()"),
        ],
    )
    with stage.begin() as tx:
        write(tx, "t", [{"id": i} for i in range(10)], form)
    before = stage.rows("t")
    assert len({row["u"] for row in before}) == 10
    assert len({row["r"] for row in before}) == 10
    with stage.begin() as tx:
        write(tx, "t", [{"id": i} for i in range(12)], form)
    assert stage.rows("t")[:10] == before


def test_a_default_reads_no_columns(stage: Stage) -> None:
    with pytest.raises(InvalidInputError, match=r"default of column 'v'.*'id'"):
        stage.create("t", [Column("id", INT), Column("v", INT, default_sql="id + 1")])


# ---------------------------------------------------------------- GENERATED


@pytest.mark.parametrize("form", ["batch", "bulk"])
def test_generated_columns_follow_their_row(stage: Stage, form: str) -> None:
    stage.create(
        "t",
        [
            Column("id", INT),
            Column("a", INT),
            Column("b", INT, default=2),
            Column("p", pa.decimal128(10, 2), generated="a * b"),
        ],
    )
    with stage.begin() as tx:
        write(tx, "t", [{"id": 1, "a": 3}, {"id": 2, "a": None}], form)
    with stage.begin() as tx:
        write(tx, "t", [{"id": 1, "b": 10}, {"id": 2, "b": 1}], form, "update")
    with stage.begin() as tx:
        write(tx, "t", [{"id": 2, "a": 4}], form)
    assert [row["p"] for row in stage.rows("t")] == [30, 4]
    with stage.begin() as tx, pytest.raises(SchemaMismatchError, match="generated"):
        write(tx, "t", [{"id": 1, "p": 5}], "batch")


def test_dicts_to_a_table_with_generated_columns(stage: Stage) -> None:
    stage.create("t", [Column("id", INT), Column("a", INT), Column("b", INT, generated="a + 1")])
    stage.insert("t", [{"id": 1, "a": 1}])
    stage.upsert("t", {"id": 1, "a": 5})
    stage.insert("t", [{"id": i} for i in range(2, 150)])
    assert stage.rows("t")[:2] == [{"id": 1, "a": 5, "b": 6}, {"id": 2, "a": None, "b": None}]
    with pytest.raises(SchemaMismatchError, match="generated"):
        stage.insert("t", [{"id": 9000, "b": 1}])


def test_a_generated_value_must_fit(stage: Stage) -> None:
    stage.create("t", [Column("id", INT), Column("b", pa.int8(), generated="id * 100")])
    stage.insert("t", [{"id": 1}])
    with pytest.raises(QueryError, match=r"id \* 100 does not give int8"):
        stage.insert("t", [{"id": 2}])


def test_unique_and_references_over_generated_columns(stage: Stage) -> None:
    stage.create(
        "t",
        [Column("id", INT), Column("s", TEXT), Column("l", TEXT, generated="lower(s)")],
        "id",
        Unique("l"),
    )
    stage.insert("t", [{"id": 1, "s": "Ab"}])
    with pytest.raises(ConstraintError, match="same l"):
        stage.insert("t", [{"id": 2, "s": "aB"}])


# ---------------------------------------------------------------- messages and remains


def test_an_error_in_a_transaction_leaves_it_usable(stage: Stage) -> None:
    stage.create("t", {"id": INT, "n": INT}, "id", Check("n > 0"))
    with stage.begin() as tx:
        schema = tx.catalog.table("t")
        intake.insert(tx, schema, [{"id": 1, "n": 1}])
        with pytest.raises(ConstraintError):
            intake.insert(tx, schema, [{"id": 2, "n": 1}, {"id": 3, "n": -1}])
        with pytest.raises(ConstraintError):  # rows of two shapes: the first alone would have been fine
            intake.insert(tx, schema, [{"id": 4}, {"id": 1, "n": 1}])
        assert rows_in(tx, "t") == [{"id": 1, "n": 1}]
    assert stage.rows("t") == [{"id": 1, "n": 1}]


def test_a_failed_constraint_is_not_left_behind(stage: Stage) -> None:
    stage.create("t", {"id": INT, "n": INT})
    stage.insert("t", [{"id": 1, "n": 1}, {"id": 2, "n": 1}])
    with stage.begin() as tx:
        for constraint in (Unique("n"), Check("n > 1"), ForeignKey("n", "t")):
            schema = tx.catalog.table("t")
            if isinstance(constraint, ForeignKey):
                intake.update(tx, schema, [{"id": 1, "n": 3}])
            with pytest.raises(ConstraintError):
                add_constraint(tx, schema, constraint)
            assert tx.catalog.table("t").constraints == ()
    assert stage.schema("t").constraints == ()


# ---------------------------------------------------------------- against a model


@st.composite
def steps(draw: Any) -> list[tuple[str, str, list[dict[str, Any]]]]:
    count = draw(st.integers(1, 12))
    made = []
    for _ in range(count):
        verb = draw(st.sampled_from(["upsert", "insert", "delete"]))
        ids = draw(st.lists(st.integers(0, 8), min_size=1, max_size=5, unique=True))
        rows = [
            {
                "id": i,
                "a": draw(st.sampled_from([None, 1, 2, 3])),
                "b": draw(st.sampled_from([None, "x", "y"])),
            }
            for i in ids
        ]
        made.append((verb, draw(st.sampled_from(FORMS)), rows))
    return made


@given(steps(), st.booleans())
@settings(max_examples=60)
def test_unique_and_self_reference_against_a_model(script: list[Any], seal: bool) -> None:
    """The engine accepts a commit exactly when the rows it would leave hold both constraints."""
    stage = Stage(page_rows=4)
    try:
        stage.create("t", {"id": INT, "a": INT, "b": TEXT}, "id", Unique("a", "b"))
        stage.alter(lambda tx, schema: add_constraint(tx, schema, ForeignKey("a", "t")), "t")
        model: dict[int, dict[str, Any]] = {}
        for verb, form, rows in script:
            after = dict(model)
            if verb == "delete":
                for row in rows:
                    after.pop(row["id"], None)
            else:
                after.update({row["id"]: row for row in rows})
            values = [(r["a"], r["b"]) for r in after.values() if r["a"] is not None and r["b"] is not None]
            fine = len(set(values)) == len(values)
            fine = fine and all(r["a"] is None or r["a"] in after for r in after.values())
            fine = fine and not (verb == "insert" and any(row["id"] in model for row in rows))
            try:
                with stage.begin() as tx:
                    given_rows = [{"id": row["id"]} for row in rows] if verb == "delete" else rows
                    write(tx, "t", given_rows, form, verb)
                accepted = True
            except ConstraintError:
                accepted = False
            assert accepted == fine, (verb, form, rows, model)
            model = after if fine else model
            assert {row["id"]: row for row in stage.rows("t")} == model
            if seal:
                stage.checkpoint()
    finally:
        stage.close()


def test_constraints_by_id_are_checked_for_existence(stage: Stage) -> None:
    stage.create("t", {"id": INT})
    with pytest.raises(InvalidInputError):
        stage.alter(ddl.add_constraint, "t", UniqueById("x", ()))


def test_a_commit_of_one_row_makes_no_arrow(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """UNIQUE on the path of a one-row commit must not seal or index the whole buffer."""
    users(stage)
    stage.insert("u", [{"id": i, "email": f"m{i}", "n": 0} for i in range(50)])
    monkeypatch.setattr("absdb.engine.buffer.build_run", None)
    monkeypatch.setattr("absdb.engine.buffer.rows_to_batch", None)
    stage.insert("u", [{"id": 1000, "email": "new", "n": 0}])
    with pytest.raises(ConstraintError):
        stage.insert("u", [{"id": 1001, "email": "m7", "n": 0}])
    monkeypatch.undo()


@pytest.mark.parametrize(("first", "second"), [("batch", "bulk"), ("bulk", "batch"), ("bulk", "bulk")])
def test_what_others_changed_is_compared_a_range_of_keys_at_a_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    """Keys of both, and values that only one of them may have, are found in any range, and all are counted."""
    monkeypatch.setattr("absdb.engine.commit.KEYS_AT_ONCE", 64)
    monkeypatch.setattr("absdb.engine.constraints.CHUNK_ROWS", 64)
    stage.create("t", {"id": INT, "v": INT}, "id", Unique("v"))

    def rows(ids: range, step: int) -> list[dict[str, Any]]:
        return [{"id": i, "v": i + step} for i in ids]

    one, other = stage.begin(), stage.begin()
    write(one, "t", rows(range(0, 1000, 2), 0), first)
    write(other, "t", rows(range(100, 900, 100), 5000), second)
    one.commit()
    with pytest.raises(ConflictError, match=r"key 100, 200, 300, 400, 500 and 3 more was changed") as caught:
        other.commit()
    assert caught.value.keys == [(100,), (200,), (300,), (400,), (500,)]

    one, other = stage.begin(), stage.begin()
    write(one, "t", rows(range(1, 1000, 2), 0), first)
    write(
        other, "t", [{"id": 5000 + i, "v": 5000 + i} for i in range(200)] + [{"id": 9000, "v": 901}], second
    )
    one.commit()
    with pytest.raises(ConstraintError, match="has the same v"):
        other.commit()


def test_make_is_one_transaction(stage: Stage) -> None:
    with stage.begin() as tx:
        make(tx, "p", {"id": INT})
        make(tx, "c", {"id": INT, "p": INT}, "id", ForeignKey("p", "p"))
        intake.insert(tx, tx.catalog.table("c"), [{"id": 1, "p": 1}])
        intake.insert(tx, tx.catalog.table("p"), [{"id": 1}])
    assert stage.rows("c") == [{"id": 1, "p": 1}]
