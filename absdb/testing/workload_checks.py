"""Whether an engine says what a model says: points named in every way, states read in every way, the log."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from absdb.catalog.history import DatabaseInfo
from absdb.clock import to_datetime
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.errors import HistoryExpiredError, NotFoundError
from absdb.testing.model import Line, Model, ModelDatabase, State, state_of
from absdb.testing.workload_rows import check_table
from absdb.versioning.as_of import Point, resolve


def fails(call: Callable[[], Any], kind: type[Exception], *, or_nothing: bool = False) -> None:
    """The call must raise, or (if so allowed) do nothing."""
    try:
        found = call()
    except kind:
        return
    allowed = or_nothing and found is None
    assert allowed, f"accepted, giving {found!r}; {kind.__name__} was expected"


def any_point(
    engine: Engine,
    model: Model,
    database: ModelDatabase,
    info: DatabaseInfo,
    chance: random.Random,
    *,
    horizon: int,
) -> tuple[Point, Line, bool]:
    """A point of a database, named in any of the ways there are, the line that leads there, whether it is kept.

    A point before the `horizon` may have expired; one that somebody holds has not.
    """
    way = chance.choice(("now", "lsn", "lsn", "time", "snapshot"))
    if way == "snapshot":
        names = sorted(name for owner, name in model.snapshots if owner == database.ident)
        if names:
            name = chance.choice(names)
            return resolve(engine, info, snapshot=name), model.snapshots[database.ident, name], True
        fails(lambda: resolve(engine, info, snapshot="none"), NotFoundError)
    lsns = sorted(model.log)
    if way in ("lsn", "time") and lsns:
        lsn = chance.choice(lsns)
        moment: dict[str, Any] = {}
        if way == "lsn":
            moment["lsn"] = lsn = max(0, min(lsn + chance.choice((-1, 0, 0, 1)), engine.published))
        else:
            time_us = engine.log.time_of(lsn)
            assert time_us is not None, lsn
            moment["time"] = to_datetime(time_us)
        if info.source is None and lsn < info.created_lsn:
            fails(lambda: resolve(engine, info, **moment), HistoryExpiredError)
        else:
            return resolve(engine, info, **moment), database.line_at(lsn), lsn >= horizon
    return resolve(engine, info), database.line, True


def reader_at(engine: Engine, point: Point, table: str) -> TableReader:
    """A table at a point."""
    schema = engine.history.catalog_at(point.lineage).table(table)
    return TableReader(schema, engine.covers.resolve(engine.history, schema, point.lineage))


def check_state(engine: Engine, point: Point, state: State, chance: random.Random) -> None:
    """A state has the model's tables, and each has its rows."""
    catalog = engine.history.catalog_at(point.lineage)
    found = {table.name: int(table.id) for table in catalog.tables.values()}
    assert found == {table.name: table.ident for table in state.values()}, (point, found, sorted(state))
    for table in state.values():
        check_table(reader_at(engine, point, table.name), table, chance)


def check_heads(engine: Engine, model: Model, chance: random.Random) -> None:
    """The databases there are, their snapshots' names and their newest states."""
    names = {info.name: int(info.id) for info in engine.history.databases.values()}
    assert names == {database.name: database.ident for database in model.databases.values()}, names
    found = {(int(database), name) for database, name in engine.history.snapshots}
    assert found == set(model.snapshots), found
    for info in list(engine.history.databases.values()):
        check_state(engine, resolve(engine, info), model.databases[info.name].head, chance)


def check_instance(
    engine: Engine, model: Model, chance: random.Random, *, points: int, horizon: int = 0
) -> None:
    """Heads, the commit log, and `points` earlier points of each database."""
    check_heads(engine, model, chance)
    check_log(engine, model)
    for info in list(engine.history.databases.values()):
        for _ in range(points):
            database = model.databases[info.name]
            point, line, kept = any_point(engine, model, database, info, chance, horizon=horizon)
            try:
                check_state(engine, point, state_of(line), chance)
            except HistoryExpiredError:
                if kept:
                    raise


def check_log(engine: Engine, model: Model) -> None:
    """The commit log lists what was done, in order, at rising times; commits of dropped databases may be gone."""
    spans = [(era, 0, engine.published) for era in (0, *engine.history.eras)]
    entries = list(engine.log.entries(spans, newest_first=False))
    found = {entry.lsn: (entry.kind, entry.message or "", int(entry.database_id)) for entry in entries}
    live = {database.ident for database in model.databases.values()}
    kept = {lsn for lsn, (kind, _, ident) in model.log.items() if kind != "commit" or ident in live}
    assert all(model.log.get(lsn) == entry for lsn, entry in found.items()), found
    assert kept <= set(found), kept - set(found)
    assert [entry.lsn for entry in entries] == sorted(found)
    times = [entry.time_us for entry in entries]
    assert times == sorted(set(times)), "commit times do not rise"
