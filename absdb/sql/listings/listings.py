"""The tables and table functions that absdb itself provides: what there is, what happened, what differs.

    absdb_databases   absdb_branches   absdb_snapshots   absdb_tables   absdb_log
    absdb_settings    absdb_pins       absdb_wal_stats    absdb_checks

    absdb_log('staging', at_snapshot => 'before')                 the same of another database, or point
    absdb_log('main', newest => 10)                               no more of it than that
    absdb_branch_diff('staging', 'main')                          table_name, operation, row_count
    absdb_diff('staging', 'main', 'orders')                       rows, with from_x and to_x
    absdb_schema_diff('main', 'main', from_snapshot => 'before')
    absdb_conflicts('staging', 'main')                            what stands in the way of merging
    absdb_history('orders', 101)                                  versions of one row
    absdb_blame('orders')                                         the commit that last wrote each row

Each is made at the moment a statement names it, and agrees with the Python call of the same name. Those of one
database may be qualified with it: `staging.absdb_log`. Called by rewrite.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pyarrow as pa

from absdb.catalog.history import DatabaseInfo
from absdb.engine import listing, statistics
from absdb.errors import InvalidInputError
from absdb.sql.listings import duckdb_catalog, information_schema, merge_listings
from absdb.sql.listings.blame_listing import blame_rows
from absdb.sql.listings.diff_listings import DIFFS, history
from absdb.sql.query.names import DatabaseView, Moment, Path
from absdb.sql.query.points import point_of
from absdb.versioning import listing as instance_listing
from absdb.versioning.log import log

_AT = ("at_lsn", "at_time", "at_snapshot")


def table(
    moment: Moment, path: Path, at: Callable[[DatabaseInfo], DatabaseView] | None = None
) -> pa.Table | None:
    """The listing of that name, None if there is none; `at` gives the database's view if not that of now."""
    name = path[-1].casefold()
    schema = information_schema.TABLES.get(".".join(path[-2:]).casefold())
    made = schema if schema is not None else _OF_DATABASE.get(name) if len(path) <= 2 else None
    owner = path[:-2] if schema is not None else path[:-1]
    if made is not None and len(owner) <= 1:
        info = moment.current.info if not owner else moment.database(owner[0])
        if info is None:
            return None
        if owner or at is not None:
            moment = moment.of_database(info, None if at is None else at(info))
        return made(moment)
    of_instance = _OF_INSTANCE.get(name) if len(path) == 1 else None
    if of_instance is not None and at is not None:
        raise InvalidInputError(f"{path[-1]} shows the instance as it is now, not at points of its past")
    return None if of_instance is None else of_instance(moment)


def function(path: Path) -> Callable[..., Any] | None:
    """The table function of that name, None if there is none. It takes the Moment and `argN` or named arguments."""
    found = _FUNCTIONS.get(path[-1].casefold()) if len(path) == 1 else None
    return None if found is None else partial(_called, path[-1], *found)


def _called(
    name: str, made: Callable[..., Any], parameters: tuple[str, ...], moment: Moment, /, **given: Any
) -> Any:
    return made(moment, **named_arguments(name, parameters, given))


def named_arguments(name: str, parameters: tuple[str, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call, positional ones (`argN`) under their parameters' names; a last `key` takes several."""
    named: dict[str, Any] = {}
    rest: list[Any] = []
    for key, value in given.items():
        if key[:3] == "arg" and key[3:].isdecimal():
            number = int(key[3:])
            if number >= len(parameters) and parameters[-1:] == ("key",):
                rest.append(value)
                continue
            key = parameters[number] if number < len(parameters) else key
        if key not in parameters or key in named:
            shown = ", ".join(parameters) or "no arguments"
            raise InvalidInputError(
                f"{name}() takes {shown}; {key} is given", hint="an argument by its name: at_lsn => '0/900'"
            )
        named[key] = value
    if rest:
        named["key"] = (named["key"], *rest)
    return named


def _tables(moment: Moment, database: str | None = None, **points: Any) -> pa.Table:
    view = moment.current
    if database is not None or points:
        view = moment.at(point_of(moment, database, **points))
    return listing.tables(view.catalog, view.reader)


def _log(moment: Moment, database: str | None = None, newest: int | None = None, **points: Any) -> pa.Table:
    point = point_of(moment, database, **points)
    return log(moment.engine, point, limit=None if newest is None else int(newest))


def _snapshots(moment: Moment, database: str | None = None) -> pa.Table:
    info = None if database is None else moment.named(database)
    return instance_listing.snapshots(moment.engine, None if info is None else info.id)


_OF_DATABASE: dict[str, Callable[[Moment], pa.Table]] = {
    "absdb_tables": _tables,
    "absdb_log": _log,
    "absdb_checks": merge_listings.checks,
}
_OF_INSTANCE: dict[str, Callable[[Moment], pa.Table]] = {
    "absdb_databases": lambda moment: instance_listing.databases(moment.engine),
    "absdb_branches": lambda moment: instance_listing.branches(moment.engine),
    "absdb_snapshots": _snapshots,
    "absdb_settings": lambda moment: listing.settings(moment.engine.settings),
    "absdb_pins": lambda moment: instance_listing.pins(moment.engine),
    "absdb_wal_stats": lambda moment: statistics.wal_stats(moment.engine),
}
_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    **{name: (made, ()) for name, made in _OF_INSTANCE.items()},
    "absdb_snapshots": (_snapshots, ("database",)),
    "absdb_tables": (_tables, ("database", *_AT)),
    "absdb_log": (_log, ("database", "newest", *_AT)),
    "absdb_history": (history, ("table", "key")),
    "absdb_blame": (blame_rows, ("table", "keys", "columns", *_AT)),
    **DIFFS,
    **merge_listings.FUNCTIONS,
    **{name: (made, ()) for name, made in duckdb_catalog.FUNCTIONS.items()},
}
NAMES = (*_OF_DATABASE, *_OF_INSTANCE)
"""What can be named like a table, for suggestions and completion."""
