"""A cover to Arrow: its layers folded into one state, newest version of each key, in key order.

The layer with the most rows is the base; its pages cut the key space. What all other layers hold is merged
into a delta (fold_delta.py), and each page of the base is read together with the changes in its range:

    no change                 the page itself, columns projected, nothing copied
    up to 32 changes          zero-copy slices of the page and, between them, of the delta's rows
    more                      the page written anew in memory, but for columns that an update left as they were

so that a read costs a few milliseconds plus what changed. DuckDB and pandas slow down on tables of very many
chunks: beyond `max_chunks`, and where slices would be shorter than `slice_rows`, pages are written anew rather
than sliced.

A delta of up to DELTA_ROWS_MAX rows is merged whole and kept by the `Fold`. A larger one is merged range by
range. Ranges begin where pages begin, of any layer, as soon as RANGE_ROWS rows have begun since the last one,
so that memory stays bounded however large the layers are. Each range has a base of its own; where it touches
one layer only, as after appends, that layer's rows pass through untouched.

`fold_pages` is the same for compaction: physical columns, and word of which pages can be kept as they are.

Called by the engine (reads, compaction), by versioning (states compared as wholes) and by backups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa

from absdb.pages import key as keyed
from absdb.pages.fold_delta import Changes, Delta, Part, Pieces, deletes_only, first_key, part_rows
from absdb.pages.key import KeyKind, KeySpec
from absdb.pages.projection import OutputColumn, Projection
from absdb.pages.section import KEY, LSN, Key, Page, Section

CHUNKS_MAX = 5_000
DELTA_ROWS_MAX = 200_000
RANGE_ROWS = 65_536
CHANGES_SLICED_MAX = 32
PIECES_SLICED_MAX = 2 * CHANGES_SLICED_MAX + 1
# Copying slices together beats picking row by row up to about this many in a page.
PIECES_JOINED_MAX = 512

KeyRange = tuple[Key | None, Key | None]
"""lo <= key < hi; None is open."""


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of a base page, and the entries of the delta that fall on it or beside it."""

    part: Part
    delta: Delta | None = None
    start: int = 0
    stop: int = 0

    def changes(self) -> Changes | None:
        """None if the rows of the part come out as they are."""
        return self.delta.against(self.part, self.start, self.stop) if self.delta else deletes_only(self.part)


class Fold:
    """What a cover amounts to. Made once, it can be read with many projections, by many threads."""

    __slots__ = ("_bounds", "_layers", "_spec", "_steps", "steps_max")

    steps_max: int
    """No read has more steps than this."""

    def __init__(self, spec: KeySpec, layers: Sequence[Section], key_range: KeyRange | None = None) -> None:
        """Layers are oldest first. Loads the keys of all but the largest layer if together they are small."""
        lo, hi = key_range or (None, None)
        self._spec = spec
        self._layers = layers
        parts = _present(layers, lo, hi)
        rows = [part_rows(layer) for layer in parts]
        self._bounds: list[Key | None] = []
        self._steps: list[Step] = []
        if sum(rows) - max(rows, default=0) <= DELTA_ROWS_MAX:
            self._steps = _steps(spec, parts)
            self.steps_max = len(self._steps)
        else:
            self._bounds = [lo, *_cuts(parts), hi]
            self.steps_max = sum(map(len, parts)) + len(self._bounds)

    @property
    def by_range(self) -> bool:
        """Whether what changed is so much that it is merged range by range."""
        return bool(self._bounds)

    def steps(self) -> Iterator[Step]:
        """The stretches of the base in key order, each with its changes."""
        yield from self._steps
        for lo, hi in pairwise(self._bounds):
            yield from _steps(self._spec, _present(self._layers, lo, hi))

    def batches(
        self, projection: Projection, *, max_chunks: int = CHUNKS_MAX, slice_rows: int = 1
    ) -> Iterator[pa.RecordBatch]:
        """The rows in key order; batches are never empty, and none come if there is no row.

        Pages whose slices would have fewer than `slice_rows` on average are written anew.
        """
        rows = _DeltaRows(projection)
        to_come, made = self.steps_max, 0
        for step in self.steps():
            to_come -= 1
            sliced = part_rows([step.part]) // slice_rows
            batches = _read(step, rows, min(PIECES_SLICED_MAX, max_chunks - made - to_come, sliced))
            made += len(batches)
            yield from batches

    def table(
        self,
        projection: Projection,
        schema: pa.Schema | None = None,
        *,
        max_chunks: int = CHUNKS_MAX,
        slice_rows: int = 1,
    ) -> pa.Table:
        """The rows as one table, of `schema` (see Projection.with_schema) also if there are none."""
        projection = projection if schema is None else projection.with_schema(schema)
        batches = self.batches(projection, max_chunks=max_chunks, slice_rows=slice_rows)
        return pa.Table.from_batches(batches, schema=projection.schema)


