"""merge, revert, cherry-pick, rebase and rehearse: what they print, what they change, and how they end."""

from __future__ import annotations

import json


def change(on_shop, database: str, sql: str) -> None:
    assert on_shop("sql", "-d", database, sql).code == 0


def last_lsn(on_shop, database: str = "main") -> str:
    return on_shop("log", "-d", database, "--limit", "1", "--json").json[0]["lsn"]


def test_merge_says_what_came_in_and_how_to_take_it_back(on_shop, rows_of):
    on_shop("branch", "create", "fix")
    change(on_shop, "fix", "UPDATE orders SET total = 9 WHERE id = 1")
    dry = on_shop("merge", "fix", "--dry-run")
    assert (dry.code, dry.out.splitlines()[0]) == (0, "merge of fix into main would be a fast-forward:")
    assert rows_of()[0]["total"] == 1.5
    done = on_shop("merge", "fix", "-m", "put right")
    assert done.code == 0
    assert "takes it back" in done.out
    assert rows_of()[0]["total"] == 9.0
    assert on_shop("log", "--limit", "1", "--json").json[0]["message"] == "put right"
    assert on_shop("merge", "fix").out.startswith("merge of fix into main: there is nothing new")
    assert on_shop("revert", last_lsn(on_shop)).code == 0
    assert rows_of()[0]["total"] == 1.5


def test_conflicts_go_out_as_json_and_come_back_decided(on_shop, rows_of, tmp_path):
    on_shop("branch", "create", "fix")
    change(on_shop, "fix", "UPDATE orders SET status = 'theirs' WHERE id IN (1, 2)")
    change(on_shop, "main", "UPDATE orders SET status = 'ours' WHERE id IN (1, 2)")
    stopped = on_shop("merge", "fix")
    assert stopped.code == 1
    assert "2 conflicts in orders; nothing was changed" in stopped.err
    assert stopped.out.split()[:4] == ["table_name", "kind", "key", "column_name"]
    listed = on_shop("merge", "fix", "--dry-run", "--json")
    assert listed.code == 1
    found = listed.json
    assert [row["key"] for row in found["conflicts"]] == [1, 2]
    found["conflicts"][0]["resolution"] = "theirs"
    found["conflicts"][1].update(resolution="value", resolved_value="both")
    file = tmp_path / "conflicts.json"
    file.write_text(json.dumps(found))
    assert on_shop("merge", "fix", "--resolutions", str(file)).code == 0
    assert [row["status"] for row in rows_of()[:2]] == ["theirs", "both"]


def test_bad_resolutions_are_named(on_shop, tmp_path):
    file = tmp_path / "bad.json"
    for text, said in (("[1, 2]", "no list of conflicts"), ("{", "is not JSON")):
        file.write_text(text)
        refused = on_shop("merge", "main", "--resolutions", str(file))
        assert refused.code == 1
        assert said in refused.err
    assert on_shop("merge", "main", "--on-conflict", "sometimes").code == 2


def test_cherry_pick_and_rebase(on_shop, rows_of):
    on_shop("branch", "create", "fix")
    change(on_shop, "fix", "UPDATE orders SET total = 9 WHERE id = 1")
    lsn = last_lsn(on_shop, "fix")
    change(on_shop, "main", "UPDATE orders SET total = 8 WHERE id = 2")
    assert on_shop("cherry-pick", "fix", lsn).code == 0
    assert [row["total"] for row in rows_of()[:2]] == [9.0, 8.0]
    replayed = on_shop("rebase", "fix", "--json")
    assert (replayed.code, replayed.json) == (0, [])
    change(on_shop, "fix", "DELETE FROM orders WHERE id = 4")
    assert len(on_shop("rebase", "fix", "--json").json) == 1
    wrong = on_shop("cherry-pick", "fix", "0/1")
    assert (wrong.code, "no commit of this history" in wrong.err) == (1, True)


def test_rehearse_reports_and_applies_only_what_went_well(on_shop, rows_of, tmp_path):
    file, page = tmp_path / "migration.sql", tmp_path / "report.html"
    file.write_text("ALTER TABLE orders ADD COLUMN vat DOUBLE; UPDATE orders SET vat = total * 0.2")
    tried = on_shop("rehearse", str(file), "--html", str(page))
    assert tried.code == 0
    assert tried.out.startswith("passed: 2 statements")
    assert "<h2>Statements</h2>" in page.read_text()
    assert "vat" not in rows_of()[0]
    assert [row["name"] for row in on_shop("databases", "--json").json] == ["main", "staging"]
    failed = on_shop("rehearse", str(file), "--check", "few=SELECT count(*) < 2 FROM orders", "--apply")
    assert failed.code == 1
    assert "1 check failed: few" in failed.out
    assert "vat" not in rows_of()[0]
    report = on_shop("rehearse", str(file), "--json", "--keep").json
    assert (report["passed"], report["branch"].startswith("rehearsal_")) == (True, True)
    assert on_shop("rehearse", str(file), "--apply", "-m", "vat").code == 0
    assert round(rows_of()[0]["vat"], 6) == 0.3
    assert on_shop("rehearse", str(tmp_path / "absent.sql")).code == 1
    assert on_shop("rehearse", str(file), "--check", "nothing").code == 1


