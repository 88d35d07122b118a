"""Restoring backups, as users meet it: `absdb.restore` and `absdb.promote`. Forwards to backup/recovery/."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any

from absdb.backup.codec.key import find_key
from absdb.backup.meter import Report
from absdb.backup.recovery import opening
from absdb.backup.recovery import restore as whole
from absdb.backup.recovery.recover import Opening
from absdb.backup.recovery.report import Recovered
from absdb.backup.recovery.restored import Restored
from absdb.clock import Clock

Url = str | os.PathLike[str]


def restore(
    url: Url,
    path: Url,
    *,
    label: str | None = None,
    database: str | None = None,
    target_time: dt.datetime | str | None = None,
    target_lsn: int | str | None = None,
    target_name: str | None = None,
    target: str | None = None,
    target_timeline: int | str = whole.LATEST,
    inclusive: bool = True,
    action: str = "promote",
    archive_url: Url | None = None,
    in_place: bool = False,
    dry_run: bool = False,
    check: bool = False,
    key_file: str = "",
    jobs: int | None = None,
    progress: Report = None,
    clock: Clock | None = None,
    **store_options: Any,
) -> Restored:
    """Bring an instance back from the backups at `url`, as it was at a point, into the directory `path`.

    At most one target: `target_time` (text or datetime; without a zone UTC), `target_lsn`, `target_name` (a restore
    point or snapshot), or `target`, which is "latest" or "immediate" (the end of the backup). Without one it is the
    latest if there is an archive of the log, else the backup's end. `inclusive=False` stops before the time or LSN.
    The archive is the one that the backup names, or `archive_url` ("" for none). `target_timeline` is "latest",
    "current" (the backup's) or a number.

    The newest backup that is not after the target is taken, unless `label` (or url#label) names one. `path` is new or
    empty; with `in_place` it is an instance that nobody has open and that is lost. `database` brings back that one
    alone. `action` "promote" makes an instance of it; "pause" leaves it to be looked at by `connect`, which opens it
    for reading, until `promote()`; "shutdown" leaves it there. `dry_run` only says what would be done; `check` reads
    everything afterwards. `store_options` are those of the store, such as region="eu-west-1"; `clock` is for tutorials.

    InvalidInputError for a target that cannot be reached, with what is possible; nothing is touched then.

        absdb.restore("s3://bucket/backups", "shop-at-noon", target_time="2026-04-04 12:00Z")
    """
    return whole.restore(
        url,
        path,
        label=label,
        database=database,
        target_time=target_time,
        target_lsn=target_lsn,
        target_name=target_name,
        target=target,
        target_timeline=target_timeline,
        inclusive=inclusive,
        action=action,
        archive_url=archive_url,
        in_place=in_place,
        dry_run=dry_run,
        check=check,
        key=find_key(key_file),
        jobs=jobs,
        progress=progress,
        store_options=store_options,
        clock=clock,
    )


def promote(path: Url, *, key_file: str = "", progress: Report = None) -> Recovered:
    """End the recovery of a directory that was restored with action "pause" or "shutdown", at its target.

    NotFoundError where nothing waits for a recovery; LockedError where a process has it open: `Instance.promote` there.
    """
    return opening.promote(path, Opening(key=find_key(key_file), progress=progress))
