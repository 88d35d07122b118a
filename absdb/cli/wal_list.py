"""`absdb wal-list`: what an archive of the log has, and what it has not."""

from __future__ import annotations

import click

from absdb.cli.command import Call, Verb
from absdb.cli.output import Listing, Row, items
from absdb.cli.store_options import StoreOptions, store_options

SHOWN = ("kind", "name", "timeline", "start_lsn", "end_lsn", "stored_bytes", "modified", "accepted")


@click.command(
    "wal-list",
    cls=Verb,
    examples=["absdb wal-list s3://bucket/wal-archive/", "absdb wal-list /backup/wal --json"],
)
@click.argument("url")
@store_options
@click.pass_obj
def command(call: Call, url: str, options: StoreOptions) -> None:
    """List the segments of an archive, and gaps: log that is not there and that later log does not make up for.

    A gap was recorded by who let the log go; a hole was recorded by nobody. `absdb admin accept-gap` acknowledges
    either.
    """
    from absdb.backup.archive.listing import wal_list
    from absdb.backup.archive.reader import ArchiveReader

    store = options.open(url)
    try:
        found = items(wal_list(ArchiveReader(store)))
    finally:
        store.close()
    call.output.show(Listing(found, "there is no log yet", short=_short))
    missing = [row for row in found if row["kind"] in ("gap", "hole") and not row["accepted"]]
    if missing:
        call.output.note(
            f"{len(missing)} gap{'s' if len(missing) > 1 else ''}: no backup from before can be recovered across it"
        )


def _short(row: Row) -> Row:
    return {name: row[name] for name in SHOWN}