def test_what_stops_a_merge_is_listed_with_advice_for_the_command_line(on_shop, tmp_path):
    on_shop("branch", "create", "fix")
    change(on_shop, "fix", "UPDATE orders SET total = -1 WHERE id = 1")
    change(on_shop, "main", "UPDATE orders SET total = 8 WHERE id IN (1, 2)")
    conflict = on_shop("merge", "fix")
    assert "--on-conflict" in conflict.err
    assert ".conflicts" not in conflict.err
    assert "\n\n1 conflict:\n" in on_shop("merge", "fix", "--dry-run").out
    change(on_shop, "main", "CREATE CHECK positive AS SELECT id, total FROM orders WHERE total < 0")
    failed = on_shop("merge", "fix", "--on-conflict", "theirs")
    assert failed.code == 1
    assert failed.out.split() == ["id", "total", "1", "-1"]
    assert "does not hold" in failed.err
    change(on_shop, "main", "DROP CHECK positive")
    change(on_shop, "main", "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0)")
    broken = on_shop("merge", "fix", "--on-conflict", "theirs", "--json")
    assert [(row["constraint_name"], row["key"]) for row in broken.json["violations"]] == [("positive", 1)]
    assert ".violations" not in broken.err
    file = tmp_path / "decided.json"
    file.write_text('[{"table": "orders", "key": 1, "resolution": "ours"}]')
    refused = on_shop("merge", "fix", "--resolutions", str(file))
    assert (refused.code, "conflict 1 in" in refused.err, "'table_name'" in refused.err) == (1, True, True)


def test_what_is_taken_back_already_is_no_commit(on_shop):
    change(on_shop, "main", "UPDATE orders SET total = 9 WHERE id = 1")
    lsn = last_lsn(on_shop)
    assert on_shop("revert", lsn, "--dry-run").out.startswith(f"revert of {lsn} would bring:")
    assert on_shop("revert", lsn, "--json").json["merge"]["kind"] == "revert"
    before = last_lsn(on_shop)
    for options in ((), ("--dry-run",)):
        again = on_shop("revert", lsn, *options)
        assert (again.code, again.out) == (0, f"revert of {lsn}: there is nothing left to take back\n")
    assert last_lsn(on_shop) == before
    taken = on_shop("cherry-pick", "main", lsn, "--json").json["merge"]
    assert taken["kind"] == "cherry-pick"
    assert on_shop("cherry-pick", "main", lsn).out.endswith("all of it is there already\n")


def test_a_rebase_that_stops_names_the_commit(on_shop):
    on_shop("branch", "create", "fix")
    change(on_shop, "fix", "UPDATE orders SET total = 9 WHERE id = 1")
    lsn = last_lsn(on_shop, "fix")
    change(on_shop, "main", "UPDATE orders SET total = 8 WHERE id = 1")
    stopped = on_shop("rebase", "fix")
    assert stopped.code == 1
    assert f"rebase of fix: the commit at {lsn} does not fit: 1 conflict in orders" in stopped.err


def test_rehearse_tells_the_whole_error_and_where_the_branch_is(on_shop, tmp_path):
    file = tmp_path / "migration.sql"
    file.write_text("UPDATE orders SET vat = total * 0.2 WHERE status = 'a status that makes this line long'")
    failed = on_shop("rehearse", str(file))
    assert failed.code == 1
    assert failed.out.startswith(
        "statement 1 failed: table 'orders' has no column 'vat'\n  LINE 1: UPDATE orders"
    )
    piped = on_shop("rehearse", "-", input="UPDATE orders SET total = 1")
    assert piped.out.startswith("passed: 1 statement")
    file.write_text("ALTER TABLE orders ADD CHECK (total >= 0)")
    kept = on_shop("rehearse", str(file), "--keep").out
    branch = kept.rpartition("drop ")[2].split("`")[0]
    assert branch in [row["name"] for row in on_shop("branch", "list", "--json").json]
    assert "CHECK (total >= 0)" in kept
    applied = on_shop("rehearse", str(file), "--apply", "--json").json
    assert applied["statements"][0]["rows"] is None
    assert (applied["branch"], applied["applied"]["kind"]) == (None, "fast-forward")


def test_conflicts_can_be_asked_for_in_sql(on_shop):
    on_shop("branch", "create", "fix")
    for name in ("fix", "main"):
        change(on_shop, name, f"UPDATE orders SET status = '{name}' WHERE id = 1")
    found = on_shop("sql", "FROM absdb_conflicts('fix', 'main')", "--json")
    assert (found.code, [row["column_name"] for row in found.json]) == (0, ["status"])
