"""`absdb admin wal-cleanup` and `accept-gap`: looking after the archive of the log."""

from __future__ import annotations

import click

from absdb.backup.archive.cleanup import clean_up, plan_cleanup
from absdb.backup.archive.listing import accept_gap
from absdb.backup.archive.reader import ArchiveReader
from absdb.cli.command import Call, Checked, Verb, confirm, dry_run_option, yes_option
from absdb.cli.output import Done, Facts
from absdb.cli.session import opened
from absdb.cli.store_options import StoreOptions, store_options
from absdb.clock import SystemClock
from absdb.ids import Lsn
from absdb.progress import reporting

DAY_US = 86_400 * 1_000_000
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
@dry_run_option
@yes_option
@store_options
@click.pass_obj
def wal_cleanup(
    call: Call, before_lsn: str | None, url: str | None, dry_run: bool, yes: bool, options: StoreOptions
) -> None:
    """Remove old log from an archive, and the page files that only it names.

    Backups from before what is removed can no longer be recovered to later points.
    """
    url, days = _archive_of(call, url, need_days=before_lsn is None)
    clock = SystemClock()
    store = options.open(url)
    try:
        archive = ArchiveReader(store, options.key())
        plan = plan_cleanup(
            archive,
            before_lsn=None if before_lsn is None else Lsn.parse(before_lsn),
            before_us=None if before_lsn is not None else clock.now_us() - days * DAY_US,
        )
        facts = {
            "segments": len(plan.segments),
            "page_files": len(plan.page_files),
            "bytes": plan.bytes,
            "removed": bool(plan.count and not dry_run),
        }
        what = f"{facts['segments']:,} segments and {facts['page_files']:,} page files, {plan.bytes:,} bytes"
        if dry_run or not plan.count:
            call.output.show(Facts(facts) if call.as_json else Done(f"would remove {what}", facts))
            return
        confirm(f"remove {what}, from {url}?", yes=yes)
        show = not (call.as_json or call.quiet)
        with reporting(show or None, "removing", plan.count, unit="objects") as report:
            clean_up(archive, plan, clock=clock, report=report)
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
    url, _ = _archive_of(call, url)
    store = options.open(url)
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


def _archive_of(call: Call, url: str | None, *, need_days: bool = False) -> tuple[str, int]:
    """The URL of the archive, and wal_retention_days where it is asked for, from the instance if need be."""
    if url is not None and not need_days:
        return url, 0
    with opened(call) as session:
        settings = session.engine.settings
    url = url or settings.wal_archive_target
    if not url:
        raise click.UsageError("the instance names no wal_archive_target; pass --archive URL")
    return url, settings.wal_retention_days
