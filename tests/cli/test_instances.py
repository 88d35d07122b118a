"""Which instance a command works on, making one, and working beside a process that writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import absdb
from absdb.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import sys, absdb
with absdb.connect(sys.argv[1]) as instance:
    instance["main"]["orders"].insert({"id": 77, "status": "live", "total": 7.0})
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_init_makes_an_empty_instance(run, tmp_path):
    made = run("init", tmp_path / "new", "--wal-segment-size", "1 MiB")
    assert (made.code, made.out) == (0, f"made the instance {tmp_path / 'new'} with the database main\n")
    with absdb.connect(tmp_path / "new", create=False) as instance:
        assert list(instance) == ["main"]
        assert instance.wal_stats()["wal_segment_size_bytes"][0] == 1 << 20


def test_init_as_json(run, tmp_path):
    assert run("init", tmp_path / "new", "--json").json == {
        "path": str(tmp_path / "new"),
        "databases": ["main"],
        "lsn": "0/0",
    }


def test_init_leaves_what_is_there_alone(run, shop, tmp_path):
    again = run("init", shop)
    assert again.code == 1
    assert "is an absdb instance already" in again.err
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    assert run("init", tmp_path / "letters").code == 1
    assert [file.name for file in (tmp_path / "letters").iterdir()] == ["a.txt"]


def test_init_takes_the_place_from_the_environment(run, tmp_path, monkeypatch):
    monkeypatch.setenv("ABSDB_INSTANCE", str(tmp_path / "named"))
    assert run("init").code == 0
    assert run("databases").code == 0
    assert run("init", tmp_path / "said").code == 0
    assert absdb.connect(tmp_path / "said", create=False).close() is None
    assert run("-i", tmp_path / "option", "init").code == 0
    assert (tmp_path / "option" / "control").exists()
    both = run("-i", tmp_path / "a", "init", tmp_path / "b")
    assert both.code == 2
    assert "give one of them" in both.err
    assert run("init", ":memory:").code == 2


def test_init_needs_a_place_and_a_sensible_size(run, tmp_path):
    assert run("init").code == 2
    bad = run("init", tmp_path / "new", "--wal-segment-size", "3 cats")
    assert bad.code == 1
    assert "hint:" in bad.err


def test_option_environment_directory_in_that_order(run, shop, tmp_path, monkeypatch):
    run("init", tmp_path / "other")
    monkeypatch.chdir(shop)
    assert len(run("databases", "--json").json) == 2
    monkeypatch.setenv("ABSDB_INSTANCE", str(tmp_path / "other"))
    assert len(run("databases", "--json").json) == 1
    assert len(run("-i", shop, "databases", "--json").json) == 2
    assert len(run("databases", "--json", "-i", shop).json) == 2


def test_without_an_instance_it_says_what_is_missing(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run("tables", "list")
    assert ran.code == 2
    assert str(tmp_path) in ran.err
    assert "--instance PATH" in ran.err
    assert "ABSDB_INSTANCE" in ran.err


def test_a_path_that_is_no_instance(run, tmp_path):
    for name in ("databases", "check", "checkpoint"):
        ran = run("-i", tmp_path / "nowhere", name)
        assert ran.code == 1
        assert f"`absdb init {tmp_path / 'nowhere'}`" in ran.err
    assert not (tmp_path / "nowhere").exists()
    assert run("-i", ":memory:", "databases").code == 2


@pytest.fixture
def writer(shop):
    """Another process that has the shop open for writing."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(shop)],
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.communicate("")


