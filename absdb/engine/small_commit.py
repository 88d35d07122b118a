"""A small verb that is a commit of its own: from dicts to the commit queue without a transaction in between.

The verb (small.py) looks its keys up in the newest published state and leaves the rows here; the net change is
encoded in the committing thread. The leader then has to ask only whether one of the keys was written since, or a
definition changed. If so, or if it takes more than rows and keys to decide (constraints across rows or tables),
`commit_small` gives None, and the verb runs in a transaction, which says what is wrong or tries again.

Called by tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absdb.catalog.commit_entries import CommitEntry
from absdb.catalog.schema import TableSchema
from absdb.engine.apply import apply_rows
from absdb.engine.changeset import TableChange
from absdb.engine.commit import Commit, Undo, append, meta_of
from absdb.engine.head import Head
from absdb.engine.netchange import ROWS_MAX, row_changes
from absdb.engine.numbers import Numbers
from absdb.engine.reader import TableReader
from absdb.engine.rowcodec import Row
from absdb.errors import HistoryExpiredError
from absdb.ids import DatabaseId, TableId
from absdb.pages.section import Key
from absdb.paths import check_text

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

Dicts = Sequence[Mapping[str, Any]]
Verb = Callable[["SmallCommit", TableSchema, Dicts], int]
Take = Callable[[TableSchema, Any], Dicts | None]


class Overtaken(Exception):
    """What the commit rests on changed before its turn came."""


class SmallCommit(Commit, Numbers):
    """What a small verb of a commit of its own reads from and writes to; then the request in the queue."""

    __slots__ = (
        "_catalog",
        "_head",
        "_reader",
        "author",
        "change",
        "engine",
        "message",
        "used",
    )

    def __init__(self, engine: Engine, database: DatabaseId, head: Head) -> None:
        super().__init__(database)
        self.engine = engine
        self.used: dict[str, int] = {}
        self.change: TableChange | None = None
        self.author: str | None = None
        self.message = ""
        self._head = head
        self._catalog = head.catalog
        self._reader: TableReader | None = None  # held, so that others of the same state share it

    # for the verb

    def reader(self, schema: TableSchema) -> TableReader:
        """The table at the newest published state."""
        self._reader = reader = self._head.reader(self.engine, schema)
        return reader

    def write_rows(
        self,
        schema: TableSchema,
        changes: Mapping[Key, tuple[Row, int]],
        befores: Mapping[Key, Row | None],
    ) -> None:
        """What the verb writes, and what it found under these keys."""
        self.change = row_changes(schema, changes, befores, befores.__getitem__)

    # for the committing thread, then the leader

    def submit(self, author: str | None, message: str) -> None:
        """Encode, queue and wait until it is durable. Overtaken if nothing was done."""
        change = self.change
        if change is None:
            return
        self.author, self.message = author, message
        meta = meta_of(author, message)
        self.encode(self._head.era, [change], meta=meta, schema_changes={}, used=self.used)
        self.engine.submit(self)

    def check(self, engine: Engine) -> None:
        if engine.closed or engine.poisoned:
            raise Overtaken
        history, database = engine.history, self.database
        lsn, era = self._head.lsn, self._head.era
        info = history.databases.get(database)
        if info is None or info.protected or info.eras[-1] != era or lsn < history.eras[era].start_lsn:
            raise Overtaken
        if engine.newest.get(database, 0) <= lsn:
            return
        change = self.change
        assert change is not None
        assert change.rows is not None
        table = change.schema.id
        cover = engine.covers.eras.get((era, table))
        if cover is not None and cover.hi > lsn:
            for item in change.rows:
                if cover.written_after(item.key, lsn):
                    raise Overtaken
        if history.redefined_after(era, lsn) or engine.covers.expired_since(era, table, lsn):
            raise Overtaken

    def write(self, engine: Engine, undo: Undo) -> None:
        change, era = self.change, self._head.era
        assert change is not None
        schema = change.schema
        lsn, time_us, txid = append(engine, self)
        cover = engine.covers.era(era, schema)
        undo.cover(cover)
        apply_rows(cover, change, lsn)
        counts = ((schema.id, change.inserted, change.updated, change.deleted),)
        author, message = self.author or "", self.message
        self.entry = CommitEntry(lsn, time_us, era, self.database, txid, author, message, "commit", counts)


def commit_small(
    engine: Engine,
    database: DatabaseId,
    table: TableId,
    verb: Verb,
    take: Take,
    rows: Any,
    *,
    author: str | None,
    message: str,
) -> int | None:
    """Run a verb of small.py on what `take` makes of the rows, and commit; what the verb returned.

    None if nothing was done, because this takes a transaction. Errors are those of the verb in a transaction.
    """
    info = engine.history.databases.get(database)
    if info is None or info.protected or not engine.writable:
        return None
    head = engine.newest_state(database)
    schema = head.catalog.tables.get(table)
    if schema is None or schema.constraints or table in head.catalog.referencing:
        return None
    given = take(schema, rows)
    if given is None or len(given) > ROWS_MAX:
        return None
    author = check_text("author", engine.author if author is None else author)
    check_text("message", message)
    commit = SmallCommit(engine, database, head)
    try:
        count = verb(commit, schema, given)
        commit.submit(author, message)
    except (Overtaken, HistoryExpiredError):  # a transaction sees newer rows, and pins them
        return None
    return count
