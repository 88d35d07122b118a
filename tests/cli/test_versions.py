"""Tables, branches, snapshots, log, at, diff and restore: what they print and what they change."""

from __future__ import annotations

import datetime as dt
import re
import shlex

import pytest

import absdb

MINUS = "\N{MINUS SIGN}"
LOADED = [
    {"id": 1, "status": "new", "total": 1.5},
    {"id": 2, "status": "paid", "total": 2.0},
    {"id": 3, "status": "paid", "total": 3.0},
    {"id": 4, "status": None, "total": 4.0},
]


@pytest.fixture
def answer(monkeypatch):
    """As if somebody sat at a terminal."""
    monkeypatch.setattr("absdb.cli.command.interactive", lambda: True)


def test_tables_list_and_show(on_shop):
    listed = on_shop("tables", "list", "--json").json
    assert [(row["name"], row["rows"], row["key"]) for row in listed] == [
        ("customers", 0, "id"),
        ("orders", 4, "id"),
    ]
    assert on_shop("tables", "list").out.splitlines()[2] == "orders        4        3  id   what was ordered"
    shown = on_shop("tables", "show", "orders", "--rows", "2", "--json").json
    assert shown["table"]["rows"] == 4
    assert [column["name"] for column in shown["columns"]] == ["id", "status", "total"]
    assert shown["first_rows"] == LOADED[:2]
    assert on_shop("tables", "show", "order").err.splitlines()[1] == "hint: did you mean 'orders'?"


def test_drop_and_undrop_a_table(on_shop, rows_of):
    dry = on_shop("tables", "drop", "orders", "--dry-run")
    assert dry.out == "would drop table orders of main with 4 rows\n"
    refused = on_shop("tables", "drop", "orders")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert rows_of() == LOADED
    assert on_shop("tables", "drop", "orders", "--yes", "-m", "away").code == 0
    assert on_shop("tables", "show", "orders").code == 1
    assert on_shop("log", "--limit", "1", "--json").json[0]["message"] == "away"
    back = on_shop("tables", "undrop", "orders", "--json")
    assert (back.code, back.json["rows"]) == (0, 4)
    assert rows_of() == LOADED


def test_branch_create_list_drop(on_shop, rows_of):
    made = on_shop(
        "branch", "create", "audit", "--snapshot", "before", "--retain", "7 days", "--comment", "look"
    )
    assert made.code == 0
    on_shop("branch", "create", "copy", "--from", "staging")
    listed = {row["name"]: row for row in on_shop("branch", "list", "--json").json}
    assert set(listed) == {"main", "staging", "audit", "copy"}
    assert (listed["audit"]["comment"], listed["copy"]["created_from"]) == ("look", "staging")
    assert listed["audit"]["expires_at"].endswith("Z")
    assert rows_of(database="audit") == LOADED
    assert len(rows_of(database="copy")) == 4
    taken = on_shop("branch", "create", "copy")
    assert taken.code == 1
    dry = on_shop("branch", "drop", "staging", "--dry-run", "--json").json
    assert (dry["dropped"], dry["commits"], dry["snapshots"]) == (False, 3, [])
    assert on_shop("branch", "drop", "staging").code == 2
    assert on_shop("branch", "drop", "staging", "--yes", "-q").out == ""
    assert [row["name"] for row in on_shop("databases", "--json").json] == ["main", "audit", "copy"]
    assert len(rows_of(database="copy")) == 4


def test_protected_branches_stay(on_shop):
    assert on_shop("branch", "protect", "staging").code == 0
    assert "unprotect" in on_shop("branch", "drop", "staging", "--yes").err
    assert on_shop("restore", "-d", "staging", "--lsn", "0/0", "--yes").code == 1
    assert on_shop("branch", "unprotect", "staging").code == 0
    assert on_shop("branch", "drop", "staging", "--yes").code == 0
    assert "only database" in on_shop("branch", "drop", "main", "--dry-run").err


