"""What the Diff page does: compares two states, shows a table's rows that differ, profiles both sides, exports.

Side          a database, and as of when ("" is now)
Filter        which of the rows that differ are shown
Comparison    the diff of two sides; it reads the states of when it was made
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.database import Database
from absdb.diff import Diff, TableDiff
from absdb.errors import InvalidInputError
from absdb.instance import Instance
from absdb.io.row_files import WRITABLE, format_of, replacing, write
from absdb.panels.model.rows import StreamRows
from absdb.sql.text.tokens import quoted

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("added", "modified", "removed")
VALUES_MAX = 40
"""Up to how many distinct values a column is profiled value by value."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two states."""

    database: str
    point: str = ""

    def state(self, instance: Instance) -> Database:
        """The state itself."""
        database = instance[self.database]
        return database.at(self.point) if self.point else database

    def __str__(self) -> str:
        return f"{self.database} as of {self.point}" if self.point else self.database


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows: kinds, a column that changed, an SQL condition, a text that some cell contains."""

    kinds: tuple[str, ...] = KINDS
    column: str = ""
    condition: str = ""
    search: str = ""

    def applied(self, diff: TableDiff) -> TableDiff:
        """The diff with only those rows. NotFoundError, QueryError for what is misspelt."""
        if not self.kinds:
            raise InvalidInputError("no kind of change is chosen", hint="choose added, modified or removed")
        kinds = None if set(self.kinds) == set(KINDS) else list(self.kinds)
        conditions = [f"({self.condition})"] if self.condition else []
        if self.search:
            pattern = self.search.replace("'", "''")
            columns = [
                name for name in diff.to_batches().schema.names if name not in ("diff_type", "changed")
            ]
            found = " OR ".join(
                f"contains(lower({quoted(name)}::VARCHAR), lower('{pattern}'))" for name in columns
            )
            conditions.append(f"({found})")
        column = [self.column] if self.column else None
        return diff.where(" AND ".join(conditions) or None, kinds=kinds, columns=column)


@dataclass(frozen=True)
class ColumnProfile:
    """A column on both sides: facts (what, from, to); and how often each value is there, if they are few."""

    facts: list[tuple[str, str, str]]
    values: list[tuple[str, int, int]]


class Comparison:
    """What `target` has that `source` has not."""

    def __init__(self, instance: Instance, target: Side, source: Side) -> None:
        self.target, self.source = target, source
        self._target = target.state(instance)
        self.diff: Diff = self._target.diff(source.state(instance))

    def summary(self) -> pa.Table:
        """table, change, rows, cells."""
        found = self.diff.summary()
        return pa.table(
            {
                "table": pa.array(found["table_name"].astype(str), pa.string()),
                "change": pa.array(found["operation"].astype(str), pa.string()),
                "rows": pa.array(found["row_count"], pa.int64(), from_pandas=True),
                "cells": pa.array(found["cell_count"], pa.int64(), from_pandas=True),
            }
        )

    def definitions(self) -> pa.Table:
        """What changed in definitions: table, kind, item, change, from, to; as texts."""
        frame = self.diff.schema()
        names = [name.removesuffix("_name").removesuffix("_value") for name in frame.columns]
        texts = [
            pa.array([None if value is None else str(value) for value in frame[name]], pa.string())
            for name in frame.columns
        ]
        return pa.table(texts, names=names)

    def compared(self, table: str) -> list[str]:
        """The columns that both sides have besides the key."""
        names = self.diff[table].to_batches().schema.names
        return [name.removeprefix("to_") for name in names if name.startswith("to_")]

    def rows(self, table: str, wanted: Filter) -> StreamRows:
        """The rows of a table that differ, to page through."""
        found = wanted.applied(self.diff[table])
        reader = found.to_batches()
        return StreamRows(iter(reader), reader.schema, self.compared(table), len(found))

    def frame(self, table: str, wanted: Filter) -> pd.DataFrame:
        """The same as a frame."""
        return wanted.applied(self.diff[table]).to_pandas()

    def patch(self) -> str:
        """SQL that makes the source what the target is."""
        return "".join(self.diff.patch())

    def save(self, path: str, table: str, wanted: Filter, *, replace: bool) -> int:
        """Write the rows to a file in the format of its name, or with `.sql` the patch of all tables; its bytes.

        AlreadyExistsError if there is such a file and not `replace`.
        """
        if os.path.basename(path).lower().endswith(".sql"):
            return self._save_patch(path, replace=replace)
        kind = format_of(path, None, WRITABLE)
        reader = wanted.applied(self.diff[table]).to_batches()
        batches: Iterator[pa.RecordBatch] = iter(reader)
        return write(path, kind, reader.schema, batches, force=replace)[1]

    def profile(self, table: str, column: str) -> ColumnProfile:
        """A column on both sides. Costs a scan of each."""
        diff = self.diff[table]
        frame = diff.profile()
        row = frame[frame["column"] == column]
        if row.empty:
            raise InvalidInputError(f"there is no column {column!r} on both sides of {table!r}")
        facts = []
        for name in frame.columns:
            if name.startswith("from_"):
                what = name.removeprefix("from_")
                old, new = row[name].iloc[0], row[f"to_{what}"].iloc[0]
                facts.append((_words(what), _value(what, old), _value(what, new)))
        distinct = max(row["from_distinct"].iloc[0], row["to_distinct"].iloc[0])
        return ColumnProfile(facts, self._values(diff, column) if distinct <= VALUES_MAX else [])

    def _values(self, diff: TableDiff, column: str) -> list[tuple[str, int, int]]:
        totals = diff.group_totals(column).to_dict("records")
        found = [(_label(row[column]), int(row["from_rows"]), int(row["to_rows"])) for row in totals]
        return sorted(found, key=lambda one: -max(one[1:]))[:VALUES_MAX]

    def _save_patch(self, path: str, *, replace: bool) -> int:
        size = 0
        with replacing(path, force=replace) as put:
            for statement in self.diff.patch():
                data = statement.encode()
                put(data)
                size += len(data)
        return size


def _label(value: object) -> str:
    return "NULL" if value is None or value != value else str(value)


def _words(name: str) -> str:
    return {"null_rate": "NULL", "distinct": "distinct (about)"}.get(name, name)


def _value(what: str, value: object) -> str:
    if value is None or value != value:
        return "-"
    if what == "null_rate" and isinstance(value, float):
        return f"{value:.2%}"
    return (
        f"{value:,.6g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )
