"""`absdb sql`: where statements come from, in which forms rows go out, and what happens when something is wrong."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

import absdb

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-c", "from absdb.cli.main import main; main()"]
FOREVER = "SELECT sum(a.range * b.range % 7) FROM range(3000000) a, range(3000000) b"


def test_rows_as_people_read_them(on_shop):
    ran = on_shop("sql", "SELECT * FROM orders ORDER BY id DESC")
    assert (ran.code, ran.err) == (0, "")
    assert (
        ran.out
        == "id  status  total\n 4  NULL        4\n 3  paid        3\n 2  paid        2\n 1  new       1.5\n"
    )
    assert on_shop("sql", "SELECT * FROM customers").out == "id  name\n"


def test_forms_for_programs(on_shop):
    query = "SELECT id, status, total FROM orders WHERE id IN (1, 4) ORDER BY id"
    rows = [{"id": 1, "status": "new", "total": 1.5}, {"id": 4, "status": None, "total": 4.0}]
    assert on_shop("sql", query, "--json").json == rows
    assert [json.loads(line) for line in on_shop("sql", query, "--jsonl").out.splitlines()] == rows
    assert on_shop("sql", query, "--csv").out == '"id","status","total"\n1,"new",1.5\n4,,4\n'
    assert "status  NULL" in on_shop("sql", query, "--line").out
    assert on_shop("sql", "SELECT 1 WHERE false", "--json").json == []
    assert on_shop("sql", "SELECT 1 WHERE false", "--jsonl").out == ""
    assert on_shop("sql", "SELECT 1 AS a, 2 AS a", "--json").json == [{"a": 1, "a_2": 2}]
    both = on_shop("sql", query, "--json", "--csv")
    assert (both.code, "--json and --csv" in both.err) == (2, True)


def test_an_arrow_stream_goes_to_stdout(shop):
    words = [*PROGRAM, "-i", str(shop), "sql", "FROM orders", "--arrow"]
    out = subprocess.run(words, env=environment(), capture_output=True, check=True).stdout
    assert pa.ipc.open_stream(out).read_all()["id"].to_pylist() == [1, 2, 3, 4]


def test_databases_and_points(on_shop):
    assert on_shop("sql", "-d", "staging", "SELECT count(*) AS n FROM orders", "--json").json == [{"n": 4}]
    on_shop("sql", "DELETE FROM orders")
    assert on_shop("sql", "SELECT count(*) AS n FROM orders", "--json").json == [{"n": 0}]
    at = ("--snapshot", "before")
    assert on_shop("sql", *at, "SELECT count(*) AS n FROM orders", "--json").json == [{"n": 4}]
    refused = on_shop("sql", *at, "DELETE FROM orders")
    assert (refused.code, refused.out) == (1, "")


def test_changes_say_how_many_rows(on_shop, rows_of):
    done = on_shop("sql", "UPDATE orders SET total = 0 WHERE id < 3")
    assert (done.code, done.out) == (0, "2 rows updated\n")
    assert on_shop("sql", "DELETE FROM orders WHERE id = 4", "--json").json == {
        "statement": "DELETE",
        "rows": 1,
    }
    assert on_shop("sql", "DELETE FROM orders WHERE id = 3 RETURNING id", "--csv").out == '"id"\n3\n'
    silent = on_shop("sql", "INSERT INTO customers VALUES (1, 'Ada')", "--csv")
    assert (silent.out, silent.err) == ("", "1 row inserted\n")
    assert [row["total"] for row in rows_of()] == [0.0, 0.0]


def test_several_statements(on_shop, rows_of):
    text = "SELECT 1 AS a;\n\nDELETE FROM orders WHERE id = 1; SELECT ';' AS b -- ; no more\n;"
    assert on_shop("sql", text).out == "a\n1\n1 row deleted\n\nb\n;\n"
    assert on_shop("sql", text, "--csv").out == '"b"\n";"\n'
    failed = on_shop("sql", "DELETE FROM orders WHERE id = 2;\n\nSELECT\n  * FROM ordres")
    assert failed.code == 1
    assert failed.err == (
        "error: there is no table 'ordres' in database 'main'\n"
        "  LINE 4:   * FROM ordres\n                   ^\n"
        "hint: did you mean 'orders'?\n"
    )
    assert [row["id"] for row in rows_of()] == [3, 4]


def test_transactions_must_end(on_shop, rows_of):
    open_end = on_shop("sql", "BEGIN; DELETE FROM orders")
    assert (open_end.code, "rolled back" in open_end.err) == (1, True)
    assert len(rows_of()) == 4
    assert on_shop("sql", "BEGIN; DELETE FROM orders WHERE id > 1; COMMIT MESSAGE 'fewer'").code == 0
    assert len(rows_of()) == 1
    assert on_shop("log", "--json").json[0]["message"] == "fewer"


def test_where_statements_come_from(on_shop, tmp_path):
    file = tmp_path / "q.sql"
    file.write_text("SELECT 'ä' AS x;\n", encoding="utf-8-sig")
    assert on_shop("sql", "-f", file).out == "x\nä\n"
    assert on_shop("sql", "-", input="SELECT 2 AS x").out == "x\n2\n"
    assert on_shop("sql", input="SELECT 3 AS x").out == "x\n3\n"
    assert on_shop("sql", "SELECT 1", "-f", file).code == 2
    assert on_shop("sql", " -- nothing").code == 2
    assert "there is no file" in on_shop("sql", "-f", tmp_path / "no.sql").err
    file.write_bytes(b"SELECT '\xff'")
    assert "no text in UTF-8" in on_shop("sql", "-f", file).err


def test_parameters_are_bound(on_shop):
    query = "SELECT $a AS a, $b AS b, $c AS c, $d AS d"
    given = [word for pair in ("a=1", "b=1.5", "c=it's; DROP", 'd="2"') for word in ("-p", pair)]
    assert on_shop("sql", query, *given, "--json").json == [{"a": 1, "b": 1.5, "c": "it's; DROP", "d": "2"}]
    numbered = on_shop("sql", "SELECT ? AS a, ? AS b", "-p", "1=null", "-p", "2=NaN", "--json")
    assert numbered.json == [{"a": None, "b": "NaN"}]
    several = on_shop("sql", "SELECT $a AS a; SELECT $b AS b", "-p", "a=1", "-p", "b=[1, 2]", "--json")
    assert several.json == [{"b": [1, 2]}]
    assert "$x" in on_shop("sql", "SELECT 1", "-p", "x=1").err
    assert "NAME=VALUE" in on_shop("sql", "SELECT 1", "-p", "x").err
    assert on_shop("sql", "SELECT $a", "-p", "b=1").code == 1


def test_limits_and_timing(on_shop):
    ran = on_shop("sql", "FROM range(2500)", "-n", "1200", "--timing", "--csv")
    assert len(ran.out.splitlines()) == 1201
    assert ran.err.startswith("… 1,300 more rows\n")
    assert ran.err.endswith(" ms\n")
    assert len(on_shop("sql", "FROM range(2500)").out.splitlines()) == 2501
    assert on_shop("sql", "FROM range(3)", "-n", "0", "-q").err == ""


def test_files(on_shop, tmp_path):
    def run(name, *args):
        return on_shop("sql", "SELECT id, status FROM orders ORDER BY id", "-o", tmp_path / name, *args)

    assert run("o.csv").code == 0
    assert pc.read_csv(tmp_path / "o.csv")["id"].to_pylist() == [1, 2, 3, 4]
    assert run("o.parquet").err == f"4 rows into {tmp_path / 'o.parquet'}\n"
    assert pq.read_table(tmp_path / "o.parquet").num_rows == 4
    assert run("o.arrow").code == run("o.arrows").code == run("o.json").code == 0
    assert pa.ipc.open_file(tmp_path / "o.arrow").read_all().num_rows == 4
    assert pa.ipc.open_stream((tmp_path / "o.arrows").read_bytes()).read_all().num_rows == 4
    assert len(json.loads((tmp_path / "o.json").read_text())) == 4
    assert (run("o.txt").code, run("o.doc").code) == (0, 1)
    assert (tmp_path / "o.txt").read_text().startswith("id  status\n 1  new\n")
    refused = run("o.csv", "-n", "1")
    assert (refused.code, "--force" in refused.err) == (1, True)
    assert run("o.csv", "--jsonl", "--force").code == 0
    assert json.loads((tmp_path / "o.csv").read_text().splitlines()[0]) == {"id": 1, "status": "new"}
    failed = on_shop("sql", "SELECT error('no') FROM range(9)", "-o", tmp_path / "bad.csv")
    assert (failed.code, (tmp_path / "bad.csv").exists()) == (1, False)
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_statements_that_only_read_work_beside_a_writer(on_shop, shop):
    with absdb.connect(shop) as instance:
        instance["main"]["orders"].delete([1])
        reading = "WITH o AS (FROM orders) SELECT count(*) AS n FROM o", "DESCRIBE orders", "(SELECT 1)"
        assert [on_shop("sql", query).code for query in reading] == [0, 0, 0]
        locked = on_shop("sql", "WITH o AS (SELECT 1) DELETE FROM orders")
        assert (locked.code, "is locked by" in locked.err) == (1, True)
    refused = on_shop("sql", "DELETE FROM orders", "--read-only")
    assert (refused.code, "read" in refused.err) == (1, True)


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ABSDB_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


def test_ctrl_c_ends_a_long_query(shop):
    words = [*PROGRAM, "-i", str(shop), "sql", f"SELECT 1 AS a; {FOREVER}"]
    with subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stdout.readline() == b"a\n"
        time.sleep(0.3)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert (running.returncode, errors.strip()) == (130, b"")


def test_a_reader_that_goes_away_ends_it(shop):
    words = [*PROGRAM, "-i", str(shop), "sql", "FROM range(100000000)", "--csv"]
    with subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""


def test_a_terminal_gets_what_fits(shop):
    text = "SELECT range AS id, repeat('word ', 40) AS text, NULL::VARCHAR AS nothing, 'NULL' AS said FROM range(1100)"
    shown = at_a_terminal("-i", shop, "sql", text, width=70)
    lines = shown.splitlines()
    assert lines[1] == "─" * 70
    assert lines[2].startswith("  0  word word")
    assert "…" in lines[2]
    assert lines[2].endswith("NULL     NULL")
    assert max(map(len, lines)) == 70
    assert (len(lines), lines[-1]) == (1003, "… 100 more rows")
    coloured = at_a_terminal("-i", shop, "sql", text + " LIMIT 1", width=100, colour=True)
    assert "\x1b[2mNULL   " in coloured


def at_a_terminal(*args: object, width: int, colour: bool = False) -> str:
    pid, terminal = pty.fork()
    if pid == 0:
        said = {"COLUMNS": str(width), "TERM": "xterm", **({} if colour else {"NO_COLOR": "1"})}
        words = [*PROGRAM, *map(str, args)]
        os.execve(words[0], words, {**environment(), **said})
    shown = b""
    while True:
        try:
            read = os.read(terminal, 65536)
        except OSError:
            break
        if not read:
            break
        shown += read
    os.close(terminal)
    os.waitpid(pid, 0)
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("option", ["--json", "--csv", "--jsonl"])
def test_errors_are_on_stderr_only(on_shop, option):
    failed = on_shop("sql", "SELECT nope FROM orders", option)
    assert (failed.code, failed.out) == (1, "")
    assert "^" in failed.err


def test_plans_are_printed_as_they_are_drawn(on_shop):
    plan = on_shop("sql", "EXPLAIN DELETE FROM orders WHERE id = 1").out
    assert "↵" not in plan
    assert plan.startswith("physical_plan\n")
    assert "\n\nchange\n" in plan
    assert "explain_value" in on_shop("sql", "EXPLAIN DELETE FROM orders", "--json").out
