"""The program as a process of its own: exit codes, signals, pipes, terminals, and the demo."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import absdb
from absdb.cli.demo import KEYS

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-c", "from absdb.cli.main import main; main()"]


@pytest.fixture
def environment():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ABSDB_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def process(environment):
    """Run the program and wait for it."""

    def run_process(*args: object, **more: object) -> subprocess.CompletedProcess[str]:
        words = [*PROGRAM, *(str(arg) for arg in args)]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, **more)

    return run_process


def test_exit_codes_and_streams(process, shop):
    good = process("-i", shop, "databases", "--json")
    assert (good.returncode, good.stderr, len(json.loads(good.stdout))) == (0, "", 2)
    failed = process("-i", shop, "at", "ordres")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "error: there is no table 'ordres'\nhint: did you mean 'orders'?\n"
    wrong = process("-i", shop, "at", "--lsn", "x")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "Traceback" in process("-i", shop, "at", "ordres", "--debug").stderr


def test_without_a_terminal_nobody_is_asked(process, shop):
    ran = process("-i", shop, "branch", "drop", "staging", stdin=subprocess.DEVNULL)
    assert (ran.returncode, "--yes" in ran.stderr) == (2, True)


def test_a_reader_that_goes_away_is_no_error(environment, shop):
    with absdb.connect(shop) as instance:
        instance["main"].create_table("many", {"id": list(range(50_000))}, key="id")
    words = [*PROGRAM, "-i", str(shop), "at", "many", "--limit", "50000", "-q"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""


def test_ctrl_c_ends_quietly(environment, tmp_path):
    words = [*PROGRAM, "demo", "--keep", str(tmp_path / "demo")]
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell that runs tests in the background has Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as running:  # fmt: skip
        assert running.stdout is not None
        # By then everything is imported: CPython may lose a signal that comes in the middle of an import.
        assert any(line.startswith(" 4. ") for line in running.stdout)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert errors.strip() == ""
    with absdb.connect(tmp_path / "demo", create=False) as instance:
        assert instance.check().empty


def at_a_terminal(environment, *args: object, answer: bytes = b"", width: int = 100) -> tuple[int, str]:
    """Run the program at a terminal of its own; exit code and all that was shown there."""
    pid, terminal = pty.fork()
    if pid == 0:
        words = [*PROGRAM, *(str(arg) for arg in args)]
        os.execve(words[0], words, {**environment, "COLUMNS": str(width), "TERM": "xterm"})
    shown = b""
    if answer:
        os.write(terminal, answer)
    while True:
        try:
            read = os.read(terminal, 65536)
        except OSError:
            break
        if not read:
            break
        shown += read
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode().replace("\r\n", "\n")


def test_at_a_terminal_it_asks(environment, shop):
    code, shown = at_a_terminal(environment, "-i", shop, "branch", "drop", "staging", answer=b"n\n")
    assert (code, "nothing was changed" in shown) == (1, True)
    code, shown = at_a_terminal(environment, "-i", shop, "branch", "drop", "staging", answer=b"y\n")
    assert (code, "dropped branch staging" in shown) == (0, True)


def test_tables_at_a_terminal(environment, shop):
    _, shown = at_a_terminal(environment, "-i", shop, "tables", "list")
    assert "\x1b[1m" in shown
    assert "─" in shown
    _, plain = at_a_terminal({**environment, "NO_COLOR": "1"}, "-i", shop, "at", "ordres")
    assert plain == "error: there is no table 'ordres'\nhint: did you mean 'orders'?\n"
    _, red = at_a_terminal(environment, "-i", shop, "at", "ordres")
    assert red.startswith("\x1b[31m\x1b[1merror:")


def test_rows_fit_the_terminal_and_keep_their_key(environment, shop):
    wide = {f"column_{number}": [number] for number in range(20)}
    with absdb.connect(shop) as instance:
        instance["main"].create_table("wide", wide, key="column_19")
    _, shown = at_a_terminal(environment, "-i", shop, "at", "wide")
    shown = re.sub(r"\x1b\[\d*m", "", shown)
    assert "column_19" in shown.partition("not shown")[0]
    assert "not shown: column_8" in shown
    assert max(len(line) for line in shown.splitlines()) <= 100


def test_rows_that_differ_at_a_terminal(environment, shop):
    with absdb.connect(shop) as instance:
        wide = {"id": [1, 2], **{f"c{number}": ["as it was" * 3] * 2 for number in range(9)}}
        staging = instance["main"].create_table("wide", wide, key="id") and instance["main"].branch("b")
        staging["wide"].update({"id": 1, "c7": "as it is"})
        staging["wide"].delete(2)
    _, shown = at_a_terminal(environment, "-i", shop, "diff", "main..b", "wide")
    assert "\x1b[9mas it wasas it wasas it was\x1b[0m → " in shown
    assert "\x1b[31m\x1b[1m\N{MINUS SIGN}" in shown
    assert "… 7 more columns: c1, c2, c3" in shown
    assert max(len(line) for line in re.sub(r"\x1b\[\d*m", "", shown).splitlines()) <= 100
    _, plain = at_a_terminal({**environment, "NO_COLOR": "1"}, "-i", shop, "diff", "main..b", "wide")
    assert "~   1  as it wasas it wasas it was" in plain
    assert " → as it is" in plain
    assert "\x1b" not in plain


@pytest.mark.slow
def test_the_demo_tells_its_story(process, tmp_path):
    ran = process("demo", "--keep", tmp_path / "flights", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "57,782 rows changed" in ran.stdout
    assert "main is what it was" in ran.stdout
    assert "what main had changed is still there" in ran.stdout
    assert max(len(line) for line in ran.stdout.splitlines()) <= 100 + len(str(tmp_path))
    assert "\x1b" not in ran.stdout
    with absdb.connect(tmp_path / "flights", read_only=True) as instance:
        assert sorted(instance["main"]) == sorted(KEYS)
        assert instance["main"]["flights"].count() == 336_776
        assert instance["staging"]["flights"].count() == 328_521
        assert instance["main"].merge(instance["fix"], dry_run=True).clean
        assert instance.check().empty
    again = process("demo", "--keep", tmp_path / "flights")
    assert (again.returncode, "already" in again.stderr) == (1, True)


@pytest.mark.slow
def test_the_demo_cleans_up_and_speaks_json(process, tmp_path, environment):
    environment["TMPDIR"] = str(tmp_path)
    ran = process("demo", "--json")
    assert ran.returncode == 0
    told = json.loads(ran.stdout)
    assert [step["ms"] > 0 for step in told["steps"]] == [True] * 15
    assert list(tmp_path.iterdir()) == []


def test_the_demo_says_where_its_data_belongs(process, tmp_path):
    ran = process("demo", "--data", tmp_path)
    assert ran.returncode == 1
    assert f"{tmp_path} lacks airlines.parquet" in ran.stderr
    assert "data/" in ran.stderr
