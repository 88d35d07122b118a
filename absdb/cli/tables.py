"""`absdb tables`: list, show, drop and undrop."""

from __future__ import annotations

import click

from absdb.cli.command import (
    Call,
    Noun,
    When,
    author_option,
    confirm,
    database_option,
    dry_run_option,
    message_option,
    point_options,
    yes_option,
)
from absdb.cli.output import Done, Facts, Listing, Rows, items
from absdb.cli.session import opened
from absdb.engine.listing import columns, constraints, tables
from absdb.reprs import counted
from absdb.versioning.row_read import first_rows


@click.group(
    "tables",
    cls=Noun,
    examples=["absdb tables list", "absdb tables show orders", "absdb tables undrop orders"],
)
def command() -> None:
    """List, show, drop and undrop tables."""


@command.command(
    "list",
    examples=["absdb tables list", "absdb tables list -d staging", "absdb tables list --snapshot before"],
)
@database_option
@point_options()
@click.pass_obj
def list_tables(call: Call, database: str, when: When) -> None:
    """List the tables of a database with rows, columns and key."""
    with opened(call) as session:
        scope = session.scope(database, when)
        found = tables(scope.catalog(), scope.reader)
        call.output.show(Listing(items(found), f"database {database} has no tables"))


@command.command("show", examples=["absdb tables show orders", "absdb tables show orders --rows 5 --json"])
@click.argument("table")
@database_option
@point_options()
@click.option(
    "--rows", type=click.IntRange(0), default=0, show_default=True, help="How many rows to show as well."
)
@click.pass_obj
def show_table(call: Call, table: str, database: str, when: When, rows: int) -> None:
    """Show a table: rows, key, columns, constraints, and its first rows if asked."""
    with opened(call) as session:
        scope = session.scope(database, when)
        schema = scope.catalog().table(table)
        reader = scope.reader(schema)
        facts = {
            "table": schema.full_name,
            "database": database,
            "lsn": scope.point().lsn,
            "rows": reader.count(),
            "key": list(schema.key_names),
            "comment": schema.comment,
        }
        parts: dict[str, Facts | Listing] = {
            "table": Facts(facts),
            "columns": Listing(items(columns(schema))),
            "constraints": Listing(items(constraints(schema, scope.catalog())), "no constraints"),
        }
        if rows:
            parts["first_rows"] = Rows(items(first_rows(reader, rows)), key=schema.key_names)
        call.output.show_all(parts)


@command.command("drop", examples=["absdb tables drop orders --dry-run", "absdb tables drop orders --yes"])
@click.argument("table")
@database_option
@message_option
@author_option
@dry_run_option
@yes_option
@click.pass_obj
def drop_table(
    call: Call, table: str, database: str, message: str, author: str | None, dry_run: bool, yes: bool
) -> None:
    """Remove a table. `absdb tables undrop` brings it back for as long as history is kept."""
    with opened(call) as session:
        found = session.database(database)[table]
        rows = found.count()
        facts = {"table": found.name, "database": database, "rows": rows}
    what = f"table {facts['table']} of {database} with {counted(rows, 'row')}"
    if dry_run:
        call.output.show(Done(f"would drop {what}", {**facts, "dropped": False}))
        return
    confirm(f"drop {what}?", yes=yes)
    with opened(call, write=True, author=author) as session:
        session.database(database).drop_table(table, message=message)
        done = {**facts, "dropped": True, "lsn": session.instance.lsn}
    call.output.show(Done(f"dropped {what}", done))


@command.command(
    "undrop", examples=["absdb tables undrop orders", "absdb tables undrop sales.orders -d staging"]
)
@click.argument("table")
@database_option
@message_option
@author_option
@click.pass_obj
def undrop_table(call: Call, table: str, database: str, message: str, author: str | None) -> None:
    """Bring back the table of that name that was dropped last, with its rows."""
    with opened(call, write=True, author=author) as session:
        found = session.database(database).undrop_table(table, message=message)
        rows = found.count()
        facts = {"table": found.name, "database": database, "rows": rows, "lsn": session.instance.lsn}
    what = f"table {facts['table']} of {database} with {counted(rows, 'row')}"
    call.output.show(Done(f"brought back {what}", facts))
