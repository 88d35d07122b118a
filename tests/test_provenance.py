"""Frames remember where they came from, wherever they go, and are read again as of now."""

from __future__ import annotations

import datetime as dt
import threading
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import absdb
from absdb.engine.reader import TableReader
from absdb.frame_origin import QUERY_MAX, VALUES_MAX, given_values, kept_values


@pytest.fixture
def shop(tmp_path: Path):
    with absdb.connect(tmp_path / "shop", clock=absdb.ManualClock()) as shop:
        yield shop


@pytest.fixture
def main(shop):
    main = shop["main"]
    main.create_table("orders", [{"id": n, "status": "new", "total": n * 1.5} for n in range(10)], key="id")
    return main


def frames(main: absdb.Database) -> dict[str, object]:
    """One frame of each kind of read."""
    orders, branch = main["orders"], main.branch("frames")
    branch["orders"].update({"id": 1, "status": "paid"})
    diff = branch.diff(main)
    return {
        "table": orders.to_arrow(["id"]),
        "table as pandas": orders.to_pandas(),
        "first rows": orders.head(2),
        "table as a stream": orders.to_batches(),
        "table as a capsule": pa.table(orders),
        "by key": main.sql("SELECT * FROM orders WHERE id = ?", [1]).to_pandas(),
        "query": main.sql("SELECT count(*) AS n FROM orders").to_arrow(),
        "query as a stream": main.sql("FROM orders").to_batches(),
        "query as a capsule": pa.table(main.sql("FROM orders")),
        "diff": diff["orders"].to_pandas(),
        "some of a diff": diff["orders"].where("to_status = 'paid'", kinds="modified", limit=1).to_arrow(),
        "first rows of a diff": diff["orders"].head(1),
        "diff as a stream": diff["orders"].to_batches(),
        "diff by content": diff.by_content("orders", ignore="total").to_pandas(),
        "diff of queries": branch.query_diff("FROM orders", main, key="id").to_pandas(),
        "diff of two queries": branch.query_diff(
            "SELECT 1 AS n, $x AS x", "SELECT 2 AS n, $x AS x", parameters={"x": 5}
        ).to_arrow(),
        "history": orders.history(1),
        "blame": orders.blame(keys=[1, 2], columns=["status"]),
    }


def content(frame: object) -> pa.Table:
    return pa.Table.from_pandas(frame) if isinstance(frame, pd.DataFrame) else pa.table(frame)


def test_every_frame_says_where_it_came_from(shop, main):
    for name, frame in frames(main).items():
        found = absdb.provenance(frame)
        assert (found.instance, found.instance_id) == (shop.path, shop.id), name
        assert found.lsn in (main.lsn, shop["frames"].lsn) or found.lsn < main.lsn, name
        assert found.time == dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(
            microseconds=found.time_us - 1767225600_000_000
        )
        assert found.lost == (), name
        assert "\n" not in repr(found)
        assert found.database in found._repr_html_()


def test_every_frame_can_be_read_again(main):
    for name, frame in frames(main).items():
        again = absdb.refresh(frame)
        assert type(again) is type(frame), name
        first, second = content(frame), content(again)
        assert first.equals(second), name


def test_refresh_shows_what_was_committed_since(main):
    held = frames(main)
    main["orders"].upsert([{"id": 1, "status": "sold"}, {"id": 99, "status": "late"}])
    again = {name: absdb.refresh(frame) for name, frame in held.items()}
    assert again["table"].num_rows == 11
    assert list(again["by key"]["status"]) == ["sold"]
    assert again["query"]["n"].to_pylist() == [11]
    assert list(again["diff"]["diff_type"]) == ["modified", "removed"]
    assert list(again["some of a diff"]["id"].to_pylist()) == [1]
    assert list(again["history"]["status"]) == ["new", "sold"]
    assert absdb.provenance(again["table"]).lsn == main.lsn


def test_a_frame_of_the_past_is_read_again_at_the_head(main):
    before = main.at(lsn=main.lsn)
    main["orders"].delete(1)
    assert absdb.refresh(before["orders"].to_arrow()).num_rows == 9
    assert absdb.refresh(before.sql("FROM orders").to_arrow()).num_rows == 9


def test_a_side_of_a_diff_that_was_a_point_stays_there(main):
    before = main.at(lsn=main.lsn)
    main["orders"].delete(1)
    frame = main.diff(before)["orders"].to_pandas()
    single = main.diff_of(main.lsn)["orders"].to_pandas()
    main["orders"].delete(2)
    assert list(absdb.refresh(frame)["id"]) == [1, 2]
    assert list(absdb.refresh(single)["id"]) == [1]


def test_time_travel_inside_a_query_stays(main):
    frame = main.sql(f"SELECT * FROM orders AT (LSN => '{main.lsn}')").to_pandas()
    main["orders"].truncate()
    assert len(absdb.refresh(frame)) == 10


