"""Actions on whole databases: branches, drops, renames, snapshots, restores, on engine and model at once."""

from __future__ import annotations

import random
from dataclasses import replace

from absdb.engine.engine import Engine
from absdb.errors import AlreadyExistsError, StateError
from absdb.testing.model import Line, Model, ModelDatabase, ModelEra, state_of, with_tables
from absdb.testing.workload_base import WorkloadBase
from absdb.testing.workload_checks import fails
from absdb.versioning.branch import alter_database, create_branch, create_database, drop_database
from absdb.versioning.restore import restore
from absdb.versioning.snapshot import create_snapshot, drop_snapshot

SNAPSHOT_NAMES = ("s0", "s1", "s2")


class DatabaseActions(WorkloadBase):
    """What can be done to a database as a whole."""

    def branch(self, chance: random.Random) -> None:
        """A new database, empty or from a point of one there is."""
        names = [name for name in self.names if name not in self.model.databases]
        if not names:
            return self.drop(chance)
        name, model = chance.choice(names), self.model

        def outcome(engine: Engine, lsn: int) -> Model:
            info = engine.history.database(name)
            era = ModelEra(info.created_lsn, line)
            changed = model.with_database(ModelDatabase(info.id, name, (era,)))
            return changed.logged(info.created_lsn, kind, "", info.id)

        line: Line
        if chance.random() < 0.1:
            line, kind = (), "created"
            self.tell(f"create {name}")
            self.attempt(lambda: create_database(self.engine, name), outcome)
        else:
            point, line, kept = self.point(chance)
            kind = "branch"
            self.tell(f"branch {name} from {point.database.name} at {point.lsn}")
            self.unless_expired(
                kept, lambda: self.attempt(lambda: create_branch(self.engine, name, point), outcome)
            )
        return None

    def drop(self, chance: random.Random) -> None:
        database, info = self.database(chance)
        model = self.model
        if len(self.model.databases) == 1:
            fails(lambda: drop_database(self.engine, info), StateError)
            return
        self.tell(f"drop database {database.name}")
        self.attempt(
            lambda: drop_database(self.engine, info),
            lambda engine, lsn: model.without_database(info.id).logged(lsn, "drop", "", info.id),
        )

    def rename(self, chance: random.Random) -> None:
        database, info = self.database(chance)
        name, model = chance.choice(self.names), self.model
        if name in self.model.databases:
            fails(lambda: alter_database(self.engine, info, name=name), AlreadyExistsError)
            return
        self.tell(f"rename database {database.name} to {name}")
        renamed = model.with_database(replace(database, name=name))
        self.attempt(
            lambda: alter_database(self.engine, info, name=name),
            lambda engine, lsn: renamed.logged(lsn, "alter", "", info.id),
        )

    def snapshot(self, chance: random.Random) -> None:
        """Name a point, or drop a name."""
        name = chance.choice(SNAPSHOT_NAMES)
        point, line, kept = self.point(chance)
        info, model = point.database, self.model
        key = (int(info.id), name)
        if key not in model.snapshots:
            made = replace(model, snapshots={**model.snapshots, key: line})
            self.tell(f"snapshot {name} of {info.name}")
            self.unless_expired(
                kept,
                lambda: self.attempt(
                    lambda: create_snapshot(self.engine, name, point), lambda engine, lsn: made
                ),
            )
            return
        if kept:
            fails(lambda: create_snapshot(self.engine, name, point), AlreadyExistsError)
        others = {other: line for other, line in model.snapshots.items() if other != key}
        left = replace(model, snapshots=others)
        self.tell(f"drop snapshot {name} of {info.name}")
        self.attempt(lambda: drop_snapshot(self.engine, info.name, name), lambda engine, lsn: left)

    def restore(self, chance: random.Random) -> None:
        """The whole database, or some tables, as they were at a point."""
        point, line, kept = self.point(chance)
        database, model = self.databases()[point.database.id], self.model
        then, now = state_of(line), database.head
        names: list[str] | None = None
        if then and chance.random() < 0.6:
            names = chance.sample(sorted(then), chance.randint(1, len(then)))
            held = {name: table.ident for name, table in now.items()}
            if any(held.get(name, then[name].ident) != then[name].ident for name in names):
                fails(lambda: restore(self.engine, point, tables=names), StateError)
                return
        told = "whole" if names is None else "some"

        def outcome(engine: Engine, lsn: int) -> Model:
            if names is None:
                restored = database.restored(lsn, line)
            else:
                state = with_tables(now, {then[name].ident: then[name] for name in names})
                restored = database.restored_tables(lsn, state)
            return model.with_database(restored).logged(lsn, "restore", told, database.ident)

        self.tell(f"restore {names or 'all'} of {database.name} to {point.lsn}")
        self.unless_expired(
            kept,
            lambda: self.attempt(lambda: restore(self.engine, point, tables=names, message=told), outcome),
        )