def test_snapshots(on_shop):
    made = on_shop("snapshot", "create", "now", "-d", "staging", "--comment", "today", "--json").json
    listed = on_shop("snapshot", "list", "--json").json
    assert [(row["name"], row["database"]) for row in listed] == [("before", "main"), ("now", "staging")]
    assert listed[1]["lsn"] == made["lsn"]
    assert len(on_shop("snapshot", "list", "-d", "main", "--json").json) == 1
    assert on_shop("snapshot", "drop", "before", "--dry-run").out.startswith(
        "would drop snapshot before of main"
    )
    assert on_shop("snapshot", "drop", "before").code == 2
    assert len(on_shop("snapshot", "list", "--json").json) == 2
    assert on_shop("snapshot", "drop", "before", "--yes").code == 0
    gone = on_shop("snapshot", "drop", "before", "--yes")
    assert (gone.code, "it has none" in gone.err) == (1, True)
    assert on_shop("snapshot", "list", "-d", "main").out == "there are no snapshots\n"


def test_log(on_shop):
    entries = on_shop("log", "-d", "staging", "--json").json
    assert [entry["message"] for entry in entries][-2:] == [None, "load orders"]
    first = entries[-1]
    assert absdb.Lsn.parse(first["lsn"]) > 0
    assert dt.datetime.fromisoformat(first["time"]).utcoffset() == dt.timedelta(0)
    assert first["time"].endswith("Z")
    assert (first["author"], first["tables"], first["rows_inserted"]) == ("kim", ["orders"], 4)
    assert len(on_shop("log", "-n", "1", "--json").json) == 1
    assert len(on_shop("log", "-n", "1", "--all", "-d", "staging", "--json").json) == len(entries)
    assert "+4 " in on_shop("log").out


def test_log_marks_what_a_restore_undid(on_shop):
    before, entries = on_shop("log", "--all").out, on_shop("log", "--all", "--json").json
    assert not any(entry["undone"] for entry in entries)
    on_shop("tables", "drop", "orders", "--yes")
    on_shop("restore", "--lsn", entries[0]["lsn"], "--yes")
    restored, dropped = on_shop("log", "-n", "2", "--json").json
    assert (restored["kind"], restored["undone"]) == ("restore", False)
    assert (dropped["kind"], dropped["undone"], dropped["tables"]) == ("schema", True, ["orders"])
    lines = on_shop("log").out.splitlines()
    assert lines[0].split() == ["lsn", "time", "author", "kind", "tables", "rows", "undone", "message"]
    assert [" yes" in line for line in lines[1:3]] == [False, True]
    assert len(before.splitlines()) + 2 == len(lines)


def test_a_point_is_named_in_three_ways(on_shop):
    load = on_shop("log", "--json").json[-1]
    lsn, time = load["lsn"], load["time"]
    with_points = [["--lsn", lsn], ["--time", time], ["--snapshot", "before"]]
    on_shop("tables", "drop", "orders", "--yes")
    for point in with_points:
        assert on_shop("at", "orders", *point, "--json").json == LOADED
        assert on_shop("at", *point, "--json").json[-1]["name"] == "orders"
        assert on_shop("tables", "show", "orders", *point, "--json").json["table"]["rows"] == 4
        assert on_shop("log", *point, "--json").json[-1] == load
    assert on_shop("at", "orders").code == 1


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["at", "--lsn", "zero"], 2, "is not an LSN"),
        (["at", "--time", "yesterday"], 2, "is not a point in time"),
        (["at", "--lsn", "0/1", "--snapshot", "before"], 2, "give one of them"),
        (["at", "--lsn", "99/0"], 1, "lies in the future"),
        (["at", "--time", "1999-01-01"], 1, "has no history at"),
        (["at", "--snapshot", "bevore"], 1, "its snapshots are before"),
        (["at", "--limit", "0"], 2, "--limit"),
        (["at", "orders", "--columns", "id,nope"], 1, "nope"),
        (["at", "-d", "mian"], 1, "mian"),
        (["diff", "main"], 2, "two databases"),
        (["diff", "main", "staging", "--commit", "0/64"], 2, "--commit names both sides"),
        (["diff", "main", "--commit", "0/64"], 1, "no commit of database 'main'"),
        (["bisect"], 2, "Missing option '--sql'"),
        (["bisect", "--good", "nope", "--sql", "SELECT true"], 1, "its snapshots are before"),
        (["bisect", "--good", "before", "--sql", "SELECT true"], 1, "no commit lies between"),
        (["blame", "order"], 1, "did you mean 'orders'"),
        (["blame", "orders", "--key", "x"], 1, "do not fit"),
        (["blame", "orders", "--columns", "id,nope"], 1, "nope"),
        (["diff", "main..staging", "orders", "customers"], 2, "a table at most"),
        (["diff", "main..staging", "--kind", "added"], 2, "for the rows of a table"),
        (["diff", "main..staging", "--patch", "--json"], 2, "--patch prints SQL"),
        (["diff", "main..staging", "nope"], 1, "no table 'nope' on both sides"),
        (["diff", "main..staging", "orders", "--ignore", "nope"], 1, "is not a column that is compared"),
        (["diff", "main..staging", "orders", "--tolerance", "-1"], 1, "no tolerance"),
        (["diff", "main..staging", "orders", "--where", "1"], 1, "is no condition"),
        (["restore"], 2, "to which point"),
        (["log", "--limit", "many"], 2, "--limit"),
        (["frobnicate"], 2, "No such command"),
        (["branch", "frobnicate"], 2, "No such command"),
        (["branch", "create"], 2, "Missing argument"),
        (["branch", "create", "a/b"], 1, "cannot name a database"),
        (["branch", "create", "x", "--retain", "soon"], 1, "hint:"),
    ],
)
def test_bad_input(args, code, said, on_shop):
    ran = on_shop(*args)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err


