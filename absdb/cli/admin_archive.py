"""`absdb admin wal-cleanup` and `accept-gap`: looking after the archive of the log."""

from __future__ import annotations

import click

from absdb.backup.archive.cleanup import clean_up, plan_cleanup, retained_since_us
from absdb.backup.archive.listing import accept_gap
from absdb.backup.archive.reader import ArchiveReader
from absdb.backup.retention import protected_log
from absdb.cli.command import Call, Checked, Verb, confirm, dry_run_option, yes_option
from absdb.cli.output import Done
from absdb.cli.session import opened
from absdb.cli.store_options import StoreOptions, store_options
from absdb.clock import SystemClock
from absdb.ids import Lsn
from absdb.progress import reporting
from absdb.reprs import counted
from absdb.settings import Settings
from absdb.sizes import size

archive_option = click.option(
    "--archive", "url", metavar="URL", help="The archive. [default: the instance's wal_archive_target]"
)


@click.command(
    "wal-cleanup",
    cls=Verb,
    examples=[
        "absdb admin wal-cleanup --before-lsn 0/8000000 --archive s3://bucket/wal-archive --dry-run",
        "absdb admin wal-cleanup --yes",
    ],
)
@click.option(
    "--before-lsn",
    type=Checked("lsn", Lsn.parse),
    metavar="LSN",
    help="Remove what ends at or below it. [default: what is older than the instance's wal_retention_days]",
)
@archive_option
@click.option(
    "--backup-dir",
    "repositories",
    multiple=True,
    metavar="URL",
    help="A repository whose backups keep their log. [default: the instance's backup_target]",
)
@dry_run_option
@yes_option
@store_options
@click.pass_obj
def wal_cleanup(
    call: Call,
    before_lsn: str | None,
    url: str | None,
    repositories: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    options: StoreOptions,
) -> None:
    """Remove old log from an archive, and the page files that only it names.

    The log that backups were made beside stays, and so does the newest segment. A backup from before what is removed
    can no longer be recovered to later points.
    """
    settings = _settings_of(call, needed=url is None or before_lsn is None)
    url = _archive_of(settings, url)
    if not repositories and settings is not None and settings.backup_target:
        repositories = (settings.backup_target,)
    if not repositories:
        call.output.note(
            "no repository of backups is known here, so that none keeps its log; --backup-dir names one"
        )
    store = options.open(url)
    try:
        archive = ArchiveReader(store)
        plan = plan_cleanup(
            archive,
            before_lsn=None if before_lsn is None else Lsn.parse(before_lsn),
            before_us=None
            if settings is None or before_lsn is not None
            else retained_since_us(settings, SystemClock()),
            protected=lambda: [
                span for each in repositories for span in protected_log(each, options=options.named)
            ],
        )
        facts = {
            "segments": len(plan.segments),
            "page_files": len(plan.page_files),
            "bytes": plan.bytes,
            "removed": bool(plan.count and not dry_run),
        }
        if not plan.count:
            call.output.show(Done("there is nothing to remove", facts))
            return
        what = f"{counted(len(plan.segments), 'segment')} and {counted(len(plan.page_files), 'page file')}"
        what = f"{what}, {size(plan.bytes)}"
        if dry_run:
            call.output.show(Done(f"would remove {what}", facts))
            return
        confirm(f"remove {what}, from {url}?", yes=yes)
        show = not (call.as_json or call.quiet)
        with reporting(show or None, "removing", plan.count, unit="objects") as report:
            clean_up(archive, plan, clock=SystemClock(), report=report)
        call.output.show(Done(f"removed {what}", facts))
    finally:
        store.close()


@click.command(
    "accept-gap", cls=Verb, examples=["absdb admin accept-gap 3/1048576 --archive s3://bucket/wal-archive"]
)
@click.argument("lsn", type=Checked("lsn", Lsn.parse))
@click.option("--timeline", default=1, show_default=True, help="The timeline that the gap is in.")
@click.option("--comment", default="", help="What happened.")
@archive_option
@store_options
@click.pass_obj
def accept(call: Call, lsn: str, timeline: int, comment: str, url: str | None, options: StoreOptions) -> None:
    """Acknowledge the gap in an archive that an LSN lies in, so that it no longer counts as something amiss.

    Nothing comes back by it: what needs log from the gap stays impossible, and says so.
    """
    store = options.open(_archive_of(_settings_of(call, needed=url is None), url))
    try:
        archive = ArchiveReader(store)
        hole = accept_gap(archive, timeline, Lsn.parse(lsn), clock=SystemClock(), comment=comment)
    finally:
        store.close()
    start, end = Lsn(hole.from_lsn), Lsn(hole.to_lsn)
    call.output.show(
        Done(
            f"acknowledged: log of timeline {timeline} from {start} to {end} is missing",
            {"timeline": timeline, "from_lsn": start, "to_lsn": end},
        )
    )


def _settings_of(call: Call, *, needed: bool) -> Settings | None:
    """The settings of the instance that this is about; None where they are not needed and none was named."""
    if not needed and call.instance is None:
        return None
    with opened(call) as session:
        return session.engine.settings


def _archive_of(settings: Settings | None, url: str | None) -> str:
    url = url or (settings.wal_archive_target if settings is not None else "")
    if not url:
        raise click.UsageError("the instance names no wal_archive_target; pass --archive URL")
    return url
