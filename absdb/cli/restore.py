"""`absdb restore`: a database, or tables of it, back to a point; with --from, an instance out of its backups."""

from __future__ import annotations

import click

from absdb.cli.command import (
    Call,
    Verb,
    When,
    author_option,
    confirm,
    database_option,
    dry_run_option,
    message_option,
    point_options,
    yes_option,
)
from absdb.cli.output import Facts, Listing, Part, Row, items
from absdb.cli.restore_backup import Asked, backup_options, is_given, only_one
from absdb.cli.session import Session, opened
from absdb.versioning.diff import Diff


@click.command(
    "restore",
    cls=Verb,
    examples=[
        'absdb restore --time "2026-04-04 14:05Z" --dry-run',
        "absdb restore --snapshot before --yes",
        "absdb restore --lsn 0/1048576 --tables orders,customers",
        "absdb restore --from s3://bucket/backups --to shop-again",
        'absdb restore --from s3://bucket/backups --to shop-at-noon --target-time "2026-04-04 12:00Z"',
    ],
)
@database_option
@point_options()
@click.option("--tables", metavar="NAMES", help="Only these tables, with commas between.")
@message_option
@author_option
@dry_run_option
@yes_option
@backup_options
@click.pass_context
def command(
    ctx: click.Context,
    database: str,
    when: When,
    tables: str | None,
    message: str,
    author: str | None,
    dry_run: bool,
    yes: bool,
    asked: Asked,
) -> None:
    """Make a database what it was at a point. Takes one sync of the disk, whatever the size.

    What is undone stays in the history: restoring to the LSN before this restore brings it back. --dry-run
    shows what would change, as `absdb diff --stat` does.

    With --from and --to an instance is brought back from backups into a directory: as it was at one of the
    --target options, or as late as the archive of its log reaches. The newest backup that is not after the target is
    taken. --database brings back that one alone.
    """
    call: Call = ctx.obj
    if asked.is_given(ctx):
        only_one(ctx, "--from and --to", ("lsn", "time", "snapshot_name", "tables", "message", "author"))
        alone = database if is_given(ctx, "database") else None
        return asked.run(call, alone, dry_run=dry_run, yes=yes)
    _wind_back(call, database, when, tables, message, author, dry_run=dry_run, yes=yes)


def _wind_back(
    call: Call,
    database: str,
    when: When,
    tables: str | None,
    message: str,
    author: str | None,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    if not when:
        raise click.UsageError("say to which point: --lsn, --time or --snapshot; or --from which backups")
    names = [name.strip() for name in tables.split(",")] if tables else None
    with opened(call) as session:
        changes = _changes(session, database, when, names)
        before, point = session.point(database).lsn, session.point(database, when).lsn
    what = f"{', '.join(names)} of {database}" if names else database
    facts = {"database": database, "tables": names, "to_lsn": point, "undone_by_lsn": before}
    summary = Listing(changes, "nothing would change")
    if dry_run:
        call.output.note(f"restoring {what} to {point} would change:")
        _show(call, {"restored": False, **facts}, summary)
        return
    if not yes:
        call.output.show(summary)
    confirm(f"restore {what} to {point}?", yes=yes)
    with opened(call, write=True, author=author) as session:
        lsn = session.database(database).restore(**when.named, tables=names, message=message)
    call.output.line(f"restored {what} to {point}; `absdb restore -d {database} --lsn {before}` undoes it")
    _show(call, {"restored": True, **facts, "lsn": lsn}, summary if yes else None)


def _changes(session: Session, database: str, when: When, names: list[str] | None) -> list[Row]:
    """What would change, as a diff from now to then; NotFoundError for tables that were not there then."""
    then = session.point(database, when)
    catalog = session.scope(database, when).catalog()
    wanted = None if names is None else {catalog.table(name).full_name for name in names}
    found = items(Diff(session.engine, source=session.point(database), target=then).summary())
    return [item for item in found if wanted is None or item["table_name"] in wanted]


def _show(call: Call, facts: Row, summary: Listing | None) -> None:
    """The facts are for programs; people have read the sentence."""
    if call.as_json:
        parts: dict[str, Part] = {"restore": Facts(facts)}
        call.output.show_all({**parts, "changes": summary or Listing([])})
    elif summary is not None:
        call.output.show(summary)
