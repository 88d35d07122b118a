"""`absdb rebase`: replay a branch's commits on another head."""

from __future__ import annotations

import click

from absdb.cli.command import Call, Verb, author_option
from absdb.cli.merge_output import conflict_options, read_resolutions, rows_shown
from absdb.cli.output import Listing
from absdb.cli.session import opened


@click.command("rebase", cls=Verb, examples=["absdb rebase staging", "absdb rebase staging --onto main"])
@click.argument("branch")
@click.option(
    "--onto", metavar="NAME", help="Whose head to go onto. [default: what the branch was made from]"
)
@conflict_options
@author_option
@click.pass_obj
def command(
    call: Call, branch: str, onto: str | None, on_conflict: str, resolutions: str | None, author: str | None
) -> None:
    """Replay the commits of BRANCH one by one on the head of another database.

    A commit that does not fit is named, its conflicts are listed, and the branch stays as it was.
    """
    given = read_resolutions(resolutions)
    with opened(call, write=True, author=author) as session:
        target = None if onto is None else session.database(onto)
        with rows_shown(call):
            done = session.database(branch).rebase(target, on_conflict=on_conflict, resolutions=given)
        commits = [dict(zip(done.columns, row, strict=True)) for row in done.values.tolist()]
        call.output.show(Listing(commits, "there was nothing to replay"))
