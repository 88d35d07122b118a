"""Actions on whole databases: branches, drops, renames, snapshots, restores, on engine and model at once."""

from __future__ import annotations

import random
from dataclasses import replace

from absdb.errors import AlreadyExistsError, StateError
from absdb.testing.model import Line, ModelDatabase, ModelEra, state_of, with_tables
from absdb.testing.workload_base import WorkloadBase
from absdb.testing.workload_checks import fails
from absdb.versioning.branch import alter_database, create_branch, create_database, drop_database
from absdb.versioning.restore import restore
from absdb.versioning.snapshot import create_snapshot, drop_snapshot

DATABASE_NAMES = ("main", "dev", "test", "old")
SNAPSHOT_NAMES = ("s0", "s1", "s2")


class DatabaseActions(WorkloadBase):
    """What can be done to a database as a whole."""

    def branch(self, chance: random.Random) -> None:
        """A new database, empty or from a point of one there is."""
        names = [name for name in DATABASE_NAMES if name not in self.model.databases]
        if not names:
            return self.drop(chance)
        name = chance.choice(names)
        if chance.random() < 0.1:
            info, kind = create_database(self.engine, name), "created"
            line: Line = ()
        else:
            point, line, kept = self.point(chance)
            made = self.unless_expired(kept, lambda: create_branch(self.engine, name, point))
            if made is None:
                return None
            info, kind = made, "branch"
        era = ModelEra(info.created_lsn, line)
        database = ModelDatabase(info.id, name, (era,))
        self.tell(f"{kind} {name} ({info.id}) at {info.created_lsn} from {line[-1][0] if line else None}")
        model = self.model.with_database(database)
        self.acknowledge(model.logged(info.created_lsn, kind, "", info.id))
        return None

    def drop(self, chance: random.Random) -> None:
        database, info = self.database(chance)
        if len(self.model.databases) == 1:
            fails(lambda: drop_database(self.engine, info), StateError)
            return
        lsn = drop_database(self.engine, info)
        self.tell(f"drop database {database.name}")
        self.acknowledge(self.model.without_database(info.id).logged(int(lsn), "drop", "", info.id))

    def rename(self, chance: random.Random) -> None:
        database, info = self.database(chance)
        name = chance.choice(DATABASE_NAMES)
        if name in self.model.databases:
            fails(lambda: alter_database(self.engine, info, name=name), AlreadyExistsError)
            return
        alter_database(self.engine, info, name=name)
        self.tell(f"rename database {database.name} to {name}")
        model = self.model.with_database(replace(database, name=name))
        self.acknowledge(model.logged(self.engine.published, "alter", "", info.id))

    def snapshot(self, chance: random.Random) -> None:
        """Name a point, or drop a name."""
        name = chance.choice(SNAPSHOT_NAMES)
        point, line, kept = self.point(chance)
        info = point.database
        key = (int(info.id), name)
        if key not in self.model.snapshots:
            if self.unless_expired(kept, lambda: create_snapshot(self.engine, name, point)) is None:
                return
            self.tell(f"snapshot {name} of {info.name}")
            self.acknowledge(replace(self.model, snapshots={**self.model.snapshots, key: line}))
            return
        fails(lambda: create_snapshot(self.engine, name, point), AlreadyExistsError)
        drop_snapshot(self.engine, info.name, name)
        others = {other: line for other, line in self.model.snapshots.items() if other != key}
        self.tell(f"drop snapshot {name} of {info.name}")
        self.acknowledge(replace(self.model, snapshots=others))

    def restore(self, chance: random.Random) -> None:
        """The whole database, or some tables, as they were at a point."""
        point, line, kept = self.point(chance)
        database = self.databases()[point.database.id]
        then, now = state_of(line), database.head
        if chance.random() < 0.4 or not then:
            done = self.unless_expired(kept, lambda: restore(self.engine, point, message="whole"))
            if done is None:
                return
            lsn = int(done)
            self.tell(f"restore {database.name} to {point.lsn}: {lsn}")
            model = self.model.with_database(database.restored(lsn, line))
            self.acknowledge(model.logged(lsn, "restore", "whole", database.ident))
            return
        names = chance.sample(sorted(then), chance.randint(1, len(then)))
        held = {name: table.ident for name, table in now.items()}
        if any(held.get(name, then[name].ident) != then[name].ident for name in names):
            fails(lambda: restore(self.engine, point, tables=names), StateError)
            return
        done = self.unless_expired(kept, lambda: restore(self.engine, point, tables=names, message="some"))
        if done is None:
            return
        lsn = int(done)
        self.tell(f"restore {', '.join(names)} of {database.name} to {point.lsn}: {lsn}")
        state = with_tables(now, {then[name].ident: then[name] for name in names})
        model = self.model.with_database(database.restored_tables(lsn, state))
        self.acknowledge(model.logged(lsn, "restore", "some", database.ident))
