"""Listings in SQL: they agree with the Python calls of the same name, at every point, and say what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
import pytest

import absdb
from absdb.testing.orders import orders

Column = absdb.Column


@pytest.fixture(scope="module")
def shop() -> Iterator[absdb.Instance]:
    """Two databases with history; nothing in this module writes to them."""
    clock = absdb.ManualClock(tick_us=1_000_000)
    with absdb.connect(":memory:", clock=clock, author="ann", page_rows=64) as shop:
        main = shop["main"]
        main.create_table("orders", orders(200), key="id", comment="bought", message="load")
        main.create_table("pairs", [{"a": 1, "b": "x", "v": 1.5}], key=["a", "b"])
        main.snapshot("before", comment="all well")
        staging = main.branch("staging", comment="try")
        with staging.transaction(message="mend") as tx:
            tx["orders"].delete([3, 4])
            tx["orders"].update({"id": 7, "status": "returned"})
            tx["pairs"].insert({"a": 2, "b": "y", "v": 2.0})
        staging.create_table("extra", pa.schema([("id", pa.int64())]), key="id")
        main["pairs"].update({"a": 1, "b": "x", "v": 3.0}, message="dearer")
        yield shop


@pytest.fixture
def main(shop: absdb.Instance) -> absdb.Database:
    return shop["main"]


def same(found: absdb.sql.query.result.Result, expected: pd.DataFrame) -> None:
    """The listing has the rows and columns of the frame."""
    frame = found.to_pandas()
    assert list(frame.columns) == list(expected.columns)
    shown = [
        frame.astype(object).where(frame.notna(), None),
        expected.astype(object).where(expected.notna(), None),
    ]
    left, right = (
        [[_plain(value) for value in row] for row in each.itertuples(index=False)] for each in shown
    )
    assert left == right


def _plain(value: object) -> object:
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else value


@pytest.mark.parametrize("name", ["databases", "branches", "snapshots", "settings", "pins", "wal_stats"])
@pytest.mark.parametrize("call", ["", "()"])
def test_listings_of_the_instance(shop, main, name, call):
    same(main.sql(f"FROM ABSDB_{name}{call}"), getattr(shop, name)())


def test_listings_of_a_database(shop, main):
    same(main.sql("FROM absdb_tables"), main.tables())
    same(main.sql("FROM absdb_log"), main.log())
    same(main.sql("FROM absdb_log()"), main.log())
    same(main.sql("FROM absdb_log('staging')"), shop["staging"].log())
    same(main.sql("FROM Staging.absdb_log"), shop["staging"].log())
    same(main.sql("FROM staging.absdb_tables"), shop["staging"].tables())
    same(main.sql("FROM absdb_tables('staging')"), shop["staging"].tables())
    same(main.sql("FROM absdb_log('staging', 2)"), shop["staging"].log(limit=2))
    same(main.sql("FROM absdb_log(newest => $n)", {"n": 1}), main.log(limit=1))
    same(main.sql("FROM absdb_snapshots('main')"), main.snapshots())
    assert main.sql("FROM absdb_snapshots('staging')").fetchall() == []


def test_listings_at_a_point(shop, main):
    past = main.at(snapshot="before")
    same(main.sql("FROM absdb_log(at_snapshot => 'before')"), past.log())
    same(main.sql("FROM absdb_log('main', at_lsn => ?)", [str(past.lsn)]), past.log())
    same(main.sql("FROM absdb_tables('main', at_snapshot => 'before')"), past.tables())
    same(main.sql("FROM absdb_log AT (SNAPSHOT => 'before')"), past.log())
    same(past.sql("FROM absdb_log"), past.log())
    same(past.sql("FROM absdb_tables"), past.tables())
    time = main.log()["time"].iloc[-1]
    same(
        main.sql("FROM absdb_log(at_time => ?)", [time.to_pydatetime()]),
        main.at(time=time.to_pydatetime()).log(),
    )


def test_a_transaction_sees_its_own_tables(main):
    with main.transaction() as tx:
        tx.create_table("mine", [{"id": 1}], key="id")
        tx["pairs"].insert({"a": 9, "b": "z", "v": 1.0})
        assert tx.sql("SELECT name, rows FROM absdb_tables ORDER BY name").fetchall() == [
            ("mine", 1),
            ("orders", 200),
            ("pairs", 2),
        ]
        tx.rollback()


# -- differences


def test_differences_agree_with_diff(shop, main):
    staging = shop["staging"]
    diff = staging.diff(main)
    same(main.sql("FROM absdb_branch_diff('staging', 'main')"), diff.summary().drop(columns="cell_count"))
    same(main.sql("FROM absdb_diff_summary('staging', 'MAIN')"), diff.summary())
    same(main.sql("FROM absdb_schema_diff('staging', 'main')"), diff.schema())
    for name in diff:
        same(main.sql("FROM absdb_diff('staging', 'main', ?)", [name.upper()]), diff[name].to_pandas())
    since = main.diff(main.at(snapshot="before"))
    same(main.sql("FROM absdb_diff_summary('main', 'main', from_snapshot => 'before')"), since.summary())
    same(
        main.sql("FROM absdb_diff('main', 'main', 'pairs', from_snapshot => 'before')"),
        since["pairs"].to_pandas(),
    )
    back = main.at(snapshot="before").diff(main)
    same(
        main.sql("FROM absdb_diff('main', 'main', 'pairs', to_snapshot => 'before') AS d"),
        back["pairs"].to_pandas(),
    )


def test_options_of_a_difference_agree_with_where(shop, main):
    found = shop["staging"].diff(main)["orders"]
    name = found.to_arrow().schema.names[-2].removeprefix("to_")
    for options, text in (
        ({"kinds": "added"}, "kinds => 'added'"),
        (
            {"kinds": ["modified", "removed"], "columns": name},
            f"kinds => ['modified', 'removed'], columns => '{name}'",
        ),
        ({"ignore": [name]}, f"ignore => ['{name}']"),
        ({"tolerance": 0.5, "relative_tolerance": 0.001}, "tolerance => 0.5, relative_tolerance => 0.001"),
    ):
        expected = found.where(**options).to_pandas()
        same(main.sql(f"FROM absdb_diff('staging', 'main', 'orders', {text})"), expected)


def test_rows_of_a_difference_can_be_joined_and_counted(main):
    found = main.sql(
        """
        SELECT d.diff_type, count(*), sum(o.id)
        FROM absdb_diff('staging', 'main', 'orders') d JOIN orders o USING (id), absdb_wal_stats
        GROUP BY ALL ORDER BY 1
        """
    )
    assert found.fetchall() == [("modified", 1, 7), ("removed", 2, 7)]
    twice = "absdb_diff('staging', 'main', 'orders')"
    assert main.sql(f"SELECT count(*) FROM {twice} a JOIN {twice} b USING (id)").fetchall() == [(3,)]


def test_a_difference_without_rows_has_its_columns(main):
    found = main.sql("FROM absdb_diff('main', 'main', 'pairs')")
    assert found.columns == ["diff_type", "a", "b", "from_v", "to_v", "changed"]
    assert found.fetchall() == []


def test_types_that_sql_does_not_know_are_widened_in_differences():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.create_table("h", pa.table({"id": [1], "v": pa.array([1.5], pa.float16())}), key="id")
        main.snapshot("s")
        main["h"].update(pa.table({"id": [1], "v": pa.array([2.5], pa.float16())}))
        found = main.sql("FROM absdb_diff('main', 'main', 'h', from_snapshot => 's')")
        assert found.fetchall() == [("modified", 1, 1.5, 2.5, ["v"])]


def test_the_history_of_a_row(shop, main):
    same(main.sql("FROM absdb_history('orders', 7)"), main["orders"].history(7))
    expected = main["pairs"].history((1, "x"))
    assert len(expected) == 2
    for key in ("1, 'x'", "(1, 'x')", "key => (1, 'x')", "key => {'a': 1, 'b': 'x'}"):
        same(main.sql(f"FROM absdb_history('pairs', {key})"), expected)
    same(main.sql("FROM absdb_history('staging.orders', 7)"), shop["staging"]["orders"].history(7))


def test_blame(shop, main):
    staging = shop["staging"]
    same(main.sql("FROM absdb_blame('pairs')"), main["pairs"].blame())
    same(main.sql("FROM absdb_blame('staging.Pairs')"), staging["pairs"].blame())
    same(
        main.sql("FROM absdb_blame('pairs', at_snapshot => 'before')"),
        main.at(snapshot="before")["pairs"].blame(),
    )
    same(staging.sql("FROM absdb_blame('orders', 7)"), staging["orders"].blame(keys=7))
    cells = staging["orders"].blame(keys=[7, 8], columns=["status", "id"])
    same(staging.sql("FROM absdb_blame('orders', keys => [8, 7], columns => ['status', 'id'])"), cells)
    keyed = "keys => [{'a': 1, 'b': 'x'}], columns => ['v']"
    same(main.sql(f"FROM absdb_blame('pairs', {keyed})"), main["pairs"].blame(keys=[(1, "x")], columns=["v"]))
    grouped = "SELECT database, message, count(*) FROM absdb_blame('orders') GROUP BY ALL ORDER BY ALL"
    assert staging.sql(grouped).fetchall() == [("main", "load", 197), ("staging", "mend", 1)]
    with main.transaction() as tx:
        tx.sql("UPDATE pairs SET v = 9")
        assert tx.sql("SELECT a, lsn FROM absdb_blame('pairs')").fetchall() == [(1, None)]
        tx.rollback()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("absdb_log('stagin')", "did you mean 'staging'"),
        ("absdb_log(since => 1)", "takes database, newest, at_lsn, at_time, at_snapshot"),
        ("absdb_log(1)", "a database is named by text"),
        ("absdb_log(at_lsn => '0/64', at_snapshot => 'before')", "named by one of"),
        ("absdb_log(at_lsn => '99/0')", "lies in the future"),
        ("absdb_branches(1)", "takes no arguments"),
        ("absdb_branch_diff('staging')", "two databases are compared"),
        ("absdb_diff('staging', 'main')", "names a table"),
        ("absdb_diff('staging', 'main', 'orders', kinds => 'new')", "no kind of difference"),
        ("absdb_diff('staging', 'main', 'orders', ignore => 'x')", "not a column that is compared"),
        ("absdb_diff('staging', 'main', 'orders', tolerance => 'x')", "no tolerance"),
        ("absdb_diff('staging', 'main', 'order')", "did you mean 'orders'"),
        ("absdb_diff('staging', 'main', 'extra')", "no table 'extra' on both sides"),
        ("absdb_history('orders')", "a table and a key"),
        ("absdb_history('order', 1)", "did you mean 'orders'"),
        ("absdb_history('pairs', 1)", "a key has 2 parts"),
        ("absdb_blame()", "names a table"),
        ("absdb_blame('order')", "did you mean 'orders'"),
        ("absdb_blame('orders', columns => 'id')", "a list of names"),
        ("absdb_blame('pairs', 1)", "a key has 2 parts"),
        ("absdb_pins AT (LSN => '0/64')", "as it is now"),
        ("orders, absdb_history('orders', orders.id)", ""),
    ],
)
def test_what_is_wrong_with_a_call_is_said_at_its_place(main, call, said):
    with pytest.raises(absdb.QueryError, match="LINE 1") as caught:
        main.sql(f"FROM {call}")
    assert said in str(caught.value)
