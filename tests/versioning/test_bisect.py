"""Bisection finds the commit that broke something; the diff of one commit is what that commit changed."""

from __future__ import annotations

import datetime as dt
import gc
import random
from typing import Any

import pytest

import absdb
from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import compact_table, maintain
from absdb.errors import HistoryExpiredError, InvalidInputError, NotFoundError


@pytest.fixture
def shop() -> Any:
    with absdb.connect(":memory:", clock=absdb.ManualClock(tick_us=1_000_000), author="ann") as shop:
        shop["main"].create_table("t", [{"id": n, "v": 0} for n in range(3)], key="id", message="load")
        yield shop


def put(database: absdb.Database, value: int, key: int = 1, **more: Any) -> absdb.Lsn:
    database["t"].update({"id": key, "v": value}, message=f"v{value}", **more)
    return absdb.Lsn.parse(database.log(limit=1)["lsn"][0])


def value(database: absdb.Database, key: int = 1) -> int:
    return int(database["t"].get(key)["v"])


def test_the_first_bad_commit_and_what_it_changed(shop: Any) -> None:
    main = shop["main"]
    lsns = [put(main, n, author="bo" if n == 30 else None) for n in range(1, 60)]
    seen: list[int] = []
    found = main.bisect(lambda db: value(db) < 30, progress=seen.append)
    assert (found.lsn, found.good_lsn) == (lsns[29], lsns[28])
    assert (found.author, found.message, found.tables) == ("bo", "v30", ("t",))
    entry = main.log().set_index("lsn").loc[str(found.lsn)]
    assert found.time == entry["time"].to_pydatetime()
    assert seen == list(range(1, found.tests + 1))
    assert found.tests <= 8
    rows = found.diff["t"].to_pandas()
    assert rows[["id", "from_v", "to_v"]].values.tolist() == [[1, 29, 30]]
    assert repr(found).startswith(f"<Bisection {lsns[29]}, 2026-01-01 00:")
    assert "'v30', t, " in repr(found)
    assert "modified" in found._repr_html_()


@pytest.mark.parametrize("test", ["SELECT max(v) < 7 FROM t", "SELECT v < 7 FROM t WHERE id = 1"])
def test_sql_is_a_test_too(shop: Any, test: str) -> None:
    lsns = [put(shop["main"], n) for n in range(1, 10)]
    assert shop["main"].bisect(test).lsn == lsns[6]


def test_good_and_bad_are_points_of_any_kind(shop: Any) -> None:
    main = shop["main"]
    lsns = [put(main, n) for n in (1, 9, 2, 3, 9, 9, 4, 9)]
    main.snapshot("fine", lsn=lsns[3])
    time = main.log().set_index("lsn").loc[str(lsns[3])]["time"]
    aware = time.to_pydatetime()
    for good in ("fine", lsns[3], str(lsns[3]), aware, aware.isoformat(), main.at(lsn=lsns[3])):
        found = main.bisect(lambda db: value(db) < 9, good=good, bad=lsns[5])
        assert (found.lsn, found.good_lsn) == (lsns[4], lsns[3])
    early = main.bisect(lambda db: value(db) < 9, good=lsns[0], bad=main.at(lsn=lsns[1]))
    assert (early.lsn, early.tests) == (lsns[1], 2)
    past = main.at(lsn=lsns[1])
    assert past.bisect(lambda db: value(db) < 9).lsn == lsns[1]


def test_a_branch_descends_from_the_commits_of_its_source(shop: Any) -> None:
    main = shop["main"]
    lsns = [put(main, n) for n in (1, 2, 3)]
    staging = main.branch("staging", lsn=lsns[1])
    put(main, 77)
    mine = put(staging, 5)
    assert staging.bisect(lambda db: value(db) < 2).lsn == lsns[1]
    assert staging.bisect(lambda db: value(db) < 5).lsn == mine
    with pytest.raises(InvalidInputError, match="descends from"):
        staging.bisect(lambda db: value(db) < 5, good=main)


