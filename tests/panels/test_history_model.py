"""The drawn history: lanes, marks, links and columns, at five and at five hundred commits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

import absdb
from absdb.ids import Lsn
from absdb.panels.model.history import History, read_history
from absdb.panels.model.history_layout import View, layout, mark_texts, whole
from absdb.panels.model.moments import relative


@pytest.fixture
def empty_shop() -> Iterator[absdb.Instance]:
    """An instance whose clock moves one minute a reading, with a table `t` in `main`."""
    clock = absdb.ManualClock("2026-01-01 10:00Z", tick_us=60_000_000)
    with absdb.connect(":memory:", clock=clock, author="ann") as instance:
        instance["main"].create_table("t", [{"id": n, "v": 0} for n in range(9)], key="id", message="load")
        yield instance


def put(database: absdb.Database, number: int) -> int:
    """Commit; the LSN."""
    database["t"].update({"id": number % 9, "v": number + 1}, message=f"change {number}")
    return int(database.lsn)


def whole_layout(history: History, slots: int = 30) -> dict[str, Any]:
    return layout(history, whole(history), slots)


def test_lanes_marks_and_links_are_those_of_the_databases(empty_shop):
    main = empty_shop["main"]
    main.snapshot("before")
    load = int(Lsn.parse(main.log()["lsn"][0]))
    staging = main.branch("staging")
    theirs = put(staging, 1)
    ours = put(main, 2)
    main.merge(staging)
    undone = put(main, 3)
    main.restore(lsn=ours)
    history = read_history(empty_shop, 100)
    assert [(lane.name, lane.created_from) for lane in history.lanes] == [("main", None), ("staging", "main")]
    told = [(mark.kind, mark.lane, mark.origin, mark.undone) for mark in history.marks]
    assert told == [
        ("commit", 0, 0, False),
        ("branch", 1, load, False),
        ("commit", 1, 0, False),
        ("commit", 0, 0, False),
        ("merge", 0, theirs, True),
        ("commit", 0, 0, True),
        ("restore", 0, ours, False),
    ]
    assert [mark.lsn for mark in history.marks if mark.undone][-1] == undone
    assert [name for name, _ in history.marks[0].snapshots] == ["before"]
    drawn = whole_layout(history)
    assert drawn["columns"] == 7
    assert [(link["kind"], link["from"], link["to"]) for link in drawn["links"]] == [
        ("branch", (0, 0), (1, 1)),
        ("merge", (2, 1), (4, 0)),
        ("restore", (3, 0), (6, 0)),
    ]
    assert [lane["from"] for lane in drawn["lanes"]] == [-1, 1]
    assert drawn["description"] == (
        "2 databases; 4 commits, 1 merge, 1 restore, 1 snapshot "
        f"from {Lsn(history.marks[0].lsn)} to {Lsn(history.marks[-1].lsn)}."
    )
    assert drawn["cells"][4]["text"][1].startswith("merge from staging 0/")
    assert drawn["cells"][6]["text"][1] == f"restore to main {Lsn(ours)}"
    assert "undone by a restore" in drawn["cells"][5]["text"]


def test_five_hundred_commits_fit_and_none_is_lost(empty_shop):
    main = empty_shop["main"]
    staging = main.branch("staging")
    for number in range(500):
        put(staging if number % 3 == 0 else main, number)
        if number == 300:
            main.snapshot("middle")
            main.merge(staging, on_conflict="ours")
    history = read_history(empty_shop, 1000)
    assert len(history.marks) == 503
    assert not history.more
    drawn = whole_layout(history, 30)
    assert drawn["columns"] <= 30
    assert sum(cell["count"] for cell in drawn["cells"]) == 503
    places = [(cell["column"], cell["lane"]) for cell in drawn["cells"]]
    assert len(set(places)) == len(places)
    ordered = sorted(drawn["cells"], key=lambda cell: cell["range"])
    assert [cell["column"] for cell in ordered] == sorted(cell["column"] for cell in ordered)
    alone = [cell["kind"] for cell in drawn["cells"] if cell["count"] == 1]
    assert sorted(alone) == ["branch", "commit", "commit", "commit", "merge"]
    assert [cell["snapshots"] for cell in drawn["cells"] if cell["snapshots"]] == [["middle"]]
    assert {link["kind"] for link in drawn["links"]} == {"branch", "merge"}
    group = next(cell for cell in drawn["cells"] if cell["kind"] == "group")
    assert group["text"][0].startswith(f"{group['count']} commits · 0/")
    opened = layout(history, View(*group["range"]), 30)
    assert sum(cell["count"] for cell in opened["cells"] if cell["lane"] == group["lane"]) == group["count"]


def test_only_the_newest_marks_are_read_and_a_link_from_before_comes_from_the_edge(empty_shop):
    main = empty_shop["main"]
    staging = main.branch("staging")
    put(staging, 1)
    for number in range(5):
        put(main, number)
    main.merge(staging)
    history = read_history(empty_shop, 3)
    assert history.more
    assert [mark.kind for mark in history.marks] == ["commit", "commit", "merge"]
    assert whole_layout(history)["links"] == [{"from": (-1, 1), "to": (2, 0), "kind": "merge"}]


def test_more_events_than_columns_are_drawn_in_equal_shares(empty_shop):
    main = empty_shop["main"]
    for number in range(40):
        main.branch(f"b{number}")
    history = read_history(empty_shop, 100)
    drawn = whole_layout(history, 8)
    assert drawn["columns"] == 8
    assert sum(cell["count"] for cell in drawn["cells"]) == 41
    assert len(drawn["lanes"]) == 41


def test_dropped_and_renamed_databases_leave_no_lane_behind(empty_shop):
    main = empty_shop["main"]
    gone = main.branch("gone")
    put(gone, 1)
    main.branch("staging").rename("‮ <b>späte</b> Ware".replace("/", ""))
    gone.drop()
    history = read_history(empty_shop, 100)
    assert [lane.name for lane in history.lanes] == ["main", "‮ <b>späte<b> Ware"]
    assert [mark.kind for mark in history.marks] == ["commit", "branch"]


def test_branches_stand_under_what_they_were_made_from(empty_shop):
    main = empty_shop["main"]
    a, _ = main.branch("a"), main.branch("b")
    a.branch("a1").branch("a2")
    assert [lane.name for lane in read_history(empty_shop, 9).lanes] == ["main", "a", "a1", "a2", "b"]


def test_names_given_anew_do_not_lose_a_lane(empty_shop):
    main = empty_shop["main"]
    a = main.branch("a")
    a.branch("b")
    main.rename("old")
    a.rename("x")
    shop = empty_shop
    shop["b"].rename("main")
    shop["x"].rename("b")
    assert {lane.name for lane in read_history(shop, 9).lanes} == {"old", "main", "b"}


def test_views_stay_within_the_history():
    view = View(0, 99)
    assert view.zoomed(100, 0.5, 99) == View(50, 99)
    assert view.zoomed(100, 2) == View(0, 99)
    assert View(10, 10).zoomed(100, 0.5) == View(10, 10)
    assert View(50, 99).moved(100, 0.5) == View(50, 99)
    assert View(50, 99).moved(100, -0.5) == View(25, 74)


def test_an_instance_without_commits_is_drawn():
    with absdb.connect(":memory:") as instance:
        drawn = whole_layout(read_history(instance, 10))
    assert (drawn["columns"], drawn["description"]) == (0, "Nothing has happened yet.")
    assert [lane["name"] for lane in drawn["lanes"]] == ["main"]


def test_what_is_told_of_a_mark_is_what_was_committed(empty_shop):
    main = empty_shop["main"]
    main["t"].delete([1, 2], message="first line\nsecond")
    history = read_history(empty_shop, 9)
    mark = history.marks[-1]
    assert mark_texts(history, mark)[1:] == ["first line", "\N{MINUS SIGN}2 rows in t"]
    assert mark_texts(history, mark)[0].startswith(f"{Lsn(mark.lsn)} · ")
    assert mark_texts(history, mark)[0].endswith(" ago · ann")


def test_times_are_told_before_and_after_now(empty_shop):
    now, later = empty_shop.now, empty_shop.now + dt.timedelta(minutes=1)
    assert relative(now, now) == "just now"
    assert (relative(now, later), relative(later, now)) == ("1 minute ago", "in 1 minute")
