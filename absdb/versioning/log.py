"""The commit log of one database, newest first, as a table people can read.

A branch's log goes on into the history of what it was branched from; restores and branchings show as entries of
their own kind. Commits that a restore has undone stay in their place, marked: they belong to an earlier state of
the database, and a restore to their LSN brings them back. Costs what is asked for with `limit`, not the whole
history, and a look at each era of the database. The log of an instance has each commit of any database once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import pyarrow as pa

from absdb.catalog.ancestry import contained
from absdb.catalog.commit_entries import CommitEntry
from absdb.catalog.commitlog import EraSpan
from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.lineage import remainder
from absdb.engine.engine import Engine
from absdb.errors import InvalidInputError
from absdb.ids import DatabaseId, EraId, Lsn, TableId
from absdb.versioning.as_of import Point
from absdb.versioning.origin import origin_of

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
        ("database", pa.string()),
        ("from_database", pa.string()),
        ("from_lsn", pa.string()),
    ]
)
NO_ERA = EraId(0)


def log(engine: Engine, point: Point, *, limit: int | None = None, only_here: bool = False) -> pa.Table:
    """Every commit that a state of the database up to `point` held, and what happened to it as a whole.

    LOG_SCHEMA, newest first. `undone` is true for commits that the state at `point` does not hold. What happens to
    the database as a whole is never undone; a restore of some tables names them and undoes no commit. `database` is
    the one that committed it, NULL if it was dropped since. `only_here` leaves the commits that the state at `point`
    holds, and the newest one of no other database.
    """
    spans = _only_here(engine, point) if only_here else _spans(engine, point)
    found = (entry for entry in engine.log.entries(spans) if _concerns(entry, point))
    reached = _reached(point)
    return _table(_row(engine, entry, _database(engine, entry), reached) for entry in _first(found, limit))


def instance_log(engine: Engine, *, limit: int | None = None) -> pa.Table:
    """Every commit that a state of any database held, once, and what happened to databases as a whole.

    LOG_SCHEMA, newest first. `undone` is true for commits that the newest state of their database does not hold. A
    commit of a database that was dropped is listed as one of the oldest database that went on from it, if any did.
    Restore points are of no database.
    """
    history = engine.history
    spans: dict[int, EraSpan] = {}
    owners: dict[EraId, str] = {}
    reached: dict[EraId, int] = {}
    heads = sorted(engine.heads(), key=lambda head: (head[0].created_us, head[0].id))
    living = {info.id for info, _ in heads}
    for info, lineage in heads:
        point = Point(info, Lsn(engine.published), lineage)
        held = _reached(point)
        for span in _spans(engine, point):
            era = EraId(span[0])
            spans[era] = max(span, spans.get(era, span))
            own = history.eras[era].database if era in history.eras else None
            if own == info.id or (era and own not in living and era not in owners):
                owners[era], reached[era] = info.name, held.get(era, 0)
    found = (
        e for e in engine.log.entries(spans.values()) if e.era != NO_ERA or e.database_id in (0, *living)
    )
    return _table(
        _row(engine, entry, owners.get(EraId(entry.era)) or _database(engine, entry), reached)
        for entry in _first(found, limit)
    )


def entry_at(engine: Engine, point: Point, lsn: int) -> tuple[CommitEntry, dict[str, Any]] | None:
    """What `log` lists at one LSN, as the commit log has it and as a row of LOG_SCHEMA; None if there is nothing."""
    spans = [(era, lsn - 1, lsn) for era, after, upto in _spans(engine, point) if after < lsn <= upto]
    for entry in engine.log.entries(spans):
        if _concerns(entry, point):
            row = _row(engine, entry, _database(engine, entry), _reached(point))
            return entry, dict(zip(LOG_SCHEMA.names, row, strict=True))
    return None


def _first(found: Iterator[CommitEntry], limit: int | None) -> Iterator[CommitEntry]:
    if limit is not None and (not isinstance(limit, int) or limit < 0):
        raise InvalidInputError(f"cannot list {limit!r} commits", hint="pass a whole number, 0 or more")
    return islice(found, limit)


def _table(rows: Iterable[tuple[object, ...]]) -> pa.Table:
    columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True)) or [()] * len(LOG_SCHEMA)
    arrays = [pa.array(list(c), f.type) for c, f in zip(columns, LOG_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=LOG_SCHEMA)


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


def _only_here(engine: Engine, point: Point) -> list[EraSpan]:
    """Of which commits the state at the point holds any that the newest state of no other database does."""
    elsewhere: dict[EraId, int] = {}
    for info, lineage in engine.heads():
        if info.id != point.database.id:
            for era, upto in contained(engine.history, lineage).items():
                elsewhere[era] = max(upto, elsewhere.get(era, 0))
    mine = contained(engine.history, point.lineage)
    return [(era, elsewhere.get(era, 0), upto) for era, upto in mine.items() if upto > elsewhere.get(era, 0)]


def _database(engine: Engine, entry: CommitEntry) -> str | None:
    info = engine.history.databases.get(DatabaseId(entry.database_id))
    return None if info is None else info.name


def _concerns(entry: CommitEntry, point: Point) -> bool:
    return entry.era != NO_ERA or entry.database_id == point.database.id


def _row(
    engine: Engine, entry: CommitEntry, database: str | None, reached: dict[EraId, int]
) -> tuple[object, ...]:
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
        database,
        *origin_of(engine.history, entry),
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
