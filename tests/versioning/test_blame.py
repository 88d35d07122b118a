"""Blame names for every row, and for every cell, the commit that wrote it last, whatever files the state lies in."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import absdb
from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import compact_table, maintain
from absdb.errors import InvalidInputError, NotFoundError

KEYS: dict[str, tuple[list[str], Any]] = {
    "integer": (["id"], lambda n: (n,)),
    "text": (["id"], lambda n: (f"k{n:03}",)),
    "composite": (["a", "b"], lambda n: (n % 7, f"b{n}")),
}
SCHEMAS = {
    "integer": {"id": "int64", "v": "int64", "s": "string"},
    "text": {"id": "string", "v": "int64", "s": "string"},
    "composite": {"a": "int32", "b": "string", "v": "int64", "s": "string"},
}


@dataclasses.dataclass
class Written:
    """A row of the model, and the LSNs of the commits that wrote it and its cells."""

    values: dict[str, Any]
    lsn: str
    cells: dict[str, str]


def put(rows: dict[Any, Written], key: Any, values: dict[str, Any], lsn: str) -> None:
    """A row is given these values in a commit, which does not write what is there already."""
    old = rows.get(key)
    if old is None:
        rows[key] = Written(values, lsn, dict.fromkeys(values, lsn))
    elif old.values != values:
        cells = {name: old.cells[name] if old.values[name] == values[name] else lsn for name in values}
        rows[key] = Written(values, lsn, cells)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("seed", range(3))
def test_blame_agrees_with_a_model_of_random_histories(kind: str, seed: int) -> None:
    chance = random.Random(f"{kind} {seed}")
    names, key_of = KEYS[kind]
    clock = absdb.ManualClock(tick_us=1_000_000)
    settings = {"page_rows": 32, "run_limit": 3, "history_retention": "5 seconds" if seed == 2 else "1 day"}
    with absdb.connect(":memory:", clock=clock, author="ann", **settings) as shop:
        shop["main"].create_table("t", SCHEMAS[kind], key=names)
        heads: dict[str, dict[Any, Written]] = {"main": {}}
        states: list[tuple[absdb.Database, dict[Any, Written]]] = []
        for step in range(60):
            name = chance.choice(list(heads))
            database, rows = shop[name], dict(heads[name])
            keys = [key_of(chance.randrange(150)) for _ in range(chance.choice([1, 5, 80]))]
            given = {key: {"v": chance.randrange(3), "s": chance.choice([None, "a", "b"])} for key in keys}
            gone = [key_of(chance.randrange(150)) for _ in range(chance.choice([0, 0, 3, 30]))]
            with database.transaction(message=f"m{step}") as tx:
                tx["t"].upsert([dict(zip(names, key, strict=True)) | row for key, row in given.items()])
                tx["t"].delete([dict(zip(names, key, strict=True)) for key in gone])
            lsn = database.log(limit=1)["lsn"][0]
            for key, values in given.items():
                if key not in gone:
                    put(rows, key, values, lsn)
            for key in gone:
                rows.pop(key, None)
            heads[name] = rows
            states.append((database.at(), rows))
            happen(chance, shop, heads, states, f"b{step}")
            if seed == 2 and step % 15 == 14:
                del states[:-3]
                let_expire(shop, heads)
        log = {row.lsn: row for name in heads for row in shop[name].log().itertuples()}
        assert bool(shop["main"]._engine.covers.expired) == (seed == 2)
        for database, rows in [
            *chance.sample(states, min(len(states), 12)),
            *((shop[name], heads[name]) for name in heads),
        ]:
            check(database, rows, names, log, certain=seed != 2)


def happen(chance: random.Random, shop: Any, heads: Any, states: Any, name: str) -> None:
    """Something that changes no state of what was, or only by going back."""
    engine = shop["main"]._engine
    match chance.randrange(7):
        case 0 if len(heads) < 4:
            source, rows = chance.choice(states)
            source.branch(name)
            heads[name] = rows
        case 1:
            back, rows = chance.choice(states)
            if back.name in heads:
                back.restore(message="back")
                heads[back.name] = rows
        case 2:
            checkpoint(engine)
        case 3:
            info = engine.history.database(chance.choice(list(heads)))
            schema = engine.history.catalog_at(engine.head(info.id)[1]).table("t")
            compact_table(engine, info.id, schema)
        case 4:
            maintain(engine)
        case 5:
            states[:] = states[-15:]  # what is let go of may expire


def let_expire(shop: Any, heads: Any) -> None:
    """Make images, so that old runs are needed by nobody any more."""
    engine = shop["main"]._engine
    for name in heads:
        info = engine.history.database(name)
        schema = engine.history.catalog_at(engine.head(info.id)[1]).table("t")
        checkpoint(engine)
        compact_table(engine, info.id, schema)
    maintain(engine)


def check(database: Any, rows: dict[Any, Written], names: list[str], log: Any, *, certain: bool) -> None:
    """Rows, cells, and those of some keys, as the model has them."""
    table, ordered = database["t"], sorted(rows)
    found = table.blame()
    assert list(found.columns) == [*names, "lsn", "time", "author", "message", "database"]
    assert [tuple(row) for row in found[names].itertuples(index=False)] == ordered
    assert found["lsn"].tolist() == [rows[key].lsn for key in ordered]
    for row in found.head(20).itertuples():
        entry = log[row.lsn]
        assert (row.time, row.author, row.message) == (entry.time, "ann", entry.message)
    some = ordered[::7]
    asked = [dict(zip(names, key, strict=True)) for key in [*reversed(some), some[0]]] if some else []
    part = table.blame(keys=asked)
    assert part.equals(found.iloc[::7].reset_index(drop=True)) or (part.empty and not some)
    for key, lsn in list(zip(some, part["lsn"], strict=True))[:5]:
        assert table.history(key if len(key) > 1 else key[0])["lsn"].iloc[-1] == lsn
    cells = table.blame(columns=["s", "v"])
    assert cells["column"].tolist() == ["s", "v"] * len(ordered)
    assert [tuple(row) for row in cells[names].iloc[::2].itertuples(index=False)] == ordered
    expected = [rows[key].cells[name] for key in ordered for name in ("s", "v")]
    known = [lsn for lsn, is_known in zip(expected, cells["lsn"].notna(), strict=True) if is_known]
    assert cells["lsn"].dropna().tolist() == known
    assert len(known) == len(expected) or not certain
    few = table.blame(keys=asked, columns=["v"])["lsn"]
    assert few.tolist() == cells["lsn"].iloc[1::14].tolist()


@pytest.fixture
def shop() -> Any:
    with absdb.connect(":memory:", clock=absdb.ManualClock(tick_us=1_000_000), author="ann") as shop:
        shop["main"].create_table(
            "t", [{"id": n, "v": n, "s": "x"} for n in range(4)], key="id", message="load"
        )
        yield shop


def messages(table: Any, **options: Any) -> list[Any]:
    return table.blame(**options)["message"].tolist()


def test_bulk_loads_have_their_commit_after_reopening(tmp_path: Any) -> None:
    with absdb.connect(tmp_path / "shop", bulk_threshold=1000, page_rows=64) as shop:
        main = shop["main"]
        main.create_table("t", pa.table({"id": range(1000), "v": range(1000)}), key="id", message="load")
        main["t"].upsert(pa.table({"id": range(500, 700), "v": [0] * 200}), message="fix")
        main["t"].update({"id": 3, "v": 7}, message="one")
        expected = main["t"].blame()
    with absdb.connect(tmp_path / "shop") as shop:
        found = shop["main"]["t"].blame()
    assert found.equals(expected)
    assert found["message"].value_counts().to_dict() == {"load": 799, "fix": 200, "one": 1}
    assert found["message"].iloc[[3, 499, 500, 699, 700]].tolist() == ["one", "load", "fix", "fix", "load"]


def test_a_table_without_a_key_is_blamed_in_the_order_of_reads(shop: Any) -> None:
    main = shop["main"]
    main.create_table("n", [{"a": 1}, {"a": 2}], message="two")
    main["n"].insert({"a": 1}, message="again")
    found = main["n"].blame()
    assert list(found.columns) == ["lsn", "time", "author", "message", "database"]
    assert list(zip(main["n"].to_pandas()["a"], found["message"], strict=True)) == [
        (1, "two"),
        (2, "two"),
        (1, "again"),
    ]
    assert messages(main["n"], columns=["a"]) == ["two", "two", "again"]
    with pytest.raises(InvalidInputError, match="no key"):
        main["n"].blame(keys=[1])


def test_a_transaction_has_no_commit_yet(shop: Any) -> None:
    with shop["main"].transaction(message="later") as tx:
        tx["t"].update({"id": 1, "v": 10})
        tx["t"].delete(2)
        tx["t"].insert(pa.table({"id": [9], "v": [9], "s": ["y"]}))
        found = tx["t"].blame()
        assert found["id"].tolist() == [0, 1, 3, 9]
        assert found["message"].tolist() == ["load", None, "load", None]
        assert found["lsn"].isna().tolist() == [False, True, False, True]
        assert messages(tx["t"], keys=[1], columns=["v", "s"]) == [None, "load"]
    assert messages(shop["main"]["t"]) == ["load", "later", "load", "later"]


def test_a_branch_names_where_a_commit_was_made_until_that_is_dropped(shop: Any) -> None:
    staging = shop["main"].branch("staging")
    staging["t"].update({"id": 0, "v": -1}, message="try")
    kept = staging.branch("kept")
    assert kept["t"].blame()["database"].tolist() == ["staging", "main", "main", "main"]
    staging.drop()
    found = kept["t"].blame()
    assert found["database"].tolist() == [None, "main", "main", "main"]
    assert found["message"].tolist() == ["try", "load", "load", "load"]


def test_rows_of_a_table_that_was_restored_alone_keep_their_commits(shop: Any) -> None:
    main = shop["main"]
    before = main.lsn
    main["t"].update([{"id": 0, "v": 100}, {"id": 1, "v": 100}], message="wrong")
    main.restore(lsn=before, tables=["t"], message="back")
    main["t"].update({"id": 1, "s": "z"}, message="right")
    assert messages(main["t"]) == ["load", "right", "load", "load"]
    assert messages(main["t"], keys=1, columns=["v", "s"]) == ["load", "right"]


def test_cells_are_compared_as_the_table_reads_them_now(shop: Any) -> None:
    table = shop["main"]["t"]
    table.add_column("w", "int64", default=5, message="add w")
    table.rename_column("s", "t", message="rename")
    table.update({"id": 2, "w": 6}, message="w")
    table.retype_column("v", "string", message="retype")
    assert messages(table, keys=[1, 2], columns=["w", "t", "v"]) == [
        *("load", "load", "retype"),
        *("w", "load", "retype"),
    ]
    assert messages(table) == ["retype"] * 4


def test_a_row_that_was_deleted_and_came_again_is_new_in_every_cell(shop: Any) -> None:
    table = shop["main"]["t"]
    table.delete(2)
    table.insert({"id": 2, "v": 2, "s": "x"}, message="again")
    assert messages(table, keys=2, columns=["id", "v", "s"]) == ["again"] * 3


def test_commits_that_the_log_has_lost_leave_their_lsn(shop: Any) -> None:
    main, engine = shop["main"], shop["main"]._engine
    loaded = main.log(limit=1)["lsn"][0]
    main["t"].update({"id": 1, "v": 6}, message="kept as the last one before")
    main["t"].update({"id": 1, "v": 7}, message="new")
    engine.log.truncate_before(main.lsn)
    found = main["t"].blame()
    assert found["message"].tolist() == [None, "new", None, None]
    assert found["time"].isna().tolist() == [True, False, True, True]
    assert found["lsn"].tolist()[::2] == [loaded, loaded]


def test_a_key_column_keeps_its_name(shop: Any) -> None:
    made = shop["main"].create_table("e", [{"time": 1, "lsn": "a", "v": 1}], key=["time", "lsn"])
    assert list(made.blame(columns=["v"]).columns)[:4] == ["time", "lsn", "column", "commit_lsn"]
    other = shop["main"].create_table("f", [{"column": 1, "v": 1}], key="column")
    assert list(other.blame(columns=["v"]).columns)[:3] == ["column", "commit_column", "lsn"]
    found = made.blame()
    assert list(found.columns) == [
        *("time", "lsn"),
        *("commit_lsn", "commit_time", "author", "message", "database"),
    ]
    assert found[["time", "lsn"]].values.tolist() == [[1, "a"]]


def test_empty_tables_and_wrong_arguments(shop: Any) -> None:
    table = shop["main"]["t"]
    for options in ({"keys": []}, {"keys": [77]}, {"keys": [77], "columns": ["v"]}):
        found = table.blame(**options)
        assert found.empty
        assert isinstance(found["time"].dtype, pd.DatetimeTZDtype)
    empty = shop["main"].create_table("e", {"id": "int64"}, key="id")
    assert empty.blame().empty
    assert empty.blame(columns=["id"]).empty
    with pytest.raises(NotFoundError, match="no column 'w'"):
        table.blame(columns=["w"])
    with pytest.raises(InvalidInputError, match="names no column"):
        table.blame(columns=[])