def test_parquet_keeps_it(main, tmp_path):
    frame, table = main.sql("FROM orders WHERE id > ?", [3]).to_pandas(), main["orders"].to_arrow()
    frame.to_parquet(tmp_path / "pandas.parquet")
    pq.write_table(table, tmp_path / "arrow.parquet")
    made = absdb.provenance(frame)
    assert absdb.provenance(pd.read_parquet(tmp_path / "pandas.parquet")) == made
    assert absdb.provenance(pq.read_table(tmp_path / "pandas.parquet")) == made
    assert absdb.provenance(pq.read_schema(tmp_path / "arrow.parquet")) == absdb.provenance(table)
    assert absdb.provenance(pa.Table.from_pandas(frame)) == made
    assert len(absdb.refresh(pq.read_table(tmp_path / "arrow.parquet"))) == 10


def test_what_pandas_makes_of_a_frame_keeps_it_and_a_mixture_does_not(main):
    frame, other = main["orders"].to_pandas(), main.sql("FROM orders").to_pandas()
    made = absdb.provenance(frame)
    assert absdb.provenance(frame[frame["id"] > 3].sort_values("total")) == made
    assert absdb.provenance(frame["id"]) == made
    assert absdb.provenance(pd.concat([frame, frame])) == made
    assert absdb.provenance(pd.concat([frame, other])) is None
    assert all(type(value) is str for value in frame.attrs.values())


def test_it_does_not_count_when_arrow_compares_or_joins(main):
    table, query = main["orders"].to_arrow(), main.sql("FROM orders").to_arrow()
    assert table.schema.metadata != query.schema.metadata
    assert table.equals(query)
    assert pa.concat_tables([table, query]).num_rows == 20


def test_duckdb_scans_frames_that_remember(main):
    rows, frame = main["orders"].to_arrow(), main["orders"].to_pandas()
    assert main.sql("SELECT count(*) FROM rows JOIN frame USING (id)").fetchall() == [(10,)]
    assert duckdb.sql("SELECT sum(id) FROM rows").fetchall() == [(45,)]
    assert frame.attrs
    assert rows.schema.metadata


def test_nothing_of_it_is_stored(shop, main, tmp_path):
    table = main["orders"].to_arrow()
    main.create_table("copy", table, key="id").upsert(main.sql("FROM orders WHERE id > ?", [3]))
    main.create_table("bare", table.schema, key="id").insert(main["orders"])
    main["copy"].sync(main["orders"].to_pandas())
    shop.checkpoint()
    assert absdb.provenance(main["copy"].to_arrow()).table == "copy"
    assert main["copy"].schema.metadata is None
    assert main["bare"].schema.metadata is None
    for file in (tmp_path / "shop").rglob("*"):
        assert not file.is_file() or b"instance_id" not in file.read_bytes()
        assert not file.is_file() or b'"kind":"table"' not in file.read_bytes()


def test_the_same_read_of_the_same_state_has_the_same_text(main):
    first, second = (main.sql("FROM orders WHERE id = $id", {"id": 3}).to_arrow() for _ in range(2))
    assert first.schema.metadata == second.schema.metadata
    assert len(first.schema.metadata[b"absdb"]) < 400


def test_plain_parameters_are_kept_and_others_are_said_to_be_lost(main):
    given = {
        "a": 1,
        "b": None,
        "c": "x",
        "d": dt.date(2026, 1, 2),
        "e": Decimal("1.50"),
        "f": [1, 2],
        "g": 0.1,
    }
    text = "SELECT $a AS a, $b AS b, $c AS c, $d AS d, $e AS e, $f AS f, $g AS g"
    frame = main.sql(text, given).to_arrow()
    assert absdb.refresh(frame).equals(frame)
    for awkward in (b"bytes", "x" * VALUES_MAX, float("nan")):
        frame = main.sql("SELECT ? AS x", [awkward]).to_arrow()
        assert absdb.provenance(frame).lost == ("parameters",)
        assert "xxxx" not in absdb.provenance(frame).to_text()
        with pytest.raises(absdb.InvalidInputError, match="parameters of the query are not kept"):
            absdb.refresh(frame)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        0.1,
        "text",
        [1, [2]],
        {"a": {"b": 1}},
        dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC),
        dt.time(4),
    ],
)
def test_plain_values_come_back(value):
    assert given_values(kept_values(value)) == value


def test_a_long_query_is_cut(main):
    frame = main.sql(f"SELECT '{'é' * QUERY_MAX}' AS x").to_pandas()
    assert len(absdb.provenance(frame).query) == QUERY_MAX
    with pytest.raises(absdb.InvalidInputError, match="query of the query"):
        absdb.refresh(frame)


