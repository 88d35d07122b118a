"""Named data checks: queries stored with a database that must hold for the result of every merge into it.

A check holds if its query gives the one value true, or no rows at all; rows that it gives are those that offend. Checks
are part of the catalog, so that branches have those of where they start, and merge like other definitions. A merge is
held to those of its result and to those that the database had before, which it may drop or replace. What runs them
comes from sql/. Called by the facade and by SQL; merge.py asks for them.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from absdb.catalog.database import DatabaseCatalog, EntityId
from absdb.engine.transaction import Transaction
from absdb.errors import AlreadyExistsError, NotFoundError
from absdb.paths import check_name, check_text, normal_name

LISTING = pa.schema([("name", pa.string()), ("query", pa.string()), ("comment", pa.string())])


def checks_of(catalog: DatabaseCatalog) -> dict[str, dict[str, Any]]:
    """The checks of a database by name, each with its query and comment."""
    return {str(name): value for (kind, name), value in sorted(_entities(catalog).items())}


def are_any(*catalogs: DatabaseCatalog | None) -> bool:
    """Whether there is anything to run: DuckDB need not be loaded otherwise."""
    return any(catalog is not None and _entities(catalog) for catalog in catalogs)


def _entities(catalog: DatabaseCatalog) -> dict[EntityId, dict[str, Any]]:
    return {entity: value for entity, value in catalog.entities.items() if entity[0] == "check"}


def listed(catalog: DatabaseCatalog) -> pa.Table:
    """LISTING, a row a check, by name."""
    checks = checks_of(catalog)
    columns = [list(checks), *([check[part] for check in checks.values()] for part in ("query", "comment"))]
    return pa.Table.from_arrays([pa.array(column, pa.string()) for column in columns], schema=LISTING)


def add_check(tx: Transaction, name: str, query: str, *, comment: str = "", replace: bool = False) -> None:
    """Store a check; AlreadyExistsError if there is one of that name."""
    name = check_name("check", name)
    if ("check", name) in tx.catalog.entities and not replace:
        raise AlreadyExistsError(f"there is a check {name!r} already", hint="drop it, or take another name")
    entity = {"query": check_text("query", query), "comment": check_text("comment", comment)}
    tx.change_schema({("check", name): entity})


def drop_check(tx: Transaction, name: str) -> None:
    """Forget a check; NotFoundError if there is none of that name."""
    if ("check", normal_name(name)) not in tx.catalog.entities:
        names = ", ".join(checks_of(tx.catalog)) or "none"
        raise NotFoundError(f"there is no check {name!r}", hint=f"there are: {names}")
    tx.change_schema({("check", normal_name(name)): None})
