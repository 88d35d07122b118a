"""Tables as users hold them: rows in every shape, look-ups, streams, definitions, round trips of types."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import absdb
from absdb.testing.orders import order_batches, orders

SMALL = {"wal_segment_size": "64 KiB", "page_rows": 50, "bulk_threshold": "16 KiB"}
UTC = dt.UTC
ROWS = [
    {"id": 1, "status": "new", "total": 1.5},
    {"id": 2, "status": "paid", "total": 2.5},
    {"id": 3, "status": None, "total": 3.5},
]


@pytest.fixture(params=["memory", "disk"])
def main(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[absdb.Database]:
    """The first database of an instance with tiny pages, in memory and on disk."""
    where = ":memory:" if request.param == "memory" else tmp_path / "shop"
    with absdb.connect(where, **SMALL) as shop:
        yield shop["main"]


@pytest.fixture
def table(main: absdb.Database) -> absdb.Table:
    return main.create_table("orders", ROWS, key="id")


def dicts(table: absdb.Table) -> list[dict[str, Any]]:
    return table.to_arrow().to_pylist()


class Stream:
    """Anything that only has the Arrow stream interface, as frames of other libraries have."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


# -- rows in


SHAPES = {
    "dict": lambda rows: rows[0],
    "list of dicts": lambda rows: rows,
    "dict of columns": lambda rows: pa.Table.from_pylist(rows).to_pydict(),
    "dict of numpy": lambda rows: {"id": np.array([r["id"] for r in rows])},
    "pandas": lambda rows: pd.DataFrame(rows),
    "pandas with index": lambda rows: pd.DataFrame(rows).set_index("id"),
    "arrow": pa.Table.from_pylist,
    "batch": lambda rows: pa.Table.from_pylist(rows).to_batches()[0],
    "reader": lambda rows: pa.Table.from_pylist(rows).to_reader(),
    "stream": lambda rows: Stream(pa.Table.from_pylist(rows)),
}
NEW = [{"id": 11, "status": "a", "total": 1.0}, {"id": 12, "status": "b", "total": None}]


@pytest.mark.parametrize("shape", SHAPES)
def test_insert_takes_every_shape(table, shape):
    expected = {
        "dict": NEW[:1],
        "dict of numpy": [{"id": r["id"], "status": None, "total": None} for r in NEW],
    }
    expected = expected.get(shape, NEW)
    assert table.insert(SHAPES[shape](NEW)) == len(expected)
    assert dicts(table) == ROWS + expected


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "dict of numpy"])
def test_upsert_takes_every_shape(table, shape):
    changed = [{"id": 2, "status": "x", "total": 9.0}, {"id": 7, "status": "y", "total": 8.0}]
    changed = changed[:1] if shape == "dict" else changed
    assert table.upsert(SHAPES[shape](changed)) == len(changed)
    assert [row for row in dicts(table) if row["id"] in (2, 7)] == changed


@pytest.mark.parametrize("count", [1, 5, 99, 100, 101, 500])
def test_dicts_are_converted_alike_at_any_number(main, count):
    """Few dicts go another way than many; what fits and what comes out must not depend on it."""
    when = dt.datetime(2026, 4, 4, 2, tzinfo=ZoneInfo("Europe/Berlin"))
    rows = [
        {"id": i, "at": when, "price": decimal.Decimal("1.5"), "who": uuid.UUID(int=i)} for i in range(count)
    ]
    types = {"id": "int64", "at": "timestamp[us, UTC]", "price": "decimal(12, 2)", "who": "uuid"}
    table = main.create_table("t", types, key="id")
    table.insert(rows)
    assert table.get(count - 1) == {
        "id": count - 1,
        "at": when,
        "price": decimal.Decimal("1.50"),
        "who": uuid.UUID(int=count - 1),
    }
    assert table.count() == count
    for bad in ({"id": True}, {"id": 1.0}, {"at": "2026-04-04"}, {"price": decimal.Decimal("1.234")}):
        with pytest.raises(absdb.SchemaMismatchError, match=next(iter(bad))):
            table.insert([{**row, "id": row["id"] + 1000, **bad} for row in rows])
    assert table.count() == count