def test_what_a_restore_has_undone_is_no_part_of_it(shop: Any) -> None:
    main = shop["main"]
    good = put(main, 1)
    undone = put(main, 9)
    main.restore(lsn=good)
    bad = put(main, 8)
    seen: list[int] = []

    def test(db: absdb.Database) -> bool:
        seen.append(value(db))
        return value(db) < 8

    found = main.bisect(test)
    assert (found.lsn, found.good_lsn) == (bad, good)
    assert 9 not in seen
    with pytest.raises(InvalidInputError, match="undone by a restore"):
        main.bisect(test, good=undone)
    assert main.diff_of(undone)["t"].to_pandas()[["from_v", "to_v"]].values.tolist() == [[1, 9]]


def test_a_restore_of_some_tables_is_a_step(shop: Any) -> None:
    main = shop["main"]
    wrong, right = put(main, 1), put(main, 2)
    back = main.restore(lsn=wrong, tables=["t"], author="cy", message="oops")
    put(main, 7, key=2)
    found = main.bisect(lambda db: value(db) == 2, good=right)
    assert (found.lsn, found.author, found.message, found.tables) == (back, "cy", "oops", ("t",))
    assert found.diff["t"].to_pandas()[["from_v", "to_v"]].values.tolist() == [[2, 1]]


