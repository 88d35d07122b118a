"""What a name in SQL means: a table, a view or a listing, of which database, at which point.

    orders                  in the current database: its current schema, then `main`
    staging.orders          database staging if there is one of that name, else schema staging of the current one
    main.sales.orders       database, schema, table

Names compare exactly first, then without case. All databases of a statement are seen at one LSN, so that a join
across branches is consistent; a transaction sees its own writes in its database. Called by rewrite.py and by the
statements that change things.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.history import DatabaseInfo
from absdb.catalog.schema import DEFAULT_NAMESPACE, TableSchema
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.engine.transaction import Transaction
from absdb.errors import NotFoundError
from absdb.ids import DatabaseId, Lsn
from absdb.paths import normal_name
from absdb.sql.text.suggestion import suggestion
from absdb.versioning.as_of import Point
from absdb.versioning.scope import PastScope, Scope, State, TransactionScope

T = TypeVar("T")
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatabaseView:
    """One database as a statement sees it. `past` is the LSN if it was asked for by its point."""

    info: DatabaseInfo
    catalog: DatabaseCatalog
    reader: Callable[[TableSchema], TableReader]
    past: Lsn | None = None
    held: Any = None
    """Keeps the state's history from expiring for as long as it is read."""

    @property
    def label(self) -> str:
        """How plans and messages name it."""
        return self.info.name if self.past is None else f"{self.info.name}@{self.past}"


@dataclass(frozen=True, slots=True)
class NamedTable:
    """A table."""

    view: DatabaseView
    schema: TableSchema

    @property
    def label(self) -> str:
        return f"{self.view.label}.{self.schema.full_name}"

    @property
    def qualifiers(self) -> list[Path]:
        """What may stand before a column's name, casefolded, where the table has no alias."""
        database, namespace = self.view.info.name.casefold(), self.schema.namespace.casefold()
        name = self.schema.name.casefold()
        return [(name,), (namespace, name), (database, name), (database, namespace, name)]


@dataclass(frozen=True, slots=True)
class NamedView:
    """A stored query; `entity` is how the catalog keeps it (see views.py)."""

    view: DatabaseView
    entity: Mapping[str, Any]


Named = NamedTable | NamedView


@dataclass
class Moment:
    """All databases of an instance at one LSN, and which one is current."""

    engine: Engine
    current: DatabaseView
    lsn: int
    namespace: str = DEFAULT_NAMESPACE
    _views: dict[DatabaseId, DatabaseView] = field(default_factory=dict)
    _transaction: Transaction | None = None

    @classmethod
    def of(cls, scope: Scope, namespace: str = DEFAULT_NAMESPACE) -> Moment:
        """What a statement run on `scope` sees."""
        engine, info = scope.engine, scope.info()
        if isinstance(scope, TransactionScope):
            lsn = scope.tx.snapshot_lsn
            view = DatabaseView(info, scope.catalog(), scope.reader)
            return cls(engine, view, lsn, namespace, {info.id: view}, scope.tx)
        if isinstance(scope, PastScope):
            lsn = int(scope.point().lsn)
            view = DatabaseView(info, scope.catalog(), scope.reader, Lsn(lsn), scope)
        else:
            lsn = engine.published
            view = _view_at(engine, info, lsn)
        return cls(engine, view, lsn, namespace, {info.id: view})

    def seen_from(self, scope: Scope) -> Moment:
        """The same with another database as the current one, at the same LSN unless that is one of the past."""
        past = isinstance(scope, PastScope)
        current = Moment.of(scope).current if past else self.view(scope.info())
        return Moment(
            self.engine, current, self.lsn, self.namespace, {**self._views, current.info.id: current}
        )

    def view(self, info: DatabaseInfo) -> DatabaseView:
        """A database at the LSN of the moment."""
        found = self._views.get(info.id)
        if found is None:
            found = _view_at(self.engine, info, self.lsn)
            if self._transaction is not None and self._transaction.reads is not None:
                found = _recorded(found, self._transaction)
            self._views[info.id] = found
        return found

    def seen_with(self, other: Moment, view: DatabaseView) -> None:
        """Share the databases that another moment of the same LSN has looked up, but for one."""
        self._views = {**other._views, view.info.id: view}
        self._transaction = other._transaction

    def at(self, point: Point) -> DatabaseView:
        """A database at a point in the past."""
        scope = PastScope(self.engine, point)
        return DatabaseView(point.database, scope.catalog(), scope.reader, point.lsn, scope)

    def database(self, name: str) -> DatabaseInfo | None:
        """The database of that name, None if there is none."""
        return alike({info.name: info for info in list(self.engine.history.databases.values())}, name)

    def named(self, name: str) -> DatabaseInfo:
        """The database of that name; NotFoundError suggests the nearest one."""
        found = self.database(name)
        if found is None:
            raise self._no_database(name)
        return found

    def of_database(self, info: DatabaseInfo, view: DatabaseView | None = None) -> Moment:
        """The same LSN with another database as the current one; `view` shows it at a point of its own."""
        made = Moment(self.engine, view or self.view(info), self.lsn)
        made.seen_with(self, made.current)
        return made

    def split(self, path: Path) -> tuple[DatabaseInfo, str | None, str]:
        """(database, schema or None, name) of a qualified name. NotFoundError for a database that is not there."""
        if len(path) == 1:
            return self.current.info, None, path[0]
        info = self.database(path[0])
        if len(path) == 2:
            return (self.current.info, path[0], path[1]) if info is None else (info, None, path[1])
        if len(path) > 3:
            raise NotFoundError(
                f"{'.'.join(path)!r} has {len(path)} parts", hint="a table is database.schema.table at most"
            )
        if info is None:
            raise self._no_database(path[0])
        return info, path[1], path[2]

    def find(self, path: Path, at: Callable[[DatabaseInfo], DatabaseView] | None = None) -> Named | None:
        """The table or view of a name, None if there is none; `at` gives the database's view if not that of now."""
        info, namespace, name = self.split(path)
        view = self.view(info) if at is None else at(info)
        spaces = (
            [namespace] if namespace is not None else list(dict.fromkeys((self.namespace, DEFAULT_NAMESPACE)))
        )
        for space in spaces:
            found = find_in(view, space, name)
            if found is not None:
                return found
        return None

    def missing(self, path: Path) -> NotFoundError:
        """The error for a name that means nothing, with the nearest one that does."""
        info, namespace, name = self.split(path)
        asked = ".".join(path)
        if (
            namespace is not None
            and alike(dict.fromkeys(self.view(info).catalog.namespaces), namespace) is None
        ):
            known = [each.name for each in list(self.engine.history.databases.values())]
            known += self.view(info).catalog.namespaces
            hint = suggestion(namespace, known, "databases here")
            return NotFoundError(
                f"there is no database or schema {namespace!r}, nor table {asked!r}", hint=hint
            )
        catalog = self.view(info).catalog
        names = [table.full_name for table in catalog.tables.values()]
        names += [view["name"] for view in views_of(catalog)]
        hint = suggestion(name, names, f"tables of {info.name!r}")
        return NotFoundError(f"there is no table {asked!r} in database {info.name!r}", hint=hint, table=asked)

    def _no_database(self, name: str) -> NotFoundError:
        names = [info.name for info in list(self.engine.history.databases.values())]
        return NotFoundError(f"there is no database {name!r}", hint=suggestion(name, names, "databases here"))