def test_columns_left_out_get_their_default_at_any_number(main):
    columns = {"n": absdb.Column("n", "int64", default=7), "id": absdb.Column("id", "int64", identity=True)}
    for count in (1, 100, 101, 400):
        table = main.create_table(f"t{count}", {"s": "string"}, columns=columns, key="id")
        table.insert([{"s": str(i)} for i in range(count)])
        got = table.to_arrow()
        assert got["n"].to_pylist() == [7] * count
        assert got["id"].to_pylist() == list(range(1, count + 1))


def test_dicts_with_different_columns_each_get_what_they_lack(main):
    columns = {"n": absdb.Column("n", "int64", default=7)}
    table = main.create_table("t", {"id": "int64", "s": "string"}, columns=columns, key="id")
    rows = [{"id": i, **({"n": i} if i % 2 else {"s": "x"})} for i in range(300)]
    assert table.insert(rows) == 300
    assert table.get(4) == {"id": 4, "s": "x", "n": 7}
    assert table.get(5) == {"id": 5, "s": None, "n": 5}
    assert table.upsert([{"id": 4, "n": 1}, {"id": 5, "s": "y"}]) == 2
    assert table.get(4) == {"id": 4, "s": "x", "n": 1}
    assert table.get(5) == {"id": 5, "s": "y", "n": 5}
    with pytest.raises(absdb.SchemaMismatchError, match="some rows have n, s and some have not"):
        table.sync(rows)


def test_a_row_of_lists_is_a_row(main):
    table = main.create_table("t", {"id": "int64", "tags": "list[string]"}, key="id")
    assert table.insert({"id": 1, "tags": ["a", "b"]}) == 1
    assert table.insert({"id": [2, 3], "tags": [["c"], None]}) == 2
    assert dicts(table) == [{"id": 1, "tags": ["a", "b"]}, {"id": 2, "tags": ["c"]}, {"id": 3, "tags": None}]


def test_update_changes_only_what_is_there(table):
    assert table.update({"id": 1, "status": "paid"}) == 1
    assert table.update([{"id": 2, "total": 0.0}, {"id": 99, "total": 0.0}]) == 1
    assert table.update(pd.DataFrame({"id": [3, 100], "status": ["z", "z"]})) == 1
    assert dicts(table) == [
        {"id": 1, "status": "paid", "total": 1.5},
        {"id": 2, "status": "paid", "total": 0.0},
        {"id": 3, "status": "z", "total": 3.5},
    ]


@pytest.mark.parametrize(
    "keys",
    [
        2,
        [2, 99],
        (2, 3),
        {2},
        range(2, 4),
        np.array([2]),
        pd.Series([2]),
        pa.array([2]),
        {"id": 2},
        {"id": [2, 3]},
        [{"id": 2, "status": "ignored"}],
        pd.DataFrame({"id": [2], "other": [1]}),
        pa.table({"id": [2, 3, 4]}),
        Stream(pa.table({"id": [3]})),
        list(range(2, 400)),
        np.int64(2),
    ],
    ids=lambda keys: type(keys).__name__,
)
def test_delete_takes_keys_in_every_shape(main, keys):
    table = main.create_table("orders", ROWS, key="id")
    removed = table.delete(keys)
    assert removed == 3 - table.count() >= 1
    assert table.get(1) == ROWS[0]


def test_delete_reads_a_stream_of_keys(table):
    assert table.delete(pa.table({"id": [2, 3], "other": [1, 1]}).to_reader()) == 2
    assert dicts(table) == ROWS[:1]


def test_delete_of_composite_and_text_keys(main):
    table = main.create_table("t", {"a": "string", "b": "int64", "v": "int64"}, key=["a", "b"])
    table.insert([{"a": a, "b": b, "v": 0} for a in "xyz" for b in range(3)])
    assert table.delete(("x", 1)) == 1
    assert table.delete([("x", 0), ("y", 2), ("q", 1)]) == 2
    assert table.delete({"a": "z", "b": 0}) == 1
    assert table.delete(pd.DataFrame({"a": ["z"], "b": [1]})) == 1
    assert table.count() == 4
    names = main.create_table("names", [{"name": "abc"}, {"name": "d"}], key="name")
    assert names.delete("abc") == 1
    assert names.delete(["d", "e"]) == 1


