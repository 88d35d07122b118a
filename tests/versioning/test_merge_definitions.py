"""Random definitions and rows changed on both sides: a merge ends well, or with the errors that a merge may end with.

Never an internal error; what a dry run tells is what happens; refused, nothing has changed; and where both ways are
clean they come to the same rows, up to the order of columns.
"""

from __future__ import annotations

import os
import random
from contextlib import suppress
from typing import Any

import pytest

import absdb
from absdb.errors import AbsdbError, DataCheckError, MergeConflictError, MergeConstraintError

DEEP = os.environ.get("ABSDB_DEEP", "") not in ("", "0")
REFUSED = (MergeConflictError, MergeConstraintError, DataCheckError)
TYPES = ["INTEGER", "BIGINT", "DOUBLE", "VARCHAR", "DECIMAL(9,2)", "BOOLEAN"]
START = """
    CREATE TABLE t (id INTEGER PRIMARY KEY, p INTEGER, q VARCHAR, r DOUBLE);
    INSERT INTO t VALUES (1, 1, '1', 1), (2, 2, '2', 2.5), (3, 3, '3', NULL);
    CREATE TABLE u (id INTEGER PRIMARY KEY, p INTEGER); INSERT INTO u VALUES (1, 1)
"""
DEFINITIONS = [
    "ALTER TABLE {t} ADD COLUMN {new} {type}",
    "ALTER TABLE {t} ADD COLUMN {new} {number} DEFAULT {digit}",
    "ALTER TABLE {t} DROP COLUMN {column}",
    "ALTER TABLE {t} RENAME {column} TO {new}",
    "ALTER TABLE {t} ALTER {column} TYPE {type}",
    "ALTER TABLE {t} ALTER {column} TYPE {type}",
    "ALTER TABLE {t} ADD UNIQUE ({column})",
    "ALTER TABLE {t} ADD CHECK ({column} IS NOT NULL)",
    "ALTER TABLE {t} ADD CHECK (id < {digit} + 2)",
    "ALTER TABLE {t} ALTER {column} SET NOT NULL",
    "ALTER TABLE {t} ALTER {column} DROP NOT NULL",
    "ALTER TABLE {t} ALTER {column} SET DEFAULT {digit}",
    "ALTER TABLE {t} ADD COLUMN g{new} DOUBLE GENERATED ALWAYS AS (id * {digit})",
    "ALTER TABLE {t} ADD FOREIGN KEY ({column}) REFERENCES {other} (id)",
    "ALTER TABLE {t} RENAME TO {name}",
    "DROP TABLE {t}",
    "CREATE TABLE {name} (id INTEGER PRIMARY KEY, p {number}, q VARCHAR)",
    "CREATE OR REPLACE VIEW v AS SELECT {digit} AS n",
    "CREATE OR REPLACE MACRO m(x) AS x + {digit}",
    "CREATE SEQUENCE {new}",
    "CREATE OR REPLACE CHECK c AS SELECT * FROM {t} WHERE {column} IS NULL",
    "DROP CHECK c",
    "COMMENT ON TABLE {t} IS '{new}'",
    "COMMENT ON COLUMN {t}.{column} IS '{new}'",
    "reorder {t}",
    "policy {t} {column}",
]
ROWS = [
    "INSERT INTO {t} (id, {column}) VALUES ({key}, {value})",
    "UPDATE {t} SET {column} = {value} WHERE id = {key}",
    "UPDATE {t} SET {column} = {value}",
    "DELETE FROM {t} WHERE id = {key}",
]


def act(chance: random.Random, database: absdb.Database) -> str:
    """One random statement; what the database refuses is not done."""
    tables = list(database.tables()["name"])
    t = chance.choice(tables) if tables else "t"
    columns = list(database[t].to_arrow().column_names) if tables else ["p"]
    text = chance.choice(DEFINITIONS if chance.random() < 0.5 else ROWS).format(
        t=t,
        column=chance.choice([name for name in columns if name != "id"] or ["id"]),
        other=chance.choice(tables or ["t"]),
        name=chance.choice("tuwx"),
        new=chance.choice("pqrs"),
        type=chance.choice(TYPES),
        number=chance.choice(TYPES[:3]),
        digit=chance.choice("12"),
        value=chance.choice(["1", "2", "NULL", "3", "40000"]),
        key=chance.randrange(8),
    )
    try:
        if text.startswith("reorder"):
            chance.shuffle(columns)
            database[t].reorder_columns(columns)
        elif text.startswith("policy"):
            database[t].set_merge_policy(**{text.split()[2]: chance.choice(["max", "sum", "newest", "ours"])})
        else:
            database.sql(text)
    except AbsdbError:
        return ""
    return f"{database.name}: {text}"


def rows(database: absdb.Database) -> dict[str, Any]:
    """Rows by table with their columns in the order of names; the columns alone where there are no rows."""
    found = {}
    for name in sorted(database.tables()["name"]):
        held = database[name].to_arrow()
        found[name] = [dict(sorted(row.items())) for row in held.to_pylist()] or sorted(held.column_names)
    return found


def tried(target: absdb.Database, source: absdb.Database) -> dict[str, Any] | type:
    """Merge, and hold it against what the dry run has told; the rows afterwards, or the error's class."""
    told, before = target.merge(source, dry_run=True), rows(target)
    assert rows(target) == before
    if not told.clean:
        with pytest.raises(REFUSED) as error:
            target.merge(source)
        assert rows(target) == before
        if isinstance(error.value, MergeConflictError):
            assert error.value.conflicts.equals(told.conflicts)
        if isinstance(error.value, MergeConstraintError):
            assert error.value.violations.equals(told.violations)
        return error.type
    result = target.merge(source)
    assert (result.kind, sorted(result.merged.summary)) == (told.kind, sorted(told.merged.summary))
    after = rows(target)
    assert target.merge(source).kind == "nothing"
    return after


@pytest.mark.parametrize("seed", range(3000 if DEEP else 40))
def test_definitions_of_both_sides(seed):
    chance, done = random.Random(seed), []
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.sql(START)
        done += [act(chance, main) for _ in range(chance.randrange(3))]
        branch = main.branch("branch")
        done += [act(chance, shop[chance.choice(["main", "branch"])]) for _ in range(chance.randrange(1, 9))]
        try:
            check(shop, main.branch("one"), branch.branch("two"))
        except BaseException as error:
            error.add_note(f"seed {seed}: {' | '.join(filter(None, done))}")
            raise


def check(shop: absdb.Instance, one: absdb.Database, two: absdb.Database) -> None:
    """Merge `branch` into `one`, a copy of main, and main into `two`, a copy of `branch`."""
    here, there = tried(one, shop["branch"]), tried(two, shop["main"])
    if DataCheckError not in (
        here,
        there,
    ):  # checks look at what is merged; where nothing is they are not asked
        assert isinstance(here, dict) == isinstance(there, dict)
    if isinstance(here, dict) and isinstance(there, dict):
        assert here == there
        one.merge(two)
        assert rows(one) == here
    for target, source in ((one, shop["branch"]), (two, shop["main"])):
        for side in ("ours", "theirs"):
            beside = target.branch(f"{target.name}-{side}")
            with suppress(*REFUSED):
                beside.merge(source, on_conflict=side)
            rows(beside)
    found = shop.check()
    assert found[found["severity"] == "error"].empty, found.to_string()
