"""Cursor: runs statements on a connection and hands their rows out, as tuples or as Arrow.

    execute ── Session.sql ──▶ Result ──▶ batches ──▶ fetchone, fetchmany, fetchall      tuples
                                               └────▶ fetch_arrow_table, fetch_df, …     what has not been fetched

Rows are computed as they are read, a batch at a time. Called by programs, through connection.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from absdb.dbapi.colon_names import with_dollar_names
from absdb.dbapi.errors import InterfaceError, ProgrammingError, translated
from absdb.sql.change.many_rows import execute_many

if TYPE_CHECKING:
    import pandas as pd

    from absdb.dbapi.connection import Connection
    from absdb.sql.query.result import Result

Parameters = Sequence[Any] | Mapping[str, Any] | None
Description = tuple[str, pa.DataType, None, None, int | None, int | None, bool | None]
ROWS_AT_ONCE = 1_024
"""How many rows become Python values at a time when they are fetched one by one."""


class Cursor:
    """Made by `Connection.cursor()`. A cursor has the rows of the statement that it ran last."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self.arraysize = 1
        """How many rows fetchmany() gives if it is not told."""
        self._forget()

    def _forget(self) -> None:
        self._result: Result | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._batch: pa.RecordBatch | None = None
        self._rows: list[tuple[Any, ...]] = []
        self._at = 0
        self._count = -1
        self._fetched = 0

    # -- running statements

    @property
    def connection(self) -> Connection:
        """The connection it belongs to; InterfaceError once the cursor is closed."""
        if self._connection is None:
            raise InterfaceError("the cursor is closed", hint="make another one with cursor()")
        return self._connection

    def execute(self, operation: str, parameters: Parameters = None) -> Self:
        """Run a statement, or several of which the last one's rows are kept; returns the cursor itself.

        `parameters` are bound to `?` or `$1` (a sequence), or to `$name` or `:name` (a mapping), never pasted.
        """
        connection = self._ready()
        with translated():
            if isinstance(parameters, Mapping):
                operation = with_dollar_names(operation, parameters)
            end_at_once = connection.prepare_for(operation)
            try:
                result = connection.session.sql(operation, parameters)
            finally:
                if end_at_once:
                    connection.rollback()
        self._count = result.rowcount
        if result.columns and not result.is_count:
            self._result = result
            self._batches = iter(result.to_batches())
        else:
            result.close()
        return self

    def executemany(self, operation: str, rows: Iterable[Sequence[Any] | Mapping[str, Any]]) -> Self:
        """Run a statement that changes rows once for each row of parameters; `rowcount` is the sum.

        It is one change: if a row fails, none is made. An INSERT of VALUES is run once for all rows, and takes about
        as long as one of an Arrow table. ProgrammingError for a statement that gives rows back.
        """
        connection = self._ready()
        given: list[Sequence[Any] | Mapping[str, Any]] = list(rows)
        with translated():
            if given and isinstance(given[0], Mapping):
                operation = with_dollar_names(operation, given[0])
            end_at_once = connection.prepare_for(operation)
            try:
                self._count = execute_many(connection.session, operation, given)
            finally:
                if end_at_once:
                    connection.rollback()
        return self

    def _ready(self) -> Connection:
        """The connection, after the rows of the statement before have been let go of."""
        connection = self.connection
        connection.session.check_open()
        if self._result is not None:
            self._result.close()
        self._forget()
        return connection

    # -- what came of it

    @property
    def description(self) -> list[Description] | None:
        """The columns: name, Arrow type (which equals a type object), …, precision, scale, nullable.

        None if the statement gave no rows.
        """
        if self._result is None:
            return None
        found: list[Description] = []
        for field in self._result.schema:
            digits = (
                (field.type.precision, field.type.scale) if pa.types.is_decimal(field.type) else (None, None)
            )
            found.append((field.name, field.type, None, None, *digits, field.nullable))
        return found

    @property
    def rowcount(self) -> int:
        """Rows that the statement changed; of a query, the number of rows once all have been fetched, -1 before."""
        return self._count

    @property
    def rownumber(self) -> int | None:
        """How many rows have been fetched one way or another; None without rows."""
        return None if self._result is None else self._fetched

    @property
    def lastrowid(self) -> None:
        """None: INSERT … RETURNING gives keys back."""
        return None

    @property
    def result(self) -> Result:
        """The Result whose rows are fetched. ProgrammingError if there is none."""
        self.connection.session.check_open()
        if self._result is None:
            raise ProgrammingError("there are no rows to fetch", hint="execute() a query first")
        return self._result

    # -- rows as tuples

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, None after the last one."""
        if self._at == len(self._rows) and not self._more(ROWS_AT_ONCE):
            return None
        self._at += 1
        self._fetched += 1
        return self._rows[self._at - 1]

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next rows, at most `size`, or `arraysize` if it is not given."""
        size = self.arraysize if size is None else size
        found: list[tuple[Any, ...]] = []
        while len(found) < size and (self._at < len(self._rows) or self._more(max(ROWS_AT_ONCE, size))):
            taken = self._rows[self._at : self._at + size - len(found)]
            self._at += len(taken)
            found += taken
        self._fetched += len(found)
        return found

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that have not been fetched yet."""
        found: list[tuple[Any, ...]] = []
        while self._at < len(self._rows) or self._more():
            found += self._rows[self._at :]
            self._at = len(self._rows)
        self._fetched += len(found)
        return found

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self

    def __next__(self) -> tuple[Any, ...]:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def _more(self, rows_max: int | None = None) -> bool:
        """Make the next rows tuples, of one batch or a part of it; whether there are any."""
        result = self.result
        with translated():
            batch = self._left() or self._next()
            if batch is None:
                return False
            self._batch = batch
            self._rows = list(result.python_rows(batch if rows_max is None else batch.slice(0, rows_max)))
            self._at = 0
        return True

    def _left(self) -> pa.RecordBatch | None:
        """What of the batch at hand has not been handed out; None if there is nothing."""
        batch, self._batch = self._batch, None
        left = None if batch is None else batch.slice(self._at)
        self._rows, self._at = [], 0
        return left if left is not None and left.num_rows else None

    def _next(self) -> pa.RecordBatch | None:
        """The next batch with rows in it; None after the last one."""
        for batch in self._batches:
            if batch.num_rows:
                return batch
        if self._result is not None and self._count < 0:
            self._count = self._result.rowcount
        return None

    # -- rows as frames

    def fetch_arrow_table(self) -> pa.Table:
        """All rows that have not been fetched yet, as an Arrow table."""
        schema = self.result.schema
        return pa.Table.from_batches(self._rest(), schema=schema)

    def fetch_record_batch(self) -> pa.RecordBatchReader:
        """The rows that have not been fetched yet, as a stream of Arrow batches that can be read once."""
        return pa.RecordBatchReader.from_batches(self.result.schema, self._rest())

    def fetch_df(self) -> pd.DataFrame:
        """All rows that have not been fetched yet, as a DataFrame; integers with NULLs are nullable Int64."""
        return self.result.frame_of(self.fetch_arrow_table())

    def _rest(self) -> Iterator[pa.RecordBatch]:
        with translated():
            batch = self._left() or self._next()
            while batch is not None:
                self._fetched += batch.num_rows
                yield batch
                batch = self._next()

    # -- the rest of PEP 249

    def setinputsizes(self, sizes: Sequence[Any]) -> None:
        """Nothing: values are bound as they are."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Nothing: values come whole."""

    def close(self) -> None:
        """Let go of the rows. The cursor cannot be used any more; closing twice is harmless."""
        if self._result is not None:
            self._result.close()
        count = self._count
        self._forget()
        self._count = count  # programs ask for it afterwards
        self._connection = None

    def __enter__(self) -> Self:
        self._ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
