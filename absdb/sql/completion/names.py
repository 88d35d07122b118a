"""The names that completion offers: what is in the instance now, as SQL writes it.

A name that is no plain word is quoted. Called by offers.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.schema import DEFAULT_NAMESPACE
from absdb.sql.listings.known_names import function_names, listing_names
from absdb.sql.query.names import alike, views_of
from absdb.sql.session import Session
from absdb.sql.text.keywords import RESERVED
from absdb.sql.text.tokens import quoted
from absdb.versioning.scope import HeadScope

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


class Names:
    """What can be named in a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def databases(self) -> list[str]:
        """Databases and branches, sorted."""
        infos = list(self._session.engine.history.databases.values())
        return [written(name) for name in sorted(info.name for info in infos)]

    def snapshots(self) -> list[str]:
        """Snapshots of all databases, as they are; sorted."""
        return sorted({each.name for each in list(self._session.engine.history.snapshots.values())})

    def tables(self, database: str | None = None, namespace: str | None = None) -> list[str]:
        """Tables and views of a schema of a database, both the current ones if they are not given."""
        catalog = self._catalog(database)
        if catalog is None:
            return []
        where = namespace or (self._session.namespace if database is None else DEFAULT_NAMESPACE)
        found = {name for space, name in catalog.tables_by_name if space.casefold() == where.casefold()}
        found |= {view["name"] for view in views_of(catalog) if view["namespace"] == where}
        return [written(name) for name in sorted(found)]

    def schemas(self, database: str | None = None) -> list[str]:
        """Schemas of a database but the one that needs no name."""
        catalog = self._catalog(database)
        spaces = () if catalog is None else catalog.namespaces
        return [written(name) for name in sorted(spaces) if name != DEFAULT_NAMESPACE]

    def columns(self, path: tuple[str, ...]) -> list[str]:
        """The columns of a table, in its order; none if there is no such table."""
        if len(path) > 3:
            return []
        name = path[-1]
        for database, namespace in self._places(path[:-1]):
            catalog = self._catalog(database)
            if catalog is None:
                continue
            here = {n: schema for (space, n), schema in catalog.tables_by_name.items() if space == namespace}
            schema = alike(here, name)
            if schema is not None:
                return [written(column.name) for column in schema.columns]
            views = {view["name"]: view for view in views_of(catalog) if view["namespace"] == namespace}
            view = alike(views, name)
            if view is not None:
                return [written(column) for column in view["columns"]]
        return []

    def _places(self, owner: tuple[str, ...]) -> list[tuple[str | None, str]]:
        """(database, schema) that the parts before a table's name can mean."""
        if len(owner) == 2:
            return [(owner[0], owner[1])]
        if len(owner) == 1:
            return [(owner[0], DEFAULT_NAMESPACE), (None, owner[0])]
        return [(None, self._session.namespace), (None, DEFAULT_NAMESPACE)]

    @cached_property
    def functions(self) -> list[str]:
        """Functions of DuckDB."""
        return function_names(self._session.backend)

    @cached_property
    def listings(self) -> list[str]:
        """The tables of absdb itself."""
        return listing_names()

    def _catalog(self, database: str | None) -> DatabaseCatalog | None:
        if database is None:
            return self._session.scope.catalog()
        engine = self._session.engine
        info = alike({info.name: info for info in list(engine.history.databases.values())}, database)
        return None if info is None else HeadScope(engine, info).catalog()


def written(name: str) -> str:
    """A name as SQL needs it."""
    return name if _PLAIN.fullmatch(name) and name.upper() not in RESERVED else quoted(name)


def matching(names: Iterable[str], prefix: str) -> list[str]:
    """The names that begin so, in any case, also behind their quote."""
    start = prefix.casefold().lstrip('"')
    return [name for name in names if name.casefold().lstrip('"').startswith(start)]
