"""Backups as users meet them: listing, verifying, trying out and removing what is in a repository.

Made by `Instance.backup`, brought back by `absdb.restore`. Forwards to backup/.
"""

from __future__ import annotations

import datetime as dt
import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from absdb.backup import listing as backup_listing
from absdb.backup import retention
from absdb.backup import verify as verification
from absdb.backup.codec.key import find_key
from absdb.backup.drill import Drill, source_at
from absdb.backup.drill import drill as run_drill
from absdb.backup.drill_report import DrillReport
from absdb.backup.meter import Report
from absdb.backup.purged import Purged
from absdb.engine.frames import listing

if TYPE_CHECKING:
    import pandas as pd

Url = str | os.PathLike[str]


def backups(url: Url, *, key_file: str = "", **store_options: Any) -> pd.DataFrame:
    """One row a backup in the repository at `url`, oldest first.

    Columns: label, kind (full, incremental, database), state (complete, unfinished, damaged), end_lsn and end_time (as
    of when it is), finished_at, size (bytes that a restore brings back), stored_bytes (what it has added), base,
    encrypted, pinned, comment. `store_options` are those of the store, such as region="eu-west-1". Costs reading the
    manifest of each.
    """
    return listing(backup_listing.list_backups(url, key=find_key(key_file), options=store_options))


def verify(
    url: Url,
    label: str | None = None,
    *,
    key_file: str = "",
    jobs: int | None = None,
    progress: Report = None,
    **store_options: Any,
) -> verification.Verified:
    """Read all of a backup again and compare every byte with its checksums; of all backups without a label.

    The result is true if all is well; `to_pandas()` lists what is not: label, severity, where, problem. `url` may name
    one backup as URL#label or URL/label. NotFoundError if there is none. Costs reading and decompressing everything
    that the backups consist of, also what lies in backups that they build on.
    """
    key = find_key(key_file)
    return verification.verify(url, label, key=key, jobs=jobs, progress=progress, options=store_options)


def drill(
    url: Url,
    label: str | None = None,
    *,
    source: Any = None,
    archive_url: str | None = None,
    keep: bool = False,
    key_file: str = "",
    jobs: int | None = None,
    progress: Report = None,
    **store_options: Any,
) -> DrillReport:
    """Find out whether a backup, the newest without a label, comes back: restore it elsewhere, recover, check, compare.

    `source` is the instance that it was made of, an Instance or a path: every table is compared with what it was there
    at the LSN of the recovery. The log is fetched from the archive that the backup names, or from `archive_url`. The
    result is true if all is well; it has steps with seconds and sizes, tables with rows and digests, findings, and a
    verdict. With `keep` the recovered instance stays, at `path`. What fails is in the report, not raised.

    Costs fetching the backup, room for it among the temporary files ($TMPDIR), reading every row of it twice, and once
    in the source.
    """
    opened = getattr(source, "_engine", None)
    with source_at(source) if isinstance(source, str | os.PathLike) else nullcontext((opened, "")) as found:
        what = Drill(
            url=os.fspath(url),
            label=label,
            source=found[0],
            left_out=found[1] or "no source was named",
            archive_url=archive_url,
            key=find_key(key_file),
            jobs=jobs,
            progress=progress,
            store_options=store_options,
        )
        return run_drill(what, keep=keep)


def purge_backups(
    url: Url, older_than: dt.timedelta | float, *, keep: int = 1, dry_run: bool = False, **store_options: Any
) -> Purged:
    """Remove backups that were finished more than `older_than` (a timedelta, or seconds) ago and that nothing needs.

    The newest that is whole, the newest `keep`, pinned ones, those being read and all that a kept one builds on stay.
    With `dry_run` nothing is removed; `to_pandas()` says of each what becomes of it, and why.
    """
    return retention.purge(url, older_than, keep=keep, dry_run=dry_run, options=store_options)
