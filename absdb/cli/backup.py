"""`absdb backup`: make, list, show and verify backups."""

from __future__ import annotations

from typing import Any

import click

from absdb.backup import listing, verify
from absdb.backup.codec.compression import AS_SET
from absdb.backup.create import create_backup
from absdb.backup.info import BackupInfo
from absdb.cli.command import FAILED, Call, Verb
from absdb.cli.output import Done, Facts, Listing, Row, items
from absdb.cli.session import opened
from absdb.cli.store_options import StoreOptions, store_options
from absdb.objectstore.location import shown_url
from absdb.reprs import counted
from absdb.sizes import size

SHOWN = ("label", "kind", "state", "end_lsn", "end_time", "size", "stored_bytes", "base", "pinned", "comment")


@click.command(
    "backup",
    cls=Verb,
    examples=[
        "absdb backup --output /backup/shop --label full-base",
        "absdb backup --output s3://bucket/shop --incremental --from-label full-base",
        "absdb backup --output /backup/shop --database staging",
        "absdb backup --list /backup/shop",
        "absdb backup --verify s3://bucket/shop",
    ],
)
@click.option(
    "--output", metavar="URL", help="Make one there: a directory, or an s3://, gcs://, azure:// URL."
)
@click.option("--list", "listed", metavar="URL", help="List the backups there.")
@click.option(
    "--info", "shown", metavar="URL", help="Show what is known of URL#LABEL; the newest without a label."
)
@click.option(
    "--verify", "verified", metavar="URL", help="Read them all again, or URL#LABEL, and compare every byte."
)
@click.option("--label", metavar="NAME", help="What it is called. [default: its kind and the time]")
@click.option("--incremental", is_flag=True, help="Store only what an earlier backup lacks.")
@click.option("--from-label", metavar="NAME", help="That earlier backup, full or incremental.")
@click.option("--from-url", metavar="URL", help="Where it lies, if that is neither here nor remembered.")
@click.option("-d", "--database", metavar="NAME", help="Back up one database alone. [default: all]")
@click.option(
    "--compress",
    type=click.Choice(["none", "lz4", "zstd"]),
    help="How it is compressed. [default: the setting backup_compress]",
)
@click.option(
    "--jobs", type=click.IntRange(1, 256), metavar="N", help="Files, and parts of files, at a time."
)
@click.option("--pin", is_flag=True, help="Keep it, whatever its age, until it is unpinned.")
@click.option("--comment", default="", help="What it is for.")
@store_options
@click.pass_obj
def command(
    call: Call,
    /,
    output: str | None,
    listed: str | None,
    shown: str | None,
    verified: str | None,
    options: StoreOptions,
    **more: Any,
) -> None:
    """Back up the instance while it is in use, or look at what has been backed up.

    An interrupted backup goes on when the same command is run again. --verify leaves with exit code 1 unless all is
    well. Restore with `absdb restore --from URL --to DIR`.
    """
    asked = [each for each in (output, listed, shown, verified) if each is not None]
    if len(asked) != 1:
        raise click.UsageError("say what to do with one of --output, --list, --info and --verify")
    if output is not None:
        _make(call, output, options, **more)
        return
    _refuse(more)
    if listed is not None:
        table = listing.list_backups(listed, key=options.key(), options=options.named)
        found = Listing(items(table), f"there are no backups in {shown_url(listed)}", short=_short)
        call.output.show(found)
    elif shown is not None:
        call.output.show(Facts(listing.info(shown, key=options.key(), options=options.named).as_dict()))
    elif verified is not None:
        _verify(call, verified, options, more["jobs"])


def _refuse(more: dict[str, Any]) -> None:
    """Options that say how to make a backup have no meaning elsewhere, and are not passed over."""
    given = [name for name, value in more.items() if value and name != "jobs"]
    if given:
        raise click.UsageError(f"--{given[0].replace('_', '-')} goes with --output")


def _make(
    call: Call,
    url: str,
    options: StoreOptions,
    *,
    label: str | None,
    incremental: bool,
    from_label: str | None,
    from_url: str | None,
    database: str | None,
    compress: str | None,
    jobs: int | None,
    pin: bool,
    comment: str,
) -> None:
    if incremental != (from_label is not None):
        raise click.UsageError("--incremental and --from-label go together: they say what it builds on")
    if from_url is not None and from_label is None:
        raise click.UsageError("--from-url goes with --from-label")
    if incremental and database is not None:
        raise click.UsageError("a backup of one database is always a full one")
    with opened(call) as session:
        found = create_backup(
            session.engine,
            url,
            label=label,
            incremental_from=from_label,
            base_url=from_url,
            database=database,
            compress=compress or AS_SET,
            key=options.key() if options.key_file else None,
            jobs=jobs,
            progress=call.output.bars,
            comment=comment,
            pin=pin,
            store_options=options.named,
        )
    call.output.show(Done(_sentence(found), found.as_dict()))


def _sentence(found: BackupInfo) -> str:
    """What people are told of a backup that was made."""
    stored = f"{size(found.stored_bytes)} stored in {found.seconds:,.1f} s"
    what = f"{found.kind} backup {found.label} @ {found.end_lsn}"
    return f"made {what} of {size(found.size)} in {found.url}: {stored}"


def _short(row: Row) -> Row:
    return {name: row[name] for name in SHOWN}


def _verify(call: Call, url: str, options: StoreOptions, jobs: int | None) -> None:
    found = verify.verify(url, key=options.key(), jobs=jobs, progress=call.output.bars, options=options.named)
    what = f"{counted(found.backups, 'backup')}, {counted(found.files, 'file')}, {size(found.bytes)}"
    well = f"all is well: {what}"
    call.output.show(Listing(items(found.table()), well))
    if not found.well:
        raise click.exceptions.Exit(FAILED)
