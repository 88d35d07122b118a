"""What backups there are in a repository, and the facts of one. Lists the store; there is no catalogue to be wrong."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from absdb.backup.claim import read_begin
from absdb.backup.codec.key import Key
from absdb.backup.info import BackupInfo, info_of
from absdb.backup.pins import is_pinned
from absdb.backup.repository import Options, Repository, open_backup, split_label
from absdb.clock import Clock, to_datetime
from absdb.errors import AbsdbError, CorruptionError, NotFoundError
from absdb.object_names import BACKUP_MANIFEST

READERS = 8
TIME = pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    [
        ("label", pa.string()),
        ("kind", pa.string()),
        ("state", pa.string()),
        ("end_lsn", pa.string()),
        ("end_time", TIME),
        ("finished_at", TIME),
        ("size", pa.int64()),
        ("stored_bytes", pa.int64()),
        ("base", pa.string()),
        ("encrypted", pa.bool_()),
        ("pinned", pa.bool_()),
        ("comment", pa.string()),
    ]
)


def list_backups(
    url: str | os.PathLike[str],
    *,
    key: Key | None = None,
    options: Options = None,
    clock: Clock | None = None,
) -> pa.Table:
    """One row a backup, oldest first: label, kind, state, end_lsn, end_time, finished_at, size, stored_bytes, base, …

    `state` is complete, unfinished (begun, and interrupted or under way) or damaged. Costs reading each manifest.
    """
    base, label = split_label(url)
    with Repository(base, key=key, options=options, clock=clock) as repository:
        labels = repository.labels() if label is None else [label]
        with ThreadPoolExecutor(READERS, thread_name_prefix="absdb-backup-list") as threads:
            rows = list(threads.map(lambda each: _row(repository, each), labels))
    rows = [row for row in rows if row]
    rows.sort(key=lambda row: (row.get("finished_at") or row.get("end_time") or to_datetime(0), row["label"]))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def info(
    url: str | os.PathLike[str],
    label: str | None = None,
    *,
    key: Key | None = None,
    options: Options = None,
    clock: Clock | None = None,
) -> BackupInfo:
    """The facts of one backup, named as URL#label, URL/label or by `label`; the newest if none is named."""
    repository, label = open_backup(url, label, key=key, options=options, clock=clock)
    with repository:
        return facts_of(repository, label)


def facts_of(repository: Repository, label: str) -> BackupInfo:
    """The same, of an open repository; without the key what is encrypted is left out."""
    backup = repository.header(label)
    if backup.encrypted and repository.key is not None and repository.key.id == backup.key_id:
        backup = repository.manifest(label).backup
    return info_of(backup, repository.url, pinned=is_pinned(repository.store, label))


def _row(repository: Repository, label: str) -> dict[str, Any]:
    """Nothing for a directory that is no backup."""
    try:
        found = facts_of(repository, label)
    except NotFoundError:
        return _unfinished(repository, label)
    except CorruptionError:
        return {"label": label, "state": "damaged", "kind": None}
    return {
        **{name: getattr(found, name) for name in SCHEMA.names if name not in ("state", "end_lsn")},
        "end_lsn": str(found.end_lsn),
        "state": "complete",
    }


def _unfinished(repository: Repository, label: str) -> dict[str, Any]:
    try:
        begun, _ = read_begin(repository.store, label)
        kind = begun["asked"]["kind"]
    except NotFoundError:
        return {}
    except (AbsdbError, KeyError, TypeError):
        return {"label": label, "state": "damaged", "kind": None}
    if repository.store.exists(f"{label}/{BACKUP_MANIFEST}"):
        return _row(repository, label)  # it was finished between our looks
    return {"label": label, "state": "unfinished", "kind": kind, "end_time": to_datetime(begun["started_us"])}
