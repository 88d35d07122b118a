"""Plays an engine by chance, beside a model that says what must come of it.

    play, chance = Workload(fs), random.Random(7)
    for _ in range(100):
        play.step(chance)        # some action: commits, branches, restores, checkpoints, …
    play.check(chance)           # heads, and some earlier points of every database

Actions are methods that take a source of chance, so that tests (a hypothesis state machine, say) can choose
them one by one. After each action that is durable `versions` has the model as it is from then on, and
`acknowledged` is called with its number: whoever recovers later must find the last one acknowledged, or the one
after it if that was under way. `tell` hears what is done, in words.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import compact_table, maintain, merge_cover
from absdb.engine.engine import Engine
from absdb.engine.recovery import open_engine, refresh
from absdb.errors import StateError, WriteConflictError
from absdb.io.base import FileSystem
from absdb.testing.model import Model, ModelTransaction, Verdict, state_of
from absdb.testing.workload_blame import check_blame
from absdb.testing.workload_checks import check_heads, check_instance, fails, reader_at
from absdb.testing.workload_databases import DatabaseActions
from absdb.testing.workload_diff import check_diff
from absdb.testing.workload_rows import Session, check_table, play_rows
from absdb.testing.workload_schema import play_schema

SAVEPOINT_NAMES = ("x", "y")
SESSIONS_MAX = 3


class Workload(DatabaseActions):
    """An engine and its model, and everything that can be done to both."""

    def reopen(self, chance: random.Random) -> None:
        """Close, with open transactions or without, and open again."""
        self.tell("close and reopen")
        if chance.random() < 0.5:
            self.stop_following()
        self.engine.close()
        self.open(self.fs)

    def crash(self, after: Callable[[], FileSystem]) -> None:
        """Let go without a word, and open what `after` says the crash left of the disk."""
        self.tell("crash and reopen")
        self.stop_following()
        self.engine.abandon()
        self.open(after())

    def look_from_outside(self, chance: random.Random) -> None:
        """A reader in another process sees what is published, follows, or goes."""
        if self.follower is None:
            self.follower = open_engine(self.fs, arguments=self.settings, clock=self.clock, read_only=True)
        refresh(self.follower)
        check_instance(self.follower, self.model, chance, points=1, horizon=self.horizon)
        self.tell(f"look from outside at {self.follower.published}")
        if chance.random() < 0.3:
            self.stop_following()

    def checkpoint(self, chance: random.Random) -> None:
        lsn = checkpoint(self.engine)
        self.tell(f"checkpoint at {lsn}")

    def maintain(self, chance: random.Random) -> None:
        kept_us = int(self.engine.settings.history_retention * 1_000_000)
        horizon = self.engine.log.lsn_at_time(self.clock.now_us() - kept_us)
        self.horizon = max(self.horizon, horizon)
        self.tell(f"maintain: {maintain(self.engine)} done, horizon {self.horizon}")

    def compact(self, chance: random.Random) -> None:
        """Make an image of one table, or merge the runs of one cover."""
        database, info = self.database(chance)
        tables = sorted(database.head)
        if not tables or chance.random() < 0.2:
            covers = list(self.engine.covers.eras.values())
            if covers:
                self.tell(f"merge: {merge_cover(self.engine, chance.choice(covers))} times")
            return
        name = chance.choice(tables)
        schema = self.engine.history.catalog_at(self.engine.head(info.id)[1]).table(name)
        self.tell(f"compact {database.name}.{name}: {compact_table(self.engine, info.id, schema)}")

    def move_clock(self, chance: random.Random) -> None:
        """Forwards, or backwards, as clocks of machines do."""
        self.clock.advance(seconds=chance.choice((0.000001, 1, 60, -1, -3600)))

    # ---------------------------------------------------------------- transactions

    def _begin(self, chance: random.Random) -> Session:
        database, info = self.database(chance)
        tx = self.engine.begin(info.id, message=f"m{chance.randint(0, 9)}")
        return Session(tx, ModelTransaction(database, self.engine.published), self.numbers)

    def commit(self, chance: random.Random) -> None:
        """A whole transaction at once."""
        session = self._begin(chance)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            self._verb(session, chance)
        self._commit(session)

    def begin(self, chance: random.Random) -> None:
        """A transaction that stays open."""
        if len(self.sessions) < SESSIONS_MAX:
            session = self._begin(chance)
            self.sessions.append(session)
            self.tell(f"begin {self._name(session)}")
            self._verb(session, chance)

    def work(self, chance: random.Random) -> None:
        """Something in an open transaction."""
        if not self.sessions:
            return self.begin(chance)
        session = chance.choice(self.sessions)
        action = chance.choice(("verb", "verb", "savepoint", "rollback", "rollback", "release"))
        names = session.model.savepoints
        if action == "verb" or (action != "savepoint" and not names):
            self._verb(session, chance)
            return None
        name = chance.choice(SAVEPOINT_NAMES if action == "savepoint" else names)
        if action == "savepoint":
            session.tx.savepoint(name)
            session.model.savepoint(name)
        elif action == "rollback":
            session.tx.rollback_to(name)
            session.model.rollback_to(name)
        else:
            session.tx.release(name)
            session.model.release(name)
        self.tell(f"{self._name(session)}: {action} {name}")
        names_now = {table.name for table in session.tx.catalog.tables.values()}
        assert names_now == set(session.model.state), (names_now, set(session.model.state))
        for table in list(session.model.state.values()):
            session.check(table.ident, chance)
        return None

    def end(self, chance: random.Random) -> None:
        """Commit or roll back an open transaction."""
        if self.sessions:
            session = self.sessions.pop(chance.randrange(len(self.sessions)))
            if chance.random() < 0.2:
                session.tx.rollback()
                self.tell(f"roll back {self._name(session)}")
            else:
                self._commit(session)

    def _verb(self, session: Session, chance: random.Random) -> None:
        rows = session.model.state and chance.random() < 0.7
        told = play_rows(session, chance) if rows else play_schema(session, chance)
        self.tell(f"{self._name(session)}: {told}")

    def _name(self, session: Session) -> str:
        return f"tx {id(session.tx) % 1000} of {session.model.database}"

    def _commit(self, session: Session) -> None:
        database = self.databases().get(session.model.database)
        if database is None:
            fails(session.tx.commit, StateError, or_nothing=True)
            return
        verdict, model = session.model.verdict(database), self.model

        def outcome(engine: Engine, lsn: int) -> Model:
            merged = session.model.merged(database.head)
            changed = database.committed(lsn, merged, session.model.change(lsn))
            return model.with_database(changed).logged(lsn, "commit", session.tx.message, database.ident)

        try:
            lsn = self.attempt(session.tx.commit, outcome)
        except WriteConflictError:
            if verdict is Verdict.FINE:
                raise
            self.tell(f"{self._name(session)}: conflict")
            return
        if lsn is None:
            assert not session.model.changed(), session.model.changed()
            assert not session.model.redefined()
            return
        assert verdict is not Verdict.CONFLICT, "a conflict went unseen"
        self.tell(f"{self._name(session)}: commit {int(lsn)}")

    # ---------------------------------------------------------------- looking

    def scan(self, chance: random.Random) -> None:
        """Begin to read a table and stop in the middle, or go on with that."""
        if self.scans and chance.random() < 0.6:
            point, batches, expected, table = self.scans.pop(chance.randrange(len(self.scans)))
            found = [row for batch in batches for row in batch.to_pylist()]
            assert found == expected[len(expected) - len(found) :], "a scan saw something else"
            check_table(reader_at(self.engine, point, table.name), table, chance)
            self.engine.pins.leave(point)
            self.tell("finish a scan")
            return
        point, line, kept = self.point(chance)
        state = state_of(line)
        if state and kept:
            table = state[chance.choice(sorted(state))]
            self.engine.pins.enter(point)
            batches, expected = reader_at(self.engine, point, table.name).scan(), table.listed()
            first = next(batches, None)
            if first is not None:
                assert first.to_pylist() == expected[: first.num_rows]
                self.scans.append((point, batches, expected[first.num_rows :], table))
                self.tell(f"begin a scan of {point.database.name}.{table.name} at {point.lsn}")
            else:
                self.engine.pins.leave(point)

    def diff(self, chance: random.Random) -> None:
        """What tells two points apart, of one database or of two."""
        source, old, source_kept = self.point(chance)
        target, new, target_kept = self.point(chance)
        if source_kept and target_kept:
            check_diff(self.engine, source, state_of(old), target, state_of(new))
            self.tell(f"diff {source.database.name} {source.lsn}, {target.database.name} {target.lsn}")

    def blame(self, chance: random.Random) -> None:
        """Who wrote the rows of a table, at a point."""
        point, line, kept = self.point(chance)
        state = state_of(line)
        if state and kept:
            table = state[chance.choice(sorted(state))]
            check_blame(self.engine, reader_at(self.engine, point, table.name), table, chance)
            self.tell(f"blame {point.database.name}.{table.name} at {point.lsn}")

    def check_heads(self, chance: random.Random) -> None:
        """The newest states only."""
        check_heads(self.engine, self.model, chance)

    def check(self, chance: random.Random | None = None, *, points: int = 3) -> None:
        """Heads, the commit log, and some earlier points of every database."""
        chance = chance or random.Random(0)
        check_instance(self.engine, self.model, chance, points=points, horizon=self.horizon)

    ACTIONS: Mapping[str, int] = {
        "commit": 30,
        "begin": 4,
        "work": 10,
        "end": 6,
        "branch": 4,
        "drop": 1,
        "rename": 1,
        "snapshot": 3,
        "restore": 4,
        "checkpoint": 4,
        "maintain": 2,
        "compact": 4,
        "scan": 4,
        "diff": 6,
        "blame": 4,
        "look_from_outside": 3,
        "move_clock": 3,
        "reopen": 1,
    }
    """What `step` does, and how often."""

    def step(self, chance: random.Random) -> None:
        """One action by chance."""
        self.under_way = None
        action = chance.choices(list(self.ACTIONS), list(self.ACTIONS.values()))[0]
        getattr(self, action)(chance)
