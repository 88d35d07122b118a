"""Table: what a user holds of one table, be it in the newest state, in a transaction, or in the past.

One-line forwards: rows go through engine/intake.py, look-ups through engine/get.py, definitions through
table_columns.py; where it stands is a Scope (versioning/scope.py). A Table follows its table through
renames; if that is gone, it takes the table that has its name now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.branch_colours import branch_html
from absdb.engine import intake, small
from absdb.engine.frames import to_pandas, with_texts
from absdb.engine.get import get
from absdb.engine.intake import SyncCounts, few_keys, few_rows
from absdb.engine.origin import options, origin
from absdb.engine.reader import TableReader
from absdb.engine.small_commit import Take, Verb, commit_small
from absdb.engine.told import told
from absdb.frame_origin import Provenance, remembered, remembered_stream
from absdb.pages.types import describe_type
from absdb.progress import Progress, reporting
from absdb.reprs import ROWS_SHOWN, Html, counted, grid, html, next_step, page, plain, rows_of
from absdb.table_columns import TableColumns
from absdb.versioning.blame import blame
from absdb.versioning.row_read import first_rows, named, stream, table_history
from absdb.versioning.scope import HeadScope, TransactionScope, last_name

if TYPE_CHECKING:
    import pandas as pd


class Table(TableColumns):
    """A table of a database: `main["orders"]`.

    Reads see the last commit, each write is a commit of its own; inside `transaction()` and on `at(…)` states
    they see what those see. Rows come in the order of the key. Safe to use from many threads.
    """

    __slots__ = ()

    # -- reading

    def get(self, key: Any) -> dict[str, Any] | None:
        """One row by its key, None if there is none.

        A key of several columns is a tuple in key order, or a dict. Values are Python's own: datetime,
        Decimal, UUID. Costs some 20 µs. InvalidInputError for a key of the wrong type, or if the table has
        none.

            main["orders"].get(101)["status"]
        """
        return get(self._reader(), key)

    def count(self) -> int:
        """The number of rows. Costs a look-up of the keys changed since the last compaction."""
        return self._reader().count()

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows as an Arrow table in key order, or only some columns, in the order asked for.

        Pages are used in place where possible, so that this costs milliseconds for millions of rows.
        NotFoundError for a column that is not there.
        """
        reader, names = self._reader(), named(columns)
        return remembered(reader.to_table(names), self._origin(reader, "table", columns=names))

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """All rows as a DataFrame in key order, or only some columns.

        Integers and booleans with NULLs become pandas' nullable types rather than floats and objects. Lists,
        structs and maps that hold such, or UUIDs, come as Python's own lists and dicts, a map as a list of
        pairs. All else is as pyarrow converts it, with NaN for NULL in columns of floats.
        """
        return to_pandas(self.to_arrow(columns))

    def to_batches(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """All rows as a stream of record batches in key order, with memory bounded by a few pages.

        The stream sees the state of now, whatever is committed while it is read.
        """
        reader, names = self._reader(), named(columns)
        return remembered_stream(stream(reader, names), self._origin(reader, "table", columns=names))

    def head(self, n: int = 5) -> pd.DataFrame:
        """The first `n` rows in key order, as a DataFrame; reads no more than it shows."""
        reader = self._reader()
        return to_pandas(remembered(first_rows(reader, n), self._origin(reader, "table", n=n)))

    def history(self, key: Any) -> pd.DataFrame:
        """Every version one row has had, oldest first: lsn, time, author, message, operation, then the columns.

        `operation` is insert, update or delete. Goes back as far as history is kept; costs one look-up a run.
        """
        reader, scope = self._reader(), self._scope
        found = table_history(scope.engine, scope.point(), reader.schema, key)
        return to_pandas(remembered(found, self._origin(reader, "history", key=key)))

    def blame(self, *, keys: Any = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Which commit last wrote each row, in key order: the key columns, then lsn, time, author, message, database.

        `keys`, in any form that `delete` takes, asks for some rows only; unknown ones are left out. With `columns` the
        answer has a row a cell, which `column` names, and the commit that last changed that cell; lsn is NULL where
        that was before history is kept. `database` is where the commit was made, NULL if that was dropped. What an
        open transaction has written has no commit yet: NULL throughout. A key column of the same name makes it
        `commit_time` and so on; tables without a key have no key columns, and their rows are in the order of reads.

        Rows know the commit that wrote them: the cost is that of reading the key columns. That of cells follows the
        number of versions that the rows have had. InvalidInputError for keys of a table without one.

            orders.blame(keys=[1, 2], columns=["status"])
        """
        reader = self._reader()
        found = blame(self._scope.engine, reader, keys=keys, columns=columns)
        return with_texts(remembered(found, self._origin(reader, "blame", keys=keys, columns=columns)))

    # -- writing rows

    def insert(
        self, rows: Any, *, message: str = "", author: str | None = None, progress: Progress = None
    ) -> int:
        """Add rows that are not there yet; returns how many.

        `rows` is a dict (one row), a list of dicts, a dict of columns, a DataFrame, an Arrow table or
        batch, or anything with `__arrow_c_stream__`. Columns left out get their default or NULL. All or
        nothing: a key that is there, or comes twice, is a ConstraintError that names it;
        SchemaMismatchError says which column does not fit. Large input is streamed with bounded memory;
        `progress=True` shows a bar, a function is told the rows so far. One row costs one sync of the disk
        and well under a millisecond.

            orders.insert({"id": 1, "status": "new"})
        """
        if progress is None:
            count = self._at_once(small.insert, few_rows, rows, author, message)
            if count is not None:
                return count
        with reporting(progress, f"insert into {self._name}") as report:
            return self._write(lambda tx, schema: intake.insert(tx, schema, rows, report), message, author)

    def upsert(
        self, rows: Any, *, message: str = "", author: str | None = None, progress: Progress = None
    ) -> int:
        """Add rows, or change those that are there by key; returns how many were given.

        `rows` is what `insert` takes, with the key in every row. Columns left out keep their value in rows
        that are there, and get their default in new ones. Rows that equal what is there count in the number, but
        are not written: no diff, log or history shows them, and if all are so, nothing is committed.
        """
        if progress is None:
            count = self._at_once(small.upsert, few_rows, rows, author, message)
            if count is not None:
                return count
        with reporting(progress, f"upsert into {self._name}") as report:
            return self._write(lambda tx, schema: intake.upsert(tx, schema, rows, report), message, author)

    def update(self, rows: Any, *, message: str = "", author: str | None = None) -> int:
        """Change rows that are there, by key; returns how many were found. Rows that are not there are left out.

        Rows that equal what is there are not written, as with `upsert`.

            orders.update({"id": 1, "status": "paid"})
        """
        if (count := self._at_once(small.update, few_rows, rows, author, message)) is not None:
            return count
        return self._write(lambda tx, schema: intake.update(tx, schema, rows), message, author)

    def delete(self, keys: Any, *, message: str = "", author: str | None = None) -> int:
        """Remove rows by key; returns how many there were. Unknown keys are no error.

        `keys` is one key, a list of keys (tuples where the key has several columns), dicts, or a frame or
        dict of columns that has the key columns; its other columns are ignored.

            orders.delete([1, 2, 3])
        """
        if (count := self._at_once(small.delete, few_keys, keys, author, message)) is not None:
            return count
        return self._write(lambda tx, schema: intake.delete(tx, schema, keys), message, author)

    def replace(
        self, rows: Any, *, message: str = "", author: str | None = None, progress: Progress = None
    ) -> int:
        """Put `rows` in the place of all rows there are, in one commit; returns how many were given.

        For tables with a key `sync` does the same and writes only what differs.
        """
        with reporting(progress, f"replace {self._name}") as report:
            return self._write(lambda tx, schema: intake.replace(tx, schema, rows, report), message, author)

    def sync(
        self, rows: Any, *, message: str = "", author: str | None = None, progress: Progress = None
    ) -> SyncCounts:
        """Make the table equal `rows`, writing only what differs; returns how many were added, modified, removed.

        Columns left out keep their values. Costs a comparison of both sides; the commit, and what diffs and
        branches see of it, holds the differences only.

            orders.sync(todays_export)     # SyncCounts(added=120, modified=14, removed=3)
        """
        with reporting(progress, f"sync {self._name}") as report:
            return self._write(lambda tx, schema: intake.sync(tx, schema, rows, report), message, author)

    def truncate(self, *, message: str = "", author: str | None = None) -> int:
        """Remove all rows in one commit; returns how many there were."""
        return self._write(intake.truncate, message, author)

    def _at_once(self, verb: Verb, take: Take, rows: Any, author: str | None, message: str) -> int | None:
        """What a verb of a few rows returns, committed without a transaction; None if this takes one."""
        scope = self._scope
        if type(scope) is not HeadScope:
            return None
        return commit_small(
            scope.engine, scope.database, self._id, verb, take, rows, author=author, message=message
        )

    # -- what Python and notebooks ask

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        raise TypeError(f"{self!r} cannot be iterated; use to_batches(), to_arrow() or to_pandas()")

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.to_batches().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return plain("Table", self._described)

    def _described(self) -> str:
        schema = self._definition()
        shape = f"{counted(len(schema.columns), 'column')}, key {', '.join(schema.key_names) or 'none'}"
        return f"{schema.full_name} of {self._scope.describe()}, {shape}"

    def _repr_html_(self) -> str | None:
        return html(self._shown)

    def _shown(self) -> str:
        schema = self._definition()
        names = [column.name for column in schema.columns]
        types = [describe_type(column.type) for column in schema.columns]
        facts: list[str | Html] = [self._place(), f"key {', '.join(schema.key_names) or 'none'}"]
        reader = self._reader()
        total = reader.count()
        rows = rows_of(first_rows(reader, ROWS_SHOWN))
        facts.append(counted(total, "row"))
        parts = [grid(names, rows, types=types, total=total)]
        if not total and self._scope.writable and not self._scope.engine.read_only:
            parts.append(next_step("There are no rows yet.", "insert(rows)"))
        return page("Table", schema.full_name, facts, *parts)

    def _place(self) -> Html:
        """The database and the point it is seen at, as HTML."""
        scope = self._scope
        if isinstance(scope, TransactionScope):
            return Html(f"of {escape(scope.describe())}")
        point = scope.point()
        between = "@" if scope.writable else "as of"
        return Html(f"of {branch_html(scope.info().name)} {between} {told(scope.engine, point.lsn)}")

    def _provenance(self) -> Provenance:
        return self._origin(self._reader(), "table")

    def _origin(self, reader: TableReader, kind: str, **asked: Any) -> Provenance:
        """What a frame of rows that a reader gave remembers."""
        scope = self._scope
        lsn = scope.point().lsn if reader.lsn is None else reader.lsn
        facts = options(asked)
        name, uncommitted = reader.schema.full_name, reader.own is not None
        return origin(scope.engine, last_name(scope), lsn, kind, table=name, uncommitted=uncommitted, **facts)

    def _reader(self) -> TableReader:
        return self._scope.reader(self._definition())
