"""What a patch does to the rows of one table, and from where it takes them.

    by key      the row diff; columns that it does not compare as they will be (given another type, or dropped on one
                side) are filled from a comparison of both sides
    by content  tables without a key, unless columns like these make it all rows

Called by patch.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import pyarrow as pa

from absdb.catalog.schema import Column, TableSchema
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.errors import InvalidInputError
from absdb.pages.types import can_widen, physical_type
from absdb.sql.compare.computed import computed
from absdb.sql.compare.content import content_of
from absdb.sql.compare.definitions import Definitions, table_path
from absdb.sql.compare.literals import literals, value_literal
from absdb.sql.compare.patch_rows import RowPatch
from absdb.sql.compare.patch_tables import TableChanges
from absdb.sql.duck.streams import RowStream
from absdb.sql.text.tokens import quoted
from absdb.versioning.diff import Diff
from absdb.versioning.diff_choice import Choice, choice, without
from absdb.versioning.diff_counts import DiffCounts
from absdb.versioning.diff_source import TableSource, wanted_counts, wanted_rows
from absdb.versioning.row_read import stream
from absdb.versioning.table_diff import TableDiff


def written_columns(table: TableSchema) -> list[str]:
    """The columns that statements give values to: those that are not generated."""
    return [column.name for column in table.columns if column.generated is None]


def rows_of(reader: TableReader, names: list[str]) -> RowStream:
    """The rows of a table, some columns of them."""
    return RowStream(stream(reader, names).schema, lambda: stream(reader, names))


def new_rows(engine: Engine, reader: TableReader, new: Definitions) -> Iterator[str]:
    """All rows of a table, for one that is empty."""
    table = reader.schema
    kinds = {column.name: new.type_of(table, column) for column in table.columns}
    names = written_columns(table)
    patch = RowPatch(engine, table_path(table), table.key_names, kinds)
    yield from patch.inserts(rows_of(reader, names), {name: name for name in names})


class RowChanges:
    """The statements for the rows of a table that both states have."""

    def __init__(
        self, diff: Diff, rows: TableDiff, changes: TableChanges, new: Definitions, wanted: Choice
    ) -> None:
        self._engine = diff.engine
        self._diff = diff
        self._changes = changes
        self.table = changes.target
        self._wanted = wanted
        self._key = list(self.table.key_names)
        there = {column.id for column in self.table.columns}
        skipped = {after.id for before, after in changes.cast if not _comparable(before, after)}
        self._kept = [
            shared
            for shared in rows.columns
            if shared.target.id in there - skipped and shared.target.generated is None
        ]
        left = [shared.name for shared in rows.columns if shared not in self._kept]
        self._rows = TableSource(without(rows, left))
        self._names = [shared.name for shared in self._kept if shared.name not in wanted.ignore]
        self._reader, self._before = rows.target, rows.source
        known = {shared.target.id for shared in self._kept} | set(self.table.key)
        self.filled = [c for c in self.table.columns if c.id not in known and c.generated is None]
        """Columns whose values the row diff does not tell."""
        kinds = {column.name: new.cast_to(self.table, column) for column in self.table.columns}
        self._kinds = kinds
        self._patch = RowPatch(self._engine, table_path(self.table), self._key, kinds)
        if wanted != Choice() and (self.filled or not self._key):
            reason = "columns that are made anew" if self._key else "no key"
            raise InvalidInputError(
                f"table {self.table.full_name!r} has {reason}, so a patch takes all its rows",
                hint="call patch() on the diff without options",
            )

    @cached_property
    def counts(self) -> DiffCounts:
        """How many rows are added, modified and removed."""
        return wanted_counts(self._rows, self._wanted, self._engine.evaluator)

    def changes_any_of(self, columns: list[Column]) -> bool:
        """Whether modified rows, or filled columns, are among these."""
        if any(column in self.filled for column in columns):
            return True
        names = [s.name for s in self._kept if s.name in self._names and s.target in columns]
        if not self.counts.modified or not names:
            return False
        wanted = choice(self._wanted, columns=names, kinds="modified")
        return bool(wanted_counts(self._rows, wanted, self._engine.evaluator).modified)

    def deletes(self) -> Iterator[str]:
        """DELETE of what is not there any more; of tables without a key also what comes back."""
        if not self._key:
            yield from self._by_content()
        elif self.counts.removed:
            yield from self._patch.deletes(self._stream())

    def updates(self) -> Iterator[str]:
        """UPDATE of what changed in a row."""
        if self._key and self.filled:
            yield from self._fills()
        if self._key and self.counts.modified:
            yield from self._patch.updates(self._stream(), self._names)

    def inserts(self) -> Iterator[str]:
        """INSERT of what was not there."""
        if not self._key or not self.counts.added:
            return
        if self.filled:
            yield from self._added_whole()
            return
        names = {f"key {name}": name for name in self._key}
        names |= {f"to {name}": name for name in self._names}
        yield from self._patch.inserts(self._stream(), names, "diff_type = 'added'")

    def _stream(self) -> RowStream:
        """The rows of the diff as `patch_rows` names their columns."""
        names = self._names
        first = 1 + len(self._key)
        places = [*range(first), *(first + 2 * at + 1 for at in range(len(names))), first + 2 * len(names)]
        labels = ["diff_type", *(f"key {n}" for n in self._key), *(f"to {n}" for n in names), "changed"]

        def make() -> pa.RecordBatchReader:
            rows = wanted_rows(self._rows, self._wanted, self._engine.evaluator)
            fields = [
                rows.schema.field(at).with_name(label) for at, label in zip(places, labels, strict=True)
            ]
            schema = pa.schema(fields)
            return pa.RecordBatchReader.from_batches(
                schema,
                (pa.RecordBatch.from_arrays([b.column(at) for at in places], schema=schema) for b in rows),
            )

        return RowStream(make().schema, make)

    # -- what the row diff does not tell

    def _sides(self) -> dict[str, Any]:
        names = [column.name for column in self._before.schema.columns]
        return {
            "old": rows_of(self._before, names),
            "new": rows_of(self._reader, written_columns(self.table)),
        }

    def _same(self) -> str:
        """The condition that rows of `old` and `new` are the same by key, whatever its columns were called."""
        pairs = zip(self._before.schema.key_names, self._key, strict=True)
        return " AND ".join(f"old.{quoted(a)} = new.{quoted(b)}" for a, b in pairs)

    def _fills(self) -> Iterator[str]:
        """Updates of each column that is filled, in the rows in which it is not what the definition made of it."""
        casts = {after.id: before for before, after in self._changes.cast}
        for column in self.filled:
            kind, before = self._kinds[column.name], casts.get(column.id)
            if before is not None:
                made = f"TRY_CAST(old.{quoted(before.name)} AS {kind})"
            else:
                made = f"CAST({value_literal(self._engine, column.initial_default, column.type)} AS {kind})"
            names = [*self._key, column.name]
            chosen = ", ".join(f"new.{quoted(name)}" for name in names)
            text = f"""SELECT {chosen} FROM new JOIN old ON {self._same()}
                WHERE {made} IS DISTINCT FROM new.{quoted(column.name)}"""
            rows = computed(self._engine, text, self._sides()).to_batches()
            for batch in literals(self._engine, rows, {name: self._kinds[name] for name in names}):
                yield from self._patch.sets(batch, [column.name])

    def _added_whole(self) -> Iterator[str]:
        """Rows that only the target has, with all columns."""
        text = f"SELECT * FROM new ANTI JOIN old ON {self._same()}"
        rows = computed(self._engine, text, self._sides()).to_batches()
        yield from self._patch.inserts(rows, {name: name for name in written_columns(self.table)})

    def _by_content(self) -> Iterator[str]:
        if self.filled:
            yield f"DELETE FROM {table_path(self.table)};\n"
            names = written_columns(self.table)
            yield from self._patch.inserts(rows_of(self._reader, names), {name: name for name in names})
            return
        names = self._names
        every = self._diff.table(self.table.full_name).columns
        found = content_of(self._diff, self.table.full_name, [s.name for s in every if s.name not in names])
        yield from self._patch.contents(RowStream(found.schema(), found.rows), names)


def _comparable(before: Column, after: Column) -> bool:
    """Whether a row diff compares a column by the values that it had and has, in the wider of its types."""
    return can_widen(physical_type(after.type), physical_type(before.type))
