"""`absdb snapshot`: create, list and drop."""

from __future__ import annotations

import click

from absdb.cli.command import (
    Call,
    Noun,
    When,
    confirm,
    database_option,
    dry_run_option,
    point_options,
    yes_option,
)
from absdb.cli.output import Done, Listing, items
from absdb.cli.session import opened
from absdb.errors import NotFoundError
from absdb.versioning.listing import snapshots


@click.group(
    "snapshot",
    cls=Noun,
    examples=["absdb snapshot create before-cleanup", "absdb at --snapshot before-cleanup orders"],
)
def command() -> None:
    """Name states, to keep them and to come back to them."""


@command.command(
    "create",
    examples=[
        "absdb snapshot create before",
        "absdb snapshot create friday --time 2026-04-03T18:00Z -d staging",
    ],
)
@click.argument("name")
@database_option
@point_options(snapshot=False)
@click.option("--comment", default="", help="What it is for.")
@click.pass_obj
def create_snapshot(call: Call, name: str, database: str, when: When, comment: str) -> None:
    """Name the state of now, or of a point, and keep it until the name is dropped."""
    with opened(call, write=True) as session:
        found = session.database(database)
        lsn = found.snapshot(name, lsn=when.lsn, time=when.time, comment=comment)
    facts = {"snapshot": name, "database": database, "lsn": lsn}
    call.output.show(Done(f"snapshot {name} is {database} @ {lsn}", facts))


@command.command("list", examples=["absdb snapshot list", "absdb snapshot list -d staging --json"])
@click.option("-d", "--database", metavar="NAME", help="Those of one database. [default: all]")
@click.pass_obj
def list_snapshots(call: Call, database: str | None) -> None:
    """List snapshots, oldest first."""
    with opened(call) as session:
        engine = session.engine
        owner = None if database is None else engine.history.database(database).id
        call.output.show(Listing(items(snapshots(engine, owner)), "there are no snapshots"))


@command.command(
    "drop", examples=["absdb snapshot drop before --dry-run", "absdb snapshot drop before --yes"]
)
@click.argument("name")
@database_option
@dry_run_option
@yes_option
@click.pass_obj
def drop_snapshot(call: Call, name: str, database: str, dry_run: bool, yes: bool) -> None:
    """Forget a snapshot. What only it kept can no longer be read; no state of today changes."""
    with opened(call) as session:
        engine = session.engine
        found = items(snapshots(engine, engine.history.database(database).id))
    facts = next((item for item in found if item["name"] == name), None)
    if facts is None:
        names = ", ".join(item["name"] for item in found)
        raise NotFoundError(
            f"database {database!r} has no snapshot {name!r}",
            hint=f"its snapshots are {names}" if names else "it has none",
        )
    what = f"snapshot {name} of {database} @ {facts['lsn']}"
    if dry_run:
        call.output.show(Done(f"would drop {what}", {**facts, "dropped": False}))
        return
    confirm(f"drop {what}?", yes=yes)
    with opened(call, write=True) as session:
        session.database(database).drop_snapshot(name)
    call.output.show(Done(f"dropped {what}", {**facts, "dropped": True}))
