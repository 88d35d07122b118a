"""Every command, found by walking the program: help, examples, names, and what README says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from absdb.cli.command import Call
from absdb.cli.main import COMMANDS, program

ROOT = Path(__file__).resolve().parents[2]


def walk(command: click.Command, path: tuple[str, ...] = ()):
    """(path, command) of everything there is, groups too."""
    yield path, command
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            assert found is not None
            yield from walk(found, (*path, name))


def name(value: object) -> str:
    """What pytest calls a command."""
    return "_".join(value) if isinstance(value, tuple) else ""


ALL = list(walk(program))
LEAVES = [(path, command) for path, command in ALL if not isinstance(command, click.Group)]


def parse(args: list[str]) -> click.Context:
    """The context of a command line, checked as click checks it, without running anything."""
    ctx = program.make_context("absdb", list(args), obj=Call())
    while isinstance(ctx.command, click.Group):
        name, command, rest = ctx.command.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
        assert command is not None
        ctx = command.make_context(name, rest, parent=ctx)
    return ctx


def test_the_walk_finds_them_all():
    assert len(LEAVES) == 47
    assert {path[0] for path, _ in LEAVES} == set(COMMANDS)


@pytest.mark.parametrize(("path", "command"), ALL, ids=name)
def test_help_has_examples_that_are_right(path, command, run):
    shown = run(*path, "--help")
    assert shown.code == 0
    assert shown.err == ""
    examples = shown.out.partition("\nExamples:\n")[2].strip().splitlines()
    assert examples
    assert tuple(shlex.split(examples[0])[1:][: len(path)]) == path
    for line in examples:
        for words in map(shlex.split, line.split("&&")):
            assert words[0] in ("absdb", "cd")
            if words[0] == "absdb":
                parse(words[1:])


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=name)
def test_every_command_takes_the_common_options(path, command):
    names = {name for param in command.params for name in param.opts}
    assert {"--json", "--quiet", "--instance", "--debug"} <= names
    assert command.name == path[-1]


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=name)
def test_points_and_dangers_look_the_same_everywhere(path, command):
    names = {name for param in command.params for name in param.opts}
    if "--lsn" in names:
        assert "--time" in names
        assert ("--snapshot" in names) != (path == ("snapshot", "create"))
    # A merge and its like are commits that are taken back by another one: nobody is asked.
    takes_over = path[-1] in ("merge", "revert", "cherry-pick")
    assert ("--dry-run" in names) == ("--yes" in names or takes_over)
    assert ("--yes" in names) == (path[-1] in ("drop", "restore", "wal-cleanup", "purge-old-backups"))


def test_readme_mentions_every_command():
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("there is no README.md")
    text = readme.read_text(encoding="utf-8")
    assert [name for name in COMMANDS if not re.search(rf"(absdb |`){name}\b", text)] == []


def test_the_overview_loads_no_engine():
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "from absdb.cli.main import main; main()", "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(re.findall(r"\|\s+(\S+)$", run.stderr, re.MULTILINE))
    assert "absdb.cli.main" in imported
    assert not imported & {
        "pyarrow",
        "numpy",
        "pandas",
        "duckdb",
        "rich",
        "tqdm",
        "prompt_toolkit",
        "absdb.engine",
        "tempfile",
    }


def test_version(run):
    from absdb import __version__

    assert run("--version").out == f"absdb {__version__}\n"
