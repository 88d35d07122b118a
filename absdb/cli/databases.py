"""`absdb databases`: what databases there are."""

from __future__ import annotations

import click

from absdb.cli.command import Call, Verb
from absdb.cli.output import Listing, items
from absdb.cli.session import opened
from absdb.versioning.listing import databases


@click.command("databases", cls=Verb, examples=["absdb databases", "absdb databases --json"])
@click.pass_obj
def command(call: Call) -> None:
    """List the databases of the instance. Every branch is one; `absdb branch list` says more about those."""
    with opened(call) as session:
        call.output.show(Listing(items(databases(session.engine))))
