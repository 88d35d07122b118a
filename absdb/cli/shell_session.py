"""The shell without its keyboard: what a line of input does, whoever typed it.

    shell.run(text)          a meta command, or statements with their semicolons
    shell.run_script(text)   a file of both, line by line, which stops at the first error

Results are printed as they come. Ctrl-C ends what runs and nothing else. Called by shell.py, and by the meta
commands in shell_commands.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import pyarrow as pa

from absdb.cli.command import Call, failed
from absdb.cli.interrupts import StoppedByCtrlC
from absdb.cli.results import Printing, RowWriter, print_rows, show
from absdb.cli.script import in_script, is_whole, pieces
from absdb.cli.session import Session as Opened
from absdb.errors import AbsdbError, StateError
from absdb.io.row_files import Write
from absdb.reprs import counted
from absdb.sql.session import Session
from absdb.versioning.scope import Scope

META = "."
_WORDS = {"exit": ".quit", "quit": ".quit", "help": ".help"}


class Left(Exception):
    """The shell was told to end."""


class Shell:
    """A session with a current database, a way to print, and meta commands."""

    def __init__(self, opened: Opened, session: Session, call: Call, printing: Printing) -> None:
        self.opened = opened
        self.session = session
        self.call = call
        self.printing = printing
        self.screen_printing = printing
        """How to print where no `.output` says otherwise."""
        self.output: AbstractContextManager[Write] | None = None

    # -- input

    def run(self, text: str) -> None:
        """Run what was typed; errors come out as they are."""
        stripped = text.strip()
        stripped = _WORDS.get(stripped.rstrip(";").lower(), stripped)
        if stripped.startswith(META):
            from absdb.cli.shell_commands import run_command

            run_command(self, stripped)
        else:
            self.run_statements(text)

    def run_reporting(self, text: str) -> bool:
        """Run what was typed and tell of errors and of Ctrl-C; whether it went well."""
        published = self.session.engine.published
        try:
            self.run(text)
        except Left:
            raise
        except KeyboardInterrupt:
            self._interrupted(published)
        except AbsdbError as error:
            failed(error.message, error.hint, self.call)
        except BrokenPipeError:
            raise
        except OSError as error:
            failed(f"{error.filename}: {error.strerror}" if error.filename else str(error), "", self.call)
        except Exception as error:
            failed(
                f"{type(error).__name__}: {error}",
                "this is a defect of absdb; --debug shows where",
                self.call,
            )
        else:
            return True
        return False

    def run_statements(self, text: str, script: str | None = None, start: int = 0) -> None:
        """Run statements and print what each gives; `text` begins at `start` of `script`, if it is part of one."""
        for piece in pieces(text):
            self.follow_writer()
            started = time.perf_counter()
            at_once = self.session.backend  # made here, not at the first Ctrl-C
            with StoppedByCtrlC(at_once.interrupt):
                try:
                    with self.session.sql(piece.text) as result:
                        show(result, self.printing, started)
                except AbsdbError as error:
                    whole = text if script is None else script
                    raise in_script(error, replace(piece, start=start + piece.start), whole) from error

    def run_script(self, text: str) -> None:
        """Run the lines of a file: meta commands, and statements up to their semicolons."""
        for part, start in parts(text):
            if part.lstrip().startswith(META):
                self.run(part)
            else:
                self.run_statements(part, text, start)

    def _interrupted(self, published: int) -> None:
        """Say so, on a line of its own: the terminal has shown ^C."""
        done = self.session.engine.published != published and not self.session.in_transaction
        text = "interrupted, but it had been committed" if done else "interrupted"
        self.printing.remark(text if self.screen_printing.screen is None else f"\n{text}")

    def follow_writer(self) -> None:
        """In an instance that another process writes, see what it has written by now."""
        if self.session.engine.read_only and not self.session.in_transaction:
            self.opened.instance.refresh()

    # -- where it stands

    @property
    def instance_name(self) -> str:
        return os.path.basename(self.opened.instance.path) or self.opened.instance.path

    def use(self, scope: Scope, namespace: str | None = None) -> None:
        """Make a database, or a past state of one, the current one; StateError in a transaction."""
        if self.session.in_transaction:
            raise StateError("a transaction is open", hint="COMMIT or ROLLBACK it first")
        if namespace is None:
            self.session.use(scope)
        else:
            self.session.use(scope, namespace)

    # -- printing

    def show_table(self, table: pa.Table, empty: str) -> None:
        """Print a listing in the current format; people are told if it is empty, and see no empty columns."""
        printing = self.printing
        if printing.format in ("table", "line"):
            if not table.num_rows:
                printing.remark(empty)
                return
            table = table.select([at for at, column in enumerate(table.columns) if _says_something(column)])
        self.show_rows(table.to_reader())

    def show_rows(self, batches: pa.RecordBatchReader, writer: RowWriter | None = None) -> None:
        """Print rows that no statement gave, with the writer of the format or another."""
        _, left = print_rows(batches, self.printing, writer)
        if left:
            self.printing.remark(f"… {counted(left, 'more row')}")

    def direct(self, output: AbstractContextManager[Write] | None) -> None:
        """Print results into a file from now on, None to print them here again. The last file gets its name."""
        before, self.output = self.output, None
        self.printing = replace(
            self.screen_printing,
            format=self.printing.format,
            limit=self.printing.limit,
            timing=self.printing.timing,
        )
        if before is not None:
            before.__exit__(None, None, None)
        if output is not None:
            write = output.__enter__()
            self.output = output
            self.printing = replace(self.printing, write=write, screen=None, limit=None)

    def abandon(self, error: BaseException) -> None:
        """Leave nothing of the file that results went to."""
        output, self.output = self.output, None
        if output is not None:
            output.__exit__(type(error), error, error.__traceback__)


def parts(text: str) -> Iterator[tuple[str, int]]:
    """The meta commands of a script and the statements between them, with where each begins."""
    begun, start, at = "", 0, 0
    for line in text.splitlines(keepends=True):
        if not begun.strip():
            begun, start = "", at
        at += len(line)
        begun += line
        meta = begun.lstrip().startswith(META) and begun.strip() == line.strip()
        if meta or (";" in line and is_whole(begun)):
            yield begun, start
            begun = ""
    if begun.strip():
        yield begun, start


def _says_something(column: pa.ChunkedArray) -> bool:
    return any(value not in (None, "", []) for value in column.slice(0, 1000).to_pylist())
