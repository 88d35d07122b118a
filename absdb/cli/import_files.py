"""`absdb import`: load files into tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click
import pyarrow as pa

from absdb.cli.command import Call, Verb, author_option, database_option, message_option
from absdb.cli.output import Done, Listing, Part
from absdb.cli.session import opened
from absdb.cli.text import milliseconds
from absdb.database import Database
from absdb.engine.type_text import as_type
from absdb.errors import AlreadyExistsError, InvalidInputError
from absdb.io.row_files import READABLE, Source, format_of, reading
from absdb.progress import Report, reporting
from absdb.reprs import counted

MODES = ("create", "insert", "upsert", "replace", "sync")


@click.command(
    "import",
    cls=Verb,
    examples=[
        "absdb import orders.parquet --key id",
        "absdb import data/*.parquet",
        "absdb import today.csv --table orders --mode sync",
        "absdb import zips.csv --key zip --type zip=string -d staging",
    ],
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("-t", "--table", metavar="NAME", help="The table. [default: the file's name, for each file]")
@click.option("-k", "--key", metavar="NAMES", help="Key columns of a new table, with commas between.")
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default="create",
    show_default=True,
    help="create: a new table. insert, upsert: add rows, or change them too. replace, sync: make it equal.",
)
@click.option("--format", type=click.Choice(READABLE), help="[default: as the file's name says]")
@click.option("--type", "types", multiple=True, metavar="NAME=TYPE", help="A column's type; may be repeated.")
@click.option(
    "--null", "nulls", multiple=True, metavar="TEXT", help="Text that is NULL in CSV; may be repeated."
)
@database_option
@message_option
@author_option
@click.pass_obj
def command(
    call: Call,
    files: Sequence[str],
    table: str | None,
    key: str | None,
    mode: str,
    format: str | None,
    types: Sequence[str],
    nulls: Sequence[str],
    database: str,
    message: str,
    author: str | None,
) -> None:
    """Load files into tables: Parquet, CSV, Arrow IPC or JSON lines, streamed. Each file is one commit.

    A table in mode create gets the file's columns; the other modes take the table's. sync writes only what
    differs. A key is what rows are found, changed and merged by.
    """
    if table is not None and len(files) > 1 and mode in ("create", "replace", "sync"):
        raise click.UsageError(f"several files in one table need --mode insert or upsert, not {mode}")
    given = dict(_typed(text) for text in types)
    sources = [Source(file, format_of(file, format, READABLE), given, tuple(nulls)) for file in files]
    names = [part.strip() for part in key.split(",")] if key else None
    done: list[dict[str, Any]] = []
    with opened(call, write=True, author=author) as session:
        target = session.database(database)
        for source in sources:
            into = table or source.stem
            done.append(_load(call, target, source, into, mode, names, message or f"import {source.path}"))
    parts: Part = Listing(done) if len(done) > 1 or call.as_json else Done(_sentence(done[0]))
    call.output.show(parts)


def _typed(text: str) -> tuple[str, pa.DataType]:
    """Name and type of `zip=string`."""
    name, equals, kind = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=TYPE", param_hint="--type")
    try:
        return name, as_type(kind)
    except InvalidInputError as error:
        raise click.BadParameter(str(error), param_hint="--type") from error


def _load(
    call: Call,
    database: Database,
    source: Source,
    name: str,
    mode: str,
    key: list[str] | None,
    message: str,
) -> dict[str, Any]:
    """Load one file; what was done."""
    started = time.perf_counter()
    if mode != "create":
        table = database[name]
        if key is not None and tuple(key) != table.key:
            raise InvalidInputError(
                f"table {name!r} has the key {', '.join(table.key) or 'none'}, not {', '.join(key)}",
                hint="--key is needed for new tables only",
            )
        known = {field.name: field.type for field in table.schema}
        source = replace(source, types={**known, **source.types})
    facts: dict[str, Any] = {"file": source.path, "table": name, "mode": mode}
    with reading(source) as (rows, total), reporting(call.output.bars, f"import {name}", total) as report:
        if mode == "create":
            facts["rows"] = _create(database, name, rows, key, report, message)
        else:
            done = getattr(database[name], mode)(rows, progress=report, message=message)
            if mode == "sync":
                facts.update(rows=database[name].count(), **done._asdict())
            else:
                facts["rows"] = done
    return {**facts, "lsn": database.lsn, "ms": round((time.perf_counter() - started) * 1000, 3)}


def _create(
    database: Database,
    name: str,
    rows: pa.RecordBatchReader,
    key: list[str] | None,
    report: Report | None,
    message: str,
) -> int:
    """A new table of the rows; how many there were."""
    try:
        return database.create_table(name, rows, key=key, progress=report, message=message).count()
    except AlreadyExistsError as error:
        error.hint = "--mode insert, upsert, replace or sync loads into a table that is there"
        raise


def _sentence(facts: dict[str, Any]) -> str:
    if facts["mode"] == "sync":
        changes = ", ".join(f"{facts[name]:,} {name}" for name in ("added", "modified", "removed"))
        what = f"synced {facts['table']} with {facts['file']}: {changes}"
    else:
        what = f"{counted(facts['rows'], 'row')} of {facts['file']} into {facts['table']} ({facts['mode']})"
    return f"{what}, {milliseconds(facts['ms'])}"
