"""What the Query page does: runs SQL on a database or a point in its past, and remembers what was run.

    Answer      what came back: rows to page through, or what was done
    History     the statements of this workbench, newest first, each once

A query is read up to READ_BYTES_MAX at once; what is beyond is read as somebody pages to it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.database import Database
from absdb.instance import Instance
from absdb.panels.model.rows import ArrowRows, RowSource, StreamRows
from absdb.panels.model.work import Job
from absdb.reprs import counted
from absdb.sql.completion.names import Names
from absdb.sql.completion.offers import offers

if TYPE_CHECKING:
    from absdb.sql.query.result import Result
    from absdb.sql.session import Session

READ_BYTES_MAX = 128 << 20
REMEMBERED_MAX = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """A text that is run: on which database, and as of when ("" is now)."""

    text: str
    database: str
    point: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back. `table` is the whole result if it was read to its end."""

    asked: Asked
    said: str
    seconds: float
    rows: RowSource | None = None
    table: pa.Table | None = None
    changed: bool = False


@dataclass
class History:
    """What was run, newest first."""

    asked: deque[Asked] = field(default_factory=lambda: deque(maxlen=REMEMBERED_MAX))

    def add(self, asked: Asked) -> None:
        """Remember a text; one that is known moves to the front."""
        if asked in self.asked:
            self.asked.remove(asked)
        self.asked.appendleft(asked)


class Queries:
    """Runs what is asked, one text after another, in one session per database: BEGIN holds until COMMIT."""

    def __init__(self, instance: Instance, frames: Callable[[str], Any] | None = None) -> None:
        self._instance = instance
        self._frames = frames
        self._session: tuple[tuple[str, str], Session] | None = None
        self.history = History()

    @property
    def in_transaction(self) -> bool:
        """Whether a BEGIN waits for its end."""
        return self._session is not None and not self._session[1].closed and self._session[1].in_transaction

    def run(self, job: Job, asked: Asked) -> Answer:
        """Run a text; its last statement's answer. Cancelling the job interrupts it."""
        self.history.add(asked)
        lsn = self._instance.lsn
        session = self._session_of(asked)
        job.on_cancel(session.interrupt)
        begin = time.perf_counter()
        result = session.sql(asked.text, frames=self._frames)
        if not result.schema.names or result.is_count:
            said = result.statement if result.rowcount < 0 else counted(result.rowcount, "row") + " changed"
            seconds = time.perf_counter() - begin
            return Answer(asked, said, seconds, changed=self._instance.lsn != lsn)
        rows, table = _read(result)
        seconds = time.perf_counter() - begin
        said = counted(table.num_rows, "row") if table is not None else "more rows than are read at once"
        return Answer(asked, said, seconds, rows, table, self._instance.lsn != lsn)

    def completions(self, database: str, text: str, cursor: int) -> tuple[int, list[str]]:
        """Where the name at the cursor begins, and what it may become, best first."""
        with self._instance[database].session() as session:
            found = offers(text[:cursor], text[cursor:], Names(session))
        return cursor - (found[0].replaces if found else 0), [offer.text for offer in found]

    def close(self) -> None:
        """End the session; an open transaction is rolled back."""
        if self._session is not None:
            self._session[1].close()
            self._session = None

    def _session_of(self, asked: Asked) -> Session:
        wanted = (asked.database, asked.point)
        if self._session is not None and self._session[0] == wanted and not self._session[1].closed:
            return self._session[1]
        database: Database = self._instance[asked.database]
        state = database.at(asked.point) if asked.point else database
        self.close()
        session = state.session()
        self._session = (wanted, session)
        return session


def _read(result: Result) -> tuple[RowSource, pa.Table | None]:
    """Rows to page through, and all of them if they are not too many."""
    reader = result.to_batches()
    batches, size = [], 0
    for batch in reader:
        batches.append(batch)
        size += batch.nbytes
        if size > READ_BYTES_MAX:
            return StreamRows(chain(batches, reader), reader.schema), None
    table = pa.Table.from_batches(batches, reader.schema)
    return ArrowRows(table), table
