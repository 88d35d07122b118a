"""A database of a backup as a branch of a running instance, from the URL of the backup on.

What is needed of the backup is restored into a directory of its own within the instance, opened there for reading, and
attached (branch.py). The directory goes afterwards; what a crash has left of one goes at the next call. Called by the
facade.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from absdb.backup.branch import attach_branch
from absdb.backup.codec.key import Key
from absdb.backup.info import BackupInfo
from absdb.backup.listing import facts_of
from absdb.backup.meter import Report
from absdb.backup.repository import open_backup
from absdb.backup.restore_files import restore_files
from absdb.catalog.history import DatabaseInfo
from absdb.engine.creation import FIRST_DATABASE
from absdb.engine.engine import Engine
from absdb.engine.location import MEMORY, file_system
from absdb.engine.recovery import open_engine
from absdb.errors import AlreadyExistsError, InvalidInputError, StateError
from absdb.io.aside import aside
from absdb.io.base import FileSystem
from absdb.io.local import LocalFileSystem
from absdb.io.scratch import temporary_directory
from absdb.paths import CONTROL, RECOVERY_CONF, SCRATCH_DIR, check_name
from absdb.progress import reporting


def restore_branch(
    engine: Engine,
    url: str | os.PathLike[str],
    label: str | None = None,
    *,
    database: str | None = None,
    name: str | None = None,
    key: Key | None = None,
    jobs: int | None = None,
    progress: Report = None,
    store_options: Mapping[str, Any] | None = None,
) -> DatabaseInfo:
    """Make a database of a backup, `main` if it is not said which, a database `name` of this instance.

    Without `label` it is the newest backup, without `name` that of the database if it is free, else the database's and
    the label. `url` may also be the directory of an instance, such as one that was recovered; then nothing is fetched.
    Costs fetching what the database needs, room for it beside the instance, and what `attach_branch` does.
    """
    engine.check_writable()
    if label is None and (directory := _instance_in(url)) is not None:
        return _of_directory(engine, directory, database, name, progress)
    repository, label = open_backup(url, label, key=key, options=store_options)
    with repository:
        found, url = facts_of(repository, label), repository.given
    database = _database(found, database)
    name = _name(engine, found, database) if name is None else _free(engine, name)
    with _place(engine) as path:
        restore_files(
            url,
            path,
            label=label,
            database=database,
            key=key,
            jobs=jobs,
            progress=progress,
            store_options=store_options,
        )
        return _attached(engine, LocalFileSystem(path), database, name, progress)


def _attached(engine: Engine, fs: FileSystem, database: str, name: str, progress: Report) -> DatabaseInfo:
    backup = open_engine(fs, read_only=True, create=False, clock=engine.clock)
    try:
        with reporting(progress is True, f"attach {name}") as report:
            return attach_branch(engine, backup, database, name, progress=report)
    finally:
        backup.close()


def _instance_in(url: str | os.PathLike[str]) -> FileSystem | None:
    """The files of the instance that the URL is the directory of; None if it is none."""
    if "://" in os.fspath(url):
        return None
    fs = file_system(url)
    return fs if fs.exists(CONTROL) else None


def _of_directory(
    engine: Engine, fs: FileSystem, database: str | None, name: str | None, progress: Report
) -> DatabaseInfo:
    """The same of an instance that was restored already."""
    if fs.exists(RECOVERY_CONF):
        raise StateError(
            f"{fs.root} waits for its recovery, as {RECOVERY_CONF} says",
            hint="`absdb promote DIR` ends that; then it can be taken from",
        )
    database = FIRST_DATABASE if database is None else database
    return _attached(engine, fs, database, _free(engine, database if name is None else name), progress)


def _place(engine: Engine) -> AbstractContextManager[str]:
    """Where it is restored: on the disk of the instance, or in the system's place if it has none."""
    root = engine.fs.root
    return temporary_directory() if root == MEMORY else aside(f"{root}/{SCRATCH_DIR}")


def _database(found: BackupInfo, database: str | None) -> str:
    if database is not None:
        return database
    if len(found.databases) == 1:
        return found.databases[0]
    if found.databases and FIRST_DATABASE not in found.databases:
        raise InvalidInputError(
            f"the backup {found.label!r} has several databases",
            hint=f"say which one: {', '.join(found.databases)}",
        )
    return FIRST_DATABASE


def _name(engine: Engine, found: BackupInfo, database: str) -> str:
    taken = {info.name for info in engine.history.databases.values()}
    return database if database not in taken else _free(engine, f"{database}-{found.label}")


def _free(engine: Engine, name: str) -> str:
    name = check_name("database", name)
    if any(info.name == name for info in engine.history.databases.values()):
        raise AlreadyExistsError(
            f"there is a database {name!r} already", hint="drop it, or take another name"
        )
    return name
