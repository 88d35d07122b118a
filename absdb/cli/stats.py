"""`absdb stats`: sizes and counts of the instance and of its log."""

from __future__ import annotations

import click

from absdb.cli.command import Call, Verb
from absdb.cli.output import Facts, items
from absdb.cli.session import Session, opened
from absdb.engine.statistics import stats, wal_stats
from absdb.errors import StorageError
from absdb.paths import DIRECTORIES

WAL = ("current_lsn", "last_checkpoint_lsn", "wal_segment_size_bytes")
ARCHIVE = (
    "last_archived_lsn",
    "last_archived_time",
    "archive_lag_seconds",
    "archive_waiting_bytes",
    "segments_archived_today",
    "failed_count",
    "last_failed_time",
    "last_failed_segment",
    "last_archive_failure",
    "first_gap_lsn",
)


@click.command("stats", cls=Verb, examples=["absdb stats", "absdb stats --json"])
@click.pass_obj
def command(call: Call) -> None:
    """Show what the instance holds, what it takes on disk, and how its log and the archive of it stand."""
    with opened(call) as session:
        fs = session.engine.fs
        log = items(wal_stats(session.engine))[0]
        call.output.show_all(
            {
                "instance": Facts({"path": fs.root, "locked_by_pid": _writer(session)}),
                "contents": Facts(items(stats(session.engine))[0]),
                "disk": Facts({f"{name}_bytes": _bytes_in(session, name) for name in DIRECTORIES}),
                "wal": Facts({name: log[name] for name in WAL}),
                "archive": Facts({name: log[name] for name in ARCHIVE}),
            }
        )


def _writer(session: Session) -> str | None:
    """Who has the instance open for writing now."""
    owner = session.engine.fs.lock_owner("lock")
    return None if owner is None else str(owner.get("pid", "unknown"))


def _bytes_in(session: Session, directory: str) -> int:
    """The bytes of the files in one of the instance's directories."""
    fs = session.engine.fs
    total = 0
    for name in fs.list(directory):
        try:
            total += fs.size(f"{directory}/{name}")
        except StorageError:
            continue  # the writer was quicker
    return total