def test_at_shows_rows(on_shop):
    plain = on_shop("at", "orders", "--limit", "2")
    assert plain.out.splitlines() == ["id  status  total", " 1  new       1.5", " 2  paid        2"]
    assert plain.err.startswith("orders of main @ ")
    assert on_shop("at", "orders", "-q").err == ""
    assert on_shop("at", "orders", "--columns", "status, id", "--json").json[3] == {"status": None, "id": 4}
    assert "NULL" in on_shop("at", "orders").out


def test_diff(on_shop):
    expected = [
        {"table_name": "orders", "operation": name, "row_count": 1, "cell_count": cells}
        for name, cells in (("added", None), ("modified", 1), ("removed", None))
    ]
    assert on_shop("diff", "--stat", "main", "staging", "--json").json == expected
    assert on_shop("diff", "main..staging", "--json").json == expected
    assert on_shop("diff", "--stat", "main", "--snapshot", "before").out == "no difference\n"
    assert on_shop("diff", "--stat", "main", "staging", "--snapshot", "before", "--json").json == expected


def test_blame_of_rows_and_cells(on_shop):
    rows = on_shop("blame", "-d", "staging", "orders", "--json").json
    assert [(row["id"], row["message"], row["database"]) for row in rows] == [
        (1, "pay the first", "staging"),
        (2, "load orders", "main"),
        (3, "load orders", "main"),
        (9, None, "staging"),
    ]
    assert {row["author"] for row in rows} == {"kim"}
    plain = on_shop("blame", "-d", "staging", "orders", "-n", "2")
    assert len(plain.out.splitlines()) == 3
    assert plain.err.endswith(", 4 rows\n")
    assert on_shop("blame", "orders", "--key", "3", "--key", "77", "--json").json[0]["id"] == 3
    cells = on_shop(
        "blame", "-d", "staging", "orders", "--key", "1", "--columns", "status, total", "--json"
    ).json
    assert [(cell["column"], cell["message"]) for cell in cells] == [
        ("status", "pay the first"),
        ("total", "load orders"),
    ]


def test_a_key_that_does_not_fit_says_how_to_write_it(on_shop):
    refused = on_shop("blame", "orders", "--key", "a")
    assert refused.code == 1
    assert "hint: write --key as id," in refused.err


def test_blame_by_a_key_of_several_columns(run, tmp_path):
    with absdb.connect(tmp_path / "shop") as shop:
        made = shop["main"].create_table("p", {"a": "date", "b": "string"}, key=["a", "b"])
        made.insert([{"a": dt.date(2026, 4, 4), "b": text} for text in ("7", "x,y")])
    keys = ["--key", "2026-04-04,7", "--key", '2026-04-04,"x,y"', "--key", "2026-04-05,7"]
    found = run("-i", tmp_path / "shop", "blame", "p", *keys, "--json").json
    assert [row["b"] for row in found] == ["7", "x,y"]
    assert run("-i", tmp_path / "shop", "blame", "p", "--key", "7").code == 2


