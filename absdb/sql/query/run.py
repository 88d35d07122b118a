"""Running a prepared query on DuckDB, read whole or as a stream.

Called by result.py, and by the statements that compute the rows they change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.errors import AbsdbError, StateError
from absdb.sql.duck.connection import Backend
from absdb.sql.duck.duck_errors import query_error
from absdb.sql.duck.export import Export
from absdb.sql.duck.interrupts import interruptible

if TYPE_CHECKING:
    from absdb.sql.query.prepared import Prepared

BATCH_ROWS = 65_536
_EXPLAIN = "EXPLAIN "


class Running:
    """A query that has begun, on a connection of its own, which it gives back at the end of its rows."""

    def __init__(self, backend: Backend, prepared: Prepared, values: Mapping[str, Any]) -> None:
        self._backend = backend
        self._prepared = prepared
        self._cursor: Any = backend.cursor()
        used: dict[str, Any] = {}
        try:
            for name, value in prepared.objects.items():
                self._cursor.register(name, value)
            for statement in prepared.setup:
                self._cursor.execute(statement).fetchall()
            used = {name: value for name, value in values.items() if f"${name}" in prepared.text}
            self.relation = self._cursor.sql(prepared.text, **({"params": used} if used else {}))
        except Exception as error:
            placed = self._placed(error, used)
            self.close()
            raise placed from error
        except BaseException:
            self.close()
            raise

    def _placed(self, error: Exception, used: dict[str, Any]) -> Exception:
        """The error with its place in the text, which DuckDB leaves out when it makes a relation."""
        if '"exception_message"' not in str(error):
            try:
                self._cursor.execute(_EXPLAIN + self._prepared.text, used or None).fetchall()
            except Exception as again:
                return _error(again, self._prepared, shift=len(_EXPLAIN))
        return self.error(error)

    def error(self, error: Exception) -> Exception:
        """What to raise for an error of DuckDB."""
        if self._backend.closed:
            return StateError("the instance is closed", hint="read results before it is")
        return _error(error, self._prepared)

    def table(self) -> pa.Table:
        """All rows."""
        try:
            raw = interruptible(self._cursor, self.relation.to_arrow_table)
            found = Export(raw.schema, self.kinds()).table(raw)
        except Exception as error:
            self.close()
            raise self.error(error) from error
        except BaseException:
            self.close()
            raise
        self.finish()
        return found

    def reader(self) -> pa.RecordBatchReader:
        """The rows as they come; `finish` when they have all come, else `close`."""
        try:
            relation = self.relation
            raw = interruptible(self._cursor, lambda: relation.to_arrow_reader(BATCH_ROWS))
        except Exception as error:
            self.close()
            raise self.error(error) from error
        except BaseException:
            self.close()
            raise
        export = Export(raw.schema, self.kinds())
        if export.schema is raw.schema:
            return raw
        return pa.RecordBatchReader.from_batches(export.schema, map(export.batch, raw))

    def kinds(self) -> list[str]:
        """DuckDB's types of the columns."""
        return [str(kind) for kind in self.relation.types]

    def finish(self) -> None:
        """Give the connection back."""
        cursor, self._cursor = self._cursor, None
        self.relation = None
        if cursor is None:
            return
        if self._prepared.setup or self._prepared.leaves_types:
            self._backend.discard(cursor)
        else:
            self._backend.release(cursor, self._prepared.objects)

    def close(self) -> None:
        """End the query, wherever it is."""
        cursor, self._cursor = self._cursor, None
        self.relation = None
        if cursor is not None:
            self._backend.discard(cursor)

    def next_batch(self, reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
        """The next rows of its reader, None after the last ones."""
        return interruptible(self._cursor, lambda: next(reader, None))

    def interrupt(self) -> None:
        """Make it stop with an error; may be called from another thread."""
        cursor = self._cursor
        if cursor is not None:
            cursor.interrupt()


class Ready:
    """Rows that are there, handed on like those of a query that has begun."""

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows

    def kinds(self) -> list[str]:
        """DuckDB's types of the columns; "" for those that need no care."""
        return [""] * self._rows.num_columns

    def reader(self) -> pa.RecordBatchReader:
        """The rows as they come."""
        return self._rows.to_reader()

    def next_batch(self, reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
        """The next rows of its reader, None after the last ones."""
        return next(reader, None)

    def error(self, error: Exception) -> Exception:
        """What to raise for an error while the rows are read."""
        return error

    def finish(self) -> None:
        """All rows have come."""

    close = interrupt = finish


def _error(error: Exception, prepared: Prepared, *, shift: int = 0) -> AbsdbError:
    return query_error(error, prepared.text, prepared.edits, shift=shift, columns=prepared.column_names)


def table(backend: Backend, prepared: Prepared, values: Mapping[str, Any]) -> pa.Table:
    """The rows of a query."""
    return Running(backend, prepared, values).table()


def explained(
    backend: Backend, prepared: Prepared, values: Mapping[str, Any], *, analyze: bool
) -> list[tuple[str, str]]:
    """DuckDB's plan of a query: (kind of plan, text)."""
    verb = "EXPLAIN ANALYZE " if analyze else "EXPLAIN "
    used = {name: value for name, value in values.items() if f"${name}" in prepared.text}
    with backend.registered(prepared.objects) as connection:
        try:
            rows = interruptible(
                connection, lambda: connection.execute(verb + prepared.text, used or None).fetchall()
            )
        except Exception as error:
            raise _error(error, prepared, shift=len(verb)) from error
    return [(str(kind), str(plan)) for kind, plan in rows]


def fetch(backend: Backend, prepared: Prepared, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a small result as tuples of Python values."""
    found = table(backend, prepared, values)
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))
