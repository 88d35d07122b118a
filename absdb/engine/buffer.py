"""The open end of a table's tail: rows of the newest commits as plain Python tuples, every version of them.

No Arrow on the path of a one-row commit: a change appends to five parallel lists and one dictionary (key →
newest version; older versions chain back through `previous`). One thread appends, in commit order; readers take
no lock, because they cut at an LSN and everything up to it is already in the lists. At SEAL_ROWS versions the
cover seals the buffer into a run. Called by engine/cover.py.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine.rowcodec import Row
from absdb.pages.run import Run, build_run
from absdb.pages.section import LSN, OP, UPSERT, Key
from absdb.pages.types import physical_type
from absdb.pages.values import rows_to_batch

SEAL_ROWS = 1000


class OpenBuffer:
    """Versions of rows of one table, all with the columns of one schema. `lo` is the LSN the buffer starts after."""

    __slots__ = ("_indexes", "_sealed", "keys", "lo", "lsns", "newest", "ops", "previous", "rows", "schema")

    def __init__(self, schema: TableSchema, lo: int) -> None:
        self.schema = schema
        self.lo = lo
        self.rows: list[Row] = []
        self.keys: list[Key] = []
        self.ops: list[int] = []
        self.lsns: list[int] = []
        self.previous: list[int] = []
        self.newest: dict[Key, int] = {}
        self._sealed: tuple[int, Run] | None = None
        self._indexes: dict[Any, ValueIndex] = {}

    def append(self, key: Key, row: Row, op: int, lsn: int) -> None:
        """Add a version. A tombstone's row has the key columns and None elsewhere."""
        at = len(self.rows)
        self.rows.append(row)
        self.keys.append(key)
        self.ops.append(op)
        self.previous.append(self.newest.get(key, -1))
        self.lsns.append(lsn)
        self.newest[key] = at

    def first(self, count: int) -> OpenBuffer:
        """A buffer with the first `count` versions only; this one stays as it is for those who read it."""
        if count == len(self.rows):
            return self
        other = OpenBuffer(self.schema, self.lo)
        for version in zip(self.keys[:count], self.rows, self.ops, self.lsns, strict=False):
            other.append(*version)
        return other

    def find(self, key: Key, upto: int) -> int:
        """Index of the newest version of `key` at or below LSN `upto`; -1 if there is none."""
        at = self.newest.get(key, -1)
        lsns = self.lsns
        while at >= 0 and lsns[at] > upto:
            at = self.previous[at]
        return at

    def written_after(self, key: Key, lsn: int) -> bool:
        at = self.newest.get(key, -1)
        return at >= 0 and self.lsns[at] > lsn

    def count(self, upto: int) -> int:
        """Versions at or below LSN `upto`."""
        lsns = self.lsns
        return len(lsns) if not lsns or lsns[-1] <= upto else bisect.bisect_right(lsns, upto)

    def index(self, name: Any, value_of: Callable[[Row], Any]) -> ValueIndex:
        """The index `name` over what `value_of` gives for a row; made when first asked for, grown with the buffer."""
        return self._indexes.get(name) or self._indexes.setdefault(name, ValueIndex(self, value_of))

    def run(self, upto: int) -> Run | None:
        """The versions up to LSN `upto` as a run in memory, None if there are none. The last one made is kept."""
        count = self.count(upto)
        if count == 0:
            return None
        kept = self._sealed
        if kept is None or kept[0] != count:
            kept = self._sealed = (count, self._build(count))
        return kept[1]

    def _build(self, count: int) -> Run:
        columns = [(c.page_name, physical_type(c.type)) for c in self.schema.stored]
        batch = rows_to_batch(self.rows[:count], columns)
        batch = self.schema.key_spec.with_key(batch)
        ops = np.array(self.ops[:count], np.int8)
        if ops.any():
            batch = batch.append_column(pa.field(OP, pa.int8()), pa.array(ops))
        batch = batch.append_column(pa.field(LSN, pa.int64()), pa.array(self.lsns[:count], pa.int64()))
        return build_run(self.schema.key_spec, [batch], self.lo, self.lsns[count - 1])


class ValueIndex:
    """From values of rows of a buffer to the keys of rows that have or had them. Safe for many threads."""

    __slots__ = ("_buffer", "_done", "_keys", "_mutex", "_value_of")

    def __init__(self, buffer: OpenBuffer, value_of: Callable[[Row], Any]) -> None:
        self._buffer = buffer
        self._value_of = value_of
        self._keys: dict[Any, list[Key]] = {}
        self._done = 0
        self._mutex = threading.Lock()

    def find(self, value: Any) -> list[Key]:
        """Keys of candidates, whatever version of a row it was that had the value."""
        buffer = self._buffer
        with self._mutex:
            # `lsns` is appended to last but for `newest`: what it counts is there in the other lists.
            for at in range(self._done, len(buffer.lsns)):
                if buffer.ops[at] == UPSERT:
                    found = self._value_of(buffer.rows[at])
                    if found is not None:
                        self._keys.setdefault(found, []).append(buffer.keys[at])
                self._done = at + 1
            return self._keys.get(value, [])
