"""Merges beside doltlite's: the same statements, the same merges, and the same rows and conflicts at the end.

The two differ where this says so, each with its reason; everything else must be alike.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import absdb
from absdb.errors import MergeConflictError


@pytest.fixture(scope="module", autouse=True)
def doltlite() -> None:
    """It takes the place of the SQLite library that Python loads, which a Python with SQLite built in does not."""
    tried = subprocess.run(
        [sys.executable, "-c", "import doltlite"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"doltlite does not load into this Python: {tried.stderr.strip().splitlines()[-1]}")


Row = tuple[int | None, int | None] | None
STATES: list[Row] = [None, (1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (None, 1), (None, None)]


def in_doltlite(plays: list[list[Any]]) -> list[dict[str, Any]]:
    """The plays' merges and ends."""
    script = Path(__file__).with_name("doltlite_plays.py")
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, input=json.dumps(plays), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def in_absdb(steps: list[list[Any]]) -> dict[str, Any]:
    """The merges of one play, each None or the keys in conflict, and the rows of both databases at the end."""
    with absdb.connect(":memory:") as instance:
        main = instance["main"]
        main.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER)")
        sides = {"main": main, "theirs": main.branch("theirs")}
        merges = []
        for step in steps:
            if step[0] == "merge":
                merges.append(merge(sides[step[1]], sides[step[2]]))
                continue
            for statement in step[1]:
                sides[step[0]].sql(statement)
        ends = {
            name: side.sql("SELECT * FROM t ORDER BY id").to_arrow().to_pylist()
            for name, side in sides.items()
        }
    return {"merges": merges, "ends": ends}


def merge(into: absdb.Database, source: absdb.Database) -> list[int] | None:
    """None, or the keys in conflict; none of them where only definitions are."""
    try:
        into.merge(source)
    except MergeConflictError as error:
        return sorted(set(error.conflicts["key"].dropna()))
    return None


def keys(found: dict[str, Any]) -> list[int] | None:
    """The same of a merge in doltlite."""
    if not found["refused"]:
        return None
    sides = ("our_id", "their_id", "base_id")
    return sorted(next(row[side] for side in sides if row[side] is not None) for row in found["conflicts"])


def statements(old: dict[int, Row], new: dict[int, Row]) -> list[str]:
    """What makes one of the other."""
    made = []
    for key, row in new.items():
        if row == old.get(key):
            continue
        if row is None:
            made.append(f"DELETE FROM t WHERE id = {key}")
        else:
            a, b = ("NULL" if value is None else str(value) for value in row)
            change = f"UPDATE t SET a = {a}, b = {b} WHERE id = {key}"
            made.append(change if old.get(key) is not None else f"INSERT INTO t VALUES ({key}, {a}, {b})")
    return made


def test_every_case_of_a_row_of_two_columns():
    """What a row may be in base, ours and theirs, all of them in one merge, and each clean one in a second merge."""
    cases = dict(enumerate(itertools.product(STATES, repeat=3)))
    sides = [{key: case[place] for key, case in cases.items()} for place in range(3)]
    first = history(sides)
    (found,) = in_doltlite([first])
    ours = in_absdb(first)
    in_conflict = keys(found["merges"][1])
    assert in_conflict, "many of the cases are conflicts"
    assert ours["merges"] == [None, in_conflict]
    assert ours["ends"] == found["ends"]

    clean = history([{k: row for k, row in side.items() if k not in in_conflict} for side in sides])
    (found,) = in_doltlite([clean])
    ours = in_absdb(clean)
    assert ours["merges"] == [keys(one) for one in found["merges"]] == [None, None]
    assert ours["ends"] == found["ends"]


def history(sides: list[dict[int, Row]]) -> list[list[Any]]:
    base, ours, theirs = sides
    return [
        ["main", statements({}, base)],
        ["merge", "theirs", "main"],
        ["main", statements(base, ours)],
        ["theirs", statements(base, theirs)],
        ["merge", "main", "theirs"],
    ]


def random_play(chance: random.Random) -> list[list[Any]]:
    """Commits on both sides and merges both ways, of few rows, so that they meet."""
    steps: list[list[Any]] = [
        ["main", ["INSERT INTO t VALUES (1, 1, 1), (2, 1, 1)"]],
        ["merge", "theirs", "main"],
    ]
    for _ in range(chance.randint(4, 14)):
        side = chance.choice(["main", "theirs"])
        if chance.random() < 0.4:
            steps.append(["merge", side, {"main": "theirs", "theirs": "main"}[side]])
            continue
        key, value = chance.randint(1, 4), chance.randint(1, 3)
        steps.append([side, [chance.choice(CHANGES).format(key=key, value=value)]])
    return steps


