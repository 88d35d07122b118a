"""The commit log of one database, newest first, as a table people can read.

A branch's log goes on into the history of what it was branched from; restores and branchings show as entries of
their own kind. Commits that a restore has undone stay in their place, marked: they belong to an earlier state of
the database, and a restore to their LSN brings them back. Costs what is asked for with `limit`, not the whole
history, and a look at each era of the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import pyarrow as pa

from absdb.catalog.commit_entries import CommitEntry
from absdb.catalog.commitlog import EraSpan
from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.lineage import remainder
from absdb.engine.engine import Engine
from absdb.errors import InvalidInputError
from absdb.ids import DatabaseId, EraId, Lsn, TableId
from absdb.versioning.as_of import Point

LOG_SCHEMA = pa.schema(
    [
        ("lsn", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("author", pa.string()),
        ("message", pa.string()),
        ("kind", pa.string()),
        ("tables", pa.list_(pa.string())),
        ("rows_inserted", pa.int64()),
        ("rows_updated", pa.int64()),
        ("rows_deleted", pa.int64()),
        ("undone", pa.bool_()),
    ]
)
NO_ERA = EraId(0)


def log(engine: Engine, point: Point, *, limit: int | None = None) -> pa.Table:
    """Every commit that a state of the database up to `point` held, and what happened to it as a whole.

    LOG_SCHEMA, newest first. `undone` is true for commits that the state at `point` does not hold. What happens to
    the database as a whole is never undone; a restore of some tables names them and undoes no commit.
    """
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise InvalidInputError(f"cannot list {limit!r} commits", hint="pass a whole number, 0 or more")
    reached = _reached(point)
    found = (entry for entry in engine.log.entries(_spans(engine, point)) if _concerns(entry, point))
    rows = [_row(engine, entry, reached) for entry in islice(found, limit)]
    columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True)) if rows else [()] * len(LOG_SCHEMA)
    arrays = [pa.array(list(c), f.type) for c, f in zip(columns, LOG_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=LOG_SCHEMA)


def entry_at(engine: Engine, point: Point, lsn: int) -> tuple[CommitEntry, dict[str, Any]] | None:
    """What `log` lists at one LSN, as the commit log has it and as a row of LOG_SCHEMA; None if there is nothing."""
    spans = [(era, lsn - 1, lsn) for era, after, upto in _spans(engine, point) if after < lsn <= upto]
    for entry in engine.log.entries(spans):
        if _concerns(entry, point):
            return entry, dict(zip(LOG_SCHEMA.names, _row(engine, entry, _reached(point)), strict=True))
    return None


def _reached(point: Point) -> dict[EraId, int]:
    """How far the state at the point goes in each era."""
    return {era: upto for era, _, upto in remainder(point.lineage, ())}


def _spans(engine: Engine, point: Point) -> list[EraSpan]:
    """Of which commits a state of the database up to the point held any."""
    ever = {**_reached(point), NO_ERA: int(point.lsn)}
    for era, upto in _earlier(engine, point):
        ever[era] = max(upto, ever.get(era, 0))
    return [(era, 0 if era else -1, upto) for era, upto in ever.items()]


def _earlier(engine: Engine, point: Point) -> Iterator[tuple[EraId, int]]:
    """(era, LSN reached in it) for all that a state of the database at or before `point` held."""
    for era_id in point.database.eras:
        era = engine.history.eras.get(era_id)  # of a database that was dropped since, there may be none left
        if era is not None and era.start_lsn <= point.lsn:
            yield era_id, int(point.lsn)
            yield from era.base


def _concerns(entry: CommitEntry, point: Point) -> bool:
    return entry.era != NO_ERA or entry.database_id == point.database.id


def _row(engine: Engine, entry: CommitEntry, reached: dict[EraId, int]) -> tuple[object, ...]:
    sums = [sum(counts[at] for counts in entry.tables) for at in (1, 2, 3)]
    kind = "schema" if entry.schema_changed and entry.kind == "commit" and not any(sums) else entry.kind
    return (
        str(Lsn(entry.lsn)),
        entry.time_us,
        entry.author or None,
        entry.message or None,
        kind,
        _table_names(engine, entry),
        *sums,
        entry.era != NO_ERA and entry.lsn > reached.get(EraId(entry.era), 0),
    )


def _table_names(engine: Engine, entry: CommitEntry) -> list[str]:
    """Names of the tables whose rows or definition a commit changed, or that a restore put back alone."""
    history = engine.history
    if entry.era == NO_ERA:
        return _restored_alone(engine, entry)
    era = history.eras.get(EraId(entry.era))
    if era is None:
        return [f"table {table}" for table, *_ in entry.tables]
    now = history.catalog_at((*era.base, (era.id, entry.lsn)))
    before = history.catalog_at((*era.base, (era.id, entry.lsn - 1))) if entry.schema_changed else now
    tables = [table for table, *_ in entry.tables]
    tables += [name for kind, name in now.changes_since(before) if kind == "table" and isinstance(name, int)]
    return _names(dict.fromkeys(map(TableId, tables)), now, before)


def _restored_alone(engine: Engine, entry: CommitEntry) -> list[str]:
    info = engine.history.databases.get(DatabaseId(entry.database_id))
    for era_id in info.eras if info and entry.kind == "restore" else ():
        era = engine.history.eras.get(era_id)
        if era is not None and era.start_lsn == entry.lsn:
            now = engine.history.catalog_at((*era.base, (era.id, entry.lsn)))
            return _names(era.table_bases, now, now)
    return []


def _names(tables: Iterable[TableId], now: DatabaseCatalog, before: DatabaseCatalog) -> list[str]:
    """What the tables are called after a commit, or before it for those it dropped."""
    found = {table: now.tables.get(table) or before.tables.get(table) for table in tables}
    return [schema.full_name if schema else f"table {table}" for table, schema in found.items()]
