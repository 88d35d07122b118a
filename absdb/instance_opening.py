"""Opening what an Instance holds: an engine with all that goes on beside it, after a recovery if one is due.

Keeps what `connect` has opened in this process, for as long as somebody has it. Called by instance.py.
"""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

from absdb.backup.archive.start import keep_archive
from absdb.clock import Clock
from absdb.engine.engine import Engine
from absdb.engine.location import file_system
from absdb.engine.recovery import open_engine
from absdb.io.base import FileSystem
from absdb.paths import RECOVERY_CONF
from absdb.sql.duck.expressions import SqlEvaluator
from absdb.versioning.retention import drop_outlived

if TYPE_CHECKING:
    from absdb.backup.recovery.recover import AtTarget
    from absdb.backup.recovery.report import Recovered

_engines: WeakValueDictionary[int, Engine] = WeakValueDictionary()
_numbers = count()


class Opened(NamedTuple):
    """An engine, what a recovery before has done, and that recovery if it has paused."""

    engine: Engine
    recovery: Recovered | None
    paused: AtTarget | None


def open_path(
    path: str | os.PathLike[str],
    arguments: dict[str, Any],
    clock: Clock | None,
    *,
    read_only: bool,
    create: bool,
) -> Opened:
    """Open the instance in a directory, and recover it first where recovery.conf says so."""
    fs = file_system(path)
    done: Recovered | None = None
    if fs.exists(RECOVERY_CONF):
        from absdb.backup.recovery.opening import recover_first
        from absdb.backup.recovery.recover import AtTarget

        found = recover_first(fs, arguments=arguments, clock=clock, read_only=read_only)
        if isinstance(found, AtTarget):
            _engines[next(_numbers)] = found.engine
            return Opened(found.engine, found.report, found)
        done = found
    return Opened(open_at(fs, arguments, clock, read_only=read_only, create=create), done, None)


def open_at(
    fs: FileSystem,
    arguments: dict[str, Any],
    clock: Clock | None,
    *,
    read_only: bool = False,
    create: bool = False,
) -> Engine:
    """Open an instance that no recovery is due for."""
    engine = open_engine(
        fs,
        arguments=arguments,
        clock=clock,
        evaluator=SqlEvaluator(),
        read_only=read_only,
        create=create,
        upkeep=True,
    )
    keep_archive(engine)
    if engine.settings.backup_full_interval or engine.settings.backup_incremental_interval:
        from absdb.backup.schedule import keep_schedule

        keep_schedule(engine)
    engine.chores.append(drop_outlived)
    _engines[next(_numbers)] = engine
    return engine


def open_engines() -> list[Engine]:
    """Those that were opened here and nobody has closed, oldest first."""
    return [engine for _, engine in sorted(_engines.items()) if not engine.closed]