def test_what_a_query_read_beside_the_database_is_named(main):
    mine = pa.table({"id": [1]})
    frame = main.sql("SELECT * FROM mine JOIN orders USING (id)").to_pandas()
    assert len(mine) == len(frame) == 1
    with pytest.raises(absdb.InvalidInputError, match="frame mine of the query are not kept"):
        absdb.refresh(frame)
    with main.session() as session:
        session.sql("SET VARIABLE x = 5")
        frame = session.sql("SELECT getvariable('x') AS x").to_pandas()
    with pytest.raises(absdb.InvalidInputError, match="variables and settings of the session"):
        absdb.refresh(frame)


def test_a_query_is_run_again_in_its_schema(main):
    main.create_schema("sales")
    main.create_table("sales.orders", [{"id": 1}], key="id")
    with main.session() as session:
        session.sql("USE main.sales")
        frame = session.sql("FROM orders").to_pandas()
    assert len(absdb.refresh(frame)) == 1


def test_what_a_transaction_has_written_is_marked(main):
    with main.transaction() as tx:
        assert not absdb.provenance(tx["orders"].to_arrow()).uncommitted
        tx["orders"].delete(1)
        assert absdb.provenance(tx["orders"].to_arrow()).uncommitted
        assert absdb.provenance(tx.sql("FROM orders").to_pandas()).uncommitted
    with main.transaction(serializable=True) as tx:
        assert absdb.provenance(tx["orders"].to_arrow()).lsn == main.lsn


def test_frames_that_do_not_say(main):
    assert absdb.provenance(pd.DataFrame()) is None
    assert absdb.provenance(pd.DataFrame({"_provenance": [1], "schema": [2]})) is None
    assert absdb.provenance(pa.table({"a": [1]}).replace_schema_metadata({"absdb": "{}"})) is None
    foreign = pd.DataFrame()
    foreign.attrs["absdb"] = ["not ours"]
    assert absdb.provenance(foreign) is None
    for nothing in (3, "orders", None):
        with pytest.raises(absdb.InvalidInputError, match="is no frame"):
            absdb.provenance(nothing)
    with pytest.raises(absdb.InvalidInputError, match="does not say where it came from"):
        absdb.refresh(pd.DataFrame())
    with pytest.raises(absdb.InvalidInputError, match="cannot be refreshed"):
        absdb.refresh(main["orders"])


def test_what_can_be_read_as_a_frame_says_it_too(main):
    assert absdb.provenance(main["orders"]).table == "orders"
    assert absdb.provenance(main.sql("SELECT 1")).query == "SELECT 1"
    assert absdb.provenance(main.diff(main)["orders"]).against == "main"


def test_refresh_says_what_is_gone(shop, main, tmp_path):
    branch = main.branch("staging")
    frame, branched = main["orders"].to_pandas(), branch["orders"].to_pandas()
    branch.drop()
    main.drop_table("orders")
    with pytest.raises(absdb.NotFoundError, match="no table 'orders'"):
        absdb.refresh(frame)
    with pytest.raises(absdb.NotFoundError, match="no database 'staging'"):
        absdb.refresh(branched)
    shop.close()
    with pytest.raises(absdb.StateError, match="is not open in this process"):
        absdb.refresh(frame)


def test_refresh_finds_the_instance_whoever_holds_it(tmp_path):
    main = absdb.connect(tmp_path / "held")["main"]
    frame = main.create_table("t", [{"id": 1}], key="id").to_pandas()
    main["t"].insert({"id": 2})
    assert len(absdb.refresh(frame)) == 2
    with absdb.connect(":memory:") as other:
        assert {each.path for each in absdb.open_instances()} >= {main.at()._scope.engine.fs.root, other.path}
        with pytest.raises(absdb.NotFoundError, match="no table 't'"):
            absdb.refresh(frame, other)
    main._scope.engine.close()
    assert all(not each.closed for each in absdb.open_instances())


def test_the_lsn_is_that_of_the_rows_while_others_write(main):
    orders = main["orders"]
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            orders.upsert({"id": 1, "total": float(main.lsn)})

    thread = threading.Thread(target=write)
    thread.start()
    try:
        read = [orders.to_arrow() for _ in range(200)]
    finally:
        stop.set()
        thread.join()
    for table in read:
        assert main.at(lsn=absdb.provenance(table).lsn)["orders"].to_arrow().equals(table)


def test_rows_read_while_their_database_is_dropped_remember_its_last_name(monkeypatch):
    with absdb.connect(":memory:") as shop:
        shop["main"].create_table("t", {"id": [1]}, key="id")
        branch = shop["main"].branch("b")
        table = branch["t"]
        read = TableReader.to_table

        def read_then_dropped(self, *arguments, **options):
            found = read(self, *arguments, **options)
            branch.drop()
            return found

        monkeypatch.setattr(TableReader, "to_table", read_then_dropped)
        assert absdb.provenance(table.to_arrow()).database == "b"
