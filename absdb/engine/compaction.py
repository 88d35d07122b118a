"""Compaction and run merging: other covers for the same states, so that reads stay quick.

Run merging joins stored runs of one era that lie next to each other, smallest neighbours first, until at most
`run_limit` are left. Compaction folds what lies on top of an image into a new one: pages without a change are
taken over as they are, and a *reverse run* keeps the old values of the rows it folded, so that the old image can
go and older states are still there. Both run beside readers and writers; a state read before, during and after
is the same, row for row and in the same order. Files become garbage at the next checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from absdb.catalog.lineage import Lineage, remainder
from absdb.catalog.schema import TableSchema
from absdb.engine.candidates import runs_of, written_keys
from absdb.engine.cover import EraCover
from absdb.engine.covers import Image, Reverse
from absdb.engine.expiry import expire
from absdb.engine.index_upkeep import live_catalogs, store_indexes
from absdb.engine.writes import tombstones
from absdb.errors import AbsdbError, CorruptionError, StorageError
from absdb.ids import DatabaseId
from absdb.pages.fold import fold_pages
from absdb.pages.key import Keys, sort_order, take
from absdb.pages.lookup import lookup
from absdb.pages.projection import OutputColumn, Projection
from absdb.pages.run import merge_runs
from absdb.pages.section import LSN, OP, UPSERT, Page, Section
from absdb.pages.types import physical_type

if TYPE_CHECKING:
    from absdb.engine.engine import Engine

FOLD_SHARE = 0.1
"""Compact when the rows on top of an image are at least this share of it."""
FOLD_ROWS_MIN = 4096
"""... and at least so many."""
SLICE_ROWS = 262_144


def maintain(engine: Engine) -> int:
    """Expire history, merge runs and compact tables where it pays; returns how many pieces were replaced.

    What cannot be read or written keeps nothing else from it; the first such error is raised in the end.
    """
    engine.check_writable()
    done = sum(chore(engine) for chore in engine.chores)
    with engine.maintenance:
        failures: list[AbsdbError] = []
        for work in _works(engine):
            try:
                done += work()
            except (CorruptionError, StorageError) as error:
                failures.append(error)
    if failures:
        raise failures[0]
    return done


def _works(engine: Engine) -> Iterator[Callable[[], int]]:
    yield partial(expire, engine)
    for cover in list(engine.covers.eras.values()):
        yield partial(merge_cover, engine, cover)
    for _, lineage in engine.heads():
        for schema in engine.history.catalog_at(lineage).tables.values():
            if _pays(engine, schema, lineage):
                yield partial(compact_state, engine, schema, lineage)


def merge_cover(engine: Engine, cover: EraCover) -> int:
    """Merge neighbouring stored runs until `run_limit` are left; returns how many merges it took."""
    done = 0
    while True:
        stored = [run for run in cover.view[0] if run.is_stored]
        if len(stored) <= engine.settings.run_limit or cover.schema is None:
            return done
        pairs = [(a, b) for a, b in pairwise(stored) if a.hi == b.lo]
        if not pairs:
            return done
        sizes = [a.rows + b.rows for a, b in pairs]
        pair = pairs[int(np.argmin(sizes))]
        token = engine.bulk.begin_file()
        try:
            merged = merge_runs(
                cover.spec,
                list(pair),
                cover.schema.fills,
                store=engine.pages,
                compression=cover.schema.compression,
                rows_per_page=engine.settings.page_rows,
            )
            store_indexes(engine, live_catalogs(engine), cover.table, [merged.newest, merged.superseded])
            cover.replace(list(pair), [merged])
        finally:
            engine.bulk.end_file(token)
        done += 1


def _pays(engine: Engine, schema: TableSchema, lineage: Lineage) -> bool:
    start, fixed = engine.covers.start(engine.history, schema, lineage)
    own = engine.history.table_lineage(lineage, schema.id)
    runs = [
        run
        for era, after, upto in remainder(own, start)
        if (cover := engine.covers.eras.get((era, schema.id))) is not None
        for run in cover.runs(after, upto)
    ]
    if not runs:
        return False
    base = fixed[0].rows if fixed else 0
    rows = sum(run.newest.rows for run in runs)
    if not fixed and len(runs) == 1:
        return False
    return rows >= FOLD_ROWS_MIN and (rows >= FOLD_SHARE * base or len(runs) > engine.settings.run_limit)


def compact_table(engine: Engine, database: DatabaseId, schema: TableSchema) -> int:
    """Fold a table's changes since its image into a new image; 1 if one was made, 0 if nothing had changed."""
    return compact_state(engine, schema, engine.head(database)[1])


