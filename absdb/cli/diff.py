"""`absdb diff`: what one state has that another has not, as a summary or the rows of a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from absdb.cli.command import FAILED, Call, Checked, Verb, When, point_options
from absdb.cli.marked_lines import MarkedWriter
from absdb.cli.output import Listing, items
from absdb.cli.results import Printing, print_rows, standard_output
from absdb.cli.session import Session, opened
from absdb.cli.table_text import screen_of
from absdb.engine.expressions import Evaluator
from absdb.errors import NotFoundError
from absdb.ids import Lsn
from absdb.reprs import counted
from absdb.versioning.as_of import Point
from absdb.versioning.commit_diff import commit_diff
from absdb.versioning.diff import Diff
from absdb.versioning.diff_choice import Choice, choice
from absdb.versioning.diff_rows import DIFF_TYPES
from absdb.versioning.diff_source import TableSource, wanted_rows

ROWS_AT_TERMINAL_MAX = 1000
_BOTH_SIDES = "--commit names both sides: the states before and after it"


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [name.strip() for name in value.split(",")]


@click.command(
    "diff",
    cls=Verb,
    examples=[
        "absdb diff main staging",
        "absdb diff main..staging orders",
        "absdb diff main staging orders --where 'to_total > from_total' --ignore loaded_at",
        "absdb diff main..staging --patch > staging.sql",
        "absdb diff --stat main --snapshot before",
        "absdb diff --stat main --commit 0/1048576",
    ],
)
@click.argument("source")
@click.argument("target", required=False)
@click.argument("table", required=False)
@point_options()
@click.option(
    "--commit",
    type=Checked("lsn", Lsn.parse),
    metavar="LSN",
    help="What this commit of SOURCE changed, in place of a TARGET.",
)
@click.option(
    "--stat", is_flag=True, help="The summary only: rows and cells in each table. The default without TABLE."
)
@click.option("--patch", is_flag=True, help="SQL that, run on SOURCE, makes it what TARGET is.")
@click.option("--kind", "kinds", type=click.Choice(DIFF_TYPES), multiple=True, help="Only rows of this kind.")
@click.option(
    "--columns", callback=_names, metavar="NAMES", help="Only rows in which one of these columns changed."
)
@click.option(
    "--where", "predicate", metavar="SQL", help="Only rows for which this holds, such as 'to_total > 5'."
)
@click.option("--ignore", callback=_names, metavar="NAMES", help="Columns that are not compared.")
@click.option("--tolerance", type=float, metavar="X", help="Floats that differ by no more are equal.")
@click.option("-n", "--limit", type=click.IntRange(0), help="How many rows. [default: 1000 at a terminal]")
@click.option("--exit-code", is_flag=True, help="End with 1 if anything differs.")
@click.pass_obj
def command(
    call: Call,
    /,
    source: str,
    target: str | None,
    table: str | None,
    when: When,
    commit: str | None,
    stat: bool,
    patch: bool,
    kinds: Sequence[str],
    limit: int | None,
    exit_code: bool,
    **options: Any,
) -> None:
    """Show what TARGET has that SOURCE has not, in all tables or, row by row, in TABLE.

    Both are databases; SOURCE..TARGET says the same. A point applies to SOURCE. With a point and no TARGET it is
    what has changed in SOURCE since then. A row that was added has the sign +, one that was removed a minus, one that
    was modified a ~ and, where it changed, the old value before the new. The cost follows the change, not the size.
    """
    if ".." in source:
        if table is not None:
            raise click.UsageError("SOURCE..TARGET is followed by a table at most")
        source, _, between = source.partition("..")
        target, table = between, target
    if commit is not None and (table is not None or when):
        raise click.UsageError(_BOTH_SIDES)
    if target is None and not when and commit is None:
        raise click.UsageError(
            "give two databases, or one and a point or a commit: absdb diff --stat main --snapshot before"
        )
    if patch and (stat or call.as_json or limit is not None):
        raise click.UsageError("--patch prints SQL, whole; leave --stat, --json and --limit out")
    wanted = choice(kinds=list(kinds) or None, **options)
    if (target if commit else table) is None and wanted != Choice():
        raise click.UsageError("these options are for the rows of a table: absdb diff main staging orders")
    with opened(call) as session:
        if commit is not None:
            if any(info.name == target for info in session.engine.history.databases.values()):
                raise click.UsageError(_BOTH_SIDES)
            target, table = None, target
            diff = commit_diff(session.engine, session.point(source), commit)
        else:
            before, after = session.point(source, when), _target(session, source, target, when)
            diff = Diff(session.engine, source=before, target=after)
        call.output.note(f"from {source} @ {diff.source.lsn} to {target or source} @ {diff.target.lsn}")
        if patch:
            differs = _patch(diff, table, wanted)
        elif table is None or stat:
            differs = _summary(call, diff, table)
        else:
            differs = _rows(call, TableSource(diff.table(table)), wanted, limit, session.engine.evaluator)
    if exit_code and differs:
        raise click.exceptions.Exit(FAILED)


def _target(session: Session, source: str, target: str | None, when: When) -> Point:
    try:
        return session.point(target or source)
    except NotFoundError as error:
        catalog = session.scope(source).catalog()
        if when and any(table.full_name == target for table in catalog.tables.values()):
            error.hint = f"for the rows of a table name both sides: absdb diff {source} {source} {target} …"
        raise


def _summary(call: Call, diff: Diff, table: str | None) -> bool:
    """Print the summary, of one table if that is named; whether there is anything."""
    if table is not None:
        table = diff.table(table).target.schema.full_name
    found = [row for row in items(diff.summary(cells=True)) if table in (None, row["table_name"])]
    call.output.show(Listing(found, "no difference"))
    return bool(found)


def _patch(diff: Diff, table: str | None, wanted: Choice) -> bool:
    """Print the statements as they come; whether there are any."""
    from absdb.sql.compare.patch import patch

    write, found = standard_output(), False
    for statement in patch(diff, table=table, wanted=wanted):
        write(statement.encode())
        found = True
    return found


def _rows(call: Call, source: TableSource, wanted: Choice, limit: int | None, evaluator: Evaluator) -> bool:
    """Print the rows that differ as they come; whether there are any."""
    screen = None if call.as_json else screen_of(sys.stdout)
    if limit is None and screen is not None:
        limit = ROWS_AT_TERMINAL_MAX
    printing = Printing(
        standard_output(), call.output.note, "json" if call.as_json else "table", limit, screen
    )
    compared = [name for name in source.compared() if name not in wanted.ignore]
    writer = None if call.as_json else MarkedWriter(printing.write, screen, compared)
    shown, left = print_rows(wanted_rows(source, wanted, evaluator), printing, writer)
    if left:
        call.output.note(f"… {counted(left, 'more row')}")
    if not shown and not left and not call.as_json:
        call.output.line("no difference")
    return bool(shown or left)
