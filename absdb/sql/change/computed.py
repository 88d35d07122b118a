"""The rows that a statement computes before it changes anything: whole, or as a stream with bounded memory.

Called by the statements that change rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.sql.query import run
from absdb.sql.text.edits import Edit, Edited

if TYPE_CHECKING:
    from absdb.sql.query.prepared import Prepared
    from absdb.sql.session import Call
    from absdb.versioning.scope import TransactionScope


def wrapped(prepared: Prepared, before: str, after: str) -> Prepared:
    """The query as part of a larger one that refers to nothing else."""
    edited = Edited(prepared.text, [Edit(0, 0, before), Edit(len(prepared.text), len(prepared.text), after)])
    return replace(prepared, text=edited.text, edits=[*prepared.edits, edited])


def columns_of(call: Call, prepared: Prepared) -> list[str]:
    """The names of a query's columns; names that come twice are told apart by what is added to them."""
    nothing = wrapped(prepared, "SELECT * FROM (", "\n) LIMIT 0")
    return list(run.table(call.session.backend, nothing, call.values).column_names)


def reads_once(prepared: Prepared) -> bool:
    """Whether a query reads a stream of the caller's, which is gone then."""
    return any(isinstance(value, pa.RecordBatchReader) for value in prepared.objects.values())


@contextmanager
def streamed(call: Call, scope: TransactionScope, prepared: Prepared) -> Iterator[pa.RecordBatchReader]:
    """The rows of a query, for a verb that reads them to their end.

    The statement can be run again after a conflict, unless it reads a stream of the caller's.
    """
    running = call.running(prepared)
    try:
        reader = running.reader()

        def batches() -> Iterator[pa.RecordBatch]:
            try:
                yield from reader
            except Exception as error:
                raise running.error(error) from error

        repeatable = scope.tx.repeatable and not reads_once(prepared)
        yield pa.RecordBatchReader.from_batches(reader.schema, batches())
        scope.tx.repeatable = repeatable
    except BaseException:
        running.close()
        raise
    running.finish()