def fold(
    spec: KeySpec,
    layers: Sequence[Section],
    projection: Projection,
    *,
    key_range: KeyRange | None = None,
    max_chunks: int = CHUNKS_MAX,
) -> Iterator[pa.RecordBatch]:
    """Fold layers, oldest first, into batches in key order. See `Fold` to read one state more than once."""
    return Fold(spec, layers, key_range).batches(projection, max_chunks=max_chunks)


def fold_table(
    spec: KeySpec,
    layers: Sequence[Section],
    projection: Projection,
    schema: pa.Schema | None = None,
    *,
    key_range: KeyRange | None = None,
    max_chunks: int = CHUNKS_MAX,
    slice_rows: int = 1,
) -> pa.Table:
    """Fold layers, oldest first, into one table in key order."""
    folded = Fold(spec, layers, key_range)
    return folded.table(projection, schema, max_chunks=max_chunks, slice_rows=slice_rows)


def _present(layers: Sequence[Section], lo: Key | None, hi: Key | None) -> list[list[Part]]:
    """What the layers hold in a range, without those that hold nothing; the order stays."""
    sliced = (section.slice_keys(lo, hi) for section in layers)
    return [parts for parts in sliced if parts]


def _cuts(layers: Sequence[Sequence[Part]]) -> list[Key]:
    """Keys that divide large layers into ranges of bounded size."""
    cuts: list[Key] = []
    begun = 0
    for first, rows in sorted((first_key(part), part_rows([part])) for layer in layers for part in layer):
        if begun >= RANGE_ROWS:
            cuts.append(first)
            begun = 0
        begun += rows
    return cuts


def _steps(spec: KeySpec, layers: Sequence[Sequence[Part]]) -> list[Step]:
    """Cut the merged rest at the pages of the largest layer; what lies outside them goes to the nearest."""
    if not layers:
        return []
    base = max(range(len(layers)), key=lambda rank: part_rows(layers[rank]))
    if len(layers) == 1:
        return [Step(part) for part in layers[base]]
    delta = Delta(layers, base)
    inner = keyed.from_list(spec, [first_key(part) for part in layers[base][1:]])
    cuts = [0, *keyed.search(delta.keys, inner).tolist(), keyed.length(delta.keys)]
    return [Step(part, delta, *cut) for part, cut in zip(layers[base], pairwise(cuts), strict=True)]


class _DeltaRows:
    """The rows of the delta at hand in one projection, gathered when first asked for."""

    __slots__ = ("_delta", "_finished", "_physical", "projection")

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        self._delta: Delta | None = None
        self._physical = projection.physical.empty()
        self._finished: pa.RecordBatch | None = None

    def physical(self, delta: Delta | None) -> pa.RecordBatch:
        if delta is not None and delta is not self._delta:
            self._delta, self._finished = delta, None
            self._physical = delta.alive_rows(self.projection.physical)
        return self._physical

    def finished(self, delta: Delta | None) -> pa.RecordBatch:
        physical = self.physical(delta)
        if self._finished is None:
            self._finished = self.projection.finish(physical)
        return self._finished


def _read(step: Step, rows: _DeltaRows, pieces_max: int) -> list[pa.RecordBatch]:
    """One step's rows, in up to `pieces_max` slices if that is enough, else in one new batch."""
    page, start, stop = step.part
    projection, changes = rows.projection, step.changes()
    if changes is None:
        return [projection.of_page(page).slice(start, stop - start)]
    pieces = changes.pieces()
    if len(pieces) > max(pieces_max, 1):
        return [projection.finish(_rewritten(step, changes, pieces, rows))]
    base = projection.of_page(page).slice(start, stop - start)
    return pieces.slices(base, rows.finished(step.delta))


