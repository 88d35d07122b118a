"""`absdb shell`: an SQL session at the terminal; without a terminal, what comes on stdin is run like a file."""

from __future__ import annotations

import sys
from contextlib import suppress

import click

from absdb.cli.command import Call, Verb, database_option
from absdb.cli.output import colours
from absdb.cli.results import Printing, standard_output
from absdb.cli.session import opened
from absdb.cli.setting_options import setting_options
from absdb.cli.shell_session import Left, Shell
from absdb.cli.table_text import screen_of
from absdb.errors import LockedError
from absdb.sql.session import Session

ROWS_SHOWN = 40


@click.command(
    "shell",
    cls=Verb,
    examples=[
        "absdb shell",
        "absdb shell -d staging --read-only",
        "absdb shell --wal-archive-enabled --wal-archive-target s3://bucket/wal-archive",
    ],
)
@database_option
@click.option("--read-only", is_flag=True, help="Change nothing; works beside a process that writes.")
@setting_options()
@click.pass_obj
def command(call: Call, database: str, read_only: bool, settings: dict[str, str]) -> None:
    """Open a session to type SQL into: .help lists the commands that begin with a dot.

    The history is kept in $ABSDB_HISTORY, or in absdb/history of your state directory.
    """
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        with (
            opened(call, write=not read_only, settings=settings, stays_open=True) as instance,
            Session(instance.scope(database)) as session,
        ):
            printing = Printing(
                standard_output(),
                lambda text: click.echo(_dim(text), err=True) if not call.quiet else None,
                "json" if call.as_json else "table",
                ROWS_SHOWN if interactive else None,
                screen_of(sys.stdout) if interactive else None,
                counts=interactive,
                timing=interactive,
            )
            shell = Shell(instance, session, call, printing)
            _talk(shell) if interactive else _run_input(shell)
    except LockedError as error:
        error.hint = "with --read-only the shell works beside that process"
        raise


def _talk(shell: Shell) -> None:
    """Ask for input until it ends."""
    from absdb.cli.shell_history import ShellHistory, history_path
    from absdb.cli.shell_prompt import prompt_of

    kind = "read only, " if shell.session.engine.read_only else ""
    shell.printing.remark(f"{shell.instance_name}, {kind}.help lists commands, Ctrl-D leaves")
    history = ShellHistory(history_path(), shell.printing.remark)
    ask = prompt_of(shell, history, colour=colours(sys.stdout))
    while True:
        try:
            shell.run_reporting(ask())
        except KeyboardInterrupt:
            continue
        except (EOFError, Left):
            break
    _end(shell)


def _run_input(shell: Shell) -> None:
    """Run what comes on stdin, up to the first error."""
    try:
        with suppress(Left):
            shell.run_script(sys.stdin.buffer.read().decode("utf-8-sig"))
    except BaseException as error:
        shell.abandon(error)
        raise
    _end(shell)


def _end(shell: Shell) -> None:
    shell.direct(None)
    if shell.session.in_transaction:
        shell.printing.remark("the open transaction was rolled back")


def _dim(text: str) -> str:
    return click.style(text, dim=True) if colours(sys.stderr) else text
