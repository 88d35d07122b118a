"""`absdb export`: write a table to a file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext

import click
import pyarrow as pa

from absdb.cli.command import Call, Verb, When, database_option, point_options
from absdb.cli.output import Done
from absdb.cli.session import opened
from absdb.cli.text import milliseconds
from absdb.io.row_files import WRITABLE, format_of, write
from absdb.progress import Report, reporting
from absdb.reprs import counted
from absdb.sizes import size


@click.command(
    "export",
    cls=Verb,
    examples=[
        "absdb export orders orders.parquet",
        "absdb export orders orders.csv --columns id,total --force",
        "absdb export orders before.arrow --snapshot before",
    ],
)
@click.argument("table")
@click.argument("file")
@database_option
@point_options()
@click.option("--columns", metavar="NAMES", help="Only these columns, with commas between.")
@click.option("--format", type=click.Choice(WRITABLE), help="[default: as the file's name says]")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.pass_obj
def command(
    call: Call,
    table: str,
    file: str,
    database: str,
    when: When,
    columns: str | None,
    format: str | None,
    force: bool,
) -> None:
    """Write the rows of a table, as it is or was at a point, to a file in key order: Parquet, CSV or Arrow.

    Streamed with bounded memory. The file gets its name once it is whole; a failure leaves nothing behind.
    """
    kind = format_of(file, format, WRITABLE)
    names = [name.strip() for name in columns.split(",")] if columns else None
    started = time.perf_counter()
    with opened(call) as session:
        found = session.database(database, when)[table]
        total = found.count() if call.output.bars else None
        bar = reporting(True, f"export {table}", total) if call.output.bars else nullcontext()
        stream = found.to_batches(names)
        with bar as report:
            rows, written = write(file, kind, stream.schema, _told(stream, report), force=force)
    took = (time.perf_counter() - started) * 1000
    facts = {
        "table": table,
        "file": file,
        "format": kind,
        "rows": rows,
        "bytes": written,
        "ms": round(took, 3),
    }
    done = f"{counted(rows, 'row')} of {table} into {file}, {size(written)}, {milliseconds(took)}"
    call.output.show(Done(done, facts))


def _told(stream: pa.RecordBatchReader, report: Report | None) -> Iterator[pa.RecordBatch]:
    """The batches, telling how far it is."""
    rows = 0
    for batch in stream:
        yield batch
        rows += batch.num_rows
        if report is not None:
            report(rows)
