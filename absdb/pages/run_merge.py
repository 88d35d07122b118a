"""Merging the sections of adjacent runs, a range of keys at a time.

Of the versions of a key in runs given oldest first, the last is newest, all earlier ones are superseded.
Columns are brought to their union: a column a page does not have reads as its initial default (null in
tombstones), a narrower type is widened.

The keys are cut into ranges of about RANGE_ROWS rows at the first keys of pages. Within a range

    one run has rows, or no two runs overlap   their pages are passed on as they are, or as slices
    otherwise                                  the rows are joined in commit order, sorted by key, and split

so that the work follows the rows that lie among each other, and memory holds one range, however large the
runs are. Called by pages/run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from absdb.errors import SchemaMismatchError
from absdb.pages.builder import PAGE_BYTES_MAX
from absdb.pages.key import Key, KeySpec, at
from absdb.pages.run_versions import LSN_FIELD, OP_FIELD, split_versions
from absdb.pages.section import KEY, LSN, OP, UPSERT, Page, Section
from absdb.pages.types import can_widen

RANGE_ROWS = 262_144
RANGE_BYTES = 4 * PAGE_BYTES_MAX

Fills = Mapping[str, tuple[pa.DataType, Any]]
"""Page column name to its physical type and initial default, a physical Python value."""
Side = tuple[Section, Section]
"""The newest and the superseded versions of one run."""
Slice = tuple[Page, int, int]
Part = tuple[list[Slice], list[Slice]]
"""What a run has in one range of keys: superseded versions, then newest ones."""
Merged = tuple[list[pa.RecordBatch], list[pa.RecordBatch]]


class Layout:
    """The columns of merged pages, `_key`, `_op` and `_lsn` last, and what brings a page to them."""

    def __init__(self, sides: Sequence[Side], columns: Fills, *, with_lsn: bool = True) -> None:
        schemas = list(_schemas(sides))
        found: dict[str, set[pa.DataType]] = {}
        for schema in schemas:
            for field in schema:
                found.setdefault(field.name, set()).add(field.type)
        names = [name for name in columns if name in found]
        names += [name for name in found if name not in columns and name not in (KEY, OP, LSN)]
        fields = [pa.field(name, _widest(name, found[name], columns.get(name))) for name in names]
        if KEY in found:
            fields.append(pa.field(KEY, pa.binary(), nullable=False))
        if any(section.deletes for side in sides for section in side):
            fields.append(OP_FIELD)
        if with_lsn:
            fields.append(LSN_FIELD)
        self.schema = pa.schema(fields)
        self._initial = {name: columns[name][1] if name in columns else None for name in names}

    def bring(self, page: Page, start: int = 0, stop: int | None = None) -> pa.RecordBatch:
        """Rows [start, stop) of a page; columns that are there in the right type are not copied."""
        stop = page.rows if stop is None else stop
        batch = page.batch()
        if stop - start < page.rows:
            batch = batch.slice(start, stop - start)
        arrays = [self._column(field, batch, page, start, stop) for field in self.schema]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _column(self, field: pa.Field, batch: pa.RecordBatch, page: Page, start: int, stop: int) -> pa.Array:
        if field.name == LSN:
            return pa.array(page.lsns()[start:stop], pa.int64())
        index = batch.schema.get_field_index(field.name)
        if index >= 0:
            column = batch.column(index)
            return column if column.type == field.type else column.cast(field.type)
        if field.name == OP:
            return pa.array(np.full(stop - start, UPSERT, np.int8))
        ops = page.ops()
        initial = self._initial[field.name]
        if ops is None or initial is None:
            return pa.repeat(pa.scalar(initial, field.type), stop - start)
        return pa.array([initial, None], field.type).take(pa.array(ops[start:stop]))


def merge_ranges(spec: KeySpec, sides: Sequence[Side], layout: Layout) -> Iterator[Merged]:
    """(newest, superseded) batches of one range of keys after the other; together, the merged run."""
    bounds = [None, *_cuts([page for side in sides for section in side for page in section.pages]), None]
    for lo, hi in pairwise(bounds):
        parts = [(superseded.slice_keys(lo, hi), newest.slice_keys(lo, hi)) for newest, superseded in sides]
        parts = [part for part in parts if part[0] or part[1]]
        if parts:
            yield _merge_range(spec, parts, layout)


def _merge_range(spec: KeySpec, parts: list[Part], layout: Layout) -> Merged:
    """Merge what the runs, oldest first, have in one range of keys."""
    apart = _apart(parts)
    if apart is not None:
        return (
            [layout.bring(*each) for _, newest in apart for each in newest],
            [layout.bring(*each) for superseded, _ in apart for each in superseded],
        )
    rows = [layout.bring(*each) for superseded, newest in parts for each in (*superseded, *newest)]
    newest, superseded = split_versions(spec, pa.concat_batches(rows))
    return [newest], [superseded] if superseded.num_rows else []


def _apart(parts: list[Part]) -> list[Part] | None:
    """The parts in key order if their key ranges do not overlap, else None."""
    spans: list[tuple[Any, Any, int]] = []
    for number, part in enumerate(parts):
        slices = [each for each in part if each]
        first = min(_key_of(each[0][0], each[0][1]) for each in slices)
        last = max(_key_of(each[-1][0], each[-1][2] - 1) for each in slices)
        spans.append((first, last, number))
    spans.sort()
    for before, after in pairwise(spans):
        if before[1] >= after[0]:
            return None
    return [parts[number] for _, _, number in spans]


def _key_of(page: Page, row: int) -> Any:
    if row == 0:
        return page.first
    return page.last if row == page.rows - 1 else at(page.keys(), row)


def _cuts(pages: list[Page]) -> list[Key]:
    """Keys that cut the pages into ranges of about RANGE_ROWS rows and RANGE_BYTES bytes."""
    cuts: list[Key] = []
    rows = size = 0
    pages.sort(key=lambda page: page.first)
    before: Any = pages[0].first if pages else None
    for page in pages:
        if (rows >= RANGE_ROWS or size >= RANGE_BYTES) and page.first > before:
            before = page.first
            cuts.append(before)
            rows = size = 0
        rows += page.rows
        size += bytes_of(page)
    return cuts


def bytes_of(page: Page) -> int:
    """What a page would take in memory; page files are not opened for it."""
    if page.origin is None:
        return int(page.batch().nbytes)
    file, index = page.origin
    return file.pages[index].length


def _schemas(sides: Iterable[Side]) -> Iterator[pa.Schema]:
    """The schemas of the pages; of each page file only once, as all its pages have the same."""
    seen = set()
    for page in (page for side in sides for section in side for page in section.pages):
        if page.origin is None:
            yield page.batch().schema
        elif page.origin[0].name not in seen:
            seen.add(page.origin[0].name)
            yield page.batch().schema


def _widest(name: str, types: set[pa.DataType], column: tuple[pa.DataType, Any] | None) -> pa.DataType:
    if column is not None:
        types = {*types, column[0]}
    for kind in types:
        if all(other == kind or can_widen(other, kind) for other in types):
            return kind
    schemas = [pa.schema([(name, each)]) for each in types]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException as error:
        raise SchemaMismatchError(
            f"column {name} has types without a common one: {', '.join(sorted(map(str, types)))}",
            column=name,
        ) from error
