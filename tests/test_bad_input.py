"""Bad input of every kind: the right class of error, a message that names the thing, advice, data as before.

Each case is a call on a database with an `orders` table; after it everything must be as it was. Cases that can
reach the table by several ways (dicts, frames, streams) are run on each.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import absdb

NEW = {"id": 99, "status": "new"}
ROWS = [{"id": i, "status": "new", "total": float(i), "at": dt.datetime(2026, 1, i)} for i in range(1, 6)]


@pytest.fixture
def main() -> Iterator[absdb.Database]:
    with absdb.connect(":memory:", page_rows=64, bulk_threshold="8 KiB") as shop:
        main = shop["main"]
        main.create_table(
            "orders",
            ROWS,
            key="id",
            columns={"status": absdb.Column("status", "string", nullable=False), "at": "timestamp[s]"},
        )
        main.create_table("pairs", {"a": "string", "b": "int32", "v": "int64"}, key=["a", "b"])
        main.snapshot("s")
        yield main


def picture(main: absdb.Database) -> Any:
    """Everything a user could see changed."""
    tables = {name: (main[name].to_arrow(), str(main[name].columns())) for name in main}
    return tables, list(main.log()["lsn"]), list(main.snapshots()["name"])


class Case(NamedTuple):
    """A call that must fail, the class of the error, and texts that message and hint must hold."""

    call: Callable[[absdb.Database], object]
    kind: type[absdb.AbsdbError]
    says: str
    advises: str = ""


def rejected(main: absdb.Database, case: Case) -> None:
    before = picture(main)
    with pytest.raises(case.kind) as caught:
        case.call(main)
    assert type(caught.value) is case.kind
    assert case.says in caught.value.message
    assert case.advises in caught.value.hint
    assert picture(main) == before


# -- rows that do not fit, by whatever way they come


SHAPES: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "dicts": lambda rows: rows,
    "many dicts": lambda rows: rows + [{**ROWS[0], "id": 1000 + i} for i in range(200)],
    "pandas": pd.DataFrame,
    "arrow": pa.Table.from_pylist,
    "stream": lambda rows: pa.Table.from_pylist(
        rows + [{**ROWS[0], "id": 1000 + i} for i in range(2_000)]
    ).to_reader(),
}
GOOD = {"id": 10, "status": "new", "total": 1.0, "at": dt.datetime(2026, 1, 1)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("rows", "kind", "says", "advises"),
    [
        ([{**GOOD, "extra": 1}], absdb.SchemaMismatchError, "no column 'extra'", "its columns are"),
        ([{**GOOD, "totall": 1.0}], absdb.SchemaMismatchError, "no column 'totall'", "did you mean 'total'"),
        ([GOOD, GOOD], absdb.ConstraintError, "key 10 is more than once", "nothing was changed"),
        ([GOOD, {**GOOD, "id": 3}], absdb.ConstraintError, "key 3 is already in the table", "upsert()"),
        (
            [{**GOOD, "status": None}],
            absdb.ConstraintError,
            "'status' must not be NULL",
            "nothing was changed",
        ),
        ([{**GOOD, "id": None}], absdb.ConstraintError, "'id'", "nothing was changed"),
        ([{**GOOD, "total": "much"}], absdb.SchemaMismatchError, "column 'total'", ""),
        ([{**GOOD, "at": dt.datetime(2026, 1, 1, 0, 0, 0, 5)}], absdb.SchemaMismatchError, "column 'at'", ""),
        (
            [{**GOOD, "at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}],
            absdb.SchemaMismatchError,
            "time zone",
            "",
        ),
        ([{**GOOD, "id": 2**63}], absdb.SchemaMismatchError, "column 'id'", ""),
        ([{**GOOD, "id": 1.5}], absdb.SchemaMismatchError, "column 'id'", ""),
        ([{**GOOD, "status": 5}], absdb.SchemaMismatchError, "column 'status'", ""),
        ([{**GOOD, "status": b"new"}], absdb.SchemaMismatchError, "column 'status'", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_that_do_not_fit(main, shape, rows, kind, says, advises):
    try:
        given = SHAPES[shape](rows)
    except (pa.ArrowException, OverflowError):
        pytest.skip("pyarrow makes no frame of these")
    rejected(main, Case(lambda main: main["orders"].insert(given), kind, says, advises))


NESTED = {
    "numbers": ("list[int64]", [1, 2.5], "float"),
    "letters": ("list[string]", "ab", "list"),
    "bytes": ("list[int64]", b"ab", "list"),
    "fields": ("struct[a: int64]", {"a": 1, "b": 2}, "field 'b'"),
    "part": ("struct[a: int64]", {"a": 1.5}, "float"),
    "map": ("map[string, int64]", {"a": 1.5}, "float"),
    "deep": ("list[struct[a: map[string, int64]]]", [{"a": {"x": 1.5}}], "float"),
}


@pytest.mark.parametrize("count", [1, 300])
@pytest.mark.parametrize("shape", ["dicts", "pandas"])
@pytest.mark.parametrize("given", NESTED)
def test_nothing_inside_a_value_is_lost(main, given, shape, count):
    kind, value, says = NESTED[given]
    main.create_table("nested", {"id": "int64", "v": kind}, key="id")
    rows = [{"id": number, "v": value} for number in range(count)]
    for verb in ("insert", "upsert", "replace", "sync"):
        call = Case(
            lambda m, verb=verb: getattr(m["nested"], verb)(rows if shape == "dicts" else pd.DataFrame(rows)),
            absdb.SchemaMismatchError,
            "column 'v'",
        )
        rejected(main, call)
    with pytest.raises(absdb.SchemaMismatchError, match=says):
        main.create_table(
            "made", rows if shape == "dicts" else pd.DataFrame(rows), columns={"v": kind}, key="id"
        )
    assert "made" not in main


def test_nested_values_of_a_frame_that_fit(main):
    rows = [
        {"id": 1, "l": [1, 2.0], "s": {"a": 1}, "m": {"x": 1}, "u": [uuid.UUID(int=7)]},
        {"id": 2, "l": [], "s": {}, "m": [("y", 2)], "u": []},
        {"id": 3, "l": None, "s": None, "m": None, "u": None},
    ]
    kinds = {"l": "list[float64]", "s": "struct[a: int64]", "m": "map[string, int64]", "u": "list[uuid]"}
    made = main.create_table("nested", {"id": "int64", **kinds}, key="id")
    made.insert(pd.DataFrame(rows).set_index("id"))
    assert made.to_arrow().to_pylist() == [
        {"id": 1, "l": [1.0, 2.0], "s": {"a": 1}, "m": [("x", 1)], "u": [uuid.UUID(int=7)]},
        {"id": 2, "l": [], "s": {"a": None}, "m": [("y", 2)], "u": []},
        {"id": 3, "l": None, "s": None, "m": None, "u": None},
    ]
    back = main.create_table("back", pd.DataFrame(rows), columns=kinds, key="id")
    assert back.to_arrow().equals(made.to_arrow())
    made.sync(made.to_pandas())
    assert back.to_arrow().equals(made.to_arrow())


# -- everything else


CASES: dict[str, Case] = {
    # rows
    "not rows": Case(
        lambda m: m["orders"].insert(5), absdb.InvalidInputError, "cannot take rows from a int", "DataFrame"
    ),
    "text": Case(lambda m: m["orders"].insert("abc"), absdb.InvalidInputError, "cannot take rows from a str"),
    "a generator": Case(
        lambda m: m["orders"].insert(row for row in ROWS),
        absdb.InvalidInputError,
        "cannot take rows from a generator",
    ),
    "a list of lists": Case(
        lambda m: m["orders"].insert([[1, 2]]), absdb.InvalidInputError, "row 0 is a list"
    ),
    "ragged columns": Case(
        lambda m: m["orders"].insert({"id": [8, 9], "status": ["x"]}),
        absdb.InvalidInputError,
        "differ in length",
    ),
    "a column twice": Case(
        lambda m: m["orders"].insert(pd.DataFrame([[8, 9]], columns=["id", "id"])),
        absdb.InvalidInputError,
        "more than one column named 'id'",
    ),
    "mixed types in a frame": Case(
        lambda m: m["orders"].insert(pd.DataFrame({"id": [8, "x"], "status": ["a", "b"]})),
        absdb.InvalidInputError,
        "column 'id' cannot be taken in",
        "one type",
    ),
    "update without key": Case(
        lambda m: m["orders"].update({"status": "x"}),
        absdb.InvalidInputError,
        "the rows have no 'id'",
        "every row needs it",
    ),
    "update of a frame without key": Case(
        lambda m: m["orders"].update(pd.DataFrame({"status": ["x"]})),
        absdb.InvalidInputError,
        "the rows have no 'id'",
        "every row",
    ),
    "upsert with half a key": Case(
        lambda m: m["pairs"].upsert({"a": "x", "v": 1}),
        absdb.InvalidInputError,
        "the rows have no 'b'",
        "a, b",
    ),
    "upsert of a key twice": Case(
        lambda m: m["pairs"].upsert([{"a": "x", "b": 1}, {"a": "x", "b": 1}]),
        absdb.ConstraintError,
        "key ('x', 1) is more than once",
    ),
    "upsert to NULL": Case(
        lambda m: m["orders"].upsert({"id": 1, "status": None}),
        absdb.ConstraintError,
        "'status' must not be NULL",
    ),
    "sync of a key twice": Case(
        lambda m: m["orders"].sync(ROWS + ROWS[:1]), absdb.ConstraintError, "key 1 is more than once"
    ),
    "replace with a key twice": Case(
        lambda m: m["orders"].replace(ROWS + ROWS[:1]), absdb.ConstraintError, "key 1 is more than once"
    ),
    "sync with a wrong column": Case(
        lambda m: m["orders"].sync([{**ROWS[0], "x": 1}]), absdb.SchemaMismatchError, "no column 'x'"
    ),
    # keys
    "get of another type": Case(
        lambda m: m["orders"].get("1"), absdb.SchemaMismatchError, "column 'id': '1' (str)"
    ),
    "get of NULL": Case(lambda m: m["orders"].get(None), absdb.InvalidInputError, "'id' is NULL"),
    "get of a pair": Case(
        lambda m: m["orders"].get((1, 2)),
        absdb.InvalidInputError,
        "a key has 1 parts, id; found 2",
        "single value",
    ),
    "get of half a key": Case(
        lambda m: m["pairs"].get("x"), absdb.InvalidInputError, "a key has 2 parts, a, b; found 1", "tuple"
    ),
    "delete of another type": Case(
        lambda m: m["orders"].delete("x"), absdb.SchemaMismatchError, "column 'id'"
    ),
    "delete of half a key": Case(
        lambda m: m["pairs"].delete(["x"]), absdb.InvalidInputError, "a key has 2 parts", "tuples"
    ),
    "delete by another column": Case(
        lambda m: m["orders"].delete(pd.DataFrame({"status": ["new"]})),
        absdb.InvalidInputError,
        "the rows have no 'id'",
    ),
    "delete of NULL": Case(
        lambda m: m["orders"].delete([None]), absdb.ConstraintError, "key column 'id' is NULL"
    ),
    "history of another type": Case(
        lambda m: m["orders"].history("x"), absdb.SchemaMismatchError, "column 'id'"
    ),
    "head of something": Case(lambda m: m["orders"].head(-1), absdb.InvalidInputError, "cannot show -1 rows"),
    # tables
    "no such table": Case(
        lambda m: m["order"], absdb.NotFoundError, "no table 'order'", "did you mean 'orders'"
    ),
    "a table named by a number": Case(
        lambda m: m[5], absdb.InvalidInputError, "a name must be text, not int: 5"
    ),
    "drop of no table": Case(lambda m: m.drop_table("x"), absdb.NotFoundError, "no table 'x'"),
    "a table without a name": Case(
        lambda m: m.create_table("", ROWS), absdb.InvalidInputError, "name of a table is empty"
    ),
    "a name with a slash": Case(
        lambda m: m.create_table("a/b", ROWS), absdb.InvalidInputError, "contains '/'"
    ),
    "a name that is no text": Case(
        lambda m: m.create_table(5, ROWS), absdb.InvalidInputError, "must be text, not int"
    ),
    "a name that is taken": Case(
        lambda m: m.create_table("orders", ROWS), absdb.AlreadyExistsError, "a table 'orders' already"
    ),
    "no columns": Case(lambda m: m.create_table("x"), absdb.InvalidInputError, "needs at least one column"),
    "no columns in a frame": Case(
        lambda m: m.create_table("x", pd.DataFrame()), absdb.InvalidInputError, "needs at least one column"
    ),
    "a key that is no column": Case(
        lambda m: m.create_table("x", ROWS, key="ident"),
        absdb.NotFoundError,
        "key names 'ident'",
        "its columns are id",
    ),
    "a key named twice": Case(
        lambda m: m.create_table("x", ROWS, key=["id", "id"]), absdb.InvalidInputError, "twice in the key"
    ),
    "a key without order": Case(
        lambda m: m.create_table("x", {"id": "list[int64]"}, key="id"), absdb.InvalidInputError, "list"
    ),
    "a key with NULL in the frame": Case(
        lambda m: m.create_table("x", [{"id": 1}, {"id": None}], key="id"), absdb.ConstraintError, "'id'"
    ),
    "a key twice in the frame": Case(
        lambda m: m.create_table("x", [{"id": 1}, {"id": 1}], key="id"),
        absdb.ConstraintError,
        "key 1 is more than once",
    ),
    "a source that is none": Case(
        lambda m: m.create_table("x", 5), absdb.InvalidInputError, "cannot take rows from a int"
    ),
    "an unknown type": Case(
        lambda m: m.create_table("x", {"id": "int65"}),
        absdb.InvalidInputError,
        "no type 'int65'",
        "types are",
    ),
    "a type cut short": Case(
        lambda m: m.create_table("x", {"id": "decimal(12"}),
        absdb.InvalidInputError,
        "expected ')' at position 11",
    ),
    "a type that is none": Case(
        lambda m: m.create_table("x", columns={"id": 5}), absdb.InvalidInputError, "5 is not a column type"
    ),
    "a union": Case(
        lambda m: m.create_table("x", pa.schema([("u", pa.dense_union([pa.field("a", pa.int64())]))])),
        absdb.InvalidInputError,
        "union",
    ),
    "a compression that is none": Case(
        lambda m: m.create_table("x", ROWS, compression="rar"), absdb.InvalidInputError, "'rar'", "lz4"
    ),
    "a default that does not fit": Case(
        lambda m: m.create_table("x", columns=[absdb.Column("a", "int64", default="x")]),
        absdb.SchemaMismatchError,
        "column 'a': 'x' (str)",
    ),
    "two kinds of default": Case(
        lambda m: m.create_table("x", columns=[absdb.Column("a", "int64", default=1, identity=True)]),
        absdb.InvalidInputError,
        "only one of default",
    ),
    "an identity of text": Case(
        lambda m: m.create_table("x", columns=[absdb.Column("a", "string", identity=True)]),
        absdb.InvalidInputError,
        "'a' cannot be an identity",
    ),
    "a check that is no SQL": Case(
        lambda m: m.create_table("x", ROWS, constraints=[absdb.Check("total >")]), absdb.QueryError, "total >"
    ),
    "a check of another column": Case(
        lambda m: m.create_table("x", ROWS, constraints=[absdb.Check("price > 0")]),
        absdb.InvalidInputError,
        "'price'",
    ),
    "a check the rows break": Case(
        lambda m: m["orders"].add_constraint(absdb.Check("total > 3", name="rich")),
        absdb.ConstraintError,
        "total > 3",
    ),
    "a constraint of nothing": Case(
        lambda m: m["orders"].add_constraint(absdb.Unique()),
        absdb.InvalidInputError,
        "needs at least one column",
    ),
    "a unique that is none": Case(
        lambda m: m["orders"].add_constraint(absdb.Unique("status")),
        absdb.ConstraintError,
        "orders_status_unique",
    ),
    "a constraint that is none": Case(
        lambda m: m["orders"].add_constraint("total > 3"),
        absdb.InvalidInputError,
        "is not a constraint",
        "Check(",
    ),
    "a foreign key to no table": Case(
        lambda m: m["orders"].add_constraint(absdb.ForeignKey("id", "nope")),
        absdb.NotFoundError,
        "no table 'nope'",
    ),
    "a foreign key to no key": Case(
        lambda m: m["pairs"].add_constraint(absdb.ForeignKey("v", "orders", "total")),
        absdb.InvalidInputError,
        "(total) of 'orders' are neither",
    ),
    "a foreign key of another length": Case(
        lambda m: m["orders"].add_constraint(absdb.ForeignKey("id", "pairs")),
        absdb.InvalidInputError,
        "of 1 columns cannot refer to 2 columns",
        "references=",
    ),
    "a foreign key of another type": Case(
        lambda m: m["pairs"].add_constraint(absdb.ForeignKey("a", "orders")),
        absdb.InvalidInputError,
        "'a' is string",
    ),
    "progress that is none": Case(
        lambda m: m["orders"].insert(GOOD, progress="bar"),
        absdb.InvalidInputError,
        "progress is 'bar'",
        "True",
    ),
    # columns
    "a column that is there": Case(
        lambda m: m["orders"].add_column("total", "int64"),
        absdb.AlreadyExistsError,
        "a column 'total' already",
    ),
    "a column without a default": Case(
        lambda m: m["orders"].add_column("n", "int64", nullable=False),
        absdb.ConstraintError,
        "'n' is NOT NULL",
        "default",
    ),
    "a column without a name": Case(
        lambda m: m["orders"].add_column("", "int64"), absdb.InvalidInputError, "is empty"
    ),
    "drop of no column": Case(lambda m: m["orders"].drop_column("x"), absdb.NotFoundError, "no column 'x'"),
    "drop of the key": Case(
        lambda m: m["orders"].drop_column("id"), absdb.InvalidInputError, "'id' belongs to the key"
    ),
    "rename to one that is there": Case(
        lambda m: m["orders"].rename_column("status", "total"), absdb.AlreadyExistsError, "'total' already"
    ),
    "another type of the key": Case(
        lambda m: m["orders"].retype_column("id", "string"),
        absdb.InvalidInputError,
        "'id' belongs to the key",
    ),
    "a type the values do not fit": Case(
        lambda m: m["orders"].retype_column("status", "int64"),
        absdb.ConstraintError,
        "cannot become int64",
        "using=",
    ),
    "NOT NULL over NULLs": Case(
        lambda m: (m["orders"].add_column("n", "int64"), m["orders"].alter_column("n", nullable=False)),
        absdb.ConstraintError,
        "'n' of table 'orders' has NULLs",
    ),
    "an order with a stranger": Case(
        lambda m: m["orders"].reorder_columns(["total", "x"]), absdb.NotFoundError, "no column 'x'"
    ),
    "a default of another type": Case(
        lambda m: m["orders"].alter_column("total", default="x"), absdb.SchemaMismatchError, "column 'total'"
    ),
    "rename of a table to nothing": Case(
        lambda m: m["orders"].rename(""), absdb.InvalidInputError, "is empty"
    ),
    "rename of a table to a taken name": Case(
        lambda m: m["orders"].rename("pairs"), absdb.AlreadyExistsError, "'pairs' already"
    ),
    "rename into no schema": Case(
        lambda m: m["orders"].rename("nowhere.orders"), absdb.NotFoundError, "no schema 'nowhere'"
    ),
    # the database
    "a branch without a name": Case(
        lambda m: m.branch(""), absdb.InvalidInputError, "name of a database is empty"
    ),
    "a branch named by a number": Case(
        lambda m: m.branch(7), absdb.InvalidInputError, "must be text, not int"
    ),
    "a snapshot that is there": Case(
        lambda m: m.snapshot("s"), absdb.AlreadyExistsError, "snapshot 's' already"
    ),
    "a restore of a table that was not": Case(
        lambda m: m.restore(snapshot="s", tables=["nope"]), absdb.NotFoundError, "no table 'nope'"
    ),
    "a restore of one table as text": Case(
        lambda m: m.restore(snapshot="s", tables="orders"),
        absdb.InvalidInputError,
        "tables must be a list of names, not 'orders'",
        "write ['orders']",
    ),
    "a restore of no table": Case(
        lambda m: m.restore(snapshot="s", tables=[]),
        absdb.InvalidInputError,
        "restore no table",
        "leave tables out",
    ),
    "a message that is a number": Case(
        lambda m: m["orders"].insert(NEW, message=5),
        absdb.InvalidInputError,
        "message must be text, not int: 5",
    ),
    "an author that is a number": Case(
        lambda m: m["orders"].insert(NEW, author=5),
        absdb.InvalidInputError,
        "author must be text, not int: 5",
    ),
    "a message with half a character": Case(
        lambda m: m["orders"].insert(NEW, message="\ud800"),
        absdb.InvalidInputError,
        "message",
        "leave it out",
    ),
    "a message of a transaction that is a number": Case(
        lambda m: m.transaction(message=5), absdb.InvalidInputError, "message must be text, not int: 5"
    ),
    "a message of a transaction set to a number": Case(
        lambda m: setattr(m.transaction(), "message", 5), absdb.InvalidInputError, "message must be text"
    ),
    "a message of a restore that is a number": Case(
        lambda m: m.restore(snapshot="s", message=5),
        absdb.InvalidInputError,
        "message must be text, not int: 5",
    ),
    "an author of a restore that is a number": Case(
        lambda m: m.restore(snapshot="s", author=5),
        absdb.InvalidInputError,
        "author must be text, not int: 5",
    ),
    "a comment of a branch that is a number": Case(
        lambda m: m.branch("b", comment=5), absdb.InvalidInputError, "comment must be text, not int: 5"
    ),
    "a comment of a snapshot that is a number": Case(
        lambda m: m.snapshot("t", comment=5), absdb.InvalidInputError, "comment must be text, not int: 5"
    ),
    "a comment of a table that is a number": Case(
        lambda m: m.create_table("t", {"id": "int64"}, comment=5),
        absdb.InvalidInputError,
        "comment must be text",
    ),
    "a comment of a column that is a number": Case(
        lambda m: m["orders"].alter_column("total", comment=5),
        absdb.InvalidInputError,
        "comment must be text",
    ),
    "a log of fewer than none": Case(
        lambda m: m.log(limit=-1), absdb.InvalidInputError, "cannot list -1 commits", "0 or more"
    ),
    "a log of text": Case(lambda m: m.log(limit="a"), absdb.InvalidInputError, "cannot list 'a' commits"),
    "columns as text": Case(
        lambda m: m["orders"].to_arrow("id"),
        absdb.InvalidInputError,
        "columns must be a list of names, not 'id'",
    ),
    "columns as text to pandas": Case(
        lambda m: m["orders"].to_pandas("id"),
        absdb.InvalidInputError,
        "columns must be a list of names, not 'id'",
    ),
    "columns as text in batches": Case(
        lambda m: m["orders"].to_batches("id"),
        absdb.InvalidInputError,
        "columns must be a list of names, not 'id'",
    ),
    "a column asked for twice": Case(
        lambda m: m["orders"].to_pandas(["id", "id"]), absdb.InvalidInputError, "columns names 'id' twice"
    ),
    "an order as text": Case(
        lambda m: m["orders"].reorder_columns("id"),
        absdb.InvalidInputError,
        "must be a list of names, not 'id'",
    ),
    "a key that is a number": Case(
        lambda m: m.create_table("t", {"id": "int64"}, key=5),
        absdb.InvalidInputError,
        "5 is not a key",
        "column",
    ),
    "a constraint that is no list": Case(
        lambda m: m.create_table("t", {"id": "int64"}, constraints=absdb.Unique("id")),
        absdb.InvalidInputError,
        "constraints must be a list",
        "constraints=[…]",
    ),
    "columns that are no columns": Case(
        lambda m: m.create_table("t", {"id": "int64"}, columns=["id"]),
        absdb.InvalidInputError,
        "columns holds 'id', which is not a column",
        "absdb.Column",
    ),
    "a list in the wrong brackets": Case(
        lambda m: m.create_table("t", {"id": "list<string>"}),
        absdb.InvalidInputError,
        "list needs square brackets behind it",
    ),
    "a sequence that begins with text": Case(
        lambda m: m.create_sequence("q", start="a"), absdb.InvalidInputError, "start is 'a'"
    ),
    "a sequence by halves": Case(
        lambda m: m.create_sequence("q", increment=1.5), absdb.InvalidInputError, "increment is 1.5"
    ),
    "a sequence that stands still": Case(
        lambda m: m.create_sequence("q", increment=0), absdb.InvalidInputError, "increment 0"
    ),
    "the default schema": Case(
        lambda m: m.drop_schema("main"), absdb.InvalidInputError, "'main' cannot be dropped"
    ),
    "a savepoint that is none": Case(
        lambda m: m.transaction().rollback_to("x"), absdb.NotFoundError, "no savepoint 'x'"
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bad_calls(main, case):
    if case.says.startswith("'n' of table"):
        main["orders"].add_column("n", "int64")
        case = case._replace(call=lambda main: main["orders"].alter_column("n", nullable=False))
    rejected(main, case)


def test_bad_calls_inside_a_transaction_leave_it_usable(main):
    """The same cases one after the other in one transaction, which then still commits what was right."""
    skipped = {"NOT NULL over NULLs", "a savepoint that is none", "history of another type"}
    of_databases = (
        "a branch",
        "a snapshot",
        "a restore",
        "a log",
        "a comment of a branch",
        "a comment of a snapshot",
    )
    of_databases += ("a message of", "an author of")
    with main.transaction() as tx:
        tx["orders"].insert(GOOD)
        for name, case in CASES.items():
            if name not in skipped and not name.startswith(of_databases):
                with pytest.raises(case.kind):
                    case.call(tx)
        tx["orders"].update({"id": 1, "status": "paid"})
        assert tx["orders"].count() == 6
    assert main["orders"].get(1)["status"] == "paid"
    assert main["orders"].get(10) == GOOD
    assert len(main.log()) == 3


def test_an_error_carries_what_a_program_needs(main):
    with pytest.raises(absdb.ConstraintError) as caught:
        main["orders"].insert([ROWS[0], ROWS[1], GOOD])
    assert (caught.value.table, caught.value.constraint, caught.value.keys) == (
        "orders",
        "PRIMARY KEY",
        [(1,), (2,)],
    )
    with pytest.raises(absdb.SchemaMismatchError) as mismatch:
        main["orders"].insert({**GOOD, "total": "x"})
    assert mismatch.value.column == "total"
    with pytest.raises(absdb.NotFoundError) as missing:
        main["order"]
    assert missing.value.table == "order"
    assert isinstance(missing.value, LookupError)


def test_many_offenders_are_cut_short(main):
    with pytest.raises(absdb.ConstraintError) as caught:
        main["orders"].insert([{**GOOD, "id": 7}] * 2 + [{**GOOD, "id": i} for i in [*range(50, 80)] * 2])
    assert len(str(caught.value)) < 300
    assert "more" in caught.value.message


def test_values_that_only_look_wrong_are_taken(main):
    """numpy scalars, NaT and NA, integers for floats, an integral float column: what frames are made of."""
    table = main["orders"]
    table.insert({"id": np.int32(20), "status": np.str_("x"), "total": 3, "at": pd.NaT})
    table.insert({"id": 21, "status": "x", "total": pd.NA, "at": np.datetime64("2026-01-01")})
    table.insert(pd.DataFrame({"id": [22.0], "status": ["x"], "total": [1]}))
    assert table.get(20) == {"id": 20, "status": "x", "total": 3.0, "at": None}
    assert table.get(21) == {"id": 21, "status": "x", "total": None, "at": dt.datetime(2026, 1, 1)}
    assert table.get(22)["total"] == 1.0


def test_nothing_is_left_on_disk_of_a_load_that_was_refused(tmp_path: Path):
    with absdb.connect(tmp_path / "shop", bulk_threshold="8 KiB", page_rows=64) as shop:
        main = shop["main"]
        table = main.create_table("t", {"id": "int64", "s": "string"}, key="id")
        rows = pa.table({"id": [*range(5_000), 17], "s": ["x" * 20] * 5_001})
        with pytest.raises(absdb.ConstraintError, match="key 17 is more than once"):
            table.insert(rows)
        assert table.count() == 0
        shop.checkpoint()
        assert shop.stats()["page_files"][0] <= 1, "only the log of commits"
        assert len(shop.check()) == 0
