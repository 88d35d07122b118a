"""`absdb shell` without its keyboard: statements and meta commands from standard input, in this process."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

import absdb
from absdb.cli.shell_session import parts


@pytest.fixture
def shell(on_shop):
    """Run lines in a shell on the shop."""

    def run_lines(*lines: str, args: tuple[object, ...] = ()):
        return on_shop("shell", *args, input="\n".join(lines) + "\n")

    return run_lines


def test_statements_and_commands(shell):
    ran = shell(
        "SELECT count(*)", "  AS n", "FROM orders; SELECT 2 AS two;", ".use staging", "FROM orders LIMIT 1"
    )
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "n\n4\ntwo\n  2\nid  status  total\n 1  paid      1.5\n"


def test_the_first_error_ends_it(shell):
    failed = shell("SELECT 1 AS a;", "", "SELECT", "  nope FROM orders;", "SELECT 2 AS b;")
    assert (failed.code, failed.out) == (1, "a\n1\n")
    assert "  LINE 4:   nope FROM orders;\n            ^\n" in failed.err
    assert "there is no command .tabels" in shell(".tabels").err
    assert "hint: did you mean '.tables'?" in shell(".tabels").err
    assert shell(".quit", "nonsense;").code == 0
    assert shell(".use").err == "error: it is written .use DATABASE[.SCHEMA]\n"


def test_branches(shell, shop):
    ran = shell(".branch try", "DELETE FROM orders WHERE id > 1;", ".branch audit staging", ".branch try")
    assert "made branch try from main @ " in ran.err
    assert "made branch audit from staging @ " in ran.err
    assert "there is a database 'try' already" in ran.err
    with absdb.connect(shop, read_only=True) as instance:
        assert instance["try"]["orders"].count() == 1
        assert instance["main"]["orders"].count() == instance["audit"]["orders"].count() == 4


def test_points_of_the_past(shell):
    ran = shell(
        ".mode jsonl", "DELETE FROM orders;", ".at before", "SELECT count(*) AS n FROM orders;", ".branch back",
        "DELETE FROM orders WHERE id = 1;", "SELECT count(*) AS n FROM orders;", ".use main",
        ".at snapshot before", ".now", "SELECT count(*) AS n FROM orders;",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert [json.loads(line)["n"] for line in ran.out.splitlines()] == [4, 3, 0]
    lsn = shell(".mode json", "SELECT lsn FROM absdb_snapshots;").json[0]["lsn"]
    assert shell(f".at {lsn}", "SELECT count(*) AS n FROM orders;").out == "n\n4\n"
    assert "does not change" in shell(".at before", "DELETE FROM orders;").err
    assert "no snapshot" in shell(".at befor").err
    assert shell(".at 2001-01-01").code == shell(".at 2001-99-01").code == 1
    assert "COMMIT or ROLLBACK" in shell("BEGIN;", ".at before").err


def test_diffs(shell):
    ran = shell(
        ".mode jsonl",
        ".use staging",
        ".diff main",
        ".diff main ORDERS",
        ".use main",
        ".diff before customers",
    )
    assert ran.code == 0, ran.err
    assert "what staging @ " in ran.err
    found = [json.loads(line) for line in ran.out.splitlines()]
    assert [(row["operation"], row["row_count"]) for row in found[:3]] == [
        ("added", 1), ("modified", 1), ("removed", 1),
    ]  # fmt: skip
    assert [(row["diff_type"], row["id"], row["changed"]) for row in found[3:]] == [
        ("modified", 1, ["status"]), ("removed", 4, None), ("added", 9, None),
    ]  # fmt: skip
    assert shell(".diff main").err.endswith("no difference\n")
    read = shell(".use staging", ".diff main", ".diff main orders").out
    assert "cell_count" in read
    assert [line[0] for line in read.splitlines()[-3:]] == ["~", "\N{MINUS SIGN}", "+"]
    assert "did you mean 'staging'?" in shell(".diff stagin").err


def test_listings(shell):
    assert shell(".tables").out == "name       rows  columns  key  comment\n" + (
        "customers     0        2  id\norders        4        3  id   what was ordered\n"
    )
    assert shell(".schema").out.splitlines()[1] == "customers  id int64, name string"
    shown = shell(".schema orders").out
    assert "total   float64" in shown or "total   double" in shown
    assert "PRIMARY KEY (id)" in shown
    assert [row["name"] for row in shell(".mode json", ".databases").json] == ["main", "staging"]
    assert [row["name"] for row in shell(".mode json", ".branch").json] == ["main", "staging"]
    assert [row["name"] for row in shell(".mode json", ".snapshots main").json] == ["before"]
    assert shell(".snapshots staging").err == "there are no snapshots\n"
    log = shell(".log 1").out.splitlines()
    assert (len(log), log[0].split()[:2]) == (2, ["lsn", "time"])
    assert "+4" in shell(".log").out
    assert "did you mean 'orders'?" in shell(".schema ordrs").err
    ran = shell("CREATE VIEW paid AS FROM orders WHERE status = 'paid';", ".tables")
    assert ran.err.endswith("views: paid\n")


def test_modes_and_limits(shell, tmp_path):
    ran = shell(".mode csv", ".limit 1", "SELECT id FROM orders;", ".limit all", ".limit", ".mode")
    assert ran.out == '"id"\n1\n'
    assert ran.err == "… 3 more rows\nall rows are shown\ncsv\n"
    assert "modes: arrow, csv" in shell(".mode html").err
    assert "1 row deleted" in shell("DELETE FROM orders WHERE id = 1;").err
    assert shell(".timer on", "SELECT 1;").err.endswith(" ms\n")
    assert ".timer on|off" in shell(".timer maybe").err
    assert shell(f".output {tmp_path}/a.arrows", ".mode arrow", "SELECT 1 AS a;").code == 0
    assert pa.ipc.open_stream((tmp_path / "a.arrows").read_bytes()).read_all().to_pylist() == [{"a": 1}]


def test_output_goes_to_files(shell, tmp_path):
    file = tmp_path / "out.csv"
    ran = shell(
        f".output '{file}'",
        ".mode csv",
        "SELECT 1 AS a;",
        "SELECT 2 AS b;",
        ".output",
        ".mode line",
        "SELECT 3 AS c;",
    )
    assert file.read_text() == '"a"\n1\n"b"\n2\n'
    assert ran.out.splitlines()[1] == "c  3"
    assert "--force" in shell(f".output {file}").err
    assert shell(f".output {file} --force", "SELECT 4 AS d;").code == 0
    assert file.read_text() == "d\n4\n"
    assert shell(f".output {tmp_path}/no/dir").code == 1
    failed = shell(f".output {tmp_path}/failed", "SELECT nope;")
    assert (failed.code, sorted(path.name for path in tmp_path.iterdir())) == (1, ["out.csv", "shop"])


def test_files_are_read(shell, tmp_path):
    file = tmp_path / "q.sql"
    file.write_text(".mode csv\n-- it's a comment; with a semicolon\nSELECT ';' AS a;\nSELECT\n nope;\n")
    failed = shell(f".read {file}")
    assert (failed.code, failed.out) == (1, '"a"\n";"\n')
    assert "LINE 5:  nope" in failed.err
    assert "there is no file" in shell(".read nothing.sql").err


def test_help_names_every_command(shell):
    from absdb.cli.shell_commands import COMMANDS

    text = shell(".help").out
    assert all(command.usage in text for command in COMMANDS.values())
    assert max(map(len, text.splitlines())) <= 80
    assert shell(".help use").out == ".use DATABASE[.SCHEMA]    Go to a database or branch.\n"


def test_transactions(shell, rows_of):
    ran = shell("BEGIN;", "DELETE FROM orders;", ".use staging")
    assert (ran.code, "COMMIT or ROLLBACK" in ran.err) == (1, True)
    assert shell("BEGIN;", "DELETE FROM orders;").err.endswith("the open transaction was rolled back\n")
    assert len(rows_of()) == 4
    assert shell("BEGIN;", "DELETE FROM orders;", "COMMIT;").code == 0
    assert rows_of() == []


def test_read_only_works_beside_a_writer(shell, shop):
    with absdb.connect(shop) as instance:
        instance["main"]["orders"].delete([1])
        assert "--read-only" in shell("SELECT 1;").err
        ran = shell("SELECT count(*) AS n FROM orders;", "DELETE FROM orders;", args=("--read-only",))
        assert (ran.code, ran.out) == (1, "n\n3\n")
        assert "read" in ran.err


def test_parts_of_a_script():
    text = "\n.a\nSELECT ';\n.b'; SELECT 2;\n  .c\nSELECT 3\n.d\n;x"
    found = [part for part, _ in parts(text)]
    assert [part.strip() for part in found] == [".a", "SELECT ';\n.b'; SELECT 2;", ".c", "SELECT 3\n.d\n;x"]
    assert all(text.startswith(part, start) for part, start in parts(text))