READS = [
    ["databases"],
    ["tables", "list"],
    ["tables", "show", "orders", "--rows", "3"],
    ["branch", "list"],
    ["snapshot", "list"],
    ["log"],
    ["sql", "SELECT count(*) FROM orders"],
    ["at", "orders"],
    ["diff", "--stat", "main", "staging"],
    ["blame", "orders"],
    ["bisect", "-d", "staging", "--sql", "SELECT max(id) < 9 FROM orders"],
    ["check"],
    ["stats"],
    ["config", "list"],
    ["config", "show", "author"],
    ["restore", "--snapshot", "before", "--dry-run"],
    ["merge", "staging", "--dry-run"],
    ["branch", "drop", "staging", "--dry-run"],
    ["snapshot", "drop", "before", "--dry-run"],
    ["tables", "drop", "orders", "--dry-run"],
]
WRITES = [
    ["branch", "create", "more"],
    ["branch", "drop", "staging", "--yes"],
    ["branch", "protect", "main"],
    ["branch", "unprotect", "main"],
    ["snapshot", "create", "more"],
    ["snapshot", "drop", "before", "--yes"],
    ["tables", "drop", "customers", "--yes"],
    ["tables", "undrop", "customers"],
    ["restore", "--snapshot", "before", "--yes"],
    ["checkpoint"],
    ["sql", "DELETE FROM orders"],
    ["merge", "staging"],
    ["revert", "0/1024"],
    ["cherry-pick", "staging", "0/1024"],
    ["rebase", "staging"],
    ["rehearse", "migration.sql"],
    ["admin", "restore-point", "here"],
]
ELSEWHERE = {
    "demo",
    "init",
    "import",
    "export",
    "shell",
    "wal-list",
    "wal-fetch",
    "backup",
    "promote",
    "drill",
}


def test_both_lists_together_have_every_command():
    assert {args[0] for args in READS + WRITES} | ELSEWHERE == set(COMMANDS)


def test_beside_a_writer_reads_work_and_writes_say_who_it_is(writer, on_shop, tmp_path):
    for args in READS:
        ran = on_shop(*args)
        assert ran.code == 0, (args, ran.err)
        on_shop(*args, "--json").json  # noqa: B018
    assert [row["id"] for row in on_shop("at", "orders", "--json").json] == [1, 2, 3, 4, 77]
    assert on_shop("export", "orders", tmp_path / "orders.csv").code == 0
    for args in WRITES:
        ran = on_shop(*args)
        assert ran.code == 1, args
        assert ran.out == ""
        assert f"locked by process {writer.pid}" in ran.err
        assert "hint:" in ran.err
    (tmp_path / "more.csv").write_text("id\n1\n")
    assert f"process {writer.pid}" in on_shop("import", tmp_path / "more.csv").err
    assert on_shop("stats", "--json").json["instance"]["locked_by_pid"] == str(writer.pid)


def test_config_says_where_a_value_comes_from(on_shop, shop, monkeypatch):
    with (shop / "absdb.conf").open("a") as conf:
        conf.write("history_retention = 3 days\n")
    monkeypatch.setenv("ABSDB_AUTHOR", "robin")
    changed = {row["name"]: row for row in on_shop("config", "list", "--changed", "--json").json}
    assert set(changed) == {"history_retention", "author"}
    assert changed["history_retention"]["value"] == "3 days"
    assert "absdb.conf, line" in changed["history_retention"]["origin"]
    assert "environment ABSDB_AUTHOR" in on_shop("config", "show", "author").out
    wrong = on_shop("config", "show", "autor")
    assert (wrong.code, "did you mean 'author'?" in wrong.err) == (1, True)


def test_check_is_quiet_where_all_is_well(on_shop):
    assert (on_shop("check").out, on_shop("check", "--json").json) == ("all is well\n", [])


@pytest.mark.parametrize("pattern", ["pages/*.arrow", "pages/log-*", "manifests/*", "control"])
def test_check_tells_damage_by_its_exit_code(pattern, on_shop, shop):
    """Also where so much is damaged that the instance cannot be opened."""
    file = next(shop.glob(pattern))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(bytes(data))
    ran = on_shop("check", "--json")
    assert ran.code == 1, ran.out
    assert any(finding["severity"] == "error" and file.name in finding["where"] for finding in ran.json)


def test_checkpoint_and_stats(on_shop):
    assert set(on_shop("checkpoint", "--maintain", "--json").json) == {"checkpoint_lsn", "pieces_replaced"}
    found = on_shop("stats", "--json").json
    assert found["contents"]["databases"] == 2
    assert found["disk"]["wal_bytes"] > 0
    assert on_shop("stats").out.startswith("path ")
