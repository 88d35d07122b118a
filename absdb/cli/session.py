"""Opening the instance a command works on: which one it is, for reading or writing, and what is asked of it.

Commands that read open it with `read_only`, so that they work beside a writer and never wait for it. Listings
come as Arrow tables from the rooms below, since pandas alone would take longer to import than most commands run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from absdb.backup.archive.start import keep_archive
from absdb.catalog.history import DatabaseInfo
from absdb.cli.command import INSTANCE_VARIABLE, Call, When
from absdb.database import Database
from absdb.engine.creation import FIRST_DATABASE
from absdb.engine.engine import Engine
from absdb.engine.location import MEMORY, file_system
from absdb.engine.recovery import open_engine
from absdb.errors import LockedError, NotFoundError
from absdb.instance import Instance
from absdb.paths import CONTROL, RECOVERY_CONF
from absdb.sql.duck.expressions import SqlEvaluator
from absdb.versioning.as_of import Point, resolve
from absdb.versioning.scope import HeadScope, PastScope, Scope


@dataclass(frozen=True, slots=True)
class Session:
    """An open instance, and the engine under it."""

    engine: Engine
    instance: Instance

    def scope(self, database: str, when: When | None = None) -> Scope:
        """A database as it is, or was at a point."""
        info = self._info(database)
        if when:
            return PastScope(self.engine, resolve(self.engine, info, **when.named))
        return HeadScope(self.engine, info)

    def _info(self, name: str) -> DatabaseInfo:
        """The database of that name. The default one is missing where another was restored alone."""
        try:
            return self.engine.history.database(name)
        except NotFoundError as error:
            if name == FIRST_DATABASE:
                names = sorted(info.name for info in self.engine.history.databases.values())
                error.hint = (
                    f"name the one you mean, as in --database {names[0]}; there are {', '.join(names)}"
                )
            raise

    def database(self, name: str, when: When | None = None) -> Database:
        """The same, as users hold it."""
        return Database(self.scope(name, when))

    def point(self, name: str, when: When | None = None) -> Point:
        """The same, as verbs take it."""
        return self.scope(name, when).point()


@contextmanager
def opened(
    call: Call,
    *,
    write: bool = False,
    author: str | None = None,
    settings: Mapping[str, Any] | None = None,
    stays_open: bool = False,
) -> Iterator[Session]:
    """The instance of this call; LockedError if it is to be written and another process does.

    With `stays_open` backups are made as they are scheduled; a command that is soon over would only begin them.
    """
    path = locate(call)
    fs, arguments = file_system(path), {**(settings or {}), "author": author}
    if fs.exists(RECOVERY_CONF):
        from absdb.backup.recovery.opening import end_first, look

        if write:
            end_first(fs, arguments)
        elif (paused := look(fs, arguments)) is not None:
            with Instance(paused.engine, paused.report, paused) as instance:
                yield Session(paused.engine, instance)
            return
    try:
        engine = open_engine(
            fs,
            arguments=arguments,
            evaluator=SqlEvaluator(),
            read_only=not write,
            create=False,
            upkeep=write,
        )
    except NotFoundError as error:
        raise NotFoundError(error.message, hint=f"`absdb init {path}` makes one") from error
    except LockedError as error:
        error.hint = "try again when that process has closed it; commands that only read work meanwhile"
        raise
    keep_archive(engine)
    if stays_open:
        from absdb.backup.schedule import keep_schedule

        keep_schedule(engine)
    with Instance(engine) as instance:
        yield Session(engine, instance)


def locate(call: Call) -> str:
    """The directory of the instance: the option, the environment, or the current directory if it is one."""
    path = call.instance or os.environ.get(INSTANCE_VARIABLE, "")
    if path == MEMORY:
        raise click.UsageError("an instance in memory ends with its process; pass a directory")
    if path:
        return path
    here = os.getcwd()
    if not is_instance(here):
        raise click.UsageError(
            f"no instance was named, and the current directory is none: {here} has no file {CONTROL!r}.\n"
            f"Pass --instance PATH, set {INSTANCE_VARIABLE}, or make one with `absdb init PATH`."
        )
    return here


def is_instance(path: str) -> bool:
    """Whether there is an instance in the directory."""
    return file_system(path).exists(CONTROL)