def test_sync_writes_only_what_differs(table):
    found = table.sync(
        [{"id": 1, "status": "new", "total": 1.5}, {"id": 2, "status": "x", "total": 2.5}, NEW[0]]
    )
    assert found == (1, 1, 1)
    assert (found.added, found.modified, found.removed) == (1, 1, 1)
    assert table.sync(table.to_pandas()) == (0, 0, 0)
    assert table.sync([]) == (0, 0, 3)
    assert table.sync(pa.Table.from_pylist(ROWS)) == (3, 0, 0)


def test_replace_and_truncate(table):
    assert table.replace(NEW) == 2
    assert dicts(table) == NEW
    assert table.truncate() == 2
    assert table.count() == 0
    assert table.replace(pa.Table.from_pylist(ROWS)) == 3
    assert table.replace([]) == 0
    assert dicts(table) == []


def test_a_large_stream_is_loaded_in_one_commit(main):
    reader, told = order_batches(5_000, batch_rows=700), list[int]()
    table = main.create_table("orders", reader, key="id", progress=told.append)
    assert table.count() == 5_000
    assert table.to_arrow().equals(orders(5_000))
    assert told[-1] == 5_000
    assert len(main.log()) == 1
    assert table.insert(order_batches(5_000, first_id=5_001)) == 5_000
    assert table.to_arrow().equals(orders(10_000))


def test_progress_can_be_a_bar(main, capsys):
    main.create_table("orders", order_batches(5_000), key="id", progress=True)
    main["orders"].upsert(order_batches(5_000, seed=1), progress=True)
    shown = capsys.readouterr().err
    assert "load orders" in shown
    assert "upsert into orders" in shown
    assert "5.00k" in shown
    main["orders"].insert({"id": 10_000}, progress=False)
    assert capsys.readouterr().err == ""


def test_a_large_upsert_refuses_nothing_and_keeps_what_is_left_out(main):
    table = main.create_table("orders", orders(3_000), key="id")
    assert table.upsert(orders(4_000, seed=1).to_reader()) == 4_000
    assert table.to_arrow().equals(orders(4_000, seed=1))
    part = orders(4_000, seed=2).select(["id", "total"])
    assert table.upsert(part.to_reader()) == 4_000
    assert table.to_arrow(["id", "total"]).equals(part)
    assert table.to_arrow(["status"]).equals(orders(4_000, seed=1).select(["status"]))
    with pytest.raises(absdb.ConstraintError, match="key 1, 2, 3"):
        table.insert(order_batches(2_000))
    assert table.to_arrow(["id", "total"]).equals(part)


def test_a_table_can_be_loaded_from_a_table(main, table):
    copy = main.create_table("copy", table, key="id")
    assert dicts(copy) == ROWS
    assert copy.sync(table) == (0, 0, 0)


# -- rows out


def test_get_gives_rows_as_python_values(main):
    table = main.create_table(
        "t",
        {
            "id": "int64",
            "at": "timestamp[us, UTC]",
            "local": "timestamp[ms]",
            "day": "date",
            "price": "decimal(10, 3)",
            "who": "uuid",
            "data": "binary",
            "tags": "list[string]",
            "kind": "dictionary[string]",
        },
        key="id",
    )
    row = {
        "id": 1,
        "at": dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        "local": dt.datetime(2026, 1, 2, 3, 4, 5),
        "day": dt.date(2026, 1, 2),
        "price": decimal.Decimal("1.250"),
        "who": uuid.UUID(int=5),
        "data": b"\0\1",
        "tags": ["a", None],
        "kind": "k",
    }
    table.insert(row)
    assert table.get(1) == row
    main.create_table("plain", {"id": "int64", "at": "timestamp[us, UTC]"}, key="id").insert(
        {"id": 1, "at": row["at"]}
    )
    assert main["plain"].get(1) == {"id": 1, "at": row["at"]}
    assert table.get(2) is None


