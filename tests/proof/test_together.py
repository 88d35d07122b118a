"""Many workloads by chance at once, each on databases of its own in one instance, each with a model of its own.

What one does must never show in another one's databases: not in rows, nor in definitions, nor as a conflict.
Beside them checkpoints and upkeep run, the commit log is read, and readers in the role of other processes
follow. In the end, and once more after opening again, every workload finds what its model says.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from absdb.clock import ManualClock
from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import maintain
from absdb.engine.engine import Engine
from absdb.engine.recovery import open_engine, refresh
from absdb.errors import AbsdbError
from absdb.ids import DatabaseId
from absdb.io.local import LocalFileSystem
from absdb.testing.model import Model, ModelDatabase, ModelEra, state_of
from absdb.testing.tuning import tuned
from absdb.testing.workload import Workload
from absdb.testing.workload_checks import any_point, check_state, reader_at
from absdb.versioning.as_of import resolve
from absdb.versioning.branch import create_database

SEED = int(os.environ.get("ABSDB_SEED", "0")) or 2026


class Tenant(Workload):
    """A workload that knows only the databases it has made itself."""

    ACTIONS: Mapping[str, int] = {
        name: often
        for name, often in Workload.ACTIONS.items()
        if name not in ("rename", "checkpoint", "maintain", "reopen", "look_from_outside")
    }

    def __init__(self, engine: Engine, number: int, clock: ManualClock) -> None:
        self.told: list[str] = []
        self.tell = self.told.append
        self.acknowledged = lambda number: None
        self.clock, self.engine = clock, engine
        self.numbers = iter(range(1 << 40))  # type: ignore[assignment]
        self.sessions, self.scans, self.versions = [], [], []
        self.horizon, self.under_way, self.follower = 0, None, None
        self.names = [f"tenant-{number}-{branch}" for branch in range(3)]
        info = create_database(engine, self.names[0])
        era = ModelEra(info.created_lsn, ())
        self.model = Model({info.name: ModelDatabase(info.id, info.name, (era,))})

    def drop(self, chance: random.Random) -> None:
        if len(self.model.databases) > 1:
            super().drop(chance)

    def compact(self, chance: random.Random) -> None:
        with self.engine.maintenance:
            super().compact(chance)

    def check(self, chance: random.Random | None = None, *, points: int = 2) -> None:
        chance = chance or random.Random(0)
        for database in self.model.databases.values():
            info = self.engine.history.databases[DatabaseId(database.ident)]
            check_state(self.engine, resolve(self.engine, info), database.head, chance)
            for _ in range(points):
                point, line, _ = any_point(self.engine, self.model, database, info, chance, horizon=0)
                check_state(self.engine, point, state_of(line), chance)


class Crowd:
    """The threads of one run."""

    def __init__(self, root: Path, settings: dict, seed: int, tenants: int) -> None:
        self.root, self.settings, self.clock = root, settings, ManualClock(tick_us=1)
        self.engine = self.opened()
        self.tenants = [Tenant(self.engine, number, self.clock) for number in range(tenants)]
        self.dice = random.Random(seed)
        self.failure: BaseException | None = None
        self.rounds: dict[str, int] = {}

    def opened(self, *, read_only: bool = False) -> Engine:
        return open_engine(
            LocalFileSystem(self.root), arguments=self.settings, clock=self.clock, read_only=read_only
        )

    def run(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds
        works: list[Callable[[random.Random], None]] = [self.keep, self.read_log, self.follow]
        works += [tenant.play for tenant in map(Turn, self.tenants)]
        threads = [
            threading.Thread(target=self.guarded, args=(work, random.Random(self.dice.random())))
            for work in works
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 120)
            assert not thread.is_alive(), "a thread hangs"
        if self.failure is not None:
            raise self.failure

    def guarded(self, work: Callable[[random.Random], None], dice: random.Random) -> None:
        try:
            while time.monotonic() < self.end and self.failure is None:
                work(dice)
                self.rounds[work.__name__] = self.rounds.get(work.__name__, 0) + 1
        except BaseException as error:
            self.failure = self.failure or error

    def keep(self, dice: random.Random) -> None:
        dice.choice((checkpoint, maintain))(self.engine)
        time.sleep(dice.uniform(0, 0.02))

    def read_log(self, dice: random.Random) -> None:
        """LSNs and times rise, whatever is sealed into chunks meanwhile."""
        spans = [(era, 0, self.engine.published) for era in (0, *list(self.engine.history.eras))]
        entries = list(self.engine.log.entries(spans, newest_first=dice.random() < 0.5))
        for order in ([entry.lsn for entry in entries], [entry.time_us for entry in entries]):
            assert order in (sorted(set(order)), sorted(set(order), reverse=True))
        assert self.engine.log.frame_columns(spans).num_rows >= len(entries)
        time.sleep(0.01)

    def follow(self, dice: random.Random) -> None:
        """A reader of its own sees whole states: as many rows as it counts, keys that rise."""
        reader = self.opened(read_only=True)
        try:
            for _ in range(3):
                refresh(reader)
                for info in list(reader.history.databases.values()):
                    point = resolve(reader, info)
                    for name in [t.name for t in reader.history.catalog_at(point.lineage).tables.values()]:
                        table = reader_at(reader, point, name)
                        assert table.to_table().num_rows == table.count()
        finally:
            reader.close()


class Turn:
    """A tenant's thread."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant

    def play(self, dice: random.Random) -> None:
        try:
            self.tenant.step(dice)
            if dice.random() < 0.1:
                self.tenant.check(dice)
        except (AbsdbError, AssertionError) as error:
            error.add_note("\n".join(self.tenant.told[-15:]))
            raise


def play_together(root: Path, seed: int, *, seconds: float, tenants: int) -> dict[str, int]:
    switching = sys.getswitchinterval()
    with tuned(random.Random(seed)) as settings:
        sys.setswitchinterval(1e-5)
        settings["history_retention"] = "30 days"
        crowd = Crowd(root, settings, seed, tenants)
        try:
            crowd.run(seconds)
            for tenant in crowd.tenants:
                tenant.check(points=5)
            crowd.engine.close()
            crowd.engine = crowd.opened()
            for tenant in crowd.tenants:
                tenant.engine = crowd.engine
                tenant.check(points=5)
        except BaseException as error:
            error.add_note(f"seed {seed}, {crowd.rounds}")
            raise
        finally:
            sys.setswitchinterval(switching)
            crowd.engine.abandon()
        return crowd.rounds


@pytest.mark.slow
def test_workloads_side_by_side_do_not_show_in_one_another(tmp_path):
    print(f"seed {SEED}: {play_together(tmp_path / 'shop', SEED, seconds=6, tenants=4)}")


@pytest.mark.deep
@pytest.mark.parametrize("number", range(12))
def test_workloads_side_by_side_for_long(tmp_path, number):
    seed = SEED + 1000 + number
    print(f"seed {seed}: {play_together(tmp_path / 'shop', seed, seconds=30, tenants=3 + number % 6)}")