def _rewritten(step: Step, changes: Changes, pieces: Pieces, rows: _DeltaRows) -> pa.RecordBatch:
    """The pieces of a step as one physical batch; columns that the changes leave as they are stay the page's."""
    page, start, stop = step.part
    base = rows.projection.physical.of_page(page).slice(start, stop - start)
    delta = rows.physical(step.delta)
    changed = changes.columns_changed(base, delta)
    if len(changed) == base.num_columns:
        return _joined(pieces, base, delta)
    arrays = base.columns
    if changed:
        joined = _joined(pieces, base.select(changed), delta.select(changed))
        for at, array in zip(changed, joined.columns, strict=True):
            arrays[at] = array
    return pa.RecordBatch.from_arrays(arrays, schema=base.schema)


def _joined(pieces: Pieces, base: pa.RecordBatch, delta: pa.RecordBatch) -> pa.RecordBatch:
    if len(pieces) > PIECES_JOINED_MAX:
        return pieces.taken(base, delta)
    slices = pieces.slices(base, delta)
    return slices[0] if len(slices) == 1 else pa.concat_batches(slices)


# ---------------------------------------------------------------- for compaction


def fold_pages(
    spec: KeySpec,
    layers: Sequence[Section],
    columns: Mapping[str, tuple[pa.DataType, Any]],
    *,
    rows_per_page: int,
) -> Iterator[tuple[pa.RecordBatch, Page | None]]:
    """Fold layers, oldest first, into the pages of a new image; every layer must know its LSNs.

    `columns` are the page columns wanted, each with its physical type and initial default. Batches hold them,
    `_lsn` and, for an ENCODED key, `_key`; tombstones are gone. A page that nothing changed comes with its
    Page, whose bytes can be used again (they may lack columns added since, or have dropped ones). Pages that
    grew beyond one and a half `rows_per_page` come out split, and ones below an eighth are put together with
    the next that had to be written anew. Where so much changed that ranges are merged, all written are full.
    """
    extra = (LSN, KEY) if spec.kind is KeyKind.ENCODED else (LSN,)
    projection = Projection([OutputColumn.plain(name, *of) for name, of in columns.items()], extra=extra)
    folded, rows = Fold(spec, layers), _DeltaRows(projection)
    packer = _Packer(rows_per_page, rows_per_page if folded.by_range else -(-rows_per_page // 8))
    for step in folded.steps():
        page, start, stop = step.part
        changes = step.changes()
        if changes is None:
            batch = projection.of_page(page).slice(start, stop - start)
            yield from packer.add(batch, page if stop - start == page.rows else None)
        elif len(pieces := changes.pieces()):
            yield from packer.add(_rewritten(step, changes, pieces, rows), None)
    yield from packer.flush()


class _Packer:
    """Puts written batches together, and cuts them, into pages of about the right size."""

    def __init__(self, rows_per_page: int, rows_least: int) -> None:
        """What is written is held back until there are `rows_least`, or an unchanged page follows."""
        self._rows_per_page = rows_per_page
        self._rows_least = rows_least
        self._held: list[tuple[pa.RecordBatch, Page | None]] = []
        self._rows = 0

    def add(self, batch: pa.RecordBatch, page: Page | None) -> Iterator[tuple[pa.RecordBatch, Page | None]]:
        """`page` if the batch is all of it, unchanged."""
        if page is not None and batch.num_rows * 8 >= self._rows_per_page:
            yield from self.flush()
            yield batch, page
            return
        self._held.append((batch, page))
        self._rows += batch.num_rows
        if self._rows >= self._rows_least:
            yield from self.flush()

    def flush(self) -> Iterator[tuple[pa.RecordBatch, Page | None]]:
        held, rows = self._held, self._rows
        self._held, self._rows = [], 0
        if len(held) == 1 and rows * 2 <= self._rows_per_page * 3:
            yield held[0]
        elif held:
            batch = pa.concat_batches([batch for batch, _ in held])
            count = -(-rows // self._rows_per_page) if rows * 2 > self._rows_per_page * 3 else 1
            cuts = [rows * number // count for number in range(count + 1)]
            yield from ((batch.slice(lo, hi - lo), None) for lo, hi in pairwise(cuts))
