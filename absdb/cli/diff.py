"""`absdb diff`: what one state has that another has not."""

from __future__ import annotations

import click

from absdb.cli.command import Call, Verb, When, point_options
from absdb.cli.output import Listing, items
from absdb.cli.session import opened
from absdb.versioning.diff import Diff


@click.command(
    "diff",
    cls=Verb,
    examples=[
        "absdb diff --stat main staging",
        "absdb diff --stat main..staging",
        "absdb diff --stat main --snapshot before",
    ],
)
@click.argument("source")
@click.argument("target", required=False)
@point_options()
@click.option(
    "--stat", is_flag=True, help="The summary: rows added, modified, removed in each table. The default."
)
@click.pass_obj
def command(call: Call, source: str, target: str | None, when: When, stat: bool) -> None:
    """Show what TARGET has that SOURCE has not. Both are databases; SOURCE..TARGET says the same.

    A point applies to SOURCE. With a point and no TARGET it is what has changed in SOURCE since then. The
    cost follows the change, not the size.
    """
    if target is None and ".." in source:
        source, _, target = source.partition("..")
    if target is None and not when:
        raise click.UsageError(
            "give two databases, or one and a point: absdb diff --stat main --snapshot before"
        )
    with opened(call) as session:
        before, after = session.point(source, when), session.point(target or source)
        call.output.note(f"from {source} @ {before.lsn} to {target or source} @ {after.lsn}")
        found = Diff(session.engine, source=before, target=after).summary()
        call.output.show(Listing(items(found), "no difference"))
