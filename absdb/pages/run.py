"""Runs: the sorted changes of one table over an LSN interval (lo, hi], with every version written in it.

    newest       the last version of each key written in (lo, hi]: upserts and tombstones, by key
    superseded   all earlier versions written in it, by key, then LSN

A read at or after `hi` opens `newest` only. A read inside the interval needs `at(lsn)`: of the newest rows
those written by then, and for each of the others the version that was in effect. A row is superseded by a
*commit*: of several rows of one key with one LSN only the last ever counted, and only it is kept.

A run is in memory (the sealed tail) or in page files (`is_stored`); what it says never changes. As JSON, for
manifests:

    {"lo": n, "hi": n, "files": [...], "sections": [newest, superseded]}        see pages/store

Made by the engine when it seals and flushes tails and merges runs; read by covers, diffs, row history and
compaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from absdb.errors import InvalidInputError
from absdb.pages.builder import ROWS_PER_PAGE, paginate
from absdb.pages.cuts import CUTS
from absdb.pages.key import Key, Keys, KeySpec, concat, empty, take, union
from absdb.pages.key import slice as slice_keys
from absdb.pages.run_merge import Fills, Layout, bytes_of, merge_ranges
from absdb.pages.run_versions import cut_page, one_batch, split_versions
from absdb.pages.run_writer import RunWriter
from absdb.pages.section import OP, UPSERT, Page, Section
from absdb.pages.store import PageStore, sections_from_json, sections_to_json

KeyRange = tuple[Key | None, Key | None]
"""lo <= key < hi; None is open."""

MEMORY_ROWS_MAX = 2_000_000


class Version(NamedTuple):
    """One version of a row: the commit that wrote it, UPSERT or DELETE, and where it lies."""

    lsn: int
    op: int
    page: Page
    row: int


class Run:
    """The changes of one table in (lo, hi]. Only `lo` may be set later, when a run is put behind another."""

    __slots__ = ("__weakref__", "hi", "lo", "newest", "spec", "superseded")

    def __init__(
        self, *, lo: int, hi: int, newest: Section, superseded: Section = Section.EMPTY, spec: KeySpec
    ) -> None:
        self.lo = lo
        self.hi = hi
        self.newest = newest
        self.superseded = superseded
        self.spec = spec

    @property
    def rows(self) -> int:
        """Versions, tombstones and superseded ones included."""
        return self.newest.rows + self.superseded.rows

    @property
    def nbytes(self) -> int:
        """What the newest versions would take in memory; page files are not opened for it."""
        return sum(bytes_of(page) for page in self.newest.pages)

    @property
    def deletes(self) -> int:
        """Tombstones among the newest versions."""
        return self.newest.deletes

    @property
    def is_stored(self) -> bool:
        """Whether every page is in a page file."""
        return all(page.origin is not None for page in (*self.newest.pages, *self.superseded.pages))

    def at(self, lsn: int) -> Section:
        """What (lo, lsn] changed: of each key written there the version in effect at `lsn`.

        Pages without a later row are those of `newest`; the others are cut in memory, and kept for a while.
        """
        if lsn >= self.hi:
            return self.newest
        if lsn <= self.lo:
            return Section.EMPTY
        section = CUTS.get(self, lsn)
        if section is None:
            section = Section(
                page for each in self.newest.pages for page in cut_page(each, self.superseded, lsn)
            )
            CUTS.put(self, lsn, section)
        return section

    def after(self, lsn: int) -> Keys:
        """The keys written in (lsn, hi], sorted, each once."""
        return self.between(lsn, self.hi)

    def between(self, after: int, upto: int, key_range: KeyRange = (None, None)) -> Keys:
        """The keys written in (after, upto], sorted, each once; superseded versions are read if upto < hi.

        Of a range of keys (lo <= key < hi, None is open) only those in it.
        """
        everything = after <= self.lo and upto >= self.hi
        parts = _keys_written(self.newest, after, upto, key_range, everything=everything)
        if upto >= self.hi or not self.superseded.rows:
            return concat(parts) if parts else empty(self.spec)
        parts += _keys_written(self.superseded, after, upto, key_range, everything=False)
        if not parts:
            return empty(self.spec)
        return union(parts)

    def versions(self, key: Key) -> list[Version]:
        """Every version of one row, oldest first."""
        places = self.superseded.rows_of(key)
        newest = self.newest.find(key)
        if newest is not None:
            places.append(newest)
        found = []
        for page, row in places:
            ops = page.ops()
            found.append(Version(int(page.lsns()[row]), UPSERT if ops is None else int(ops[row]), page, row))
        return found

    def with_lsn(self, lsn: int) -> Run:
        """A bulk run, written before its commit had an LSN, as the run of that commit."""
        return Run(lo=self.lo, hi=lsn, newest=self.newest.with_lsn(lsn), spec=self.spec)

    def to_json(self) -> dict[str, Any]:
        """StateError if a page is only in memory."""
        return {"lo": self.lo, "hi": self.hi, **sections_to_json([self.newest, self.superseded])}

    @classmethod
    def from_json(cls, store: PageStore, spec: KeySpec, data: dict[str, Any]) -> Run:
        """Nothing is read from the page files yet."""
        newest, superseded = sections_from_json(store, spec, data)
        return cls(lo=data["lo"], hi=data["hi"], newest=newest, superseded=superseded, spec=spec)

    def __repr__(self) -> str:
        where = "stored" if self.is_stored else "in memory"
        counts = f"{self.newest.rows} rows, {self.superseded.rows} superseded"
        return f"<Run ({self.lo}, {self.hi}] {where}, {counts}>"


def build_run(
    spec: KeySpec,
    rows: pa.RecordBatch | pa.Table | Sequence[pa.RecordBatch],
    lo: int,
    hi: int,
    *,
    rows_per_page: int = ROWS_PER_PAGE,
) -> Run:
    """A run in memory of rows in commit order, with `_lsn` and, if there are tombstones, `_op`.

    Only the order of the rows of one key matters; InvalidInputError if their LSNs decrease. Rows that come
    sorted by key, no key twice, are not copied.
    """
    batch = _without_idle_ops(spec.with_key(one_batch(rows)))
    newest, superseded = split_versions(spec, batch)
    sections = [Section.of(paginate([each], rows_per_page), spec) for each in (newest, superseded)]
    return _run(spec, lo, hi, sections)


def merge_runs(
    spec: KeySpec,
    runs: Sequence[Run],
    columns: Fills,
    *,
    store: PageStore | None = None,
    compression: str | None = None,
    rows_per_page: int = ROWS_PER_PAGE,
) -> Run:
    """One run that says what `runs`, oldest first, say; in page files if a `store` is given.

    `columns` tells what the table's columns are now; others that the runs have are kept. With a store, runs
    of more than MEMORY_ROWS_MAX rows are merged straight into the files, a range of keys at a time.
    SchemaMismatchError if the types a column has in two runs have no common one.
    """
    _check_adjacent(runs)
    lo, hi = runs[0].lo, runs[-1].hi
    sides = [(run.newest, run.superseded) for run in runs]
    layout = Layout(sides, columns)
    ranges = merge_ranges(spec, sides, layout)
    if store is not None and sum(run.rows for run in runs) > MEMORY_ROWS_MAX:
        with RunWriter(store, spec, layout.schema, compression, rows_per_page) as writer:
            for newest, superseded in ranges:
                writer.add(newest, superseded)
            return _run(spec, lo, hi, writer.finish())
    merged = list(ranges)
    newest_pages = paginate((batch for newest, _ in merged for batch in newest), rows_per_page)
    superseded_pages = paginate((batch for _, superseded in merged for batch in superseded), rows_per_page)
    run = _run(spec, lo, hi, (Section.of(newest_pages, spec), Section.of(superseded_pages, spec)))
    if store is None:
        return run
    return store_run(store, run, compression=compression, rows_per_page=rows_per_page)


def store_run(
    store: PageStore, run: Run, *, compression: str | None = None, rows_per_page: int = ROWS_PER_PAGE
) -> Run:
    """The same run in page files, durable on return: one file for a small run, none for an empty one."""
    if not run.rows:
        return run
    constant = _constant_lsn(run)
    layout = Layout([(run.newest, run.superseded)], {}, with_lsn=constant is None)
    with RunWriter(store, run.spec, layout.schema, compression, rows_per_page) as writer:
        for page in run.newest.pages:
            writer.add([layout.bring(page)], [])
        for page in run.superseded.pages:
            writer.add([], [layout.bring(page)])
        return _run(run.spec, run.lo, run.hi, writer.finish(constant))


def _run(spec: KeySpec, lo: int, hi: int, sections: Sequence[Section]) -> Run:
    newest, superseded = sections
    return Run(lo=lo, hi=hi, newest=newest, superseded=superseded, spec=spec)


def _check_adjacent(runs: Sequence[Run]) -> None:
    if not runs:
        raise InvalidInputError("no runs to merge")
    for older, newer in pairwise(runs):
        if older.hi > newer.lo:
            raise InvalidInputError(f"runs to merge overlap or are out of order: {older!r}, {newer!r}")


def _constant_lsn(run: Run) -> int | None:
    """The LSN of all rows if the pages say that it is one."""
    lsns = {page.lsn for page in (*run.newest.pages, *run.superseded.pages)}
    return lsns.pop() if len(lsns) == 1 else None


def _without_idle_ops(batch: pa.RecordBatch) -> pa.RecordBatch:
    """`_op` is there only where a run has tombstones."""
    at = batch.schema.get_field_index(OP)
    if at < 0 or bool(batch.column(at).to_numpy().any()):
        return batch
    return batch.remove_column(at)


def _keys_written(
    section: Section, after: int, upto: int, key_range: KeyRange, *, everything: bool
) -> list[Keys]:
    """Of each page the keys of rows with an LSN in (after, upto]; `everything` saves looking at LSNs."""
    parts = []
    for page, start, stop in section.slice_keys(*key_range):
        keys = page.keys() if stop - start == page.rows else slice_keys(page.keys(), start, stop)
        if everything:
            parts.append(keys)
            continue
        lsns = page.lsns()[start:stop]
        chosen = np.flatnonzero((lsns > after) & (lsns <= upto))
        if len(chosen):
            parts.append(keys if len(chosen) == len(lsns) else take(keys, chosen))
    return parts
