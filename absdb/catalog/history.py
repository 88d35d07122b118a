"""Databases, their eras, snapshots, and which schema held when: from names and points to lineages.

An era is a stretch of one database's history written by one incarnation. It starts on `base`, the lineage of
the state it began with, at `start_lsn`. A restore of some tables starts an era on the database's own state,
with `table_bases` naming the lineage each of those tables was put back to.

Catalog versions are kept per era, ascending by LSN; a lineage's catalog is the last version of its last era
at or below the LSN reached there, else that of the era's base.

Mutated only by the thread that holds the commit order, and only by replacing values or appending, so readers
need no lock. Everything here goes into the manifest; engine/ keeps it current from the log.
"""

from __future__ import annotations

import bisect
import dataclasses
import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from absdb.catalog.database import EMPTY_CATALOG, DatabaseCatalog, changes_from_json, changes_to_json
from absdb.catalog.lineage import Lineage
from absdb.errors import NotFoundError, StateError
from absdb.ids import DatabaseId, EraId, TableId
from absdb.paths import normal_name

LastCommit = Callable[[EraId, int], "int | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """One incarnation's stretch of a database's history. `reason` is what began it: created, branch, restore, …"""

    id: EraId
    database: DatabaseId
    start_lsn: int
    base: Lineage
    table_bases: Mapping[TableId, Lineage] = field(default_factory=dict)
    reason: str = "created"

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "database": self.database,
            "start_lsn": self.start_lsn,
            "base": [list(entry) for entry in self.base],
            "table_bases": {str(k): [list(e) for e in v] for k, v in self.table_bases.items()},
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Era:
        return cls(
            id=EraId(data["id"]),
            database=DatabaseId(data["database"]),
            start_lsn=data["start_lsn"],
            base=lineage_from_json(data["base"]),
            table_bases={TableId(int(k)): lineage_from_json(v) for k, v in data["table_bases"].items()},
            reason=data["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseInfo:
    """A database as it is listed. `created_from` is the name of the database it was branched from."""

    id: DatabaseId
    name: str
    eras: tuple[EraId, ...]
    created_us: int
    created_lsn: int
    created_from: str | None = None
    source: DatabaseId | None = None
    source_lsn: int | None = None
    protected: bool = False
    retain_us: int | None = None
    comment: str = ""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DatabaseInfo:
        return cls(**{**data, "eras": tuple(EraId(e) for e in data["eras"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A name for a state of a database, kept until dropped. Its lineage pins what the state needs."""

    name: str
    database: DatabaseId
    lsn: int
    lineage: Lineage
    created_us: int
    comment: str = ""

    def to_json(self) -> dict[str, Any]:
        data = dataclasses.asdict(self)
        return {**data, "lineage": [list(entry) for entry in self.lineage]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Snapshot:
        return cls(**{**data, "lineage": lineage_from_json(data["lineage"])})


def lineage_from_json(data: Any) -> Lineage:
    return tuple((EraId(era), lsn) for era, lsn in data)


class History:
    """All databases, eras and snapshots of an instance, and the catalogs along the eras."""

    def __init__(self) -> None:
        self.eras: dict[EraId, Era] = {}
        self.databases: dict[DatabaseId, DatabaseInfo] = {}
        self.snapshots: dict[tuple[DatabaseId, str], Snapshot] = {}
        self._version_lsns: dict[EraId, list[int]] = {}
        self._versions: dict[EraId, list[DatabaseCatalog]] = {}

    # what the log says happened

    def put_era(self, era: Era) -> None:
        """Register an era, and make it the current one of its database if that is known already."""
        self.eras[era.id] = era
        self._version_lsns.setdefault(era.id, [])
        self._versions.setdefault(era.id, [])

    def put_database(self, info: DatabaseInfo) -> None:
        self.databases[info.id] = info

    def drop_database(self, database: DatabaseId) -> None:
        """Forget a database and its snapshots; its eras stay for as long as other lineages run through them."""
        del self.databases[database]
        for key in [key for key in self.snapshots if key[0] == database]:
            del self.snapshots[key]

    def put_catalog(self, era: EraId, lsn: int, catalog: DatabaseCatalog) -> None:
        """The catalog of `era` from `lsn` on."""
        self._versions[era].append(catalog)
        self._version_lsns[era].append(lsn)

    def take_back_catalog(self, era: EraId) -> None:
        """Undo the last `put_catalog`, which was never published."""
        self._version_lsns[era].pop()
        self._versions[era].pop()

    def forget_era(self, era: EraId) -> None:
        del self.eras[era], self._versions[era], self._version_lsns[era]

    # names and points to states

    def database(self, name: str) -> DatabaseInfo:
        """The database of that name; NotFoundError suggests the nearest one."""
        names = {info.name: info for info in list(self.databases.values())}
        name = normal_name(name)
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            raise NotFoundError(
                f"there is no database {name!r}",
                hint=f"did you mean {near[0]!r}?" if near else f"databases: {', '.join(sorted(names))}",
                database=name,
            )
        return names[name]

    def current_era(self, database: DatabaseId) -> Era:
        return self.eras[self.databases[database].eras[-1]]

    def lineage_at(self, database: DatabaseId, lsn: int, last_commit: LastCommit) -> Lineage:
        """The state of a database at `lsn`, normalised to commits; before its creation, that of its source.

        StateError if the database was dropped.
        """
        info = self.databases.get(database)
        if info is None:
            raise StateError("the database was dropped", hint="databases() lists those there are")
        return self.lineage_of(info, lsn, last_commit)

    def lineage_of(self, info: DatabaseInfo, lsn: int, last_commit: LastCommit) -> Lineage:
        """`lineage_at` of a database as it was listed, which may have been dropped since."""
        for era_id in reversed(info.eras):
            era = self.eras[era_id]
            if era.start_lsn <= lsn:
                return self.reached(era, lsn, last_commit)
        return self.cut(self.eras[info.eras[0]].base, lsn, last_commit)

    def cut(self, lineage: Lineage, lsn: int, last_commit: LastCommit) -> Lineage:
        """What `lineage` was when the log stood at `lsn`."""
        for era_id, reached in reversed(lineage):
            era = self.eras[era_id]
            if era.start_lsn <= lsn:
                return self.reached(era, min(lsn, reached), last_commit)
        return ()

    def reached(self, era: Era, lsn: int, last_commit: LastCommit) -> Lineage:
        """The state that an era had reached at `lsn`; what it began with if it had no commit by then."""
        last = last_commit(era.id, lsn)
        if last is None and era.table_bases:
            last = era.start_lsn
        return era.base if last is None else (*era.base, (era.id, last))

    def catalog_at(self, lineage: Lineage) -> DatabaseCatalog:
        """The catalog of a state."""
        for era, lsn in reversed(lineage):
            at = bisect.bisect_right(self._version_lsns[era], lsn)
            if at:
                return self._versions[era][at - 1]
        return EMPTY_CATALOG

    def redefined_after(self, era: EraId, lsn: int) -> bool:
        """Whether the schema changed in an era after `lsn`."""
        lsns = self._version_lsns[era]
        return bool(lsns) and lsns[-1] > lsn

    def catalog_versions(self, era: EraId) -> Iterator[tuple[int, DatabaseCatalog]]:
        """(LSN, catalog) of every schema change of an era, oldest first."""
        return zip(list(self._version_lsns[era]), list(self._versions[era]), strict=False)

    def table_lineage(self, lineage: Lineage, table: TableId) -> Lineage:
        """The lineage of one table in a database's state: its own where it was restored alone."""
        for at in range(len(lineage) - 1, -1, -1):
            base = self.eras[lineage[at][0]].table_bases.get(table)
            if base is not None:
                return (*base, *lineage[at:])
        return lineage

    # the manifest

    def to_json(self) -> dict[str, Any]:
        return {
            "eras": [era.to_json() for era in self.eras.values()],
            "databases": [info.to_json() for info in self.databases.values()],
            "snapshots": [snapshot.to_json() for snapshot in self.snapshots.values()],
            "catalogs": {str(era): self._changes(era) for era, lsns in self._version_lsns.items() if lsns},
        }

    def _changes(self, era: EraId) -> list[dict[str, Any]]:
        """What each schema change of an era changed, against the one before, or what the era started on."""
        found = []
        before = self.catalog_at(self.eras[era].base)
        for lsn, catalog in self.catalog_versions(era):
            found.append({"lsn": lsn, "changes": changes_to_json(catalog.changes_since(before))})
            before = catalog
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> History:
        history = cls()
        for item in data["eras"]:
            history.put_era(Era.from_json(item))
        for item in data["databases"]:
            history.put_database(DatabaseInfo.from_json(item))
        for item in data["snapshots"]:
            snapshot = Snapshot.from_json(item)
            history.snapshots[snapshot.database, snapshot.name] = snapshot
        for name, versions in data["catalogs"].items():
            era = EraId(int(name))
            catalog = history.catalog_at(history.eras[era].base)
            for version in versions:
                # One after the other, so that what did not change is the same object as before.
                catalog = catalog.apply(changes_from_json(version["changes"]))
                history.put_catalog(era, version["lsn"], catalog)
        return history
