"""Databases as users hold them: tables by name, transactions, branches, points in time, what happened."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import absdb
from absdb.testing.orders import orders

ROWS = [{"id": 1, "v": 10}, {"id": 2, "v": 20}, {"id": 3, "v": 30}]


@pytest.fixture(params=["memory", "disk"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[absdb.Instance]:
    """An instance whose clock starts at 2026-01-01 and moves one second a reading."""
    where = ":memory:" if request.param == "memory" else tmp_path / "shop"
    clock = absdb.ManualClock(tick_us=1_000_000)
    with absdb.connect(where, clock=clock, author="ann", wal_segment_size="64 KiB", page_rows=64) as shop:
        yield shop


@pytest.fixture
def main(shop: absdb.Instance) -> absdb.Database:
    main = shop["main"]
    main.create_table("t", ROWS, key="id", message="first")
    return main


def values(database: absdb.Database | absdb.TransactionHandle) -> dict[int, int]:
    return {row["id"]: row["v"] for row in database["t"].to_arrow().to_pylist()}


# -- tables by name


def test_tables_are_found_by_name(main):
    assert main["t"].count() == 3
    assert "t" in main
    assert "x" not in main
    assert list(main) == ["t"]
    main.create_table("orders", orders(10), key="id", comment="bought")
    frame = main.tables()
    assert frame.to_dict("list") == {
        "name": ["orders", "t"],
        "rows": [10, 3],
        "columns": [8, 2],
        "key": ["id", "id"],
        "comment": ["bought", ""],
    }
    assert main._ipython_key_completions_() == ["orders", "t"]
    with pytest.raises(absdb.NotFoundError, match="no table 'order'") as caught:
        main["order"]
    assert caught.value.hint == "did you mean 'orders'?"


def test_schemas_hold_tables(main):
    main.create_schema("sales")
    table = main.create_table("sales.orders", {"id": "int64"}, key="id")
    assert table.name == "sales.orders"
    assert main["sales.orders"].count() == 0
    assert "sales.orders" in main
    assert main.schemas().to_dict("list") == {"name": ["main", "sales"], "tables": [1, 1]}
    with pytest.raises(absdb.StateError, match="not empty"):
        main.drop_schema("sales")
    moved = main.rename_table("sales.orders", "main.orders")
    assert moved.name == "orders"
    main.drop_schema("sales")
    with pytest.raises(absdb.NotFoundError, match="no schema 'sales'"):
        main.create_table("sales.x", {"id": "int64"})


def test_create_table_from_all_that_describes_one(main):
    sources = {
        "schema": pa.schema([pa.field("id", pa.int64(), nullable=False), ("s", pa.string())]),
        "types": {"id": "int64", "s": pa.string()},
        "python types": {"id": int, "s": str},
        "columns": [absdb.Column("id", "int64"), absdb.Column(name="s", type=pa.string())],
        "pandas": pd.DataFrame({"id": [1], "s": ["x"]}),
        "dict of columns": {"id": [1], "s": ["x"]},
        "dicts": [{"id": 1, "s": "x"}],
        "arrow": pa.table({"id": [1], "s": ["x"]}),
        "reader": pa.table({"id": [1], "s": ["x"]}).to_reader(),
    }
    for name, source in sources.items():
        table = main.create_table(name, source, key="id")
        assert list(table.columns()["type"]) == ["int64", "string"], name
        assert list(table.columns()["nullable"]) == [False, True], name
    assert main["dicts"].get(1) == {"id": 1, "s": "x"}


def test_columns_change_and_extend_what_a_frame_describes(main):
    frame = pd.DataFrame({"id": [1, 2], "price": ["1.50", "2"], "empty": [None, None]})
    frame["price"] = frame["price"].astype("float64")
    table = main.create_table(
        "x",
        frame,
        key="id",
        columns={"price": "decimal(12, 2)", "at": absdb.Column("", "int64", default=5)},
    )
    assert list(table.columns()["type"]) == ["int64", "decimal(12, 2)", "string", "int64"]
    assert table.get(1)["at"] == 5
    assert str(table.get(2)["price"]) == "2.00"


def test_create_table_where_there_is_one(main):
    with pytest.raises(absdb.AlreadyExistsError, match="a table 't' already"):
        main.create_table("t", ROWS, key="id")
    assert main.create_table("t", [{"id": 9, "v": 9}], key="id", if_exists="skip").count() == 3
    assert main.create_table("t", [{"id": 9, "v": 9}], key="id", if_exists="replace").count() == 1
    assert len(main.log()) == 2
    with pytest.raises(absdb.InvalidInputError, match="if_exists is 'append'"):
        main.create_table("t", ROWS, if_exists="append")


def test_drop_and_undrop(main):
    table = main["t"]
    main.drop_table("t")
    assert "t" not in main
    with pytest.raises(absdb.NotFoundError, match="no table 't'"):
        table.count()
    assert "no table 't'" in repr(table)
    main.undrop_table("t")
    assert table.count() == 3
    main.drop_table("t")
    main.create_table("t", {"other": "string"})
    assert table.schema.names == ["other"], "a table of that name takes its place"
    main.drop_table("t")
    assert main.undrop_table("t").schema.names == ["other"]
    main.rename_table("t", "newer")
    assert main.undrop_table("t").schema.names == ["id", "v"]
    with pytest.raises(absdb.NotFoundError, match="was dropped"):
        main.undrop_table("never")


def test_a_table_follows_its_name_changes(main):
    table = main["t"]
    main.rename_table("t", "renamed")
    assert table.name == "renamed"
    assert table.insert({"id": 4, "v": 40}) == 1
    assert main["renamed"].count() == 4


# -- transactions


def test_a_transaction_is_one_commit(main):
    with main.transaction(message="two at once", author="bob") as tx:
        tx["t"].update({"id": 1, "v": 11})
        tx.create_table("other", ROWS[:1], key="id")
        assert values(tx) == {1: 11, 2: 20, 3: 30}
        assert values(main) == {1: 10, 2: 20, 3: 30}
        assert "other" in tx
        assert "other" not in main
        assert list(tx.tables()["name"]) == ["other", "t"]
    assert values(main) == {1: 11, 2: 20, 3: 30}
    log = main.log(limit=1).iloc[0]
    assert (log["lsn"], log["author"], log["message"]) == (str(tx.lsn), "bob", "two at once")
    assert sorted(log["tables"]) == ["other", "t"]
    assert not tx.is_open


def test_an_error_takes_everything_back(main):
    with pytest.raises(RuntimeError), main.transaction() as tx:  # noqa: PT012  # the block is what is tested
        tx["t"].truncate()
        tx.drop_table("t")
        raise RuntimeError
    assert values(main) == {1: 10, 2: 20, 3: 30}
    assert len(main.log()) == 1
    with pytest.raises(absdb.StateError, match="has ended"):
        tx["t"].count()
    with pytest.raises(absdb.StateError, match="has ended"):
        tx.commit()
    tx.rollback()


def test_a_failed_verb_leaves_the_transaction_as_it_was(main):
    with main.transaction() as tx:
        tx["t"].insert({"id": 4, "v": 40})
        with pytest.raises(absdb.ConstraintError):
            tx["t"].insert([{"id": 5, "v": 50}, {"id": 1, "v": 0}])
        with pytest.raises(absdb.ConstraintError):
            tx["t"].insert([{"id": 5}, *({"id": 6, "v": n} for n in range(150)), {"id": 1, "v": 0}])
        with pytest.raises(absdb.ConstraintError):
            tx["t"].retype_column("v", "uuid")
        assert tx["t"].schema.field("v").type == pa.int64()
        assert tx["t"].count() == 4
        tx["t"].insert({"id": 5, "v": 50})
    assert values(main) == {1: 10, 2: 20, 3: 30, 4: 40, 5: 50}


def test_savepoints(main):
    with main.transaction() as tx:
        tx["t"].update({"id": 1, "v": 11})
        tx.savepoint("a")
        tx["t"].update({"id": 2, "v": 22})
        tx.savepoint("b")
        tx.create_table("x", ROWS)
        tx["t"].delete(3)
        tx.rollback_to("b")
        assert "x" not in tx
        assert values(tx) == {1: 11, 2: 22, 3: 30}
        tx.release("b")
        with pytest.raises(absdb.NotFoundError, match="no savepoint 'b'"):
            tx.rollback_to("b")
        tx.rollback_to("a")
    assert values(main) == {1: 11, 2: 20, 3: 30}


def test_a_transaction_sees_its_own_beginning(main):
    with main.transaction() as tx:
        assert tx["t"].count() == 3
        main["t"].insert({"id": 4, "v": 40})
        assert tx["t"].count() == 3
    assert tx.lsn is None, "nothing was changed"
    assert main["t"].count() == 4


def test_two_writers_of_one_row(main):
    one, two = main.transaction(), main.transaction()
    one["t"].update({"id": 1, "v": 11})
    two["t"].update({"id": 1, "v": 12})
    two["t"].update({"id": 2, "v": 22})
    one.commit()
    with pytest.raises(absdb.WriteConflictError, match="'t': key 1 was changed by another") as caught:
        two.commit()
    assert caught.value.keys == [(1,)]
    assert "again" in caught.value.hint
    assert values(main) == {1: 11, 2: 20, 3: 30}


def test_message_and_author_belong_to_the_whole_transaction(main):
    with main.transaction() as tx:
        with pytest.raises(absdb.InvalidInputError, match="belong to the transaction"):
            tx["t"].insert({"id": 4}, message="mine")
        tx.message = "late thought"
        tx["t"].insert({"id": 4})
    assert main.log()["message"][0] == "late thought"


# -- branches


def test_a_branch_goes_its_own_way(shop, main):
    staging = main.branch("staging", comment="try", retain="7 days")
    staging["t"].update({"id": 1, "v": 11})
    main["t"].delete(3)
    staging.create_table("only_here", ROWS)
    assert values(staging) == {1: 11, 2: 20, 3: 30}
    assert values(main) == {1: 10, 2: 20}
    assert "only_here" not in main
    assert staging.diverged_pages == 2
    assert main.diverged_pages == 0
    frame = shop.branches().set_index("name")
    assert list(frame.index) == ["main", "staging"]
    row = frame.loc["staging"]
    assert (row["created_from"], row["comment"], row["diverged_pages"]) == ("main", "try", 2)
    assert row["expires_at"] - row["created_at"] == pd.Timedelta(days=7)
    assert frame.loc["main", "created_from"] is None
    assert frame.loc["main", "expires_at"] is pd.NaT
    assert list(staging.log()["message"])[-1] == "first", "its log goes on into that of its source"


def test_a_branch_from_any_point(main):
    first = main.log()["lsn"][0]
    main.snapshot("before")
    main["t"].update({"id": 1, "v": 11})
    main["t"].update({"id": 1, "v": 12})
    second = main.log()["lsn"][1]
    assert values(main.branch("a", lsn=first)) == {1: 10, 2: 20, 3: 30}
    assert values(main.branch("b", lsn=second)) == {1: 11, 2: 20, 3: 30}
    assert values(main.branch("c", snapshot="before")) == {1: 10, 2: 20, 3: 30}
    assert values(main.branch("d", time=main.log()["time"][1].to_pydatetime())) == {1: 11, 2: 20, 3: 30}
    assert values(main.at(lsn=second).branch("e")) == {1: 11, 2: 20, 3: 30}
    assert values(main.branch("f")) == {1: 12, 2: 20, 3: 30}


def test_names_of_branches(shop, main):
    staging = main.branch("staging")
    with pytest.raises(absdb.AlreadyExistsError, match="'staging' already"):
        main.branch("staging")
    for bad in ("", "a/b", " a", "x" * 300, "a@b", "a\nb"):
        with pytest.raises(absdb.InvalidInputError):
            main.branch(bad)
    staging.rename("rc")
    assert staging.name == "rc"
    assert "staging" not in shop
    assert values(shop["rc"]) == values(main)
    staging.drop()
    assert list(shop) == ["main"]
    with pytest.raises(absdb.StateError, match="was dropped"):
        staging["t"].count()
    assert "was dropped" in repr(staging)
    with pytest.raises(absdb.StateError, match="only database"):
        main.drop()


def test_how_long_a_branch_should_live(main):
    for wrong in ("7 moons", 7, "-1 day", dt.timedelta(0)):
        with pytest.raises(absdb.InvalidInputError, match="retain"):
            main.branch("x", retain=wrong)


def test_a_protected_database_takes_no_commits(main):
    staging = main.branch("staging", protected=True)
    assert staging.protected
    for attempt in (
        lambda: staging["t"].insert({"id": 9}),
        lambda: staging["t"].add_column("x", "int64"),
        lambda: staging.create_table("x", ROWS),
        staging.drop,
        lambda: staging.restore(lsn=0),
    ):
        with pytest.raises(absdb.StateError, match="protected"):
            attempt()
    staging.unprotect()
    assert staging["t"].insert({"id": 9}) == 1
    staging.protect()
    assert staging.protected


# -- points in time


def test_the_past_can_be_read(main):
    first = main.log()["lsn"][0]
    main["t"].add_column("w", "string", default="x")
    main["t"].update({"id": 1, "v": 11})
    main.create_table("later", ROWS)
    past = main.at(lsn=first)
    assert values(past) == {1: 10, 2: 20, 3: 30}
    assert past["t"].schema.names == ["id", "v"]
    assert past["t"].get(1) == {"id": 1, "v": 10}
    assert list(past) == ["t"]
    assert past.lsn == absdb.Lsn.parse(first)
    assert past.read_only
    assert not main.read_only
    assert list(past.log()["lsn"]) == [first]
    assert past["t"].history(1)["v"].tolist() == [10]
    assert set(past.diff(main).summary()["operation"]) == {"schema", "modified", "table removed"}
    assert set(main.diff(past).summary()["operation"]) == {"schema", "modified", "table added"}


def test_points_are_named_by_lsn_time_and_snapshot(main):
    main.snapshot("before")
    lsn = main.lsn
    main["t"].update({"id": 1, "v": 11})
    when = main.log()["time"][0]
    before = {1: 10, 2: 20, 3: 30}
    assert values(main.at(snapshot="before")) == before
    assert (
        values(main.at(lsn=lsn)) == values(main.at(lsn=str(lsn))) == values(main.at(lsn=int(lsn))) == before
    )
    earlier = when.to_pydatetime() - dt.timedelta(microseconds=1)
    assert values(main.at("before")) == values(main.at(str(lsn))) == values(main.at(int(lsn))) == before
    assert values(main.at(str(earlier))) == values(main.at(earlier)) == before
    with pytest.raises(absdb.InvalidInputError, match="two points"):
        main.at("before", lsn=lsn)
    with pytest.raises(absdb.NotFoundError, match="no LSN, no time and no snapshot"):
        main.at("befor")
    assert values(main.at(time=earlier)) == before
    assert values(main.at(time=str(earlier))) == before
    assert values(main.at(time=earlier.replace(tzinfo=None))) == before, "naive means UTC"
    assert values(main.at(time=when)) == values(main.at()) == {1: 11, 2: 20, 3: 30}


def test_values_of_a_sequence(main):
    main.create_sequence("invoice", start=1000, increment=5)
    assert [main.next_value("invoice") for _ in range(3)] == [1000, 1005, 1010]
    assert main.next_values("invoice", 3) == range(1015, 1030, 5)
    before = main.lsn
    with main.transaction() as tx:
        assert tx.next_value("invoice") == 1030
        tx.create_sequence("down", start=-1, increment=-1)
        assert list(tx.next_values("down", 3)) == [-1, -2, -3]
        tx.rollback()
    assert main.sequences().to_dict("records") == [{"name": "invoice", "start": 1000, "increment": 5}]
    main.restore(lsn=before)
    after = main.next_value("invoice")
    other = main.branch("other")
    assert after == 1035
    assert {main.next_value("invoice") for _ in range(50)}.isdisjoint(
        {other.next_value("invoice") for _ in range(50)}
    )
    main.create_sequence("end", start=2**63 - 2)
    assert [main.next_value("end") for _ in range(2)] == [2**63 - 2, 2**63 - 1]
    with pytest.raises(absdb.StateError, match="sequence 'end' has no more values"):
        main.next_value("end")
    with pytest.raises(absdb.NotFoundError, match="no sequence 'invoices'") as caught:
        main.next_value("invoices")
    assert caught.value.hint == "sequences: end, invoice"
    for count in (0, -1, True, 1.5, "a"):
        with pytest.raises(absdb.InvalidInputError, match="cannot take"):
            main.next_values("invoice", count)
    with pytest.raises(absdb.StateError, match="which does not change"):
        main.at().next_value("invoice")
    main.drop_sequence("end")
    assert list(main.sequences()["name"]) == ["invoice"]


def test_points_that_are_not_there(main):
    for wrong, kind, text in (
        ({"lsn": 2**40}, absdb.InvalidInputError, "future"),
        ({"lsn": "x"}, absdb.InvalidInputError, "not an LSN"),
        ({"time": "2999-01-01"}, absdb.InvalidInputError, "2999-01-01 00:00:00Z lies in the future"),
        ({"time": "1999-01-01"}, absdb.HistoryExpiredError, "no history at 1999-01-01"),
        ({"time": "yesterday"}, absdb.InvalidInputError, "not a point in time"),
        ({"snapshot": "nope"}, absdb.NotFoundError, "no snapshot 'nope'"),
        ({"lsn": 1, "snapshot": "x"}, absdb.InvalidInputError, "not by lsn and snapshot"),
    ):
        for verb in (main.at, main.restore):
            with pytest.raises(kind, match=text):
                verb(**wrong)
        with pytest.raises(kind, match=text):
            main.branch("b", **wrong)
    with pytest.raises(absdb.InvalidInputError, match="does not say to which point"):
        main.restore()


def test_the_past_does_not_change(main):
    past = main.at()
    table = past["t"]
    for attempt in (
        lambda: table.insert({"id": 9}),
        lambda: table.delete(1),
        lambda: table.add_column("x", "int64"),
        lambda: past.create_table("x", ROWS),
        lambda: past.drop_table("t"),
        past.transaction,
        past.protect,
        past.drop,
        lambda: past.rename("x"),
    ):
        with pytest.raises(absdb.StateError, match="does not change"):
            attempt()
    main["t"].truncate()
    main.drop_table("t")
    assert table.count() == 3


def test_the_past_outlives_its_branch(main):
    staging = main.branch("staging")
    staging["t"].insert({"id": 4, "v": 40})
    past = staging.at()
    staging.drop()
    assert values(past) == {1: 10, 2: 20, 3: 30, 4: 40}


def test_snapshots(shop, main):
    lsn = main.snapshot("one", comment="before it all")
    main["t"].truncate()
    staging = main.branch("staging")
    staging.snapshot("one")
    with pytest.raises(absdb.AlreadyExistsError, match="snapshot 'one' already"):
        main.snapshot("one")
    assert main.snapshots().to_dict("records") == [
        {
            "name": "one",
            "database": "main",
            "lsn": str(lsn),
            "created_at": main.snapshots()["created_at"][0],
            "comment": "before it all",
        }
    ]
    assert list(shop.snapshots()["database"]) == ["main", "staging"]
    assert main.at(snapshot="one")["t"].count() == 3
    main.drop_snapshot("one")
    assert len(main.snapshots()) == 0
    with pytest.raises(absdb.NotFoundError, match="no snapshot 'one'"):
        main.drop_snapshot("one")
    main.at(lsn=lsn).snapshot("again")
    assert main.at(snapshot="again")["t"].count() == 3


def test_restore_and_back(main):
    main.snapshot("good")
    main["t"].truncate()
    main.create_table("x", ROWS)
    broken = main.lsn
    lsn = main.restore(snapshot="good", message="wound back")
    assert values(main) == {1: 10, 2: 20, 3: 30}
    assert "x" not in main
    log = main.log()
    assert (log["lsn"][0], log["kind"][0], log["message"][0], log["author"][0]) == (
        str(lsn), "restore", "wound back", "ann",
    )  # fmt: skip
    main.restore(lsn=broken)
    assert main["t"].count() == 0
    assert "x" in main
    main.at(snapshot="good").branch("copy")
    main.at(snapshot="good")["t"].count()
    main.restore(snapshot="good", tables=["t"])
    assert values(main) == {1: 10, 2: 20, 3: 30}
    assert "x" in main


def undone(database):
    log = database.log()
    return dict(zip(log["message"], log["undone"].tolist(), strict=True))


def test_the_log_tells_what_happened(main):
    main["t"].insert([{"id": 4}, {"id": 5}], message="more")
    main["t"].sync([{"id": 1, "v": 11}, {"id": 2, "v": 20}, {"id": 6, "v": 1}], author="bob")
    main["t"].add_column("w", "int64")
    log = main.log()
    assert list(log.columns) == [
        "lsn", "time", "author", "message", "kind", "tables", "rows_inserted", "rows_updated", "rows_deleted",
        "undone", "database", "from_database", "from_lsn",
    ]  # fmt: skip
    assert list(log["kind"]) == ["schema", "commit", "commit", "commit"]
    assert list(log["author"]) == ["ann", "bob", "ann", "ann"]
    assert list(log["message"]) == [None, None, "more", "first"]
    assert log[["rows_inserted", "rows_updated", "rows_deleted"]].values.tolist() == [
        [0, 0, 0], [1, 1, 3], [2, 0, 0], [3, 0, 0],
    ]  # fmt: skip
    assert log["tables"][1] == ["t"]
    assert log["time"].is_monotonic_decreasing
    assert str(log["time"].dtype) == "datetime64[us, UTC]"
    assert len(main.log(limit=2)) == 2
    assert str(log["undone"].dtype) == "boolean"
    assert not log["undone"].any()


def test_the_log_names_the_tables_of_a_change_of_schema(main):
    main.create_table("empty", {"id": "int64"}, key="id")
    main["empty"].rename("void")
    with main.transaction() as tx:
        tx["t"].insert([{"id": 4}])
        tx.drop_table("void")
    main.restore(lsn=main.log()["lsn"][1], tables=["void"])
    assert main.log()["tables"].tolist() == [["void"], ["t", "void"], ["void"], ["empty"], ["t"]]


def test_the_log_shows_what_a_restore_undid_and_where_to_go_back_to(main):
    main["t"].delete(1, message="wanted")
    main["t"].insert([{"id": 9}], message="also wanted")
    main.restore(lsn=main.log()["lsn"][2], message="too far")
    main["t"].delete(2, message="since")
    assert undone(main) == {
        "since": False,
        "too far": False,
        "also wanted": True,
        "wanted": True,
        "first": False,
    }
    assert undone(main.at(lsn=main.log()["lsn"][2])) == {
        "also wanted": False,
        "wanted": False,
        "first": False,
    }
    log = main.log()
    wanted = log[log["undone"] & (log["message"] == "also wanted")]["lsn"].iloc[0]
    main.restore(lsn=wanted, message="back")
    assert set(values(main)) == {2, 3, 9}
    assert undone(main) == {
        "back": False, "since": True, "too far": False, "also wanted": False, "wanted": False, "first": False,
    }  # fmt: skip
    assert main.log(limit=2)["undone"].tolist() == [False, True]


def test_a_branch_shows_what_it_undid_of_what_it_was_made_from(main):
    main["t"].delete(1, message="wanted")
    staging = main.branch("staging")
    main["t"].delete(2, message="of main alone")
    staging["t"].delete(3, message="own")
    staging.restore(lsn=main.log()["lsn"].iloc[-1], message="too far")
    shown = staging.log()
    assert shown["kind"].tolist() == ["restore", "commit", "branch", "commit", "commit"]
    assert shown["undone"].tolist() == [False, True, False, True, False]
    assert not main.log()["undone"].any()
    staging.restore(lsn=shown["lsn"][1])
    assert set(values(staging)) == {2}


def test_lineage_and_lsn(main):
    branch = main.branch("b")
    assert len(main.lineage) == 1
    assert branch.lineage == main.lineage
    branch["t"].truncate()
    assert len(branch.lineage) == 2
    assert isinstance(branch.lsn, absdb.Lsn)
    assert branch.lsn > branch.lineage[0][1]


def test_diff_of_branches(main):
    staging = main.branch("staging")
    staging["t"].sync([{"id": 1, "v": 11}, {"id": 2, "v": 20}, {"id": 4, "v": 40}])
    staging["t"].add_column("w", "string")
    diff = staging.diff(main)
    summary = {row.operation: row.row_count for row in diff.summary().itertuples()}
    assert summary == {"schema": 1, "added": 1, "modified": 1, "removed": 1}
    schema = diff.schema()
    assert schema.iloc[0].to_dict() == {
        "table_name": "t", "kind": "column", "item": "w", "change": "added", "from_value": "", "to_value": "string",
    }  # fmt: skip
    assert len(main.diff(main).summary()) == 0
    assert repr(diff).startswith("<Diff staging @ 0/")


def test_metadata_has_the_same_dtypes_with_and_without_rows(shop):
    empty, full = shop["main"], shop.create_database("full")
    full.create_table("t", ROWS, key="id")
    full.snapshot("s")
    for verb in ("tables", "log", "snapshots", "schemas"):
        before, after = getattr(empty, verb)(), getattr(full, verb)()
        assert before.dtypes.to_dict() == after.dtypes.to_dict(), verb
        assert len(after) > 0
    assert empty.diff(empty).summary().dtypes.to_dict() == full.diff(empty).summary().dtypes.to_dict()