def test_the_diff_of_one_commit(on_shop):
    lsn = next(row["lsn"] for row in on_shop("log", "-d", "staging", "--json").json if row["rows_deleted"])
    changed = [{"table_name": "orders", "operation": "removed", "row_count": 1, "cell_count": None}]
    assert on_shop("diff", "staging", "--commit", lsn, "--json").json == changed
    rows = on_shop("diff", "staging", "orders", "--commit", lsn, "--json").json
    assert [(row["diff_type"], row["id"]) for row in rows] == [("removed", 4)]


def test_bisect_shows_the_commit_and_what_it_changed(on_shop):
    test = "SELECT count(*) = 4 FROM orders"
    found = on_shop("bisect", "-d", "staging", "--good", "{}", "--sql", test)
    assert (found.code, "no LSN, no time and no snapshot" in found.err) == (1, True)
    loaded = on_shop("log", "-d", "staging", "--json").json[-1]["lsn"]
    bad = next(row for row in on_shop("log", "-d", "staging", "--json").json if row["rows_deleted"])
    args = ("bisect", "-d", "staging", "--good", loaded, "--bad", bad["lsn"], "--sql", test)
    shown = on_shop(*args, "--json").json
    assert (shown["commit"]["lsn"], shown["commit"]["tables"]) == (bad["lsn"], ["orders"])
    assert shown["commit"]["author"] == "kim"
    assert shown["changes"] == [{"table_name": "orders", "operation": "removed", "row_count": 1}]
    assert on_shop(*args).out.startswith(f"lsn       {bad['lsn']}\n")


def test_rows_that_differ(on_shop):
    lines = on_shop("diff", "main", "staging", "orders")
    assert lines.code == 0
    assert lines.out.splitlines() == [
        "   id  status      total",
        "~   1  new → paid  1.5",
        f"{MINUS}   4  NULL        4",
        "+   9  new         9",
    ]
    assert on_shop("diff", "main..staging", "orders", "-q").out == lines.out
    rows = on_shop("diff", "main..staging", "orders", "--json").json
    assert [(row["diff_type"], row["id"], row["changed"]) for row in rows] == [
        ("modified", 1, ["status"]),
        ("removed", 4, None),
        ("added", 9, None),
    ]
    assert on_shop("diff", "main", "main", "orders").out == "no difference\n"
    assert on_shop("diff", "main", "main", "orders", "--json").json == []
    limited = on_shop("diff", "main..staging", "orders", "--limit", "1")
    assert (len(limited.out.splitlines()), limited.err.splitlines()[-1]) == (2, "… 2 more rows")
    assert on_shop("diff", "main..main", "orders", "--snapshot", "before").out == "no difference\n"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--kind", "added", "--kind", "removed"], [4, 9]),
        (["--columns", "status"], [1]),
        (["--where", "to_total > 2"], [9]),
        (["--ignore", "status, total"], [4, 9]),
        (["--tolerance", "0.5", "--limit", "1"], [1]),
    ],
)
def test_rows_that_are_wanted_of_a_diff(on_shop, options, found):
    rows = on_shop("diff", "main..staging", "orders", "--json", *options).json
    assert [row["id"] for row in rows] == found


def test_a_patch_makes_the_source_what_the_target_is(on_shop, tmp_path):
    patch = on_shop("diff", "main..staging", "--patch").out
    assert patch.splitlines()[:3] == [
        "BEGIN;",
        'DELETE FROM "orders" WHERE "id" IN (4);',
        'UPDATE "orders" SET "status" = \'paid\' WHERE "id" = 1;',
    ]
    assert on_shop("diff", "main..staging", "customers", "--patch").out == ""
    assert "UPDATE" not in on_shop("diff", "main..staging", "orders", "--patch", "--kind", "added").out
    (tmp_path / "staging.sql").write_text(patch)
    assert on_shop("sql", "-f", tmp_path / "staging.sql").code == 0
    assert on_shop("diff", "main..staging", "--exit-code").code == 0
    assert on_shop("diff", "main..staging", "--patch", "--exit-code").out == ""


