"""A small stage for the proofs: an engine on any file system, tables in a line, states read back as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine import ddl, load, small, writes
from absdb.engine.definition import ColumnDefinition
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.engine.recovery import open_engine
from absdb.engine.transaction import Transaction
from absdb.ids import DatabaseId
from absdb.io.base import FileSystem
from absdb.versioning.as_of import resolve

Rows = list[dict[str, Any]]

TINY = {"wal_segment_size": 4096, "page_rows": 16, "run_limit": 3, "bulk_threshold": 4096, "author": "proof"}
"""Settings under which a few hundred rows go through everything that millions of rows go through."""


def start(fs: FileSystem, **settings: Any) -> Engine:
    """An engine with tiny limits, which makes segments in the calling thread: calls come in one order."""
    engine = open_engine(fs, arguments={**TINY, **settings})
    in_one_thread(engine)
    return engine


def in_one_thread(engine: Engine) -> None:
    """Let the log make its segments where it is called."""
    ahead, engine.wal._ahead = engine.wal._ahead, None
    if ahead is not None:
        ahead.close()


def database(engine: Engine, name: str = "main") -> DatabaseId:
    return engine.history.database(name).id


def create(tx: Transaction, name: str, key: Sequence[str] = ("id",), **columns: pa.DataType) -> TableSchema:
    """A table with an integer `id`, unless columns say otherwise."""
    columns = columns or {"id": pa.int64(), "value": pa.string()}
    return ddl.create_table(tx, name, [ColumnDefinition(name=n, type=t) for n, t in columns.items()], key=key)


def numbered(ids: Sequence[int], value: str = "x") -> pa.Table:
    """Rows for a table as `create` makes it by default."""
    return pa.table({"id": pa.array(ids, pa.int64()), "value": pa.array([f"{value}{i}" for i in ids])})


def bulk(tx: Transaction, schema: TableSchema, rows: pa.Table, *, refuse_present: bool = True) -> int:
    """Rows by way of page files."""
    return load.load(tx, schema, load.rebatch(rows), refuse_present=refuse_present)


def put(engine: Engine, table: str, ids: Sequence[int], value: str = "x", name: str = "main") -> int:
    """Upsert rows in a commit of their own; returns its LSN."""
    with engine.begin(database(engine, name)) as tx:
        schema = tx.catalog.table(table)
        rows = [{"id": i, "value": f"{value}{i}"} for i in ids]
        if small.is_small(schema, rows):
            small.upsert(tx, schema, rows)
        else:
            writes.upsert(tx, schema, numbered(ids, value))
    assert tx.lsn is not None
    return tx.lsn


def reader(engine: Engine, table: str, name: str = "main", **point: Any) -> TableReader:
    """A table at a point: `lsn=`, `time=`, `snapshot=`, or now."""
    found = resolve(engine, engine.history.database(name), **point)
    schema = engine.history.catalog_at(found.lineage).table(table)
    return TableReader(schema, engine.covers.resolve(engine.history, schema, found.lineage))


def rows(engine: Engine, table: str, name: str = "main", **point: Any) -> Rows:
    """A table's rows in key order."""
    return reader(engine, table, name, **point).to_table().to_pylist()


def ids(engine: Engine, table: str, name: str = "main", **point: Any) -> list[int]:
    return [row["id"] for row in rows(engine, table, name, **point)]
