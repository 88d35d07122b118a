"""Giving way to commits: a backup beside them takes a part of the machine, and all of it while nobody commits.

Threads of a backup run at a lower priority where threads have one (Linux). And after each part of its work a thread
that saw the log grow meanwhile pauses for a multiple of the time that the part took. On two cores a thread that
committed all the time kept 0.2 to 0.4 of its commits beside a backup of 5 M rows without this, and 0.8 to 0.9 with it,
where the backup took two to three times as long. Commits of another process are not seen: only the priority helps them.

Called by create.py.
"""

from __future__ import annotations

import os
import sys
import threading
from time import monotonic, sleep
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

NICE = 10
PAUSE_PER_WORK = 4.0
PAUSE_S_MAX = 0.25


def give_way() -> None:
    """Lower the priority of the calling thread. Does nothing where priorities are those of processes."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class Pace:
    """How fast the threads of one backup may go, given what is committed to its instance."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._local = threading.local()

    def begin(self) -> None:
        """This thread begins its work now."""
        self._local.since, self._local.lsn = monotonic(), self._engine.published

    def rest(self) -> None:
        """A part is done: pause if something was committed since the last one."""
        if self._engine.published != self._local.lsn:
            took = monotonic() - self._local.since
            sleep(min(PAUSE_S_MAX, took * PAUSE_PER_WORK))
        self.begin()
