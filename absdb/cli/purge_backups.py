"""`absdb admin purge-old-backups`, `pin-backup`, `unpin-backup`, `new-key`: looking after a repository of backups."""

from __future__ import annotations

import click

from absdb.backup.codec.key import Key, new_key_text
from absdb.backup.pins import pin_label, unpin_label
from absdb.backup.repository import open_backup
from absdb.backup.retention import purge
from absdb.cli.command import Call, Checked, Verb, confirm, dry_run_option, yes_option
from absdb.cli.output import Done, Listing, items
from absdb.cli.store_options import StoreOptions, store_options
from absdb.clock import SystemClock
from absdb.errors import InvalidInputError
from absdb.io.secret_files import write_secret_file
from absdb.setting_kinds import Kind, Setting

_AGE = Setting("older-than", Kind.DURATION, 0.0, "", minimum=0, maximum=36500 * 86_400)


def _age(text: str) -> float:
    """Seconds of `30d`; InvalidInputError for what is no duration."""
    try:
        return float(_AGE.accept(text))
    except ValueError as error:
        raise InvalidInputError(f"{text!r}: {error}", hint="write a duration such as 30d or 12h") from error


@click.command(
    "purge-old-backups",
    cls=Verb,
    examples=[
        "absdb admin purge-old-backups --backup-dir /backup/shop --older-than 30d --dry-run",
        "absdb admin purge-old-backups --backup-dir s3://bucket/shop --older-than 30d --keep 7 --yes",
    ],
)
@click.option("--backup-dir", required=True, metavar="URL", help="The repository.")
@click.option(
    "--older-than", required=True, type=Checked("age", _age), metavar="AGE", help="Such as 30d, 12h or 4w."
)
@click.option(
    "--keep",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    metavar="N",
    help="How many of the newest stay in any case.",
)
@dry_run_option
@yes_option
@store_options
@click.pass_obj
def purge_old_backups(
    call: Call, backup_dir: str, older_than: str, keep: int, dry_run: bool, yes: bool, options: StoreOptions
) -> None:
    """Remove backups that are old and that nothing needs.

    The newest one that is whole, pinned ones, those being restored and all that a kept one builds on stay.
    """
    age = _age(older_than)
    planned = purge(backup_dir, age, keep=keep, dry_run=True, options=options.named)
    if dry_run or not planned.removed:
        call.output.show(Listing(items(planned.table()), "there are no backups"))
        return
    if not yes:
        call.output.show(Listing(items(planned.table())))
    confirm(f"remove {', '.join(planned.removed)} from {planned.url}?", yes=yes)
    done = purge(backup_dir, age, keep=keep, options=options.named)
    call.output.show(Listing(items(done.table())))


@click.command("pin-backup", cls=Verb, examples=["absdb admin pin-backup /backup/shop#full-base"])
@click.argument("backup", metavar="URL#LABEL")
@store_options
@click.pass_obj
def pin_backup(call: Call, backup: str, options: StoreOptions) -> None:
    """Keep a backup, whatever its age, until it is unpinned."""
    repository, label = open_backup(backup, options=options.named)
    with repository:
        pin_label(repository.store, label, SystemClock())
    call.output.show(Done(f"pinned {label}", {"label": label, "pinned": True}))


@click.command("unpin-backup", cls=Verb, examples=["absdb admin unpin-backup /backup/shop#full-base"])
@click.argument("backup", metavar="URL#LABEL")
@store_options
@click.pass_obj
def unpin_backup(call: Call, backup: str, options: StoreOptions) -> None:
    """Let age decide about a backup again."""
    repository, label = open_backup(backup, options=options.named)
    with repository:
        unpin_label(repository.store, label)
    call.output.show(Done(f"unpinned {label}", {"label": label, "pinned": False}))


@click.command("new-key", cls=Verb, examples=["absdb admin new-key ~/shop-backup.key"])
@click.argument("file")
@click.pass_obj
def new_key(call: Call, file: str) -> None:
    """Make a key for encrypting backups and archive, in a new file that only you can read.

    Keep a copy of it elsewhere: without it what it encrypts is lost.
    """
    text = new_key_text()
    write_secret_file(file, f"{text}\n".encode())
    key = Key(bytes.fromhex(text))
    call.output.show(Done(f"made key {key.id} in {file}", {"key_id": key.id, "file": file}))
