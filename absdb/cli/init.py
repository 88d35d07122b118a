"""`absdb init`: make a new, empty instance."""

from __future__ import annotations

import os

import click

from absdb.cli.command import INSTANCE_VARIABLE, Call, Verb
from absdb.cli.output import Done
from absdb.cli.session import is_instance
from absdb.engine.location import MEMORY
from absdb.errors import AlreadyExistsError
from absdb.instance import connect


@click.command(
    "init",
    cls=Verb,
    examples=["absdb init shop", "absdb init shop --wal-segment-size '64 MiB'", "absdb -i shop init"],
)
@click.argument("path", required=False)
@click.option(
    "--wal-segment-size", metavar="SIZE", help="Size of one file of the log; cannot be changed later."
)
@click.pass_obj
def command(call: Call, path: str | None, wal_segment_size: str | None) -> None:
    """Make a new, empty instance in the directory PATH, with one database, main.

    The directory must be empty, or not there yet. PATH may be left out if --instance or $ABSDB_INSTANCE says it.
    """
    if path and call.instance and path != call.instance:
        raise click.UsageError(f"PATH says {path} and --instance says {call.instance}; give one of them")
    place = path or call.instance or os.environ.get(INSTANCE_VARIABLE, "")
    if not place:
        raise click.UsageError(f"say where: absdb init PATH, or set {INSTANCE_VARIABLE}")
    if place == MEMORY:
        raise click.UsageError("an instance in memory ends with its process; pass a directory")
    if is_instance(place):
        raise AlreadyExistsError(
            f"{place} is an absdb instance already", hint=f"use it: absdb -i {place} databases"
        )
    with connect(place, wal_segment_size=wal_segment_size) as made:
        facts = {"path": made.path, "databases": list(made), "lsn": made.lsn}
    call.output.show(Done(f"made the instance {facts['path']} with the database main", facts))
