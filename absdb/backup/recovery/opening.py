"""Opening a directory that has a recovery.conf: it is recovered first, and then opened, shown paused, or left alone.

    promote     the recovery is ended, and the instance opened for writing
    pause       it stays open for reading at its target; `AtTarget.end` ends the recovery. Closed, it begins again when
                it is opened next, up to what recovery.conf says then
    shutdown    StateError says what was reached; recovery.conf stays, so that the next opening stops again

Called by instance.py and cli/, only where there is a recovery.conf.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from absdb.backup.recovery.recover import AtTarget, Opening, clean_up, is_ended, read_conf, replay
from absdb.backup.recovery.report import Recovered
from absdb.clock import Clock
from absdb.engine.creation import check_restored
from absdb.engine.location import file_system
from absdb.errors import NotFoundError, StateError
from absdb.io.base import FileSystem
from absdb.paths import CONTROL, LOCK, RECOVERY_CONF

LOG = logging.getLogger("absdb")


def recover_first(
    fs: FileSystem, *, arguments: dict[str, Any], clock: Clock | None, read_only: bool = False
) -> AtTarget | Recovered | None:
    """Do what recovery.conf says. AtTarget if it has paused, else what was done, None if it was over already.

    StateError for a reader, who would have to write, after action shutdown, and where the restore is not finished.
    """
    if read_only:
        raise StateError(
            f"{fs.root} waits for its recovery, as {RECOVERY_CONF} says",
            hint="connect without read_only=True: that recovers it first",
        )
    check_restored(fs)
    opening = Opening(arguments=arguments, clock=clock, progress=is_watched() or None)
    conf, mark = read_conf(fs)
    if is_ended(fs, mark):
        _alone(fs, lambda: clean_up(fs))
        return None
    at_target = replay(fs, conf, mark, opening)
    if conf.recovery_target_action == "promote":
        ended = at_target.end()
        LOG.warning("%s: %s", fs.root, ended)
        return ended
    LOG.warning("%s: %s", fs.root, at_target.report)
    if conf.recovery_target_action == "pause":
        return at_target
    at_target.engine.abandon()
    raise StateError(
        f"{fs.root}: the recovery has reached LSN {at_target.report.lsn} and stops there, as {RECOVERY_CONF} says",
        hint="`absdb promote DIR` ends it there; with recovery_target_action = pause it opens for reading",
        lsn=at_target.report.lsn,
    )


def end_first(fs: FileSystem, arguments: dict[str, Any]) -> None:
    """The same for who can do nothing with a paused instance: StateError then, too."""
    found = recover_first(fs, arguments=arguments, clock=None)
    if isinstance(found, AtTarget):
        found.engine.abandon()
        raise StateError(
            f"{fs.root}: the recovery pauses at LSN {found.report.lsn}, as {RECOVERY_CONF} says, and cannot be written",
            hint="`absdb promote DIR` ends it there; absdb.connect(path) opens it for reading",
        )


def look(fs: FileSystem, arguments: dict[str, Any]) -> AtTarget | None:
    """The state at the target, to be read, where recovery.conf says pause; None where it says anything else.

    Nothing in the directory changes. LockedError if another process looks or recovers.
    """
    conf, mark = read_conf(fs)
    if conf.recovery_target_action != "pause" or is_ended(fs, mark):
        return None
    return replay(fs, conf, mark, Opening(arguments=arguments, progress=is_watched() or None))


def promote(path: str | os.PathLike[str], opening: Opening) -> Recovered:
    """End the recovery of a directory at its target, whatever action recovery.conf names.

    NotFoundError where nothing waits for a recovery; LockedError where a process has it open.
    """
    fs = file_system(path)
    if not fs.exists(RECOVERY_CONF) or not fs.exists(CONTROL):
        raise NotFoundError(
            f"nothing in {fs.root} waits for a recovery: it has no {RECOVERY_CONF}",
            hint="`absdb restore --target-action pause` makes a directory that does",
        )
    conf, mark = read_conf(fs)
    if is_ended(fs, mark):
        _alone(fs, lambda: clean_up(fs))
        raise StateError(f"the recovery of {fs.root} was ended before", hint="open it with absdb.connect()")
    return replay(fs, conf, mark, opening).end()


def is_watched() -> bool:
    """Whether somebody would see a bar: at a terminal, or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _alone(fs: FileSystem, work: Callable[[], None]) -> None:
    """Do something with the writer's lock, if it is still to be done then."""
    lock = fs.lock(LOCK, {"since": "recovering"})
    try:
        if fs.exists(RECOVERY_CONF):
            work()
    finally:
        lock.release()
