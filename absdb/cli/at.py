"""`absdb at`: a database, or rows of a table, as they were at a point."""

from __future__ import annotations

import click

from absdb.cli.command import Call, Verb, When, database_option, point_options
from absdb.cli.output import Listing, Rows, items
from absdb.cli.session import opened
from absdb.engine.listing import tables
from absdb.reprs import counted
from absdb.versioning.row_read import first_rows


@click.command(
    "at",
    cls=Verb,
    examples=[
        'absdb at --time "2026-04-04 14:05Z"',
        "absdb at --snapshot before orders --limit 5",
        "absdb at --lsn 0/1048576 orders --columns id,total --json",
    ],
)
@click.argument("table", required=False)
@database_option
@point_options()
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many rows.")
@click.option("--columns", metavar="NAMES", help="Only these columns, with commas between.")
@click.pass_obj
def command(
    call: Call, table: str | None, database: str, when: When, limit: int, columns: str | None
) -> None:
    """Look at a database as it was at a point: its tables, or the first rows of TABLE in key order.

    Without a point it is the newest state.
    """
    with opened(call) as session:
        scope = session.scope(database, when)
        point = scope.point()
        if table is None:
            call.output.note(f"{database} @ {point.lsn}")
            found = tables(scope.catalog(), scope.reader)
            call.output.show(Listing(items(found), f"{database} had no tables then"))
            return
        schema = scope.catalog().table(table)
        reader = scope.reader(schema)
        names = [schema.column(name.strip()).name for name in columns.split(",")] if columns else None
        rows = first_rows(reader, limit)
        call.output.note(f"{schema.full_name} of {database} @ {point.lsn}, {counted(reader.count(), 'row')}")
        key = schema.key_names if names is None else ()
        call.output.show(Rows(items(rows if names is None else rows.select(names)), key=key))
