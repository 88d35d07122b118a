"""Restore: a database, or some of its tables, becomes what it was at a point. A new commit, undone the same way.

A new era starts on the lineage of the point: one log record, no rows moved, cost independent of size. For some
tables only, the era starts on the database's own state and names the lineage of each table put back. What is
undone stays in the history: at(lsn=…) before the restore still reads it, and restore() to there brings it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from absdb.catalog.database import changes_to_json
from absdb.engine.engine import Engine
from absdb.errors import InvalidInputError, NotFoundError, StateError
from absdb.ids import EraId, Lsn
from absdb.paths import check_names, check_text
from absdb.versioning.as_of import Point, check_readable
from absdb.versioning.branch import write_database


def restore(
    engine: Engine,
    point: Point,
    *,
    tables: Sequence[str] | None = None,
    author: str | None = None,
    message: str = "",
) -> Lsn:
    """Make the database what it was at `point`, or only `tables` of it; returns the LSN of the restore."""
    if tables is not None:
        tables = check_names("tables", tables)
        if not tables:
            raise InvalidInputError(
                "restore() is told to restore no table", hint="leave tables out to restore all"
            )
    with engine.exclusive():
        engine.check_writable()
        info = engine.history.databases.get(point.database.id)
        if info is None:
            raise StateError(f"database {point.database.name!r} was dropped")
        if info.protected:
            raise StateError(
                f"database {info.name!r} is protected and accepts merges only",
                hint="unprotect it to restore it",
            )
        era = EraId(engine.allocator.new_id())
        body: dict[str, Any] = {
            "op": "restore",
            "author": engine.author if author is None else check_text("author", author),
            "message": check_text("message", message) or f"restore to {point.lsn}",
            "database": {**info.to_json(), "eras": [*info.eras, era]},
            "era": {"id": era, "database": info.id, "start_lsn": 0, "reason": "restore", "table_bases": {}},
        }
        if tables is None:
            check_readable(engine, point)
            body["era"]["base"] = point.lineage
        else:
            body["era"]["base"] = engine.head(info.id)[1]
            _some_tables(engine, point, tables, body)
        return write_database(engine, info.id, body)


def _some_tables(engine: Engine, point: Point, names: Sequence[str], body: dict[str, Any]) -> None:
    """Fill in which tables go back to which lineage, and their definitions of that time."""
    history = engine.history
    then = history.catalog_at(point.lineage)
    now = history.catalog_at(body["era"]["base"])
    changes: dict[Any, Any] = {}
    for name in names:
        table = then.table(name)
        engine.covers.resolve(history, table, point.lineage)  # HistoryExpiredError if it cannot be read
        body["era"]["table_bases"][str(table.id)] = history.table_lineage(point.lineage, table.id)
        holder = now.tables_by_name.get((table.namespace, table.name))
        if holder is not None and holder.id != table.id:
            raise StateError(
                f"table {name!r} of that time and the one of today are different tables of one name",
                hint="rename or drop today's table first",
            )
        if table.namespace not in now.namespaces:
            raise NotFoundError(
                f"schema {table.namespace!r} of table {name!r} is gone", hint="create it first"
            )
        if then.ancestry_of(table.id) != now.ancestry_of(table.id):
            # What merges brought into the database since is not in this table any more.
            ancestry = then.ancestry_of(table.id)
            changes["ancestry", int(table.id)] = {str(era): lsn for era, lsn in ancestry.items()}
        if now.tables.get(table.id) is not table:
            changes["table", table.id] = table
        for column in table.columns:
            if column.default is not None and column.default.kind == "sequence":
                entity = ("sequence", column.default.value)
                if entity not in now.entities:
                    changes[entity] = then.entities[entity]
    body["tables"] = changes_to_json(changes)
