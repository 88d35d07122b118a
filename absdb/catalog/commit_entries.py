"""Entries of the commit log, and their form as Arrow batches: SCHEMA, one row a commit.

Called by commitlog.py, which keeps and stores them; the engine makes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[Any]
_COUNTS = ("table_id", "inserted", "updated", "deleted")
SCHEMA = pa.schema(
    [
        ("lsn", pa.int64()),
        ("time", pa.timestamp("us", tz="UTC")),
        *((name, pa.int64()) for name in ("era", "database_id", "txid")),
        *((name, pa.string()) for name in ("author", "message", "kind")),
        ("tables", pa.list_(pa.struct([(name, pa.int64()) for name in _COUNTS]))),
        ("schema_changed", pa.bool_()),
    ]
)


@dataclass(slots=True)
class CommitEntry:
    """One commit. `lsn` is the end of its record; `tables`: (table id, rows inserted, updated, deleted).

    Never changed, though not frozen: that would double what it costs to make one, once a commit.
    """

    lsn: int
    time_us: int
    era: int
    database_id: int
    txid: int
    author: str | None
    message: str | None
    kind: str
    tables: tuple[tuple[int, int, int, int], ...] = ()
    schema_changed: bool = False


def encode_entries(entries: Sequence[CommitEntry]) -> pa.RecordBatch:
    """Entries as a batch of SCHEMA."""
    columns = {name: [getattr(entry, name) for entry in entries] for name in CommitEntry.__slots__}
    counts = np.array([*chain.from_iterable(columns["tables"])], np.int64).reshape(-1, len(_COUNTS))
    kind = SCHEMA.field("tables").type
    flat = pa.StructArray.from_arrays([*map(pa.array, counts.T.copy())], fields=list(kind.value_type))
    ends = np.cumsum([0, *map(len, columns["tables"])], dtype=np.int32)
    columns["tables"] = pa.ListArray.from_arrays(pa.array(ends), flat, type=kind)
    arrays = [pa.array(column, field.type) for column, field in zip(columns.values(), SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _by_table(tables: pa.ListArray) -> tuple[Ints, list[pa.Array]]:
    """Where each commit's tables begin and end in the flat columns of ids and counts, and these columns."""
    offsets = numbers_of(tables.offsets, np.int32)
    return offsets - offsets[0], tables.flatten().flatten()


def decode_entries(batch: pa.RecordBatch) -> Iterator[CommitEntry]:
    """The entries of a batch of SCHEMA."""
    columns = dict(zip(CommitEntry.__slots__, batch.columns, strict=True))
    ends, flat = _by_table(columns.pop("tables"))
    tables = [*zip(*(column.to_pylist() for column in flat), strict=True)]
    columns["time_us"] = columns["time_us"].view(pa.int64())
    plain = {name: column.to_pylist() for name, column in columns.items()}
    plain["tables"] = [tuple(tables[first:end]) for first, end in pairwise(ends.tolist())]
    return map(CommitEntry, *(plain[name] for name in CommitEntry.__slots__))


def frame_of(batches: list[pa.RecordBatch]) -> pa.Table:
    """One row a commit: lsn, time, author, message, kind, rows_* summed over its tables, table ids."""
    table = pa.Table.from_batches(batches, SCHEMA)
    ends, (ids, *counts) = _by_table(table["tables"].combine_chunks())
    frame = table.select(["lsn", "time", "author", "message", "kind"])
    for name, column in zip(_COUNTS[1:], counts, strict=True):
        sums = np.cumsum(np.append(0, numbers_of(column)))[ends]
        frame = frame.append_column(f"rows_{name}", pa.array(np.diff(sums)))
    return frame.append_column("tables", pa.ListArray.from_arrays(pa.array(ends, pa.int32()), ids))


def numbers_of(array: pa.Array, dtype: type[np.signedinteger[Any]] = np.int64) -> Ints:
    """The numbers of an array that has no nulls, in place; Arrow's own conversion would import pandas."""
    width = np.dtype(dtype).itemsize
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * width)
