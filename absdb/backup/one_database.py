"""One database out of a backup of several: which files it needs, and how the others go once these are in place.

A lineage runs through the eras of other databases, so that what a branch needs of its source comes along: whole eras,
as they lie. The others are dropped, with their snapshots, before anybody can open what was restored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from absdb.backup.codec.pipeline import pool
from absdb.backup.fetching import Fetching, fetch_bytes
from absdb.backup.manifest import Backup, BackupManifest, StoredFile
from absdb.backup.repository import Repository
from absdb.backup.source import page_files_in
from absdb.catalog.history import History
from absdb.catalog.manifest import Manifest
from absdb.engine.checkpoint import checkpoint
from absdb.engine.expiry import expire
from absdb.engine.recovery import open_engine
from absdb.errors import NotFoundError
from absdb.ids import EraId
from absdb.io.base import FileSystem
from absdb.paths import PAGES_DIR
from absdb.versioning.branch import alter_database, drop_database
from absdb.wal.position import SEGMENT_HEADER_BYTES


def check_database(backup: Backup, name: str) -> None:
    """NotFoundError if there is no database of that name in a backup."""
    if name not in backup.databases:
        raise NotFoundError(
            f"there is no database {name!r} in the backup {backup.label!r}",
            hint=f"it has {', '.join(sorted(backup.databases))}",
        )


def files_of_database(repository: Repository, manifest: BackupManifest, name: str) -> list[StoredFile]:
    """The files that one database of a backup needs; all of them where the log may tell of others.

    NotFoundError if there is no such database in the backup.
    """
    check_database(manifest.backup, name)
    described = next(file for file in manifest.files if file.kind == "manifest")
    origin = manifest.origins[described.origin]
    with pool(1) as threads:
        fetching = Fetching(repository.key, threads, 1)
        data = fetch_bytes(fetching, repository.store_of(origin), origin, described)
    parts = Manifest.from_bytes(data, described.path).parts
    history = History.from_json(
        {part: parts[part] for part in ("databases", "eras", "snapshots", "catalogs")}
    )
    info = next((info for info in history.databases.values() if info.name == name), None)
    if info is None or _has_log(manifest):
        return list(manifest.files)
    needed = _page_files(parts["covers"], _eras(history, info.eras))
    return [file for file in manifest.files if file.kind != "page" or file.path in needed]


def _has_log(manifest: BackupManifest) -> bool:
    """Whether more follows on the checkpoint than its own record: restores and merges may then lead anywhere."""
    return sum(file.raw_bytes - SEGMENT_HEADER_BYTES for file in manifest.files if file.kind == "wal") > 512


def _eras(history: History, eras: Iterable[EraId]) -> set[EraId]:
    """These, and all that their lineages run through."""
    found, todo = set[EraId](), list(eras)
    while todo:
        era = todo.pop()
        if era not in found and era in history.eras:
            found.add(era)
            bases = [history.eras[era].base, *history.eras[era].table_bases.values()]
            todo += [each for base in bases for each, _ in base]
    return found


def _page_files(covers: Mapping[str, Any], eras: set[EraId]) -> set[str]:
    """Paths of the page files of covers of these eras, with their index runs."""
    parts: list[Any] = []
    for table in covers.get("tables", {}).values():
        parts += [cover for era, cover in table["eras"].items() if int(era) in eras]
        parts += [image for image in table["images"] if _runs_through(image[0], eras)]
        parts += [reverse for reverse in table["reverses"] if _runs_through(reverse[1], eras)]
    names = {found["name"] for found in page_files_in(parts)}
    indexes = [stored for file, _, _, stored in covers.get("indexes", ()) if file in names]
    names |= {found["name"] for found in page_files_in(indexes)}
    return {f"{PAGES_DIR}/{name}" for name in names}


def _runs_through(lineage: list[list[int]], eras: set[EraId]) -> bool:
    return all(era in eras for era, _ in lineage)


def keep_only(fs: FileSystem, name: str) -> None:
    """Drop all other databases of a restore that is about to be finished, and everything that only they need."""
    engine = open_engine(fs, create=False, unfinished=True)
    try:
        kept = engine.history.database(name)
        for info in list(engine.history.databases.values()):
            if info.id != kept.id:
                drop_database(engine, alter_database(engine, info, protected=False))
        # Nobody can be on the way to one of their tables, so that their eras may go at once.
        engine.dying = dict.fromkeys(engine.history.eras, -math.inf)
        with engine.maintenance:
            expire(engine)
        checkpoint(engine)
    finally:
        engine.close()