def test_get_by_all_kinds_of_keys(main):
    when = dt.datetime(2026, 1, 1, tzinfo=UTC)
    cases: list[tuple[str, Any]] = [
        ("int32", 5),
        ("uint64", 2**64 - 1),
        ("string", "ä"),
        ("binary", b"\0"),
        ("uuid", uuid.UUID(int=7)),
        ("timestamp[us, UTC]", when),
        ("date", dt.date(1969, 1, 1)),
        ("decimal(10, 2)", decimal.Decimal("-1.50")),
        ("float64", -0.5),
        ("bool", False),
    ]
    for kind, key in cases:
        table = main.create_table("t", {"k": kind, "v": "int64"}, key="k", if_exists="replace")
        table.insert({"k": key, "v": 1})
        assert table.get(key) == {"k": key, "v": 1}, kind
        assert table.get((key,)) == {"k": key, "v": 1}
        assert table.get({"k": key}) == {"k": key, "v": 1}
        assert table.delete(key) == 1


def test_get_looks_through_all_layers(main):
    """In pages, in runs, in the tail, and after a change of columns the same row comes out."""
    table = main.create_table("orders", orders(1_000), key="id")
    expected = orders(1_000).to_pylist()
    assert table.get(500) == expected[499]
    table.update({"id": 500, "status": "x"})
    assert table.get(500) == {**expected[499], "status": "x"}
    table.add_column("extra", "int32", default=5)
    assert table.get(500) == {**expected[499], "status": "x", "extra": 5}
    assert table.get(501) == {**expected[500], "extra": 5}
    table.drop_column("note")
    assert "note" not in table.get(500)
    table.delete(500)
    assert table.get(500) is None


def test_batches_stream_the_state_of_their_beginning(main):
    table = main.create_table("orders", orders(1_000), key="id")
    stream = table.to_batches(["id", "total"])
    assert stream.schema.names == ["id", "total"]
    first = stream.read_next_batch()
    table.truncate()
    assert first.num_rows + sum(batch.num_rows for batch in stream) == 1_000
    assert table.count() == 0


def test_arrow_libraries_read_a_table_directly(table):
    assert pa.table(table).equals(table.to_arrow())
    assert pa.RecordBatchReader.from_stream(table).read_all().equals(table.to_arrow())


def test_columns_can_be_chosen_and_ordered(table):
    assert table.to_arrow(["total", "id"]).column_names == ["total", "id"]
    assert list(table.to_pandas(["status"]).columns) == ["status"]
    with pytest.raises(absdb.NotFoundError, match="no column 'nope'"):
        table.to_arrow(["nope"])


def test_head_and_len_and_truth(main):
    table = main.create_table("orders", orders(1_000), key="id")
    assert len(table) == 1_000
    assert len(table.head()) == 5
    assert list(table.head(120)["id"]) == list(range(1, 121))
    assert len(table.head(0)) == 0
    assert list(table.head(0).columns) == orders(1).column_names
    table.truncate()
    assert len(table.head()) == 0
    assert table, "an empty table is still a table"


# -- types


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": pd.Series([1, 2, 3], dtype="int64"),
            "small": pd.Series([1, 2, 3], dtype="int8"),
            "big": pd.Series([2**63 + 1, 0, 1], dtype="uint64"),
            "flag": pd.Series([True, False, True]),
            "maybe": pd.Series([True, None, False], dtype="boolean"),
            "count": pd.Series([2**53 + 1, None, 3], dtype="Int64"),
            "ratio": pd.Series([1.5, np.nan, 2.5]),
            "single": pd.Series([1.5, np.nan, 2.5], dtype="float32"),
            "name": pd.Series(["a", None, "ü"]),
            "kind": pd.Series(["x", "y", "x"], dtype="category"),
            "at": pd.to_datetime(pd.Series(["2026-01-01", None, "2026-01-03"])).dt.tz_localize("UTC"),
            "naive": pd.Series(
                np.array(["2026-01-01T10:00:00.123456", "NaT", "2026-01-03"], "datetime64[us]")
            ),
            "took": pd.to_timedelta(pd.Series(["1h", None, "3s"])),
        }
    )


def test_pandas_come_back_as_they_went_in(main):
    expected = frame()
    table = main.create_table("t", expected, key="id")
    got = table.to_pandas()
    assert list(got.columns) == list(expected.columns)
    for name in expected.columns:
        want = expected[name]
        pd.testing.assert_series_equal(got[name], want, check_dtype=name != "name", obj=name)
    assert table.sync(got) == (0, 0, 0)
    assert table.sync(expected) == (0, 0, 0)