def test_the_exit_code_of_a_diff(on_shop):
    for args in (["main", "staging"], ["main", "staging", "orders"], ["main..staging", "orders", "--stat"]):
        assert on_shop("diff", *args).code == 0
        assert on_shop("diff", *args, "--exit-code").code == 1
    assert on_shop("diff", "main", "main", "--exit-code").code == 0
    assert on_shop("diff", "main", "main", "orders", "--exit-code").code == 0
    assert on_shop("diff", "main", "staging", "customers", "--stat", "--exit-code").code == 0


def test_restore(on_shop, rows_of):
    changed = rows_of(database="staging")
    args = ["restore", "-d", "staging", "--lsn", on_shop("snapshot", "list", "--json").json[0]["lsn"]]
    dry = on_shop(*args, "--dry-run", "--json").json
    assert {row["operation"] for row in dry["changes"]} == {"added", "modified", "removed"}
    assert dry["restore"]["restored"] is False
    assert on_shop(*args).code == 2
    assert rows_of(database="staging") == changed
    done = on_shop(*args, "--yes", "--author", "robin", "--json").json
    assert (done["restore"]["restored"], done["changes"]) == (True, dry["changes"])
    assert rows_of(database="staging") == LOADED
    newest = on_shop("log", "-d", "staging", "-n", "1", "--json").json[0]
    assert (newest["kind"], newest["author"]) == ("restore", "robin")
    undo = on_shop("restore", "-d", "staging", "--lsn", done["restore"]["undone_by_lsn"], "--yes")
    assert undo.code == 0
    assert rows_of(database="staging") == changed


def test_restore_of_some_tables(on_shop, rows_of):
    on_shop("tables", "drop", "customers", "--yes")
    on_shop("tables", "drop", "orders", "--yes")
    args = ["restore", "--snapshot", "before", "--tables", "orders"]
    assert [row["table_name"] for row in on_shop(*args, "--dry-run", "--json").json["changes"]] == ["orders"]
    assert on_shop(*args, "--yes").code == 0
    assert rows_of() == LOADED
    assert on_shop("tables", "show", "customers").code == 1
    assert on_shop("restore", "--snapshot", "before", "--tables", "ordres", "--dry-run").code == 1


def test_restore_asks(on_shop, rows_of, answer):
    args = ["restore", "-d", "staging", "--snapshot", "start"]
    on_shop("snapshot", "create", "start", "-d", "staging")
    on_shop("tables", "drop", "orders", "-d", "staging", input="y\n")
    no = on_shop(*args, input="n\n")
    assert no.code == 1
    assert "nothing was changed" in no.err
    assert on_shop("tables", "show", "orders", "-d", "staging").code == 1
    yes = on_shop(*args, input="y\n")
    assert yes.code == 0
    assert len(rows_of(database="staging")) == 4
    undo = re.search("`absdb (.*)` undoes it", yes.out)
    assert on_shop(*shlex.split(undo[1]), "--yes").code == 0
    assert on_shop("tables", "show", "orders", "-d", "staging").code == 1


def test_drops_ask(on_shop, answer):
    for args in (
        ["branch", "drop", "staging"],
        ["snapshot", "drop", "before"],
        ["tables", "drop", "customers"],
    ):
        assert on_shop(*args, input="n\n").code == 1
        assert on_shop(*args, "--dry-run").code == 0
        assert on_shop(*args, input="y\n").code == 0
        assert on_shop(*args, "--dry-run").code == 1


def test_nobody_there_to_answer(on_shop, answer):
    assert on_shop("branch", "drop", "staging", input="").code == 1
    assert on_shop("branch", "drop", "staging", "--dry-run").code == 0


def test_a_table_in_place_of_a_target_is_told_from_a_database_that_is_not_there(on_shop):
    on_shop("snapshot", "create", "before")
    assert "absdb diff main main orders" in on_shop("diff", "main", "--snapshot", "before", "orders").err
    assert "absdb diff main main" not in on_shop("diff", "main", "--snapshot", "before", "order").err
