"""`absdb cherry-pick`: take over one commit of another database."""

from __future__ import annotations

import click

from absdb.cli.command import Call, Verb, author_option, database_option, dry_run_option, message_option
from absdb.cli.merge_output import conflict_options, read_resolutions, rows_shown, show
from absdb.cli.session import opened


@click.command("cherry-pick", cls=Verb, examples=["absdb cherry-pick staging 0/1048576 -d main"])
@click.argument("source")
@click.argument("lsn")
@database_option
@conflict_options
@message_option
@author_option
@dry_run_option
@click.pass_obj
def command(
    call: Call,
    source: str,
    lsn: str,
    database: str,
    on_conflict: str,
    resolutions: str | None,
    message: str,
    author: str | None,
    dry_run: bool,
) -> None:
    """Take over what the commit at LSN of SOURCE changed, with its message and author unless others are given."""
    given = read_resolutions(resolutions)
    with opened(call, write=not dry_run) as session:
        with rows_shown(call):
            result = session.database(database).cherry_pick(
                session.database(source),
                lsn=lsn,
                on_conflict=on_conflict,
                resolutions=given,
                dry_run=dry_run,
                message=message,
                author=author,
            )
        show(call, result, f"cherry-pick of {lsn} from {source}", "all of it is there already")