def test_integers_with_holes_stay_integers(main):
    table = main.create_table("t", {"id": "int64", "n": "int64", "b": "bool"}, key="id")
    table.insert([{"id": 1, "n": 2**53 + 1, "b": True}, {"id": 2}])
    got = table.to_pandas()
    assert str(got["n"].dtype) == "Int64"
    assert str(got["b"].dtype) == "boolean"
    assert got["n"][0] == 2**53 + 1
    table.delete(2)
    assert str(table.to_pandas()["n"].dtype) == "int64"


@pytest.mark.parametrize(
    "kind",
    [
        "bool", "int8", "uint64", "float16", "float32", "string", "large_string", "binary", "binary[3]", "date32",
        "date64", "time32[s]", "time64[ns]", "timestamp[s]", "timestamp[ns, UTC]", "duration[ms]", "decimal(5, 2)",
        "decimal(60, 3)", "uuid", "json", "list[int64]", "struct[a: int64, b: string]", "map[string, int64]",
        "dictionary[string]", "interval", "list[float32, 2]", "string_view",
    ],
)  # fmt: skip
def test_every_type_can_be_declared_by_text_and_read_back(main, kind):
    values: dict[str, Any] = {
        "bool": True, "int8": -1, "uint64": 2**64 - 1, "float16": 0.5, "float32": 0.5, "string": "ä",
        "large_string": "x", "binary": b"\0", "binary[3]": b"abc", "date32": dt.date(2026, 1, 1),
        "date64": dt.date(2026, 1, 1), "time32[s]": dt.time(1, 2, 3), "time64[ns]": dt.time(1, 2, 3),
        "timestamp[s]": dt.datetime(2026, 1, 1), "timestamp[ns, UTC]": dt.datetime(2026, 1, 1, tzinfo=UTC),
        "duration[ms]": dt.timedelta(1), "decimal(5, 2)": decimal.Decimal("1.25"),
        "decimal(60, 3)": decimal.Decimal("1e50").quantize(decimal.Decimal("1.000"), context=decimal.Context(60)),
        "uuid": uuid.UUID(int=3), "json": '{"a": 1}', "list[int64]": [1, None],
        "struct[a: int64, b: string]": {"a": 1, "b": None}, "map[string, int64]": [("a", 1)],
        "dictionary[string]": "x", "interval": pa.MonthDayNano([1, 2, 3]), "list[float32, 2]": [0.5, 1.5],
        "string_view": "v",
    }  # fmt: skip
    table = main.create_table("t", {"id": "int64", "v": kind}, key="id")
    row = {"id": 1, "v": values[kind]}
    table.insert(row)
    table.insert([{"id": n, "v": values[kind] if n % 2 else None} for n in range(2, 300)])
    assert table.columns()["type"][1].replace("large_", "") == kind.replace("large_", "")
    assert table.get(1) == row
    assert table.get(299) == {**row, "id": 299}
    assert table.get(298) == {"id": 298, "v": None}
    arrow = table.to_arrow()
    assert arrow.num_rows == 299
    table.replace(arrow)
    assert table.to_arrow().equals(arrow)
    assert len(table.to_pandas()) == 299


def test_names_that_look_the_same_are_the_same(main):
    """Accents may be letters of their own or marks behind one; names are kept in one form."""
    composed, apart = "menü", "menu\u0308"
    frame = pd.DataFrame({"id": [1], apart: ["x"]})
    table = main.create_table(apart, frame, key="id", columns={apart: "large_string"})
    assert table.name == composed
    assert table.schema.names == ["id", composed]
    assert main[apart].count() == main[composed].count() == 1
    assert table.insert(pa.table({"id": [2], apart: ["y"]}).to_reader()) == 1
    assert table.to_arrow([apart]).column_names == [composed]
    main.branch(apart).snapshot(apart)
    with pytest.raises(absdb.AlreadyExistsError):
        main.branch(composed)
    with pytest.raises(absdb.AlreadyExistsError):
        main.create_table(composed, frame)


