"""An engine in memory as tests of its modules use it: tiny limits, SQL expressions, short ways to write and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from absdb.catalog.schema import Constraint, TableSchema
from absdb.engine import ddl, intake
from absdb.engine.checkpoint import checkpoint
from absdb.engine.compaction import compact_table, maintain
from absdb.engine.constraint_definition import ConstraintDefinition, add_constraint
from absdb.engine.definition import ColumnDefinition
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.engine.recovery import open_engine
from absdb.engine.transaction import Transaction
from absdb.io.memory import MemoryFileSystem
from absdb.sql.duck.expressions import SqlEvaluator
from absdb.versioning.as_of import Point, resolve
from absdb.versioning.branch import create_branch

SMALL = {
    "wal_segment_size": 64 * 1024,
    "page_rows": 32,
    "run_limit": 3,
    "bulk_threshold": 1 << 20,
    "sequence_block": 8,
    "author": "tests",
}

Rows = list[dict[str, Any]]
Column = ColumnDefinition


class Stage:
    """One engine on a file system in memory, and what a test does with it."""

    def __init__(self, **settings: Any) -> None:
        self.fs = MemoryFileSystem()
        self.settings = {**SMALL, **settings}
        self.sql = SqlEvaluator()
        self.engine: Engine
        self.open()

    def open(self) -> None:
        self.engine = open_engine(self.fs, arguments=self.settings, evaluator=self.sql, upkeep=False)

    def reopen(self) -> None:
        """Close, and open again."""
        self.engine.close()
        self.open()

    def crash(self) -> None:
        """Lose what is in memory, and open again."""
        self.engine.abandon()
        self.open()

    def close(self) -> None:
        self.engine.close()
        self.sql.close()

    # transactions

    def begin(self, name: str = "main") -> Transaction:
        return self.engine.begin(self.engine.history.database(name).id)

    def branch(self, name: str, source: str = "main", **point: Any) -> None:
        create_branch(self.engine, name, self.point(source, **point))

    def point(self, name: str = "main", **where: Any) -> Point:
        return resolve(self.engine, self.engine.history.database(name), **where)

    # definitions

    def create(
        self,
        table: str,
        columns: Mapping[str, Any] | Sequence[ColumnDefinition],
        key: str | Sequence[str] = "id",
        *constraints: ConstraintDefinition,
        database: str = "main",
    ) -> None:
        """A table in a commit of its own; no key if `key` is empty."""
        with self.begin(database) as tx:
            make(tx, table, columns, key, *constraints)

    def alter(
        self, verb: Callable[..., Any], table: str, *args: Any, database: str = "main", **details: Any
    ) -> Any:
        """One verb of ddl on a table, in a commit of its own."""
        with self.begin(database) as tx:
            return verb(tx, tx.catalog.table(table), *args, **details)

    def schema(self, table: str, database: str = "main", **where: Any) -> TableSchema:
        return self.engine.history.catalog_at(self.point(database, **where).lineage).table(table)

    # rows

    def insert(self, table: str, rows: Any, database: str = "main") -> None:
        with self.begin(database) as tx:
            intake.insert(tx, tx.catalog.table(table), rows)

    def upsert(self, table: str, rows: Any, database: str = "main") -> None:
        with self.begin(database) as tx:
            intake.upsert(tx, tx.catalog.table(table), rows)

    def update(self, table: str, rows: Any, database: str = "main") -> None:
        with self.begin(database) as tx:
            intake.update(tx, tx.catalog.table(table), rows)

    def delete(self, table: str, keys: Any, database: str = "main") -> None:
        with self.begin(database) as tx:
            intake.delete(tx, tx.catalog.table(table), keys)

    def reader(self, table: str, database: str = "main", **where: Any) -> TableReader:
        point = self.point(database, **where)
        schema = self.engine.history.catalog_at(point.lineage).table(table)
        return TableReader(schema, self.engine.covers.resolve(self.engine.history, schema, point.lineage))

    def read(self, table: str, database: str = "main", **where: Any) -> pa.Table:
        return self.reader(table, database, **where).to_table()

    def rows(self, table: str, database: str = "main", **where: Any) -> Rows:
        found: Rows = self.read(table, database, **where).to_pylist()
        return found

    def lsn(self, database: str = "main") -> int:
        return int(self.point(database).lsn)

    # what goes on behind

    def checkpoint(self) -> None:
        checkpoint(self.engine)

    def compact(self, table: str, database: str = "main") -> None:
        compact_table(self.engine, self.engine.history.database(database).id, self.schema(table, database))

    def maintain(self) -> None:
        maintain(self.engine)


def make(
    tx: Transaction,
    table: str,
    columns: Mapping[str, Any] | Sequence[ColumnDefinition],
    key: str | Sequence[str] = "id",
    *constraints: ConstraintDefinition | Constraint,
) -> TableSchema:
    """A table in a transaction: columns as names and types, or definitions."""
    if isinstance(columns, Mapping):
        columns = [Column(name, kind) for name, kind in columns.items()]
    keys = [key] if isinstance(key, str) and key else list(key)
    schema = ddl.create_table(tx, table, columns, key=keys)
    for constraint in constraints:
        schema = add_constraint(tx, schema, constraint)
    return schema


def rows_in(tx: Transaction, table: str) -> Rows:
    """What a transaction sees in a table."""
    found: Rows = tx.reader(tx.catalog.table(table)).to_table().to_pylist()
    return found
