"""`absdb wal-fetch`: one segment of an archive into a file."""

from __future__ import annotations

import click

from absdb.cli.command import Call, Verb
from absdb.cli.output import Done
from absdb.cli.store_options import StoreOptions, store_options


@click.command(
    "wal-fetch",
    cls=Verb,
    examples=["absdb wal-fetch s3://bucket/wal-archive/000000010000000000000001 segment"],
)
@click.argument("url")
@click.argument("file")
@store_options
@click.pass_obj
def command(call: Call, url: str, file: str, options: StoreOptions) -> None:
    """Fetch one segment, decrypted, decompressed and checked. URL is that of the archive and the segment's name.

    FILE is replaced if it is there. Of a segment that was open when it was last archived the file has what was
    committed by then.
    """
    from absdb.backup.archive.fetch import fetch_to_file
    from absdb.backup.archive.reader import ArchiveReader

    address, question, query = url.partition("?")
    where, _, name = address.rstrip("/").rpartition("/")
    store = options.open((where or ".") + question + query)
    try:
        length = fetch_to_file(ArchiveReader(store, options.key()), name, file)
    finally:
        store.close()
    call.output.show(
        Done(f"fetched {name}, {length:,} bytes", {"segment": name, "file": file, "bytes": length})
    )