def test_nested_values_lose_nothing_on_the_way_to_pandas(main):
    big = 2**53 + 1
    rows = [
        {"id": 1, "l": [big, None], "m": [("a", big), ("b", None)], "s": {"n": None, "u": uuid.UUID(int=1)}},
        {"id": 2, "l": None, "m": None, "s": {"n": [True, None], "u": None}},
    ]
    kinds = {"l": "list[int64]", "m": "map[string, int64]", "s": "struct[n: list[bool], u: uuid]"}
    table = main.create_table("nested", {"id": "int64", **kinds, "u": "list[uuid]"}, key="id")
    table.insert([{**row, "u": [uuid.UUID(int=9)]} for row in rows])
    frame = table.to_pandas()
    assert list(frame.columns) == ["id", "l", "m", "s", "u"]
    for name in ("l", "m", "s"):
        assert frame[name].tolist() == [row[name] for row in rows]
    assert frame["u"].tolist() == [[uuid.UUID(int=9)]] * 2
    assert table.sync(frame) == (0, 0, 0)
    assert main.diff(main.at())["nested"].to_pandas().empty


def test_a_frame_with_runs_of_equal_values_makes_a_table(main):
    runs = pc.run_end_encode(pa.array([7, 7, None]))
    table = main.create_table("runs", pa.table({"id": [1, 2, 3], "v": runs}), key="id")
    assert table.to_arrow()["v"].to_pylist() == [7, 7, None]


def test_types_that_are_not_known_are_listed(main):
    with pytest.raises(absdb.InvalidInputError, match=r"no type 'intt'") as caught:
        main.create_table("t", {"id": "intt"})
    assert "did you mean 'int'" in caught.value.hint
    assert "decimal(precision, scale)" in caught.value.hint
    assert "t" not in main


# -- definitions


def test_columns_and_constraints_are_listed(main):
    main.create_table(
        "users", {"id": "int64", "email": "string"}, key="id", constraints=[absdb.Unique("email")]
    )
    table = main.create_table(
        "orders",
        {"id": "int64", "user_id": "int64", "total": "decimal(12, 2)"},
        key="id",
        columns=[
            absdb.Column("id", "int64", identity=True),
            absdb.Column("status", "string", nullable=False, default="new", comment="where it stands"),
            absdb.Column("twice", "decimal(13, 2)", generated="total * 2"),
        ],
        constraints=[absdb.ForeignKey("user_id", "users"), absdb.Check("total >= 0")],
        comment="what was bought",
    )
    columns = table.columns()
    assert list(columns["name"]) == ["id", "user_id", "total", "status", "twice"]
    assert list(columns["type"]) == ["int64", "int64", "decimal(12, 2)", "string", "decimal(13, 2)"]
    assert list(columns["nullable"]) == [False, True, True, False, True]
    assert list(columns["key"]) == [True, False, False, False, False]
    assert list(columns["default"]) == ["identity", None, None, "'new'", None]
    assert columns["generated"][4] == "total * 2"
    assert columns["comment"][3] == "where it stands"
    found = table.constraints()
    assert list(found["kind"]) == ["PRIMARY KEY", "FOREIGN KEY", "CHECK"]
    assert list(found["name"]) == ["orders_key", "orders_user_id_fkey", "orders_check"]
    assert found["definition"][1] == "FOREIGN KEY (user_id) REFERENCES users (id)"
    assert (table.comment, table.key, table.name) == ("what was bought", ("id",), "orders")
    assert main["users"].constraints()["definition"][1] == "UNIQUE (email)"


def test_constraints_hold(main):
    users = main.create_table(
        "users", {"id": "int64", "email": "string"}, key="id", constraints=[absdb.Unique("email")]
    )
    table = main.create_table(
        "orders", {"id": "int64", "user_id": "int64", "total": "float64"}, key="id",
        constraints=[absdb.ForeignKey("user_id", "users"), absdb.Check("total >= 0", name="positive")],
    )  # fmt: skip
    users.insert([{"id": 1, "email": "a"}, {"id": 2}, {"id": 3}])
    with pytest.raises(absdb.ConstraintError, match="users_email_unique"):
        users.insert({"id": 4, "email": "a"})
    with pytest.raises(absdb.ConstraintError, match="orders_user_id_fkey"):
        table.insert({"id": 1, "user_id": 9, "total": 1.0})
    with pytest.raises(absdb.ConstraintError, match="total >= 0") as caught:
        table.insert({"id": 1, "user_id": 1, "total": -1.0})
    assert caught.value.constraint == "positive"
    table.insert({"id": 1, "user_id": 1, "total": 1.0})
    with pytest.raises(absdb.ConstraintError, match="orders_user_id_fkey"):
        users.delete(1)
    with pytest.raises(absdb.ConstraintError, match="referenced"):
        main.drop_table("users")
    table.drop_constraint("orders_user_id_fkey")
    assert users.delete(1) == 1
    with pytest.raises(absdb.NotFoundError, match="no constraint 'nope'"):
        table.drop_constraint("nope")
    with pytest.raises(absdb.ConstraintError, match="orders_user_id_fkey"):
        table.add_constraint(absdb.ForeignKey("user_id", "users"))


