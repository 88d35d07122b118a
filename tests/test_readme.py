"""The README does what it says: its Python runs, its output is what it prints, its commands and links exist.

Blocks are marked by language. `pycon` is a session and checked line by line, `python` blocks share one namespace,
`text` is what the block before it prints, `sh` is run by bash, `ipython` blocks are the cells of one notebook. They
run in order in one temporary directory.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import absdb

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLI_SHIM = f'#!/bin/sh\nexec "{sys.executable}" -m absdb.cli.main "$@"\n'


class Block(NamedTuple):
    language: str
    line: int
    text: str


def blocks() -> list[Block]:
    """The fenced blocks of the README, in order, with the line their text begins at."""
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [Block(m[1], README.count("\n", 0, m.start(2)) + 1, m[2]) for m in found]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory with the project's data in it, to run in."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_blocks_are_of_a_known_kind() -> None:
    assert {block.language for block in blocks()} == {"pycon", "python", "text", "sh", "ipython"}


def test_the_session_goes_as_shown(here: Path) -> None:
    sessions = [block for block in blocks() if block.language == "pycon"]
    assert sessions
    runner = doctest.DocTestRunner()
    for block in sessions:
        session = doctest.DocTestParser().get_doctest(block.text, {}, "README", "README.md", block.line - 1)
        report = io.StringIO()
        assert runner.run(session, out=report.write).failed == 0, report.getvalue()


def test_python_runs_and_prints_what_is_shown(here: Path) -> None:
    namespace: dict[str, object] = {}
    printed = ""
    told = 0
    with pd.option_context("display.width", 100):
        for block in blocks():
            if block.language == "python":
                assert not printed, f"nothing shows what the block before line {block.line} prints"
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    exec(compile("\n" * (block.line - 1) + block.text, "README.md", "exec"), namespace)
                printed = out.getvalue()
            elif block.language == "text":
                assert printed == block.text, f"README.md, line {block.line}"
                printed = ""
                told += 1
    assert not printed, "nothing shows what the last block prints"
    assert told


def test_cells_of_a_notebook_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = absdb.ManualClock("2026-04-04 14:00Z")
    rows = [{"id": n, "status": ("new", "paid")[n % 2], "total": n * 10.0} for n in range(6)]
    with absdb.connect("shop", clock=clock) as shop, notebook(here, monkeypatch, shop=shop) as run:
        shop["main"].create_table("orders", rows, key="id")
        clock.advance(hours=1)
        cells = [block for block in blocks() if block.language == "ipython"]
        for block in cells:
            assert run(block.text) is None, f"README.md, line {block.line}"
        assert shop["main"]["orders"].count() == 6, "the last cell undoes the one before"
        assert shop["prices"]["orders"].count() == 5


@contextlib.contextmanager
def notebook(
    here: Path, monkeypatch: pytest.MonkeyPatch, **variables: object
) -> Iterator[Callable[[str], BaseException | None]]:
    """Runs cells in a shell of IPython; the error of each."""
    monkeypatch.setenv("IPYTHONDIR", str(here / "ipython"))
    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(config=config, user_module=types.ModuleType("cells"))
    shell.push(variables)
    try:
        yield lambda text: shell.run_cell(text, store_history=True).error_in_exec
    finally:
        shell.run_line_magic("unload_ext", "absdb")
        InteractiveShell.clear_instance()


@pytest.mark.slow
def test_shell_commands_work(here: Path) -> None:
    scripts = [block for block in blocks() if block.language == "sh" and "absdb " in block.text]
    assert scripts
    shim = here / "bin" / "absdb"
    shim.parent.mkdir()
    shim.write_text(CLI_SHIM)
    shim.chmod(0o755)
    paths = {"PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for block in scripts:
        done = subprocess.run(
            [shutil.which("bash") or "sh", "-e", "-c", block.text],
            env={**os.environ, **paths},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"README.md, line {block.line}\n{done.stdout}\n{done.stderr}"


def test_every_command_is_mentioned() -> None:
    from absdb.cli.main import COMMANDS

    section = README.partition("## The command line")[2].partition("\n## ")[0]
    assert [name for name in COMMANDS if not re.search(rf"(absdb |`){name}\b", section)] == []


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = [*re.findall(r"`([^`\n]+)`", README), *"\n".join(b.text for b in blocks()).splitlines()]
    named = {match[1] for text in code if (match := re.match(r"make ([a-z-]+)", text))}
    assert named
    assert named <= targets


def test_links_lead_somewhere() -> None:
    linked = re.findall(r"\]\(([^)#]+)\)", README)
    assert linked
    assert [link for link in linked if "://" not in link and not (ROOT / link).exists()] == []
