"""`absdb rehearse`: try a migration on a branch before it is run."""

from __future__ import annotations

import sys

import click

from absdb.cli.command import Call, Verb, When, author_option, database_option, message_option, point_options
from absdb.cli.output import Facts
from absdb.cli.session import opened
from absdb.errors import InvalidInputError
from absdb.io.row_files import text_of
from absdb.merge_result import MergeResult
from absdb.rehearsal_result import Rehearsal


@click.command(
    "rehearse",
    cls=Verb,
    examples=[
        "absdb rehearse migration.sql",
        'absdb rehearse migration.sql --time "2026-04-03" --html report.html',
        "absdb rehearse migration.sql --check positive='SELECT * FROM orders WHERE total <= 0' --apply",
    ],
)
@click.argument("file", metavar="FILE|-")
@database_option
@point_options()
@click.option(
    "--check", "checks", multiple=True, metavar="NAME=QUERY", help="A query that must give true, or no rows."
)
@click.option("--html", metavar="PATH", help="Write the report as an HTML file.")
@click.option("--keep", is_flag=True, help="Keep the branch, to look at it; `absdb branch drop` removes it.")
@click.option("--apply", "apply", is_flag=True, help="Merge the branch if all went well.")
@message_option
@author_option
@click.pass_obj
def command(
    call: Call,
    file: str,
    database: str,
    when: When,
    checks: tuple[str, ...],
    html: str | None,
    keep: bool,
    apply: bool,
    message: str,
    author: str | None,
) -> None:
    """Run the statements of FILE on a branch; report timings, changes, checks, and commits that no longer fit.

    With - they come from standard input. With a point it starts from there and replays what was committed after it.
    Nothing of the database changes unless --apply is given and all went well. The exit code is 1 if something did not.
    """
    queries = dict(_check(text) for text in checks)
    with opened(call, write=True, author=author) as session:
        done = session.database(database).rehearse(
            _script(file), queries, lsn=when.lsn, time=when.time, snapshot=when.snapshot
        )
        try:
            if html is not None:
                done.to_html(html)
            call.output.line(done.to_text())
            result = done.apply(message=message) if apply and done.passed else None
            _show_end(call, done, result, keep=keep)
        finally:
            if not keep:
                done.discard()
        if not done.passed:
            raise click.exceptions.Exit(1)


def _show_end(call: Call, done: Rehearsal, result: MergeResult | None, *, keep: bool) -> None:
    """For programs all of it; for people what became of the branch."""
    branch = done.branch if keep and result is None else None
    applied = None if result is None else {"kind": result.kind, "lsn": result.lsn}
    if call.as_json:
        call.output.show(Facts({**done.to_dict(), "branch": branch, "applied": applied}))
    elif result is not None:
        call.output.line(
            f"\napplied to {done.report.database} at {result.lsn}; `absdb revert {result.lsn}` takes it back"
        )
    elif branch is not None:
        call.output.line(f"\nkept as branch {branch}; `absdb branch drop {branch}` removes it")


def _script(file: str) -> str:
    return sys.stdin.buffer.read().decode("utf-8-sig") if file == "-" else text_of(file)


def _check(text: str) -> tuple[str, str]:
    name, equals, query = text.partition("=")
    if not equals or not name.strip():
        raise InvalidInputError(f"--check {text!r}: expected NAME=QUERY")
    return name.strip(), query
