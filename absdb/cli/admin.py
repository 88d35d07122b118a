"""`absdb admin`: what concerns the instance as a whole, its log and its backups."""

from __future__ import annotations

import click

from absdb.cli.admin_archive import accept, wal_cleanup
from absdb.cli.command import Call, Noun, Verb, author_option
from absdb.cli.output import Done
from absdb.cli.purge_backups import new_key, pin_backup, purge_old_backups, unpin_backup
from absdb.cli.session import opened
from absdb.engine.restore_point import create_restore_point


@click.group(
    "admin",
    cls=Noun,
    examples=[
        "absdb admin restore-point before-the-migration",
        "absdb admin purge-old-backups --backup-dir /backup/shop --older-than 30d --dry-run",
    ],
)
def command() -> None:
    """Look after an instance, its log and its backups."""


@command.command("restore-point", cls=Verb, examples=["absdb admin restore-point before-the-migration"])
@click.argument("name")
@author_option
@click.pass_obj
def restore_point(call: Call, name: str, author: str | None) -> None:
    """Name this place in the log, for `absdb restore --target-name` to stop at.

    A process that has the instance open for writing does it with SELECT absdb_create_restore_point('NAME').
    """
    with opened(call, write=True, author=author) as session:
        lsn = create_restore_point(session.engine, name, author=author)
    call.output.show(Done(f"restore point {name} @ {lsn}", {"name": name, "lsn": lsn}))


command.add_command(wal_cleanup)
command.add_command(accept)
command.add_command(purge_old_backups)
command.add_command(pin_backup)
command.add_command(unpin_backup)
command.add_command(new_key)
