"""The versions of rows: telling newest from superseded ones, and finding those in effect at an LSN.

Both work on whole batches at once; `split_versions` makes the two sections of a run out of rows in commit
order, `cut_page` goes back from them to how things stood inside the run's interval. Called by pages/run and
pages/run_merge only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from absdb.errors import InvalidInputError
from absdb.pages.key import (
    Key,
    Keys,
    KeySpec,
    concat,
    equal,
    is_increasing,
    runs_of_equal,
    search,
    sort_order,
    take,
    to_list,
)
from absdb.pages.key import slice as slice_keys
from absdb.pages.section import LSN, OP, Page, Section, decode_lsns

LSN_FIELD = pa.field(LSN, pa.int64())
OP_FIELD = pa.field(OP, pa.int8())

CHANGES_SLICED_MAX = 32
ROWS_PER_SLICE_MIN = 512

Ints = np.ndarray[Any, np.dtype[np.int64]]


def split_versions(spec: KeySpec, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """(newest, superseded) of rows in commit order, with `_key` if the spec has it and a plain `_lsn`.

    InvalidInputError if the LSNs of a key decrease.
    """
    keys = spec.keys_of(batch)
    if is_increasing(keys):
        return batch, batch.slice(0, 0)
    lsns = batch.column(LSN).to_numpy()
    order = sort_order(keys)
    keys, lsns = take(keys, order), lsns[order]
    starts = runs_of_equal(keys)
    if bool((~starts[1:] & (lsns[1:] < lsns[:-1])).any()):
        raise InvalidInputError("rows for a run are not in commit order: the LSNs of a key decrease")
    newest = np.ones(len(starts), np.bool_)
    newest[:-1] = starts[1:]
    superseded = ~newest
    superseded[:-1] &= lsns[1:] != lsns[:-1]
    return _pick(batch, order[newest]), _pick(batch, order[superseded])


def cut_page(page: Page, superseded: Section, lsn: int) -> list[Page]:
    """A page of newest versions as it stood at `lsn`: itself, or pages in memory, or none.

    Few changes leave slices of the page, in its memory, with older rows between them; many rewrite it.
    """
    late = np.flatnonzero(page.lsns() > lsn)
    if not len(late):
        return [page]
    older = _in_effect(take(page.keys(), late), page, superseded, lsn)
    if len(late) <= min(CHANGES_SLICED_MAX, page.rows // ROWS_PER_SLICE_MIN - 1):
        return _sliced(page, late, older)
    if len(late) < page.rows:
        older.append(_pick(plain_batch(page), np.flatnonzero(page.lsns() <= lsn)))
    if not older:
        return []
    joined = _joined(older)
    keys = page.spec.keys_of(joined)
    if not is_increasing(keys):
        joined = _pick(joined, sort_order(keys))
    return [Page.of(joined, page.spec)]


def _sliced(page: Page, late: Ints, older: list[pa.RecordBatch]) -> list[Page]:
    """The page with the late rows taken out, and the older versions of some of them in their places."""
    batch, spec = page.batch(), page.spec
    rows = _joined(older) if older else None
    keys = to_list(spec.keys_of(rows)) if rows is not None else []
    pages = []
    start = used = 0
    for row, key in zip(late.tolist(), to_list(take(page.keys(), late)), strict=True):
        if row > start:
            pages.append(Page.of(batch.slice(start, row - start), spec, page.lsn))
        if rows is not None and used < len(keys) and keys[used] == key:
            pages.append(Page.of(rows.slice(used, 1), spec))
            used += 1
        start = row + 1
    if start < page.rows:
        pages.append(Page.of(batch.slice(start), spec, page.lsn))
    return pages


def one_batch(rows: pa.RecordBatch | pa.Table | Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Rows with `_lsn` as one batch in which it is plain, so that rows can be taken from it."""
    if isinstance(rows, pa.Table):
        rows = rows.to_batches() or [pa.RecordBatch.from_pylist([], schema=rows.schema)]
    if not isinstance(rows, pa.RecordBatch):
        rows = rows[0] if len(rows) == 1 else pa.concat_batches(rows)
    at = rows.schema.get_field_index(LSN)
    if at < 0:
        raise InvalidInputError("rows for a run have no _lsn")
    return _with_lsns(rows, decode_lsns(rows.column(at)))


def plain_batch(page: Page) -> pa.RecordBatch:
    """The batch of a page with a plain `_lsn` in it, so that rows can be taken from it."""
    return _with_lsns(page.batch(), page.lsns())


def _with_lsns(batch: pa.RecordBatch, lsns: Ints) -> pa.RecordBatch:
    at = batch.schema.get_field_index(LSN)
    column = pa.array(lsns, pa.int64())
    return batch.append_column(LSN_FIELD, column) if at < 0 else batch.set_column(at, LSN_FIELD, column)


def _in_effect(late: Keys, page: Page, superseded: Section, lsn: int) -> list[pa.RecordBatch]:
    """Of the keys of `page` whose newest version came after `lsn`, the superseded rows that held at `lsn`."""
    parts = superseded.slice_keys(page.first, successor(page.last))
    if not parts:
        return []
    keys = concat([slice_keys(each.keys(), start, stop) for each, start, stop in parts])
    lsns = np.concatenate([each.lsns()[start:stop] for each, start, stop in parts])
    reached = lsns <= lsn
    chosen = reached.copy()
    # Rows are sorted by key, then LSN: a row holds if the next one is another key's or came too late.
    chosen[:-1] &= runs_of_equal(keys)[1:] | ~reached[1:]
    found = np.flatnonzero(chosen)
    probes = take(keys, found)
    places = np.minimum(search(late, probes), len(late) - 1)
    found = found[equal(take(late, places), probes)]
    batches = []
    base = 0
    for each, start, stop in parts:
        end = base + stop - start
        mine = found[(found >= base) & (found < end)] - base + start
        base = end
        if len(mine):
            batches.append(_pick(plain_batch(each), mine))
    return batches


def _pick(batch: pa.RecordBatch, rows: Ints) -> pa.RecordBatch:
    return batch.take(pa.array(rows)) if len(rows) else batch.slice(0, 0)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch, with `_op` if any of them has it."""
    names = max((batch.schema.names for batch in batches), key=len)
    return pa.concat_batches([_conform(batch, names) for batch in batches])


def _conform(batch: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    """The batch with `_op` if the other part has one."""
    if OP in names and OP not in batch.schema.names:
        batch = batch.append_column(OP_FIELD, pa.array(np.zeros(batch.num_rows, np.int8)))
    return batch.select(names)


def successor(key: Key) -> Key:
    """The least key greater than this one."""
    return key + 1 if isinstance(key, int) else key + b"\0"
