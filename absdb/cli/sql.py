"""`absdb sql`: run statements and print what they give, for people and for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from absdb.cli.command import Call, Verb, When, database_option, point_options
from absdb.cli.interrupts import StoppedByCtrlC
from absdb.cli.output import Done
from absdb.cli.results import Printing, gives_rows, print_rows, sentence, show, standard_output
from absdb.cli.row_formats import FORMATS
from absdb.cli.script import in_script, only_reads, parameters, parameters_of, pieces
from absdb.cli.session import opened
from absdb.cli.setting_options import setting_options
from absdb.cli.table_text import screen_of
from absdb.cli.text import milliseconds
from absdb.errors import AbsdbError, StateError
from absdb.io.row_files import SUFFIXES, format_of, replacing, text_of, write
from absdb.sql.query.result import Result
from absdb.sql.session import Session

ROWS_AT_TERMINAL_MAX = 1000
STDIN = "-"
_OF_FILES = ("parquet", "csv", "arrow", "json", "jsonl", "table")


@click.command(
    "sql",
    cls=Verb,
    examples=[
        'absdb sql "SELECT status, count(*) FROM orders GROUP BY ALL"',
        'absdb sql -d staging "UPDATE orders SET total = $t WHERE id = $id" -p t=9.5 -p id=7',
        "absdb sql --snapshot before 'FROM orders' --csv -o orders.csv",
        "absdb sql -f migrate.sql --timing",
    ],
)
@click.argument("text", metavar="[TEXT|-]", required=False)
@database_option
@point_options()
@click.option("-f", "--file", metavar="FILE", help="Read the statements from a file.")
@click.option(
    "-p",
    "--parameter",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A value for $NAME: JSON, else text. The first ? is 1=VALUE.",
)
@click.option("--jsonl", "format", flag_value="jsonl", help="Print a JSON object a row.")
@click.option("--csv", "format", flag_value="csv", help="Print CSV.")
@click.option("--arrow", "format", flag_value="arrow", help="Print an Arrow IPC stream.")
@click.option("--line", "format", flag_value="line", help="Print each value on a line of its own.")
@click.option("-o", "--output", metavar="FILE", help="Write the rows to a file, as its name says.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("-n", "--limit", type=click.IntRange(0), help="How many rows. [default: 1000 at a terminal]")
@click.option("--all", "everything", is_flag=True, help="All rows, also at a terminal.")
@click.option("--timing", is_flag=True, help="Say on stderr how long each statement took.")
@click.option("--read-only", is_flag=True, help="Refuse statements that change something.")
@setting_options()
@click.pass_obj
def command(
    call: Call,
    text: str | None,
    database: str,
    when: When,
    file: str | None,
    given: Sequence[str],
    format: str | None,
    output: str | None,
    force: bool,
    limit: int | None,
    everything: bool,
    timing: bool,
    read_only: bool,
    settings: dict[str, str],
) -> None:
    """Run SQL on a database, or on what it was at a point, and print the rows.

    Rows stream with bounded memory. Of several statements, a table is printed for each; the other formats print
    what the last one gives. They stop at the first error; what was done before it stays done. Statements that
    only read work beside a process that writes.
    """
    script = _script(text, file)
    found = pieces(script)
    if not found:
        raise click.UsageError("there is no statement in the text")
    values = parameters_of(found, parameters(given))
    kind = _format(call, format, output)
    screen = screen_of(sys.stdout) if output is None else None
    if limit is None and screen is not None and not everything and kind in ("table", "line"):
        limit = ROWS_AT_TERMINAL_MAX
    printing = Printing(standard_output(), call.output.note, kind, limit, screen)
    with opened(call, write=not (read_only or when or only_reads(found)), settings=settings) as instance:
        scope = instance.scope(database, when)
        with Session(scope) as session, StoppedByCtrlC(lambda: session.backend.interrupt()):
            for number, (piece, bound) in enumerate(zip(found, values, strict=True)):
                started = time.perf_counter()
                last = number == len(found) - 1
                try:
                    with session.sql(piece.text, bound) as result:
                        if last and output is not None and gives_rows(result):
                            _to_file(call, result, output, kind, printing, force=force)
                        elif kind == "table" or last:
                            _show(call, result, printing, started, first=not number)
                except AbsdbError as error:
                    raise in_script(error, piece, script) from error
                if timing:
                    click.echo(milliseconds((time.perf_counter() - started) * 1000), err=True)
            if session.in_transaction:
                raise StateError(
                    "the statements begin a transaction and do not end it, so it was rolled back",
                    hint="add COMMIT",
                )


def _script(text: str | None, file: str | None) -> str:
    """The statements, from wherever they come."""
    if text is not None and file is not None:
        raise click.UsageError("give the statements as an argument or with --file, not both")
    if file is not None and file != STDIN:
        return text_of(file)
    if text is not None and text != STDIN:
        return text
    if text is None and file is None and sys.stdin.isatty():
        raise click.UsageError("give the statements: absdb sql 'SELECT 1', --file FILE, or - for stdin")
    return sys.stdin.buffer.read().decode("utf-8-sig")


def _format(call: Call, format: str | None, output: str | None) -> str:
    """One of FORMATS, or parquet for a file."""
    if call.as_json:
        if format is not None:
            raise click.UsageError(f"--json and --{format} each name a format; give one of them")
        return "json"
    if format is not None or output is None:
        return format or "table"
    if output.lower().endswith((".json", ".txt", ".arrows")):
        return {"json": "json", "txt": "table", "arrows": "arrow"}[output.lower().rpartition(".")[2]]
    assert set(SUFFIXES.values()) <= set(_OF_FILES)
    return format_of(output, None, _OF_FILES)


def _show(call: Call, result: Result, printing: Printing, started: float, *, first: bool) -> None:
    """Print what a statement gave."""
    if not gives_rows(result):
        done = Done(sentence(result), _facts(result))
        if printing.format in ("table", "line") or call.as_json:
            call.output.show(done)
        else:
            call.output.note(done.text)
        return
    if not first and printing.format == "table":
        call.output.line()
    show(result, printing, started)


def _facts(result: Result) -> Mapping[str, Any]:
    return {"statement": result.statement, "rows": result.rowcount if result.rowcount >= 0 else None}


def _to_file(call: Call, result: Result, path: str, kind: str, printing: Printing, *, force: bool) -> None:
    """Write the rows to a file that gets its name once it is whole."""
    batches = result.to_batches()
    if kind == "parquet" or (kind == "arrow" and not call.as_json and not path.endswith(".arrows")):
        rows, _ = write(path, kind, batches.schema, iter(batches), force=force)
    else:
        assert kind in FORMATS
        with replacing(path, force=force) as put:
            rows, _ = print_rows(batches, Printing(put, printing.remark, kind, printing.limit))
    call.output.note(f"{rows:,} rows into {path}")
