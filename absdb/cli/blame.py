"""`absdb blame`: which commit last wrote each row of a table, or last changed each cell."""

from __future__ import annotations

import csv
from collections.abc import Sequence

import click
import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.cli.command import Call, Verb, When, database_option, point_options
from absdb.cli.output import Rows, items
from absdb.cli.session import opened
from absdb.errors import SchemaMismatchError
from absdb.reprs import counted
from absdb.versioning.blame import blame


@click.command(
    "blame",
    cls=Verb,
    examples=[
        "absdb blame orders",
        "absdb blame -d staging orders --key 101 --key 102 --columns status,total",
        "absdb blame prices --key 2026-04-04,EUR --snapshot before --json",
    ],
)
@click.argument("table")
@database_option
@point_options()
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    help="Only this row; several key columns with commas between.",
)
@click.option(
    "--columns", metavar="NAMES", help="A line for each cell of these columns, with commas between."
)
@click.option("-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many lines.")
@click.option("--all", "everything", is_flag=True, help="All there are.")
@click.pass_obj
def command(
    call: Call,
    table: str,
    database: str,
    when: When,
    keys: Sequence[str],
    columns: str | None,
    limit: int,
    everything: bool,
) -> None:
    """Show which commit last wrote each row of TABLE, in key order, or last changed each cell of some columns.

    Rows know the commit that wrote them, so that no history is read; for cells it is that of the rows asked for.
    """
    with opened(call) as session:
        scope = session.scope(database, when)
        schema = scope.catalog().table(table)
        names = None if columns is None else [name.strip() for name in columns.split(",")]
        chosen = _columns_of(schema, keys) if keys else None
        try:
            found = blame(session.engine, scope.reader(schema), keys=chosen, columns=names)
        except SchemaMismatchError as error:
            error.hint = f"write --key as {','.join(schema.key_names)}, in the types of these columns"
            raise
        shown = found if everything else found.slice(0, limit)
        of = counted(found.num_rows, "row" if names is None else "cell")
        call.output.note(f"{schema.full_name} of {database} @ {scope.point().lsn}, {of}")
        call.output.show(Rows(items(shown), key=schema.key_names))


def _columns_of(schema: TableSchema, keys: Sequence[str]) -> dict[str, pa.Array]:
    """Keys as the shell passes them, as a column of text for each column of the key."""
    names = schema.key_names
    parts = [[key] if len(names) < 2 else next(csv.reader([key])) for key in keys]
    wrong = [key for key, found in zip(keys, parts, strict=True) if len(found) != max(len(names), 1)]
    if wrong:
        raise click.UsageError(
            f"a key of {schema.full_name} is {','.join(names)}; {wrong[0]!r} has other parts"
        )
    return {name: pa.array([found[at] for found in parts], pa.string()) for at, name in enumerate(names)}