@pytest.mark.parametrize(
    ("test", "options", "said"),
    [
        (lambda db: True, {}, "the test holds at LSN"),
        (lambda db: False, {}, "which should be good"),
        (lambda db: None, {}, "it returned None"),
        (lambda db: 1 // 0, {}, "ZeroDivisionError"),
        (lambda db: db["t"].delete(1), {}, "StateError"),
        ("SELECT v FROM t", {}, "one row with one boolean"),
        ("SELECT count(*) FROM t", {}, "one row with one boolean"),
        ("SELECT nix FROM t", {}, "nix"),
        (lambda db: False, {"good": "nix"}, "no LSN, no time and no snapshot"),
        (lambda db: False, {"good": "99/0"}, "lies in the future"),
        (lambda db: False, {"bad": "first"}, "no commit lies between"),
        (lambda db: False, {"good": "first", "bad": "first"}, "no commit lies between"),
        (lambda db: False, {"progress": 3}, "progress is 3"),
    ],
)
def test_what_cannot_be_answered_is_said(shop: Any, test: Any, options: Any, said: str) -> None:
    main = shop["main"]
    main.snapshot("first")
    put(main, 1)
    put(main, 2)
    with pytest.raises((InvalidInputError, NotFoundError), match=said):
        main.bisect(test, **options)


def test_a_failing_test_names_the_state_and_is_not_bad(shop: Any) -> None:
    main = shop["main"]
    lsns = [put(main, n) for n in range(1, 8)]

    def test(db: absdb.Database) -> bool:
        if value(db) == 4:
            raise RuntimeError("no answer")
        return value(db) < 6

    with pytest.raises(InvalidInputError, match="RuntimeError: no answer") as caught:
        main.bisect(test, good=lsns[0])
    assert str(lsns[3]) in caught.value.message
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_database_without_commits(shop: Any) -> None:
    empty = shop.create_database("empty")
    with pytest.raises(InvalidInputError, match="no commit lies between"):
        empty.bisect(lambda db: False)


def expired(held: int) -> tuple[Any, list[absdb.Lsn]]:
    """A database with twenty commits, the first ten of which are no longer kept, but for one with a snapshot."""
    clock = absdb.ManualClock(tick_us=1_000)
    shop = absdb.connect(":memory:", clock=clock, history_retention="1 minute", page_rows=32)
    main = shop["main"]
    main.create_table("t", [{"id": n, "v": 0} for n in range(3)], key="id")
    engine = main._engine

    def image() -> None:
        checkpoint(engine)
        info = engine.history.database("main")
        compact_table(engine, info.id, engine.history.catalog_at(engine.head(info.id)[1]).table("t"))

    lsns = [put(main, n) for n in range(1, held + 1)]
    image()
    main.snapshot("held")
    lsns += [put(main, n) for n in range(held + 1, 11)]
    image()
    clock.advance(minutes=5)
    lsns += [put(main, n) for n in range(11, 21)]
    checkpoint(engine)
    maintain(engine)
    gc.collect()
    return shop, lsns


def test_expired_history_is_left_out_and_passed_over() -> None:
    shop, lsns = expired(5)
    with shop:
        main = shop["main"]
        with pytest.raises(HistoryExpiredError):
            main.at(lsn=lsns[7])["t"].count()
        seen: set[int] = set()
        found = main.bisect(lambda db: (seen.add(value(db)), value(db) < 13)[1])
        assert found.lsn == lsns[12]
        assert min(seen) == 10
        assert main.bisect(lambda db: value(db) < 13, good="held").lsn == lsns[12]
        with pytest.raises(HistoryExpiredError, match="no longer kept") as caught:
            main.bisect(lambda db: value(db) < 8, good="held")
        assert f"LSN {lsns[4]}, " in caught.value.message
        assert f"LSN {lsns[9]}, " in caught.value.message


@pytest.mark.parametrize("seed", range(4))
def test_random_histories(seed: int) -> None:
    """Bisection ends between a good and a bad state that follow one another, and commits are what they changed."""
    chance = random.Random(seed)
    clock = absdb.ManualClock(tick_us=1_000_000)
    with absdb.connect(":memory:", clock=clock, page_rows=32, run_limit=3) as shop:
        main = shop["main"]
        main.create_table("t", {"id": "int64", "v": "int64"}, key="id")
        lines = {"main": [(main.lsn, {})]}
        changes: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
        for step in range(50):
            name = chance.choice(list(lines))
            database, line = shop[name], lines[name]
            rows = dict(line[-1][1])
            given = {chance.randrange(9): chance.randrange(99) for _ in range(3)}
            database["t"].upsert([{"id": key, "v": v} for key, v in given.items()])
            rows |= given
            if rows != line[-1][1]:
                lsn = absdb.Lsn.parse(database.log(limit=1)["lsn"][0])
                changes[str(lsn)] = (line[-1][1], rows)
                line.append((lsn, rows))
            match chance.randrange(9):
                case 0 if len(lines) < 3:
                    at = chance.randrange(len(line))
                    database.branch(f"b{step}", lsn=line[at][0])
                    lines[f"b{step}"] = line[: at + 1]
                case 1:
                    at = chance.randrange(len(line))
                    database.restore(lsn=line[at][0])
                    del line[at + 1 :]
                case 2:
                    shop.checkpoint()
        for name, line in lines.items():
            for lsn, (before, after) in changes.items():
                if lsn in set(shop[name].log()["lsn"]):
                    check_diff(shop[name].diff_of(lsn), before, after)
            for number in chance.sample(range(1, len(line)), min(6, len(line) - 1)):
                states = [rows for _, rows in line]

                def test(db: absdb.Database, states: Any = states, number: int = number) -> bool:
                    return states.index(dict(db.sql("SELECT id, v FROM t").fetchall())) < number

                found = shop[name].bisect(test, good=line[0][0])
                assert (found.good_lsn, found.lsn) == (line[number - 1][0], line[number][0])
                check_diff(found.diff, states[number - 1], states[number])


def check_diff(diff: absdb.Diff, before: dict[int, int], after: dict[int, int]) -> None:
    rows = diff["t"].to_arrow().to_pylist()
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    found = {row["id"]: (row["from_v"], row["to_v"]) for row in rows}
    assert found == {key: (before.get(key), after.get(key)) for key in changed}


# ---------------------------------------------------------------- the diff of one commit


def test_the_diff_of_a_commit_of_any_kind(shop: Any) -> None:
    main = shop["main"]
    loaded = main.log()["lsn"].iloc[-1]
    with main.transaction(message="both") as tx:
        tx["t"].add_column("w", "int64", default=1)
        tx["t"].delete(0)
    both = main.log(limit=1)["lsn"][0]
    back = main.restore(lsn=loaded)
    assert main.diff_of(loaded).summary(cells=False).values.tolist() == [["t", "table added", 3]]
    assert main.diff_of(both).summary()["operation"].tolist() == ["schema", "removed"]
    assert main.diff_of(both).schema()["item"].tolist() == ["w"]
    assert main.diff_of(int(back)).summary()["operation"].tolist() == ["schema", "added"]
    assert repr(main.diff_of(both)) == f"<Diff main @ {both} against main @ {loaded}>"
    branch = main.branch("b")
    assert branch.diff_of(loaded).summary(cells=False).values.tolist() == [["t", "table added", 3]]
    for wrong in (0, int(back) - 1, put(branch, 5)):
        with pytest.raises(NotFoundError, match="no commit of database 'main'"):
            main.diff_of(wrong)
    with pytest.raises(NotFoundError):
        main.at(lsn=loaded).diff_of(both)


def test_the_states_of_a_commit_stay_while_its_diff_lives() -> None:
    shop, lsns = expired(5)
    with shop:
        main, clock = shop["main"], shop["main"]._engine.clock
        diff = main.diff_of(lsns[14])
        with pytest.raises(HistoryExpiredError):
            main.diff_of(lsns[7])["t"].counts()
        clock.advance(hours=5)
        put(main, 99)
        checkpoint(main._engine)
        maintain(main._engine)
        assert diff["t"].counts() == (0, 1, 0)
        readers = shop.pins()["kind"].tolist().count("reader")
        del diff
        gc.collect()
        assert shop.pins()["kind"].tolist().count("reader") == readers - 2


def test_a_commit_in_sql(shop: Any) -> None:
    main = shop["main"]
    lsn = put(main, 3)
    put(main, 4)
    summary = main.sql("FROM absdb_diff_summary(commit => ?)", [str(lsn)]).fetchall()
    assert summary == [("t", "modified", 1, 1)]
    rows = main.sql("SELECT id, from_v, to_v FROM absdb_diff('main', 'T', commit => $n)", {"n": int(lsn)})
    assert rows.fetchall() == [(1, 0, 3)]
    assert main.sql("FROM absdb_schema_diff('main', commit => ?)", [int(lsn)]).fetchall() == []
    for call, said in (
        ("absdb_diff_summary(commit => 1)", "no commit of database"),
        ("absdb_diff('main', 'main', 't', commit => 1)", "no other points"),
        (f"absdb_diff('main', commit => '{lsn}')", "names a table"),
    ):
        with pytest.raises(absdb.QueryError, match=said):
            main.sql(f"FROM {call}")


def test_bisect_finds_times_in_utc(shop: Any) -> None:
    put(shop["main"], 1)
    found = shop["main"].bisect(lambda db: value(db) < 1)
    assert found.time is not None
    assert found.time.tzinfo == dt.UTC


def test_what_a_merge_brought_in(shop: Any) -> None:
    """A fast-forward brings the branch's commits, any other merge is a commit of its own."""
    main = shop["main"]
    staging = main.branch("staging")
    theirs = [put(staging, n) for n in (1, 2, 3)]
    main.merge(staging)
    assert main.bisect(lambda db: value(db) < 2).lsn == theirs[1]
    assert main["t"].blame(keys=1)[["message", "database"]].values.tolist() == [["v3", "staging"]]
    forward = main.log(limit=1)["lsn"][0]
    assert main.diff_of(forward)["t"].to_pandas()[["from_v", "to_v"]].values.tolist() == [[0, 3]]
    put(staging, 9)
    put(main, 5, key=2)
    merged = main.merge(staging, message="bring it")
    assert main.bisect(lambda db: value(db) < 9).lsn == merged.lsn
    assert main["t"].blame()["message"].tolist() == ["load", "bring it", "v5"]


def test_what_is_no_test_is_refused_before_anything_is_tried(shop: Any) -> None:
    with pytest.raises(InvalidInputError, match="not int"):
        shop["main"].bisect(3)
