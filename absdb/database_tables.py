"""DatabaseTables: what a database and an open transaction have in common, which is tables and their definitions.

Forwards to engine/table_creation.py, engine/ddl.py and engine/listing.py. On a database each change is a
commit of its own; in a transaction it becomes part of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from absdb.engine import column_changes, ddl, table_creation
from absdb.engine.constraint_definition import ConstraintDefinition
from absdb.engine.frames import listing
from absdb.engine.listing import schemas, sequences, tables
from absdb.engine.sequences import next_values
from absdb.engine.table_creation import ColumnChanges, split_name
from absdb.engine.transaction import Transaction
from absdb.progress import Progress, reporting
from absdb.table import Table
from absdb.versioning.scope import Scope

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


class DatabaseTables:
    """Tables by name, and their making and removal."""

    __slots__ = ("_scope",)

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    # -- finding them

    def __getitem__(self, name: str) -> Table:
        """The table of that name, `schema.name` outside the default schema; NotFoundError suggests the nearest."""
        return Table(self._scope, self._scope.catalog().table(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and split_name(name) in self._scope.catalog().tables_by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._table_names())

    def _ipython_key_completions_(self) -> list[str]:
        return self._table_names()

    def tables(self) -> pd.DataFrame:
        """One row a table, by name: name, rows, columns, key, comment."""
        return listing(tables(self._scope.catalog(), self._scope.reader))

    def schemas(self) -> pd.DataFrame:
        """One row a schema, the default one first: name, tables."""
        return listing(schemas(self._scope.catalog()))

    # -- making and removing them

    def create_table(
        self,
        name: str,
        source: Any = None,
        *,
        key: str | Sequence[str] | None = None,
        columns: ColumnChanges = (),
        constraints: Iterable[ConstraintDefinition] = (),
        comment: str = "",
        compression: str | None = None,
        if_exists: str = "fail",
        progress: Progress = None,
        message: str = "",
    ) -> Table:
        """Make a table, and load the rows of `source` in the same commit.

        `source` is a frame (pandas, Arrow, anything with `__arrow_c_stream__`, a list of dicts, a dict of
        columns), or only a definition: an Arrow schema, a dict of names and types ("int64", "decimal(12, 2)",
        pa.int64()), or `absdb.Column`s. `columns` changes single columns or adds some, as a dict of types or
        Columns. `key` names the key column, or several; without one rows have a hidden id, and cannot be
        looked up, updated or merged by row. `constraints` holds `absdb.Unique`, `Check` and `ForeignKey`.

        `if_exists` is "fail" (AlreadyExistsError), "skip" (the table that is there is returned as it is) or
        "replace". `compression` is None, "lz4" or "zstd". Large input is streamed with bounded memory, at a
        good part of the disk's speed if it is sorted by key; `progress=True` shows a bar.

            main.create_table("orders", frame, key="id")
            main.create_table("users", {"id": "int64", "email": "string"}, key="id",
                              constraints=[absdb.Unique("email")])
        """
        with reporting(progress, f"load {name}") as report:
            return self._made(
                lambda tx: table_creation.create_table(
                    tx,
                    name,
                    source,
                    key=key,
                    columns=columns,
                    constraints=constraints,
                    comment=comment,
                    compression=compression,
                    if_exists=if_exists,
                    progress=report,
                ),
                message,
            )

    def drop_table(self, name: str, *, message: str = "") -> None:
        """Remove a table; `undrop_table` brings it back for as long as history is kept.

        ConstraintError while a foreign key of another table refers to it.
        """
        self._scope.write(lambda tx: ddl.drop_table(tx, tx.catalog.table(name)), message=message)

    def undrop_table(self, name: str, *, message: str = "") -> Table:
        """Bring back the table of that name that was dropped last, with its rows. NotFoundError if there is none."""
        return self._made(lambda tx: ddl.undrop_table(tx, *reversed(split_name(name))), message)

    def rename_table(self, name: str, new_name: str, *, message: str = "") -> Table:
        """Give a table another name, `schema.name` to move it to another schema."""
        return self._made(
            lambda tx: column_changes.rename_table(tx, tx.catalog.table(name), new_name), message
        )

    def create_schema(self, name: str, *, message: str = "") -> None:
        """Make an SQL schema, a namespace for tables: `db["sales.orders"]`."""
        self._scope.write(lambda tx: ddl.create_namespace(tx, name), message=message)

    def drop_schema(self, name: str, *, message: str = "") -> None:
        """Remove an SQL schema that has no tables; StateError if it has some."""
        self._scope.write(lambda tx: ddl.drop_namespace(tx, name), message=message)

    def create_sequence(self, name: str, *, start: int = 1, increment: int = 1, message: str = "") -> None:
        """Make a sequence; `next_value` takes its values. AlreadyExistsError if there is one of that name.

        Branches take values from blocks of their own (`sequence_block`), so that they never collide.
        """
        self._scope.write(
            lambda tx: ddl.create_sequence(tx, name, start=start, increment=increment), message=message
        )

    def drop_sequence(self, name: str, *, message: str = "") -> None:
        """Remove a sequence. StateError while a column takes its default from it."""
        self._scope.write(lambda tx: ddl.drop_sequence(tx, name), message=message)

    def sequences(self) -> pd.DataFrame:
        """One row a sequence made by `create_sequence`, by name: name, start, increment."""
        return listing(sequences(self._scope.catalog()))

    def next_value(self, sequence: str) -> int:
        """The next value of a sequence, which nobody gets again: no other branch, and no one after a rollback,
        a restore or a crash. So there may be gaps. NotFoundError if there is no such sequence.

        Without branches values come in order. Costs some µs, and a sync of the disk every 32 values.

            main.create_sequence("invoice", start=1000)
            main["invoices"].insert({"number": main.next_value("invoice"), "total": 9.5})
        """
        return self.next_values(sequence, 1)[0]

    def next_values(self, sequence: str, count: int) -> range:
        """The next `count` values of a sequence, adjacent but for the increment, as `next_value` gives them."""
        scope = self._scope
        return next_values(scope.engine, scope.current().id, scope.catalog(), sequence, count)

    def _made(self, work: Callable[[Transaction], Any], message: str) -> Table:
        return Table(self._scope, self._scope.write(work, message=message))

    def _table_names(self) -> list[str]:
        return sorted(table.full_name for table in self._scope.catalog().tables.values())
