"""The keys that a join with a small table of the caller leaves over, known before DuckDB sees the other table.

    UPDATE orders SET … FROM changes WHERE orders.id = changes.id
    FROM orders JOIN frame USING (id)
    FROM orders SEMI JOIN wanted ON orders.id = wanted.id

Only tables in memory count: frames, and rows that a statement brings (`excluded`, the source of a MERGE). Called by
prune.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from absdb.pages.types import physical_type
from absdb.sql.query.names import NamedTable
from absdb.sql.text.syntax import TableRef

ROWS_MAX = 10_000
"""Beyond it, reading the whole table costs no more than looking up so many keys."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A table in memory, and the name by which the query's columns are qualified, casefolded."""

    label: str
    rows: pa.Table

    @classmethod
    def of(cls, ref: TableRef, path: Sequence[str], rows: pa.Table) -> Frame:
        """The table that `ref` names; without an alias the last part of `path` qualifies its columns."""
        return cls((ref.alias or path[-1]).casefold(), rows)


Frames = Mapping[int, Frame]
"""By the id of the TableRef."""
Named = Mapping[int, NamedTable]


def frame_column(
    node: Mapping[str, Any], ref: TableRef, named: Named, frames: Frames
) -> pa.ChunkedArray | None:
    """The column that a node names, if it is one of a small table beside `ref`."""
    if node.get("class") != "COLUMN_REF":
        return None
    *qualifier, name = [part.casefold() for part in node["column_names"]]
    if not qualifier:
        return only_column(name, ref.beside, named, frames) if ref.alone else None
    called = [other for other in ref.beside if _label(other, frames) == qualifier[-1]]
    if len(qualifier) > 1 or len(called) != 1 or id(called[0]) not in frames:
        return None
    return _column(frames[id(called[0])].rows, name)


def _label(ref: TableRef, frames: Frames) -> str:
    frame = frames.get(id(ref))
    return frame.label if frame is not None else (ref.alias or ref.path[-1]).casefold()


def only_column(name: str, among: Sequence[TableRef], named: Named, frames: Frames) -> pa.ChunkedArray | None:
    """The column of that name in a small table, if no other table among those has one; all must be known."""
    owners = owners_of(name, among, named, frames)
    if owners is None or len(owners) != 1 or id(owners[0]) not in frames:
        return None
    return _column(frames[id(owners[0])].rows, name)


def is_only_owner(ref: TableRef, name: str, among: Sequence[TableRef], named: Named, frames: Frames) -> bool:
    """Whether `ref` is the one table among those that has a column of that name."""
    owners = owners_of(name, among, named, frames)
    return owners is not None and len(owners) == 1 and owners[0] is ref


def owners_of(name: str, among: Sequence[TableRef], named: Named, frames: Frames) -> list[TableRef] | None:
    """The tables that have a column of that name, which is casefolded; None if some table is not known."""
    owners = []
    for ref in among:
        if id(ref) in named:
            names = named[id(ref)].schema.by_name
        elif id(ref) in frames:
            names = frames[id(ref)].rows.column_names
        else:
            return None
        if any(each.casefold() == name for each in names):
            owners.append(ref)
    return owners


def values_of(column: pa.ChunkedArray, kind: pa.DataType) -> list[Any] | None:
    """The distinct values, without NULL; None if they do not compare with a key of type `kind` as they are."""
    if len(column) > ROWS_MAX or not _alike(column.type, physical_type(kind)):
        return None
    distinct: list[Any] = pc.unique(column).drop_null().to_pylist()
    return distinct


def _column(table: pa.Table, name: str) -> pa.ChunkedArray | None:
    found = [at for at, each in enumerate(table.column_names) if each.casefold() == name]
    return table.column(found[0]) if len(found) == 1 else None


def _alike(one: pa.DataType, key: pa.DataType) -> bool:
    """Whether DuckDB compares the two kinds of values without changing any of them."""
    return one == key or (pt.is_integer(one) and pt.is_integer(key)) or (_is_text(one) and _is_text(key))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))
