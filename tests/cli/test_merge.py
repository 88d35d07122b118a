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
