"""Where what a log lists came from, the log of all databases, and what only one of them holds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

import absdb


@pytest.fixture
def shop() -> Iterator[absdb.Instance]:
    """An instance whose clock moves one second a reading, with a table `t` in `main`."""
    with absdb.connect(":memory:", clock=absdb.ManualClock(tick_us=1_000_000)) as instance:
        instance["main"].create_table("t", [{"id": n, "v": 0} for n in range(9)], key="id", message="load")
        yield instance


def put(database: absdb.Database, row: int, message: str) -> str:
    """Commit; its LSN as text."""
    database["t"].update({"id": row, "v": len(message)}, message=message)
    return str(database.log(limit=1)["lsn"][0])


def came_from(database: absdb.Database) -> tuple[str, str | None, str | None]:
    """What the newest entry of a log took over: its kind, the database and the LSN."""
    entry = database.log(limit=1).iloc[0]
    return entry["kind"], entry["from_database"], entry["from_lsn"]


def test_what_is_merged_moved_on_to_or_gone_back_to_is_named(shop):
    main = shop["main"]
    load = str(main.log()["lsn"][0])
    staging = main.branch("staging")
    assert came_from(staging) == ("branch", "main", load)
    first = put(staging, 1, "first")
    assert came_from(staging) == ("commit", None, None)
    main.merge(staging)
    assert came_from(main) == ("fast_forward", "staging", first)
    put(staging, 2, "older")
    second = put(staging, 2, "second")
    here = put(main, 3, "here")
    main.merge(staging)
    assert came_from(main) == ("merge", "staging", second)
    merged = str(main.log()["lsn"][0])
    staging.merge(main)
    assert came_from(staging) == ("fast_forward", "main", merged)
    put(main, 3, "wrong")
    main.restore(lsn=here)
    assert came_from(main) == ("restore", "main", here)
    main.restore(lsn=merged, tables=["t"])
    assert came_from(main) == ("restore", "main", merged)
    assert set(main.log()["database"]) == {"main", "staging"}


def test_a_merge_of_what_has_merged_others_names_its_own_newest_commit(shop):
    main = shop["main"]
    a, b = main.branch("a"), main.branch("b")
    put(a, 1, "of a")
    put(b, 2, "of b")
    put(main, 3, "of main")
    a.merge(b)
    merged = str(a.log()["lsn"][0])
    main.merge(a)
    assert came_from(main) == ("merge", "a", merged)
    a.drop()
    assert came_from(main) == ("merge", None, merged)


def test_the_log_of_an_instance_has_each_commit_once(shop):
    main = shop["main"]
    staging = main.branch("staging")
    put(staging, 1, "on staging")
    put(main, 2, "on main")
    main.merge(staging)
    log = shop.log()
    assert log["message"].tolist() == ["merge staging", "on main", "on staging", None, "load"]
    assert log["database"].tolist() == ["main", "main", "staging", "staging", "main"]
    assert not log["undone"].any()
    assert shop.log(limit=2)["lsn"].tolist() == log["lsn"].tolist()[:2]
    with pytest.raises(absdb.InvalidInputError, match="cannot list -1 commits"):
        shop.log(limit=-1)


def test_a_commit_is_undone_if_its_own_database_went_back_before_it(shop):
    main = shop["main"]
    load = main.log()["lsn"][0]
    put(main, 1, "kept by the branch")
    main.branch("staging")
    main.restore(lsn=load)
    assert shop.log()["undone"].tolist() == [False, False, True, False]


def test_of_a_dropped_database_what_another_went_on_from_is_that_ones(shop):
    main = shop["main"]
    gone = main.branch("gone")
    put(gone, 1, "went on")
    main.merge(gone)
    put(gone, 2, "lost")
    gone.drop()
    log = shop.log()
    assert log["message"].tolist() == ["merge gone", "went on", "load"]
    assert log["database"].tolist() == ["main"] * 3
    assert main.log()["database"].tolist() == ["main", None, "main"]


def test_what_only_one_database_holds_is_what_dropping_it_would_lose(shop):
    main = shop["main"]
    staging = main.branch("staging")
    assert len(staging.log(only_here=True)) == 0
    put(staging, 1, "merged")
    put(main, 2, "of main")
    main.merge(staging)
    put(staging, 3, "not merged")
    assert staging.log(only_here=True)["message"].tolist() == ["not merged"]
    assert main.log(only_here=True)["message"].tolist() == ["merge staging", "of main"]
    staging.branch("beside")
    assert len(staging.log(only_here=True)) == 0


def test_how_long_a_branch_lives_can_be_said_later(shop):
    staging = shop["main"].branch("staging")
    staging.retain("7 days")
    made = shop.branches().iloc[1]
    assert made["expires_at"] - made["created_at"] == dt.timedelta(days=7)
    staging.retain(None)
    assert shop.branches()["expires_at"].isna().all()
    with pytest.raises(absdb.InvalidInputError, match="cannot be retained for"):
        staging.retain(dt.timedelta(0))
    assert shop.now >= shop.log()["time"][0]
