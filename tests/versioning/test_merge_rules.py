"""The rules of a merge, a line each: what the base was, what both sides did, and what comes of it.

Rows first, then definitions, then histories: the cases in which the last merge is the wrong base.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

import absdb
from absdb.errors import MergeConflictError, MergeConstraintError
from absdb.versioning.branch import create_database
from absdb.versioning.scope import HeadScope

N = math.nan


@dataclass(frozen=True)
class Rule:
    """One sentence. Rows are (a, b) under the key 1, None where there is no row; `conflict` names its kind."""

    says: str
    base: tuple | None
    ours: tuple | None
    theirs: tuple | None
    expected: tuple | None = None
    conflict: str = ""


RULES = [
    Rule("nothing changed", (1, 1), (1, 1), (1, 1), (1, 1)),
    Rule("only ours changed a cell", (1, 1), (2, 1), (1, 1), (2, 1)),
    Rule("only theirs changed a cell", (1, 1), (1, 1), (1, 2), (1, 2)),
    Rule("each changed another cell", (1, 1), (2, 1), (1, 2), (2, 2)),
    Rule("both changed a cell alike", (1, 1), (2, 1), (2, 1), (2, 1)),
    Rule("both changed a cell alike, and another each", (1, 1), (2, 1), (2, 2), (2, 2)),
    Rule("both changed a cell to other values", (1, 1), (2, 1), (3, 1), conflict="cell"),
    Rule("one cell in conflict, one merged", (1, 1), (2, 5), (3, 1), conflict="cell"),
    Rule("a cell became NULL on one side", (1, 1), (None, 1), (1, 1), (None, 1)),
    Rule("a cell became NULL on both sides", (1, 1), (None, 1), (None, 1), (None, 1)),
    Rule("NULL against a value", (1, 1), (None, 1), (2, 1), conflict="cell"),
    Rule("NULL stayed NULL", (None, 1), (None, 2), (None, 1), (None, 2)),
    Rule("NaN equals NaN", (N, 1), (N, 2), (N, 1), (N, 2)),
    Rule("NaN against a number", (1, 1), (N, 1), (2, 1), conflict="cell"),
    Rule("minus zero is zero", (0.0, 1), (-0.0, 1), (5, 1), (5, 1)),
    Rule("changed and changed back is not changed", (1, 1), (1, 1), (4, 4), (4, 4)),
    Rule("ours removed the row", (1, 1), None, (1, 1), None),
    Rule("theirs removed the row", (1, 1), (1, 1), None, None),
    Rule("both removed the row", (1, 1), None, None, None),
    Rule("ours removed what theirs changed", (1, 1), None, (2, 1), conflict="delete/modify"),
    Rule("theirs removed what ours changed", (1, 1), (2, 1), None, conflict="delete/modify"),
    Rule("ours added the row", None, (1, 1), None, (1, 1)),
    Rule("theirs added the row", None, None, (1, 1), (1, 1)),
    Rule("both added the row alike", None, (1, 1), (1, 1), (1, 1)),
    Rule("both added the row, NaN and NULL alike", None, (N, None), (N, None), (N, None)),
    Rule("both added the row with other values", None, (1, 1), (1, 2), conflict="add/add"),
]


def write(table: absdb.Table, row: tuple | None) -> None:
    if row is None:
        table.delete(1)
    else:
        table.upsert({"id": 1, "a": row[0], "b": row[1]})


def read(table: absdb.Table) -> tuple | None:
    row = table.get(1)
    return None if row is None else (row["a"], row["b"])


def same(a: tuple | None, b: tuple | None) -> bool:
    if a is None or b is None:
        return a is b
    return all(x == y or (x != x and y != y) for x, y in zip(a, b, strict=True))


@pytest.fixture
def main():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.create_table("t", {"id": "int64", "a": "float64", "b": "float64"}, key="id")
        main["t"].insert({"id": 0, "a": 0.0, "b": 0.0})
        yield main


def part(main: absdb.Database, rule: Rule) -> absdb.Database:
    """A branch on which theirs is done, while ours is done on `main`; both have a commit of their own."""
    write(main["t"], rule.base)
    theirs = main.branch("theirs")
    theirs["t"].upsert({"id": 2, "a": 2.0, "b": 2.0})
    main["t"].upsert({"id": 3, "a": 3.0, "b": 3.0})
    write(theirs["t"], rule.theirs)
    write(main["t"], rule.ours)
    return theirs


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.says)
def test_rows(main, rule):
    theirs = part(main, rule)
    if not rule.conflict:
        main.merge(theirs)
        assert same(read(main["t"]), rule.expected)
        assert main["t"].get(2) is not None
        return
    with pytest.raises(MergeConflictError) as error:
        main.merge(theirs)
    conflicts = error.value.conflicts
    assert set(conflicts["kind"]) == {rule.conflict}
    assert set(conflicts["key"]) == {1}
    assert same(read(main["t"]), rule.ours)
    assert main["t"].get(2) is None


@pytest.mark.parametrize("rule", [r for r in RULES if r.conflict], ids=lambda rule: rule.says)
@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_a_side_wins_what_is_in_conflict_and_nothing_else(main, rule, side):
    theirs = part(main, rule)
    main.merge(theirs, on_conflict=side)
    winner = getattr(rule, side)
    if winner is None or rule.base is None or None in (rule.ours, rule.theirs):
        assert same(read(main["t"]), winner)
    else:
        cells = zip(rule.base, rule.ours, rule.theirs, winner, strict=True)
        expected = tuple(t if same((o,), (b,)) else o if same((t,), (b,)) else w for b, o, t, w in cells)
        assert same(read(main["t"]), expected)
    assert main.merge(theirs).kind == "nothing"


@pytest.mark.parametrize(
    "rule",
    [r for r in RULES if r.ours != r.theirs and r.base not in (r.ours, r.theirs)],
    ids=lambda r: r.says,
)
def test_strict_stops_at_every_row_that_both_sides_changed_differently(main, rule):
    theirs = part(main, rule)
    if same(rule.ours, rule.theirs) or same(rule.base, rule.ours) or same(rule.base, rule.theirs):
        return
    with pytest.raises(MergeConflictError) as error:
        main.merge(theirs, on_conflict="strict")
    assert set(error.value.conflicts["kind"]) <= {"row", "delete/modify"}


# ---------------------------------------------------------------- definitions


@dataclass(frozen=True)
class SchemaRule:
    """Statements on both sides; then the columns and rows expected, or the item in conflict."""

    says: str
    ours: str
    theirs: str
    columns: list[str] | None = None
    rows: list[tuple] | None = None
    conflict: str = ""
    violation: str = ""


BASE = """CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR, price DOUBLE);
          INSERT INTO t VALUES (1, 'a', 1.5), (2, 'b', 2.5)"""
ROWS = [(1, "a", 1.5), (2, "b", 2.5)]
SCHEMA_RULES = [
    SchemaRule(
        "theirs adds a column with a default, ours adds a row",
        "INSERT INTO t VALUES (3, 'c', 3.5)",
        "ALTER TABLE t ADD COLUMN vat DOUBLE DEFAULT 0.2",
        ["id", "name", "price", "vat"],
        [(1, "a", 1.5, 0.2), (2, "b", 2.5, 0.2), (3, "c", 3.5, 0.2)],
    ),
    SchemaRule(
        "ours adds a column, theirs adds a row: it gets the default",
        "ALTER TABLE t ADD COLUMN vat DOUBLE DEFAULT 0.2; ALTER TABLE t ALTER vat SET DEFAULT 0.3",
        "INSERT INTO t VALUES (3, 'c', 3.5)",
        ["id", "name", "price", "vat"],
        [(1, "a", 1.5, 0.2), (2, "b", 2.5, 0.2), (3, "c", 3.5, 0.3)],
    ),
    SchemaRule(
        "theirs adds a column and gives it another type, ours adds a row: it gets the default",
        "INSERT INTO t VALUES (3, 'c', 3.5)",
        "ALTER TABLE t ADD COLUMN vat DOUBLE DEFAULT 2; ALTER TABLE t ALTER vat TYPE INTEGER",
        ["id", "name", "price", "vat"],
        [(1, "a", 1.5, 2), (2, "b", 2.5, 2), (3, "c", 3.5, 2)],
    ),
    SchemaRule(
        "ours fills a column that it added, theirs changes the same row elsewhere",
        "ALTER TABLE t ADD COLUMN vat DOUBLE; UPDATE t SET vat = 9 WHERE id = 1",
        "UPDATE t SET name = 'z' WHERE id = 1",
        ["id", "name", "price", "vat"],
        [(1, "z", 1.5, 9.0), (2, "b", 2.5, None)],
    ),
    SchemaRule(
        "both add the same column: it is one",
        "ALTER TABLE t ADD COLUMN n INTEGER; UPDATE t SET n = 1 WHERE id = 1",
        "ALTER TABLE t ADD COLUMN n INTEGER; UPDATE t SET n = 2 WHERE id = 2",
        ["id", "name", "price", "n"],
        [(1, "a", 1.5, 1), (2, "b", 2.5, 2)],
    ),
    SchemaRule(
        "both add a column of one name with other types",
        "ALTER TABLE t ADD COLUMN n INTEGER",
        "ALTER TABLE t ADD COLUMN n VARCHAR",
        conflict="column n",
    ),
    SchemaRule(
        "theirs drops a column, ours adds and changes rows elsewhere",
        "INSERT INTO t VALUES (3, 'c', 3.5); UPDATE t SET price = 9 WHERE id = 1",
        "ALTER TABLE t DROP COLUMN name",
        ["id", "price"],
        [(1, 9.0), (2, 2.5), (3, 3.5)],
    ),
    SchemaRule(
        "theirs drops a column whose values ours changed",
        "UPDATE t SET name = 'z' WHERE id = 2",
        "ALTER TABLE t DROP COLUMN name",
        conflict="column name",
    ),
    SchemaRule(
        "ours drops a column whose values theirs changed",
        "ALTER TABLE t DROP COLUMN name",
        "UPDATE t SET name = 'z' WHERE id = 2",
        conflict="column name",
    ),
    SchemaRule(
        "both drop a column",
        "ALTER TABLE t DROP COLUMN name; UPDATE t SET price = 9 WHERE id = 1",
        "ALTER TABLE t DROP COLUMN name; UPDATE t SET price = 8 WHERE id = 2",
        ["id", "price"],
        [(1, 9.0), (2, 8.0)],
    ),
    SchemaRule(
        "theirs renames a column, ours changes it",
        "UPDATE t SET name = 'z' WHERE id = 2",
        "ALTER TABLE t RENAME name TO title",
        ["id", "title", "price"],
        [(1, "a", 1.5), (2, "z", 2.5)],
    ),
    SchemaRule(
        "both rename a column differently",
        "ALTER TABLE t RENAME name TO one",
        "ALTER TABLE t RENAME name TO two",
        conflict="column one: name",
    ),
    SchemaRule(
        "theirs retypes a column, ours changes and adds rows: they are cast",
        "UPDATE t SET price = 7.5 WHERE id = 1; INSERT INTO t VALUES (3, 'c', 4.5)",
        "ALTER TABLE t ALTER price TYPE VARCHAR",
        ["id", "name", "price"],
        [(1, "a", "7.5"), (2, "b", "2.5"), (3, "c", "4.5")],
    ),
    SchemaRule(
        "theirs rounds a column by giving it another type, ours changes the same row elsewhere",
        "UPDATE t SET name = 'z' WHERE id = 1",
        "ALTER TABLE t ALTER price TYPE INTEGER",
        ["id", "name", "price"],
        [(1, "z", 2), (2, "b", 2)],
    ),
    SchemaRule(
        "ours rounds a column by giving it another type, theirs changes the same row elsewhere",
        "ALTER TABLE t ALTER price TYPE INTEGER",
        "UPDATE t SET name = 'z' WHERE id = 1",
        ["id", "name", "price"],
        [(1, "z", 2), (2, "b", 2)],
    ),
    SchemaRule(
        "theirs adds a foreign key from a column that ours gives another type",
        "ALTER TABLE t ALTER price TYPE VARCHAR",
        "ALTER TABLE t ADD UNIQUE (price); ALTER TABLE t ADD COLUMN m DOUBLE REFERENCES t (price)",
        conflict="refers to what is gone",
    ),
    SchemaRule(
        "double to integer to double: no digit comes back from the dead",
        "UPDATE t SET name = 'z' WHERE id = 1",
        "UPDATE t SET price = round(price); ALTER TABLE t ALTER price TYPE INTEGER; "
        "ALTER TABLE t ALTER price TYPE DOUBLE",
        ["id", "name", "price"],
        [(1, "z", 2.0), (2, "b", 3.0)],
    ),
    SchemaRule(
        "ours widens what theirs changes",
        "ALTER TABLE t ADD COLUMN n INTEGER; ALTER TABLE t ALTER n TYPE BIGINT",
        "UPDATE t SET price = 4 WHERE id = 1",
        ["id", "name", "price", "n"],
        [(1, "a", 4.0, None), (2, "b", 2.5, None)],
    ),
    SchemaRule(
        "theirs adds a constraint that a row of ours breaks",
        "INSERT INTO t VALUES (3, 'c', 5000)",
        "ALTER TABLE t ADD CHECK (price < 1000)",
        violation="t_check",
    ),
    SchemaRule(
        "ours adds a constraint that a row of theirs breaks",
        "ALTER TABLE t ADD CHECK (price < 1000)",
        "INSERT INTO t VALUES (3, 'c', 5000)",
        violation="t_check",
    ),
    SchemaRule(
        "theirs adds UNIQUE, ours a row with a value that is there",
        "INSERT INTO t VALUES (3, 'a', 3.5)",
        "ALTER TABLE t ADD UNIQUE (name)",
        violation="t_name_unique",
    ),
    SchemaRule(
        "theirs sets NOT NULL, ours adds a NULL",
        "INSERT INTO t VALUES (3, NULL, 3.5)",
        "ALTER TABLE t ALTER name SET NOT NULL",
        violation="NOT NULL",
    ),
    SchemaRule(
        "each adds a row with one value, which ours has made UNIQUE",
        "ALTER TABLE t ADD UNIQUE (name); INSERT INTO t VALUES (3, 'c', 3.5)",
        "INSERT INTO t VALUES (4, 'c', 3.5)",
        violation="t_name_unique",
    ),
    SchemaRule(
        "a generated column is computed from the merged row",
        "UPDATE t SET price = 10 WHERE id = 1",
        "ALTER TABLE t ADD COLUMN twice DOUBLE GENERATED ALWAYS AS (price * 2)",
        ["id", "name", "price", "twice"],
        [(1, "a", 10.0, 20.0), (2, "b", 2.5, 5.0)],
    ),
    SchemaRule(
        "theirs adds a check over a column that ours renamed",
        "ALTER TABLE t RENAME price TO cost",
        "ALTER TABLE t ADD CHECK (price < 1000)",
        conflict="price",
    ),
    SchemaRule("theirs drops the table", "SELECT 1", "DROP TABLE t", []),
    SchemaRule(
        "theirs drops a table whose rows ours changed",
        "UPDATE t SET price = 3 WHERE id = 1",
        "DROP TABLE t",
        conflict="table",
    ),
    SchemaRule(
        "ours drops a table whose rows theirs changed",
        "DROP TABLE t",
        "UPDATE t SET price = 3 WHERE id = 1",
        conflict="table",
    ),
    SchemaRule(
        "theirs renames the table, ours changes its rows",
        "UPDATE t SET price = 3 WHERE id = 1",
        "ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME TO t2; ALTER TABLE t2 RENAME TO t",
        ["id", "name", "price"],
        [(1, "a", 3.0), (2, "b", 2.5)],
    ),
]


@pytest.mark.parametrize("rule", SCHEMA_RULES, ids=lambda rule: rule.says)
def test_definitions(rule):
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.sql(BASE)
        theirs = main.branch("theirs")
        theirs.sql(rule.theirs)
        main.sql(rule.ours)
        main.sql("CREATE TABLE beside (id INTEGER PRIMARY KEY)")
        if rule.conflict:
            with pytest.raises(MergeConflictError) as error:
                main.merge(theirs)
            conflicts = error.value.conflicts
            assert set(conflicts["kind"]) == {"schema"}
            assert any(rule.conflict in item for item in conflicts["column_name"]), conflicts.to_string()
        elif rule.violation:
            with pytest.raises(MergeConstraintError) as error:
                main.merge(theirs)
            assert set(error.value.violations["constraint_name"]) == {rule.violation}
        else:
            main.merge(theirs)
            assert not rule.columns or list(main["t"].to_arrow().column_names) == rule.columns
            assert ("t" in main) == bool(rule.columns)
            if rule.columns:
                assert main.sql("FROM t ORDER BY id").fetchall() == rule.rows
        assert "error" not in set(shop.check()["severity"])


def test_a_dispute_over_one_column_holds_up_nothing_else():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.sql(BASE)
        theirs = main.branch("theirs")
        theirs.sql("ALTER TABLE t ADD COLUMN n VARCHAR; ALTER TABLE t ADD COLUMN m INTEGER")
        theirs.sql("UPDATE t SET price = 9 WHERE id = 1")
        main.sql(
            "ALTER TABLE t ADD COLUMN n INTEGER; UPDATE t SET n = 5; UPDATE t SET name = 'z' WHERE id = 1"
        )
        conflicts = main.merge(theirs, dry_run=True).conflicts
        assert conflicts[["kind", "column_name"]].values.tolist() == [["schema", "column n"]]
        conflicts["resolution"] = "ours"
        main.merge(theirs, resolutions=conflicts)
        assert main.sql("SELECT id, name, price, n, m FROM t ORDER BY id").fetchall() == [
            (1, "z", 9.0, 5, None),
            (2, "b", 2.5, 5, None),
        ]


def test_violations_list_every_row_once():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR UNIQUE, price DOUBLE)")
        theirs = main.branch("theirs")
        theirs.sql(
            "INSERT INTO t SELECT i, 'n' || i, i FROM range(40) r(i); ALTER TABLE t ADD CHECK (price < 1000)"
        )
        main.sql("INSERT INTO t SELECT 100 + i, 'n' || i, 5000 FROM range(40) r(i)")
        with pytest.raises(MergeConstraintError) as error:
            main.merge(theirs)
        found = error.value.violations
        assert found["constraint_name"].value_counts().to_dict() == {"t_check": 40, "t_name_unique": 40}
        assert found[found["constraint_name"] == "t_check"]["key"].tolist() == list(range(100, 140))


def test_a_column_that_comes_back_with_not_null_is_missed_in_rows_added_meanwhile():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.sql(BASE)
        theirs = main.branch("theirs")
        main.sql("ALTER TABLE t DROP COLUMN name; INSERT INTO t VALUES (3, 3.5)")
        theirs.sql("ALTER TABLE t ALTER name SET NOT NULL")
        with pytest.raises(MergeConstraintError) as error:
            main.merge(theirs, on_conflict="theirs")
        assert error.value.violations[["constraint_name", "key"]].values.tolist() == [["NOT NULL", 3]]
        main.sql("DELETE FROM t WHERE id = 3")
        main.merge(theirs, on_conflict="theirs")
        assert main.sql("SELECT id, name, price FROM t ORDER BY id").fetchall() == ROWS


def test_a_foreign_key_is_held_in_both_directions():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.sql(
            """CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1), (2);
               CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id))"""
        )
        child, parent = main.branch("child"), main.branch("parent")
        child.sql("INSERT INTO c VALUES (1, 2)")
        parent.sql("DELETE FROM p WHERE id = 2")
        for first, second in ((child, parent), (parent, child)):
            target = main.branch(f"after_{first.name}")
            target.sql("INSERT INTO p VALUES (9)")
            target.merge(first)
            with pytest.raises(MergeConstraintError, match="c_p_fkey"):
                target.merge(second)


def test_a_table_made_alike_on_both_sides_is_one_and_stays_one():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        theirs = main.branch("theirs")
        for database, row in ((main, 1), (theirs, 2)):
            database.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
            database.sql("INSERT INTO t VALUES (?, ?)", [row, row])
        main.merge(theirs)
        assert main.sql("FROM t ORDER BY id").fetchall() == [(1, 1), (2, 2)]
        theirs.sql("UPDATE t SET n = 20 WHERE id = 2")
        main.sql("UPDATE t SET n = 10 WHERE id = 1")
        main.merge(theirs)
        assert main.sql("FROM t ORDER BY id").fetchall() == [(1, 10), (2, 20)]
        theirs.merge(main)
        assert theirs.sql("FROM t ORDER BY id").fetchall() == [(1, 10), (2, 20)]


def test_a_table_without_a_key_merges_by_row():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.sql("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1), (1), (2)")
        theirs = main.branch("theirs")
        theirs.sql("UPDATE t SET n = 20 WHERE n = 2; INSERT INTO t VALUES (3)")
        main.sql("DELETE FROM t WHERE n = 1; INSERT INTO t VALUES (3)")
        main.merge(theirs)
        assert sorted(main.sql("FROM t").fetchall()) == [(3,), (3,), (20,)]


def test_views_macros_and_sequences_merge_as_wholes():
    with absdb.connect(":memory:") as shop:
        main = shop["main"]
        main.sql("CREATE VIEW v AS SELECT 1 AS n; CREATE VIEW w AS SELECT 1 AS n; CREATE SEQUENCE s")
        theirs = main.branch("theirs")
        theirs.sql(
            "CREATE OR REPLACE VIEW v AS SELECT 2 AS n; CREATE MACRO twice(x) AS x * 2; DROP SEQUENCE s"
        )
        main.sql("CREATE OR REPLACE VIEW w AS SELECT 3 AS n")
        main.merge(theirs)
        assert main.sql("SELECT v.n, w.n, twice(4) FROM v, w").fetchall() == [(2, 3, 8)]
        theirs.sql("CREATE OR REPLACE VIEW v AS SELECT 5 AS n")
        main.sql("CREATE OR REPLACE VIEW v AS SELECT 6 AS n")
        with pytest.raises(MergeConflictError) as error:
            main.merge(theirs)
        assert error.value.conflicts["column_name"].tolist() == ["view v"]


# ---------------------------------------------------------------- histories


@pytest.fixture
def pair(main):
    """`main` and a branch of it; the branch has changed row 0."""
    branch = main.branch("branch")
    branch["t"].update({"id": 0, "a": 1.0})
    main["t"].upsert({"id": 9, "a": 9.0, "b": 9.0})
    return main, branch


def value(database: absdb.Database) -> float:
    return database["t"].get(0)["a"]


def test_merge_restore_ours_merge_again_brings_the_branch_again(pair):
    main, branch = pair
    before = main.lsn
    main.merge(branch)
    main.restore(lsn=before)
    assert value(main) == 0.0
    assert main.merge(branch).kind == "merge"
    assert value(main) == 1.0


def test_merge_restore_ours_alone_by_table_merge_again(pair):
    main, branch = pair
    before = main.lsn
    main.merge(branch)
    main.restore(lsn=before, tables=["t"])
    assert value(main) == 0.0
    main["t"].update({"id": 9, "b": 1.0})
    branch["t"].upsert({"id": 5, "a": 5.0, "b": 5.0})
    main.merge(branch)
    assert value(main) == 1.0
    assert main["t"].get(5) is not None


def test_merge_restore_ours_alone_by_table_merge_again_at_once(pair):
    main, branch = pair
    before = main.lsn
    main.merge(branch)
    main.restore(lsn=before, tables=["t"])
    assert main.merge(branch).kind == "merge"
    assert value(main) == 1.0
    assert main.merge(branch).kind == "nothing"


def test_a_table_put_back_alone_on_a_branch_is_not_put_back_where_it_is_merged(pair):
    main, _ = pair
    start = main.lsn
    main["t"].update({"id": 0, "a": 5.0})
    other = main.branch("other")
    other.restore(lsn=start, tables=["t"])
    main.merge(other)
    assert value(main) == 5.0
    main["t"].update({"id": 0, "b": 6.0})
    other["t"].update({"id": 9, "b": 7.0})
    main.merge(other)
    assert main["t"].get(0) == {"id": 0, "a": 5.0, "b": 6.0}
    assert main["t"].get(9)["b"] == 7.0


def test_merge_restore_theirs_merge_again_keeps_what_was_merged(pair):
    main, branch = pair
    start = main.lsn
    branch["t"].update({"id": 0, "a": 2.0})
    main.merge(branch)
    branch.restore(lsn=start)
    assert value(branch) == 1.0
    branch["t"].upsert({"id": 7, "a": 7.0, "b": 7.0})
    main.merge(branch)
    assert value(main) == 2.0
    assert main["t"].get(7) is not None


def test_undo_then_change_theirs_then_merge_brings_back_what_was_undone(pair):
    main, branch = pair
    branch["t"].upsert({"id": 4, "a": 4.0, "b": 4.0})
    main.merge(branch).undo()
    assert (value(main), main["t"].get(4)) == (0.0, None)
    branch["t"].update({"id": 0, "a": 3.0})
    main.merge(branch)
    assert value(main) == 3.0
    assert main["t"].get(4) is not None


def test_undo_keeps_what_came_later_and_is_undone_itself(pair):
    main, branch = pair
    merged = main.merge(branch)
    main["t"].upsert({"id": 8, "a": 8.0, "b": 8.0})
    undone = merged.undo()
    assert (value(main), main["t"].get(8)["a"]) == (0.0, 8.0)
    undone.undo()
    assert (value(main), main["t"].get(8)["a"]) == (1.0, 8.0)


def test_undo_of_a_fast_forward_keeps_what_came_later(main):
    branch = main.branch("branch")
    branch["t"].update({"id": 0, "a": 1.0})
    merged = main.merge(branch)
    assert merged.kind == "fast-forward"
    main["t"].upsert({"id": 8, "a": 8.0, "b": 8.0})
    merged.undo()
    assert (value(main), main["t"].get(8)["a"]) == (0.0, 8.0)
    assert main.merge(branch).kind == "merge"
    assert (value(main), main["t"].get(8)["a"]) == (1.0, 8.0)


def test_an_undone_merge_stays_undone_where_it_is_taken_over(pair):
    main, branch = pair
    merged = main.merge(branch)
    other = main.branch("other")
    other["t"].upsert({"id": 6, "a": 6.0, "b": 6.0})
    merged.undo()
    other.merge(main)
    assert value(other) == 0.0
    branch["t"].update({"id": 0, "b": 5.0})
    other.merge(branch)
    assert value(other) == 1.0


def test_criss_cross_is_a_conflict_whichever_way_it_is_merged(pair):
    main, branch = pair
    main["t"].update({"id": 0, "a": 2.0})
    mine, theirs = main.lsn, branch.lsn
    main.merge(branch.at(lsn=theirs), on_conflict="ours")
    branch.merge(main.at(lsn=mine), on_conflict="ours")
    assert (value(main), value(branch)) == (2.0, 1.0)
    for target, source in ((main, branch), (branch, main)):
        with pytest.raises(MergeConflictError):
            target.merge(source)


def test_120_alternating_merges_look_at_what_changed_only(main):
    branch = main.branch("branch")
    main["t"].insert([{"id": n, "a": 0.0, "b": 0.0} for n in range(100, 400)])
    branch.merge(main)
    for step in range(60):
        branch["t"].update({"id": 100 + step, "a": 1.0})
        main["t"].update({"id": 200 + step, "b": 1.0})
        assert main.merge(branch).summary()["row_count"].sum() == 1
        assert branch.merge(main, squash=True).summary()["row_count"].sum() == 1
    assert branch["t"].to_arrow() == main["t"].to_arrow()


def test_fast_forward_then_changes_on_both_then_merge(main):
    branch = main.branch("branch")
    branch["t"].update({"id": 0, "a": 1.0})
    assert main.merge(branch).kind == "fast-forward"
    branch["t"].update({"id": 0, "a": 2.0})
    main["t"].update({"id": 0, "b": 3.0})
    assert main.merge(branch).kind == "merge"
    assert main["t"].get(0) == {"id": 0, "a": 2.0, "b": 3.0}


def test_unrelated_databases_merge_what_they_do_not_share(main):
    engine = main._engine
    foreign = absdb.Database(HeadScope(engine, create_database(engine, "foreign")))
    foreign.create_table("u", {"id": [1], "n": [1]}, key="id")
    main.merge(foreign)
    assert main["u"].get(1) == {"id": 1, "n": 1}
    assert main["t"].count() == 1


def test_revert_and_cherry_pick(pair):
    main, branch = pair
    branch["t"].upsert({"id": 4, "a": 4.0, "b": 4.0}, message="four")
    lsn = branch.log(limit=1)["lsn"][0]
    main.cherry_pick(branch, lsn=lsn)
    assert (value(main), main["t"].get(4)["a"]) == (0.0, 4.0)
    assert main.log(limit=1)["message"][0] == "four"
    main["t"].update({"id": 4, "b": 5.0})
    with pytest.raises(MergeConflictError):
        main.revert(lsn=main.log(limit=2)["lsn"][1])
    main.revert(lsn=main.log(limit=1)["lsn"][0])
    main.revert(lsn=main.log(limit=3)["lsn"][2])
    assert main["t"].get(4) is None
    main.merge(branch)
    assert (value(main), main["t"].get(4)["a"]) == (1.0, 4.0)


def test_rebase_then_fast_forward_equals_merge(pair):
    main, branch = pair
    branch["t"].upsert({"id": 4, "a": 4.0, "b": 4.0}, message="four")
    merged = main.branch("merged")
    merged.merge(branch)
    done = branch.rebase()
    assert done["message"].tolist() == ["", "four"]
    assert branch["t"].to_arrow() == merged["t"].to_arrow()
    assert main.merge(branch).kind == "fast-forward"
    assert main["t"].to_arrow() == merged["t"].to_arrow()


def test_a_rebase_that_does_not_fit_changes_nothing_and_names_the_commit(pair):
    main, branch = pair
    main["t"].update({"id": 0, "a": 5.0})
    before = branch.lineage
    with pytest.raises(MergeConflictError) as error:
        branch.rebase()
    assert str(error.value.lsn) == branch.log(limit=1)["lsn"][0]
    assert branch.lineage == before
    conflicts = error.value.conflicts
    conflicts["resolution"] = "theirs"
    branch.rebase(resolutions=conflicts)
    assert value(branch) == 1.0
    assert branch["t"].get(9) is not None


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("ours", 13.0), ("theirs", 12.0), ("max", 13.0), ("min", 12.0), ("sum", 15.0), ("newest", 12.0)],
)
def test_policies(main, policy, expected):
    main["t"].update({"id": 0, "a": 10.0})
    main["t"].set_merge_policy(a=policy)
    branch = main.branch("branch")
    main["t"].update({"id": 0, "a": 13.0})
    branch["t"].update({"id": 0, "a": 12.0})
    main.merge(branch)
    assert value(main) == expected
    assert main["t"].merge_policies() == {"a": policy}


def test_sums_of_a_criss_cross_count_every_change_once(main):
    main["t"].set_merge_policy(a="sum")
    main["t"].update({"id": 0, "a": 10.0})
    branch = main.branch("branch")
    main["t"].update({"id": 0, "a": 11.0})
    branch["t"].update({"id": 0, "a": 12.0})
    mine, theirs = main.lsn, branch.lsn
    main.merge(branch.at(lsn=theirs))
    branch.merge(main.at(lsn=mine))
    assert (value(main), value(branch)) == (13.0, 13.0)
    main["t"].update({"id": 0, "b": 1.0})
    main.merge(branch)
    assert value(main) == 13.0
    main["t"].update({"id": 0, "a": 14.0})
    branch["t"].update({"id": 0, "a": 15.0})
    for target, source in ((main.branch("one"), branch), (branch.branch("two"), main)):
        target.merge(source)
        assert value(target) == 16.0


def test_a_policy_of_ones_own(main):
    def mean(base, ours, theirs):
        return [(a + b) / 2 for a, b in zip(ours.to_pylist(), theirs.to_pylist(), strict=True)]

    absdb.register_merge_policy("mean of both", mean)
    main["t"].set_merge_policy(a="mean of both")
    branch = main.branch("branch")
    main["t"].update({"id": 0, "a": 4.0})
    branch["t"].update({"id": 0, "a": 8.0})
    main.merge(branch)
    assert value(main) == 6.0


def test_a_protected_database_takes_merges_only(pair):
    main, branch = pair
    main.protect()
    with pytest.raises(absdb.StateError, match="merges only"):
        main["t"].delete(0)
    merged = main.merge(branch)
    assert value(main) == 1.0
    merged.undo()
    assert value(main) == 0.0
