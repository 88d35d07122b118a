"""The cuts of runs that are kept: what a run says as of an LSN inside it, so that it is worked out once.

    (run, lsn) → section        least recently used first; together of CUT_BYTES_MAX bytes, whatever the runs

A cut holds copies of the pages that have later rows, and shares the others with its run. Those of runs that are
no more go when the next cut is kept. One cache serves all runs of the process. Called by pages/run.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict, deque
from itertools import count
from typing import Any

from absdb.pages.section import Section

CUT_BYTES_MAX = 128 << 20
PAGE_OVERHEAD_BYTES = 256
"""About what a section spends on a page besides its rows."""


class CutCache:
    """Bounds what cuts of all runs hold in memory. Safe for many threads."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes_held = 0
        self._kept: OrderedDict[tuple[int, int], tuple[Section, int]] = OrderedDict()
        self._of_run: dict[int, set[int]] = {}
        self._numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._next = count()
        # A run may die at any moment, also in a thread that holds the lock.
        self._gone: deque[int] = deque()
        self._lock = threading.Lock()

    def get(self, run: object, lsn: int) -> Section | None:
        """The cut of a run at an LSN, if it is kept."""
        with self._lock:
            number = self._numbers.get(run)
            if number is None:
                return None
            found = self._kept.get((number, lsn))
            if found is None:
                return None
            self._kept.move_to_end((number, lsn))
            return found[0]

    def put(self, run: object, lsn: int, section: Section) -> None:
        """Keep a cut, and let go of others until all fit; the newest stays, however large it is."""
        size = sum(
            PAGE_OVERHEAD_BYTES + (page.batch().nbytes if page.origin is None else 0)
            for page in section.pages
        )
        with self._lock:
            self._forget_gone()
            number = self._numbers.get(run)
            if number is None:
                number = self._numbers[run] = next(self._next)
                weakref.finalize(run, self._gone.append, number).atexit = False
            if (number, lsn) not in self._kept:
                self._kept[number, lsn] = section, size
                self._of_run.setdefault(number, set()).add(lsn)
                self.bytes_held += size
            while self.bytes_held > self.bytes_max and len(self._kept) > 1:
                self._forget(*next(iter(self._kept)))

    def _forget_gone(self) -> None:
        while self._gone:
            number = self._gone.popleft()
            for lsn in list(self._of_run.get(number, ())):
                self._forget(number, lsn)

    def _forget(self, number: int, lsn: int) -> None:
        self.bytes_held -= self._kept.pop((number, lsn))[1]
        self._of_run[number].discard(lsn)
        if not self._of_run[number]:
            del self._of_run[number]


CUTS = CutCache(CUT_BYTES_MAX)
