"""`absdb merge`: bring what another database has into one."""

from __future__ import annotations

import click

from absdb.cli.command import (
    Call,
    Verb,
    When,
    author_option,
    database_option,
    dry_run_option,
    message_option,
    point_options,
)
from absdb.cli.merge_output import conflict_options, read_resolutions, rows_shown, show
from absdb.cli.session import opened


@click.command(
    "merge",
    cls=Verb,
    examples=[
        "absdb merge staging --dry-run",
        'absdb merge staging -d main -m "cleaned countries"',
        "absdb merge staging --resolutions conflicts.json",
    ],
)
@click.argument("source")
@database_option
@point_options()
@conflict_options
@click.option("--squash", is_flag=True, help="One commit, even where a fast-forward would do.")
@message_option
@author_option
@dry_run_option
@click.pass_obj
def command(
    call: Call,
    source: str,
    database: str,
    when: When,
    on_conflict: str,
    resolutions: str | None,
    squash: bool,
    message: str,
    author: str | None,
    dry_run: bool,
) -> None:
    """Bring what SOURCE has and the database has not: definitions by id, rows by key, cells by column.

    A point applies to SOURCE. What both sides changed differently is a conflict: it is listed, nothing is changed, and
    the exit code is 1. --dry-run lists all of it beforehand.
    """
    given = read_resolutions(resolutions)
    with opened(call, write=not dry_run, author=author) as session:
        with rows_shown(call):
            result = session.database(database).merge(
                session.database(source, when),
                on_conflict=on_conflict,
                resolutions=given,
                dry_run=dry_run,
                squash=squash,
                message=message,
            )
        show(call, result, f"merge of {source} into {database}")