def test_generated_columns_and_defaults_by_expression(main):
    table = main.create_table(
        "t",
        {"id": "int64", "price": "float64"},
        key="id",
        columns=[
            absdb.Column("quantity", "int64", default_sql="1 + 1"),
            absdb.Column("total", "float64", generated="price * quantity"),
        ],
    )
    table.insert([{"id": 1, "price": 2.0}, {"id": 2, "price": 2.0, "quantity": 3}])
    assert dicts(table) == [
        {"id": 1, "price": 2.0, "quantity": 2, "total": 4.0},
        {"id": 2, "price": 2.0, "quantity": 3, "total": 6.0},
    ]
    table.update({"id": 1, "quantity": 5})
    assert table.get(1)["total"] == 10.0
    with pytest.raises(absdb.SchemaMismatchError, match="generated"):
        table.insert({"id": 3, "total": 1.0})
    with pytest.raises(absdb.ConstraintError, match="'quantity' cannot be dropped"):
        table.drop_column("quantity")


def test_definitions_change(table):
    table.add_column("channel", "string", default="web", position=1)
    table.add_column("n", "int32")
    assert table.schema.names == ["id", "channel", "status", "total", "n"]
    assert table.get(1) == {"id": 1, "channel": "web", "status": "new", "total": 1.5, "n": None}
    table.rename_column("channel", "source")
    table.reorder_columns(["id", "total"])
    assert table.schema.names == ["id", "total", "source", "status", "n"]
    table.retype_column("n", "int64")
    table.retype_column("total", "decimal(10, 1)")
    assert table.get(1)["total"] == decimal.Decimal("1.5")
    table.drop_column("n")
    table.alter_column("source", default="shop", comment="where from", nullable=False)
    table.insert({"id": 9})
    assert table.get(9) == {"id": 9, "total": None, "source": "shop", "status": None}
    assert table.columns()["comment"][2] == "where from"
    table.alter_column("source", default=None)
    with pytest.raises(absdb.ConstraintError, match="'source' must not be NULL"):
        table.insert({"id": 10})
    table.rename("purchases")
    assert table.name == "purchases"
    assert table.get(9)["source"] == "shop"


def test_a_failed_change_of_type_leaves_everything(table):
    before = table.to_arrow()
    with pytest.raises(absdb.ConstraintError, match="'status' cannot become int64"):
        table.retype_column("status", "int64")
    assert table.to_arrow().equals(before)
    table.retype_column("status", "int64", using="length(status)")
    assert table.to_arrow()["status"].to_pylist() == [3, 4, None]


def test_history_of_a_row(main, table):
    table.update({"id": 1, "status": "paid"}, message="paid at last")
    table.delete(1)
    table.insert({"id": 1, "status": "again"})
    history = table.history(1)
    assert list(history["operation"]) == ["insert", "update", "delete", "insert"]
    assert history["message"][1] == "paid at last"
    assert history["status"][1] == "paid"
    assert list(main.log()["lsn"])[::-1] == list(history["lsn"])
    assert len(table.history(999)) == 0


def test_a_table_without_a_key(main):
    table = main.create_table("events", [{"what": "a"}, {"what": "a"}])
    assert table.insert({"what": "b"}) == 1
    assert table.insert([{"what": "c"}] * 200) == 200
    assert table.count() == 203
    assert table.key == ()
    assert table.schema.names == ["what"]
    for verb in (table.upsert, table.update, table.delete, table.sync):
        with pytest.raises(absdb.InvalidInputError, match="has no key"):
            verb({"what": "x"})
    with pytest.raises(absdb.InvalidInputError, match="has no key"):
        table.get(1)
    assert table.replace([{"what": "z"}]) == 1
    assert dicts(table) == [{"what": "z"}]
