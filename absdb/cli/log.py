"""`absdb log`: what happened to a database."""

from __future__ import annotations

import click

from absdb.cli.command import Call, Verb, When, database_option, point_options
from absdb.cli.output import Listing, Row, items
from absdb.cli.session import opened
from absdb.versioning.log import log


@click.command(
    "log",
    cls=Verb,
    examples=["absdb log", "absdb log -d staging --limit 5", "absdb log --snapshot before --json"],
)
@database_option
@point_options()
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many at most."
)
@click.option("--all", "everything", is_flag=True, help="All there are.")
@click.pass_obj
def command(call: Call, database: str, when: When, limit: int, everything: bool) -> None:
    """List what was committed to a database, or up to a point of it, newest first.

    Commits that a restore has undone are marked; `absdb restore --lsn` with the LSN of one goes back to it.
    """
    with opened(call) as session:
        found = log(session.engine, session.point(database, when), limit=None if everything else limit)
        call.output.show(Listing(items(found), f"nothing has happened to {database} yet", short_entry))


def short_entry(entry: Row) -> Row:
    """A commit in one line, with `+1,200 ~3 -17` for rows inserted, updated and deleted."""
    counts = zip("+~-", ("rows_inserted", "rows_updated", "rows_deleted"), strict=True)
    rows = " ".join(f"{sign}{entry[name]:,}" for sign, name in counts if entry[name])
    named = {name: entry[name] for name in ("lsn", "time", "author", "kind", "tables")}
    undone = "yes" if entry["undone"] else ""
    return {**named, "rows": rows, "undone": undone, "message": entry["message"]}
