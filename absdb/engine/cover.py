"""What one era changed in one table: runs over adjacent LSN intervals, oldest first, then the open buffer.

    (lo, hi] (lo, hi] … (lo, hi] | buffer (lo, …

Runs are stored in page files or still in memory; those in memory are the table's tail together with the
buffer. Sealing turns a full buffer into a run in memory, and runs in memory merge geometrically, so that after
any number of commits a handful of layers remains. Neither changes any state: a reader takes `view` once and
cuts what it finds at the LSNs of its state.

The thread that holds the commit order appends; `replace` (checkpoint, run merging) may come from another one,
so the swap of `view` is made under a lock. A transaction uses one of these for its own writes, with sequence
numbers in place of LSNs.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine.buffer import SEAL_ROWS, OpenBuffer
from absdb.engine.rowcodec import Row
from absdb.errors import StateError
from absdb.ids import EraId, TableId
from absdb.pages.key import Keys, KeySpec, empty, union
from absdb.pages.run import Run, build_run, merge_runs
from absdb.pages.section import DELETE, LSN, Key, Page, Section

Mark = tuple[tuple[Run, ...], OpenBuffer | None, int, int]


class Hit(NamedTuple):
    """The version of a row that decides: in a page, or a tuple of the buffer's schema."""

    deleted: bool
    lsn: int
    page: Page | None
    at: int
    row: Row | None
    schema: TableSchema | None


