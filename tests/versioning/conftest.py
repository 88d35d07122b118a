"""An engine in memory with tiny segments and pages, and short ways to commit and read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from absdb.clock import ManualClock
from absdb.engine import ddl, writes
from absdb.engine.definition import definitions_of
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.engine.recovery import open_engine
from absdb.io.memory import MemoryFileSystem
from absdb.versioning.as_of import Point, resolve

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), ("v", pa.int64()), ("s", pa.string())])
SMALL = {"wal_segment_size": 64 * 1024, "page_rows": 64, "run_limit": 4, "bulk_threshold": 1 << 20}


class World:
    """One engine and what a test does with it."""

    def __init__(
        self, fs: MemoryFileSystem | None = None, clock: ManualClock | None = None, **settings: Any
    ) -> None:
        self.fs = fs or MemoryFileSystem()
        self.clock = clock or ManualClock(tick_us=1_000_000)
        self.settings = {**SMALL, **settings}
        self.engine: Engine = open_engine(self.fs, arguments=self.settings, clock=self.clock)

    def reopen(self, **settings: Any) -> None:
        self.engine.close()
        self.engine = open_engine(self.fs, arguments={**self.settings, **settings}, clock=self.clock)

    def info(self, name: str) -> Any:
        return self.engine.history.database(name)

    def create(self, name: str = "main", table: str = "t") -> None:
        with self.engine.begin(self.info(name).id) as tx:
            ddl.create_table(tx, table, definitions_of(SCHEMA), key=["id"])

    def put(
        self, rows: dict[int, tuple[int | None, str | None]], name: str = "main", table: str = "t"
    ) -> None:
        ids = list(rows)
        given = pa.table(
            {"id": ids, "v": [rows[i][0] for i in ids], "s": [rows[i][1] for i in ids]}, schema=SCHEMA
        )
        with self.engine.begin(self.info(name).id) as tx:
            writes.upsert(tx, tx.catalog.table(table), given)

    def remove(self, ids: list[int], name: str = "main", table: str = "t") -> None:
        with self.engine.begin(self.info(name).id) as tx:
            writes.delete(tx, tx.catalog.table(table), pa.table({"id": pa.array(ids, pa.int64())}))

    def point(self, name: str = "main", **where: Any) -> Point:
        return resolve(self.engine, self.info(name), **where)

    def read(self, point: Point | str = "main", table: str = "t") -> pa.Table:
        if isinstance(point, str):
            point = self.point(point)
        schema = self.engine.history.catalog_at(point.lineage).table(table)
        layers = self.engine.covers.resolve(self.engine.history, schema, point.lineage)
        return TableReader(schema, layers).to_table()

    def rows(self, point: Point | str = "main", table: str = "t") -> dict[int, tuple[Any, ...]]:
        return {row["id"]: tuple(row.values())[1:] for row in self.read(point, table).to_pylist()}


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.engine.close()
