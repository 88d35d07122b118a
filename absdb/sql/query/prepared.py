"""What rewriting a query gives: its text, what to register for it, and the tables it reads.

Made by rewrite.py; used by run.py and explain.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from absdb.sql.query.names import NamedTable
from absdb.sql.text.edits import Edited
from absdb.sql.text.syntax import TableRef

Frames = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class StandIn:
    """A table made for a statement that takes the place of a named one: columns may be qualified with `path`."""

    rows: Any
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableRead:
    """A table that a query reads: which columns (None for all), and the tables and frames beside it."""

    named: NamedTable
    ref: TableRef
    beside: Mapping[int, NamedTable]
    frames: Mapping[int, Any]
    columns: list[str] | None


@dataclass
class Prepared:
    """A query ready to run: its text, what to register, and the way back to what the user wrote."""

    text: str
    edits: list[Edited]
    objects: dict[str, Any]
    setup: list[str]
    held: list[Any]
    leaves_types: bool = False
    """Whether DuckDB makes types for it, which stay on the connection."""
    reads: Sequence[TableRead] = ()
    """The tables of databases that it reads."""
    frames_read: Sequence[str] = ()
    """The variables of the program that it reads."""

    def column_names(self) -> set[str]:
        """The columns of what it reads, also those that it does not name: what a misspelt one may have meant."""
        names = {name for read in self.reads for name in read.named.schema.arrow_schema.names}
        return names.union(*(rows.schema.names for rows in self.objects.values() if hasattr(rows, "schema")))
