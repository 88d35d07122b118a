"""Restore as a whole: choose a backup, bring its files back, recover them to a target, look whether all is well.

    open the archive → choose a backup, and refuse what is not possible → files, with recovery.conf → recover → check

Refusals come before anything is touched. Interrupted, the same call goes on: files that are there are not fetched
again, and a recovery that was begun is begun anew. What is restored goes on as a timeline of its own, so that it and
the instance it was taken from never write the same log. Called by absdb.restore and cli/.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qsl, urlencode

from absdb.backup.codec.key import Key
from absdb.backup.meter import Report
from absdb.backup.one_database import check_database, keep_only
from absdb.backup.recovery.choose import Choice, choose
from absdb.backup.recovery.conf import IMMEDIATE, TARGETS, RecoveryConf, read_value
from absdb.backup.recovery.plan import Archive
from absdb.backup.recovery.recover import Opening, open_archive, read_conf, replay
from absdb.backup.recovery.report import Recovered
from absdb.backup.recovery.restored import Restored
from absdb.backup.repository import Repository, open_backup, split_label
from absdb.backup.restore_files import RestoredFiles, restore_files
from absdb.backup.told_url import check_told
from absdb.clock import Clock, parse_time
from absdb.engine.check import check as check_engine
from absdb.engine.location import file_system
from absdb.engine.recovery import open_engine
from absdb.errors import InvalidInputError, NotFoundError
from absdb.ids import Lsn
from absdb.io.base import FileSystem, write_atomic
from absdb.objectstore.location import parse_location
from absdb.paths import RECOVERY_CONF
from absdb.sql.duck.expressions import SqlEvaluator

LATEST = "latest"
OPEN_OPTIONS = ("region", "endpoint", "path_style")
"""Options of stores that are no secrets, and may be written into recovery.conf."""


def restore(
    url: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    label: str | None = None,
    database: str | None = None,
    target_time: dt.datetime | str | None = None,
    target_lsn: int | str | None = None,
    target_name: str | None = None,
    target: str | None = None,
    target_timeline: int | str = LATEST,
    inclusive: bool = True,
    action: str = "promote",
    archive_url: str | os.PathLike[str] | None = None,
    in_place: bool = False,
    dry_run: bool = False,
    check: bool = False,
    key: Key | None = None,
    jobs: int | None = None,
    progress: Report = None,
    store_options: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
) -> Restored:
    """Bring an instance back from the backups at `url` into the directory `path`; see `absdb.restore` for what is what.

    InvalidInputError for a target that cannot be reached, with what is possible; nothing is touched then.
    """
    conf = RecoveryConf(
        recovery_target=_without_latest(target),
        recovery_target_time=None if target_time is None else parse_time(target_time),
        recovery_target_lsn=None if target_lsn is None else int(Lsn.parse(target_lsn)),
        recovery_target_name=target_name or "",
        recovery_target_inclusive=inclusive,
        recovery_target_timeline=read_value("recovery_target_timeline", str(target_timeline)),
        recovery_target_action=read_value("recovery_target_action", action),
    )
    if database is not None and action != "promote":
        raise InvalidInputError(
            f"a single database is restored with action 'promote', not {action!r}",
            hint="restore all of it, and look",
        )
    began = time.perf_counter()
    base, label = split_label(url, label)
    repository, newest = open_backup(base, label, key=key, options=store_options)
    with ExitStack() as stack:
        stack.enter_context(repository)
        named = label is not None or repository.given != os.fspath(base)
        where = _archive_of(repository, newest, archive_url, store_options)
        archive = None
        # What was said of the backups' store holds for an archive beside them; its URL has it from here on.
        opening = Opening(progress=progress, key=key, clock=clock)
        if where:
            archive = _opened(where, opening)
            stack.callback(archive.reader.store.close)
        elif target is None and not has_target(conf):
            conf = dataclasses.replace(conf, recovery_target=IMMEDIATE)
        choice = choose(repository, newest if named else None, conf, archive)
        if database is not None and conf.recovery_target == IMMEDIATE:
            check_database(choice.backup, database)
        conf = dataclasses.replace(conf, archive_url=where, backup_end_lsn=choice.backup.end_lsn)
        if dry_run:
            return _result(choice, conf, path, began, dry_run=True)
        ending = _Ending(conf, opening, database)
        files = restore_files(
            repository.given,
            path,
            label=choice.backup.label,
            in_place=in_place,
            key=key,
            jobs=jobs,
            progress=progress,
            store_options=store_options,
            finish=ending.finish,
        )
    fs = file_system(path)
    problems = _problems(fs) if check and ending.recovered is not None else None
    return _result(choice, conf, fs.root, began, files=files, recovered=ending.recovered, problems=problems)


def has_target(conf: RecoveryConf) -> bool:
    """Whether a recovery is to stop anywhere before the end of the log."""
    return any(getattr(conf, name) not in ("", None) for name in TARGETS)


class _Ending:
    """What is done with the files of a backup once they are there, before the directory counts as an instance.

    So the same restore goes on, however far it has come.
    """

    def __init__(self, conf: RecoveryConf, opening: Opening, database: str | None) -> None:
        self._conf = conf
        self._opening = opening
        self._database = database
        self.recovered: Recovered | None = None

    def finish(self, fs: FileSystem) -> None:
        """Write recovery.conf, and recover unless connect() is to do it. Other databases go if one is to be alone."""
        write_atomic(fs, RECOVERY_CONF, self._conf.render().encode())
        if self._conf.recovery_target_action == "promote":
            self.recovered = replay(fs, *read_conf(fs), self._opening).end()
        if self._database is not None:
            keep_only(fs, self._database)


def _without_latest(target: str | None) -> str:
    if target not in (None, LATEST, IMMEDIATE):
        raise InvalidInputError(
            f"target is {target!r}, not {LATEST} or {IMMEDIATE}",
            hint="name a time, an LSN or a name with target_time, target_lsn or target_name",
        )
    return IMMEDIATE if target == IMMEDIATE else ""


def _archive_of(
    repository: Repository,
    label: str,
    given: str | os.PathLike[str] | None,
    store_options: Mapping[str, Any] | None,
) -> str:
    """The URL of the archive, "" for none, with the options of the backups' store where it is one of that kind."""
    url = repository.header(label).wal_archive_target if given is None else os.fspath(given)
    if url and given is None:
        check_told(url, repository.given, store_options)
    if not url or "?" in url or "://" not in url:
        return url
    if parse_location(url).scheme != parse_location(repository.given).scheme:
        return url
    inherited = dict(parse_qsl(repository.given.partition("?")[2]))
    inherited.update({name: str(value) for name, value in (store_options or {}).items()})
    shown = {name: value for name, value in inherited.items() if name in OPEN_OPTIONS}
    return f"{url}?{urlencode(shown)}" if shown else url


def _opened(url: str, opening: Opening) -> Archive:
    try:
        return open_archive(url, opening)
    except NotFoundError as error:
        error.hint = 'name it with archive_url (--archive), or "" to restore the backup without it'
        raise


def _problems(fs: FileSystem) -> tuple[str, ...]:
    """What `absdb check` finds to be wrong with the instance."""
    engine = open_engine(fs, evaluator=SqlEvaluator(), read_only=True)
    try:
        found = check_engine(engine)
        return tuple(f"{each.where}: {each.problem}" for each in found if each.severity == "error")
    finally:
        engine.close()


def _result(
    choice: Choice,
    conf: RecoveryConf,
    path: str | os.PathLike[str],
    began: float,
    *,
    dry_run: bool = False,
    files: RestoredFiles | None = None,
    recovered: Recovered | None = None,
    problems: tuple[str, ...] | None = None,
) -> Restored:
    backup = choice.backup
    return Restored(
        path=os.fspath(path),
        url=files.url if files is not None else "",
        label=backup.label,
        backup_lsn=Lsn(backup.end_lsn),
        target=conf.described(),
        archive=conf.archive_url,
        action=conf.recovery_target_action,
        possible=choice.plan.possible,
        recovered=recovered,
        files=backup.files if files is None else files.files,
        size=backup.raw_bytes if files is None else files.raw_bytes,
        fetched_bytes=0 if files is None else files.fetched_bytes,
        seconds=time.perf_counter() - began,
        dry_run=dry_run,
        problems=problems,
    )
