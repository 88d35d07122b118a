"""`absdb bisect`: the first commit after which a query is no longer true."""

from __future__ import annotations

import click

from absdb.cli.command import Call, Verb, database_option
from absdb.cli.output import Facts, Listing, Part, items
from absdb.cli.session import opened
from absdb.versioning.commit_diff import commit_diff


@click.command(
    "bisect",
    cls=Verb,
    examples=[
        "absdb bisect --sql 'SELECT count(*) = count(DISTINCT email) FROM users'",
        "absdb bisect --good before --bad 0/1048576 --sql 'SELECT min(total) >= 0 FROM orders'",
        "absdb bisect -d staging --good '2026-04-04 14:05Z' --sql 'SELECT count(*) > 0 FROM orders' --json",
    ],
)
@database_option
@click.option(
    "--good",
    metavar="POINT",
    help="Where it is true: an LSN, a time or a snapshot. [default: the oldest commit]",
)
@click.option("--bad", metavar="POINT", help="Where it is not. [default: now]")
@click.option(
    "--sql", "text", required=True, metavar="QUERY", help="The test: a query that gives one boolean."
)
@click.pass_obj
def command(call: Call, database: str, good: str | None, bad: str | None, text: str) -> None:
    """Find the first commit after which a query is no longer true, by trying states between a good and a bad one.

    A million commits take twenty tries. Commits that a restore has undone are left out. A query that fails at some
    point is an error, and does not count as bad.
    """
    with opened(call) as session:
        found = session.database(database).bisect(text, good=good, bad=bad, progress=call.output.bars)
        facts = {
            "lsn": found.lsn,
            "time": found.time,
            "author": found.author,
            "message": found.message,
            "tables": list(found.tables),
            "good_lsn": found.good_lsn,
            "tests": found.tests,
        }
        changed = commit_diff(session.engine, session.point(database), found.lsn).summary()
        parts: dict[str, Part] = {"commit": Facts(facts), "changes": Listing(items(changed), "no difference")}
        call.output.show_all(parts)
