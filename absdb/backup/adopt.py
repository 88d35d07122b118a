"""A database of another instance, brought into this one as a new database that is no relative of any here.

Its definitions get ids of their own (renumbered.py). Its rows are streamed into page files first; then the database is
made, and one commit names all of them. So a failure leaves nothing behind, but that a crash just between the two
records leaves an empty database. Called by branch.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from absdb.backup.renumbered import Renumbered, renumbered
from absdb.catalog.history import DatabaseInfo
from absdb.catalog.schema import TableSchema
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.engine.transaction import Transaction
from absdb.ids import DatabaseId
from absdb.pages.run import Run
from absdb.progress import Report
from absdb.versioning.as_of import Point
from absdb.versioning.branch import create_database, drop_database


def adopt(
    engine: Engine, source: Engine, state: Point, name: str, *, progress: Report | None = None
) -> DatabaseInfo:
    """A new database called `name` that equals `state` of another instance. Costs reading and writing every row."""
    made = renumbered(source.history.catalog_at(state.lineage), engine.allocator.new_id)
    held: set[str] = set()
    try:
        runs = _store_rows(engine, source, state, made, held, progress)
        return _create(engine, source, state.database, name, made, runs)
    finally:
        engine.bulk.leave(held)


def _store_rows(
    engine: Engine,
    source: Engine,
    state: Point,
    made: Renumbered,
    held: set[str],
    progress: Report | None,
) -> list[tuple[TableSchema, Run]]:
    """The rows of every table that has any, in page files of this instance."""
    stored, done = [], 0
    for old, new in made.tables:
        reader = TableReader(old, source.covers.resolve(source.history, old, state.lineage))
        run = engine.bulk.store(new, _rows(reader, new), held)
        if run is not None:
            stored.append((new, run))
            done += run.newest.rows
        if progress is not None:
            progress(done)
    return stored


def _rows(reader: TableReader, new: TableSchema) -> Iterator[pa.RecordBatch]:
    names = [column.page_name for column in new.stored]
    for batch in reader.physical():
        yield new.key_spec.with_key(batch.rename_columns(names))


def _create(
    engine: Engine,
    source: Engine,
    of: DatabaseInfo,
    name: str,
    made: Renumbered,
    runs: list[tuple[TableSchema, Run]],
) -> DatabaseInfo:
    info = create_database(engine, name)
    try:
        with engine.begin(info.id, message=f"restored from a backup of {of.name}") as tx:
            if made.entities:
                tx.change_schema(made.entities)
            for schema, run in runs:
                tx.write_run(schema, run.with_lsn)
            _go_on_counting(tx, source, of.id, made)
            tx.checked_upto = tx.sequence  # these rows have met these constraints where they come from
    except BaseException:
        if engine.writable:
            drop_database(engine, info)
        raise
    return engine.history.databases[info.id]


def _go_on_counting(tx: Transaction, source: Engine, database: DatabaseId, made: Renumbered) -> None:
    """Hand out no number that was handed out there: rows may have it."""
    numbers = source.allocator.to_json()
    for old, new in made.spaces:
        used = _following(numbers, old, database) - 1
        if used:
            tx.engine.allocator.advance(tx.engine, new, tx.database, used)


def _following(numbers: dict[str, Any], space: str, database: DatabaseId) -> int:
    """The first number of a space that no row of a database can have, its own or one merged in."""
    top: int = numbers["tops"].get(space, 1)
    own = [lo for name, owner, lo, hi in numbers["blocks"] if (name, owner, hi) == (space, database, top)]
    return own[0] if own else top
