"""`absdb diff`: what one state has that another has not."""

from __future__ import annotations

import click

from absdb.cli.command import Call, Checked, Verb, When, point_options
from absdb.cli.output import Listing, items
from absdb.cli.session import opened
from absdb.ids import Lsn
from absdb.versioning.commit_diff import commit_diff
from absdb.versioning.diff import Diff


@click.command(
    "diff",
    cls=Verb,
    examples=[
        "absdb diff --stat main staging",
        "absdb diff --stat main..staging",
        "absdb diff --stat main --snapshot before",
        "absdb diff --stat main --commit 0/1048576",
    ],
)
@click.argument("source")
@click.argument("target", required=False)
@point_options()
@click.option(
    "--commit",
    type=Checked("lsn", Lsn.parse),
    metavar="LSN",
    help="What this commit of SOURCE changed, in place of a TARGET.",
)
@click.option(
    "--stat", is_flag=True, help="The summary: rows added, modified, removed in each table. The default."
)
@click.pass_obj
def command(call: Call, source: str, target: str | None, when: When, commit: str | None, stat: bool) -> None:
    """Show what TARGET has that SOURCE has not. Both are databases; SOURCE..TARGET says the same.

    A point applies to SOURCE. With a point and no TARGET it is what has changed in SOURCE since then. The
    cost follows the change, not the size.
    """
    if target is None and ".." in source:
        source, _, target = source.partition("..")
    if commit is not None and (target is not None or when):
        raise click.UsageError("--commit names both sides: the states before and after it")
    if target is None and not when and commit is None:
        raise click.UsageError(
            "give two databases, or one and a point or a commit: absdb diff --stat main --snapshot before"
        )
    with opened(call) as session:
        if commit is not None:
            diff = commit_diff(session.engine, session.point(source), commit)
        else:
            before, after = session.point(source, when), session.point(target or source)
            diff = Diff(session.engine, source=before, target=after)
        call.output.note(f"from {source} @ {diff.source.lsn} to {target or source} @ {diff.target.lsn}")
        call.output.show(Listing(items(diff.summary()), "no difference"))