def _view_at(engine: Engine, info: DatabaseInfo, lsn: int) -> DatabaseView:
    lineage = engine.history.lineage_at(info.id, lsn, engine.log.last_at_or_below)
    state = State(engine, lsn, lineage)
    return DatabaseView(info, state.catalog, state.reader)


def _recorded(view: DatabaseView, tx: Transaction) -> DatabaseView:
    """Another database as a serializable transaction reads it: what is read of it must not change either."""
    database, plain = view.info.id, view.reader
    return dataclasses.replace(view, reader=lambda schema: tx.recorded(database, plain(schema)))


def find_in(view: DatabaseView, namespace: str, name: str) -> Named | None:
    """A table or view of one schema of a database."""
    catalog = view.catalog
    exact = catalog.tables_by_name.get((namespace, normal_name(name)))
    if exact is not None:
        return NamedTable(view, exact)
    tables = {t.name: t for t in catalog.tables.values() if same(t.namespace, namespace)}
    table = alike(tables, name)
    if table is not None:
        return NamedTable(view, table)
    stored = {each["name"]: each for each in views_of(catalog) if same(each["namespace"], namespace)}
    entity = alike(stored, name)
    return None if entity is None else NamedView(view, entity)


def views_of(catalog: DatabaseCatalog) -> list[Mapping[str, Any]]:
    """The stored queries of a database."""
    return list(catalog.named.get("view", {}).values())


@dataclass(frozen=True, slots=True)
class NamedEntity:
    """A sequence or a macro, as the catalog of a database has it."""

    view: DatabaseView
    entity: Mapping[str, Any]


def find_entity(moment: Moment, kind: str, path: Path) -> NamedEntity | None:
    """The sequence or macro of a name, None if there is none."""
    try:
        info, namespace, name = moment.split(path)
    except NotFoundError:
        return None
    view = moment.view(info)
    known = view.catalog.named.get(kind)
    if not known:
        return None
    spaces = (
        [namespace] if namespace is not None else list(dict.fromkeys((moment.namespace, DEFAULT_NAMESPACE)))
    )
    for space in spaces:
        found = alike({each["name"]: each for each in known.values() if same(each["namespace"], space)}, name)
        if found is not None:
            return NamedEntity(view, found)
    return None


def same(a: str, b: str) -> bool:
    """Whether SQL takes two names for one."""
    return a == b or a.casefold() == b.casefold()


def alike(known: Mapping[str, T], name: str) -> T | None:
    """The value under a name as it is, else under the same name in another case."""
    name = normal_name(name)
    if name in known:
        return known[name]
    return next((value for each, value in known.items() if each.casefold() == name.casefold()), None)
