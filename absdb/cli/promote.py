"""`absdb promote`: end the recovery of a directory that waits at its target."""

from __future__ import annotations

import click

from absdb.cli.command import Call, Verb
from absdb.cli.output import Done
from absdb.cli.store_options import StoreOptions, store_options


@click.command("promote", cls=Verb, examples=["absdb promote shop-at-noon"])
@click.argument("directory")
@store_options
@click.pass_obj
def command(call: Call, directory: str, options: StoreOptions) -> None:
    """Make an instance of a directory that was restored with --target-action pause or shutdown.

    It is recovered to its target, goes on from there on a timeline of its own, and can be written.
    """
    from absdb.backup.recovery.opening import promote
    from absdb.backup.recovery.recover import Opening

    asked = Opening(key=options.key(), store_options=options.named, progress=call.output.bars)
    found = promote(directory, asked)
    facts = {"path": found.path, "lsn": found.lsn, "time": found.time, "timeline": found.timeline}
    call.output.show(Done(str(found), facts))