def compact_state(engine: Engine, schema: TableSchema, lineage: Lineage) -> int:
    """`compact_table` at a lineage that may be that of a database dropped since."""
    own = engine.history.table_lineage(lineage, schema.id)
    start, fixed = engine.covers.start(engine.history, schema, lineage)
    if start == own or not own:
        return 0
    layers = engine.covers.resolve(engine.history, schema, lineage)
    sections = layers.sections()
    if not sections:
        return 0
    token = engine.bulk.begin_file()
    try:
        image = Image(schema.id, own, _image(engine, schema, sections))
        reverse = None
        if start and fixed and len(own) == len(start):
            keys = written_keys(schema.key_spec, runs_of(layers.intervals), SLICE_ROWS)
            reverse = Reverse(schema.id, start, own, _reverse(engine, schema, fixed, keys))
        store_indexes(engine, live_catalogs(engine), schema.id, [image.section])
        engine.covers.add_image(image, reverse)
    finally:
        engine.bulk.end_file(token)
    return 1


def _image(engine: Engine, schema: TableSchema, sections: Sequence[Section]) -> Section:
    """All pages of a new image in key order: those taken over, and those written to one new file."""
    pages: list[Page] = []
    builder = None
    try:
        folded = fold_pages(
            schema.key_spec, list(sections), schema.fills, rows_per_page=engine.settings.page_rows
        )
        for batch, reused in folded:
            if reused is not None and reused.origin is not None:
                pages.append(reused)
                if builder is not None:
                    builder.end_section()
                continue
            if builder is None:
                builder = engine.pages.create(
                    batch.schema,
                    schema.key_spec,
                    compression=schema.compression,
                    rows_per_page=engine.settings.page_rows,
                )
            builder.append(batch)
        if builder is not None:
            file = builder.finish()
            pages.extend(engine.pages.section(file, schema.key_spec).pages)
    except BaseException:
        if builder is not None:
            builder.__exit__(RuntimeError, None, None)
        raise
    return Section(sorted(pages, key=lambda page: page.first))


def _reverse(engine: Engine, schema: TableSchema, fixed: Sequence[Section], keys: Iterable[Keys]) -> Section:
    """What the rows under `keys` were in the old state, as a stored section: old rows, tombstones for new ones."""
    columns = [
        OutputColumn(
            c.page_name, c.page_name, physical_type(c.type), physical_type(c.type), c.initial_default
        )
        for c in schema.by_id.values()
    ]
    projection = Projection(columns, extra=(LSN,))
    batches = _old_rows(schema, fixed, keys, projection)
    first = next(batches, None)
    if first is None:
        return Section.EMPTY
    file = engine.pages.write(
        chain([first], batches),
        first.schema,
        schema.key_spec,
        compression=schema.compression,
        rows_per_page=engine.settings.page_rows,
    )
    return engine.pages.section(file, schema.key_spec)


def _old_rows(
    schema: TableSchema, fixed: Sequence[Section], keys: Iterable[Keys], projection: Projection
) -> Iterator[pa.RecordBatch]:
    newest_first = list(reversed(fixed))
    for part in keys:
        found = lookup(schema.key_spec, newest_first, part)
        old = schema.key_spec.with_key(found.take(projection))
        old = old.append_column(
            pa.field(OP, pa.int8()), pa.repeat(pa.scalar(UPSERT, pa.int8()), old.num_rows)
        )
        missing = take(part, np.flatnonzero(~found.alive))
        gone = tombstones(schema, missing)
        rows = pa.concat_batches([old, _conform(gone, old.schema)])
        order = sort_order(schema.key_spec.keys_of(rows))
        yield rows.take(pa.array(order))


def _conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with the columns of `schema`; a column it lacks is null, `_lsn` zero."""
    rows = batch.num_rows
    arrays = []
    for field in schema:
        if field.name in batch.schema.names:
            arrays.append(batch.column(field.name))
        elif field.name == LSN:
            arrays.append(pa.array(np.zeros(rows, np.int64)))
        else:
            arrays.append(pa.nulls(rows, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