class EraCover:
    """The changes of one table in one era, from LSN 0 of the era on."""

    def __init__(self, table: TableId, era: EraId, spec: KeySpec) -> None:
        self.table = table
        self.era = era
        self.spec = spec
        self.view: tuple[tuple[Run, ...], OpenBuffer | None] = ((), None)
        self.schema: TableSchema | None = None
        self.frozen_upto = 0
        self.hi = 0
        self._mutex = threading.Lock()

    # writing, in commit order

    def append_row(self, schema: TableSchema, key: Key, row: Row, op: int, lsn: int) -> None:
        """One version of one row; the buffer seals itself when it is full or the schema has changed."""
        buffer = self.view[1]
        # Between two commits only: what follows a run in the buffer lies behind the run's last LSN.
        full = buffer is not None and len(buffer.rows) >= SEAL_ROWS and lsn > self.hi
        if buffer is None or buffer.schema is not schema or full:
            buffer = self._new_buffer(schema)
        buffer.append(key, row, op, lsn)
        self.hi = lsn

    def append_batch(self, schema: TableSchema, batch: pa.RecordBatch, lsn: int) -> None:
        """Changed rows of one commit as a page batch (`_op` for tombstones, no `_lsn`), in any order."""
        lsns = pa.repeat(pa.scalar(lsn, pa.int64()), batch.num_rows)
        batch = batch.append_column(pa.field(LSN, pa.int64()), lsns)
        with self._mutex:
            self.schema = schema
            runs = self._sealed_runs()
            run = build_run(self.spec, [batch], self._end(runs), lsn)
            self._publish((*runs, run), None)
        self.hi = lsn

    def append_run(self, schema: TableSchema, run: Run) -> None:
        """A bulk change that is in page files already; `run.lo` is made to meet what is here."""
        with self._mutex:
            self.schema = schema
            runs = self._sealed_runs()
            run.lo = self._end(runs)
            self.view = ((*runs, run), None)
        self.hi = run.hi

    def seal(self) -> None:
        """Turn the open buffer into a run in memory."""
        with self._mutex:
            if self.view[1] is not None:
                self._publish(self._sealed_runs(), None)

    def mark(self) -> Mark:
        """A point to come back to with `reset`."""
        runs, buffer = self.view
        return runs, buffer, 0 if buffer is None else len(buffer.rows), self.hi

    def reset(self, mark: Mark) -> None:
        """Forget what came after the mark: a savepoint, or a group that could not be written."""
        runs, buffer, count, hi = mark
        with self._mutex:
            # A checkpoint may have put stored runs in the place of some meanwhile; those stay.
            kept = [run for run in self.view[0] if run.hi <= self._end(runs)]
            rest = [run for run in runs if run.lo >= self._end(kept)]
            self.view = ((*kept, *rest), None if buffer is None else buffer.first(count))
            self.hi = hi

    def _new_buffer(self, schema: TableSchema) -> OpenBuffer:
        with self._mutex:
            self.schema = schema
            runs = self._sealed_runs()
            buffer = OpenBuffer(schema, self._end(runs))
            self._publish(runs, buffer)
            return buffer

    def _sealed_runs(self) -> tuple[Run, ...]:
        runs, buffer = self.view
        sealed = None if buffer is None else buffer.run(self.hi)
        return runs if sealed is None else (*runs, sealed)

    def _end(self, runs: Sequence[Run]) -> int:
        return runs[-1].hi if runs else 0

    def _publish(self, runs: tuple[Run, ...], buffer: OpenBuffer | None) -> None:
        """Merge runs in memory while the last is at least half as large as the one before, then show them."""
        assert self.schema is not None
        while len(runs) >= 2 and self._mergeable(runs[-2], runs[-1]):
            runs = (*runs[:-2], merge_runs(self.spec, runs[-2:], self.schema.fills))
        self.view = (runs, buffer)

    def _mergeable(self, older: Run, newer: Run) -> bool:
        if older.is_stored or newer.is_stored or older.lo < self.frozen_upto:
            return False
        return 2 * newer.rows >= older.rows

    # replacing runs by equal ones

    def replace(self, old: Sequence[Run], new: Sequence[Run]) -> None:
        """Put `new` in the place of the adjacent runs `old`; StateError if they are no longer there."""
        with self._mutex:
            runs, buffer = self.view
            for start in range(len(runs) - len(old) + 1):
                if all(a is b for a, b in zip(runs[start:], old, strict=False)):
                    self.view = ((*runs[:start], *new, *runs[start + len(old) :]), buffer)
                    return
        raise StateError("runs to be replaced are gone", hint="this is a defect of absdb; please report it")

    def drop(self, gone: Sequence[Run]) -> None:
        """Let go of runs that no kept state needs."""
        dropped = {id(run) for run in gone}
        with self._mutex:
            runs, buffer = self.view
            self.view = (tuple(run for run in runs if id(run) not in dropped), buffer)

    # reading

    def sections(self, after: int, upto: int) -> list[Section]:
        """The layers of the changes in (after, upto], oldest first. They may hold older rows too, never newer ones."""
        runs, buffer = self.view
        found = [run.at(upto) for run in runs if run.hi > after and run.lo < upto]
        if (
            buffer is not None
            and buffer.lo < upto
            and (run := buffer.run(upto)) is not None
            and run.hi > after
        ):
            found.append(run.newest)
        return [section for section in found if section.rows]

    def runs(self, after: int, upto: int) -> list[Run]:
        """The runs that hold changes of (after, upto], the buffer sealed among them."""
        runs, buffer = self.view
        found = [run for run in runs if run.hi > after and run.lo < upto]
        if (
            buffer is not None
            and buffer.lo < upto
            and (run := buffer.run(upto)) is not None
            and run.hi > after
        ):
            found.append(run)
        return found

    def find(self, key: Key, after: int, upto: int) -> Hit | None:
        """The newest version of one key in (after, upto]; None if the key was not written there."""
        runs, buffer = self.view
        if buffer is not None and (at := buffer.find(key, upto)) >= 0:
            deleted = buffer.ops[at] == DELETE
            return Hit(deleted, buffer.lsns[at], None, at, buffer.rows[at], buffer.schema)
        for run in reversed(runs):
            if run.hi > after and run.lo < upto:
                found = (run.newest if run.hi <= upto else run.at(upto)).find(key)
                if found is not None:
                    return hit_of(*found)
        return None

    def written_after(self, key: Key, lsn: int) -> bool:
        """Whether `key` was written after `lsn`: the test for write conflicts."""
        runs, buffer = self.view
        if buffer is not None and buffer.written_after(key, lsn):
            return True
        for run in reversed(runs):
            if run.hi <= lsn:
                return False
            found = run.newest.find(key)
            if found is not None and int(found[0].lsns()[found[1]]) > lsn:
                return True
        return False

    @property
    def tail_rows(self) -> int:
        """Versions that are in memory only."""
        runs, buffer = self.view
        return sum(run.rows for run in runs if not run.is_stored) + (
            0 if buffer is None else len(buffer.rows)
        )


def union_of(spec: KeySpec, parts: Sequence[Keys]) -> Keys:
    """The sorted union of sorted key arrays."""
    if not parts:
        return empty(spec)
    if len(parts) == 1:
        return parts[0]
    return union(parts)


def hit_of(page: Page, at: int) -> Hit:
    """The Hit for a row of a page."""
    ops = page.ops()
    return Hit(ops is not None and bool(ops[at] == DELETE), int(page.lsns()[at]), page, at, None, None)
