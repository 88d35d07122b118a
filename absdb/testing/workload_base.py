"""What playing an engine beside a model needs everywhere: both of them, what is open, points by chance.

`WorkloadBase` opens the engine and knows what is acknowledged; the actions are in its subclasses
(workload_databases.py, workload.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, TypeVar

from absdb.catalog.history import DatabaseInfo
from absdb.clock import ManualClock
from absdb.engine.engine import Engine
from absdb.engine.recovery import open_engine
from absdb.errors import HistoryExpiredError
from absdb.ids import DatabaseId, Lsn
from absdb.io.base import FileSystem
from absdb.testing.model import Line, Model, ModelDatabase, ModelEra, ModelTable
from absdb.testing.workload_checks import any_point
from absdb.testing.workload_rows import Session
from absdb.versioning.as_of import Point

T = TypeVar("T")
Outcome = Callable[[Engine, int], Model]
Scan = tuple[Point, Iterator[Any], list[dict[str, Any]], ModelTable]

TINY: Mapping[str, Any] = {
    "wal_segment_size": 4096,
    "page_rows": 16,
    "run_limit": 2,
    "bulk_threshold": 2000,
    "sequence_block": 8,
    "author": "workload",
}
DATABASE_NAMES = ("main", "dev", "test", "old")


class WorkloadBase:
    """An open engine, the model of it, and what is open on both."""

    def __init__(
        self,
        fs: FileSystem,
        *,
        settings: Mapping[str, Any] = TINY,
        acknowledged: Callable[[int], None] = lambda number: None,
        tell: Callable[[str], None] = lambda text: None,
        segments_ahead: bool = False,
        after: WorkloadBase | None = None,
        model: Model | None = None,
    ) -> None:
        """Open the instance; `after` is an earlier workload on it, and `model` what the disk holds of that."""
        self.settings = settings
        self.acknowledged = acknowledged
        self.tell = tell
        self.segments_ahead = segments_ahead
        self.clock: ManualClock = ManualClock() if after is None else after.clock
        self.numbers: count[int] = count() if after is None else after.numbers
        self.sessions: list[Session] = []
        self.scans: list[Scan] = []
        self.horizon: int = 0 if after is None else after.horizon
        """States before this LSN may have expired, unless something holds them."""
        self.under_way: Outcome | None = None
        self.follower: Engine | None = None
        self.names: Sequence[str] = DATABASE_NAMES
        self.engine: Engine
        self.open(fs)
        self.model = self._fresh() if model is None else model
        self.versions = [self.model]
        acknowledged(0)

    def _fresh(self) -> Model:
        main = self.engine.history.database("main")
        return Model({"main": ModelDatabase(main.id, "main", (ModelEra(0, ()),))})

    def open(self, fs: FileSystem) -> None:
        """Open the instance, which may have crashed. Open transactions are gone."""
        self.fs = fs
        self.sessions.clear()
        self.scans.clear()
        self.engine = open_engine(fs, arguments=self.settings, clock=self.clock)
        if not self.segments_ahead:
            # The log makes its segments where it is called, so that one seed gives one order of calls.
            ahead, self.engine.wal._ahead = self.engine.wal._ahead, None
            if ahead is not None:
                ahead.close()

    def stop_following(self) -> None:
        """Close the reader that follows the log, if there is one."""
        follower, self.follower = self.follower, None
        if follower is not None:
            follower.close()

    def abandon(self) -> None:
        """Let go of everything without writing."""
        self.stop_following()
        self.engine.abandon()

    def attempt(self, call: Callable[[], T | None], outcome: Outcome) -> T | None:
        """Do something durable, and acknowledge its outcome unless it did nothing.

        If it fails `under_way` is the outcome, given the engine and the LSN, should it have come about after all.
        """
        self.under_way = outcome
        result = call()
        self.under_way = None
        if result is not None:
            lsn = int(result) if isinstance(result, Lsn) else self.engine.log.last_lsn
            self.acknowledge(outcome(self.engine, lsn))
        return result

    def acknowledge(self, model: Model) -> None:
        self.model = model
        self.versions.append(model)
        self.acknowledged(len(self.versions) - 1)

    def databases(self) -> dict[int, ModelDatabase]:
        return {database.ident: database for database in self.model.databases.values()}

    def database(self, chance: random.Random) -> tuple[ModelDatabase, DatabaseInfo]:
        database = self.model.databases[chance.choice(sorted(self.model.databases))]
        return database, self.engine.history.databases[DatabaseId(database.ident)]

    def point(self, chance: random.Random) -> tuple[Point, Line, bool]:
        database, info = self.database(chance)
        return any_point(self.engine, self.model, database, info, chance, horizon=self.horizon)

    def unless_expired(self, kept: bool, call: Callable[[], T]) -> T | None:
        """What the call gives; None if its point has expired, which it may only have if it is not `kept`."""
        try:
            return call()
        except HistoryExpiredError:
            if kept:
                raise
            self.tell("expired")
            return None