PLAYS = 300 if os.environ.get("ABSDB_DEEP", "") not in ("", "0") else 40
CHANGES = [
    "INSERT INTO t VALUES ({key}, {value}, 1) ON CONFLICT DO NOTHING",
    "UPDATE t SET a = {value} WHERE id = {key}",
    "UPDATE t SET b = {value} WHERE id = {key}",
    "DELETE FROM t WHERE id = {key}",
]


def test_histories_of_commits_and_merges_both_ways():
    plays = [random_play(random.Random(seed)) for seed in range(PLAYS)]
    outcomes = set()
    for seed, (steps, found) in enumerate(zip(plays, in_doltlite(plays), strict=True)):
        ours = in_absdb(steps)
        assert ours["merges"] == [keys(one) for one in found["merges"]], (seed, steps)
        assert ours["ends"] == found["ends"], (seed, steps)
        outcomes |= {one is None for one in ours["merges"]}
    assert outcomes == {True, False}, "some merges are clean, some are not"


ROWS = ["INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)"]
DEFINITIONS = {
    "the same column on both sides": (
        ["ALTER TABLE t ADD COLUMN c INTEGER"],
        ["ALTER TABLE t ADD COLUMN c INTEGER"],
    ),
    "the same column, filled in other rows": (
        ["ALTER TABLE t ADD COLUMN c INTEGER", "UPDATE t SET c = 5 WHERE id = 1"],
        ["ALTER TABLE t ADD COLUMN c INTEGER", "UPDATE t SET c = 6 WHERE id = 2"],
    ),
    "the same name, other types": (
        ["ALTER TABLE t ADD COLUMN c INTEGER"],
        ["ALTER TABLE t ADD COLUMN c TEXT"],
    ),
    "another column on each side": (
        ["ALTER TABLE t ADD COLUMN c INTEGER", "UPDATE t SET c = 5 WHERE id = 1"],
        ["ALTER TABLE t ADD COLUMN d INTEGER", "UPDATE t SET d = 6 WHERE id = 1"],
    ),
    "a column beside changed rows": (
        ["UPDATE t SET a = 9 WHERE id = 1", "INSERT INTO t VALUES (3, 3, 3)"],
        ["ALTER TABLE t ADD COLUMN c INTEGER", "UPDATE t SET c = 7"],
    ),
    "a dropped column that was changed": (
        ["UPDATE t SET b = 9 WHERE id = 1"],
        ["ALTER TABLE t DROP COLUMN b"],
    ),
    "a dropped column beside a changed one": (
        ["UPDATE t SET a = 9 WHERE id = 1"],
        ["ALTER TABLE t DROP COLUMN b"],
    ),
    "dropped on both sides": (["ALTER TABLE t DROP COLUMN b"], ["ALTER TABLE t DROP COLUMN b"]),
    "a renamed column that was changed": (
        ["UPDATE t SET b = 9 WHERE id = 1"],
        ["ALTER TABLE t RENAME COLUMN b TO c"],
    ),
    "renamed to other names": (
        ["ALTER TABLE t RENAME COLUMN b TO c"],
        ["ALTER TABLE t RENAME COLUMN b TO d"],
    ),
}
# What doltlite refuses and absdb merges, with the reason.
REFUSED_BY_DOLTLITE = {
    "the same column, filled in other rows": "a column that both added is one column, empty in the base: a cell filled"
    " on one side only is that side's change, where doltlite sees two rows added with other values",
}


def test_definitions():
    plays = [
        [["main", ROWS], ["merge", "theirs", "main"], ["main", a], ["theirs", b], ["merge", "main", "theirs"]]
        for a, b in DEFINITIONS.values()
    ]
    for says, steps, found in zip(DEFINITIONS, plays, in_doltlite(plays), strict=True):
        ours = in_absdb(steps)
        refused = found["merges"][1]["refused"]
        if says in REFUSED_BY_DOLTLITE:
            assert (refused, ours["merges"][1]) == (True, None), says
            assert ours["ends"]["main"] == [
                {"id": 1, "a": 1, "b": 1, "c": 5},
                {"id": 2, "a": 2, "b": 2, "c": 6},
            ]
            continue
        assert (ours["merges"][1] is not None) == refused, says
        assert ours["ends"] == found["ends"], says
