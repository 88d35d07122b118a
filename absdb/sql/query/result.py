"""Result: what a statement gave back, as Arrow, pandas, tuples or a stream.

    rows        a query's, streamed from DuckDB and read when asked for; read whole, they can be read again
    a count     of the rows a statement changed
    nothing     of a statement that only does something

Called by session.py; users hold it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.types as pt

from absdb.engine.frames import to_pandas
from absdb.errors import AbsdbError, StateError
from absdb.frame_origin import Provenance, remembered, remembered_stream
from absdb.reprs import counted, grid, html, page, text_grid
from absdb.sql.duck.result_values import python_values
from absdb.sql.query.run import Ready, Running

if TYPE_CHECKING:
    import pandas as pd

_HUGE = pa.decimal128(38, 0)
PREVIEW_ROWS = 10


class Result:
    """The rows of a query, or the number of rows a statement changed.

    Rows are computed as they are read. `to_arrow` and `to_pandas` read all of them, after which they can be read
    again in any form; `to_batches`, `__arrow_c_stream__`, iteration and the `fetch` methods hand them on once, with
    memory bounded by a few batches, if nothing has read them whole before. Errors of the rows themselves (a cast,
    a division) come while reading. What Python or pandas have no value for (dates far away, unions) comes as text or as
    the object that Arrow makes. For one thread; `interrupt` may be called from any.
    """

    def __init__(
        self,
        running: Running | Ready | None = None,
        *,
        table: pa.Table | None = None,
        rowcount: int = -1,
        statement: str = "",
        held: Sequence[Any] = (),
        is_count: bool = False,
        origin: Provenance | None = None,
    ) -> None:
        self._origin = origin
        self._running = running
        self._table = table
        self._held = held
        self._rows: Iterator[tuple[Any, ...]] | None = None
        self._peeked: list[pa.RecordBatch] = []
        self._source: Iterator[pa.RecordBatch] | None = None
        self._handed_on = False
        self.rowcount = rowcount
        """Rows that were changed; of a query, the number of rows once they have been read, -1 before."""
        self.statement = statement
        """What kind of statement it was: `SELECT`, `UPDATE`, `CREATE TABLE`, …"""
        self.is_count = is_count
        """Whether the only row there is says how many rows were changed."""
        self._reader: pa.RecordBatchReader | None = None
        self._schema = pa.schema([]) if table is None else table.schema
        self._exact = [False] * len(self._schema)
        if running is not None:
            self._exact = [kind in ("HUGEINT", "UHUGEINT") for kind in running.kinds()]
            self._reader = running.reader()
            self._schema = self._reader.schema

    # -- what it is

    @property
    def schema(self) -> pa.Schema:
        """Names and Arrow types of the columns; none for a statement without rows."""
        return self._schema

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self._schema.names)

    @property
    def description(self) -> list[tuple[str, pa.DataType, None, None, None, None, bool]] | None:
        """The columns as PEP 249 describes them; None for a statement without rows."""
        if not self._schema.names:
            return None
        return [(field.name, field.type, None, None, None, None, field.nullable) for field in self._schema]

    # -- its rows

    def to_arrow(self) -> pa.Table:
        """All rows as an Arrow table. Sums of integers are decimal128(38, 0), as DuckDB exports them."""
        if self._table is None:
            self._table = pa.Table.from_batches(self._batches(), schema=self._schema)
            self.rowcount = self._table.num_rows
        return self._table if self._origin is None else remembered(self._table, self._origin)

    def to_pandas(self) -> pd.DataFrame:
        """All rows as a DataFrame: integers with NULLs are nullable Int64 and so on, never floats.

        Sums of integers are int64 where they fit, else Python integers.
        """
        return self.frame_of(self.to_arrow())

    def frame_of(self, table: pa.Table) -> pd.DataFrame:
        """Some rows of this result as a DataFrame."""
        for at, huge in enumerate(self._exact):
            if huge:
                table = table.set_column(at, table.column_names[at], _integers(table.column(at)))
        awkward = {
            name: table.column(name) for name in table.column_names if not _fits_pandas(table.column(name))
        }
        if len(set(table.column_names)) < table.num_columns or not awkward:
            return to_pandas(table)
        return _with_objects(to_pandas(table.drop_columns(list(awkward))), awkward, table.column_names)

    def to_polars(self) -> Any:
        """All rows as a polars DataFrame; ImportError if polars is not installed."""
        import polars

        return polars.from_arrow(self.to_arrow())

    def to_batches(self) -> pa.RecordBatchReader:
        """The rows as a stream of record batches, which can be read once."""
        if self._table is not None:
            return self.to_arrow().to_reader()
        rows = pa.RecordBatchReader.from_batches(self._schema, self._batches())
        return rows if self._origin is None else remembered_stream(rows, self._origin)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.to_batches().__arrow_c_stream__(requested_schema)

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, None after the last one."""
        return next(self._tuples(), None)

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """The next rows, at most `size`."""
        rows = self._tuples()
        found: list[tuple[Any, ...]] = []
        while len(found) < size and (row := next(rows, None)) is not None:
            found.append(row)
        return found

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows that have not been fetched yet, as tuples of Python values."""
        return list(self._tuples())

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._tuples()

    def _tuples(self) -> Iterator[tuple[Any, ...]]:
        if self._rows is None:
            batches = self._batches() if self._table is None else self._table.to_batches()
            self._rows = (row for batch in batches for row in self.python_rows(batch))
        return self._rows

    def python_rows(self, batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
        """Rows of a batch of this result as tuples of Python values."""
        columns = [
            [None if value is None else int(value) for value in python_values(column)]
            if huge
            else python_values(column)
            for column, huge in zip(batch.columns, self._exact, strict=True)
        ]
        return zip(*columns, strict=True)

    def _provenance(self) -> Provenance | None:
        return self._origin

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """The rows still to come from DuckDB, once."""
        if self._handed_on:
            raise StateError("the rows of this result have been read already", hint="run the statement again")
        self._handed_on = True
        first, self._peeked = self._peeked, []
        return chain(first, self._source or self._stream())

    def _first(self) -> tuple[list[tuple[Any, ...]], int | None]:
        """(the first rows, how many there are if that is known), which does not use them up."""
        if self._table is None and not self._handed_on:
            self._source = self._source or self._stream()
            # Two batches at least: most results have one, and then it is known how many rows there are.
            while len(self._peeked) < 2 or sum(batch.num_rows for batch in self._peeked) <= PREVIEW_ROWS:
                batch = next(self._source, None)
                if batch is None:
                    self._table = pa.Table.from_batches(self._peeked, schema=self._schema)
                    self._peeked = []
                    break
                self._peeked.append(batch)
        if self._table is None and self._handed_on:
            raise StateError("its rows have been handed on")
        known = self._table
        table = pa.Table.from_batches(self._peeked, schema=self._schema) if known is None else known
        head = table.slice(0, PREVIEW_ROWS)
        rows = [row for batch in head.to_batches() for row in self.python_rows(batch)]
        return rows, None if known is None else known.num_rows

    def _stream(self) -> Iterator[pa.RecordBatch]:
        running, reader = self._running, self._reader
        if running is None or reader is None:
            return
        count = 0
        try:
            while (batch := running.next_batch(reader)) is not None:
                count += batch.num_rows
                yield batch
            self.rowcount = count
            running.finish()
        except Exception as error:
            raise running.error(error) from error
        finally:
            self.close()

    # -- its end

    def close(self) -> None:
        """End the query, if it still runs. What has been read whole stays."""
        running, self._running, self._reader = self._running, None, None
        self._held = ()
        if running is not None:
            running.close()

    def interrupt(self) -> None:
        """Make a query that runs in another thread stop with an error."""
        if self._running is not None:
            self._running.interrupt()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    # -- how it shows itself

    def __repr__(self) -> str:
        if not self._schema.names:
            return (
                f"<Result of {self.statement}>"
                if self.rowcount < 0
                else f"<Result: {self.rowcount} rows changed>"
            )
        try:
            rows, total = self._first()
        except AbsdbError as error:
            return f"<Result: {', '.join(self.columns)}; {error.message}>"
        head = f"<Result: {self._counted(len(rows), total)}>"
        return f"{head}\n{text_grid(self.columns, rows)}" if rows else f"{head} {', '.join(self.columns)}"

    def _counted(self, shown: int, total: int | None) -> str:
        if total is None:
            return f"more than {shown} rows, not read yet"
        return counted(total, "row") + (f", of which {shown} are shown" if total > shown else "")

    def _repr_html_(self) -> str | None:
        return None if not self._schema.names else html(self._shown)

    def _shown(self) -> str:
        rows, total = self._first()
        types = [str(field.type) for field in self._schema]
        table = grid(self.columns, rows, types=types, total=total)
        return page("Result", self.statement, [self._counted(len(rows), total)], table)


def _fits_pandas(column: pa.ChunkedArray) -> bool:
    """Whether pandas has values for all of a column; only types that can be awkward are tried."""
    kind = column.type
    if not (pt.is_nested(kind) or pt.is_date(kind) or pt.is_timestamp(kind)):
        return True
    try:
        column.to_pandas()
    except (ValueError, OverflowError, pa.ArrowException):
        return False
    return True


def _with_objects(frame: pd.DataFrame, awkward: dict[str, pa.ChunkedArray], names: list[str]) -> pd.DataFrame:
    """The frame with columns of Python objects where pandas has no values of its own."""
    import pandas as pd

    for name, column in awkward.items():
        frame.insert(
            names.index(name), name, pd.Series(python_values(column), dtype="object", index=frame.index)
        )
    return frame


def _integers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decimals without digits behind the point as integers, if all of them fit."""
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column
