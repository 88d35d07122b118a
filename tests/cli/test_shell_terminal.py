"""`absdb shell` at a real terminal: the prompt, Ctrl-C, Tab, history over sessions, and how it ends."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import termios
import time
from pathlib import Path

import pytest

import absdb

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-c", "from absdb.cli.main import main; main()"]
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>()][0-9A-B]?)")
FOREVER = "SELECT sum(a.range * b.range % 7) FROM range(3000000) a, range(3000000) b;"
WAIT_S = 40


class Terminal:
    """A program at a terminal of 100 columns, what it has shown, and keys for it."""

    def __init__(self, history: Path, *args: object) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ABSDB_")}
        said = {"COLUMNS": "100", "TERM": "xterm", "NO_COLOR": "1", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            words = [*PROGRAM, *map(str, args)]
            os.execve(
                words[0], words, {**kept, **said, "PYTHONPATH": str(ROOT), "ABSDB_HISTORY": str(history)}
            )
        self.shown = ""

    def keys(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def expect(self, text: str) -> str:
        """What was shown up to this text, which must come."""
        end = time.monotonic() + WAIT_S
        while text not in self.shown:
            assert time.monotonic() < end, f"{text!r} did not come, but {self.shown!r}"
            assert self._read(), f"it ended without {text!r}: {self.shown!r}"
        found, _, self.shown = self.shown.partition(text)
        return found

    def runs(self) -> None:
        """Wait until a statement runs: the terminal then turns Ctrl-C into a signal."""
        end = time.monotonic() + WAIT_S
        while not termios.tcgetattr(self.fd)[3] & termios.ISIG:
            assert time.monotonic() < end
            time.sleep(0.02)
        time.sleep(0.3)

    def end(self) -> int:
        """Wait for the end; the exit code."""
        end = time.monotonic() + WAIT_S
        while self._read():
            assert time.monotonic() < end
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bool:
        if not select.select([self.fd], [], [], 1)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.shown = ESCAPES.sub("", self.shown + data.decode(errors="replace").replace("\r\n", "\n"))
        return bool(data)


@pytest.fixture
def terminal(shop, tmp_path):
    """Start shells on the shop; all of them share one history."""

    def start(*args: object) -> Terminal:
        return Terminal(tmp_path / "history", "-i", shop, "shell", *args)

    return start


def test_a_session(terminal, shop):
    shell = terminal()
    shell.expect(".help lists commands")
    shell.expect("shop/main>")
    shell.keys("SELECT 40 +\r")
    shell.expect("…")
    shell.keys("2 AS answer;\r")
    assert "─" in shell.expect("42")
    shell.expect("1 row, ")
    shell.expect("shop/main>")
    shell.keys("FROM custom")
    shell.expect("FROM custom")
    shell.keys("\t")
    shell.expect("ers")
    shell.keys(" ORDER BY id;\r")
    shell.expect("0 rows, ")
    shell.expect("shop/main>")
    shell.keys("SELECT nope FROM orders;\r")
    shell.expect("      ^")
    shell.expect("shop/main>")
    shell.keys(".branch try\r")
    shell.expect("and went there")
    shell.expect("shop/try>")
    shell.keys("BEGIN; DELETE FROM orders;\r")
    shell.expect("4 rows deleted, ")
    shell.expect("shop/try*>")
    shell.keys("\x04")
    shell.expect("the open transaction was rolled back")
    assert shell.end() == 0
    with absdb.connect(shop, read_only=True) as instance:
        assert instance["try"]["orders"].count() == 4


def test_ctrl_c_stops_the_query_or_the_line_and_never_the_shell(terminal):
    shell = terminal()
    shell.expect("shop/main>")
    for query in (FOREVER, FOREVER.replace("sum(a.range * b.range % 7)", "*").replace(";", " ORDER BY ALL;")):
        shell.keys(query + "\r")
        shell.runs()
        shell.keys("\x03")
        shell.expect("interrupted")
        shell.expect("shop/main>")
    shell.keys("SELECT 'half")
    shell.expect("half")
    shell.keys("\x03")
    shell.expect("shop/main>")
    shell.keys("SELECT 6 * 7 AS answer;\r")
    shell.expect("42")
    shell.expect("shop/main>")
    shell.keys(".quit\r")
    assert shell.end() == 0


def test_history_over_sessions(terminal, tmp_path):
    shell = terminal()
    shell.expect("shop/main>")
    shell.keys("SELECT 20 + 1 AS a;\r")
    shell.expect("21")
    shell.expect("shop/main>")
    shell.keys(" SELECT 's' || 'ecret' AS b;\r")
    shell.expect("\nsecret")
    shell.expect("shop/main>")
    shell.keys("\x04")
    assert shell.end() == 0
    assert (tmp_path / "history").read_text() == '"SELECT 20 + 1 AS a;"\n'
    again = terminal()
    again.expect("shop/main>")
    time.sleep(0.5)  # the history is read beside the first prompt
    again.keys("\x1b[A")
    again.expect("SELECT 20 + 1 AS a;")
    again.keys("\r")
    again.expect("21")
    again.expect("shop/main>")
    again.keys("\x04")
    assert again.end() == 0


def test_reading_beside_a_writer_follows_it(terminal, shop):
    with absdb.connect(shop) as instance:
        locked = terminal()
        locked.expect("with --read-only the shell works")
        assert locked.end() == 1
        shell = terminal("--read-only")
        shell.expect("read only")
        shell.expect("shop/main>")
        shell.keys("SELECT 100 + count(*) AS n FROM orders;\r")
        shell.expect("104")
        instance["main"]["orders"].delete([1, 2])
        shell.expect("shop/main>")
        shell.keys("SELECT 100 + count(*) AS n FROM orders;\r")
        shell.expect("102")
        shell.expect("shop/main>")
        shell.keys("\x04")
        assert shell.end() == 0
