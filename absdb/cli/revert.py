"""`absdb revert`: take back one commit and keep what came later."""

from __future__ import annotations

import click

from absdb.cli.command import Call, Verb, author_option, database_option, dry_run_option, message_option
from absdb.cli.merge_output import conflict_options, read_resolutions, rows_shown, show
from absdb.cli.session import opened


@click.command("revert", cls=Verb, examples=["absdb revert 0/1048576 --dry-run", "absdb revert 0/1048576"])
@click.argument("lsn")
@database_option
@conflict_options
@message_option
@author_option
@dry_run_option
@click.pass_obj
def command(
    call: Call,
    lsn: str,
    database: str,
    on_conflict: str,
    resolutions: str | None,
    message: str,
    author: str | None,
    dry_run: bool,
) -> None:
    """Take back what the commit at LSN changed, as a new commit. `absdb log` lists commits with their LSNs.

    A merge that is taken back counts as not merged: merging again brings it back.
    """
    given = read_resolutions(resolutions)
    with opened(call, write=not dry_run, author=author) as session:
        with rows_shown(call):
            result = session.database(database).revert(
                lsn=lsn, on_conflict=on_conflict, resolutions=given, dry_run=dry_run, message=message
            )
        show(call, result, f"revert of {lsn}", "there is nothing left to take back")
